//! From the command line, the environment and a file to a configuration.

use std::path::Path;

use dynacrawl_state::Purpose;

use super::target::UnselectedTarget;
use super::{Config, ConfigError, Layer};
use crate::cli::{
    EndpointArgs, FilterArgs, GlobalArgs, ListenArgs, OutputArgs, ReportArgs, SpeedArgs, StateArgs, TargetArgs,
};
use crate::demo::Demo;

/// What a command's flags say. What a command does not have stays empty.
#[derive(Debug, Default)]
pub(crate) struct Flags<'a> {
    pub(crate) target: Option<&'a TargetArgs>,
    pub(crate) filter: Option<&'a FilterArgs>,
    pub(crate) speed: Option<&'a SpeedArgs>,
    pub(crate) output: Option<&'a OutputArgs>,
    pub(crate) state: Option<&'a StateArgs>,
    pub(crate) endpoints: Option<&'a EndpointArgs>,
    pub(crate) report: Option<&'a ReportArgs>,
    pub(crate) serve: Option<&'a ListenArgs>,
}

impl Config {
    /// Reads and validates a configuration file alone.
    ///
    /// # Errors
    /// When something in it is wrong.
    pub fn check_file(path: &Path) -> Result<Self, ConfigError> {
        let mut layer = Layer::reference();
        layer.overlay(Layer::read(path)?);
        Self::validate_file(layer, path)
    }

    /// Validates what is known up to a file, so that its errors name the file and not a flag.
    fn validate_file(layer: Layer, path: &Path) -> Result<Self, ConfigError> {
        Self::validate(layer).map_err(|error| error.in_file(path))
    }

    /// The configuration of a command: the reference, below the file, below the environment and the flags.
    pub(crate) fn load(global: &GlobalArgs, flags: &Flags<'_>) -> Result<Self, ConfigError> {
        let mut layer = Layer::reference();
        if let Some(path) = &global.config {
            layer.overlay(Layer::read(path)?);
            Self::validate_file(layer.clone(), path)?;
        }
        layer.overlay(flag_layer(global, flags));
        let described_by_flags = flags.target.is_some_and(|args| layer.target.is_empty() || !args.targets.is_empty());
        choose_targets(&mut layer, flags.target, global.config.as_deref())?;
        let mut config = Self { described_by_flags, ..Self::validate(layer)? };
        config.need_a_state()?;
        if flags.output.is_some() {
            config.refuse_losses(flags.serve.is_some())?;
        }
        if let Some(args) = flags.target.filter(|args| !args.targets.is_empty()) {
            let place = global.config.as_deref().unwrap_or(Path::new("the configuration")).display().to_string();
            config.restrict(&args.targets).map_err(|unknown| unknown.in_key("--target", &place))?;
        }
        Ok(config)
    }

    /// The configuration of a command that runs against the embedded simulator.
    pub(crate) fn load_demo(global: &GlobalArgs, flags: &Flags<'_>, demo: &Demo) -> Result<Self, ConfigError> {
        let mut layer = Layer::reference();
        layer.overlay(demo.layer());
        layer.overlay(flag_layer(global, &Flags { endpoints: None, ..*flags }));
        layer.target = demo.targets();
        let mut config = Self::validate(layer)?;
        config.need_a_state()?;
        config.refuse_losses(false)?;
        if let Some(state) = &mut config.state {
            state.purpose = Purpose::Demo;
        }
        demo.seclude(&mut config);
        Ok(config)
    }
}

fn flag_layer(global: &GlobalArgs, flags: &Flags<'_>) -> Layer {
    let mut layer = Layer::default();
    global.overlay(&mut layer);
    if let Some(endpoints) = flags.endpoints {
        endpoints.overlay(&mut layer);
    }
    if let Some(filter) = flags.filter {
        filter.overlay(&mut layer);
    }
    if let Some(speed) = flags.speed {
        speed.overlay(&mut layer);
    }
    if let Some(output) = flags.output {
        output.overlay(&mut layer);
    }
    if let Some(state) = flags.state {
        state.overlay(&mut layer);
    }
    if let Some(report) = flags.report {
        report.overlay(&mut layer);
    }
    if let Some(serve) = flags.serve {
        serve.overlay(&mut layer);
    }
    layer
}

/// The file's targets, or the one that the command line describes; never a mixture, which could crawl the wrong account.
fn choose_targets(layer: &mut Layer, args: Option<&TargetArgs>, file: Option<&Path>) -> Result<(), ConfigError> {
    let Some(args) = args else { return Ok(()) };
    let file_name = file.map(|path| path.display().to_string()).unwrap_or_default();
    if layer.target.is_empty() {
        if !args.targets.is_empty() {
            let problem =
                "there is no [[target]] to choose from; name a configuration file that has some with --config";
            return Err(ConfigError::value("--target", problem));
        }
        layer.target.push(args.as_target());
        return Ok(());
    }
    if let Some(flag) = args.described_by() {
        let problem = format!(
            "describes a target of its own, but {file_name} has targets; leave one of them out, or choose with --target"
        );
        return Err(ConfigError::value(flag, problem));
    }
    Ok(())
}

/// A name that no target of the configuration has.
#[derive(Debug)]
pub(crate) struct UnknownTarget {
    name: String,
    there_are: Vec<String>,
}

impl UnknownTarget {
    pub(super) fn new(name: &str, there_are: &[String]) -> Self {
        Self { name: name.to_owned(), there_are: there_are.to_vec() }
    }

    /// The error about it, in the value of a key.
    pub(crate) fn in_key(self, key: &str, place: &str) -> ConfigError {
        let name = dynacrawl_model::Escaped(&self.name);
        ConfigError::value(key, format!("'{name}' is not a target of {place}; it has {}", self.there_are.join(", ")))
    }
}

impl Config {
    /// The file may leave the state to a flag; the whole may not leave it out.
    fn need_a_state(&self) -> Result<(), ConfigError> {
        if self.state.is_some() { Ok(()) } else { self.changes.need_a_state() }
    }

    /// Leaves out all but these targets, each with all the accounts that it stands for.
    pub(crate) fn restrict(&mut self, only: &[String]) -> Result<(), UnknownTarget> {
        if let Some(unknown) = only.iter().find(|name| !self.target_names.contains(name)) {
            return Err(UnknownTarget::new(unknown, &self.target_names));
        }
        let chosen = |name: &String| only.contains(name);
        let others = self.targets.extract_if(.., |target| !chosen(&target.configured_as));
        self.unselected_targets = others.map(|target| UnselectedTarget::of(&target)).collect();
        let others = self.groups.extract_if(.., |group| !chosen(&group.discovery.configured_as));
        self.unselected_targets.extend(
            others.map(|group| UnselectedTarget { account_id: None, ..UnselectedTarget::of(&group.discovery) }),
        );
        self.only = Some(only.to_vec());
        Ok(())
    }
}

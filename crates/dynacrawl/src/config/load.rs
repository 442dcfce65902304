//! Loads a configuration from the command line, the environment and a file.

use std::path::Path;

use dynacrawl_engine::settings::{Destination, SinkChoice};
use dynacrawl_model::Escaped;
use dynacrawl_state::Purpose;

use super::changes::need_a_state;
use super::crawl::refuse_contradictions;
use super::error::ConfigError;
use super::raw::Layer;
use super::valid::Config;
use crate::cli::{
    CatalogArgs, EndpointArgs, FilterArgs, GlobalArgs, ListenArgs, OutputArgs, ReportArgs, SinkArgs, SpeedArgs,
    StateArgs, TargetArgs,
};
use crate::demo::Demo;

/// The flags of a command. Groups of flags that a command does not have stay empty.
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
    pub(crate) export: Option<&'a CatalogArgs>,
    pub(crate) sinks: Option<&'a SinkArgs>,
}

impl Config {
    /// Reads and validates a configuration file alone.
    ///
    /// # Errors
    /// If the file cannot be read, or something in it is wrong.
    pub fn check_file(path: &Path) -> Result<Self, ConfigError> {
        let mut layer = Layer::reference();
        layer.overlay(Layer::read(path)?);
        Self::validate_file(layer, path)
    }

    /// Validates the layers up to a file, so that errors name the file and not a flag.
    fn validate_file(layer: Layer, path: &Path) -> Result<Self, ConfigError> {
        Self::validate(layer).map_err(|error| error.in_file(path))
    }

    /// The configuration of a command. The environment and the flags override the file, and the
    /// file overrides the reference.
    pub(crate) fn load(global: &GlobalArgs, flags: &Flags<'_>) -> Result<Self, ConfigError> {
        Self::load_layers(global, flags).map_err(|error| error.in_typed_words(&global.typed))
    }

    fn load_layers(global: &GlobalArgs, flags: &Flags<'_>) -> Result<Self, ConfigError> {
        let mut layer = Layer::reference();
        let mut output_is_given = flags.output.is_some_and(|args| args.output.is_some());
        if let Some(path) = &global.config {
            let file = Layer::read(path)?;
            output_is_given |= file.crawl.output.is_some();
            layer.overlay(file);
            Self::validate_file(layer.clone(), path)?;
        }
        if let Some(args) = flags.export {
            args.refuse_repeated_connections()?;
        }
        layer.overlay(flag_layer(global, flags));
        let described_by_flags = flags.target.is_some_and(|args| layer.target.is_empty() || !args.targets.is_empty());
        choose_targets(&mut layer, flags.target, global.config.as_deref())?;
        let mut config = Self::validate(layer)?;
        config.request.described_by_flags = described_by_flags;
        config.choose_sinks(flags.sinks)?;
        if !output_is_given && !config.run.crawl.dry_run && !config.request.sinks.of(&config.run.sinks).is_empty() {
            // Without a request for it, standard output stays silent beside sinks.
            config.run.crawl.output = Destination::Nowhere;
        }
        config.need_a_state()?;
        if flags.output.is_some() {
            refuse_contradictions(&config.run)?;
            config.refuse_losses(flags.serve.is_some())?;
        }
        if let Some(args) = flags.target.filter(|args| !args.targets.is_empty()) {
            let place = global.config.as_deref().unwrap_or(Path::new("the configuration")).display().to_string();
            config.run.choose(Some(&args.targets)).map_err(|unknown| unknown.in_key("--target", &place))?;
            config.request.targets = Some(args.targets.clone());
        }
        Ok(config)
    }

    /// The configuration of a command that runs against the embedded simulator.
    pub(crate) fn load_demo(global: &GlobalArgs, flags: &Flags<'_>, demo: &Demo) -> Result<Self, ConfigError> {
        Self::load_demo_layers(global, flags, demo).map_err(|error| error.in_typed_words(&global.typed))
    }

    fn load_demo_layers(global: &GlobalArgs, flags: &Flags<'_>, demo: &Demo) -> Result<Self, ConfigError> {
        let mut layer = Layer::reference();
        layer.overlay(demo.layer());
        layer.overlay(flag_layer(global, &Flags { endpoints: None, ..*flags }));
        layer.target = demo.targets();
        let names_sinks = flags.sinks.is_some_and(|args| args.sinks.iter().any(|name| !name.is_empty()));
        if let Some(path) = global.config.as_ref().filter(|_| names_sinks) {
            // The tables are invented, so only a sink that is named gets them.
            let is_named = |name: &String| flags.sinks.is_some_and(|args| args.sinks.contains(name));
            let file = Layer::read(path)?;
            layer.crawl.deliver_within = file.crawl.deliver_within.or(layer.crawl.deliver_within);
            let named = file.sink.into_iter().filter(|(name, _)| is_named(name));
            layer.sink = named.map(|(name, sink)| (name, sink.of_all_targets())).collect();
        }
        let mut config = Self::validate(layer)?;
        config.choose_sinks(flags.sinks)?;
        if names_sinks && flags.output.is_some_and(|args| args.output.is_none()) {
            config.run.crawl.output = Destination::Nowhere;
        }
        config.need_a_state()?;
        refuse_contradictions(&config.run)?;
        config.refuse_losses(false)?;
        if let Some(state) = &mut config.run.state {
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
    if let Some(export) = flags.export {
        export.overlay(&mut layer);
    }
    if let Some(serve) = flags.serve {
        serve.overlay(&mut layer);
    }
    layer
}

/// The file's targets, or the one that the command line describes. Never a mixture, which could
/// crawl the wrong account.
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

impl Config {
    /// Takes the choice of sinks from the flags.
    fn choose_sinks(&mut self, args: Option<&SinkArgs>) -> Result<(), ConfigError> {
        let names: Vec<_> = self.run.sinks.iter().map(|one| one.sink.name.as_str()).collect();
        let Some(args) = args else { return Ok(()) };
        let chosen: Vec<_> = args.sinks.iter().filter(|name| !name.is_empty()).cloned().collect();
        match args {
            args if args.no_sinks && !chosen.is_empty() => {
                return Err(ConfigError::value("--sink", "cannot be used with --no-sinks"));
            }
            args if args.no_sinks => self.request.sinks = SinkChoice::Only(Vec::new()),
            _ if !chosen.is_empty() => {
                if let Some(unknown) = chosen.iter().find(|name| !names.contains(&name.as_str())) {
                    let shown = Escaped(unknown);
                    let problem = match &names[..] {
                        [] => format!("there is no sink '{shown}'; the configuration has none"),
                        names => format!("there is no sink '{shown}'; the configuration has {}", names.join(", ")),
                    };
                    return Err(ConfigError::value("--sink", problem));
                }
                self.request.sinks = SinkChoice::Only(chosen);
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses settings that need a state if there is none. A file alone may leave the state to a
    /// flag.
    fn need_a_state(&self) -> Result<(), ConfigError> {
        if self.run.state.is_some() { Ok(()) } else { need_a_state(&self.run.changes, &self.request.accepted) }
    }
}

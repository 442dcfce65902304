//! The plan of a command.

use std::sync::Arc;

use dynacrawl_engine::RunPlan;

use super::failure::Failure;
use crate::cli::{DemoArgs, GlobalArgs};
use crate::config::{Config, Flags};
use crate::demo::Demo;
use crate::exit::Exit;

/// The plan of a command, and what it was made from.
pub(super) struct Planned {
    pub(super) plan: RunPlan,
    pub(super) config: Config,
    /// The embedded simulator, if the plan uses it. Dropping it stops the simulator.
    pub(super) simulator: Option<Demo>,
}

/// Plans a run against AWS or the embedded simulator. `adjust` makes the command's own changes to
/// the configuration.
pub(super) async fn plan(
    global: &GlobalArgs,
    flags: &Flags<'_>,
    demo: DemoArgs,
    adjust: impl FnOnce(&mut Config),
) -> Result<Planned, Failure> {
    if !demo.demo && !demo.demo_faults {
        let mut config = Config::load(global, flags)?;
        adjust(&mut config);
        config.prepare().await.map_err(|error| error.in_typed_words(&global.typed))?;
        let plan = RunPlan::new(&Arc::new(config.run.clone()), config.request.clone())?;
        return Ok(Planned { plan, config, simulator: None });
    }
    let demo = Demo::start(demo.demo_faults)
        .map_err(|error| Failure::new(Exit::Usage, anyhow::Error::new(error).context("cannot start the simulator")))?;
    let mut config = Config::load_demo(global, flags, &demo)?;
    adjust(&mut config);
    Ok(Planned { plan: demo.plan(&config)?, config, simulator: Some(demo) })
}

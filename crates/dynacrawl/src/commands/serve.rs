//! `dynacrawl serve`

use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use dynacrawl_daemon::clock::Clock;
use dynacrawl_daemon::daemon::{Crawl, Daemon, DaemonDeps, DaemonEnd};
use dynacrawl_daemon::shared::Shared;
use dynacrawl_daemon::{http, metrics, watch};
use dynacrawl_engine::settings::{Accepted, SinkChoice, scopes};
use dynacrawl_engine::{RunPlan, crawl_to_output, deliver};
use dynacrawl_sinks::Until;
use dynacrawl_state::State;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::crawl::{cannot_start, stuck, warn_of};
use super::failure::Failure;
use crate::cli::{GlobalArgs, ServeArgs};
use crate::config::{Config, ConfigError, Flags, LogLevel};
use crate::exit::Exit;
use crate::signals::Signals;
use crate::terminal::Terminal;

/// How many orders may wait for the daemon.
const ORDERS: usize = 64;

pub(super) async fn serve(global: &GlobalArgs, args: &ServeArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    // Accepted for one run of each scope, not for as long as the daemon runs.
    let accepted = Accepted {
        removals: scopes("--accept-removals", &args.state.accept_removals)?,
        retirements: scopes("--accept-retirements", &args.state.accept_retirements)?,
    };
    let mut args = args.clone();
    args.state.accept_removals.clear();
    args.state.accept_retirements.clear();
    let source = Rc::new(Source { global: global.clone(), args });
    let file = source.file()?;
    let content = std::fs::read(&file).ok();
    let config = source.load().await?;
    let Some(state_settings) = config.run.state.clone() else {
        let problem = "is missing; dynacrawl serve needs a state";
        return Err(ConfigError::value("state.path (--state)", problem).into());
    };
    let token = config.serve.token()?;
    config.read_sink_secrets()?;
    // Reports wrong places of secrets at startup.
    let settings = config.for_daemon();
    RunPlan::new(&settings.run, settings.request.clone())?;
    let _telemetry = terminal.show_messages(&config.log, LogLevel::INFO)?;
    warn_of(global, &config, config.daemon_warnings());
    let state = State::open(&state_settings.path).map_err(|error| cannot_start(error.into()))?;
    let state = Arc::new(Mutex::new(state));
    let listen = config.serve.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        // Another process may release the address later, or an interface may get it.
        let error = anyhow::Error::new(error).context(format!("cannot listen on {listen} (serve.listen)"));
        Failure::new(Exit::SinkFailed, error)
    })?;
    let recorder = metrics::recorder().map_err(|error| Failure::new(Exit::Usage, error))?;
    let recorded = recorder.handle();
    ::metrics::set_global_recorder(recorder)
        .map_err(|_| Failure::new(Exit::Usage, anyhow::anyhow!("a metrics recorder is already installed")))?;
    metrics::describe();

    let failed = |error: std::io::Error| Failure::new(Exit::SinkFailed, error);
    let signals = Signals::new().map_err(failed)?;
    let hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let stop = CancellationToken::new();
    let shared = Arc::new(Shared::new(&settings, token, state_settings.path));
    let (orders, queue) = mpsc::channel(ORDERS);
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "listening");
    let load = {
        let source = source.clone();
        Box::new(move || {
            let source = source.clone();
            Box::pin(async move { Ok(source.load().await?.for_daemon()) }) as _
        })
    };
    let crawl: Crawl = Box::new(|plan, start, stop, progress| {
        Box::pin(async move { crawl_to_output(&plan, start, &stop, &progress).await })
    });
    let deps = DaemonDeps { load, make_plan: Box::new(RunPlan::new), crawl, clock: Clock::System };
    let (run, sinks) = (settings.run.clone(), state.clone());
    let daemon = Daemon::new(deps, settings, state, shared.clone(), accepted);
    let on_first = || {
        shared.drain();
        tracing::info!("stopping: waiting for the requests in flight; a second signal stops at once");
    };
    let ended = CancellationToken::new();
    let router = http::router(shared.clone(), orders.clone(), recorded.clone());
    let mut answering = pin!(http::server::serve(listener, router, &ended));
    let stopped = tokio::select! {
        stopped = Box::pin(daemon.run(queue, &stop)) => stopped,
        () = signals.second(&stop, on_first) => return Ok(Exit::Interrupted),
        () = stuck(&stop, || shared.status().grace) => return Ok(Exit::Interrupted),
        () = metrics::sum_up(recorded) => unreachable!("it never ends"),
        () = watch::file(&file, content, || shared.status().reload_every, &orders) => unreachable!("it never ends"),
        () = watch::hangups(hangup, &orders) => unreachable!("it never ends"),
        () = deliver(&run, &SinkChoice::All, &sinks, Until::Stopped, &ended) => unreachable!("it delivers until it is stopped"),
        () = answering.as_mut() => unreachable!("it answers until it is stopped"),
    };
    ended.cancel();
    answering.await;
    match stopped {
        DaemonEnd::Idle => Ok(Exit::Complete),
        DaemonEnd::InARun => Ok(Exit::Interrupted),
        DaemonEnd::OutputGone => Ok(Exit::SinkFailed),
    }
}

/// Where the configuration comes from.
struct Source {
    global: GlobalArgs,
    args: ServeArgs,
}

impl Source {
    fn file(&self) -> Result<PathBuf, ConfigError> {
        let problem = "is missing; dynacrawl serve takes its targets and schedules from a configuration file";
        self.global.config.clone().ok_or_else(|| ConfigError::value("--config (DYNACRAWL_CONFIG)", problem))
    }

    async fn load(&self) -> Result<Config, ConfigError> {
        let args = &self.args;
        let flags = Flags {
            filter: Some(&args.filter),
            speed: Some(&args.speed),
            output: Some(&args.output),
            state: Some(&args.state),
            endpoints: Some(&args.endpoints),
            serve: Some(&args.serve),
            ..Flags::default()
        };
        let mut config = Config::load(&self.global, &flags)?;
        if config.run.targets.is_empty() && config.run.groups.is_empty() {
            let problem = "is missing; dynacrawl serve takes its targets from the configuration file";
            return Err(ConfigError::value("[[target]]", problem));
        }
        if config.run.crawl.dry_run {
            return Err(ConfigError::value("crawl.dry_run (--dry-run)", "cannot be used with dynacrawl serve"));
        }
        config.prepare().await?;
        Ok(config)
    }
}

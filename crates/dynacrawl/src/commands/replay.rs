//! `dynacrawl replay`: sends what the state knows to a sink again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, anyhow};
use dynacrawl_engine::settings::{ConfiguredSink, SinkChoice};
use dynacrawl_engine::{deliver_in_time, opened, query, replay as send_again};
use dynacrawl_model::{Escaped, Timestamp};
use dynacrawl_state::{State, StateError};
use secrecy::ExposeSecret;
use serde_json::json;

use super::failure::Failure;
use crate::cli::{GlobalArgs, ReplayArgs, SinkArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::exit::Exit;

/// How long the daemon may take to answer.
const DAEMON_TIME: std::time::Duration = std::time::Duration::from_secs(30);

pub(super) async fn replay(global: &GlobalArgs, args: &ReplayArgs) -> Result<Exit, Failure> {
    let chosen = SinkArgs { sinks: vec![args.sink.clone()], no_sinks: false };
    let config = Config::load(global, &Flags { sinks: Some(&chosen), ..Flags::default() })?;
    let sinks = config.request.sinks.of(&config.run.sinks);
    let [to] = sinks[..] else {
        return Err(ConfigError::value("--sink", "is empty; name a sink of the configuration file").into());
    };
    let since = args.since.as_deref().map(|text| query::since("--since", text)).transpose()?;
    if since.is_some() && to.sink.kind.takes_snapshots() {
        let problem = format!("'{}' gets snapshots of all tables; leave --since out", to.sink.name);
        return Err(ConfigError::value("--since", problem).into());
    }
    let path = args.state.as_ref().map(PathBuf::from).or(config.run.state.as_ref().map(|state| state.path.clone()));
    let path = path.ok_or_else(|| {
        ConfigError::value("state.path (--state)", "is missing; expected the file of the state that has the tables")
    })?;
    if !path.exists() {
        let error = anyhow!("state.path (--state): {} does not exist", Escaped(&path.display().to_string()));
        return Err(Failure::new(Exit::Usage, error));
    }
    config.read_sink_secrets()?;
    let state = match State::open(&path) {
        Ok(state) => Arc::new(Mutex::new(state)),
        Err(StateError::Busy { .. }) if config.serve.token.is_some() => return by_daemon(&config, to, since).await,
        Err(error @ StateError::Busy { .. }) => {
            let advice = "a daemon that has a serve.token can be asked to do this";
            return Err(Failure::new(Exit::SinkFailed, anyhow::Error::new(error).context(advice)));
        }
        Err(error) => {
            let exit = if error.may_pass() { Exit::SinkFailed } else { Exit::Usage };
            return Err(Failure::new(exit, error));
        }
    };
    let failed = |error: StateError| Failure::new(Exit::SinkFailed, error);
    let within = config.run.crawl.deliver_within;
    let name = &to.sink.name;
    let refused = || opened(&state).sink_sync(name).map(|sync| sync.map_or(0, |sync| sync.refused)).map_err(failed);
    let before = refused()?;
    if !send_again(&mut opened(&state), name, since).map_err(failed)? {
        eprintln!("{name}: the sink is new, and begins with the next run");
        return Ok(Exit::Complete);
    }
    let choice = SinkChoice::Only(vec![name.clone()]);
    if let Some((_, owed)) = deliver_in_time(&config.run, &choice, &state).await.map_err(failed)?.first() {
        let error = anyhow!(
            "sink.{name} is owed {owed} after crawl.deliver_within ({within:?}); the next run or replay continues"
        );
        return Err(Failure::new(Exit::SinkFailed, error));
    }
    let refused = refused()?.saturating_sub(before);
    if refused > 0 {
        eprintln!("{name}: everything is delivered, but the destination refused {refused} tables or events");
        return Ok(Exit::Partial);
    }
    eprintln!("{name}: everything is delivered");
    Ok(Exit::Complete)
}

/// Asks the daemon, which owns the state.
async fn by_daemon(config: &Config, to: &ConfiguredSink, since: Option<Timestamp>) -> Result<Exit, Failure> {
    let failed = |error: anyhow::Error| Failure::new(Exit::SinkFailed, error);
    let Some(token) = &config.serve.token else { return Err(failed(anyhow!("there is no serve.token"))) };
    let token = token.read().map_err(|error| ConfigError::value("serve.token", error))?;
    let mut address = config.serve.listen;
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    let url = format!("http://{address}/api/v1/sinks/{}/replay", to.sink.name);
    let client = reqwest::Client::builder().timeout(DAEMON_TIME).no_proxy().build();
    let client = client.context("cannot make an HTTP client").map_err(failed)?;
    let body = since.map_or_else(String::new, |since| json!({ "since": since }).to_string());
    let request = client.post(&url).bearer_auth(token.expose_secret()).body(body);
    let answer = request.send().await.with_context(|| format!("the state is in use, and {url} does not answer"));
    let answer = answer.map_err(failed)?;
    let status = answer.status();
    if !status.is_success() {
        let text: String = answer.text().await.unwrap_or_default().chars().take(300).collect();
        return Err(failed(anyhow!("the daemon refuses: {status}: {}", Escaped(text.trim()))));
    }
    let what = since.map_or_else(|| "everything".to_owned(), |since| format!("what is newer than {since}"));
    eprintln!("{}: the daemon sends {what} again; `dynacrawl sinks` shows how far it is", to.sink.name);
    Ok(Exit::Complete)
}

//! Where a run begins: anew, or where an earlier process stopped.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynacrawl_model::{AccountsDiscovered, Region, RegionsDiscovered, RunId, Timestamp};
use dynacrawl_sinks::{Output, SinkError};
use dynacrawl_state::{NewRun, Reader, ScopeProgress, ScopeRow, State, StateError, Unfinished};

use super::detector::Detector;
use super::journal::Journal;
use super::ledger::Checkpoint;
use super::plan::Known;
use crate::config::{Config, Destination, StateSettings, accepted_before};

/// How a run begins.
#[derive(Debug)]
pub struct Start {
    /// The run.
    pub run_id: RunId,
    /// Where its records go.
    pub output: Output,
    /// What remembers how far it is.
    pub journal: Option<Journal>,
    /// What the last runs knew.
    pub detector: Option<Detector>,
    /// What a person is told about it.
    pub notice: Option<String>,
    pub(crate) before: Before,
}

/// A state that several runs use, one after the other.
pub(crate) type SharedState = Arc<Mutex<State>>;

/// A panic elsewhere must not keep the state from being written.
pub(crate) fn opened(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What earlier processes have done of a run.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// Whether there was one.
    pub(crate) resumed: bool,
    /// How long they worked.
    pub(crate) active: Duration,
    /// Whether `run_started` is in the output already.
    pub(crate) output_has_begun: bool,
    /// Scopes that ended, by target and Region.
    pub(crate) ended: HashMap<(String, Region), ScopeRow>,
    /// Scopes that were under way.
    pub(crate) under_way: HashMap<(String, Region), (ScopeRow, Checkpoint)>,
    /// What they found out about targets.
    pub(crate) known: Known,
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The state cannot be used.
    #[error("state.path (--state)")]
    State(#[from] StateError),
    /// The output cannot be opened.
    #[error("crawl.output (--output)")]
    Output(#[from] SinkError),
}

impl Start {
    /// A run that nothing remembers.
    pub fn forgetful(output: Output) -> Self {
        Self {
            run_id: RunId::generate(),
            output,
            journal: None,
            detector: None,
            notice: None,
            before: Before::default(),
        }
    }

    /// A run as the configuration wants it: where there is a state, and a run in it that can be gone on with, that one.
    /// `fresh` begins anew all the same.
    ///
    /// # Errors
    /// When the state cannot be used or the output not be opened. Nothing has been called then.
    pub fn new(config: &Config, fresh: bool) -> Result<Self, StartError> {
        match &config.state {
            // A dry run describes nothing that would have to be remembered.
            Some(settings) if !config.crawl.dry_run => {
                let state = Arc::new(Mutex::new(State::open(&settings.path)?));
                Self::with_state(config, settings, &state, fresh)
            }
            _ => Ok(Self::forgetful(open(&config.crawl.output)?)),
        }
    }

    /// The same, with a state that is open already.
    pub(crate) fn with_state(
        config: &Config,
        settings: &StateSettings,
        state: &SharedState,
        fresh: bool,
    ) -> Result<Self, StartError> {
        let mut notice = None;
        let unfinished = opened(state).unfinished().unwrap_or_else(|error| {
            notice = Some(format!("beginning anew: the run before cannot be read ({error})\n"));
            None
        });
        if let Some(run) = unfinished {
            let why = match may_resume(&run, config, settings, fresh) {
                Ok(before) => match reopen(&config.crawl.output, &run) {
                    Ok(output) => {
                        let detector = detector(config, settings, run.run_id, &run.accepted)?;
                        return Ok(Self::resumed(&run, before, output, state.clone(), detector));
                    }
                    Err(gone @ SinkError::NotThere { .. }) => gone.to_string(),
                    Err(error) => return Err(error.into()),
                },
                Err(why) => why,
            };
            notice = Some(begins_anew(&run, &why));
            // What went anywhere else than into a file that is replaced at the end has been delivered.
            if !run.is_replaced {
                opened(state).settle_abandoned(run.run_id, Timestamp::now())?;
            }
        }
        let output = open(&config.crawl.output)?;
        let run_id = RunId::generate();
        opened(state).begin(&NewRun {
            run_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_digest: config.digest(),
            started_at: Timestamp::now(),
            output: place(&config.crawl.output),
            schedule: config.schedule.clone(),
            only: config.only.clone(),
            accepted: config.changes.accepted_words(),
            is_replaced: match &config.crawl.output {
                Destination::Stdout => false,
                Destination::File(path) => Output::replaces(path),
            },
        })?;
        let detector = Some(detector(config, settings, run_id, &[])?);
        let journal = Some(Journal::new(state.clone(), run_id, 0, Duration::ZERO));
        Ok(Self { run_id, output, journal, detector, notice, before: Before::default() })
    }

    fn resumed(run: &Unfinished, before: Before, output: Output, state: SharedState, detector: Detector) -> Self {
        let notice = format!(
            "resuming run {}: {} scopes have ended, {} go on\n",
            run.run_id,
            before.ended.len(),
            before.under_way.len()
        );
        let before = Before { output_has_begun: output.start() > 0, ..before };
        let journal = Some(Journal::new(state, run.run_id, run.output_lines, before.active));
        Self { run_id: run.run_id, output, journal, detector: Some(detector), notice: Some(notice), before }
    }
}

fn detector(
    config: &Config,
    settings: &StateSettings,
    run_id: RunId,
    before: &[String],
) -> Result<Detector, StateError> {
    let mut changes = config.changes.clone();
    // What a person accepted for a run holds to its end, also after a kill.
    let [removals, retirements] = accepted_before(before);
    changes.accepted.extend(removals);
    changes.accepted_retirements.extend(retirements);
    Ok(Detector::new(Reader::open(&settings.path)?, run_id, changes))
}

/// What is known of an unfinished run, or why it cannot be gone on with.
fn may_resume(run: &Unfinished, config: &Config, settings: &StateSettings, fresh: bool) -> Result<Before, String> {
    if fresh {
        return Err("asked for by --fresh".to_owned());
    }
    if run.version != env!("CARGO_PKG_VERSION") {
        return Err(format!("dynacrawl {} began it", dynacrawl_model::Escaped(&run.version)));
    }
    if run.config_digest != config.digest() {
        return Err("its configuration was another".to_owned());
    }
    let age = Timestamp::now().as_millis().saturating_sub(run.updated_at.as_millis());
    let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
    if age > settings.resume_within {
        let hours = age.as_secs() / 3600;
        return Err(format!(
            "it stopped {hours} hours ago, and only {:?} are allowed (state.resume_within)",
            settings.resume_within
        ));
    }
    if run.output != place(&config.crawl.output) {
        return Err("its output was another".to_owned());
    }
    before(run).ok_or_else(|| "what it remembered cannot be read".to_owned())
}

fn begins_anew(run: &Unfinished, why: &str) -> String {
    format!("beginning anew instead of going on with run {}: {why}\n", run.run_id)
}

fn before(run: &Unfinished) -> Option<Before> {
    let mut before = Before { resumed: true, active: Duration::from_millis(run.active_ms), ..Before::default() };
    for row in &run.scopes {
        let key = (row.target.clone(), row.region.clone());
        match &row.progress {
            ScopeProgress::Ended(_) => {
                before.ended.insert(key, row.clone());
            }
            ScopeProgress::Walking(checkpoint) => {
                let checkpoint = serde_json::from_str(checkpoint).ok()?;
                before.under_way.insert(key, (row.clone(), checkpoint));
            }
        }
    }
    for row in &run.targets {
        if let Some(found) = &row.accounts_discovered {
            let found: AccountsDiscovered = serde_json::from_str(found).ok()?;
            before.known.accounts.insert(row.target.clone(), found.accounts);
        }
        if let Some(found) = &row.regions_discovered {
            let found: RegionsDiscovered = serde_json::from_str(found).ok()?;
            if !found.problems.is_empty() {
                before.known.unsure.insert(found.account_id.clone());
            }
            before.known.regions.insert(row.target.clone(), found.regions);
        }
        if row.failed {
            // Of which account is not remembered.
            before.known.unsure.insert(None);
            before.known.failed.insert(row.target.clone());
        }
    }
    Some(before)
}

fn open(destination: &Destination) -> Result<Output, SinkError> {
    match destination {
        Destination::Stdout => Output::stdout(),
        Destination::File(path) => Output::file(path),
    }
}

fn reopen(destination: &Destination, run: &Unfinished) -> Result<Output, SinkError> {
    match destination {
        Destination::Stdout => Output::stdout(),
        Destination::File(path) => Output::resume(path, run.output_offset, run.run_id.as_str()),
    }
}

/// The output's name in the state: the same from wherever dynacrawl is started.
fn place(destination: &Destination) -> String {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match destination {
        Destination::Stdout => "-".to_owned(),
        Destination::File(path) => whole(path).display().to_string(),
    }
}

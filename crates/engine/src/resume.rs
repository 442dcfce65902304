//! How a run begins: from the start, or where an earlier process stopped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynacrawl_model::{AccountsDiscovered, RegionsDiscovered, RunId, Timestamp};
use dynacrawl_sinks::{Output, SinkError};
use dynacrawl_state::{NewRun, Reader, ScopeProgress, State, StateError, Unfinished};
use tokio::time::Instant;

use super::detector::Detector;
use super::history::EarlierWork;
use super::journal::Journal;
use super::old_files::{self, OldFiles};
use super::outbox;
use super::run_plan::RunPlan;
use super::shared_state::{SharedState, opened};
use crate::settings::{Accepted, Destination, StateSettings, collision};

/// The number of the records' format. A change of the record contract raises it. A run whose first
/// records have another number is not resumed: a new run starts, and the state stays.
const OUTPUT_FORMAT: u32 = 2;

/// How a run begins.
#[derive(Debug)]
pub struct PreparedRun {
    /// The run.
    pub run_id: RunId,
    /// Where its records go.
    pub output: Output,
    /// The state, if there is one.
    pub state: Option<SharedState>,
    /// Stores the progress of the run.
    pub journal: Option<Journal>,
    /// What earlier runs stored, if there is a state.
    pub detector: Option<Detector>,
    /// A message for the user about how the run begins.
    pub notice: Option<String>,
    /// The files of earlier runs, some of which are deleted once this run has ended.
    pub old_files: Option<OldFiles>,
    pub(crate) before: EarlierWork,
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
    /// Writing the output would destroy the state.
    #[error("crawl.output (--output): {} is a file of the state; choose another name", path.display())]
    Collision {
        /// The file.
        path: PathBuf,
    },
}

impl StartError {
    /// Whether the same may work later, without a correction.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::State(error) => error.may_pass(),
            Self::Output(error) => error.may_pass(),
            Self::Collision { .. } => false,
        }
    }
}

/// How long a run waits for a reader of the FIFO that it writes to.
const READER_WAIT: Duration = Duration::from_secs(60);
/// How often it checks for a reader. The system has no event for that.
const READER_LOOK: Duration = Duration::from_millis(100);

impl PreparedRun {
    /// Prepares a run without a state.
    ///
    /// # Errors
    /// If the output cannot be opened.
    pub fn forgetful(plan: &RunPlan) -> Result<Self, StartError> {
        let run_id = RunId::generate();
        let place = place(plan, run_id, Timestamp::now());
        Ok(Self {
            run_id,
            output: open(plan, place.as_deref())?,
            state: None,
            journal: None,
            detector: None,
            notice: None,
            old_files: None,
            before: EarlierWork::default(),
        })
    }

    /// Prepares the run of a plan. If the state has a run that can be resumed, it is that run,
    /// unless `fresh` asks for a new one.
    ///
    /// # Errors
    /// If the state cannot be used, or the output cannot be opened. No call to AWS has been made
    /// then.
    pub fn new(plan: &RunPlan, fresh: bool) -> Result<Self, StartError> {
        match open_state(plan)? {
            Some((settings, state)) => Self::with_state(plan, settings, &state, fresh),
            None => Self::forgetful(plan),
        }
    }

    /// Like [`PreparedRun::new`], but if the output is a FIFO without a reader, waits a while for
    /// one.
    ///
    /// # Errors
    /// As [`PreparedRun::new`]; [`SinkError::NoReader`] if no reader has come.
    pub async fn when_read(plan: &RunPlan, fresh: bool) -> Result<Self, StartError> {
        let state = open_state(plan)?;
        let begin = || match &state {
            Some((settings, state)) => Self::with_state(plan, settings, state, fresh),
            None => Self::forgetful(plan),
        };
        let deadline = Instant::now() + READER_WAIT;
        let mut waits = false;
        loop {
            match begin() {
                Err(StartError::Output(error @ SinkError::NoReader { .. })) if Instant::now() < deadline => {
                    if !std::mem::replace(&mut waits, true) {
                        tracing::warn!("{}; waiting for a reader", dynacrawl_model::Escaped(&error.to_string()));
                    }
                    tokio::time::sleep(READER_LOOK).await;
                }
                begun => return begun,
            }
        }
    }

    /// Like [`PreparedRun::new`], with a state that is already open.
    ///
    /// # Errors
    /// As [`PreparedRun::new`].
    pub fn with_state(
        plan: &RunPlan,
        settings: &StateSettings,
        state: &SharedState,
        fresh: bool,
    ) -> Result<Self, StartError> {
        let mut notice = None;
        let unfinished = opened(state).unfinished().unwrap_or_else(|error| {
            notice = Some(format!("beginning anew: the run before cannot be read ({error})\n"));
            None
        });
        if let Some(run) = &unfinished {
            let why = match may_resume(run, plan, settings, fresh) {
                Ok(before) => match reopen(plan, run, settings) {
                    Ok(output) => {
                        outbox::register(&plan.settings, state, settings)?;
                        notify(plan, state)?;
                        let detector = detector(plan, settings, run.run_id, &run.accepted)?;
                        let resumed = Self::resumed(run, before, output, state.clone(), detector);
                        return Ok(Self { old_files: OldFiles::new(plan, state), ..resumed });
                    }
                    Err(StartError::Output(gone @ SinkError::NotThere { .. })) => gone.to_string(),
                    Err(error) => return Err(error),
                },
                Err(why) => why,
            };
            notice = Some(new_run_notice(run, &why));
        }
        let (run_id, started_at) = (RunId::generate(), Timestamp::now());
        let place = place(plan, run_id, started_at);
        spare_the_state(place.as_deref(), settings)?;
        // The output is opened before the state changes: a run that cannot write yet may begin
        // later.
        let output = open(plan, place.as_deref())?;
        outbox::register(&plan.settings, state, settings)?;
        if let Some(run) = &unfinished {
            if run.is_replaced && run.output != "-" {
                old_files::discard(Path::new(&run.output), run.run_id.as_str());
            } else {
                // Records of any other output than a file that is replaced at the end have been
                // delivered. If they cannot be settled, the new run reports the changes again; that
                // must not keep dynacrawl from starting.
                if let Err(error) = opened(state).settle_abandoned(run.run_id, Timestamp::now()) {
                    tracing::error!(run = %run.run_id, %error, "the changes of the abandoned run cannot be settled");
                }
            }
        }
        let new = NewRun {
            run_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_digest: plan.digest().to_owned(),
            started_at,
            output: place.as_ref().map_or("-".to_owned(), |path| path.display().to_string()),
            output_template: plan.settings.crawl.output.template().to_owned(),
            output_format: OUTPUT_FORMAT,
            keeps_files: plan.settings.crawl.keep_files > 0,
            keep: settings.keep,
            schedule: plan.request.schedule.clone(),
            only: plan.request.targets.clone(),
            accepted: plan.request.accepted.words(),
            is_replaced: place.as_deref().is_some_and(Output::replaces),
        };
        let begun = notify(plan, state).and_then(|()| opened(state).begin(&new));
        if let Err(error) = begun {
            // No row of the state names the file, so no run would delete it later.
            place.iter().for_each(|path| old_files::delete_empty(path));
            return Err(error.into());
        }
        let detector = Some(detector(plan, settings, run_id, &[])?);
        let journal = Some(Journal::new(state.clone(), run_id, 0, Duration::ZERO));
        let old_files = OldFiles::new(plan, state);
        let state = Some(state.clone());
        Ok(Self { run_id, output, state, journal, detector, notice, old_files, before: EarlierWork::default() })
    }

    fn resumed(run: &Unfinished, before: EarlierWork, output: Output, state: SharedState, detector: Detector) -> Self {
        let notice = format!(
            "resuming run {}: {} scopes have ended, {} continue{}\n",
            run.run_id,
            before.ended.len(),
            before.under_way.len(),
            if before.under_way.len() == 1 { "s" } else { "" }
        );
        let before = EarlierWork { output_has_begun: output.start() > 0, ..before };
        let journal = Some(Journal::new(state.clone(), run.run_id, run.output_lines, before.active));
        Self {
            run_id: run.run_id,
            output,
            state: Some(state),
            journal,
            detector: Some(detector),
            notice: Some(notice),
            old_files: None,
            before,
        }
    }
}

fn detector(
    plan: &RunPlan,
    settings: &StateSettings,
    run_id: RunId,
    before: &[String],
) -> Result<Detector, StateError> {
    let mut accepted = plan.request.accepted.clone();
    // What a person accepted for a run holds until its end, even after a kill.
    accepted.extend(Accepted::of_words(before));
    Ok(Detector::new(Reader::open(&settings.path)?, run_id, plan.settings.changes.clone(), accepted))
}

/// The earlier work of an unfinished run, or why the run cannot be resumed.
fn may_resume(run: &Unfinished, plan: &RunPlan, settings: &StateSettings, fresh: bool) -> Result<EarlierWork, String> {
    if fresh {
        return Err("asked for by --fresh".to_owned());
    }
    if run.version != env!("CARGO_PKG_VERSION") {
        return Err(format!("dynacrawl {} started it", dynacrawl_model::Escaped(&run.version)));
    }
    // Before the digest, which an upgrade may change, too.
    if run.output_format != OUTPUT_FORMAT {
        return Err("its records have another format".to_owned());
    }
    if run.config_digest != plan.digest() {
        return Err("the configuration has changed".to_owned());
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
    if run.output_template != plan.settings.crawl.output.template() {
        return Err("the output has changed".to_owned());
    }
    before(run).ok_or_else(|| "its progress in the state cannot be read".to_owned())
}

fn new_run_notice(run: &Unfinished, why: &str) -> String {
    format!("starting a new run instead of resuming run {}: {why}\n", run.run_id)
}

fn before(run: &Unfinished) -> Option<EarlierWork> {
    let mut before =
        EarlierWork { resumed: true, active: Duration::from_millis(run.active_ms), ..EarlierWork::default() };
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
            // The state does not keep the account.
            before.known.unsure.insert(None);
            before.known.failed.insert(row.target.clone());
        }
    }
    Some(before)
}

/// Opens the state that runs of a configuration use. A dry run describes nothing, so it needs no
/// state.
fn open_state(plan: &RunPlan) -> Result<Option<(&StateSettings, SharedState)>, StateError> {
    let Some(settings) = plan.settings.state.as_ref().filter(|_| !plan.settings.crawl.dry_run) else { return Ok(None) };
    let state = State::open_for(&settings.path, settings.purpose)?;
    Ok(Some((settings, Arc::new(Mutex::new(state)))))
}

/// The path of a new run's output; `None` if it is not a file.
fn place(plan: &RunPlan, run_id: RunId, started_at: Timestamp) -> Option<PathBuf> {
    match &plan.settings.crawl.output {
        Destination::Stdout | Destination::Nowhere => None,
        Destination::File(path) => Some(path.resolve(run_id, started_at, plan.request.schedule.as_deref())),
    }
}

/// Refuses an output that is a file of the state.
fn spare_the_state(place: Option<&Path>, settings: &StateSettings) -> Result<(), StartError> {
    match place.and_then(|path| collision(path, &settings.path)) {
        Some(path) => Err(StartError::Collision { path }),
        None => Ok(()),
    }
}

fn open(plan: &RunPlan, place: Option<&Path>) -> Result<Output, SinkError> {
    match place {
        Some(place) => Output::file(place),
        None => open_stream(plan),
    }
}

/// Opens the output that is not a file.
fn open_stream(plan: &RunPlan) -> Result<Output, SinkError> {
    match plan.settings.crawl.output {
        Destination::Nowhere => Output::nowhere(),
        _ => Output::stdout(),
    }
}

/// Opens the output of an earlier process's run at the path where that process wrote it.
fn reopen(plan: &RunPlan, run: &Unfinished, settings: &StateSettings) -> Result<Output, StartError> {
    if run.output == "-" {
        return Ok(open_stream(plan)?);
    }
    let path = Path::new(&run.output);
    spare_the_state(Some(path), settings)?;
    Ok(Output::resume(path, run.output_offset, run.run_id.as_str())?)
}

/// Warns, once for a state that an older version has used, that `emit` has another default now.
fn notify(plan: &RunPlan, state: &SharedState) -> Result<(), StateError> {
    if !plan.settings.changes.emit_is_given && opened(state).take_emit_notice()? {
        tracing::warn!(
            "without changes.emit (--emit), only tables are written now, also with a state; earlier versions wrote changes as \
             well. The state has them in any case: see `dynacrawl changes`. To write them as before, set it to \"both\", and put \
             {{run_id}} into the name of an output file"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dynacrawl_state::StateError;

    use super::StartError;

    #[test]
    fn only_a_busy_state_may_pass_by_itself() {
        let path = std::path::PathBuf::from("x");
        assert!(!StartError::Collision { path: path.clone() }.may_pass());
        assert!(!StartError::State(StateError::Demo { path: path.clone() }).may_pass());
        assert!(StartError::State(StateError::Busy { path }).may_pass());
    }
}

//! Plays a plan: crawl after crawl, each by one process, or by several of which all but the last
//! are killed or interrupted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_engine::{PreparedRun, Progress, RunPlan, RunReport, StartError, crawl_to_output};
use dynacrawl_sim::{
    Account, Effect, Estate, InProcess, Listing, Options, Organization, OrganizationalUnit, Role, Tables,
};
use dynacrawl_state::StateError;
use dynacrawl_testing::inside::{HUB, config, plan_with};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::faults::Kind;
use super::oracle::Oracle;
use super::plan::{Access, Act, CrawlPlan, Destination, End, Plan};
use super::truth::{Truth, description, table_name};

/// More checks than a crawl of so small an estate takes, whatever goes wrong in it.
const MOST_LOOKS: u32 = 1_440;
/// How often a running process is checked.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many times a process checks whether a killed one has released its files.
const LOOKS: usize = 1_000_000;

/// The facts about a run, over all its processes.
#[derive(Debug)]
pub(super) struct RunFacts {
    pub(super) began: Instant,
    pub(super) processes: u32,
    pub(super) kinds: BTreeSet<String>,
    /// The names that listings left out, as patterns.
    pub(super) left_out: BTreeSet<String>,
}

/// A crawl that has ended by itself.
pub(super) struct Ended<'a> {
    pub(super) plan: &'a CrawlPlan,
    pub(super) run_id: String,
    pub(super) report: RunReport,
    pub(super) ended: Instant,
    /// What it wrote, if that can be read.
    pub(super) records: Option<Vec<Value>>,
}

/// Plays a plan. The error says what is wrong.
pub(super) async fn play(plan: &Plan) -> Result<(), String> {
    let simulator = InProcess::new(estate(plan), &options(plan));
    let directory = directory();
    let mut truth = Truth::new(&simulator, plan);
    let mut runs = BTreeMap::new();
    let oracle = Oracle { plan, state: directory.path().join("state.db") };
    for (number, crawl) in plan.crawls.iter().enumerate() {
        for act in &crawl.before {
            truth.act(*act);
            sleep(Duration::from_millis(10)).await;
        }
        simulator.clear_faults();
        for trouble in &crawl.troubles {
            simulator.add_fault(trouble.rule.clone());
        }
        let settings = settings(plan, crawl, directory.path());
        let ended = one_crawl(plan, crawl, &simulator, &settings, directory.path(), &mut truth, &mut runs).await;
        let checked = ended.and_then(|ended| oracle.check(&ended, &truth, &runs));
        checked.map_err(|broken| format!("crawl {}: {broken}", number + 1))?;
        sleep(Duration::from_secs(60)).await;
    }
    Ok(())
}

async fn one_crawl<'a>(
    plan: &Plan,
    crawl: &'a CrawlPlan,
    simulator: &InProcess,
    settings: &str,
    directory: &Path,
    truth: &mut Truth,
    runs: &mut BTreeMap<String, RunFacts>,
) -> Result<Ended<'a>, String> {
    let began = Instant::now();
    let mut during: VecDeque<(Duration, Act)> = crawl.during.iter().copied().collect();
    let mut ends = crawl.ends.iter();
    let mut fresh = crawl.fresh;
    loop {
        let end = ends.next();
        let run_plan = plan_with(simulator, config(settings), |target| key_of(plan, &target.name));
        let start = start(&run_plan, fresh)?;
        // Only the first process starts a new run: the others resume it.
        fresh = false;
        let run_id = start.run_id.to_string();
        let facts = runs.entry(run_id.clone()).or_insert_with(|| RunFacts {
            began: Instant::now(),
            processes: 0,
            kinds: BTreeSet::new(),
            left_out: BTreeSet::new(),
        });
        facts.processes += 1;
        for trouble in &crawl.troubles {
            facts.kinds.insert(format!("{:?}", trouble.kind));
            if let Effect::List(Listing::LeaveOut(patterns)) = &trouble.rule.effect {
                facts.left_out.extend(patterns.iter().cloned());
            }
        }
        let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
        let process = Box::pin(crawl_to_output(&run_plan, start, &stop, &progress));
        let acts = async {
            while let Some((at, act)) = during.front().copied() {
                tokio::time::sleep_until(began + at).await;
                truth.act(act);
                during.pop_front();
            }
            std::future::pending::<()>().await;
        };
        let killed = async {
            match end {
                Some(End::Killed(after)) => sleep(*after).await,
                Some(End::Interrupted(after)) => {
                    sleep(*after).await;
                    stop.cancel();
                    std::future::pending::<()>().await;
                }
                None => std::future::pending::<()>().await,
            }
        };
        let done = tokio::select! {
            biased;
            done = process => Some(done),
            () = too_long() => return Err(format!("the crawl has not ended after {:?}", LOOK_EVERY * MOST_LOOKS)),
            () = killed => None,
            () = acts => None,
        };
        // A killed process leaves tasks behind, which end when they are polled.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
        let interrupted = stop.is_cancelled();
        let Some((report, written)) = done else { continue };
        if interrupted && report.outcome == dynacrawl_model::RunOutcome::Cancelled {
            continue;
        }
        match crawl.destination {
            Destination::FullDisk => {}
            _ => drop(written.map_err(|error| format!("the output fails: {error:?}"))?),
        }
        let records = (crawl.destination == Destination::File).then(|| records(directory, &run_id)).transpose()?;
        return Ok(Ended { plan: crawl, run_id, report, ended: Instant::now(), records });
    }
}

/// Ends when a process has taken too long. Simulated time jumps to the next timer even while only
/// the thread that writes the output is busy, so that thread gets some real time now and then.
async fn too_long() {
    for _ in 0..MOST_LOOKS {
        sleep(LOOK_EVERY).await;
        let real_time = tokio::task::spawn_blocking(|| std::thread::park_timeout(Duration::from_millis(1)));
        drop(real_time.await);
    }
}

/// Begins a run as soon as the previous process has released its files.
fn start(plan: &RunPlan, fresh: bool) -> Result<PreparedRun, String> {
    for _ in 0..LOOKS {
        match PreparedRun::new(plan, fresh) {
            Err(
                StartError::State(StateError::Busy { .. })
                | StartError::Output(dynacrawl_sinks::SinkError::Busy { .. }),
            ) => {
                std::thread::yield_now();
            }
            started => return started.map_err(|error| format!("the run does not begin: {error:?}")),
        }
    }
    Err("the previous process never releases its files".to_owned())
}

/// The lines of a run, from the file or its partial file.
fn records(directory: &Path, run_id: &str) -> Result<Vec<Value>, String> {
    let mark = format!("\"run_id\":\"{run_id}\"");
    let names = ["out.jsonl", "out.jsonl.partial"];
    let texts = names.iter().filter_map(|name| std::fs::read_to_string(directory.join(name)).ok());
    let text = texts.into_iter().find(|text| text.lines().next().is_some_and(|line| line.contains(&mark)));
    let text = text.ok_or_else(|| format!("no file has the records of {run_id}"))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
}

/// A directory in memory, if there is one: the state is synced to the disk four times a second.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory")
}

fn options(plan: &Plan) -> Options {
    Options {
        verify_signatures: false,
        latency: Duration::from_millis(20),
        list_page_size: Some(plan.page),
        ..Options::default()
    }
}

fn estate(plan: &Plan) -> Estate {
    let mut accounts: BTreeMap<&str, Account> = plan
        .accounts
        .iter()
        .map(|account| (*account, Account::new(*account).role(Role::new("Reader").trusts(HUB))))
        .collect();
    for (id, region, tables) in plan.scopes() {
        let name = |number| table_name(number);
        let tables = (0..tables).fold(Tables::new(), |tables, number| {
            tables.table(name(number), &description(id, region, &name(number)).build())
        });
        accounts.entry(id).and_modify(|account| *account = account.clone().region(region, tables));
    }
    let hub = plan.regions.iter().fold(Account::new(HUB), |hub, region| hub.region(*region, Tables::new()));
    let members = plan.accounts.iter().fold(OrganizationalUnit::new("r-main"), |root, id| root.account(*id));
    let organization = Organization::new(HUB).root(members);
    Estate::new(accounts.into_values().chain([hub.region("us-east-1", Tables::new())])).organization(organization)
}

/// The keys of a target: those of the account in its name, or the hub's.
fn key_of(plan: &Plan, target: &str) -> Account {
    Account::new(if matches!(plan.access, Access::Keys { .. }) { target } else { HUB })
}

fn settings(plan: &Plan, crawl: &CrawlPlan, directory: &Path) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let output = match crawl.destination {
        Destination::File => path("out.jsonl"),
        Destination::Device => "/dev/null".to_owned(),
        Destination::FullDisk => "/dev/full".to_owned(),
    };
    let regions = if plan.all_regions { "\"all\"".to_owned() } else { format!("{:?}", plan.regions) };
    let exclude = if crawl.filtered { "exclude = [\"b-.*\"]\n" } else { "" };
    let accepted: Vec<String> = match crawl.accepts {
        true => plan.scopes().map(|(account, region, _)| format!("{account}/{region}")).collect(),
        false => Vec::new(),
    };
    let mut text = format!(
        "[state]\npath = \"{}\"\n[changes]\nemit = \"{}\"\naccept_removals = {accepted:?}\n[crawl]\noutput = \"{output}\"\n\
         concurrency = {}\nmax_attempts = {}\npatience = \"5s\"\n{exclude}",
        path("state.db"),
        plan.emit,
        plan.concurrency,
        plan.max_attempts
    );
    let lost = crawl.troubles.iter().any(|trouble| trouble.kind == Kind::LostTargets) && plan.accounts.len() > 1;
    let accounts = &plan.accounts[usize::from(lost)..];
    let role = "assume_role = [{ arn = \"arn:aws:iam::{account}:role/Reader\" }]\n";
    match plan.access {
        Access::Keys { named } => {
            for account in accounts {
                text += &format!("[[target]]\nname = \"{account}\"\nregions = {regions}\n");
                if named {
                    text += &format!("account_id = \"{account}\"\n");
                }
            }
        }
        Access::Roles => {
            text += &format!("[[target]]\nname = \"all\"\nregions = {regions}\naccounts = {accounts:?}\n{role}");
        }
        Access::Organization => {
            let excluded: Vec<&str> =
                plan.accounts.iter().copied().filter(|id| !accounts.contains(id)).chain([HUB]).collect();
            text += &format!(
                "[[target]]\nname = \"all\"\nregions = {regions}\norganizations = true\nexclude_accounts = {excluded:?}\n{role}"
            );
        }
    }
    text
}

impl RunFacts {
    /// Whether the run had one of these kinds of trouble.
    pub(super) fn had(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.kinds.contains(&format!("{kind:?}")))
    }
}

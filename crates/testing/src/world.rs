//! An estate that changes between crawls with a state, on simulated time.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl::config::Config;
use dynacrawl_engine::{PreparedRun, Progress, RunPlan, RunReport, crawl_to_output};
use dynacrawl_model::ChangeKind;
use dynacrawl_sim::{Account, Estate, InProcess, Options, Tables};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::inside::{HUB, config, plan_of};

/// The Region of most tests.
pub const REGION: &str = "us-east-1";
/// Another Region.
pub const OTHER_REGION: &str = "eu-west-1";

/// An estate, and the state that crawls keep of it.
pub struct World {
    /// The simulator.
    pub simulator: InProcess,
    /// Where the state and the output are.
    pub directory: TempDir,
}

/// What a crawl wrote.
pub struct Crawl {
    /// The report of the run.
    pub report: RunReport,
    /// The lines of its output.
    pub records: Vec<Value>,
}

impl Crawl {
    /// The records of a type.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|record| record["type"] == kind).collect()
    }

    /// The tables that records of a kind are about, sorted.
    pub fn names(&self, kind: &str) -> Vec<&str> {
        let name = |record: &'_ &Value| {
            let record: &Value = self.records.iter().find(|one| std::ptr::eq(*one, *record)).expect("one of them");
            record["table_name"].as_str().or_else(|| record["table"]["name"].as_str()).expect("a name")
        };
        let mut names: Vec<_> = self.of(kind).iter().map(name).collect();
        names.sort_unstable();
        names
    }

    /// How many changes there are of all kinds.
    pub fn changes(&self) -> usize {
        ChangeKind::ALL.iter().map(|kind| self.of(kind.record().as_str()).len()).sum()
    }

    /// The last record of the only scope.
    pub fn scope(&self) -> &Value {
        let [scope] = self.of("scope_completed")[..] else { panic!("one scope") };
        scope
    }

    /// The first problem with a code, in all scopes.
    pub fn problem(&self, code: &str) -> &Value {
        let problems =
            self.of("scope_completed").into_iter().flat_map(|scope| scope["problems"].as_array().expect("a list"));
        problems.into_iter().find(|problem| problem["code"] == code).unwrap_or_else(|| panic!("no {code}"))
    }
}

impl World {
    /// The hub's account with `tables` tables in a Region.
    pub fn new(tables: u64) -> Self {
        Self::of([Account::new(HUB).region(REGION, Tables::new().generated(tables))])
    }

    /// An estate of these accounts.
    pub fn of(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self::estate(Estate::new(accounts))
    }

    /// An estate that has not been crawled.
    pub fn estate(estate: Estate) -> Self {
        let options = Options { verify_signatures: false, latency: Duration::from_millis(20), ..Options::default() };
        let directory = tempfile::tempdir().expect("a directory");
        Self { simulator: InProcess::new(estate, &options), directory }
    }

    /// A file beside the state.
    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// A configuration with a state, an output, and these settings. If they have no target, the hub
    /// is one.
    pub fn config(&self, settings: &str) -> Config {
        let target = if settings.contains("[[target]]") {
            String::new()
        } else {
            format!("[[target]]\nname = \"hub\"\nregions = [\"{REGION}\"]\n")
        };
        let (state, output) = (self.path("state.db"), self.path("out.jsonl"));
        // Most tests check both tables and changes. A test that does not sets `emit`.
        let settings = if settings.contains("emit = ") {
            settings.to_owned()
        } else if settings.contains("[changes]\n") {
            settings.replace("[changes]\n", "[changes]\nemit = \"both\"\n")
        } else {
            format!("{settings}\n[changes]\nemit = \"both\"\n")
        };
        let crawl = settings.strip_prefix("[crawl]\n").map_or(settings.to_owned(), str::to_owned);
        config(&format!("[state]\npath = \"{state}\"\n[crawl]\noutput = \"{output}\"\n{crawl}\n{target}"))
    }

    /// A crawl of the hub.
    pub async fn crawl(&self) -> Crawl {
        self.crawl_with("").await
    }

    /// A crawl with these settings.
    pub async fn crawl_with(&self, settings: &str) -> Crawl {
        self.crawl_as(self.config(settings)).await
    }

    /// A crawl by a configuration.
    pub async fn crawl_as(&self, config: Config) -> Crawl {
        self.crawl_plan(plan_of(&self.simulator, config)).await
    }

    /// A crawl by a plan.
    pub async fn crawl_plan(&self, plan: RunPlan) -> Crawl {
        let start = PreparedRun::new(&plan, false).expect("a start");
        let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
        let (report, written) = crawl_to_output(&plan, start, &stop, &progress).await;
        written.expect("written");
        let text = std::fs::read_to_string(self.path("out.jsonl")).unwrap_or_else(|_| panic!("no output: {report:?}"));
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        Crawl { report, records }
    }

    /// A crawl that does not get a single page, so that its output is not put in place.
    pub async fn crawl_to_nothing(&self, settings: &str) -> RunReport {
        let plan = plan_of(&self.simulator, self.config(settings));
        let start = PreparedRun::new(&plan, false).expect("a start");
        let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
        crawl_to_output(&plan, start, &stop, &progress).await.0
    }

    /// A crawl whose process is killed after a while.
    pub async fn crawl_until_killed(&self, settings: &str, after: Duration) {
        let killed = tokio::time::timeout(after, self.crawl_to_nothing(settings)).await;
        assert!(killed.is_err(), "it has ended before");
    }

    /// Removes generated tables of the hub.
    pub fn remove(&self, numbers: Range<u64>) {
        for number in numbers {
            let there = self.simulator.remove_table(HUB, REGION, &table(number)).expect("a scope");
            assert!(there, "{number}");
        }
    }

    /// Changes the description of one of the hub's tables.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        assert!(self.simulator.update_table(HUB, REGION, name, edit).expect("a scope"), "{name}");
    }
}

/// The name of a generated table.
pub fn table(number: u64) -> String {
    format!("table-{number:06}")
}

/// Added, changed, recreated, removed, unselected and held tables.
pub fn counts(crawl: &Crawl) -> [u64; 6] {
    let counts = crawl.report.changes.expect("with a state");
    [counts.added, counts.changed, counts.recreated, counts.removed, counts.unselected, counts.held]
}

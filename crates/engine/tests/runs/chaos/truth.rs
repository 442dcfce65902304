//! What is true at each moment of simulated time: which tables exist, and which accounts the keys
//! belong to.

use std::collections::{BTreeMap, BTreeSet};

use dynacrawl_sim::{Account, InProcess, TableBuilder};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::plan::{Act, Plan};

/// An account, a Region and a table's name.
pub(super) type Key = (String, String, String);

/// A table as it was for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) id: Option<String>,
    pub(super) fingerprint: String,
}

/// From when to when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub(super) Instant, pub(super) Instant);

/// Values over time.
type Course<T> = Vec<(Instant, T)>;

/// The history of an estate.
pub(super) struct Truth {
    simulator: InProcess,
    tables: BTreeMap<Key, Course<Option<Version>>>,
    /// The accounts that keys belong to, by the account they were made for; `None` for a deleted
    /// key.
    owners: BTreeMap<String, Course<Option<String>>>,
    suspended: BTreeMap<String, Course<bool>>,
    scopes: Vec<(String, String)>,
    made: u64,
}

impl Truth {
    pub(super) fn new(simulator: &InProcess, plan: &Plan) -> Self {
        let now = Instant::now();
        let mut truth = Self {
            simulator: simulator.clone(),
            tables: BTreeMap::new(),
            owners: BTreeMap::new(),
            suspended: BTreeMap::new(),
            scopes: plan.scopes().map(|(account, region, _)| (account.to_owned(), region.to_owned())).collect(),
            made: 0,
        };
        for account in &plan.accounts {
            truth.owners.insert((*account).to_owned(), vec![(now, Some((*account).to_owned()))]);
            truth.suspended.insert((*account).to_owned(), vec![(now, false)]);
        }
        for (account, region, _) in plan.scopes() {
            for name in simulator.table_names(account, region) {
                truth.look(account, region, &name);
            }
        }
        truth
    }

    /// Carries out an act.
    pub(super) fn act(&mut self, act: Act) {
        let simulator = self.simulator.clone();
        match act {
            Act::ExpireSessions => simulator.expire_sessions(),
            Act::Suspend(pick) => self.set_suspended(pick, true),
            Act::Reactivate(pick) => self.set_suspended(pick, false),
            Act::MoveKey(pick) => {
                let accounts: Vec<String> = self.owners.keys().cloned().collect();
                let of = &accounts[index(pick, accounts.len())];
                let to = &accounts[index(pick >> 8, accounts.len())];
                if simulator.move_key(&Account::new(of).access_key_id, to).is_ok() {
                    self.own(of, Some(to));
                }
            }
            Act::DeleteKey(pick) => {
                let of = self.account(pick);
                if simulator.delete_key(&Account::new(&of).access_key_id).is_ok() {
                    self.own(&of, None);
                }
            }
            Act::Create(pick) => self.create(pick),
            Act::Remove(pick) => self.change(pick, |account, region, name| {
                simulator.remove_table(account, region, name).expect("a scope");
            }),
            Act::Recreate(pick) => self.change(pick, |account, region, name| {
                simulator.recreate_table(account, region, name).expect("a scope");
            }),
            Act::Update(pick) => self.change(pick, |account, region, name| {
                let edit = |table: &mut Value| {
                    let protected = table["DeletionProtectionEnabled"].as_bool().unwrap_or_default();
                    table["DeletionProtectionEnabled"] = (!protected).into();
                };
                simulator.update_table(account, region, name, edit).expect("a scope");
            }),
            Act::Drift(pick) => self.change(pick, |account, region, name| {
                simulator.set_items(account, region, name, pick % 10_000).expect("a scope");
            }),
        }
    }

    fn account(&self, pick: u64) -> String {
        let accounts: Vec<&String> = self.owners.keys().collect();
        accounts[index(pick, accounts.len())].clone()
    }

    fn own(&mut self, of: &str, to: Option<&str>) {
        self.owners.entry(of.to_owned()).or_default().push((Instant::now(), to.map(str::to_owned)));
    }

    fn set_suspended(&mut self, pick: u64, suspended: bool) {
        let account = self.account(pick);
        let set = if suspended {
            self.simulator.suspend_account(&account)
        } else {
            self.simulator.reactivate_account(&account)
        };
        set.expect("an account");
        self.suspended.entry(account).or_default().push((Instant::now(), suspended));
    }

    fn change(&mut self, pick: u64, change: impl FnOnce(&str, &str, &str)) {
        let (account, region) = self.scopes[index(pick, self.scopes.len())].clone();
        let names = self.simulator.table_names(&account, &region);
        if names.is_empty() {
            return;
        }
        let name = &names[index(pick >> 16, names.len())];
        change(&account, &region, name);
        self.look(&account, &region, name);
    }

    fn create(&mut self, pick: u64) {
        let (account, region) = self.scopes[index(pick, self.scopes.len())].clone();
        let name = table_name(pick >> 16 & 63);
        if self.simulator.describe_json(&account, &region, &name).is_some() {
            return;
        }
        self.made += 1;
        let id = format!("00000000-0000-4000-a000-{:012}", self.made);
        let table = description(&account, &region, &name);
        let table =
            table.field("TableId", json!(id)).field("CreationDateTime", json!(1_750_000_000 + self.made)).build();
        self.simulator.put_table(&account, &region, &name, &table).expect("a scope");
        self.look(&account, &region, &name);
    }

    /// Takes note of a table as it is now.
    fn look(&mut self, account: &str, region: &str, name: &str) {
        let version = self.simulator.describe_json(account, region, name).map(|table| {
            let body = json!({ "Table": table }).to_string();
            let table = dynacrawl_normalizer::decode(body.as_bytes()).expect("a description").table;
            Version { id: table.id.clone(), fingerprint: dynacrawl_normalizer::fingerprint(&table) }
        });
        let key = (account.to_owned(), region.to_owned(), name.to_owned());
        self.tables.entry(key).or_default().push((Instant::now(), version));
    }

    /// All versions of a table in a span of time; `None` for a time without it.
    pub(super) fn versions(&self, key: &Key, span: Span) -> Vec<Option<&Version>> {
        let Some(course) = self.tables.get(key) else { return vec![None] };
        let versions = within(course, span).into_iter().map(Option::as_ref);
        // It did not exist before its first entry.
        let before = course.first().is_none_or(|(from, _)| *from > span.0).then_some(None);
        before.into_iter().chain(versions).collect()
    }

    /// Whether a table had an id at some time up to a moment.
    pub(super) fn has_had_id(&self, key: &Key, id: Option<&str>, until: Instant) -> bool {
        let course = self.tables.get(key).into_iter().flatten().filter(|(from, _)| *from <= until);
        course.filter_map(|(_, version)| version.as_ref()).any(|version| version.id.as_deref() == id)
    }

    /// All tables that ever existed in a scope.
    pub(super) fn keys(&self, account: &str, region: &str) -> impl Iterator<Item = &Key> {
        self.tables.keys().filter(move |(of, at, _)| of == account && at == region)
    }

    /// The accounts that the key of an account's user belonged to.
    pub(super) fn owners(&self, of: &str, span: Span) -> BTreeSet<&str> {
        let course = self.owners.get(of).map(|course| within(course, span)).unwrap_or_default();
        course.into_iter().filter_map(Option::as_deref).collect()
    }

    pub(super) fn was_suspended(&self, account: &str, span: Span) -> bool {
        self.suspended.get(account).is_some_and(|course| within(course, span).into_iter().any(|suspended| *suspended))
    }
}

/// What was true at some time of a span.
fn within<T>(course: &Course<T>, span: Span) -> Vec<&T> {
    let ends = course.iter().skip(1).map(|(from, _)| Some(*from)).chain([None]);
    let lives = course.iter().zip(ends);
    lives
        .filter(|((from, _), to)| *from <= span.1 && to.is_none_or(|to| to >= span.0))
        .map(|((_, value), _)| value)
        .collect()
}

fn index(pick: u64, length: usize) -> usize {
    usize::try_from(pick % length.max(1) as u64).unwrap_or_default()
}

/// The name of the n-th table of a scope.
pub(super) fn table_name(number: u64) -> String {
    format!("{}-{:06}", ["a", "b", "c"][index(number, 3)], number / 3)
}

pub(super) fn description(account: &str, region: &str, name: &str) -> TableBuilder {
    TableBuilder::new(account, region, name).hash("id", "S")
}

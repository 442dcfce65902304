//! Estates that change at random, for soak tests.

mod edits;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::edits::{Edit, Moment};
use crate::control::Control;
use crate::derived::derived_uuid;
use crate::estate::TableBuilder;
use crate::unknown::UnknownScope;

/// The share of a scope's tables that one step removes at most, by default.
const REMOVED: f64 = 0.2;

/// Changes an estate at random, with the methods of [`Control`]: it creates, removes, recreates and
/// updates tables (billing mode, global secondary indexes, streams, deletion protection), and their
/// item counts and provisioned throughput drift. Its changes depend only on its seed, its earlier
/// changes and the tables that it finds.
#[derive(Clone, Debug)]
pub struct Evolution {
    seed: u64,
    rng: fastrand::Rng,
    removed: f64,
    /// Changes so far. Names, ids and times are derived from it.
    changes: u64,
    /// Names of removed tables, by account and Region.
    gone: BTreeMap<(String, String), Vec<String>>,
}

impl Evolution {
    /// An evolution that removes at most a fifth of a scope's tables in one step.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: fastrand::Rng::with_seed(seed), removed: REMOVED, changes: 0, gone: BTreeMap::new() }
    }

    /// Removes at most this share of a scope's tables, rounded down, in one step: 0 for none, 1 for all.
    #[must_use]
    pub fn removing_at_most(mut self, share: f64) -> Self {
        self.removed = share.clamp(0.0, 1.0);
        self
    }

    /// Makes this many changes to tables of these scopes, given by account id and Region. No table
    /// is changed twice in one step, so each change except drift is visible after the step, and is
    /// one entry of [`Control::log`]. If no table is left to change, a table is created. Some new
    /// tables have the name of one that an earlier step removed.
    ///
    /// # Errors
    /// If the estate has no such scope. Changes made until then stay.
    pub fn step<S: AsRef<str>>(
        &mut self,
        control: &Control,
        scopes: &[(S, S)],
        changes: usize,
    ) -> Result<(), UnknownScope> {
        let mut pools: BTreeMap<(&str, &str), Pool> = BTreeMap::new();
        for _ in 0..changes {
            let Some((account_id, region)) = self.rng.choice(scopes) else { break };
            let (account_id, region) = (account_id.as_ref(), region.as_ref());
            let pool = pools.entry((account_id, region)).or_insert_with(|| Pool::new(control, account_id, region));
            self.change(control, account_id, region, pool)?;
        }
        for ((account_id, region), pool) in pools {
            self.gone.entry((account_id.to_owned(), region.to_owned())).or_default().extend(pool.removed);
        }
        Ok(())
    }

    fn change(
        &mut self,
        control: &Control,
        account_id: &str,
        region: &str,
        pool: &mut Pool,
    ) -> Result<(), UnknownScope> {
        self.changes += 1;
        let kind = self.rng.u32(..14);
        let picked = if kind < 2 { None } else { self.pick(control, account_id, region, pool) };
        let Some((name, table)) = picked else { return self.create(control, account_id, region) };
        let may_remove = pool.removed.len() < (pool.size as f64 * self.removed) as usize;
        match kind {
            2..=3 if may_remove => {
                control.remove_table(account_id, region, &name)?;
                pool.removed.push(name);
            }
            4 => {
                control.recreate_table(account_id, region, &name)?;
            }
            5..=7 => {
                let items = table["ItemCount"].as_u64().unwrap_or_default();
                let fewer = self.rng.bool() && items > 0;
                let count = if fewer { items / 2 } else { items + self.rng.u64(1..=1_000) };
                control.set_items(account_id, region, &name, count)?;
            }
            _ => {
                control.update_table(account_id, region, &name, self.edit(&table))?;
            }
        }
        Ok(())
    }

    /// A table that this step has not changed yet.
    fn pick(&mut self, control: &Control, account_id: &str, region: &str, pool: &mut Pool) -> Option<(String, Value)> {
        while !pool.untouched.is_empty() {
            let name = pool.untouched.swap_remove(self.rng.usize(..pool.untouched.len()));
            if let Some(table) = control.describe_json(account_id, region, &name) {
                return Some((name, table));
            }
        }
        None
    }

    /// One of the edits that a table allows.
    fn edit(&mut self, table: &Value) -> impl FnOnce(&mut Value) + use<> {
        let edits = Edit::of(table);
        let edit = self.rng.choice(edits).unwrap_or(Edit::Protection);
        let (moment, mut rng) = (Moment::after(self.changes), self.rng.fork());
        move |table| edit.apply(table, moment, &mut rng)
    }

    fn create(&mut self, control: &Control, account_id: &str, region: &str) -> Result<(), UnknownScope> {
        let partition = control.state().scope(account_id, region)?.place.partition.clone();
        let name = self.name(control, account_id, region);
        let at = Moment::after(self.changes).seconds();
        let table = TableBuilder::new(account_id, region, &name).partition(&partition).hash("id", "S");
        let table = if self.rng.bool() { table.range("at", "N") } else { table };
        let id = derived_uuid(&format!("{}/{}/{}", self.seed, self.changes, table.arn()));
        let mut table = table
            .field("TableId", json!(id))
            .field("CreationDateTime", json!(at))
            .field(
                "BillingModeSummary",
                json!({"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": at}),
            )
            .build();
        for _ in 0..self.rng.u32(..3) {
            self.edit(&table)(&mut table);
        }
        control.put_table(account_id, region, &name, &table)
    }

    /// A free name. One in four is the name of a removed table.
    fn name(&mut self, control: &Control, account_id: &str, region: &str) -> String {
        let is_free = |name: &str| control.describe_json(account_id, region, name).is_none();
        let gone = self.gone.get_mut(&(account_id.to_owned(), region.to_owned()));
        let again = if self.rng.u32(..4) == 0 { gone.and_then(Vec::pop) } else { None };
        let new = || (self.changes..).map(|number| format!("evolved-{number:06}")).find(|name| is_free(name));
        again.filter(|name| is_free(name)).or_else(new).unwrap_or_default()
    }
}

/// The tables of a scope in one step.
#[derive(Debug)]
struct Pool {
    /// How many tables there were when the step began.
    size: usize,
    untouched: Vec<String>,
    removed: Vec<String>,
}

impl Pool {
    fn new(control: &Control, account_id: &str, region: &str) -> Self {
        let untouched = control.table_names(account_id, region);
        Self { size: untouched.len(), untouched, removed: Vec::new() }
    }
}

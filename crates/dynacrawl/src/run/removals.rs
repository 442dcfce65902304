//! The end of a scope with a state: which of the known tables are gone. A table is gone only where the listing reached its last
//! page without it and DescribeTable does not find it, and where so many are gone that a fault is more likely, a person has to
//! accept it first.

use dynacrawl_client::ScopeClient;
use dynacrawl_fetcher::Fetched;
use dynacrawl_model::{FailureReason, MAX_NAMED_TABLES, Problem, TableName};
use dynacrawl_walker::Listing;
use futures_util::StreamExt;

use super::changes::{Missing, ScopeChanges};
use super::identity::Expected;
use super::scope::{ScopeTask, SinkGone};
use super::target::TargetConnection;

/// What DescribeTable says about tables that were not listed.
#[derive(Default)]
struct Confirmed {
    gone: Vec<TableName>,
    /// Nobody knows.
    unknown: Vec<TableName>,
}

impl ScopeTask {
    /// Tells which tables are gone, or why that is not known.
    pub(super) async fn removals(
        &self,
        changes: &ScopeChanges,
        connection: &TargetConnection,
        client: &ScopeClient,
    ) -> Result<(), SinkGone> {
        self.proven_by_another_scope(connection);
        // As long as nothing proves whose tables these are, none of them is gone.
        let usable = self.tracker.has_listed_all() && self.tracker.is_proven() && !self.tracker.is_duplicate();
        if !usable || self.stop.is_cancelled() || self.tracker.deserves_a_retry() {
            return Ok(());
        }
        let scope = self.tracker.scope();
        // An earlier process has seen the first pages, and what it saw has gone with it.
        if self.resumed && changes.is_known(&scope)? && !self.list_again(changes, client).await? {
            return Ok(());
        }
        let missing = changes.missing(&scope)?;
        for name in &missing.unselected {
            let rule = self.config.crawl.filter.verdict(name.as_str()).rule;
            self.tell(changes.unselected(name, rule)?).await?;
        }
        let Missing { known, told, unlisted, vanished, .. } = missing;
        let mut confirmed = self.confirm(connection, client, unlisted).await?;
        if self.stop.is_cancelled() {
            return Ok(());
        }
        confirmed.gone.extend(vanished);
        let mut settled = true;
        let mut unsure = Vec::new();
        if !confirmed.gone.is_empty()
            && let Err(why) = self.still_own(connection, client).await
        {
            let message = format!("DescribeTable does not find them, but {why}; they stay");
            self.tracker.note(naming("removal_unconfirmed", message, &confirmed.gone));
            unsure = std::mem::take(&mut confirmed.gone);
            settled = false;
        }
        let going = told + confirmed.gone.len() as u64;
        let accepted = changes.settings().accepts(&scope);
        if !accepted && changes.settings().fail_safe.holds(known, going) {
            self.tracker.held(going);
            self.tracker.note(held_back(self, known, &confirmed.gone));
            settled = false;
        } else {
            for name in confirmed.gone.drain(..) {
                self.tell(changes.removed(&name)?).await?;
            }
        }
        if !confirmed.unknown.is_empty() {
            let said = "not listed any more, and DescribeTable does not tell whether they are gone; they stay";
            self.tracker.note(naming("removal_unconfirmed", said.to_owned(), &confirmed.unknown));
            settled = false;
        }
        for name in confirmed.gone.iter().chain(&confirmed.unknown).chain(&unsure) {
            self.tell(changes.kept(name)?).await?;
        }
        let unlisted = self.tracker.unlisted();
        if !unlisted.is_empty() {
            let message =
                "ListTables leaves them out, and DescribeTable finds them: there may be more that are not listed";
            self.tracker.note(naming("unlisted", message.to_owned(), &unlisted));
            settled = false;
        }
        if settled {
            self.tracker.settle();
        }
        Ok(())
    }

    /// Whether the credentials are still those of the scope's account, or why that is not sure. Keys may have become another
    /// account's in mid-run, which does not have the tables. A table that was described just now is the witness. Without one
    /// STS is asked, and if it cannot be reached, what was proven before stays proven.
    async fn still_own(&self, connection: &TargetConnection, client: &ScopeClient) -> Result<(), String> {
        let scope = self.tracker.scope();
        if let Some(witness) = self.tracker.witness() {
            let fetcher = self.fetcher(client);
            let asked = futures_util::stream::iter([witness]);
            let mut fetched = std::pin::pin!(fetcher.describe_all(asked, self.config.crawl.concurrency));
            let expected = Expected::of(&scope, connection);
            return match fetched.next().await {
                Some(Fetched::Described(name, record)) => match expected.wrong_answer(&name, &record.table) {
                    None => Ok(()),
                    Some(why) => Err(format!("another account may have answered: {why}")),
                },
                _ => Err("it does not describe a table either that it described just now".to_owned()),
            };
        }
        if self.tracker.has_only_foreign_arns() {
            return Err("it describes only tables of another account or Region".to_owned());
        }
        match connection.ask_sts().await {
            Ok(caller) if scope.account_id.as_ref().is_none_or(|own| *own == caller.account_id) => Ok(()),
            Ok(caller) if connection.is_emulated(&caller.account_id) => Ok(()),
            Ok(caller) => Err(format!("the credentials are those of the account {} now", caller.account_id)),
            Err(failed) if failed.error.class.is_about_credentials() => {
                Err(format!("nobody can tell whose credentials they are: {failed}"))
            }
            Err(_) => Ok(()),
        }
    }

    /// Lists all names once more; `false` where the last page does not come.
    async fn list_again(&self, changes: &ScopeChanges, client: &ScopeClient) -> Result<bool, SinkGone> {
        let mut listing = Listing::new(client, None);
        while let Some(page) = listing.next_page().await {
            match page {
                Ok(page) => {
                    let filter = &self.config.crawl.filter;
                    let (selected, unselected): (Vec<_>, Vec<_>) =
                        page.into_iter().partition(|name| filter.selects(name.as_str()));
                    changes.listed(&self.tracker.scope(), &unselected, &selected)?;
                }
                Err(failed) => {
                    let said = format!("which tables are gone is not known: {}", failed.error.message);
                    let problem = Problem::new(&*failed.error.code, said);
                    self.tracker.note(Problem { operation: Some(failed.operation), ..problem });
                    return Ok(false);
                }
            }
        }
        Ok(listing.is_complete())
    }

    /// Asks DescribeTable about tables that were not listed. Those that it finds are written like any other.
    async fn confirm(
        &self,
        connection: &TargetConnection,
        client: &ScopeClient,
        unlisted: Vec<TableName>,
    ) -> Result<Confirmed, SinkGone> {
        let mut confirmed = Confirmed::default();
        let fetcher = self.fetcher(client);
        // An earlier process may have described some of them.
        let waiting = unlisted.into_iter().filter(|name| !self.tracker.has_described_unlisted(name));
        let mut waiting: std::collections::BTreeSet<_> = waiting.collect();
        let names = futures_util::stream::iter(waiting.clone());
        let mut fetched = std::pin::pin!(fetcher.describe_all(names, self.config.crawl.concurrency));
        while let Some(one) = fetched.next().await {
            match self.checked(connection, one) {
                Fetched::Described(name, record) => {
                    waiting.remove(&name);
                    self.described(&name, record, true).await?;
                    self.tracker.described_unlisted(&name);
                }
                Fetched::Failed(failed) => {
                    waiting.remove(&failed.name);
                    let gone = failed.reason == FailureReason::Vanished;
                    let into = if gone { &mut confirmed.gone } else { &mut confirmed.unknown };
                    into.push(failed.name);
                }
                Fetched::Stopped(_) => break,
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        confirmed.unknown.extend(waiting);
        Ok(confirmed)
    }
}

fn held_back(task: &ScopeTask, known: u64, gone: &[TableName]) -> Problem {
    let scope = task.tracker.scope();
    let account = scope.account_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let said = format!(
        "{} of {known} known tables are gone, which is so many that a fault is more likely; they stay until a person accepts it \
         with --accept-removals {account}/{}",
        gone.len(),
        scope.region
    );
    naming("removals_held", said, gone)
}

fn naming(code: &str, said: String, names: &[TableName]) -> Problem {
    let tables = names.iter().take(MAX_NAMED_TABLES).map(|name| name.as_str().to_owned()).collect();
    Problem { table_count: names.len() as u64, tables, ..Problem::new(code, said) }
}

//! Confirms whether tables that were not listed were deleted. A table that DescribeTable does not
//! find was deleted only if the credentials still belong to the scope's account.

use dynacrawl_fetcher::Fetched;
use dynacrawl_model::{Problem, TableName};
use dynacrawl_walker::Listing;
use futures_util::StreamExt;

use super::describe::has_vanished;
use super::identity::Expected;
use super::{ScopeWorker, Unread};
use crate::event::{Candidates, What};
use crate::ledger::is_witness;

impl ScopeWorker<'_> {
    /// Describes the candidates. Those that DescribeTable finds are emitted like any other table,
    /// unless the filters exclude them.
    pub(super) async fn confirm(&self, candidates: &Candidates) -> Result<(), Unread> {
        let (selected, excluded): (Vec<_>, Vec<_>) =
            candidates.tables.iter().cloned().partition(|name| self.settings.filter.selects(name.as_str()));
        let mut vanished = candidates.others_vanished;
        for (tables, are_selected) in [(selected, true), (excluded, false)] {
            vanished |= self.describe_candidates(tables, are_selected).await?;
        }
        if vanished && !self.stop.is_cancelled() {
            let doubt = self.still_own().await.err();
            self.emit(What::OwnershipChecked(doubt)).await?;
        }
        Ok(())
    }

    /// Describes the tables, and returns whether DescribeTable does not find one of them. No
    /// request is under way when this returns: each holds a place and a turn of the budget, for
    /// which the next request would wait.
    async fn describe_candidates(&self, tables: Vec<TableName>, are_selected: bool) -> Result<bool, Unread> {
        let mut vanished = false;
        let mut fetcher = self.fetcher();
        if !are_selected {
            fetcher.probes = &[];
        }
        let names = futures_util::stream::iter(tables);
        let mut fetched = std::pin::pin!(fetcher.describe_all(names, self.settings.concurrency));
        while let Some(one) = fetched.next().await {
            match self.checked(one).await? {
                Fetched::Described(name, found, probes) => {
                    self.has_own_arn(&name, &found.record.table);
                    if are_selected {
                        self.described(name, found, probes, true).await?;
                    } else {
                        self.emit(What::TableExists(name)).await?;
                    }
                }
                Fetched::Failed(failed) => {
                    vanished |= has_vanished(&failed);
                    self.emit(What::TableFailed(failed)).await?;
                }
                Fetched::NoCredentials(_) => break,
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        Ok(vanished)
    }

    fn has_own_arn(&self, name: &TableName, table: &dynacrawl_model::Table) {
        if is_witness(table) {
            self.view().witness = Some(name.clone());
        }
    }

    /// Lists all names again.
    pub(super) async fn list_again(&self) -> Result<(), Unread> {
        let mut listing = Listing::new(self.client(), None);
        while let Some(page) = listing.next_page().await {
            match page {
                Ok(names) => {
                    let page = self.page(names, listing.next_start());
                    self.emit(What::PageListed(page)).await?;
                }
                Err(failed) => {
                    let message = format!("it is unknown which tables were deleted: {}", failed.error.message);
                    let problem = Problem::new(&*failed.error.code, message);
                    let problem = Problem { operation: Some(failed.operation), ..problem };
                    self.emit(What::ProblemNoted(problem)).await?;
                }
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Whether the credentials still belong to the scope's account, or why that is uncertain. Keys
    /// may have become another account's in mid-run, and that account does not have the tables. The
    /// witness is a table that was described a moment ago. Without one, the worker asks STS; if STS
    /// cannot be reached, the earlier proof stands.
    async fn still_own(&self) -> Result<(), String> {
        let scope = self.scope();
        let (witness, foreign_arns) = {
            let view = self.view();
            (view.witness.clone(), view.foreign_arns)
        };
        if let Some(witness) = witness {
            let expected = Expected::of(&scope, self.connection);
            return match self.fetcher().describe(witness).await {
                Fetched::Described(name, found, _) => match expected.wrong_answer(&name, &found.record.table) {
                    None => Ok(()),
                    Some(why) => Err(format!("another account may have answered: {why}")),
                },
                Fetched::Failed(_) | Fetched::NoCredentials(_) => {
                    Err("it also fails for a table that it described a moment ago".to_owned())
                }
            };
        }
        if foreign_arns {
            return Err("it describes only tables of another account or Region".to_owned());
        }
        match self.connection.ask_sts().await {
            Ok(caller) if scope.account_id.as_ref().is_none_or(|own| *own == caller.account_id) => Ok(()),
            Ok(caller) if self.connection.is_emulated(&caller.account_id) => Ok(()),
            Ok(caller) => Err(format!("the credentials now belong to the account {}", caller.account_id)),
            Err(failed) if failed.error.class.is_about_credentials() => {
                Err(format!("it is unknown whose credentials these are: {failed}"))
            }
            Err(_) => Ok(()),
        }
    }
}

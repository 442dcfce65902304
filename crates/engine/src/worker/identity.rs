//! Which account a scope's tables belong to. Nothing is written for a scope before
//! GetCallerIdentity or the ARN of a table has proven it: with the keys of another account, tables
//! of the same names would look changed, and all others removed.

use dynacrawl_fetcher::{FailedTable, Fetched};
use dynacrawl_model::{AccountId, Escaped, FailureReason, Problem, Scope, Table, TableName};

use super::decode::FetchedTable;
use crate::target::{EMULATOR_ACCOUNT, NamedBy, TargetConnection};

/// The most results that are held back until a table's ARN has proven the identity.
const HELD: usize = 100;
/// How many tables must name another account or Region before the scope counts as foreign, if STS
/// has named the right account: a single response may be broken.
const FOREIGN: usize = 4;

/// The part of an ARN that does not fit the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    Account(AccountId),
    Region(String),
}

/// What a table's ARN shows about the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It names the scope's Region, and its account if that is known.
    Own,
    /// It is an emulator's, which has no accounts and Regions.
    Emulator(Foreign),
    Foreign(Foreign),
    /// There is no ARN, or it names no account or Region.
    Silent,
}

/// What the tables of a scope are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The account and Region that ARNs have to name.
    pub scope: &'a Scope,
    /// Whether the endpoint is not AWS's own, so that an emulator may answer.
    pub custom_endpoint: bool,
}

impl<'a> Expected<'a> {
    /// What the tables of a scope are compared with at the target's endpoint.
    pub(super) fn of(scope: &'a Scope, connection: &TargetConnection) -> Self {
        Self { scope, custom_endpoint: connection.custom_endpoint }
    }

    fn judge(&self, table: &Table) -> Verdict {
        let Some(arn) = &table.arn else { return Verdict::Silent };
        // Nearly all ARNs are the scope's own, which a comparison of prefixes shows without
        // parsing.
        if self.scope.account_id.as_ref().is_some_and(|own| is_own(arn.as_str(), self.scope, own)) {
            return Verdict::Own;
        }
        let (Some(account), Some(region)) = (arn.account_id(), arn.region()) else { return Verdict::Silent };
        let foreign = if region != self.scope.region.as_str() {
            Foreign::Region(region.to_owned())
        } else if self.scope.account_id.as_ref().is_some_and(|own| *own != account) {
            Foreign::Account(account.clone())
        } else {
            return Verdict::Own;
        };
        let emulator = self.custom_endpoint
            && (account.as_str() == EMULATOR_ACCOUNT || region.parse::<dynacrawl_model::Region>().is_err());
        if emulator { Verdict::Emulator(foreign) } else { Verdict::Foreign(foreign) }
    }

    /// Why a response does not describe the requested table; `None` if it does.
    pub fn wrong_answer(&self, asked: &TableName, table: &Table) -> Option<String> {
        self.wrong(asked, table, &self.judge(table))
    }

    fn wrong(&self, asked: &TableName, table: &Table, verdict: &Verdict) -> Option<String> {
        let other = table.name.as_ref().filter(|name| *name != asked).map(TableName::as_str);
        let other = other.or_else(|| {
            let name = table.arn.as_ref().and_then(|arn| arn.table_name());
            name.filter(|name| *name != asked.as_str())
        });
        if let Some(other) = other {
            return Some(format!("the answer describes another table, {}", Escaped(other)));
        }
        if table.arn.is_none() && table.status.is_none() && table.key_schema.as_ref().is_none_or(Vec::is_empty) {
            return Some("the answer has no ARN, no status and no key schema, so it describes nothing".to_owned());
        }
        match verdict {
            Verdict::Foreign(foreign) => Some(foreign.message(self.scope)),
            Verdict::Own | Verdict::Emulator(_) | Verdict::Silent => None,
        }
    }

    /// Turns a response that does not describe the requested table into a failure of that table.
    /// Also returns what the ARN of the description shows.
    pub(super) fn checked(&self, one: FetchedTable) -> (FetchedTable, Verdict) {
        let Fetched::Described(name, found, probes) = one else { return (one, Verdict::Silent) };
        let verdict = self.judge(&found.record.table);
        let one = match self.wrong(&name, &found.record.table, &verdict) {
            None => Fetched::Described(name, found, probes),
            Some(message) => Fetched::Failed(FailedTable {
                name,
                reason: FailureReason::Failed,
                code: "invalid_response".to_owned(),
                message,
                attempts: 1,
                may_pass: true,
            }),
        };
        (one, verdict)
    }

    /// The note about an emulator's ARN.
    pub(super) fn emulator_note(&self, foreign: &Foreign) -> Problem {
        let message = format!("{}; the endpoint is not AWS's own, so this is only a note", foreign.message(self.scope));
        Problem::new("emulator_arn", message)
    }
}

/// Whether an ARN begins as those of the scope's tables do.
fn is_own(arn: &str, scope: &Scope, account_id: &AccountId) -> bool {
    let parts = ["arn:", scope.partition.as_str(), ":dynamodb:", scope.region.as_str(), ":", account_id.as_str(), ":"];
    parts.iter().try_fold(arn, |rest, part| rest.strip_prefix(part)).is_some()
}

impl Foreign {
    fn message(&self, scope: &Scope) -> String {
        let own = scope.account_id.as_ref().map_or("unknown", AccountId::as_str);
        match self {
            Self::Account(account) => {
                format!("the table's ARN names the account {account}, and the scope's account is {own}")
            }
            Self::Region(region) => format!(
                "the table's ARN names the Region {}, and the scope's Region is {}",
                Escaped(region),
                scope.region
            ),
        }
    }

    /// Why the scope ends.
    fn problem(&self, expected: &Expected<'_>, named_by: Option<&NamedBy>) -> Problem {
        match self {
            Self::Account(account) => {
                let own = expected.scope.account_id.as_ref().map_or("unknown", AccountId::as_str);
                let by = named_by.map_or_else(|| "GetCallerIdentity".to_owned(), ToString::to_string);
                let message = format!("the tables' ARNs name the account {account}, and {by} names {own}");
                Problem::new("account_mismatch", message)
            }
            Self::Region(_) => Problem::new("region_mismatch", self.message(expected.scope)),
        }
    }
}

/// What happens with a result.
pub(super) enum Passed {
    /// These may be emitted.
    Through(Vec<FetchedTable>),
    /// The same, after the ARN of a table has proven the identity; with the account that it names.
    Proven(Option<AccountId>, Vec<FetchedTable>),
    /// The tables belong to another account or Region.
    Foreign(Problem),
}

/// Holds results back until the identity is proven.
#[derive(Debug)]
pub(super) struct Gate {
    /// Whether STS has named the scope's account.
    by_sts: bool,
    /// Whether results are no longer held back.
    open: bool,
    /// Whether a result has passed without proof.
    passed: bool,
    held: Vec<FetchedTable>,
    foreign: Vec<Foreign>,
    /// What named the expected account.
    named_by: Option<NamedBy>,
}

impl Gate {
    pub(super) fn new(by_sts: bool, named_by: Option<NamedBy>) -> Self {
        Self { by_sts, open: false, passed: false, held: Vec::new(), foreign: Vec::new(), named_by }
    }

    /// Takes a result.
    pub(super) fn pass(&mut self, expected: &Expected<'_>, one: FetchedTable) -> Passed {
        if self.open {
            return Passed::Through(vec![one]);
        }
        let verdict = match &one {
            // A response about another table proves nothing.
            Fetched::Described(name, found, _) if found.record.table.name.as_ref().is_none_or(|own| own == name) => {
                expected.judge(&found.record.table)
            }
            _ => Verdict::Silent,
        };
        match verdict {
            Verdict::Own | Verdict::Emulator(_) => {
                let arn = match &one {
                    Fetched::Described(_, found, _) => found.record.table.arn.as_ref(),
                    Fetched::Failed(_) | Fetched::NoCredentials(_) => None,
                };
                let account_id = arn.and_then(|arn| arn.account_id());
                Passed::Proven(account_id, self.release(Some(one)))
            }
            Verdict::Foreign(foreign) => {
                self.held.push(one);
                self.foreign.push(foreign);
                let limit = if self.by_sts { FOREIGN } else { 1 };
                if self.foreign.len() < limit { Passed::Through(Vec::new()) } else { self.close(expected) }
            }
            Verdict::Silent if self.by_sts => {
                self.passed = true;
                Passed::Through(vec![one])
            }
            Verdict::Silent if matches!(one, Fetched::NoCredentials(_)) || self.held.len() >= HELD => {
                self.held.push(one);
                Passed::Through(self.relieve(expected))
            }
            Verdict::Silent => {
                self.held.push(one);
                Passed::Through(Vec::new())
            }
        }
    }

    /// Ends the results for now. A table that is described later may still prove the identity, if
    /// none has so far.
    pub(super) fn end(&mut self, expected: &Expected<'_>) -> Passed {
        if self.open || self.foreign.is_empty() {
            Passed::Through(self.relieve(expected))
        } else {
            self.close(expected)
        }
    }

    /// Whether everything passes.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether results are held back.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Releases the results that are held back although nothing is proven. A table that is
    /// described later may still prove the identity, unless records written now would have to name
    /// another account than later ones.
    pub(super) fn relieve(&mut self, expected: &Expected<'_>) -> Vec<FetchedTable> {
        let is_unknown = expected.scope.account_id.is_none();
        self.open |= self.held.iter().any(|one| match one {
            Fetched::Described(..) => true,
            Fetched::Failed(failed) => is_unknown && !failed.may_pass,
            Fetched::NoCredentials(_) => false,
        });
        self.foreign.clear();
        std::mem::take(&mut self.held)
    }

    fn release(&mut self, last: Option<FetchedTable>) -> Vec<FetchedTable> {
        self.open = true;
        let mut results = std::mem::take(&mut self.held);
        results.extend(last);
        results
    }

    /// Handles results that are all foreign. If something was written already, each of these tables
    /// fails on its own.
    fn close(&mut self, expected: &Expected<'_>) -> Passed {
        match self.foreign.first() {
            Some(foreign) if !self.passed => Passed::Foreign(foreign.problem(expected, self.named_by.as_ref())),
            _ => Passed::Through(self.release(None)),
        }
    }
}

/// What STS says about the account of a scope's credentials.
pub enum Asked {
    /// It names the expected account, or none is expected.
    Proven(AccountId),
    /// It gives no answer, or an emulator answers.
    Unproven(String),
    /// It names another account than the expected one.
    Foreign(Problem),
}

/// Asks STS which account the credentials belong to, and compares it with the one that the
/// configuration or an earlier process names.
pub async fn ask(connection: &TargetConnection, expected: Option<(&AccountId, &NamedBy)>) -> Asked {
    let identity = match connection.identity().await {
        Ok(identity) => identity,
        Err(failed) => {
            // Another scope of the target has the same credentials.
            return match (connection.proven_account(), expected) {
                (Some(proven), None) => Asked::Proven(proven),
                (Some(proven), Some((account, _))) if proven == *account => Asked::Proven(proven),
                _ => Asked::Unproven(failed.to_string()),
            };
        }
    };
    let Some((account, by)) = expected else { return Asked::Proven(identity.account_id) };
    if identity.account_id == *account {
        return Asked::Proven(identity.account_id);
    }
    let message = format!(
        "sts:GetCallerIdentity says that the credentials belong to the account {} ({}), but {by} names {account}",
        identity.account_id,
        Escaped(&identity.arn)
    );
    if connection.is_emulated(&identity.account_id) {
        return Asked::Unproven(message);
    }
    Asked::Foreign(Problem::new("account_mismatch", message))
}

#[cfg(test)]
mod tests {
    use dynacrawl_fetcher::{Fetched, ProbeValues};
    use dynacrawl_model::{Scope, Table, TableName, TableRecord, Timestamp};

    use super::{Expected, FOREIGN, Gate, Passed, Verdict};
    use crate::worker::decode::{Description, FetchedTable};

    const OWN: &str = "111111111111";

    fn scope() -> Scope {
        Scope {
            partition: "aws".into(),
            account_id: Some(OWN.parse().expect("an account")),
            region: "eu-west-1".parse().expect("a Region"),
        }
    }

    fn table(region: &str, account: &str) -> Table {
        let arn = format!("arn:aws:dynamodb:{region}:{account}:table/t");
        Table { arn: Some(arn.into()), name: Some("t".into()), ..Table::default() }
    }

    fn described(table: Table) -> FetchedTable {
        let record =
            TableRecord { observed_at: Timestamp::now(), fingerprint: String::new(), table, problems: Vec::new() };
        let found = Description { record: Box::new(record), unexpected: Vec::new() };
        Fetched::Described(TableName::from("t"), found, ProbeValues::new())
    }

    #[test]
    fn an_arn_is_own_foreign_or_an_emulators() {
        let scope = scope();
        let judge = |custom_endpoint, region: &str, account: &str| {
            Expected { scope: &scope, custom_endpoint }.judge(&table(region, account))
        };
        assert_eq!(judge(false, "eu-west-1", OWN), Verdict::Own);
        for (region, account) in [("us-east-1", OWN), ("eu-west-1", "222222222222"), ("eu-west-1", "000000000000")] {
            assert!(matches!(judge(false, region, account), Verdict::Foreign(_)), "{region} {account}");
        }
        for (region, account) in [("ddblocal", "000000000000"), ("dynoxide", OWN), ("eu-west-1", "000000000000")] {
            assert!(matches!(judge(true, region, account), Verdict::Emulator(_)), "{region} {account}");
        }
        // Another account is foreign behind a custom endpoint, too.
        assert!(matches!(judge(true, "eu-west-1", "222222222222"), Verdict::Foreign(_)));
        assert!(matches!(judge(true, "us-east-1", OWN), Verdict::Foreign(_)));
        assert_eq!(Expected { scope: &scope, custom_endpoint: false }.judge(&Table::default()), Verdict::Silent);
    }

    #[test]
    fn a_response_about_another_table_or_a_stub_is_wrong() {
        let scope = scope();
        let expected = Expected { scope: &scope, custom_endpoint: false };
        let wrong = |table: &Table| expected.wrong_answer(&TableName::from("t"), table);
        assert_eq!(wrong(&table("eu-west-1", OWN)), None);
        let other = Table { name: Some("u".into()), ..table("eu-west-1", OWN) };
        assert!(wrong(&other).is_some_and(|why| why.contains("another table, u")));
        let arn = format!("arn:aws:dynamodb:eu-west-1:{OWN}:table/u");
        assert!(wrong(&Table { arn: Some(arn.into()), ..table("eu-west-1", OWN) }).is_some());
        let stub = Table { name: Some("t".into()), ..Table::default() };
        assert!(wrong(&stub).is_some_and(|why| why.contains("describes nothing")));
        let partial = Table { status: Some("ACTIVE".to_owned()), ..stub };
        assert_eq!(wrong(&partial), None, "a table needs no ARN");
    }

    fn pass(gate: &mut Gate, region: &str, account: &str) -> Passed {
        let scope = scope();
        let expected = Expected { scope: &scope, custom_endpoint: false };
        gate.pass(&expected, described(table(region, account)))
    }

    #[test]
    fn without_sts_nothing_passes_before_the_first_arn_decides() {
        let mut gate = Gate::new(false, None);
        let silent = Table { status: Some("ACTIVE".to_owned()), name: Some("t".into()), ..Table::default() };
        let scope = scope();
        let expected = Expected { scope: &scope, custom_endpoint: false };
        for _ in 0..3 {
            let Passed::Through(none) = gate.pass(&expected, described(silent.clone())) else { panic!() };
            assert!(none.is_empty());
        }
        let Passed::Proven(own, all) = pass(&mut gate, "eu-west-1", OWN) else { panic!("foreign") };
        assert_eq!((own.expect("an account").as_str(), all.len()), (OWN, 4));

        let mut gate = Gate::new(false, None);
        let Passed::Foreign(problem) = pass(&mut gate, "eu-west-1", "222222222222") else { panic!("passed") };
        assert_eq!(problem.code, "account_mismatch");
        let mut gate = Gate::new(false, None);
        let Passed::Foreign(problem) = pass(&mut gate, "us-east-1", OWN) else { panic!("passed") };
        assert_eq!(problem.code, "region_mismatch");
    }

    #[test]
    fn with_sts_a_scope_ends_only_if_all_arns_are_foreign() {
        let mut gate = Gate::new(true, None);
        let Passed::Through(none) = pass(&mut gate, "us-east-1", OWN) else { panic!("one may be broken") };
        assert!(none.is_empty());
        let Passed::Proven(_, both) = pass(&mut gate, "eu-west-1", OWN) else { panic!("foreign") };
        assert_eq!(both.len(), 2);
        let scope = scope();
        let expected = Expected { scope: &scope, custom_endpoint: false };
        let failed =
            both.into_iter().map(|one| expected.checked(one).0).filter(|one| matches!(one, Fetched::Failed(_)));
        assert_eq!(failed.count(), 1);

        let mut gate = Gate::new(true, None);
        for _ in 1..FOREIGN {
            assert!(matches!(pass(&mut gate, "us-east-1", OWN), Passed::Through(none) if none.is_empty()));
        }
        assert!(matches!(pass(&mut gate, "us-east-1", OWN), Passed::Foreign(_)));
        let mut gate = Gate::new(true, None);
        pass(&mut gate, "us-east-1", OWN);
        assert!(matches!(gate.end(&expected), Passed::Foreign(_)), "the only table there is");
    }
}

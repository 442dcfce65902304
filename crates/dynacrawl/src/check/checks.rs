//! The checks themselves. Each failure has a code of its own and says what to do about it.

use dynacrawl_auth::{AssumeRole, AuthError, StsClient};
use dynacrawl_aws::{AwsError, ErrorClass, may_be_disabled};
use dynacrawl_client::{CallError, ScopeClient};
use dynacrawl_engine::identity::{self, Asked, Expected};
use dynacrawl_engine::settings::Settings;
use dynacrawl_engine::{TargetConnection, decode_failure};
use dynacrawl_fetcher::{Fetched, Fetcher, Probe, ProbeStatus, ProbeValues};
use dynacrawl_model::{FailureReason, Region, Scope, TableName};
use dynacrawl_walker::Listing;
use futures_util::{StreamExt, stream};

use super::finding::{Findings, Trouble};
use crate::advice;
use crate::config::CheckSettings;

/// The settings that determine how thorough a check is.
pub(super) struct Depth<'a> {
    pub(super) run: &'a Settings,
    pub(super) check: &'a CheckSettings,
}

/// Checks a target's credentials, role by role. Returns `false` if none of its scopes can work.
pub(super) async fn credentials(connection: &TargetConnection, depth: &Depth<'_>, findings: &mut Findings) -> bool {
    let name = connection.target.name.as_str();
    let roles = &connection.target.chain;
    if let Err(failed) = connection.chain.base.credentials.get().await {
        findings.add("credentials", name, None, Err(refused(connection, &failed.error, &failed.to_string())));
        return false;
    }
    let base = match roles.as_slice() {
        [] => connection.identity().await,
        _ => connection.chain.base.sts().caller_identity().await,
    };
    // STS may not know the keys of a custom DynamoDB endpoint. Then the responses of that endpoint
    // decide.
    let foreign_sts = depth.run.endpoints.dynamodb_url.is_some() && depth.run.endpoints.sts_url.is_none();
    match base {
        Ok(identity) => {
            let found = format!("{} (account {})", identity.arn, identity.account_id);
            findings.add("credentials", name, None, Ok(found));
        }
        Err(failed)
            if failed.error.class == ErrorClass::NoCredentials
                || failed.error.class.is_about_credentials() && !foreign_sts =>
        {
            findings.add("credentials", name, None, Err(refused(connection, &failed.error, &failed.to_string())));
            return false;
        }
        // A crawl with a user's keys does not need STS. If the keys are wrong, the scopes' checks
        // fail.
        Err(failed) => findings.warn("credentials", name, None, no_sts(connection, &failed)),
    }
    for (number, (role, credentials)) in roles.iter().zip(&connection.chain.roles).enumerate() {
        match credentials.credentials.get().await {
            Ok(_) => findings.add("assume_role", name, None, Ok(format!("{} can be assumed", role.arn))),
            Err(failed) => {
                findings.add("assume_role", name, None, Err(not_assumed(connection, role, &failed)));
                return false;
            }
        }
        if depth.check.external_id_probe && role.external_id.is_some() {
            external_id(connection.chain.before(number).sts(), role, name, findings).await;
        }
    }
    let expected = connection.expected_account();
    let expected = expected.as_ref().map(|(account, by)| (account, by));
    if let Asked::Foreign(problem) = identity::ask(connection, expected).await {
        let fix = advice::OTHER_ACCOUNT.to_owned();
        let trouble = Trouble { code: "account_mismatch", message: problem.message, fix };
        findings.add("credentials", name, None, Err(trouble));
        return false;
    }
    true
}

/// Warns about a role that can be assumed without its external id: it does not require one.
async fn external_id(sts: &StsClient, role: &AssumeRole, target: &str, findings: &mut Findings) {
    match sts.assume_role_as(role, None).await {
        Ok(_) => findings.warn(
            "external_id",
            target,
            None,
            Trouble {
                code: "external_id_not_required",
                message: format!("{} can be assumed without its external id", role.arn),
                fix:
                    "add the condition sts:ExternalId to the role's trust policy; `dynacrawl policy --trust` prints it"
                        .to_owned(),
            },
        ),
        Err(failed) if failed.error.class == ErrorClass::Denied => {
            let found = format!("{} cannot be assumed without its external id", role.arn);
            findings.add("external_id", target, None, Ok(found));
        }
        Err(failed) => findings.warn(
            "external_id",
            target,
            None,
            Trouble {
                code: "external_id_unknown",
                message: format!("cannot tell whether the role requires its external id: {failed}"),
                fix: "run the check again, or switch this probe off with --no-external-id-probe".to_owned(),
            },
        ),
    }
}

/// Checks one account and Region.
pub(super) async fn scope(connection: &TargetConnection, region: &Region, depth: &Depth<'_>) -> Findings {
    let mut findings = Findings::default();
    let account_id = connection.account_id().await.ok();
    let scope = Scope { account_id, ..connection.scope(region) };
    let client = connection.client(region);
    scope_calls(connection, &scope, &client, depth, &mut findings).await;
    findings.count_scope();
    findings
}

async fn scope_calls(
    connection: &TargetConnection,
    scope: &Scope,
    client: &ScopeClient,
    depth: &Depth<'_>,
    findings: &mut Findings,
) {
    let target = connection.target.name.as_str();
    let (listed, selected, failed) = list(client, depth).await;
    if let Some(failed) = &failed
        && let Some(trouble) = region_trouble(connection, &scope.region, failed).await
    {
        findings.add("region", target, Some(scope), Err(trouble));
        return;
    }
    findings.add("region", target, Some(scope), Ok("reachable and enabled".to_owned()));
    match failed {
        Some(failed) => {
            findings.add("list_tables", target, Some(scope), Err(not_listed(&failed, listed)));
            return;
        }
        None => findings.add("list_tables", target, Some(scope), Ok(format!("allowed; {listed} names seen"))),
    }
    if selected.is_empty() {
        findings.warn("tables", target, Some(scope), nothing_selected(listed));
        return;
    }
    let expected = Expected { scope, custom_endpoint: connection.custom_endpoint };
    describe(client, depth, selected, connection, &expected, findings).await;
}

/// Lists until enough tables are selected. Returns how many names were seen, the selected ones, and
/// the error that ended the listing early.
async fn list(client: &ScopeClient, depth: &Depth<'_>) -> (usize, Vec<TableName>, Option<CallError>) {
    let limit = depth.check.tables;
    let mut listing = Listing::new(client, None);
    let (mut listed, mut selected) = (0, Vec::new());
    while selected.len() < limit {
        match listing.next_page().await {
            None => break,
            Some(Err(failed)) => return (listed, selected, Some(failed)),
            Some(Ok(names)) => {
                listed += names.len();
                selected.extend(names.into_iter().filter(|name| depth.run.crawl.filter.selects(name.as_str())));
            }
        }
    }
    selected.truncate(limit);
    (listed, selected, None)
}

/// Whether a probe was allowed on the tables that were tried.
fn probe_finding(probe: &Probe, tried: &[ProbeValues]) -> Result<String, Trouble> {
    let is_denied =
        |values: &&ProbeValues| values.get(probe.name).is_some_and(|value| value.status == ProbeStatus::Denied);
    let (denied, action) = (tried.iter().filter(is_denied).count(), probe.operation.action());
    if denied == 0 {
        return Ok(format!("{action} is allowed on {} tables that were tried", tried.len()));
    }
    Err(Trouble {
        code: "probe_denied",
        message: format!("{action} is denied on {denied} of {} tables that were tried", tried.len()),
        fix: format!(
            "allow {action} on these tables (`dynacrawl policy` prints the policy), or take '{}' out of crawl.probes",
            probe.name
        ),
    })
}

async fn describe(
    client: &ScopeClient,
    depth: &Depth<'_>,
    selected: Vec<TableName>,
    connection: &TargetConnection,
    expected: &Expected<'_>,
    findings: &mut Findings,
) {
    let (scope, target) = (expected.scope, connection.target.name.as_str());
    let decode = |body: &[u8]| {
        dynacrawl_normalizer::decode(body).map(|decoded| decoded.table).map_err(|error| decode_failure(&error))
    };
    let crawl = &depth.run.crawl;
    let fetcher = Fetcher { client, decode, recheck_after: crawl.recheck_after, probes: &crawl.probes };
    let mut probed = Vec::new();
    let tried = selected.len();
    let (mut denied, mut failed, mut last_failure) = (Vec::new(), Vec::new(), String::new());
    let mut fetched = std::pin::pin!(fetcher.describe_all(stream::iter(selected), crawl.concurrency));
    while let Some(one) = fetched.next().await {
        match one {
            Fetched::Described(name, table, values) => {
                probed.push(values);
                if let Some(wrong) = expected.wrong_answer(&name, &table) {
                    last_failure = format!("invalid_response: {wrong}");
                    failed.push(name.to_string());
                }
            }
            Fetched::Failed(table) if table.reason == FailureReason::Vanished => {}
            Fetched::Failed(table) if table.reason == FailureReason::Denied => denied.push(table.name.to_string()),
            Fetched::Failed(table) => {
                last_failure = format!("{}: {}", table.code, table.message);
                failed.push(table.name.to_string());
            }
            Fetched::NoCredentials(call) => {
                findings.add(
                    "describe_table",
                    target,
                    Some(scope),
                    Err(refused(connection, &call.error, &call.to_string())),
                );
                return;
            }
        }
    }
    for probe in &crawl.probes {
        findings.add("probe", target, Some(scope), probe_finding(probe, &probed));
    }
    if denied.is_empty() && failed.is_empty() {
        findings.add("describe_table", target, Some(scope), Ok(format!("allowed on {tried} tables that were tried")));
        return;
    }
    if !denied.is_empty() {
        denied.sort();
        let message = format!("DescribeTable is denied on {} of {tried} tables that were tried", denied.len());
        let trouble = Trouble::new(advice::describe_table_denied(), message);
        findings.add("describe_table", target, Some(scope), Err(trouble));
        findings.about_tables(denied);
    }
    if !failed.is_empty() {
        failed.sort();
        let trouble = Trouble {
            code: "describe_table_failed",
            message: format!(
                "DescribeTable failed on {} of {tried} tables that were tried: {last_failure}",
                failed.len()
            ),
            fix: "run the check again; if AWS throttles the calls, lower --rate".to_owned(),
        };
        findings.add("describe_table", target, Some(scope), Err(trouble));
        findings.about_tables(failed);
    }
}

/// The trouble if credentials are missing, or if AWS refuses them.
fn refused(connection: &TargetConnection, error: &AwsError, message: &str) -> Trouble {
    let profile = advice::profile(Some(&connection.target));
    Trouble::new(advice::credentials(error.class, message, profile.as_deref()), message)
}

fn no_sts(connection: &TargetConnection, failed: &AuthError) -> Trouble {
    Trouble {
        code: "identity_unknown",
        message: format!("the account of the credentials is unknown: {failed}"),
        fix: format!(
            "dynacrawl calls STS in {}; if it cannot be reached there, set sts.regions or --sts-endpoint-url",
            connection.sts_region
        ),
    }
}

fn not_assumed(connection: &TargetConnection, role: &AssumeRole, failed: &AuthError) -> Trouble {
    let message = failed.to_string();
    if failed.error.class.is_about_credentials() {
        return refused(connection, &failed.error, &message);
    }
    Trouble::new(advice::assume_role(failed.error.class, role.external_id.is_some()), message)
}

/// The trouble if a call failed because of the Region or the credentials, and not of a permission.
async fn region_trouble(connection: &TargetConnection, region: &Region, failed: &CallError) -> Option<Trouble> {
    let message = failed.to_string();
    match failed.error.class {
        ErrorClass::Unreachable => {
            let advice = advice::unreachable(Some(region), &message);
            Some(Trouble::new(advice, format!("the endpoint of {region} cannot be reached: {message}")))
        }
        ErrorClass::NotOptedIn => Some(Trouble::new(advice::not_opted_in(region), message)),
        ErrorClass::UnknownCredentials if may_be_disabled(region) && connection.identity().await.is_ok() => {
            let message = format!("{region} refuses credentials that STS accepts: {message}");
            Some(Trouble::new(advice::not_opted_in(region), message))
        }
        class if class.is_about_credentials() => Some(refused(connection, &failed.error, &message)),
        _ => None,
    }
}

fn not_listed(failed: &CallError, listed: usize) -> Trouble {
    let message = if listed == 0 { failed.to_string() } else { format!("after {listed} names: {failed}") };
    Trouble::new(advice::list_tables(failed.error.class), message)
}

fn nothing_selected(listed: usize) -> Trouble {
    if listed == 0 {
        Trouble {
            code: "no_tables",
            message: "there are no tables in this Region".to_owned(),
            fix: "if there should be some, check the account and the Region; otherwise leave the Region out".to_owned(),
        }
    } else {
        Trouble {
            code: "all_filtered",
            message: format!("the filters select none of the {listed} tables"),
            fix: "check --include and --exclude: an expression must match the whole name, and --exclude takes \
                  precedence; `dynacrawl crawl --dry-run` shows which rule decides"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynacrawl_fetcher::{Probe, ProbeStatus, ProbeValue, ProbeValues};
    use dynacrawl_model::{Operation, Timestamp};

    use super::probe_finding;

    #[test]
    fn a_probe_that_is_denied_somewhere_names_its_action() {
        let probe = Probe {
            name: "sample",
            operation: Operation::ListTables,
            refresh: Duration::ZERO,
            call: |_, _| Box::pin(async { Ok(None) }),
        };
        let value = |status| {
            let value = ProbeValue { status, value: None, code: None, observed_at: Timestamp::now() };
            ProbeValues::from([("sample".to_owned(), value)])
        };
        let tried = [value(ProbeStatus::Absent), value(ProbeStatus::Denied)];
        let trouble = probe_finding(&probe, &tried).expect_err("denied");
        assert_eq!(trouble.message, "dynamodb:ListTables is denied on 1 of 2 tables that were tried");
        assert!(trouble.fix.contains("'sample'"), "{}", trouble.fix);
        assert!(probe_finding(&probe, &tried[..1]).is_ok());
    }
}

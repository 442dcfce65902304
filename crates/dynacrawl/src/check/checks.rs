//! The checks themselves. Each failure is told apart, with what to do about it.

use dynacrawl_auth::{AssumeRole, AuthError, StsClient};
use dynacrawl_aws::{AwsError, ErrorClass, is_known_region, may_be_disabled};
use dynacrawl_client::{CallError, ScopeClient};
use dynacrawl_engine::identity::{self, Asked, Expected};
use dynacrawl_engine::settings::Settings;
use dynacrawl_engine::{TargetConnection, decode_failure};
use dynacrawl_fetcher::{Fetched, Fetcher, Probe, ProbeValues};
use dynacrawl_model::{FailureReason, ProbeStatus, Region, Scope, TableName};
use dynacrawl_walker::Listing;
use futures_util::{StreamExt, stream};

use super::finding::{Findings, Trouble};
use crate::config::CheckSettings;

/// How thoroughly is checked.
pub(super) struct Depth<'a> {
    pub(super) run: &'a Settings,
    pub(super) check: &'a CheckSettings,
}

/// Checks a target's credentials, role by role. `false`: none of its scopes can work.
pub(super) async fn credentials(connection: &TargetConnection, depth: &Depth<'_>, findings: &mut Findings) -> bool {
    let name = connection.target.name.as_str();
    let roles = &connection.target.chain;
    if let Err(failed) = connection.chain.base.credentials.get().await {
        findings.add("credentials", name, None, Err(refused(&failed.error, &failed.to_string())));
        return false;
    }
    let base = match roles.as_slice() {
        [] => connection.identity().await,
        _ => connection.chain.base.sts().caller_identity().await,
    };
    // STS itself may not know the keys of something that only speaks DynamoDB's protocol; its own answers decide then.
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
            findings.add("credentials", name, None, Err(refused(&failed.error, &failed.to_string())));
            return false;
        }
        // STS is not needed for a crawl with a user's keys; that they are wrong would show below.
        Err(failed) => findings.warn("credentials", name, None, no_sts(connection, &failed)),
    }
    for (number, (role, credentials)) in roles.iter().zip(&connection.chain.roles).enumerate() {
        match credentials.credentials.get().await {
            Ok(_) => findings.add("assume_role", name, None, Ok(format!("{} can be assumed", role.arn))),
            Err(failed) => {
                findings.add("assume_role", name, None, Err(not_assumed(role, &failed)));
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
        let fix = "use the credentials of that account, or correct the account's id".to_owned();
        let trouble = Trouble { code: "account_mismatch", message: problem.message, fix };
        findings.add("credentials", name, None, Err(trouble));
        return false;
    }
    true
}

/// A role that can be assumed without its external id does not ask for it.
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
                message: format!("it could not be found out whether the external id is required: {failed}"),
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
    describe(client, depth, selected, target, &expected, findings).await;
}

/// Lists until enough tables are selected. Returns how many names were seen, and the error that ended it early.
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
    target: &str,
    expected: &Expected<'_>,
    findings: &mut Findings,
) {
    let scope = expected.scope;
    let decode = |body: &[u8]| {
        dynacrawl_normalizer::decode(body).map(|decoded| decoded.table).map_err(|error| decode_failure(&error))
    };
    let crawl = &depth.run.crawl;
    let fetcher = Fetcher { client, decode, recheck_after: crawl.recheck_after, probes: &crawl.probes };
    let mut probed = Vec::new();
    let asked = selected.len();
    let (mut denied, mut failed, mut said) = (Vec::new(), Vec::new(), String::new());
    let mut fetched = std::pin::pin!(fetcher.describe_all(stream::iter(selected), crawl.concurrency));
    while let Some(one) = fetched.next().await {
        match one {
            Fetched::Described(name, table, values) => {
                probed.push(values);
                if let Some(wrong) = expected.wrong_answer(&name, &table) {
                    said = format!("invalid_response: {wrong}");
                    failed.push(name.to_string());
                }
            }
            Fetched::Failed(table) if table.reason == FailureReason::Vanished => {}
            Fetched::Failed(table) if table.reason == FailureReason::Denied => denied.push(table.name.to_string()),
            Fetched::Failed(table) => {
                said = format!("{}: {}", table.code, table.message);
                failed.push(table.name.to_string());
            }
            Fetched::NoCredentials(call) => {
                findings.add("describe_table", target, Some(scope), Err(refused(&call.error, &call.to_string())));
                return;
            }
        }
    }
    for probe in &crawl.probes {
        findings.add("probe", target, Some(scope), probe_finding(probe, &probed));
    }
    if denied.is_empty() && failed.is_empty() {
        findings.add("describe_table", target, Some(scope), Ok(format!("allowed on {asked} tables that were tried")));
        return;
    }
    if !denied.is_empty() {
        denied.sort();
        let trouble = Trouble {
            code: "describe_table_denied",
            message: format!("DescribeTable is denied on {} of {asked} tables that were tried", denied.len()),
            fix: "allow dynamodb:DescribeTable on these tables (`dynacrawl policy` prints the policy), and look for denying \
                  statements, permission boundaries and service control policies"
                .to_owned(),
        };
        findings.add("describe_table", target, Some(scope), Err(trouble));
        findings.about_tables(denied);
    }
    if !failed.is_empty() {
        failed.sort();
        let trouble = Trouble {
            code: "describe_table_failed",
            message: format!("DescribeTable failed on {} of {asked} tables that were tried: {said}", failed.len()),
            fix: "run the check again; where it is throttling, lower --rate".to_owned(),
        };
        findings.add("describe_table", target, Some(scope), Err(trouble));
        findings.about_tables(failed);
    }
}

/// Credentials that are refused, or are not there.
fn refused(error: &AwsError, said: &str) -> Trouble {
    let (code, fix) = match error.class {
        ErrorClass::UnknownCredentials => (
            "invalid_access_key",
            "check the access key id (deleted, inactive, of another partition?) and, for temporary credentials, the \
             session token",
        ),
        ErrorClass::BadSignature => {
            ("invalid_secret_key", "check the secret access key that belongs to the access key id")
        }
        ErrorClass::ExpiredCredentials => {
            ("expired_token", "the session has ended: log in again or renew the session token")
        }
        ErrorClass::TimedOut => (
            "credentials_timeout",
            "log in first if the source waits for a code or a password; if it is slow, raise aws.credentials_timeout",
        ),
        ErrorClass::ClockSkew => ("clock_skew", "set this machine's clock: it is more than five minutes off"),
        ErrorClass::NotOptedIn => (
            "not_opted_in",
            "STS is asked in a Region that is not enabled for the account: choose another one with sts.regions",
        ),
        _ => (
            "no_credentials",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or credentials in the configuration file; in a \
             container check the role of the task or service account",
        ),
    };
    Trouble { code, message: said.to_owned(), fix: fix.to_owned() }
}

fn no_sts(connection: &TargetConnection, failed: &AuthError) -> Trouble {
    Trouble {
        code: "identity_unknown",
        message: format!("whose credentials they are is not known: {failed}"),
        fix: format!(
            "STS is asked in {}; set sts.regions or --sts-endpoint-url where it cannot be reached there",
            connection.sts_region
        ),
    }
}

fn not_assumed(role: &AssumeRole, failed: &AuthError) -> Trouble {
    if failed.error.class.is_about_credentials() {
        return refused(&failed.error, &failed.to_string());
    }
    let (code, fix) = match failed.error.class {
        ErrorClass::Denied => (
            "assume_role_denied",
            match role.external_id {
                Some(_) => {
                    "check that the role exists, that its trust policy names this identity and this external id \
                     (`dynacrawl policy --trust` prints it), and that this identity may call sts:AssumeRole on it"
                }
                None => {
                    "check that the role exists, that its trust policy names this identity and asks for no external id \
                     (else give it with --external-id), and that this identity may call sts:AssumeRole on it"
                }
            },
        ),
        ErrorClass::Unreachable | ErrorClass::TimedOut | ErrorClass::Transient | ErrorClass::Throttled => {
            ("sts_unreachable", "check the network's way to STS, and sts.regions or --sts-endpoint-url")
        }
        _ => (
            "assume_role_failed",
            "check the role's ARN and its maximum session duration; a session assumed with a role's session lasts one hour at \
             most",
        ),
    };
    Trouble { code, message: failed.to_string(), fix: fix.to_owned() }
}

/// Whether a failed call says that the Region, and not the permission, is the trouble.
async fn region_trouble(connection: &TargetConnection, region: &Region, failed: &CallError) -> Option<Trouble> {
    let said = failed.to_string();
    let not_opted_in = |message: String| Trouble {
        code: "not_opted_in",
        message,
        fix: format!("enable {region} for the account, or leave it out"),
    };
    match failed.error.class {
        ErrorClass::Unreachable if !is_known_region(region) => Some(Trouble {
            code: "invalid_region",
            message: format!("{region} is no Region that is known, and its endpoint cannot be reached: {said}"),
            fix: "check the Region's name; `aws ec2 describe-regions --all-regions` lists them".to_owned(),
        }),
        ErrorClass::Unreachable => Some(Trouble {
            code: "unreachable",
            message: said,
            fix: "check DNS, the firewall, HTTPS_PROXY and NO_PROXY, the CA bundle, and --endpoint-url".to_owned(),
        }),
        ErrorClass::NotOptedIn => Some(not_opted_in(said)),
        ErrorClass::UnknownCredentials if may_be_disabled(region) && connection.identity().await.is_ok() => {
            Some(not_opted_in(format!("{region} refuses credentials that STS accepts: {said}")))
        }
        class if class.is_about_credentials() => Some(refused(&failed.error, &said)),
        _ => None,
    }
}

fn not_listed(failed: &CallError, listed: usize) -> Trouble {
    let (code, fix) = match failed.error.class {
        ErrorClass::Denied => (
            "list_tables_denied",
            "allow dynamodb:ListTables on * (`dynacrawl policy` prints the policy), and look for denying statements, permission \
             boundaries and service control policies",
        ),
        ErrorClass::Throttled => {
            ("list_tables_throttled", "something else uses up the account's quota; try later, or lower --rate")
        }
        _ => ("list_tables_failed", "run the check again; --log-level debug tells more"),
    };
    let message = if listed == 0 { failed.to_string() } else { format!("after {listed} names: {failed}") };
    Trouble { code, message, fix: fix.to_owned() }
}

fn nothing_selected(listed: usize) -> Trouble {
    if listed == 0 {
        Trouble {
            code: "no_tables",
            message: "there are no tables in this Region".to_owned(),
            fix: "if there should be some, check the account and the Region; else leave the Region out".to_owned(),
        }
    } else {
        Trouble {
            code: "all_filtered",
            message: format!("none of the {listed} tables is selected"),
            fix: "check --include and --exclude: an expression must match the whole name, and exclude wins; \
                  `dynacrawl crawl --dry-run` shows which one decides"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynacrawl_fetcher::{Probe, ProbeValues};
    use dynacrawl_model::{Operation, ProbeStatus, Timestamp};

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
            let value = dynacrawl_model::Probe { status, value: None, code: None, observed_at: Timestamp::now() };
            ProbeValues::from([("sample".to_owned(), value)])
        };
        let tried = [value(ProbeStatus::Absent), value(ProbeStatus::Denied)];
        let trouble = probe_finding(&probe, &tried).expect_err("denied");
        assert_eq!(trouble.message, "dynamodb:ListTables is denied on 1 of 2 tables that were tried");
        assert!(trouble.fix.contains("'sample'"), "{}", trouble.fix);
        assert!(probe_finding(&probe, &tried[..1]).is_ok());
    }
}

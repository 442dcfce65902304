//! What to do about a failure, in the same words for `dynacrawl check` and for a crawl that failed.

use dynacrawl_aws::{ErrorClass, is_known_region, known_regions};
use dynacrawl_engine::settings::{Group, Target};
use dynacrawl_model::{Operation, Outcome, Problem, Region};

use crate::nearest::nearest;

/// What is wrong, as a stable code, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) code: &'static str,
    pub(crate) fix: String,
}

impl Advice {
    fn new(code: &'static str, fix: impl Into<String>) -> Self {
        Self { code, fix: fix.into() }
    }
}

const DENIED_BY: &str = "look for denying statements, permission boundaries and service control policies";

/// The profile from which a target's credentials come: its own, or the one of the environment.
pub(crate) fn profile(target: Option<&Target>) -> Option<String> {
    target.and_then(Target::profile).map(ToOwned::to_owned).or_else(|| std::env::var("AWS_PROFILE").ok())
}

/// Where the credentials of a target come from, as far as advice depends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    profile: Option<String>,
    /// The ARNs of the roles for which the configuration has an external id. An organization's may
    /// have placeholders.
    with_external_id: Vec<String>,
}

impl Origin {
    pub(crate) fn of(target: &Target) -> Self {
        let with_external_id = target.chain.iter().filter(|role| role.external_id.is_some());
        Self {
            profile: profile(Some(target)),
            with_external_id: with_external_id.map(|role| role.arn.to_string()).collect(),
        }
    }

    pub(crate) fn of_group(group: &Group) -> Self {
        let with_external_id = group.roles.iter().filter(|role| role.external_id.is_some());
        Self {
            profile: profile(Some(&group.discovery)),
            with_external_id: with_external_id.map(|role| role.arn.clone()).collect(),
        }
    }

    /// Whether the role that AWS's message names last, as the resource, has an external id. The
    /// message also names the caller, but as `assumed-role`.
    fn has_external_id(&self, message: &str) -> bool {
        let of_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@_/-{}".contains(c);
        let name = |text: &str| {
            let (_, name) = text.rsplit_once(":role/")?;
            Some(name[..name.find(|c| !of_name(c)).unwrap_or(name.len())].to_owned())
        };
        let Some(denied) = name(message) else { return false };
        self.with_external_id.iter().filter_map(|arn| name(arn)).any(|name| match name.split_once('{') {
            // The name depends on the account.
            Some((fixed, _)) => denied.starts_with(fixed),
            None => denied == name,
        })
    }
}

/// Credentials that are missing, or that AWS refuses. `profile`: the profile that they come from,
/// if any.
pub(crate) fn credentials(class: ErrorClass, message: &str, profile: Option<&str>) -> Advice {
    match class {
        ErrorClass::UnknownCredentials => Advice::new(
            "invalid_access_key",
            "check the access key id (deleted, inactive, of another partition?) and, for temporary credentials, the session \
             token",
        ),
        ErrorClass::BadSignature => {
            Advice::new("invalid_secret_key", "check the secret access key that belongs to the access key id")
        }
        ErrorClass::ExpiredCredentials => {
            Advice::new("expired_token", "the session has expired: log in again, or renew the session token")
        }
        ErrorClass::TimedOut => Advice::new(
            "credentials_timeout",
            "log in first if the source waits for a code or a password; if it is slow, raise aws.credentials_timeout",
        ),
        ErrorClass::ClockSkew => {
            Advice::new("clock_skew", "set this machine's clock: it is more than five minutes off")
        }
        ErrorClass::NotOptedIn => Advice::new(
            "not_opted_in",
            "dynacrawl asks STS in a Region that is not enabled for the account: choose another one with sts.regions",
        ),
        _ => Advice::new("no_credentials", no_credentials(message, profile)),
    }
}

fn no_credentials(message: &str, profile: Option<&str>) -> String {
    let lower = message.to_lowercase();
    if lower.contains("sso") {
        let profile = profile.map(|name| format!(" --profile {name}")).unwrap_or_default();
        return format!("log in with IAM Identity Center: `aws sso login{profile}`");
    }
    if lower.contains("imds") || lower.contains("instance metadata") {
        return "the instance metadata service gave no credentials: attach an instance profile to the EC2 instance; for a \
                container on it, set the metadata hop limit to 2; elsewhere set AWS_ACCESS_KEY_ID and \
                AWS_SECRET_ACCESS_KEY, or choose a profile with --profile"
            .to_owned();
    }
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile (--profile or AWS_PROFILE), or give the target \
     credentials in the configuration file; in a container, attach a role to the task or to the service account"
        .to_owned()
}

/// A role that cannot be assumed.
pub(crate) fn assume_role(class: ErrorClass, has_external_id: bool) -> Advice {
    match class {
        ErrorClass::Denied if has_external_id => Advice::new(
            "assume_role_denied",
            "check that the role exists, that its trust policy names this identity and this external id (`dynacrawl policy \
             --trust` prints it), and that this identity may call sts:AssumeRole on it",
        ),
        ErrorClass::Denied => Advice::new(
            "assume_role_denied",
            "check that the role exists, that its trust policy names this identity and needs no external id (otherwise give it \
             with --external-id), and that this identity may call sts:AssumeRole on it",
        ),
        ErrorClass::Unreachable | ErrorClass::TimedOut | ErrorClass::Transient | ErrorClass::Throttled => {
            Advice::new("sts_unreachable", "check the network's route to STS, and sts.regions or --sts-endpoint-url")
        }
        _ => Advice::new(
            "assume_role_failed",
            "check the ARN of the role and its maximum session duration; a session that is assumed from a role's session lasts \
             one hour at most",
        ),
    }
}

/// ListTables failed.
pub(crate) fn list_tables(class: ErrorClass) -> Advice {
    match class {
        ErrorClass::Denied => Advice::new(
            "list_tables_denied",
            format!("allow dynamodb:ListTables on * (`dynacrawl policy` prints the policy), and {DENIED_BY}"),
        ),
        ErrorClass::Throttled => Advice::new("list_tables_throttled", THROTTLED),
        _ => Advice::new("list_tables_failed", "run dynacrawl again; --log-level debug shows more"),
    }
}

const THROTTLED: &str = "another client uses the account's quota: try later, or lower --rate";

/// DescribeTable is denied.
pub(crate) fn describe_table_denied() -> Advice {
    Advice::new(
        "describe_table_denied",
        format!("allow dynamodb:DescribeTable on these tables (`dynacrawl policy` prints the policy), and {DENIED_BY}"),
    )
}

/// The endpoint of a Region cannot be reached.
pub(crate) fn unreachable(region: Option<&Region>, message: &str) -> Advice {
    if message.to_lowercase().contains("certificate") {
        return Advice::new(
            "untrusted_certificate",
            "the server's certificate is not signed by an authority that this machine trusts: give the authority's PEM file with \
             --ca-bundle (or AWS_CA_BUNDLE), or correct the endpoint",
        );
    }
    match region.and_then(misspelt) {
        Some(hint) => Advice::new("invalid_region", hint),
        None => Advice::new(
            "unreachable",
            "check DNS, the firewall, HTTPS_PROXY and NO_PROXY, the CA bundle, and --endpoint-url",
        ),
    }
}

/// What to say about a Region that dynacrawl does not know. AWS may have opened it since this
/// version.
pub(crate) fn misspelt(region: &Region) -> Option<String> {
    if is_known_region(region) {
        return None;
    }
    let hint =
        nearest(region.as_str(), known_regions()).map(|known| format!(" Did you mean {known}?")).unwrap_or_default();
    Some(format!(
        "dynacrawl does not know the Region {region}; check its name.{hint} `aws ec2 describe-regions --all-regions` lists them"
    ))
}

/// The Region is not enabled.
pub(crate) fn not_opted_in(region: &Region) -> Advice {
    Advice::new("not_opted_in", format!("enable {region} for the account, or leave it out"))
}

/// What to do about the problem of a scope or a target, if there is something to do.
pub(crate) fn of_problem(
    problem: &Problem,
    outcome: Outcome,
    region: Option<&Region>,
    origin: &Origin,
) -> Option<String> {
    let (message, profile) = (problem.message.as_str(), origin.profile.as_deref());
    match problem.code.as_str() {
        "no_credentials" => return Some(credentials(ErrorClass::NoCredentials, message, profile).fix),
        "credentials_timeout" => return Some(credentials(ErrorClass::TimedOut, message, profile).fix),
        "account_mismatch" => return Some(OTHER_ACCOUNT.to_owned()),
        "account_not_found" => return Some(NOT_A_MEMBER.to_owned()),
        "connection_failed" | "unreachable" => return Some(unreachable(region, message).fix),
        _ => {}
    }
    let class = ErrorClass::of_code(&problem.code, message)?;
    let advice = match (class, problem.operation) {
        (ErrorClass::NotOptedIn, _) => not_opted_in(region?),
        (ErrorClass::UnknownCredentials, _) if outcome == Outcome::NotOptedIn => not_opted_in(region?),
        (class, _) if class.is_about_credentials() => credentials(class, message, profile),
        (ErrorClass::Denied, Some(Operation::DescribeTable)) => describe_table_denied(),
        (class @ (ErrorClass::Denied | ErrorClass::Throttled), Some(Operation::ListTables)) => list_tables(class),
        (ErrorClass::Throttled, _) => Advice::new("throttled", THROTTLED),
        (ErrorClass::Denied, _) if message.contains(":role/") => assume_role(class, origin.has_external_id(message)),
        _ => return None,
    };
    Some(advice.fix)
}

/// The accounts of an organization could not be listed, or there are none.
pub(crate) fn organization(problem: &Problem, outcome: Outcome, group: &Group) -> Option<String> {
    if problem.code == "no_accounts" {
        return Some(NO_ACCOUNTS.to_owned());
    }
    // AWS Organizations refuses every account except the management account and its delegates.
    let is_refused = outcome == Outcome::Denied || problem.code.ends_with("Exception");
    of_problem(problem, outcome, None, &Origin::of_group(group)).or(is_refused.then(|| NOT_LISTED.to_owned()))
}

const NOT_LISTED: &str = "the credentials must be those of the organization's management account or of a delegated \
                          administrator, and allow organizations:ListAccounts (with organizational units also \
                          ListAccountsForParent and ListOrganizationalUnitsForParent); `dynacrawl policy --assume` \
                          prints the policy";

/// The filters of an organization leave no account to crawl.
pub(crate) const NO_ACCOUNTS: &str =
    "correct include_accounts, exclude_accounts, include_ous and exclude_ous of the target";

/// An account that `include_accounts` names is not an active account of the organization.
pub(crate) const NOT_A_MEMBER: &str = "correct include_accounts, or make the account a target of its own";

/// The credentials belong to another account.
pub(crate) const OTHER_ACCOUNT: &str = "use credentials of that account, or correct the account's id";

#[cfg(test)]
mod tests {
    use dynacrawl_aws::ErrorClass;
    use dynacrawl_model::{Operation, Outcome, Problem};

    use super::{Origin, credentials, misspelt, of_problem, unreachable};

    fn origin() -> Origin {
        Origin {
            profile: Some("payments".to_owned()),
            with_external_id: vec!["arn:aws:iam::1:role/Guarded".to_owned()],
        }
    }

    fn advised(code: &str, message: &str, operation: Option<Operation>, outcome: Outcome) -> Option<String> {
        let problem = Problem { operation, ..Problem::new(code, message) };
        of_problem(&problem, outcome, "eu-south-2".parse().ok().as_ref(), &origin())
    }

    #[test]
    fn a_failed_crawl_gets_the_advice_of_a_check() {
        for (code, message, operation, outcome, says) in [
            (
                "no_credentials",
                "the SSO session has expired",
                None,
                Outcome::AuthFailed,
                "`aws sso login --profile payments`",
            ),
            ("no_credentials", "failed to load IMDS session token", None, Outcome::AuthFailed, "instance profile"),
            ("no_credentials", "none found", None, Outcome::AuthFailed, "--profile or AWS_PROFILE"),
            ("AccessDeniedException", "no", Some(Operation::ListTables), Outcome::Denied, "dynamodb:ListTables on *"),
            ("AccessDeniedException", "no", Some(Operation::DescribeTable), Outcome::Partial, "dynamodb:DescribeTable"),
            ("AccessDenied", "arn:aws:iam::1:role/Guarded", None, Outcome::AuthFailed, "this external id"),
            (
                "AccessDenied",
                "User: arn:aws:sts::1:assumed-role/Guarded/x is not authorized to perform: sts:AssumeRole on resource: \
                 arn:aws:iam::2:role/GuardedReader",
                None,
                Outcome::AuthFailed,
                "needs no external id",
            ),
            ("AccessDenied", "arn:aws:iam::1:role/Crawler", None, Outcome::AuthFailed, "needs no external id"),
            ("UnrecognizedClientException", "", None, Outcome::AuthFailed, "access key id"),
            ("UnrecognizedClientException", "", None, Outcome::NotOptedIn, "enable eu-south-2"),
            ("ThrottlingException", "", Some(Operation::DescribeTable), Outcome::Partial, "lower --rate"),
            ("connection_failed", "invalid peer certificate: UnknownIssuer", None, Outcome::Unreachable, "--ca-bundle"),
            ("account_mismatch", "", None, Outcome::AuthFailed, "credentials of that account"),
        ] {
            let advice = advised(code, message, operation, outcome).unwrap_or_default();
            assert!(advice.contains(says), "{code}: {advice}");
        }
        assert_eq!(advised("identity_unproven", "", None, Outcome::Complete), None);
    }

    #[test]
    fn a_misspelt_region_has_a_suggestion() {
        let region = "eu-wset-1".parse().expect("the form of a Region");
        assert!(misspelt(&region).is_some_and(|hint| hint.contains("Did you mean eu-west-1?")));
        assert!(unreachable(Some(&region), "dns error").fix.contains("eu-west-1"));
        assert_eq!(misspelt(&"eu-west-1".parse().expect("a Region")), None);
        assert!(credentials(ErrorClass::ClockSkew, "", None).fix.contains("clock"));
    }
}

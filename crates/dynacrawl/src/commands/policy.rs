//! `dynacrawl policy`

use std::collections::BTreeMap;

use dynacrawl_engine::settings::{Chosen, Group, Target};
use dynacrawl_model::AccountId;

use super::failure::Failure;
use super::print::json_to_stdout;
use crate::cli::{GlobalArgs, PolicyArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::exit::Exit;
use crate::policy::{
    Limit, PolicyDocument, Trust, access_policy, assume_policy, exceeded, group_trust_policy, sinks_policy, split,
    trust_policy,
};

pub(super) async fn policy(global: &GlobalArgs, args: &PolicyArgs) -> Result<Exit, Failure> {
    let flags = Flags { target: Some(&args.target), filter: Some(&args.filter), ..Flags::default() };
    let mut config = Config::load(global, &flags)?;
    config.take_ambient_regions().await?;
    if let Some(principal) = &args.principal {
        check_principal(principal)?;
    }
    let chosen = config.run.choose(config.request.targets.as_deref());
    let chosen = chosen.map_err(|unknown| unknown.in_key("--target", "the configuration"))?;
    if args.trust {
        return print_trust(&config.run.target_names, &chosen, args.principal.as_deref());
    }
    if args.sinks {
        let none = || ConfigError::value("--sinks", "the configuration has no sink that calls S3 or EventBridge");
        return json_to_stdout(&sinks_policy(&config.run.sinks).ok_or_else(none)?);
    }
    let policy = if args.assume {
        let no_role = || ConfigError::value("--assume", "no target assumes a role; name one with --role-arn");
        assume_policy(&chosen).ok_or_else(no_role)?
    } else {
        access_policy(&config.run.crawl, &chosen)
    };
    if args.split {
        let policies = split(&policy);
        if policies.len() > MANAGED_POLICIES {
            eprintln!(
                "warning: the output has {} policies; IAM attaches {MANAGED_POLICIES} to a role or user, unless the account's quota is raised",
                policies.len()
            );
        }
        policies.iter().for_each(|policy| warn_of_size(policy, Limit::Managed));
        return json_to_stdout(&policies);
    }
    warn_of_size(&policy, Limit::InlineUser);
    json_to_stdout(&policy)
}

/// How many managed policies a role or a user may have, by default.
const MANAGED_POLICIES: usize = 10;

/// Warns about a policy that exceeds a limit of IAM that is not below `from`.
fn warn_of_size(policy: &PolicyDocument, from: Limit) {
    let (size, mut limits) = exceeded(policy);
    limits.retain(|limit| limit.characters() >= from.characters());
    if limits.is_empty() {
        return;
    }
    let limits: Vec<_> = limits.iter().map(ToString::to_string).collect();
    eprintln!(
        "warning: the policy has {size} characters without white space, which is too large for {}; \
         --split prints several that fit a managed policy each",
        limits.join(", ")
    );
}

/// IAM accepts an ARN, or an account's id for the whole account.
fn check_principal(principal: &str) -> Result<(), ConfigError> {
    let parts: Vec<_> = principal.split(':').collect();
    let arn = matches!(parts.as_slice(), ["arn", partition, "iam" | "sts", "", account, rest, ..]
        if partition.starts_with("aws") && account.parse::<AccountId>().is_ok() && !rest.is_empty());
    if arn || principal.parse::<AccountId>().is_ok() {
        return Ok(());
    }
    let problem =
        "not a principal; expected an ARN such as arn:aws:iam::123456789012:user/dynacrawl, or an account's id";
    Err(ConfigError::value("--principal", problem))
}

/// A target of the configuration that assumes roles, as the user typed it.
enum Trusting<'a> {
    One(&'a Target),
    Accounts(Vec<&'a Target>),
    Organization(&'a Group),
}

fn trusting<'a>(target_names: &[String], chosen: &Chosen<'a>) -> Vec<Trusting<'a>> {
    let with_role = chosen.targets.iter().copied().filter(|target| !target.chain.is_empty());
    let mut found: Vec<Trusting<'_>> = chosen.groups.iter().copied().map(Trusting::Organization).collect();
    let mut listed: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for target in with_role {
        // A target with a list of accounts has become one target for each, called NAME/ACCOUNT.
        let account = target.account_id.as_ref().map(|account| format!("/{account}"));
        match account.and_then(|account| target.name.strip_suffix(&account)) {
            Some(name) if target_names.iter().any(|one| one == name) => {
                listed.entry(name).or_default().push(target);
            }
            _ => found.push(Trusting::One(target)),
        }
    }
    found.extend(listed.into_values().map(Trusting::Accounts));
    found
}

fn print_trust(target_names: &[String], chosen: &Chosen<'_>, principal: Option<&str>) -> Result<Exit, Failure> {
    let needs_one = || {
        let problem =
            "needs exactly one target that assumes a role; name it with --role-arn, or choose it with --target";
        Failure::from(ConfigError::value("--trust", problem))
    };
    let mut trusting = trusting(target_names, chosen).into_iter();
    let (Some(target), None) = (trusting.next(), trusting.next()) else { return Err(needs_one()) };
    let of_account = |target: &&Target| {
        let account = target.account_id.as_ref().map(ToString::to_string).unwrap_or_default();
        trust_policy(target, principal).map(|trust| (account, trust))
    };
    let policies: BTreeMap<String, Trust> = match target {
        Trusting::One(target) => of_account(&target).into_iter().collect(),
        Trusting::Accounts(targets) => targets.iter().filter_map(of_account).collect(),
        Trusting::Organization(group) => [(String::new(), group_trust_policy(group, principal))].into(),
    };
    let first = policies.values().next().ok_or_else(needs_one)?;
    if !first.principal_is_known {
        eprintln!("note: the crawler's own identity is unknown; give its ARN with --principal");
    }
    if first.names_account {
        eprintln!("note: {{account}} stands for the id of the account that the role is in; replace it in each account");
    }
    if policies.values().all(|trust| trust == first) {
        return json_to_stdout(&first.policy);
    }
    eprintln!("note: the policy differs from account to account; each is listed under its account's id");
    let each: BTreeMap<_, _> = policies.iter().map(|(account, trust)| (account, &trust.policy)).collect();
    json_to_stdout(&each)
}

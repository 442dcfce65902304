//! `dynacrawl policy`

use dynacrawl_model::AccountId;

use super::Failure;
use super::print::json_to_stdout;
use crate::cli::{GlobalArgs, PolicyArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::exit::Exit;
use crate::policy::{PolicyDocument, access_policy, assume_policy, trust_policy};

pub(super) async fn policy(global: &GlobalArgs, args: &PolicyArgs) -> Result<Exit, Failure> {
    let flags = Flags { target: Some(&args.target), filter: Some(&args.filter), ..Flags::default() };
    let mut config = Config::load(global, &flags)?;
    config.take_ambient_regions().await?;
    if let Some(principal) = &args.principal {
        check_principal(principal)?;
    }
    let policy = if args.trust {
        trust(&config, args.principal.as_deref())?
    } else if args.assume {
        let no_role = || ConfigError::value("--assume", "no target assumes a role; name one with --role-arn");
        assume_policy(&config).ok_or_else(no_role)?
    } else {
        access_policy(&config)
    };
    json_to_stdout(&policy)
}

/// IAM takes an ARN, or an account's id for all of the account.
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

fn trust(config: &Config, principal: Option<&str>) -> Result<PolicyDocument, ConfigError> {
    let mut with_role = config.targets.iter().filter(|target| !target.chain.is_empty());
    let (Some(target), None) = (with_role.next(), with_role.next()) else {
        let problem =
            "needs exactly one target that assumes a role; name it with --role-arn, or choose it with --target";
        return Err(ConfigError::value("--trust", problem));
    };
    let Some((policy, known)) = trust_policy(target, principal) else { unreachable!("the target has a role") };
    if !known {
        eprintln!("note: the crawler's own identity is not known here; put its ARN in with --principal");
    }
    Ok(policy)
}

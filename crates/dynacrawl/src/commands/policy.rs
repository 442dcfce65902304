//! `dynacrawl policy`

use super::Failure;
use super::print::json_to_stdout;
use crate::cli::{GlobalArgs, PolicyArgs};
use crate::config::{Config, ConfigError, Flags};
use crate::exit::Exit;
use crate::policy::{PolicyDocument, access_policy, assume_policy, trust_policy};

pub(super) fn policy(global: &GlobalArgs, args: &PolicyArgs) -> Result<Exit, Failure> {
    let flags = Flags { target: Some(&args.target), filter: Some(&args.filter), ..Flags::default() };
    let config = Config::load(global, &flags)?;
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

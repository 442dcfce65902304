//! The IAM policies that a configuration needs, and no more.

mod sinks;
mod size;

use std::collections::{BTreeMap, BTreeSet};

use dynacrawl_engine::settings::{Chosen, CrawlSettings, Group, Target};
use dynacrawl_model::{Operation, Region};
use regex_syntax::hir::{Hir, HirKind};
use serde::Serialize;

pub use sinks::sinks_policy;
pub use size::{Limit, exceeded, split};

/// The principal of a trust policy if dynacrawl cannot determine it. IAM refuses it, so it cannot
/// be used by mistake.
pub const UNKNOWN_PRINCIPAL: &str = "arn:aws:iam::ACCOUNT-ID-OF-THE-CRAWLER:root";

/// An IAM policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyDocument {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<BTreeMap<&'static str, String>>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
}

/// Conditions that a key has one of some values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    string_equals: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Condition {
    fn equals(key: &'static str, values: BTreeSet<String>) -> Self {
        Self { string_equals: BTreeMap::from([(key, values)]) }
    }
}

impl Statement {
    /// A statement that allows an operation.
    fn allow(operation: Operation) -> Self {
        let sid = match operation {
            // Existing statement ids keep their names.
            Operation::ListOrganizationalUnitsForParent => "ListOrganizationalUnits",
            other => other.name(),
        };
        Self { sid, effect: "Allow", principal: None, action: operation.action(), resource: None, condition: None }
    }
}

impl PolicyDocument {
    fn new(statement: Vec<Statement>) -> Self {
        Self { version: "2012-10-17", statement }
    }
}

/// The policy of the credentials that read DynamoDB.
pub fn access_policy(crawl: &CrawlSettings, chosen: &Chosen<'_>) -> PolicyDocument {
    let tables = table_resources(&crawl.include);
    let mut resources = BTreeSet::new();
    let mut regions = BTreeSet::new();
    let mut all_regions = false;
    // The accounts of an organization are discovered when a run starts; until then any account is
    // possible.
    let organizations = chosen.groups.iter().map(|group| (&group.discovery, "*"));
    let targets =
        chosen.targets.iter().map(|target| (*target, target.account_id.as_ref().map_or("*", |id| id.as_str())));
    for (target, account) in targets.chain(organizations) {
        let partition = target.partition();
        all_regions |= target.all_regions;
        let named: Vec<&str> = match target.regions.as_slice() {
            [] => vec!["*"],
            some => some.iter().map(Region::as_str).collect(),
        };
        for region in named {
            regions.insert(region.to_owned());
            resources.extend(
                tables.iter().map(|table| format!("arn:{partition}:dynamodb:{region}:{account}:table/{table}")),
            );
        }
    }
    let anything = || Some(BTreeSet::from(["*".to_owned()]));
    // IAM can restrict ListTables to Regions, but not to resources.
    let known_regions = (!regions.contains("*")).then(|| Condition::equals("aws:RequestedRegion", regions));
    let mut statements = vec![
        Statement { resource: anything(), condition: known_regions, ..Statement::allow(Operation::ListTables) },
        Statement { resource: Some(resources.clone()), ..Statement::allow(Operation::DescribeTable) },
    ];
    for probe in &crawl.probes {
        statements.push(Statement { resource: Some(resources.clone()), ..Statement::allow(probe.operation) });
    }
    if all_regions {
        // dynacrawl calls DescribeRegions only if ListRegions fails.
        statements.push(Statement { resource: anything(), ..Statement::allow(Operation::ListRegions) });
        statements.push(Statement { resource: anything(), ..Statement::allow(Operation::DescribeRegions) });
    }
    PolicyDocument::new(statements)
}

/// The policy with which the crawler's own identity lists an organization's accounts and assumes
/// the roles. `None` if it has to do neither.
pub fn assume_policy(chosen: &Chosen<'_>) -> Option<PolicyDocument> {
    let first_roles = chosen.targets.iter().filter_map(|target| target.chain.first());
    let mut roles: BTreeSet<_> = first_roles.map(|role| role.arn.to_string()).collect();
    let mut statements = Vec::new();
    for group in &chosen.groups {
        match group.discovery.chain.first() {
            Some(role) => roles.insert(role.arn.to_string()),
            None => {
                statements.extend(organization_statements(group));
                let first = group.first_account_role(&group.discovery.partition());
                roles.insert(first.replace("{account}", "*"))
            }
        };
    }
    statements.sort_by_key(|statement: &Statement| statement.sid);
    statements.dedup();
    if !roles.is_empty() {
        statements.push(Statement { resource: Some(roles), ..Statement::allow(Operation::AssumeRole) });
    }
    (!statements.is_empty()).then(|| PolicyDocument::new(statements))
}

/// The statements that allow listing the accounts of a group.
fn organization_statements(group: &Group) -> Vec<Statement> {
    let mut operations = vec![Operation::ListAccounts];
    if !group.filter.include_units.is_empty() || !group.filter.exclude_units.is_empty() {
        operations.push(Operation::ListAccountsForParent);
        operations.push(Operation::ListOrganizationalUnitsForParent);
    }
    let anything = || Some(BTreeSet::from(["*".to_owned()]));
    operations.into_iter().map(|one| Statement { resource: anything(), ..Statement::allow(one) }).collect()
}

/// A trust policy, and what the user has to complete in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The policy.
    pub policy: PolicyDocument,
    /// Whether the principal is known. If not, the user has to fill it in.
    pub principal_is_known: bool,
    /// Whether the policy contains `{account}`, which stands for the account that the role is in.
    pub names_account: bool,
}

impl Trust {
    fn new(external_id: Option<&str>, principal: Option<&str>) -> Self {
        let external_id = external_id.map(|id| BTreeSet::from([id.to_owned()]));
        let names_account = |text: &String| text.contains("{account}");
        let in_external_id = external_id.iter().flatten().any(names_account);
        let named = principal.unwrap_or(UNKNOWN_PRINCIPAL).to_owned();
        Self {
            principal_is_known: principal.is_some(),
            names_account: in_external_id || names_account(&named),
            policy: PolicyDocument::new(vec![Statement {
                principal: Some(BTreeMap::from([("AWS", named)])),
                condition: external_id.map(|id| Condition::equals("sts:ExternalId", id)),
                ..Statement::allow(Operation::AssumeRole)
            }]),
        }
    }
}

/// The trust policy of a target's last role. `None` if the target has no role.
pub fn trust_policy(target: &Target, principal: Option<&str>) -> Option<Trust> {
    let role = target.chain.last()?;
    let before = target.chain.len().checked_sub(2).map(|number| target.chain[number].arn.as_str());
    Some(Trust::new(role.external_id.as_ref().map(|id| id.as_str()), principal.or(before)))
}

/// The trust policy of the last role in each account of an organization. If the policies differ, it
/// contains `{account}`.
pub fn group_trust_policy(group: &Group, principal: Option<&str>) -> Trust {
    let (before, external_id) = group.trust_template(&group.discovery.partition());
    Trust::new(external_id.as_deref(), principal.or(before.as_deref()))
}

/// The last part of the tables' ARNs: names and prefixes if every expression is one of these,
/// otherwise all tables.
fn table_resources(include: &[String]) -> BTreeSet<String> {
    let mut resources = BTreeSet::new();
    for pattern in include {
        match regex_syntax::parse(pattern).ok().and_then(|hir| literal_names(&hir)) {
            Some(names) => resources.extend(names),
            None => return BTreeSet::from(["*".to_owned()]),
        }
    }
    if resources.is_empty() { BTreeSet::from(["*".to_owned()]) } else { resources }
}

/// The names that an expression matches, if IAM's wildcards can express them: a literal, a literal
/// before `.*`, or alternatives of these.
fn literal_names(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![name(&literal.0)?]),
        HirKind::Concat(parts) => match parts.as_slice() {
            [start, rest] => match (start.kind(), rest.kind()) {
                (HirKind::Literal(prefix), HirKind::Repetition(any)) if is_anything(any) => {
                    Some(vec![name(&prefix.0)? + "*"])
                }
                _ => None,
            },
            _ => None,
        },
        HirKind::Alternation(choices) => {
            let names = choices.iter().map(literal_names).collect::<Option<Vec<_>>>()?;
            Some(names.concat())
        }
        HirKind::Capture(group) => literal_names(&group.sub),
        _ => None,
    }
}

/// `.*` or `.+`. IAM has no wildcard for "at least one"; its `*` may allow more tables, never
/// fewer.
fn is_anything(repetition: &regex_syntax::hir::Repetition) -> bool {
    let dot = [Hir::dot(regex_syntax::hir::Dot::AnyCharExceptLF), Hir::dot(regex_syntax::hir::Dot::AnyChar)];
    repetition.min <= 1 && repetition.max.is_none() && dot.contains(&repetition.sub)
}

/// The text, if it can be part of a table's name and therefore contains no IAM wildcard.
fn name(literal: &[u8]) -> Option<String> {
    let allowed = |&b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    literal.iter().all(allowed).then(|| String::from_utf8_lossy(literal).into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynacrawl_fetcher::Probe;
    use dynacrawl_model::Operation;

    use super::{access_policy, table_resources};
    use crate::config::{Config, Layer};

    static SAMPLE: Probe = Probe {
        name: "sample",
        operation: Operation::AssumeRole,
        refresh: Duration::ZERO,
        call: |_, _| Box::pin(async { Ok(None) }),
    };

    #[test]
    fn a_probe_needs_its_own_action_on_the_tables() {
        let mut config = Config::validate(Layer::reference()).expect("the reference configuration");
        let actions = |config: &Config| {
            let chosen = config.run.choose(None).expect("all targets");
            let policy = access_policy(&config.run.crawl, &chosen);
            policy.statement.iter().map(|statement| statement.action).collect::<Vec<_>>()
        };
        assert_eq!(actions(&config), ["dynamodb:ListTables", "dynamodb:DescribeTable"]);
        config.run.crawl.probes.push(&SAMPLE);
        assert_eq!(actions(&config), ["dynamodb:ListTables", "dynamodb:DescribeTable", "sts:AssumeRole"]);
    }

    fn resources(include: &[&str]) -> Vec<String> {
        let include: Vec<_> = include.iter().map(|&pattern| pattern.to_owned()).collect();
        table_resources(&include).into_iter().collect()
    }

    #[test]
    fn literals_and_prefixes_narrow_the_resources() {
        assert_eq!(resources(&["orders"]), ["orders"]);
        assert_eq!(resources(&["orders-.*"]), ["orders-*"]);
        assert_eq!(resources(&["orders-.+", r"ledger\.2025"]), ["ledger.2025", "orders-*"]);
        assert_eq!(resources(&["(users|orders-.*)"]), ["orders-*", "users"]);
    }

    #[test]
    fn anything_else_means_all_tables() {
        for pattern in
            [".*", ".*-prod", "orders.prod", "[ab]c", "(?i)orders", "orders-[0-9]+", "a.*b", "a?", "", r"a\*.*"]
        {
            assert_eq!(resources(&[pattern]), ["*"], "{pattern}");
        }
        assert_eq!(resources(&["orders", ".*-prod"]), ["*"]);
        assert_eq!(resources(&[]), ["*"]);
    }
}

//! IAM's size limits of policies, and splitting a policy to fit them.

use std::collections::BTreeSet;
use std::fmt;

use super::{PolicyDocument, Statement};

/// IAM's size limits, in characters without white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// All inline policies of a user together.
    InlineUser,
    /// A managed policy.
    Managed,
    /// All inline policies of a role together.
    InlineRole,
}

impl Limit {
    /// The number of characters.
    pub const fn characters(self) -> usize {
        match self {
            Self::InlineUser => 2_048,
            Self::Managed => 6_144,
            Self::InlineRole => 10_240,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::InlineUser => "a user's inline policies",
            Self::Managed => "a managed policy",
            Self::InlineRole => "a role's inline policies",
        };
        write!(f, "{name} ({} characters)", self.characters())
    }
}

/// The size of a policy as IAM counts it, and the limits that it exceeds, the lowest first.
pub fn exceeded(policy: &PolicyDocument) -> (usize, Vec<Limit>) {
    let size = size(policy);
    let limits = [Limit::InlineUser, Limit::Managed, Limit::InlineRole];
    (size, limits.into_iter().filter(|limit| size > limit.characters()).collect())
}

/// Splits a policy into policies that each fit a managed policy. A statement is split by its
/// resources; one that is too large with a single resource stays as it is.
pub fn split(policy: &PolicyDocument) -> Vec<PolicyDocument> {
    let mut policies = Vec::new();
    let mut current: Vec<Statement> = Vec::new();
    for statement in &policy.statement {
        let mut rest = statement.clone();
        loop {
            current.push(rest.clone());
            let over = size(&PolicyDocument::new(current.clone())).saturating_sub(Limit::Managed.characters());
            if over == 0 {
                break;
            }
            current.pop();
            let (fits, left) = divide(rest, over);
            current.extend(fits);
            // If even an empty policy has no room for it, the statement cannot get smaller.
            let stuck = current.is_empty();
            let Some(left) = left else { break };
            if stuck {
                policies.push(PolicyDocument::new(vec![left]));
                break;
            }
            policies.push(PolicyDocument::new(std::mem::take(&mut current)));
            rest = left;
        }
    }
    if !current.is_empty() {
        policies.push(PolicyDocument::new(current));
    }
    policies
}

/// Removes resources from the end of a statement until it is `over` characters smaller. Returns
/// what fits, and what is left over.
fn divide(statement: Statement, over: usize) -> (Option<Statement>, Option<Statement>) {
    let resources: Vec<String> = statement.resource.iter().flatten().cloned().collect();
    let (mut keep, mut saved) = (resources.len(), 0);
    while keep > 0 && saved < over {
        keep -= 1;
        // With its quotes and the comma.
        saved += characters(&resources[keep]) + 3;
    }
    let part = |resources: &[String]| Statement {
        resource: Some(resources.iter().cloned().collect::<BTreeSet<_>>()),
        ..statement.clone()
    };
    match keep {
        0 => (None, Some(statement)),
        _ => (Some(part(&resources[..keep])), Some(part(&resources[keep..]))),
    }
}

fn size(policy: &PolicyDocument) -> usize {
    serde_json::to_string(policy).map_or(usize::MAX, |text| characters(&text))
}

fn characters(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dynacrawl_model::Operation;

    use super::{Limit, exceeded, size, split};
    use crate::policy::{PolicyDocument, Statement};

    fn statement(sid: &'static str, resources: usize) -> Statement {
        let arns = (0..resources).map(|number| format!("arn:aws:iam::{number:012}:role/DynacrawlReader"));
        Statement { resource: Some(arns.collect()), sid, ..Statement::allow(Operation::AssumeRole) }
    }

    #[test]
    fn one_character_too_many_exceeds_a_limit() {
        for (limit, exceeds) in [(Limit::InlineUser, 1), (Limit::Managed, 2), (Limit::InlineRole, 3)] {
            let of_name = |name: usize| {
                let resource = Some(BTreeSet::from(["x".repeat(name)]));
                PolicyDocument::new(vec![Statement { sid: "A", resource, ..Statement::allow(Operation::AssumeRole) }])
            };
            let name = limit.characters() - size(&of_name(0));
            assert_eq!(exceeded(&of_name(name)).1.len(), exceeds - 1, "{limit}");
            let (size, above) = exceeded(&of_name(name + 1));
            assert_eq!((size, above.len()), (limit.characters() + 1, exceeds), "{limit}");
            assert!(above.contains(&limit));
        }
    }

    #[test]
    fn white_space_does_not_count() {
        let policy = PolicyDocument::new(vec![statement("A", 1)]);
        let pretty = serde_json::to_string_pretty(&policy).expect("JSON");
        assert_eq!(size(&policy), pretty.chars().filter(|c| !c.is_whitespace()).count());
    }

    #[test]
    fn a_split_policy_allows_the_same_in_parts_that_fit() {
        let whole = PolicyDocument::new(vec![statement("A", 400), statement("B", 3), statement("C", 250)]);
        let parts = split(&whole);
        assert!(parts.len() >= 5, "{} parts", parts.len());
        for sid in ["A", "B", "C"] {
            let of = |policies: &[PolicyDocument]| -> Vec<String> {
                let statements = policies.iter().flat_map(|policy| &policy.statement);
                statements
                    .filter(|one| one.sid == sid)
                    .flat_map(|one| one.resource.clone().unwrap_or_default())
                    .collect()
            };
            assert_eq!(of(&parts), of(std::slice::from_ref(&whole)), "{sid}");
        }
        for part in &parts {
            assert!(size(part) <= Limit::Managed.characters() && !part.statement.is_empty());
            assert!(part.statement.iter().all(|one| !one.resource.as_ref().is_some_and(BTreeSet::is_empty)));
        }
        // All but the last are nearly full.
        for part in &parts[..parts.len() - 1] {
            assert!(size(part) > Limit::Managed.characters() - 200, "{}", size(part));
        }
    }

    #[test]
    fn small_policies_and_large_resources_are_not_split() {
        let small = PolicyDocument::new(vec![statement("A", 2), statement("B", 2)]);
        assert_eq!(split(&small), [small]);
        let resource = Some(BTreeSet::from(["x".repeat(7000)]));
        let large = Statement { sid: "Large", resource, ..Statement::allow(Operation::AssumeRole) };
        let whole = PolicyDocument::new(vec![statement("A", 2), large.clone(), statement("B", 2)]);
        let parts: Vec<_> = split(&whole).into_iter().map(|policy| policy.statement).collect();
        assert_eq!(parts, [vec![statement("A", 2)], vec![large], vec![statement("B", 2)]]);
    }
}

//! The kinds of faults that chaos draws from. Each can be turned off.

use std::fmt;
use std::time::Duration;

use dynacrawl_sim::{Effect, FaultRule, Listing, Operation, TableEdit, When};
use serde_json::json;

use super::plan::Plan;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Throttles,
    ServerErrors,
    DroppedConnections,
    BrokenAnswers,
    Denials,
    Delays,
    EndedSessions,
    NotFoundOnce,
    UnrecognizedOnce,
    StsErrors,
    IdentityDenied,
    ExpiredClaims,
    OddBodies,
    Proxies,
    LeftOutNames,
    RepeatedNames,
    EndlessLists,
    EmptyNames,
    MissingFields,
    OddTypes,
    OtherTables,
    Stubs,
    AnswersAsOther,
    SessionsOfOther,
    ShortOrganizations,
    OtherOrganizations,
    LostTargets,
    Suspensions,
    MovedKeys,
    DeletedKeys,
}

/// A fault that is set for a crawl, with its kind.
#[derive(Clone)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) rule: FaultRule,
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FaultRule { effect, when, account, region, operation, table, .. } = &self.rule;
        write!(f, "{:?}({effect:?} {when:?}", self.kind)?;
        operation.iter().try_for_each(|operation| write!(f, " {operation:?}"))?;
        [account, region, table].into_iter().flatten().try_for_each(|narrowed| write!(f, " {narrowed}"))?;
        f.write_str(")")
    }
}

impl Kind {
    /// All kinds. `DYNACRAWL_CHAOS_KINDS=Throttles,Delays` draws only from those, `-Delays` from
    /// all others.
    pub(super) const ALL: [Self; 30] = [
        Self::Throttles,
        Self::ServerErrors,
        Self::DroppedConnections,
        Self::BrokenAnswers,
        Self::Denials,
        Self::Delays,
        Self::EndedSessions,
        Self::NotFoundOnce,
        Self::UnrecognizedOnce,
        Self::StsErrors,
        Self::IdentityDenied,
        Self::ExpiredClaims,
        Self::OddBodies,
        Self::Proxies,
        Self::LeftOutNames,
        Self::RepeatedNames,
        Self::EndlessLists,
        Self::EmptyNames,
        Self::MissingFields,
        Self::OddTypes,
        Self::OtherTables,
        Self::Stubs,
        Self::AnswersAsOther,
        Self::SessionsOfOther,
        Self::ShortOrganizations,
        Self::OtherOrganizations,
        Self::LostTargets,
        Self::Suspensions,
        Self::MovedKeys,
        Self::DeletedKeys,
    ];

    /// The kinds that the environment asks for.
    pub(super) fn wanted() -> Vec<Self> {
        let asked = std::env::var("DYNACRAWL_CHAOS_KINDS").unwrap_or_default();
        let words: Vec<&str> = asked.split(',').filter(|word| !word.is_empty()).collect();
        let name = |kind: &Self| format!("{kind:?}");
        for word in &words {
            let bare = word.trim_start_matches('-');
            assert!(Self::ALL.iter().any(|kind| name(kind) == bare), "there is no kind {bare}");
        }
        let only = words.iter().any(|word| !word.starts_with('-'));
        let is_wanted = |kind: &Self| {
            let name = name(kind);
            if only { words.contains(&&*name) } else { !words.contains(&&*format!("-{name}")) }
        };
        Self::ALL.into_iter().filter(is_wanted).collect()
    }

    /// Draws a fault of the kind.
    pub(super) fn draw(self, rng: &mut fastrand::Rng, plan: &Plan) -> Trouble {
        let rule = FaultRule::new(self.effect(rng, plan));
        let rule = self.narrowed(rule, rng, plan);
        Trouble { kind: self, rule: rule.when(self.when(rng)) }
    }

    fn effect(self, rng: &mut fastrand::Rng, plan: &Plan) -> Effect {
        let stranger = |rng: &mut fastrand::Rng| {
            let accounts = &plan.accounts;
            accounts[rng.usize(..accounts.len())].to_owned()
        };
        match self {
            Self::Throttles => Effect::Throttle,
            Self::ServerErrors | Self::StsErrors => Effect::Status([500, 502, 503][rng.usize(..3)]),
            Self::DroppedConnections => Effect::DropConnection,
            Self::BrokenAnswers => match rng.u32(..5) {
                0 => Effect::TruncateBody,
                1 => Effect::GarbageBody,
                2 => Effect::BrokenHttp,
                3 => Effect::OversizedHeader(300_000),
                _ => Effect::FalseGzip,
            },
            Self::Denials | Self::IdentityDenied => Effect::Deny,
            Self::Delays => Effect::Delay(Duration::from_millis(rng.u64(1..=15_000))),
            Self::EndedSessions => Effect::ExpireToken,
            Self::NotFoundOnce => Effect::NotFound,
            Self::UnrecognizedOnce => Effect::UnrecognizedClient,
            Self::ExpiredClaims => Effect::ClaimExpiration(rng.i64(-7_200..120)),
            Self::OddBodies => match rng.u32(..3) {
                0 => Effect::LargeBody(200_000),
                _ => Effect::NestedBody(rng.usize(1..=5_000)),
            },
            Self::Proxies => match rng.u32(..4) {
                0 => Effect::ProxyPage(407),
                1 => Effect::ProxyPage(403),
                2 => Effect::ProxyPage(502),
                _ => Effect::Redirect { status: 307, location: "http://elsewhere.example.com/".to_owned() },
            },
            Self::LeftOutNames => {
                Effect::List(Listing::LeaveOut(vec![["a-00*", "b-*", "c-000001"][rng.usize(..3)].to_owned()]))
            }
            Self::RepeatedNames => Effect::List(match rng.u32(..3) {
                0 => Listing::RepeatInPage,
                1 => Listing::RepeatOnPages,
                _ => Listing::InclusiveStart,
            }),
            Self::EndlessLists => Effect::List(if rng.bool() { Listing::Cycle } else { Listing::EmptyPages }),
            Self::EmptyNames => Effect::List(Listing::EmptyName),
            Self::MissingFields => {
                let field = ["/TableId", "/TableArn", "/CreationDateTime", "/ItemCount"][rng.usize(..4)];
                Effect::EditTable(vec![TableEdit::Without(field.to_owned())])
            }
            Self::OddTypes => {
                let field = ["/ItemCount", "/TableSizeBytes"][rng.usize(..2)];
                Effect::EditTable(vec![TableEdit::Set(field.to_owned(), json!({"is": "odd"}))])
            }
            Self::OtherTables => Effect::EditTable(vec![match rng.u32(..3) {
                0 => TableEdit::Name("a-000000".to_owned()),
                1 => TableEdit::ArnAccount("999900009999".to_owned()),
                _ => TableEdit::ArnRegion("sa-east-1".to_owned()),
            }]),
            Self::Stubs => Effect::EditTable(vec![TableEdit::Stub]),
            Self::AnswersAsOther | Self::SessionsOfOther => Effect::AsAccount(stranger(rng)),
            Self::ShortOrganizations => Effect::FirstAccounts(rng.usize(..3)),
            Self::OtherOrganizations => Effect::OtherAccounts(vec!["555555555555".to_owned()]),
            // These are not about requests: the configuration lacks an account, or the estate changes.
            Self::LostTargets | Self::Suspensions | Self::MovedKeys | Self::DeletedKeys => {
                Effect::Delay(Duration::ZERO)
            }
        }
    }

    /// Limits a rule to some requests: an operation, and often an account, a Region or a table.
    fn narrowed(self, rule: FaultRule, rng: &mut fastrand::Rng, plan: &Plan) -> FaultRule {
        let operation = match self {
            Self::StsErrors => Some([Operation::AssumeRole, Operation::GetCallerIdentity][rng.usize(..2)]),
            Self::IdentityDenied => Some(Operation::GetCallerIdentity),
            Self::ExpiredClaims | Self::SessionsOfOther => Some(Operation::AssumeRole),
            Self::NotFoundOnce | Self::MissingFields | Self::OddTypes | Self::OtherTables | Self::Stubs => {
                Some(Operation::DescribeTable)
            }
            Self::ShortOrganizations | Self::OtherOrganizations => Some(Operation::ListAccounts),
            // The keys are another account's for every operation.
            Self::AnswersAsOther => None,
            _ => [None, Some(Operation::ListTables), Some(Operation::DescribeTable)][rng.usize(..3)],
        };
        let rule = operation.into_iter().fold(rule, FaultRule::operation);
        let rule = if operation == Some(Operation::DescribeTable) && rng.bool() {
            rule.table(["a-*", "b-*", "c-000002", "a-000001"][rng.usize(..4)])
        } else {
            rule
        };
        match rng.u32(..3) {
            // Keys belong to one account in all Regions.
            1 if self == Self::AnswersAsOther => rule,
            0 => rule.account(plan.accounts[rng.usize(..plan.accounts.len())]),
            1 => rule.region(plan.regions[rng.usize(..plan.regions.len())]),
            _ => rule,
        }
    }

    fn when(self, rng: &mut fastrand::Rng) -> When {
        match self {
            // Twice would look like the truth.
            Self::NotFoundOnce | Self::UnrecognizedOnce => When::First(1),
            // If they were the right keys again a moment later, nothing could detect it.
            Self::AnswersAsOther => When::After(rng.u64(..40)),
            _ => match rng.u32(..6) {
                0 => When::Always,
                1 => When::First(rng.u64(1..=40)),
                2 => When::After(rng.u64(..10)),
                3 => When::Every(rng.u64(2..=6)),
                4 => When::For(Duration::from_millis(rng.u64(1..=10_000))),
                _ => When::Probability { p: rng.f64(), seed: rng.u64(..) },
            },
        }
    }
}

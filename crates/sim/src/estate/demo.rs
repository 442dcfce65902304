//! The demo estate: two accounts of a payments company, three Regions, some 200 tables.

use super::{Account, DemoAccess, Estate, Role, Tables, demo_tables};
use crate::denials::Denial;
use crate::effect::Effect;
use crate::faults::FaultRule;
use crate::operation::Operation;

const PAYMENTS: &str = "111122223333";
const ANALYTICS: &str = "444455556666";
const FRAUD: &str = "777788889999";
const ROLE: &str = "DynacrawlReader";
const IRELAND: &str = "eu-west-1";
const VIRGINIA: &str = "us-east-1";
const SYDNEY: &str = "ap-southeast-2";

/// The services of the payments account. Each has a table in every environment.
const SERVICES: [&str; 14] = [
    "orders",
    "customer-profiles",
    "invoices",
    "refunds",
    "payouts",
    "disputes",
    "mandates",
    "cards",
    "webhooks",
    "idempotency-keys",
    "audit-log",
    "fx-rates",
    "risk-scores",
    "subscriptions",
];

const ANALYTICS_TABLES: [&str; 16] = [
    "page_views",
    "sessions",
    "session_cache",
    "experiments",
    "feature_flags",
    "funnels",
    "cohorts",
    "retention_daily",
    "revenue_by_day",
    "export_jobs",
    "dashboards",
    "saved_queries",
    "user_segments",
    "ingest_offsets",
    "schema_registry",
    "late_events",
];

impl Estate {
    /// A realistic estate with every feature that DynamoDB's tables can have. It is always the
    /// same.
    #[must_use]
    pub fn demo() -> Self {
        let payments = Account::new(PAYMENTS)
            .region(IRELAND, payments_ireland())
            .region(VIRGINIA, payments_virginia())
            .region(SYDNEY, payments_sydney());
        let role = Role::new(ROLE).trusts(PAYMENTS).external_id("dynacrawl-demo-7f3a");
        let analytics = Account::new(ANALYTICS)
            .role(role.clone())
            .region(IRELAND, analytics(IRELAND).merge(demo_tables::specials_analytics(ANALYTICS, IRELAND)))
            .region(VIRGINIA, analytics(VIRGINIA))
            .region(SYDNEY, analytics(SYDNEY));
        let access = vec![payments.access("payments"), analytics.access_by_role("analytics", &role, &payments)];
        Self { access: DemoAccess { accounts: access }, ..Self::new([payments, analytics]) }
    }

    /// The demo estate with faults: `ledger-2025` of payments in us-east-1 is denied, every
    /// DescribeTable of analytics in ap-southeast-2 is throttled, and the role of a third account,
    /// `fraud`, cannot be assumed.
    #[must_use]
    pub fn demo_with_faults() -> Self {
        let mut estate = Self::demo();
        let role = Role::new(ROLE).trusts(FRAUD).external_id("dynacrawl-demo-b81c");
        let fraud = Account::new(FRAUD).role(role.clone()).region(
            IRELAND,
            Tables::new()
                .table("case-files", &demo_tables::regular(FRAUD, IRELAND, "case-files", 1))
                .table("device-fingerprints", &demo_tables::regular(FRAUD, IRELAND, "device-fingerprints", 2)),
        );
        estate.access.accounts.push(fraud.access_by_role("fraud", &role, &estate.accounts[0]));
        estate.accounts.push(fraud);
        estate.denials.push(Denial::new(PAYMENTS, Operation::DescribeTable).region(VIRGINIA).table("ledger-2025"));
        estate.faults.push(
            FaultRule::new(Effect::Throttle).account(ANALYTICS).region(SYDNEY).operation(Operation::DescribeTable),
        );
        estate
    }
}

fn payments_ireland() -> Tables {
    let mut names: Vec<String> = Vec::new();
    for environment in ["prod", "staging", "dev"] {
        names.extend(SERVICES.iter().map(|service| format!("{service}-{environment}")));
    }
    names.extend((1..=56).map(|tenant| format!("tenant-{tenant:04}-events")));
    regular(PAYMENTS, IRELAND, &names).merge(demo_tables::specials_payments(PAYMENTS, IRELAND))
}

fn payments_virginia() -> Tables {
    let mut names: Vec<String> = Vec::new();
    for environment in ["prod", "staging"] {
        names.extend(SERVICES.iter().map(|service| format!("{service}-{environment}")));
    }
    names.extend((2019..=2025).map(|year| format!("ledger-{year}")));
    regular(PAYMENTS, VIRGINIA, &names).merge(demo_tables::specials_global(PAYMENTS, VIRGINIA))
}

fn payments_sydney() -> Tables {
    let names: Vec<String> = SERVICES.iter().map(|service| format!("{service}-prod")).collect();
    regular(PAYMENTS, SYDNEY, &names)
}

fn analytics(region: &str) -> Tables {
    let names = ANALYTICS_TABLES.map(str::to_owned);
    regular(ANALYTICS, region, &names)
}

fn regular(account: &str, region: &str, names: &[String]) -> Tables {
    names.iter().enumerate().fold(Tables::new(), |tables, (kind, name)| {
        tables.table(name, &demo_tables::regular(account, region, name, kind))
    })
}

impl Tables {
    fn merge(mut self, other: Self) -> Self {
        self.stored.extend(other.stored);
        self
    }
}

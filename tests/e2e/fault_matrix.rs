//! Every fault with the same organization: no table is lost or written twice, no failure looks like
//! a removal, and the outcomes and the exit code are correct.

use std::collections::BTreeMap;
use std::time::Duration;

use dynacrawl_sim::{Account, Denial, Effect, Estate, FaultRule, Operation, Options, Role, Simulator, Tables, When};
use serde_json::Value;

use crate::command::{Crawled, Dynacrawl};
use crate::support::{HOME, IRELAND, VIRGINIA, simulate_with};

const ACCOUNTS: [&str; 3] = ["200000000001", "200000000002", "200000000003"];
const REGIONS: [&str; 2] = [IRELAND, VIRGINIA];
const TABLES: u64 = 230;
/// An account that is only in the configuration.
const GONE: &str = "200000000009";

/// The expected result of an account's scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// All tables, and the outcome `complete`.
    Whole,
    /// All tables, some of them as failed for this reason, and the outcome `partial`.
    Failed(&'static str, usize),
    /// Only the tables of the first pages, and the outcome `incomplete_listing`.
    Pages(usize),
    /// Nothing, and this outcome.
    Nothing(&'static str),
}

/// One row of the matrix.
struct Row {
    name: &'static str,
    fault: fn(&Simulator),
    args: &'static [&'static str],
    config: &'static str,
    accounts: &'static [&'static str],
    /// The accounts that are not expected to be [`Expect::Whole`].
    expect: &'static [(&'static str, Expect)],
    code: i32,
}

/// A row in which all faults are retried successfully.
const REPAIRED: Row = Row { name: "", fault: |_| {}, args: &[], config: "", accounts: &ACCOUNTS, expect: &[], code: 0 };

fn often(p: f64, seed: u64, effect: Effect) -> FaultRule {
    FaultRule::new(effect).when(When::Probability { p, seed })
}

const MATRIX: &[Row] = &[
    Row { name: "no fault", ..REPAIRED },
    Row {
        name: "transient throttling",
        fault: |sim| {
            sim.add_fault(FaultRule::new(Effect::Throttle).account(ACCOUNTS[0]).first(40));
        },
        ..REPAIRED
    },
    Row {
        name: "permanent throttling",
        fault: |sim| {
            let storm = FaultRule::new(Effect::Throttle).account(ACCOUNTS[0]);
            sim.add_fault(storm.operation(Operation::DescribeTable));
        },
        args: &["--patience", "1s", "--max-attempts", "3"],
        expect: &[(ACCOUNTS[0], Expect::Failed("throttled", 230))],
        code: 3,
        ..REPAIRED
    },
    Row {
        name: "1 % of 5xx",
        fault: |sim| {
            sim.add_fault(often(0.01, 1, Effect::Status(500)));
        },
        ..REPAIRED
    },
    Row {
        name: "10 % of 5xx",
        fault: |sim| {
            sim.add_fault(often(0.05, 2, Effect::Status(500)));
            sim.add_fault(often(0.05, 3, Effect::Status(503)));
        },
        ..REPAIRED
    },
    Row {
        name: "50 % of 5xx",
        fault: |sim| {
            sim.add_fault(often(0.5, 4, Effect::Status(500)));
        },
        ..REPAIRED
    },
    Row {
        name: "10 % of connections reset",
        fault: |sim| {
            sim.add_fault(often(0.1, 5, Effect::DropConnection));
        },
        ..REPAIRED
    },
    Row {
        name: "10 % of bodies cut off",
        fault: |sim| {
            sim.add_fault(often(0.1, 6, Effect::TruncateBody));
        },
        ..REPAIRED
    },
    Row {
        name: "10 % of answers from a portal",
        fault: |sim| {
            sim.add_fault(often(0.1, 7, Effect::GarbageBody));
        },
        ..REPAIRED
    },
    Row {
        name: "2 % of bodies too slow",
        fault: |sim| {
            let slow = Effect::SlowBody { chunk_delay: Duration::from_millis(500) };
            sim.add_fault(often(0.02, 8, slow));
        },
        // Far more than a normal answer takes on a busy machine.
        config: "[aws]\nattempt_timeout = \"5s\"\n",
        ..REPAIRED
    },
    Row {
        name: "a denied page in mid-listing",
        fault: |sim| {
            for _ in 0..2 {
                // The second page of each Region is the second or third ListTables request.
                let denied = FaultRule::new(Effect::Deny).account(ACCOUNTS[1]).operation(Operation::ListTables);
                sim.add_fault(denied.clone().region(IRELAND).nth(2));
                sim.add_fault(denied.region(VIRGINIA).nth(2));
            }
        },
        expect: &[(ACCOUNTS[1], Expect::Pages(100))],
        code: 3,
        ..REPAIRED
    },
    Row {
        name: "denied tables",
        fault: |sim| sim.deny(Denial::new(ACCOUNTS[2], Operation::DescribeTable).table("table-00001*")),
        expect: &[(ACCOUNTS[2], Expect::Failed("denied", 10))],
        code: 3,
        ..REPAIRED
    },
    Row {
        name: "vanished tables",
        fault: |sim| {
            let gone = FaultRule::new(Effect::NotFound).operation(Operation::DescribeTable);
            sim.add_fault(gone.account(ACCOUNTS[0]).table("table-00002*"));
        },
        // They no longer exist, so nothing is missing.
        ..REPAIRED
    },
    Row {
        name: "sessions that end at random requests",
        fault: |sim| {
            for (account, seed) in ACCOUNTS.into_iter().zip(20..) {
                let ended = FaultRule::new(Effect::ExpireToken).account(account);
                sim.add_fault(ended.nth(fastrand::Rng::with_seed(seed).u64(1..400)));
            }
        },
        ..REPAIRED
    },
    Row {
        name: "an account that no longer exists",
        accounts: &[ACCOUNTS[0], GONE, ACCOUNTS[1], ACCOUNTS[2]],
        expect: &[(GONE, Expect::Nothing("auth_failed"))],
        code: 3,
        ..REPAIRED
    },
    Row {
        name: "an STS that fails half of the time",
        fault: |sim| {
            sim.add_fault(often(0.5, 9, Effect::Status(500)).operation(Operation::AssumeRole));
        },
        ..REPAIRED
    },
    Row {
        name: "an account whose listing is denied",
        fault: |sim| sim.deny(Denial::new(ACCOUNTS[1], Operation::ListTables)),
        expect: &[(ACCOUNTS[1], Expect::Nothing("denied"))],
        code: 3,
        ..REPAIRED
    },
    Row {
        name: "a name that does not resolve",
        args: &["--endpoint-url", "http://dynamodb.invalid", "--max-attempts", "2"],
        config: "[aws]\nconnect_timeout = \"2s\"\n",
        expect: &[
            (ACCOUNTS[0], Expect::Nothing("unreachable")),
            (ACCOUNTS[1], Expect::Nothing("unreachable")),
            (ACCOUNTS[2], Expect::Nothing("unreachable")),
        ],
        code: 4,
        ..REPAIRED
    },
];

#[test]
fn after_every_fault_each_table_is_there_once() {
    for row in MATRIX {
        let (sim, crawled) = crawl(row);
        // The contract of every output includes that no table is written twice, and that sums and
        // exit code are correct.
        assert_eq!(crawled.code, row.code, "{}: {}", row.name, crawled.stderr);
        for account in row.accounts {
            let expect = row.expect.iter().find(|(id, _)| id == account).map_or(Expect::Whole, |(_, expect)| *expect);
            for region in REGIONS {
                check(row.name, &sim, &crawled, account, region, expect);
            }
        }
    }
}

fn crawl(row: &Row) -> (Simulator, Crawled) {
    let member = |id: &str| {
        let account = Account::new(id).role(Role::new("Reader").trusts(HOME));
        REGIONS.iter().fold(account, |account, region| account.region(*region, Tables::new().generated(TABLES)))
    };
    let home = Account::new(HOME).region(IRELAND, Tables::new()).region(VIRGINIA, Tables::new());
    let keys = home.access("home");
    let options = Options { verify_signatures: false, ..Options::default() };
    let sim = simulate_with(Estate::new(ACCOUNTS.map(member).into_iter().chain([home])), &options);
    (row.fault)(&sim);
    let config = format!(
        "{}[crawl]\nrate = 0\n[[target]]\nname = \"all\"\nregions = {REGIONS:?}\naccounts = {:?}\n\
         assume_role = [{{ arn = \"arn:aws:iam::{{account}}:role/Reader\" }}]\n",
        row.config, row.accounts
    );
    let mut crawl = Dynacrawl::crawl().keys(&keys).config(&config).args(["--sts-endpoint-url", &sim.url()]);
    if !row.args.contains(&"--endpoint-url") {
        crawl = crawl.args(["--endpoint-url", &sim.url()]);
    }
    let crawled = crawl.args(row.args).records();
    (sim, crawled)
}

#[track_caller]
fn check(name: &str, sim: &Simulator, crawled: &Crawled, account: &str, region: &str, expect: Expect) {
    let of = |record: &&Value| record["scope"]["account_id"] == account && record["scope"]["region"] == region;
    let scope = crawled.of_type("scope_completed").find(of).unwrap_or_else(|| panic!("{name}: no end of {account}"));
    let mut written: Vec<_> =
        crawled.of_type("table").filter(of).filter_map(|record| record["table"]["name"].as_str()).collect();
    let mut failed = BTreeMap::<_, usize>::new();
    for record in crawled.of_type("table_failed").filter(of) {
        written.push(record["table_name"].as_str().expect("a name"));
        *failed.entry(record["reason"].as_str().expect("a reason")).or_default() += 1;
    }
    written.sort_unstable();
    let all = sim.table_names(account, region);
    let (outcome, names) = match expect {
        Expect::Whole => ("complete", &all[..]),
        Expect::Failed(..) => ("partial", &all[..]),
        Expect::Pages(names) => ("incomplete_listing", &all[..names]),
        Expect::Nothing(outcome) => (outcome, &[][..]),
    };
    assert_eq!(scope["outcome"], outcome, "{name}: {scope}");
    assert_eq!(written, names, "{name}: {account}/{region}");
    // Only tables that no longer exist are reported as vanished.
    let vanished = if name == "vanished tables" && account == ACCOUNTS[0] { 10 } else { 0 };
    assert_eq!(failed.remove("vanished").unwrap_or_default(), vanished, "{name}: {account}/{region}");
    let expected = match expect {
        Expect::Failed(reason, count) => BTreeMap::from([(reason, count)]),
        _ => BTreeMap::new(),
    };
    assert_eq!(failed, expected, "{name}: {scope}");
}

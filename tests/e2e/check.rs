//! `dynacrawl check`: Regions and tables.

use dynacrawl_sim::{Account, Denial, Effect, FaultRule, Operation, Tables};
use serde_json::Value;

use crate::command::Dynacrawl;
use crate::support::{BAHRAIN, HOME, IRELAND, VIRGINIA, alone, closed_port, ireland, named, started};

/// A check that has ended.
pub(crate) struct Checked {
    pub(crate) code: i32,
    pub(crate) checks: Vec<Value>,
}

impl Checked {
    /// The status and code of each check that is not ok.
    pub(crate) fn troubles(&self) -> Vec<(&str, &str)> {
        let troubles = self.checks.iter().filter(|check| check["status"] != "ok");
        troubles
            .map(|check| (check["status"].as_str().expect("a status"), check["code"].as_str().expect("a code")))
            .collect()
    }

    /// The ids of the checks.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.checks.iter().map(|check| check["id"].as_str().expect("an id")).collect()
    }
}

/// Runs a check with JSON output, and checks what holds for each output.
#[track_caller]
pub(crate) fn checked(check: Dynacrawl) -> Checked {
    let ended = check.args(["--format", "json"]).run();
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let names: Vec<_> = answer.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["checks"]);
    let checks = answer["checks"].as_array().expect("a list").clone();
    for check in &checks {
        for (field, value) in check.as_object().expect("an object") {
            let expected = match field.as_str() {
                "id" | "target" | "status" | "code" | "message" | "fix" => value.is_string(),
                "scope" => value.is_object(),
                "tables" => value.as_array().is_some_and(|tables| !tables.is_empty()),
                _ => false,
            };
            assert!(expected, "{field} of {check}");
        }
        let ok = check["status"] == "ok";
        assert_eq!(check.get("code").is_none(), ok, "{check}");
        assert_eq!(check["fix"] == "", ok, "each problem has a fix: {check}");
    }
    let checked = Checked { code: ended.code(), checks };
    let fails = checked.troubles().iter().any(|(status, _)| *status == "fail");
    assert_eq!(fails, checked.code != 0, "{:?}", checked.checks);
    checked
}

fn check() -> Dynacrawl {
    Dynacrawl::new("check")
}

#[test]
fn a_region_that_would_work_is_reported_as_text_and_as_json() {
    let (sim, home) = ireland(30);
    let ready = || check().sim(&sim).keys(&home).args(["--region", IRELAND]);
    let found = checked(ready());
    assert_eq!((found.code, found.troubles()), (0, vec![]));
    assert_eq!(found.ids(), ["credentials", "region", "list_tables", "describe_table"]);
    assert_eq!(
        found.checks[1]["scope"],
        serde_json::json!({"partition": "aws", "account_id": HOME, "region": IRELAND})
    );
    let text = ready().run().succeeded();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("ok   credentials") && lines[0].contains("user/crawler"), "{text}");
    assert_eq!(lines[4], "1 of 1 scopes would work; 0 warnings, 0 failures");
}

#[test]
fn twenty_tables_are_described_or_all_on_request() {
    let (sim, home) = ireland(250);
    let asked = |check: Dynacrawl| {
        sim.reset_counts();
        assert_eq!(checked(check.sim(&sim).keys(&home).args(["--region", IRELAND])).code, 0);
        (sim.counts().requests(Operation::ListTables), sim.counts().requests(Operation::DescribeTable))
    };
    assert_eq!(asked(check()), (1, 20));
    assert_eq!(asked(check().config("[check]\ntables = 3\n")), (1, 3));
    assert_eq!(asked(check().args(["--all", "--rate", "0"])), (3, 250));
    assert_eq!(asked(check().args(["--include", "table-0002.*"])), (3, 20));
}

#[test]
fn each_denied_action_has_its_own_code() {
    let (sim, home) = ireland(30);
    let run = || checked(check().sim(&sim).keys(&home).args(["--region", IRELAND]));
    sim.deny(Denial::new(HOME, Operation::ListTables));
    let found = run();
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "list_tables_denied")]));
    sim.clear_denials();
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-00000*"));
    let found = run();
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "describe_table_denied")]));
    let tables = found.checks.last().expect("a check")["tables"].as_array().expect("tables").len();
    assert_eq!(tables, 10, "they are named");
    let text = check().sim(&sim).keys(&home).args(["--region", IRELAND]).run();
    text_has(
        &text.stdout,
        &["FAIL describe_table", "table-000003", "dynamodb:DescribeTable", "0 of 1 scopes would work"],
    );
}

#[track_caller]
fn text_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn failed_tables_and_denied_tables_have_different_codes() {
    let (sim, home) = ireland(30);
    sim.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::DescribeTable).table("table-000003"));
    let found = checked(check().sim(&sim).keys(&home).args(["--region", IRELAND]));
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "describe_table_failed")]));
    sim.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::ListTables));
    let found = checked(check().sim(&sim).keys(&home).args(["--region", IRELAND, "--max-attempts", "2"]));
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "list_tables_throttled")]));
}

#[test]
fn nothing_to_crawl_is_a_warning() {
    let (sim, home) = ireland(0);
    let found = checked(check().sim(&sim).keys(&home).args(["--region", IRELAND]));
    assert_eq!((found.code, found.troubles()), (0, vec![("warn", "no_tables")]));
    let (sim, home) = alone(named(&["alpha", "beta"]));
    let found = checked(check().sim(&sim).keys(&home).args(["--region", IRELAND, "--include", "alph"]));
    assert_eq!((found.code, found.troubles()), (0, vec![("warn", "all_filtered")]));
}

#[test]
fn a_region_that_is_not_enabled_fails_and_the_others_pass() {
    let account =
        Account::new(HOME).region(IRELAND, Tables::new().generated(3)).region(VIRGINIA, Tables::new().generated(3));
    let (sim, home) = started(account);
    let regions = format!("{IRELAND},{BAHRAIN},{VIRGINIA}");
    let found = checked(check().sim(&sim).keys(&home).args(["--region", &regions]));
    assert_eq!((found.code, found.troubles()), (3, vec![("fail", "not_opted_in")]));
    let found = checked(check().sim(&sim).keys(&home).args(["--region", BAHRAIN]));
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "not_opted_in")]));
}

#[test]
fn unknown_and_unreachable_regions_have_different_codes() {
    let (sim, home) = ireland(3);
    let of = |region: &str| {
        let endpoints = ["--endpoint-url", &closed_port(), "--sts-endpoint-url", &sim.url()].map(str::to_owned);
        checked(check().keys(&home).args(endpoints).args(["--region", region]))
    };
    let found = of("eu-nowhere-1");
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "invalid_region")]));
    assert!(found.checks[1]["message"].as_str().is_some_and(|message| message.contains("eu-nowhere-1")));
    let found = of(IRELAND);
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "unreachable")]));
}

#[test]
fn the_demo_can_be_checked() {
    assert_eq!(checked(check().arg("--demo")).code, 0);
    let found = checked(check().args(["--demo-faults", "--all"]));
    assert_eq!(found.code, 3);
    let codes: Vec<_> = found.troubles().into_iter().map(|(_, code)| code).collect();
    for code in ["assume_role_denied", "describe_table_denied", "describe_table_failed"] {
        assert!(codes.contains(&code), "no {code} in {codes:?}");
    }
}

#[test]
fn wrong_usage_is_an_error_and_not_a_finding() {
    check().args(["--region", "Ireland"]).run().fails_with(2, "Ireland");
    check().args(["--region", IRELAND, "--format", "xml"]).run().fails_with(2, "xml");
}

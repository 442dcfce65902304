//! A flag takes precedence over the environment, that over the file, and that over the default.

use dynacrawl_sim::{Effect, FaultRule, Operation, Tables};
use serde_json::Value;

use crate::command::{Crawled, Dynacrawl};
use crate::daemon::{keyed, target};
use crate::support::{HOME, IRELAND, VIRGINIA, alone, ireland, named, started};

fn split(crawled: &Crawled) -> bool {
    crawled.of_type("key_schema").count() > 0
}

#[test]
fn flags_beat_variables_which_beat_the_file_and_the_defaults() {
    let (sim, home) = ireland(3);
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND);
    let file = "[crawl]\nlayout = \"entities\"\n";
    assert!(!split(&crawl().records()));
    assert!(split(&crawl().config(file).records()));
    assert!(!split(&crawl().config(file).env("DYNACRAWL_LAYOUT", "table").records()));
    assert!(split(&crawl().config(file).env("DYNACRAWL_LAYOUT", "table").args(["--layout", "entities"]).records()));
}

#[test]
fn the_environment_is_checked_like_a_flag() {
    let crawl = || Dynacrawl::crawl().args(["--region", IRELAND]);
    crawl().env("DYNACRAWL_RATE", "fast").run().fails_with(2, "fast");
    crawl().env("DYNACRAWL_CONCURRENCY", "0").run().fails_with(2, "DYNACRAWL_CONCURRENCY: 0");
    crawl().env("DYNACRAWL_LAYOUT", "tree").args(["--layout", "trees"]).run().fails_with(2, "trees");
}

#[test]
fn lists_are_replaced_and_not_added_to() {
    let (sim, home) = alone(named(&["alpha", "beta", "gamma"]));
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND).config("[crawl]\ninclude = [\"alpha\"]\n");
    assert_eq!(crawl().records().names(), ["alpha"]);
    assert_eq!(crawl().env("DYNACRAWL_INCLUDE", "beta").records().names(), ["beta"]);
    let by_flag = crawl().env("DYNACRAWL_INCLUDE", "beta").args(["--include", "gamma"]).records();
    assert_eq!(by_flag.names(), ["gamma"]);
}

#[test]
fn the_configuration_file_can_be_named_by_the_environment() {
    let (sim, home) = ireland(3);
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).file("elsewhere.toml", "[crawl]\nlayout = \"entities\"\n");
    let path = crawl.path("elsewhere.toml");
    assert!(split(&crawl.env("DYNACRAWL_CONFIG", path).records()));
}

#[test]
fn the_region_comes_from_the_flag_the_variable_or_aws() {
    let account = dynacrawl_sim::Account::new(HOME)
        .region(IRELAND, Tables::new().generated(3))
        .region(VIRGINIA, Tables::new().generated(3))
        .region("eu-north-1", Tables::new().generated(3));
    let (sim, home) = started(account);
    let region =
        |crawl: Dynacrawl| crawl.sim(&sim).keys(&home).records().records[0]["targets"][0]["regions"].to_string();
    let crawl = || Dynacrawl::crawl().env("AWS_REGION", "eu-north-1");
    assert_eq!(region(crawl()), "[\"eu-north-1\"]");
    assert_eq!(region(crawl().env("DYNACRAWL_REGION", IRELAND)), "[\"eu-west-1\"]");
    assert_eq!(region(crawl().env("DYNACRAWL_REGION", IRELAND).args(["--region", VIRGINIA])), "[\"us-east-1\"]");
}

#[test]
fn the_endpoint_comes_from_the_flag_the_variable_or_aws() {
    let (sim, home) = ireland(3);
    let (url, closed) = (sim.url(), crate::support::closed_port());
    let crawl = || Dynacrawl::crawl().keys(&home).args(["--region", IRELAND]);
    assert_eq!(crawl().env("AWS_ENDPOINT_URL", &url).records().code, 0);
    let specific = crawl()
        .env("AWS_ENDPOINT_URL", &closed)
        .env("AWS_ENDPOINT_URL_DYNAMODB", &url)
        .env("AWS_ENDPOINT_URL_STS", &url);
    assert_eq!(specific.records().code, 0);
    let own = crawl()
        .env("AWS_ENDPOINT_URL", &closed)
        .env("DYNACRAWL_ENDPOINT_URL", &url)
        .env("DYNACRAWL_STS_ENDPOINT_URL", &url);
    assert_eq!(own.records().code, 0);
    let flag =
        crawl().env("DYNACRAWL_ENDPOINT_URL", &closed).args(["--endpoint-url", &url, "--sts-endpoint-url", &url]);
    assert_eq!(flag.records().code, 0);
}

#[test]
fn the_rate_holds_for_any_number_of_concurrent_describes() {
    let (sim, home) = ireland(150);
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "50", "--concurrency", "32"]).records();
    assert_eq!(crawled.code, 0);
    let counts = sim.counts();
    let scope = counts.scopes.iter().find(|scope| scope.region == IRELAND).expect("Ireland");
    // A burst of a tenth of a second is allowed, and a busy machine counts delayed requests late.
    // Without a limit, all requests would be within a second.
    assert!(scope.peak_per_second <= 75, "{scope:?}");
    let duration = crawled.scope(IRELAND)["duration_ms"].as_u64().expect("a number");
    assert!(duration >= 2_800, "152 requests at 50 a second: {duration} ms");
}

#[test]
fn concurrency_limits_how_many_tables_are_described_at_once() {
    let (sim, home) = ireland(60);
    sim.set_latency(HOME, IRELAND, std::time::Duration::from_millis(20)).expect("the Region is there");
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--rate", "0", "--concurrency", "5"]).records();
    assert_eq!(crawled.code, 0);
    // One more for ListTables, which runs in parallel.
    assert!(sim.counts().peak_concurrent <= 6, "{}", sim.counts().peak_concurrent);
}

#[test]
fn the_digest_depends_on_settings_and_not_on_keys() {
    let (sim, home) = ireland(1);
    let digest = |crawl: Dynacrawl| crawl.records().records[0]["config_digest"].clone();
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND);
    let first = digest(crawl());
    assert_eq!(digest(crawl().aws_keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", None)), first);
    assert_eq!(digest(crawl().args(["--rate", "10"])), first, "the rate does not change the output");
    assert_ne!(digest(crawl().args(["--include", "table.*"])), first);
    assert_ne!(digest(crawl().args(["--layout", "entities"])), first);
}

#[test]
fn messages_are_json_on_request() {
    let (sim, home) = ireland(3);
    sim.add_fault(FaultRule::new(Effect::Throttle).operation(Operation::DescribeTable).first(2));
    let crawled = Dynacrawl::crawl_of(&sim, &home, IRELAND)
        .args(["--log-level", "debug", "--log-format", "json", "--quiet"])
        .records();
    let messages: Vec<Value> = crawled
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(messages.iter().any(|message| message["code"] == "ThrottlingException"), "{messages:?}");
}

#[test]
fn the_file_and_the_environment_can_set_what_flags_set() {
    let (sim, home) = ireland(30);
    let crawl = || Dynacrawl::crawl_of(&sim, &home, IRELAND);
    for dry in [
        crawl().arg("--dry-run"),
        crawl().env("DYNACRAWL_DRY_RUN", "true"),
        crawl().config("[crawl]\ndry_run = true\n"),
    ] {
        assert_eq!(dry.records().of_type("table_listed").count(), 30);
    }
    let back = crawl().arg("--dry-run=false").config("[crawl]\ndry_run = true\n").records();
    assert_eq!(back.names().len(), 30);
    for quiet in
        [crawl().arg("--quiet"), crawl().env("DYNACRAWL_QUIET", "true"), crawl().config("[crawl]\nquiet = true\n")]
    {
        assert_eq!(quiet.records().stderr, "");
    }
    let check = || Dynacrawl::new("check").sim(&sim).keys(&home).args(["--region", IRELAND]);
    for json in [
        check().args(["--format", "json", "--all"]),
        check().env("DYNACRAWL_CHECK_FORMAT", "json").env("DYNACRAWL_CHECK_ALL", "true"),
        check().config("[check]\nformat = \"json\"\nall = true\n"),
    ] {
        sim.reset_counts();
        let found: Value = serde_json::from_str(&json.run().succeeded()).expect("JSON");
        assert!(found["checks"].as_array().is_some_and(|checks| !checks.is_empty()));
        assert_eq!(sim.counts().requests(Operation::DescribeTable), 30);
    }
}

#[test]
fn a_target_that_is_not_chosen_may_name_a_missing_profile() {
    let (sim, home) = ireland(2);
    let config = format!("{}[[target]]\nname = \"other\"\nprofile = \"no-such-profile\"\n", target("home", &[IRELAND]));
    let crawl = || keyed(Dynacrawl::crawl().config(&config), &sim, &home);
    let ended = crawl().args(["--target", "home"]).run();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    crawl().run().fails_with(2, "the profile 'no-such-profile' does not exist");
}

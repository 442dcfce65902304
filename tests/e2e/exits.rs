//! Exit codes: usage (2), and the order among the others. Other files test 0 and 130.

use dynacrawl_sim::{Denial, Operation};

use crate::command::Dynacrawl;
use crate::support::{HOME, IRELAND, ireland};

/// A crawl that cannot begin: nothing is called and nothing is written.
#[track_caller]
fn unusable(crawl: Dynacrawl, expected: &[&str]) {
    let ended = crawl.run();
    assert_eq!((ended.code(), ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
    for text in expected {
        assert!(ended.stderr.contains(text), "no {text:?} in {}", ended.stderr);
    }
}

fn file(text: &str) -> Dynacrawl {
    Dynacrawl::crawl().config(text)
}

#[test]
fn a_wrong_flag_is_named() {
    let crawl = || Dynacrawl::crawl().args(["--region", IRELAND]);
    unusable(crawl().arg("--no-such-flag"), &["--no-such-flag"]);
    unusable(crawl().args(["--rate", "fast"]), &["--rate", "fast"]);
    unusable(crawl().args(["--concurrency", "0"]), &["--concurrency", "1 to 1000"]);
    unusable(crawl().args(["--max-attempts", "101"]), &["--max-attempts", "1 to 100"]);
    unusable(crawl().args(["--grace", "soon"]), &["--grace", "soon", "20s"]);
    unusable(crawl().args(["--layout", "tree"]), &["--layout", "tree", "entities"]);
    unusable(crawl().args(["--endpoint-url", "localhost"]), &["endpoint"]);
    unusable(crawl().args(["--role-arn", "arn:aws:iam::1:role/x"]), &["--role-arn"]);
    unusable(crawl().args(["--external-id", "x"]), &["--role-arn"]);
    unusable(crawl().args(["--account-id", "12"]), &["account_id", "twelve digits"]);
    unusable(crawl().args(["--log-level", "loud"]), &["--log-level", "loud"]);
    unusable(Dynacrawl::crawl().args(["--region", "Ireland"]), &["Ireland", "eu-west-1"]);
    unusable(Dynacrawl::crawl().args(["--region", "eu-west-1,eu-west-1"]), &["eu-west-1", "twice"]);
    unusable(Dynacrawl::crawl().args(["--region", "eu-west-1,cn-north-1"]), &["partition"]);
    unusable(Dynacrawl::crawl().args(["--demo", "--region", IRELAND]), &["--demo"]);
}

#[test]
fn without_a_region_the_error_names_where_one_could_come_from() {
    unusable(Dynacrawl::crawl(), &["no Region", "AWS_REGION"]);
}

#[test]
fn an_invalid_expression_is_shown_with_the_position() {
    let crawl = || Dynacrawl::crawl().args(["--region", IRELAND]);
    unusable(crawl().args(["--include", "orders-(prod"]), &["--include", "orders-(prod", "character 8"]);
    unusable(crawl().args(["--exclude", "[a-"]), &["--exclude", "[a-"]);
}

#[test]
fn a_wrong_key_in_the_file_is_named_with_its_place() {
    unusable(file("[crawl]\nrates = 5\n"), &["dynacrawl.toml", "rates", "2"]);
    unusable(file("[crawl]\nrate = \"fast\"\n"), &["dynacrawl.toml", "rate", "2"]);
    unusable(file("[crawl]\nconcurrency = 1001\n"), &["dynacrawl.toml", "concurrency", "1 to 1000"]);
    unusable(file("[crawl\n"), &["dynacrawl.toml"]);
    unusable(file("[[target]]\nregion = \"eu-west-1\"\n"), &["dynacrawl.toml", "region"]);
    unusable(file("[aws]\nattempt_timeout = \"0s\"\n"), &["dynacrawl.toml", "attempt_timeout"]);
    unusable(Dynacrawl::crawl().args(["--config", "/no/such/file"]), &["/no/such/file"]);
}

#[test]
fn a_secret_in_the_file_itself_is_refused_and_not_repeated() {
    let target = "[[target]]\nregions = [\"eu-west-1\"]\n\
                  credentials = { access_key_id = { env = \"K\" }, secret_access_key = \"typed-into-the-file\" }\n";
    unusable(file(target).secret("typed-into-the-file"), &["dynacrawl.toml", "env"]);
}

#[test]
fn a_secret_that_is_missing_is_named_with_its_place() {
    let target = |secret: &str| {
        let keys = format!("{{ access_key_id = {{ env = \"K\" }}, secret_access_key = {secret} }}");
        format!("[[target]]\nname = \"payments\"\nregions = [\"eu-west-1\"]\ncredentials = {keys}\n")
    };
    let missing = file(&target("{ env = \"NO_SUCH\" }")).env("K", "AKIA");
    unusable(missing, &["payments", "secret_access_key", "NO_SUCH"]);
    let missing = file(&target("{ file = \"/no/such/secret\" }")).env("K", "AKIA");
    unusable(missing, &["payments", "/no/such/secret"]);
    let two_words =
        file(&target("{ env = \"S\" }")).env("K", "AKIA").env("S", "two words-of-secret").secret("words-of-secret");
    unusable(two_words, &["payments", "S does not hold a key"]);
    let empty = file(&target("{ env = \"S\" }")).env("K", "AKIA").env("S", "");
    unusable(empty, &["payments", "S"]);
}

#[test]
fn targets_of_the_file_and_a_target_of_flags_do_not_mix() {
    let target = "[[target]]\nname = \"payments\"\nregions = [\"eu-west-1\"]\n";
    unusable(file(target).args(["--region", "us-east-1"]), &["--region", "dynacrawl.toml", "--target"]);
    unusable(file(target).args(["--profile", "x"]), &["--profile"]);
    unusable(file(target).env("DYNACRAWL_REGION", "us-east-1"), &["DYNACRAWL_REGION"]);
    unusable(file(target).args(["--target", "payment"]), &["'payment'", "payments"]);
    unusable(Dynacrawl::crawl().args(["--region", IRELAND, "--target", "payments"]), &["--target"]);
}

#[test]
fn the_same_scope_twice_in_the_file_is_refused() {
    let target =
        |name: &str| format!("[[target]]\nname = \"{name}\"\naccount_id = \"{HOME}\"\nregions = [\"eu-west-1\"]\n");
    unusable(file(&(target("one") + &target("two"))), &["two", "one", "111122223333/eu-west-1"]);
}

#[test]
fn a_target_is_chosen_by_its_name() {
    let (sim, home) = ireland(5);
    let targets = "[[target]]\nname = \"here\"\nregions = [\"eu-west-1\"]\n[[target]]\nname = \"there\"\nregions = [\"us-east-1\"]\n";
    let crawled = file(targets).sim(&sim).keys(&home).args(["--target", "here"]).records();
    assert_eq!((crawled.code, crawled.target("here")["outcome"].as_str()), (0, Some("complete")));
}

#[test]
fn a_directory_as_output_exits_with_2_and_a_failed_one_with_5() {
    let (sim, home) = ireland(50);
    unusable(Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "/"]), &["--output", "directory"]);
    let missing = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "/no/such/directory/out.jsonl"]).run();
    missing.fails_with(5, "/no/such/directory/out.jsonl");
    assert!(missing.stderr.contains("--output"), "{}", missing.stderr);
    assert_eq!(sim.counts().total.requests, 0);
    let full = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "/dev/full"]).run();
    full.fails_with(5, "/dev/full");
    // The code is the same if nothing was listed either.
    sim.deny(Denial::new(HOME, Operation::ListTables));
    Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "/dev/full"]).run().fails_with(5, "/dev/full");
}

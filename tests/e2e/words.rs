//! What people read, as snapshots: a change of words is seen in review. `INSTA_UPDATE=always` writes them anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use dynacrawl_sim::{Account, Denial, Estate, Operation, Tables, fixtures};
use serde_json::json;

use crate::command::{Dynacrawl, Ended};
use crate::daemon::{Place, keyed, schedule};
use crate::fronts::Front;
use crate::organization::everything_at;
use crate::support::{COMMANDS, HOME, IRELAND, VIRGINIA, closed_port, ireland, simulate};

/// Compares a text with its snapshot; ids, times, ports and directories are the same in each run.
#[track_caller]
fn reads(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "[ulid]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]");
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d", "[time]          ");
    settings.add_filter(r"\d+ requests?(, \d+ throttled)?, \d+\.\d s", "[requests], [seconds]");
    // How far a run gets before its output fails depends on the machine.
    settings.add_filter(
        r"\d of \d scopes had ended, and \d+ tables? (was|were) described",
        "[n] of [n] scopes had ended, and [n] tables were described",
    );
    settings.add_filter(r"(\[time\]          )  \d+\.\d ", "$1  1.5 ");
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[port]");
    settings.add_filter(r"/(tmp|var)/[A-Za-z0-9_./-]*\.tmp[A-Za-z0-9]+", "[home]");
    settings.add_filter(r"[0-9a-f]{40}\.json", "[token].json");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A command, what it printed for people, and its exit code.
fn shown(title: &str, ended: &Ended) -> String {
    format!("$ {title}\n{}{}exit {}\n", ended.stdout, ended.stderr, ended.code())
}

#[test]
fn short_help() {
    let mut text = Dynacrawl::new("-h").run().succeeded();
    for command in COMMANDS {
        let help = Dynacrawl::new(command).arg("-h").run().succeeded();
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        assert!(help.lines().count() <= 60 && !help.contains("[env"), "{command}: {help}");
        let globals = help.find("Global options:").expect("global options");
        assert_eq!(help.match_indices(":\n").map(|(at, _)| at).max(), Some(globals + 14), "global options are last");
        let _ = write!(text, "\n$ dynacrawl {command} -h\n{help}");
    }
    reads("short_help", &text);
}

#[test]
fn long_help() {
    let mut text = Dynacrawl::new("--help").run().succeeded();
    for command in COMMANDS {
        let help = Dynacrawl::new(command).arg("--help").run().succeeded();
        let has_examples = !matches!(command, "schema" | "completions" | "man");
        assert_eq!(help.contains("\nExamples:\n"), has_examples, "{command}");
        let _ = write!(text, "\n$ dynacrawl {command} --help\n{help}");
    }
    reads("long_help", &text);
}

/// Input that cannot be used: each message names what was typed. Nothing is called.
#[test]
fn errors_of_input() {
    let (sim, _) = ireland(1);
    let profiles = "[default]\nregion = eu-west-1\n[profile payments]\nregion = eu-west-1\n";
    let mut text = String::new();
    let cases: [(&str, &[(&str, &str)]); 29] = [
        ("crawl --rate -5", &[]),
        ("crawl --rate fast", &[]),
        ("crawl --rat 5", &[]),
        ("crawl --scopes 0 --region eu-west-1", &[]),
        ("crawl --region eu-west-1", &[("DYNACRAWL_RATE", "fast")]),
        ("crawl --region eu-west-1", &[("DYNACRAWL_SCOPES", "0")]),
        ("crawl --region eu-west-1 -o", &[]),
        ("crawl --region eu-west-1 -q=maybe", &[]),
        ("crawl --region eu-west-1", &[("DYNACRAWL_QUIET", "maybe")]),
        ("crawl --region eu-west-1 --patience soon", &[]),
        ("crawl --region Ireland", &[]),
        ("crawl", &[("DYNACRAWL_REGION", "Ireland")]),
        ("crawl --region eu-west-1 --include [", &[]),
        ("crawl --region eu-west-1 --profile paymnts", &[]),
        ("crawl --region eu-west-1", &[("AWS_PROFILE", "paymnts")]),
        ("crawl --region eu-west-1", &[("DYNACRAWL_PROFILE", "paymnts")]),
        ("crawl --region eu-west-1 --role-arn nonsense", &[]),
        ("crawl --region eu-west-1 --records tabel", &[]),
        ("crawl --region eu-west-1 --records index", &[]),
        ("crawl --region eu-west-1 --emit changes", &[]),
        ("crawl --region eu-west-1 --state state.db --emit changes --output changes.jsonl", &[]),
        ("crawl --region eu-west-1 --accept-removals eu-west-1", &[]),
        ("crawl --region eu-west-1 --output nodir/tables.jsonl", &[]),
        ("crawl --demo --state nodir/state.db", &[]),
        ("crawl --demo --region eu-west-1", &[]),
        ("crawl --region eu-west-1", &[("DYNACRAWL_STATE", "nodir/state.db")]),
        ("status --state nodir/state.db", &[]),
        ("status", &[("DYNACRAWL_STATE", "nodir/state.db")]),
        ("crawl --config missing.toml", &[]),
    ];
    for (line, variables) in cases {
        let mut words = line.split(' ');
        let command = Dynacrawl::new(words.next().expect("a command")).file("config", profiles).args(words);
        let command = if line.contains("--demo") || line.starts_with("status") { command } else { command.sim(&sim) };
        let ended = variables.iter().fold(command, |command, (name, value)| command.env(name, value)).run();
        let set: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
        text.push_str(&shown(&format!("{set}dynacrawl {line}"), &ended));
    }
    for (config, what) in [
        ("[crawl]\nrate = \"fast\"\n", "a word for a number"),
        ("[crawl]\nrat = 5\n", "an unknown key"),
        ("[crawl]\nscopes = 0\n", "out of range"),
        ("[[target]]\nname = \"a\"\nregions = [\"Ireland\"]\n", "no Region"),
        ("[[target]]\nname = \"a\"\n[[target]]\nname = \"a\"\n", "the same name twice"),
        ("[serve]\nlisten = \"0.0.0.0:9464\"\n", "an address without a token"),
    ] {
        let ended = Dynacrawl::new("config").file("dynacrawl.toml", config).args(["check", "dynacrawl.toml"]).run();
        text.push_str(&shown(&format!("dynacrawl config check dynacrawl.toml   # {what}"), &ended));
    }
    let called = [Operation::ListTables, Operation::DescribeTable, Operation::GetCallerIdentity, Operation::AssumeRole];
    assert_eq!(called.map(|operation| sim.counts().requests(operation)), [0; 4], "nothing was called");
    reads("errors_of_input", &text);
}

/// What is unusual and no error.
#[test]
fn warnings() {
    let (sim, home) = ireland(3);
    let mut text = String::new();
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 6] = [
        (&["--include", "ordres-.*"], &[]),
        (&["--include", "table-.*", "--include", "ordres-.*"], &[]),
        (&["--include", "table-.*", "--include", "table-000001", "--exclude", "table-000001"], &[]),
        (&["--include", "table-.*"], &[("DYNACRAWL_EXCLUDE", "table-000001")]),
        (&["--state", "state.db", "--accept-removals", "111122223333/us-east-1"], &[]),
        (
            &[],
            &[
                ("DYNACRAWL_RAET", "5"),
                ("DYNACRAWL_PORT", "tcp://10.0.0.1:9464"),
                ("DYNACRAWL_SERVICE_HOST", "10.0.0.1"),
            ],
        ),
    ];
    for (args, variables) in cases {
        let command = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "tables.jsonl"]).args(args);
        let ended = variables.iter().fold(command, |command, (name, value)| command.env(name, value)).run();
        text.push_str(&shown(&format!("dynacrawl crawl {}", args.join(" ")), &ended));
    }
    // A variable that the file names is not unknown.
    let config = "[serve]\ntoken = { env = \"DYNACRAWL_TOKEN\" }\n";
    let named =
        Dynacrawl::crawl_of(&sim, &home, IRELAND).config(config).env("DYNACRAWL_TOKEN", "a-token-of-the-daemon").run();
    assert!(!named.stderr.contains("DYNACRAWL_TOKEN"), "{}", named.stderr);
    // Without an endpoint of its own, and without credentials: nothing leaves the machine.
    for args in [&["--rate", "1000000"][..], &["--region", "eu-wset-1"]] {
        let ended = Dynacrawl::new("check").args(["--region", IRELAND]).args(args).run();
        text.push_str(&shown(&format!("dynacrawl check --region {IRELAND} {}", args.join(" ")), &ended));
    }
    reads("warnings", &text);
}

/// The end of crawls that succeeded, with a state.
#[test]
fn summaries() {
    let (sim, home) = ireland(30);
    let place = Place::new();
    let crawl = |args: &[&str]| {
        let command = Dynacrawl::crawl().in_directory(&place.path("")).args(["--state", "crawl.db", "--emit", "both"]);
        let command = command.args(["--output", "run-{run_id}.jsonl", "--region", IRELAND]).sim(&sim).keys(&home);
        shown(&format!("dynacrawl crawl {}", args.join(" ")), &command.args(args).run())
    };
    let mut text = crawl(&[]);
    text.push_str(&crawl(&[]));
    let name = |number: usize| format!("table-{number:06}");
    sim.put_table(HOME, IRELAND, "new", &fixtures::small_table("new", HOME, IRELAND)).expect("a scope");
    for number in [1, 2] {
        let unprotected = |table: &mut serde_json::Value| table["DeletionProtectionEnabled"] = json!(false);
        sim.update_table(HOME, IRELAND, &name(number), unprotected).expect("a scope");
    }
    sim.recreate_table(HOME, IRELAND, &name(3)).expect("a scope");
    sim.remove_table(HOME, IRELAND, &name(4)).expect("a scope");
    text.push_str(&crawl(&[]));
    (10..20).for_each(|number| _ = sim.remove_table(HOME, IRELAND, &name(number)));
    text.push_str(&crawl(&[]));
    text.push_str(&crawl(&["--accept-removals", "111122223333/eu-west-1"]));
    let dry_run = Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--dry-run", "--output", "names.jsonl"]).run();
    text.push_str(&shown("dynacrawl crawl --dry-run", &dry_run));
    reads("summaries", &text);
}

/// Crawls that failed suggest what `check` suggests.
#[test]
fn failures() {
    let (sim, home) = ireland(3);
    let directory = tempfile::tempdir().expect("a directory");
    let front = Front::tls(sim.addr(), &directory.path().join("authority.pem"));
    let sso = "[profile payments]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = 111122223333\n\
               sso_role_name = Reader\n[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\n\
               sso_region = eu-west-1\n";
    let closed = closed_port();
    let denied = |operation| {
        let (sim, home) = ireland(3);
        sim.deny(Denial::new(HOME, operation));
        (sim, home)
    };
    let (no_list, no_list_home) = denied(Operation::ListTables);
    let (no_describe, no_describe_home) = denied(Operation::DescribeTable);
    let quick = || Dynacrawl::crawl().args(["--max-attempts", "1", "--patience", "1s", "--output", "tables.jsonl"]);
    let at = |url: &str| ["--endpoint-url".to_owned(), url.to_owned(), "--sts-endpoint-url".to_owned(), url.to_owned()];
    let (member, member_home) = ireland(3);
    member.deny(Denial::new(HOME, Operation::ListAccounts));
    let organization = |more: &str| {
        format!(
            "[[target]]\nname = \"org\"\norganizations = true\nregions = [\"{IRELAND}\"]\n{more}\
             assume_role = [{{ arn = \"arn:aws:iam::{{account}}:role/Crawler\" }}]\n"
        )
    };
    let of_member =
        |command: Dynacrawl| everything_at(command, &member.url()).keys(&member_home).config(&organization(""));
    let expired = |command: Dynacrawl| command.file("config", sso).config(&organization("profile = \"payments\"\n"));
    let nowhere = |command: Dynacrawl| {
        let command = command.sim(&member).keys(&member_home).config(&organization(""));
        command.args(["--organizations-endpoint-url", &closed])
    };
    let (few, few_home) = crate::organization::started(1, crate::organization::flat(1));
    let none = |command: Dynacrawl| {
        let more = format!("exclude_accounts = [\"{}\", \"{HOME}\"]\n", crate::organization::id(1));
        everything_at(command, &few.url()).keys(&few_home).config(&organization(&more))
    };
    let mut text = String::new();
    for (title, command) in [
        ("an organization that cannot be reached", nowhere(quick())),
        ("the same with check", nowhere(Dynacrawl::new("check"))),
        ("an organization of which no account is selected", none(quick())),
        ("the same with check", none(Dynacrawl::new("check"))),
        ("an organization that the account may not list", of_member(quick())),
        ("the same with check", of_member(Dynacrawl::new("check"))),
        ("an organization, and an SSO session that has ended", expired(quick())),
        ("the same with check", expired(Dynacrawl::new("check"))),
        ("no credentials", quick().args(["--region", IRELAND])),
        ("an SSO session that has ended", quick().file("config", sso).args(["--profile", "payments"])),
        ("a wrong secret", quick().args(["--region", IRELAND]).sim(&sim).aws_keys(&home.access_key_id, "wrong", None)),
        ("an unknown key", quick().args(["--region", IRELAND]).sim(&sim).aws_keys("AKIAIOSFODNN7EXAMPLE", "s", None)),
        ("a certificate that nobody signed", quick().keys(&home).args(["--region", IRELAND]).endpoint(&front.https())),
        ("a misspelt Region", quick().keys(&home).args(["--region", "eu-wset-1"]).args(at(&closed))),
        ("an endpoint that nobody listens on", quick().keys(&home).args(["--region", IRELAND]).args(at(&closed))),
        ("ListTables denied", quick().keys(&no_list_home).args(["--region", IRELAND]).sim(&no_list)),
        ("DescribeTable denied", quick().keys(&no_describe_home).args(["--region", IRELAND]).sim(&no_describe)),
        ("an output that is full", Dynacrawl::crawl_of(&sim, &home, IRELAND).args(["--output", "/dev/full"])),
    ] {
        let ended = command.run();
        let _ = write!(text, "# {title}\n{}{}exit {}\n", ended.stdout, ended.stderr, ended.code());
    }
    reads("failures", &text);
}

/// `check`, with Regions that have the same result.
#[test]
fn checks() {
    let regions = ["eu-central-1", "eu-north-1", "eu-west-2", "eu-west-3", "us-east-1", "us-west-2"];
    let home = Account::new(HOME).region(IRELAND, Tables::new().generated(3));
    let home = regions.into_iter().fold(home, |home, region| home.region(region, Tables::new()));
    let access = home.access("home");
    let sim = simulate(Estate::new([home]));
    let all = format!("{IRELAND},{}", regions.join(","));
    let check = |args: &[&str]| {
        let command = Dynacrawl::new("check").sim(&sim).keys(&access).args(["--region", &all]).args(args);
        shown(&format!("dynacrawl check {}", args.join(" ")), &command.run())
    };
    let mut text = check(&[]);
    text.push_str(&check(&["--quiet"]));
    sim.deny(Denial::new(HOME, Operation::ListTables).region("us-east-1"));
    text.push_str(&check(&["--quiet"]));
    reads("checks", &text);
}

/// `status`, `runs`, `tables` and `changes` fit 80 columns, and show causes and values.
#[test]
fn reports() {
    let (sim, home) = ireland(3);
    let long = "a-table-whose-name-is-as-long-as-a-good-description-of-it-would-be-and-then-some-more";
    sim.put_table(HOME, IRELAND, long, &fixtures::small_table(long, HOME, IRELAND)).expect("a scope");
    let mut place = Place::new();
    place.rest = crate::daemon::target("home", &[IRELAND, VIRGINIA]);
    let crawl = || keyed(Dynacrawl::crawl().config(&place.config()), &sim, &home).run();
    crawl();
    sim.update_table(HOME, IRELAND, "table-000001", |table| {
        table["DeletionProtectionEnabled"] = json!(false);
        table["TableClassSummary"] = json!({"TableClass": "STANDARD_INFREQUENT_ACCESS"});
    })
    .expect("a scope");
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000002"));
    crawl();
    let mut text = String::new();
    for (command, args) in
        [("status", &[][..]), ("runs", &[]), ("tables", &[]), ("tables", &["a-*"]), ("changes", &["table-000001"])]
    {
        let shows = || Dynacrawl::new(command).arg("--state").arg(place.state()).args(args);
        let ended = shows().env("COLUMNS", "80").run();
        assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
        text.push_str(&shown(&format!("dynacrawl {command} {}", args.join(" ")), &ended));
        // For a pipe, no name is broken.
        assert_eq!(shows().run().stdout.contains(long), command == "tables", "{command}");
    }
    reads("reports", &text);
}

/// What the daemon logs about targets, next runs and how a run ended.
#[test]
fn daemon_log() {
    let (sim, home) = ireland(3);
    let mut place = Place::new();
    place.rest += &schedule("nightly", "0 0 1 1 *");
    let daemon = place.daemon(&sim, &home);
    daemon.crawl("{}");
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000002"));
    daemon.crawl("{\"accept_removals\": [\"111122223333/us-east-1\"]}");
    let mut text = daemon.stop().stderr;
    let idle = "[state]\npath = \"state.db\"\n[serve]\nlisten = \"127.0.0.1:0\"\n";
    let idle = format!("{idle}{}", crate::daemon::target("home", &[IRELAND]));
    let idle = keyed(Dynacrawl::new("serve").config(&idle), &sim, &home).start();
    idle.wait_for_message("targets:");
    idle.signal("TERM");
    text.push_str("\n# without a schedule and without a token\n");
    text.push_str(&idle.end().stderr);
    reads("daemon_log", &text);
}

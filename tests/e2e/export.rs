//! `dynacrawl export`: from a file, a pipe and the state, and what it refuses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dynacrawl_sim::{Denial, Effect, FaultRule, Operation, fixtures};
use serde_json::{Value, json};

use crate::command::{Dynacrawl, Ended};
use crate::support::{HOME, IRELAND, eventually, ireland};

const CONNECTION: &str = "default/dynamodb/1735689600";

fn export(place: &Path, form: &str, args: &[&str]) -> Ended {
    Dynacrawl::new("export").in_directory(place).args(["--to", form]).args(args).run()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn atlan_names(out: &Path) -> BTreeSet<String> {
    let tables = lines(&out.join("transformed/table/entities.json"));
    tables.iter().map(|entity| entity["attributes"]["name"].as_str().expect("a name").to_owned()).collect()
}

fn tables(names: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    names.into_iter().map(|number| format!("table-{number:06}")).collect()
}

#[test]
fn a_file_and_a_pipe_give_the_same_bytes() {
    let place = tempfile::tempdir().expect("a directory");
    let crawl = Dynacrawl::crawl().args(["--demo", "--quiet"]).run();
    fs::write(place.path().join("tables.jsonl"), &crawl.stdout).expect("written");
    for form in ["datahub", "openmetadata"] {
        let file = export(place.path(), form, &["--input", "tables.jsonl", "-o", "out"]);
        assert_eq!(file.code(), 0, "{}", file.stderr);
        assert_eq!(file.stderr, "exported 215 tables of 6 accounts and Regions to out\n");
        let pipe = Dynacrawl::new("export").args(["--to", form, "--input", "-", "-o", "-"]);
        let pipe = pipe.input(&place.path().join("tables.jsonl")).run();
        assert_eq!(pipe.code(), 0, "{}", pipe.stderr);
        let written = fs::read_to_string(place.path().join("out")).expect("text");
        assert!(written == pipe.stdout && written.len() > 100_000, "{form}");
        assert!(!place.path().join("out.new").exists());
    }
}

#[test]
fn the_state_has_the_newest_statistics_and_the_same_tables() {
    let (sim, home) = ireland(5);
    let place = tempfile::tempdir().expect("a directory");
    let crawl = || {
        let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path());
        let ended = crawl.args(["--state", "crawl.db", "--output", "tables.jsonl"]).run();
        assert_eq!(ended.code(), 0, "{}", ended.stderr);
    };
    crawl();
    sim.update_table(HOME, IRELAND, "table-000001", |table| table["ItemCount"] = json!(424_242)).expect("a scope");
    crawl();
    for (source, out) in [(["--input", "tables.jsonl"], "of-file"), (["--state", "crawl.db"], "of-state")] {
        let ended = export(place.path(), "csv", &[&source[..], &["-o", out]].concat());
        assert_eq!((ended.code(), ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
    }
    let sorted = |file: &str| {
        let text = fs::read_to_string(place.path().join(file)).expect("text");
        let mut lines: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
        lines.sort();
        (text.lines().next().expect("a head").to_owned(), lines)
    };
    for file in ["indexes.csv", "key_attributes.csv"] {
        assert_eq!(sorted(&format!("of-file/{file}")), sorted(&format!("of-state/{file}")), "{file}");
    }
    let (_, rows) = sorted("of-state/tables.csv");
    assert!(rows.len() == 5 && rows[1].contains("table-000001") && rows[1].contains(",424242,"), "{rows:?}");
    assert_eq!(sorted("of-state/scopes.csv").1, [format!("{HOME},,{IRELAND},default,complete,true,5,,,,,,")]);
    let two = fs::read(place.path().join("of-state/tables.csv")).expect("read");
    export(place.path(), "csv", &["--state", "crawl.db", "-o", "of-state"]);
    assert!(fs::read(place.path().join("of-state/tables.csv")).expect("read") == two, "deterministic");
}

/// When its files are published, Atlan archives every asset that they lack.
#[test]
fn atlan_gets_no_incomplete_scope() {
    let (sim, home) = ireland(250);
    let place = tempfile::tempdir().expect("a directory");
    let connection = format!("{HOME}/{IRELAND}={CONNECTION}");
    let crawl = |code| {
        let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path());
        let args = ["--rate", "0", "--state", "crawl.db", "--output", "tables.jsonl"];
        let ended = crawl.args(args).run();
        assert_eq!(ended.code(), code, "{}", ended.stderr);
    };
    let atlan = |more: &[&str]| {
        let args = ["--input", "tables.jsonl", "-o", "out", "--connection", &connection];
        export(place.path(), "atlan", &[&args[..], more].concat())
    };
    let out = place.path().join("out");
    // Before any complete crawl, the state cannot fill in anything.
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000007"));
    crawl(3);
    let refused = atlan(&[]);
    assert!(refused.code() == 3 && !out.exists() && !place.path().join("out.new").exists(), "{}", refused.stderr);
    let message = format!("missing: {HOME}/{IRELAND}: partial: DescribeTable AccessDeniedException");
    assert!(refused.stderr.contains(&message) && refused.stderr.contains("archives the tables"), "{}", refused.stderr);
    let unknown = atlan(&["--allow-incomplete", "--state", "crawl.db"]);
    assert!(unknown.code() == 3 && !out.exists(), "{}", unknown.stderr);
    assert!(unknown.stderr.contains(&format!("no crawl of {HOME}/{IRELAND} was ever complete")), "{}", unknown.stderr);

    sim.clear_denials();
    crawl(0);
    assert_eq!(atlan(&[]).code(), 0);
    assert_eq!(atlan_names(&out), tables(0..250));
    // A page of the listing is denied, and one table: the state has the others.
    sim.deny(Denial::new(HOME, Operation::DescribeTable).table("table-000007"));
    let denied = FaultRule::new(Effect::Deny).operation(Operation::ListTables);
    sim.add_fault(denied.clone().nth(2));
    sim.add_fault(denied.nth(3));
    sim.remove_table(HOME, IRELAND, "table-000009").expect("a scope");
    crawl(3);
    assert_eq!(atlan(&[]).code(), 3);
    assert_eq!(atlan_names(&out), tables(0..250), "the earlier export stays");
    let filled = atlan(&["--allow-incomplete", "--state", "crawl.db"]);
    assert!(filled.code() == 3 && filled.stderr.contains("the rest is as the state last knew it"), "{}", filled.stderr);
    // Nothing proves that table 9 is gone.
    assert_eq!(atlan_names(&out), tables(0..250));
}

#[test]
fn a_filter_and_a_missing_connection_are_named() {
    let (sim, home) = ireland(5);
    let place = tempfile::tempdir().expect("a directory");
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path());
    let args = ["--exclude", "table-000001", "--state", "crawl.db", "--output", "tables.jsonl"];
    assert_eq!(crawl.args(args).run().code(), 0);
    let args = ["--input", "tables.jsonl", "-o", "out"];
    let nowhere = export(place.path(), "atlan", &args);
    assert!(
        nowhere.code() == 3 && nowhere.stderr.contains("no account and Region has a connection"),
        "{}",
        nowhere.stderr
    );
    let config = format!("[export.atlan]\nconnections = {{ \"{HOME}/{IRELAND}\" = \"{CONNECTION}\" }}\n");
    fs::write(place.path().join("dynacrawl.toml"), config).expect("written");
    let exported = export(place.path(), "atlan", &[&args[..], &["--config", "dynacrawl.toml"]].concat());
    assert_eq!(exported.code(), 0, "{}", exported.stderr);
    assert!(exported.stderr.contains("note: the filters of the crawl left out 1 table"), "{}", exported.stderr);
    let entity = &lines(&place.path().join("out/transformed/table/entities.json"))[0];
    assert_eq!(entity["attributes"]["qualifiedName"], format!("{CONNECTION}/table-000000"));
}

#[test]
fn input_that_is_not_one_whole_run_is_named() {
    let (sim, home) = ireland(3);
    let place = tempfile::tempdir().expect("a directory");
    let crawl = |args: &[&str]| Dynacrawl::crawl_of(&sim, &home, IRELAND).args(args).run().succeeded();
    let whole = crawl(&[]);
    let write = |text: &str| fs::write(place.path().join("in.jsonl"), text).expect("written");
    let exported = |text: &str| {
        write(text);
        export(place.path(), "openmetadata", &["--input", "in.jsonl", "-o", "out.jsonl"])
    };
    assert_eq!(exported(&whole).code(), 0);
    let before = fs::read(place.path().join("out.jsonl")).expect("read");
    for (text, problem) in [
        (format!("{whole}{}", crawl(&[])), "in.jsonl:7: a record of the run"),
        (crawl(&["--layout", "entities"]), "written with --layout entities"),
        (crawl(&["--dry-run"]), "a dry run"),
        (whole.replacen("\"type\":\"table\"", "\"type\":\"tabel\"", 1), "in.jsonl:2: not a record of dynacrawl"),
        ("no JSON\n".to_owned(), "in.jsonl:1: not a record of dynacrawl"),
    ] {
        exported(&text).fails_with(2, problem);
        assert!(
            fs::read(place.path().join("out.jsonl")).expect("read") == before,
            "the earlier export stays: {problem}"
        );
    }
    let cut: String = whole.lines().take(3).map(|line| format!("{line}\n")).collect();
    let without_a_table: String =
        whole.lines().enumerate().filter(|(number, _)| *number != 1).map(|(_, line)| format!("{line}\n")).collect();
    for (text, missing) in [
        (cut.as_str(), "missing: the input has no run_completed record"),
        (&cut, "it has no scope_completed record"),
        (&without_a_table, "2 of 3 tables are in the input"),
    ] {
        let ended = exported(text);
        assert!(ended.code() == 3 && ended.stderr.contains(missing), "{}", ended.stderr);
    }
    // A stream that was resumed repeats tables.
    let repeated: String = whole
        .lines()
        .flat_map(|line| [line, line])
        .filter(|line| line.contains("\"type\":\"table\""))
        .map(|line| format!("{line}\n"))
        .collect();
    let (head, tail) = whole.split_at(whole.find('\n').expect("a line") + 1);
    let tail: String =
        tail.lines().filter(|line| !line.contains("\"type\":\"table\"")).map(|line| format!("{line}\n")).collect();
    assert_eq!(exported(&format!("{head}{repeated}{tail}")).code(), 0);
    assert!(fs::read(place.path().join("out.jsonl")).expect("read") == before, "each table once");
    exported("").fails_with(2, "has no records");
    write(&whole);
    let unusable = |args: &[&str], problem: &str| export(place.path(), "datahub", args).fails_with(2, problem);
    unusable(&["-o", "out"], "--input: is missing");
    unusable(&["--input", "nothing.jsonl", "-o", "out"], "--input: cannot read nothing.jsonl");
    unusable(&["--input", "in.jsonl", "-o", "out", "--allow-incomplete"], "--allow-incomplete: needs a state");
    unusable(&["--input", "in.jsonl", "-o", "out", "--env", "live"], "--env");
    assert_eq!(export(place.path(), "datahub", &["--input", "in.jsonl", "-o", "no/out"]).code(), 5);
    fs::create_dir(place.path().join("mine"))
        .and_then(|()| fs::write(place.path().join("mine/a.txt"), ""))
        .expect("a file");
    let others = export(place.path(), "csv", &["--input", "in.jsonl", "-o", "mine"]);
    others.fails_with(2, "mine/a.txt is not a file of an export");
    assert!(place.path().join("mine/a.txt").exists());
}

/// An output never destroys what it is made from.
#[test]
fn the_input_and_the_state_are_no_output() {
    let (sim, home) = ireland(2);
    let place = tempfile::tempdir().expect("a directory");
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path());
    assert_eq!(crawl.args(["--state", "crawl.db", "--output", "tables.jsonl"]).run().code(), 0);
    fs::write(place.path().join("other.jsonl.partial"), "of a crawl\n").expect("written");
    let refused = |args: &[&str], problem: &str| export(place.path(), "datahub", args).fails_with(2, problem);
    refused(&["--input", "tables.jsonl", "-o", "tables.jsonl"], "--output: tables.jsonl is the input");
    refused(&["--input", "tables.jsonl", "-o", "./tables.jsonl"], "is the input");
    refused(&["--state", "crawl.db", "-o", "crawl.db"], "--output: crawl.db is a file of the state");
    refused(&["--state", "crawl.db", "-o", "crawl.db-wal"], "is a file of the state");
    assert_eq!(export(place.path(), "datahub", &["--state", "crawl.db", "-o", "other.jsonl"]).code(), 0);
    let partial = fs::read_to_string(place.path().join("other.jsonl.partial")).expect("the crawl's");
    assert_eq!(partial, "of a crawl\n");
}

/// A state knows only what runs have found out.
#[test]
fn what_a_state_does_not_know_is_named() {
    let (sim, home) = ireland(250);
    let place = tempfile::tempdir().expect("a directory");
    let connection = format!("{HOME}/{IRELAND}={CONNECTION}");
    let atlan = |more: &[&str]| {
        let args = ["--state", "crawl.db", "-o", "out", "--connection", &connection];
        export(place.path(), "atlan", &[&args[..], more].concat())
    };
    let crawl = |args: &[&str]| {
        let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path());
        crawl.args(["--rate", "0", "--state", "crawl.db", "--output", "tables.jsonl"]).args(args).run()
    };
    // A run that was killed.
    let slow = FaultRule::new(Effect::Delay(std::time::Duration::from_secs(600))).operation(Operation::DescribeTable);
    let slow = sim.add_fault(slow.table("table-000149"));
    let running = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path());
    let mut running = running.args(["--rate", "0", "--state", "crawl.db", "--output", "tables.jsonl"]).start();
    eventually("tables were described", || sim.counts().requests(Operation::DescribeTable) > 100);
    running.kill();
    let none = atlan(&["--allow-incomplete"]);
    assert!(none.code() == 3 && none.stderr.contains("missing: no run has ended yet"), "{}", none.stderr);
    assert!(none.stderr.contains("there is no account and Region"), "{}", none.stderr);
    sim.remove_fault(slow);
    // Never complete: also with the state as the source, and without any table.
    sim.deny(Denial::new(HOME, Operation::DescribeTable));
    assert_eq!(crawl(&["--fresh"]).code(), 3);
    let denied = atlan(&["--allow-incomplete"]);
    assert!(denied.code() == 3 && denied.stderr.contains("was ever complete"), "{}", denied.stderr);
    sim.clear_denials();
    assert_eq!(crawl(&[]).code(), 0);
    assert_eq!(atlan(&[]).code(), 0);
    // A filter leaves tables out.
    assert_eq!(crawl(&["--exclude", "table-0000[0-4]."]).code(), 0);
    let filtered = atlan(&[]);
    assert!(filtered.stderr.contains("note: the filters of the crawl left out 50 tables"), "{}", filtered.stderr);
    // A target whose Regions are unknown.
    let config = "[crawl]\nrate = 0\n[[target]]\nname = \"home\"\nregions = [\"eu-west-1\"]\n\
                  [[target]]\nname = \"far\"\nregions = \"all\"\n\
                  assume_role = [{ arn = \"arn:aws:iam::999999999999:role/Nobody\" }]\n";
    let both = Dynacrawl::crawl().sim(&sim).keys(&home).config(config).in_directory(place.path());
    assert_eq!(both.args(["--state", "crawl.db", "--output", "tables.jsonl"]).run().code(), 3);
    let unknown = atlan(&[]);
    assert!(unknown.code() == 3 && unknown.stderr.contains("the target 'far' are unknown"), "{}", unknown.stderr);
}

/// An input that lacks whole scopes is filled with all that the state knows.
#[test]
fn an_input_that_was_cut_is_filled_from_the_state() {
    let place = tempfile::tempdir().expect("a directory");
    let crawl = Dynacrawl::crawl().in_directory(place.path());
    assert_eq!(crawl.args(["--demo", "--state", "crawl.db", "--output", "tables.jsonl"]).run().code(), 0);
    let whole = fs::read_to_string(place.path().join("tables.jsonl")).expect("text");
    let until = whole.find("\"scope_completed\"").expect("a scope");
    let cut = &whole[..until + whole[until..].find('\n').expect("a line") + 1];
    fs::write(place.path().join("cut.jsonl"), cut).expect("written");
    let args = ["--input", "cut.jsonl", "--allow-incomplete", "--state", "crawl.db", "-o", "out.json"];
    let filled = export(place.path(), "datahub", &args);
    assert_eq!(filled.code(), 3, "{}", filled.stderr);
    assert!(filled.stderr.starts_with("exported 215 tables of 6 accounts and Regions"), "{}", filled.stderr);
}

#[test]
fn names_that_collide_and_a_reader_that_stops_early() {
    let place = tempfile::tempdir().expect("a directory");
    let crawl = Dynacrawl::crawl().in_directory(place.path());
    assert_eq!(crawl.args(["--demo", "--output", "tables.jsonl"]).run().code(), 0);
    let input = ["--input", "tables.jsonl"];
    for (form, more, problem) in [
        (
            "datahub",
            &["--platform-instance", "main"][..],
            "--platform-instance: the tables of 111122223333 and 444455556666",
        ),
        ("openmetadata", &["--names", "connector", "--service", "dynamodb"], "--service: the tables of"),
        (
            "atlan",
            &[
                "--connection",
                "111122223333/eu-west-1=default/dynamodb/1",
                "--connection",
                "111122223333/eu-west-1=default/dynamodb/2",
            ],
            "has two connections",
        ),
    ] {
        export(place.path(), form, &[&input[..], &["-o", "out"], more].concat()).fails_with(2, problem);
        assert!(!place.path().join("out").exists() && !place.path().join("out.new").exists());
    }
    let mut export =
        Dynacrawl::new("export").in_directory(place.path()).args(["--to", "datahub", "-o", "-"]).args(input).start();
    export.close_stdout();
    assert_eq!(export.end().code(), 0);
}

/// A removed table leaves the next export of a complete crawl, and only then.
#[test]
fn an_export_of_changes_alone_is_refused() {
    let (sim, home) = ireland(2);
    let place = tempfile::tempdir().expect("a directory");
    sim.put_table(HOME, IRELAND, "odd.name_1", &fixtures::full_table("odd.name_1", HOME, IRELAND)).expect("a scope");
    let args = ["--state", "crawl.db", "--emit", "changes", "--output", "changes-{run_id}.jsonl"];
    let crawl = Dynacrawl::crawl_of(&sim, &home, IRELAND).in_directory(place.path()).args(args).run();
    assert_eq!(crawl.code(), 0, "{}", crawl.stderr);
    let file = crate::files::files(place.path(), "changes-").remove(0);
    let changes = export(place.path(), "datahub", &["--input", &file.display().to_string(), "-o", "out"]);
    changes.fails_with(2, "has no table records, although tables were described: it was written with --emit changes");
    let exported = export(place.path(), "datahub", &["--state", "crawl.db", "-o", "out"]);
    assert_eq!(exported.code(), 0, "{}", exported.stderr);
    let text = fs::read_to_string(place.path().join("out")).expect("text");
    let proposals: Vec<Value> = serde_json::from_str(&text).expect("a JSON array");
    let urn = format!("urn:li:dataset:(urn:li:dataPlatform:dynamodb,{HOME}.{IRELAND}.odd.name_1,PROD)");
    assert!(proposals.iter().any(|proposal| proposal["entityUrn"] == urn), "{urn}");
}

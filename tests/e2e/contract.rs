//! The contract of the output, which holds for every crawl, whatever went wrong in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::schema;

/// The beginning of the simulator's session tokens.
const SIMULATED_TOKEN: &str = "IQoJb3JpZ2luX2Vj";
const COUNTS: [&str; 9] =
    ["listed", "unselected", "selected", "described", "denied", "throttled", "vanished", "failed", "not_attempted"];

/// Checks that a text contains no secret.
#[track_caller]
pub(crate) fn no_secret_in(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets.iter().map(String::as_str).chain([SIMULATED_TOKEN]) {
        assert!(!text.contains(secret), "a secret shows on {place}: {text}");
    }
}

/// Checks the whole output of a crawl that ended by itself, and its exit code. Returns the records.
#[track_caller]
pub(crate) fn check(text: &str, code: i32, stderr: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'), "the last line is cut off, or there is none ({code}):\n{stderr}\n{text}");
    let records = lines(text);
    let (first, last) = (&records[0], &records[records.len() - 1]);
    assert_eq!(first["type"], "run_started");
    assert_eq!(last["type"], "run_completed", "{stderr}");
    for record in &records {
        assert_eq!(record["run_id"], first["run_id"]);
        let kind = &record["type"];
        assert_eq!(kind == "run_started" || kind == "run_completed", record == first || record == last, "{record}");
    }
    scopes(&records);
    sums(&records, last);
    exit_code(last, code);
    tables_once(&records);
    records
}

/// Checks each line, and returns the records.
#[track_caller]
pub(crate) fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(is_compact(line), "not compact: {line}");
        schema::check(&record);
        if record["type"] == "table" {
            well_ordered(&record["table"]);
        }
        record
    };
    text.lines().map(parse).collect()
}

/// Whether a line has no white space outside of strings.
fn is_compact(line: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for byte in line.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b' ' | b'\t' | b'\r' if !inside => return false,
            _ => {}
        }
    }
    true
}

/// Lists are sorted by name, and positions count from 0.
#[track_caller]
fn well_ordered(table: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let sorted = |value: &Value, by: &str| {
        let names: Vec<_> = list(value).iter().map(|one| one[by].as_str().map(str::to_owned)).collect();
        assert!(names.is_sorted(), "not sorted by {by}: {names:?}");
    };
    let numbered = |keys: &Value| {
        let positions: Vec<_> = list(keys).iter().map(|key| key["position"].as_u64()).collect();
        assert_eq!(positions, (0..positions.len() as u64).map(Some).collect::<Vec<_>>());
    };
    sorted(&table["attributes"], "name");
    sorted(&table["indexes"], "name");
    sorted(&table["replicas"], "region");
    numbered(&table["key_schema"]);
    for index in list(&table["indexes"]) {
        numbered(&index["key_schema"]);
        let copied: Vec<_> =
            list(&index["projection"]["non_key_attributes"]).iter().map(|name| name.to_string()).collect();
        assert!(copied.is_sorted(), "{copied:?}");
    }
}

/// Every planned scope ends exactly once, with its last record, and with counts that match its
/// lines.
#[track_caller]
fn scopes(records: &[Value]) {
    let mut planned = planned(records);
    let is_end = |record: &&Value| record["type"] == "scope_completed";
    let mut ended: Vec<_> =
        records.iter().filter(is_end).map(|end| (text(&end["target"]), text(&end["scope"]["region"]))).collect();
    planned.sort();
    ended.sort();
    assert_eq!(ended, planned, "one scope_completed for each target and Region");

    // Two targets may lead to the same scope. One of them then ends at once, without a table.
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for end in records.iter().filter(is_end) {
        *open.entry(end["scope"].to_string()).or_default() += 1;
    }
    for record in records.iter().filter(|record| record["scope"].is_object()) {
        let left = open.get_mut(&record["scope"].to_string()).unwrap_or_else(|| panic!("of no scope: {record}"));
        assert!(*left > 0, "after the end of its scope: {record}");
        *left -= usize::from(is_end(&record));
    }
    for end in records.iter().filter(is_end) {
        let counts = &end["counts"];
        let [listed, unselected, selected, described, denied, throttled, vanished, failed, not_attempted] =
            COUNTS.map(|name| counts[name].as_u64().expect("a number"));
        assert_eq!(listed, unselected + selected, "{end}");
        assert_eq!(selected, described + denied + throttled + vanished + failed + not_attempted, "{end}");
        let no_page =
            !["complete", "partial", "incomplete_listing", "cancelled"].contains(&text(&end["outcome"]).as_str());
        assert!(!no_page || listed == 0, "{end}");
        let missing = denied + throttled + failed + not_attempted;
        let dry_run = records.iter().any(|record| record["type"] == "table_listed");
        match text(&end["outcome"]).as_str() {
            "complete" => assert!(end["listing"] == "complete" && (missing == 0 || dry_run), "{end}"),
            "partial" => assert!(end["listing"] == "complete" && missing > 0, "{end}"),
            "cancelled" => {}
            _ => assert!(end["listing"] == "incomplete" && end["problems"] != Value::Array(Vec::new()), "{end}"),
        }
        if not_attempted > 0 && !dry_run {
            let problems = end["problems"].as_array().expect("problems");
            let named = problems.iter().find(|problem| problem["code"] == "not_attempted").expect("it is reported");
            assert_eq!(named["table_count"], not_attempted);
            assert_eq!(named["table_names"].as_array().expect("names").len() as u64, not_attempted.min(100));
        }
        if open.len() == records.iter().filter(is_end).count() {
            lines_of_scope(records, end);
        }
    }
}

/// The target and Region of every planned scope, whether configured or discovered.
fn planned(records: &[Value]) -> Vec<(String, String)> {
    let list = |value: &Value| value.as_array().expect("a list").iter().map(text).collect::<Vec<_>>();
    let mut planned = Vec::new();
    let of_type = |kind: &'static str| records.iter().filter(move |record| record["type"] == kind);
    for target in records[0]["targets"].as_array().expect("targets") {
        let name = text(&target["name"]);
        let names = match target["organization"] == true {
            false => vec![name],
            true => of_type("accounts_discovered")
                .filter(|found| found["target"] == target["name"])
                .flat_map(|found| found["accounts"].as_array().expect("a list"))
                .map(|account| format!("{name}/{}", text(&account["id"])))
                .collect(),
        };
        let regions = list(&target["regions"]);
        planned.extend(names.iter().flat_map(|name| regions.iter().map(|region| (name.clone(), region.clone()))));
    }
    for found in of_type("regions_discovered") {
        planned.extend(list(&found["regions"]).into_iter().map(|region| (text(&found["target"]), region)));
    }
    planned
}

/// The counts of a scope match its lines.
#[track_caller]
fn lines_of_scope(records: &[Value], end: &Value) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for record in records.iter().filter(|record| record["scope"] == end["scope"]) {
        let what = match record["type"].as_str() {
            Some("table") => "described".to_owned(),
            Some("table_failed") => text(&record["reason"]),
            Some("table_listed") if record["is_selected"] == true => "selected".to_owned(),
            Some("table_listed") => "unselected".to_owned(),
            _ => continue,
        };
        *seen.entry(what).or_default() += 1;
    }
    for (what, count) in &seen {
        assert_eq!(end["counts"][what], *count, "{what} of {end}");
    }
    for what in ["described", "denied", "throttled", "vanished", "failed"] {
        assert_eq!(end["counts"][what], seen.get(what).copied().unwrap_or_default(), "{what} of {end}");
    }
}

/// The totals of the run are the sums over its scopes.
#[track_caller]
fn sums(records: &[Value], last: &Value) {
    let ends: Vec<_> = records.iter().filter(|record| record["type"] == "scope_completed").collect();
    let sum = |pointer: &str| -> u64 {
        ends.iter().map(|end| end.pointer(pointer).and_then(Value::as_u64).expect("a number")).sum()
    };
    let requests = ["ListTables", "DescribeTable"]
        .iter()
        .flat_map(|api| ["sent", "throttled"].map(|n| format!("/requests/{api}/{n}")));
    for pointer in COUNTS.iter().map(|name| format!("/counts/{name}")).chain(requests) {
        assert_eq!(last.pointer(&pointer).and_then(Value::as_u64), Some(sum(&pointer)), "{pointer}");
    }
    let totals = last["scope_counts"].as_object().expect("totals");
    assert_eq!(totals["planned"], ends.len());
    assert_eq!(totals["targets_failed"], records.iter().filter(|record| record["type"] == "target_failed").count());
    for (outcome, count) in totals.iter().filter(|(name, _)| !["planned", "targets_failed"].contains(&name.as_str())) {
        assert_eq!(*count, ends.iter().filter(|end| end["outcome"] == outcome.as_str()).count(), "{outcome}");
    }
}

/// The exit code matches the outcome of the run.
#[track_caller]
fn exit_code(last: &Value, code: i32) {
    let scopes = |name: &str| last["scope_counts"][name].as_u64().expect("a number");
    let some_page = scopes("complete") + scopes("partial") + scopes("incomplete_listing") > 0;
    let expected = match text(&last["outcome"]).as_str() {
        "cancelled" => 130,
        "failed" => {
            assert!(!some_page, "{last}");
            4
        }
        "complete" => {
            assert!(scopes("complete") == scopes("planned") && scopes("targets_failed") == 0, "{last}");
            0
        }
        _ => {
            let missing = scopes("complete") < scopes("planned") || scopes("targets_failed") > 0;
            assert!(some_page && missing, "{last}");
            3
        }
    };
    assert_eq!(code, expected, "{last}");
}

/// No table of a scope is written twice.
#[track_caller]
fn tables_once(records: &[Value]) {
    let mut seen = BTreeSet::new();
    for record in records {
        let name = match record["type"].as_str() {
            Some("table") => &record["table"]["name"],
            Some("table_failed" | "table_listed") => &record["table_name"],
            _ => continue,
        };
        assert!(seen.insert((record["scope"].to_string(), text(name))), "twice: {record}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Changes the output of a crawl, and checks that each change is detected.
#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::{check, is_compact};
    use crate::command::Dynacrawl;

    #[test]
    fn every_breach_of_the_contract_is_detected() {
        let good = Dynacrawl::crawl().arg("--demo-faults").records();
        let lines: Vec<_> = good.text.lines().map(str::to_owned).collect();
        let at = |kind: &str| {
            lines.iter().position(|line| line.contains(&format!("{{\"type\":\"{kind}\""))).expect("a line")
        };
        let (table, failed, ended) = (at("table"), at("table_failed"), at("scope_completed"));
        let detects = |what: &str, code: i32, breach: &dyn Fn(&mut Vec<String>)| {
            let mut changed = lines.clone();
            breach(&mut changed);
            let text = changed.join("\n") + "\n";
            let checked = catch_unwind(|| check(&text, code, "").len());
            assert!(checked.is_err(), "{what} is not detected");
        };
        assert_eq!(check(&good.text, 3, "").len(), lines.len());
        detects("another exit code", 0, &|_| {});
        detects("a table that is missing", 3, &|lines| drop(lines.remove(table)));
        detects("a table that is written twice", 3, &|lines| lines.insert(table, lines[table].clone()));
        detects("a failure that is missing", 3, &|lines| drop(lines.remove(failed)));
        detects("an end that is missing", 3, &|lines| drop(lines.remove(ended)));
        detects("an end that is written twice", 3, &|lines| lines.insert(ended, lines[ended].clone()));
        detects("a record after the end of its scope", 3, &|lines| {
            let late = lines.remove(table);
            lines.insert(lines.len() - 1, late);
        });
        detects("a crawl that broke off", 3, &|lines| drop(lines.pop()));
        detects("a beginning that is missing", 3, &|lines| drop(lines.remove(0)));
        detects("white space", 3, &|lines| lines[table] = lines[table].replacen("\",\"", "\", \"", 1));
        detects("an undeclared field", 3, &|lines| lines[table] = lines[table].replacen('{', "{\"more\":1,", 1));
        detects("another run's id", 3, &|lines| {
            lines[table] = lines[table].replacen("\"run_id\":\"01", "\"run_id\":\"02", 1);
        });
        detects("a wrong count", 3, &|lines| {
            let last = lines.len() - 1;
            lines[last] = lines[last].replacen("\"listed\":", "\"listed\":1", 1);
        });
    }

    #[test]
    fn blanks_inside_of_strings_are_not_white_space() {
        assert!(is_compact(r#"{"a":"b \" : c","d e":[1,2]}"#));
        assert!(!is_compact(r#"{"a": "b"}"#) && !is_compact(r#"{"a":[1, 2]}"#));
    }
}

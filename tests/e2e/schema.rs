//! The committed schema of the output, made strict: it refuses fields that it does not declare.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

/// The committed file.
pub(crate) const COMMITTED: &str = include_str!("../../schema/dynacrawl-1.schema.json");

/// Checks a record against the strict schema.
#[track_caller]
pub(crate) fn check(line: &Value) {
    static STRICT: OnceLock<Validator> = OnceLock::new();
    let strict = STRICT.get_or_init(|| {
        let mut schema = serde_json::from_str(COMMITTED).expect("the schema is JSON");
        make_strict(&mut schema);
        jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
    });
    let errors: Vec<_> =
        strict.iter_errors(line).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(errors.is_empty(), "{line}\ndoes not match the schema: {errors:#?}");
}

/// Refuses undeclared fields in all definitions.
fn make_strict(schema: &mut Value) {
    close(&mut schema["$defs"]);
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.get("properties").is_some_and(Value::is_object) && fields.get("type") == Some(&json!("object")) {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn an_undeclared_field_is_refused_at_every_depth() {
    let strict = || {
        let mut schema: Value = serde_json::from_str(COMMITTED).expect("JSON");
        make_strict(&mut schema);
        jsonschema::validator_for(&schema).expect("a schema")
    };
    let zero = json!({"sent": 0, "throttled": 0});
    let record = json!({
        "type": "scope_completed", "schema": "dynacrawl/1", "run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "scope": {"partition": "aws", "account_id": null, "region": "eu-west-1"}, "account_name": null, "target": "t", "outcome": "complete", "listing": "complete",
        "counts": {"listed": 0, "unselected": 0, "selected": 0, "unlisted": 0, "described": 0, "denied": 0, "throttled": 0, "vanished": 0, "failed": 0,
                   "not_attempted": 0},
        "requests": {"ListTables": zero, "DescribeTable": zero}, "pace": {"limit": 250, "reached": 1, "lowest": null}, "duration_ms": 1,
        "change_counts": null, "problems": [],
    });
    let validator = strict();
    assert!(validator.is_valid(&record));
    for pointer in ["", "/scope", "/counts", "/requests", "/requests/ListTables", "/pace"] {
        let mut with_more = record.clone();
        with_more.pointer_mut(pointer).expect("an object")["undeclared"] = json!(1);
        assert!(!validator.is_valid(&with_more), "at {pointer:?}");
    }
}

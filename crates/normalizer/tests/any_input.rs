//! Any input in place of a description gives an error or a table, and never a panic.

use dynacrawl_normalizer::{Decoded, all_changes, decode, fingerprint, structural_changes};
use dynacrawl_sim::fixtures::full_table;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any JSON, which sometimes has the names that descriptions have.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let name = prop_oneof!["[A-Z][a-z]{1,8}", Just("IndexName".to_owned()), Just("KeySchema".to_owned()), ".{0,6}"];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Collects the JSON pointers of all values.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), into));
        }
        _ => {}
    }
}

/// Does everything that dynacrawl does with a description.
fn read(body: &[u8]) {
    let Ok(Decoded { table, .. }) = decode(body) else { return };
    let print = fingerprint(&table);
    assert_eq!(print, fingerprint(&table));
    assert!(structural_changes(&table, &table).is_empty());
    assert!(all_changes(&table, &table).is_empty());
    assert!(serde_json::to_string(&table).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&body);
    }

    #[test]
    fn any_json_is_read_without_a_panic(table in any_json()) {
        read(json!({ "Table": table }).to_string().as_bytes());
        read(table.to_string().as_bytes());
    }

    #[test]
    fn a_description_with_any_value_anywhere_is_read(place in any::<prop::sample::Index>(), value in any_json()) {
        let mut table = full_table("orders", "123456789012", "eu-west-1");
        let mut all = Vec::new();
        places(&table, "", &mut all);
        *table.pointer_mut(&all[place.index(all.len())]).expect("it is there") = value;
        read(json!({ "Table": table }).to_string().as_bytes());
    }

    #[test]
    fn a_description_that_is_cut_off_or_damaged_is_read(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = json!({ "Table": full_table("orders", "123456789012", "eu-west-1") }).to_string().into_bytes();
        let at = at.index(body.len());
        if cut {
            body.truncate(at);
        } else {
            body[at] = byte;
        }
        read(&body);
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        read(format!("{{\"Table\":{{\"New\":{nested}}}}}").as_bytes());
        read(nested.as_bytes());
    }
}

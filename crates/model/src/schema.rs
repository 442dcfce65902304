//! The JSON Schema of the output.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::Record;

/// The JSON Schema (2020-12) of every record, as one schema of a line.
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Record>();
    schema.insert("$id".to_owned(), "urn:dynacrawl:schema:1".into());
    schema.insert("title".to_owned(), "A line of dynacrawl's output (dynacrawl/1)".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_names_every_record_type() {
        let schema = super::json_schema().to_string();
        for name in [
            "run_started",
            "table",
            "key_schema",
            "index",
            "table_failed",
            "table_listed",
            "scope_completed",
            "target_failed",
            "run_completed",
        ] {
            assert!(
                schema.contains(&format!("{{\"const\":\"{name}\",\"type\":\"string\"}}"))
                    || schema.contains(&format!("{{\"type\":\"string\",\"const\":\"{name}\"}}")),
                "{name} in {schema}"
            );
        }
    }
}

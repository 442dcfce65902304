//! The envelope of CloudEvents 1.0.2.

use std::fmt::Write;

use dynacrawl_model::{AccountId, RecordKind};
use serde_json::{Map, Value};

use crate::event_json;
use crate::sink::Event;

/// Whether events have an envelope of CloudEvents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloudEvents {
    /// None.
    #[default]
    Off,
    /// The event is a JSON object with the record as `data`.
    Structured,
    /// The event's attributes are headers, and the record is the body.
    Binary,
}

/// The schema that `dataschema` names.
const DATA_SCHEMA: &str = "urn:dynacrawl:schema:1";

/// The context attributes of an event, in the order of the specification.
pub(crate) fn attributes(event: &Event) -> Result<Vec<(&'static str, String)>, serde_json::Error> {
    let record = serde_json::to_value(&event.record)?;
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", event.id.clone()),
        ("source", source(event)),
        ("type", kind(event.record.kind())),
        ("datacontenttype", "application/json".to_owned()),
        ("dataschema", DATA_SCHEMA.to_owned()),
    ];
    if let Some(arn) = event_json::table_of(&event.record, event.table.as_ref()).and_then(|table| table.arn.as_ref()) {
        attributes.push(("subject", arn.as_str().to_owned()));
    }
    let time = ["observed_at", "ended_at", "started_at"].iter().find_map(|key| record.get(key)?.as_str());
    attributes.extend(time.map(|time| ("time", time.to_owned())));
    Ok(attributes)
}

/// The event in structured mode.
pub(crate) fn append_structured(json: &mut Vec<u8>, event: &Event) -> Result<(), serde_json::Error> {
    let members: Map<String, Value> =
        attributes(event)?.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    serde_json::to_writer(&mut *json, &members)?;
    json.pop();
    json.extend_from_slice(b",\"data\":");
    event_json::append(json, event)?;
    json.push(b'}');
    Ok(())
}

/// The scope, as a URI reference.
fn source(event: &Event) -> String {
    match event.record.scope.as_deref() {
        Some(scope) => {
            let account = scope.account_id.as_ref().map_or("unknown-account", AccountId::as_str);
            format!("/dynacrawl/{}/{account}/{}", scope.partition.as_str(), scope.region)
        }
        None => "/dynacrawl".to_owned(),
    }
}

/// `io.dynacrawl.table.added` for `table_added`. A record without a verb gets `described`.
fn kind(kind: RecordKind) -> String {
    match kind.as_str().split_once('_') {
        Some((what, verb)) => format!("io.dynacrawl.{what}.{verb}"),
        None => format!("io.dynacrawl.{}.described", kind.as_str()),
    }
}

/// A value as a header of CloudEvents has it: what is not printable ASCII, a space, a quotation mark
/// or a percent sign is percent-encoded.
pub(crate) fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' | 0..=b' ' | 0x7f.. => _ = write!(encoded, "%{byte:02X}"),
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn headers_of_cloud_events_are_encoded() {
        assert_eq!(percent_encoded("a \"b\" \u{20ac} 1%"), "a%20%22b%22%20%E2%82%AC%201%25");
        assert_eq!(percent_encoded("arn:aws:dynamodb:eu-west-1:1:table/t"), "arn:aws:dynamodb:eu-west-1:1:table/t");
    }
}

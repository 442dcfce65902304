//! The envelope of CloudEvents 1.0.2.

use std::fmt::Write;

use dynacrawl_model::{AccountId, Body, RecordKind, TableArn, Timestamp};
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
pub(crate) fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", event.id.clone()),
        ("source", source(event)),
        ("type", kind(event.record.kind())),
        ("datacontenttype", "application/json".to_owned()),
        ("dataschema", DATA_SCHEMA.to_owned()),
    ];
    if let Some(arn) = table_arn(event) {
        attributes.push(("subject", arn.to_owned()));
    }
    attributes.extend(time(&event.record.body).map(|time| ("time", time.to_string())));
    attributes
}

/// The attributes that are headers in binary mode; the type of the content has a header of its own.
pub(crate) fn header_attributes(event: &Event) -> impl Iterator<Item = (&'static str, String)> {
    attributes(event).into_iter().filter(|(name, _)| *name != "datacontenttype")
}

/// The ARN of the table that an event is about.
pub(crate) fn table_arn(event: &Event) -> Option<&str> {
    let table = event_json::table_of(&event.record, event.table.as_ref())?;
    table.arn.as_ref().map(TableArn::as_str)
}

/// When an event was observed, or when its run ended.
pub(crate) fn time(body: &Body) -> Option<Timestamp> {
    match body {
        Body::Table(table) => Some(table.observed_at),
        Body::TableAdded(added) => Some(added.observed_at),
        Body::TableChanged(changed) => Some(changed.observed_at),
        Body::TableRecreated(recreated) => Some(recreated.observed_at),
        Body::TableRemoved(removed) => Some(removed.observed_at),
        Body::TableUnselected(unselected) => Some(unselected.observed_at),
        Body::ScopeRetired(retired) => Some(retired.observed_at),
        Body::RunCompleted(run) => Some(run.ended_at),
        _ => None,
    }
}

/// The type of a single event's content, and the content.
pub(crate) fn content(event: &Event, envelope: CloudEvents) -> serde_json::Result<(&'static str, Vec<u8>)> {
    let mut content = Vec::new();
    match envelope {
        CloudEvents::Structured => {
            append_structured(&mut content, event)?;
            Ok(("application/cloudevents+json", content))
        }
        CloudEvents::Off | CloudEvents::Binary => {
            event_json::append(&mut content, event)?;
            Ok(("application/json", content))
        }
    }
}

/// The event in structured mode.
pub(crate) fn append_structured(json: &mut Vec<u8>, event: &Event) -> Result<(), serde_json::Error> {
    let members: Map<String, Value> =
        attributes(event).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    serde_json::to_writer(&mut *json, &members)?;
    json.pop();
    json.extend_from_slice(b",\"data\":");
    event_json::append(json, event)?;
    json.push(b'}');
    Ok(())
}

/// The scope, as a URI reference.
pub(crate) fn source(event: &Event) -> String {
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

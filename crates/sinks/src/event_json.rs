//! An event as JSON, as all event sinks deliver it.

use dynacrawl_model::Body;

use crate::sink::Event;

/// Appends the record, with the id of the event as its last member. In a change that only names its
/// table, the table as it was precedes the id.
pub(crate) fn append(json: &mut Vec<u8>, event: &Event) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *json, &event.record)?;
    json.pop();
    let names_its_table = matches!(event.record.body, Body::TableRemoved(_) | Body::TableUnselected(_));
    if let (true, Some(Body::Table(before))) = (names_its_table, event.table.as_ref().map(|record| &record.body)) {
        json.extend_from_slice(b",\"table_before\":");
        serde_json::to_writer(&mut *json, &before.table)?;
    }
    json.extend_from_slice(b",\"event_id\":");
    serde_json::to_writer(&mut *json, &event.id)?;
    json.push(b'}');
    Ok(())
}

/// The ARN of the table that an event is about.
pub(crate) fn table_arn(event: &Event) -> Option<&str> {
    let bodies = [Some(&event.record.body), event.table.as_ref().map(|record| &record.body)];
    bodies.into_iter().flatten().find_map(|body| match body {
        Body::Table(table) => table.table.arn.as_ref().map(|arn| arn.as_str()),
        _ => None,
    })
}

//! An event as JSON, as all event sinks deliver it.

use dynacrawl_model::{Body, Record, Table};

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

/// The table that an event is about. A change has it in the `table` record beside its own.
pub fn table_of<'r>(record: &'r Record, table: Option<&'r Record>) -> Option<&'r Table> {
    [Some(record), table].into_iter().flatten().find_map(|record| match &record.body {
        Body::Table(table) => Some(&table.table),
        _ => None,
    })
}

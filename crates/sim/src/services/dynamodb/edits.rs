//! Descriptions of tables that are edited to be wrong.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::effect::TableEdit;
use crate::estate::StoredTable;

/// The place of the Region and of the account in an ARN.
const REGION: usize = 3;
const ACCOUNT: usize = 4;

/// DescribeTable's answer with edits. An answer that is not a description stays unchanged.
pub(crate) fn edited(answer: Bytes, edits: &[TableEdit]) -> Bytes {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer) else { return answer };
    let Some(table) = body.get_mut("Table") else { return answer };
    edits.iter().for_each(|edit| apply(table, edit));
    StoredTable::body(table)
}

fn apply(table: &mut Value, edit: &TableEdit) {
    match edit {
        TableEdit::Name(name) => {
            let before = table["TableName"].as_str().unwrap_or_default().to_owned();
            for_each_arn(table, &mut |arn| rename(arn, &before, name));
            table["TableName"] = name.as_str().into();
        }
        TableEdit::ArnAccount(account) => for_each_arn(table, &mut |arn| replace_part(arn, ACCOUNT, account)),
        TableEdit::ArnRegion(region) => for_each_arn(table, &mut |arn| replace_part(arn, REGION, region)),
        TableEdit::Stub => *table = json!({ "TableName": table["TableName"] }),
        TableEdit::Without(pointer) => {
            if let Some((Some(parent), name)) = parent(table, pointer)
                && let Some(members) = parent.as_object_mut()
            {
                members.remove(&name);
            }
        }
        TableEdit::Set(pointer, value) => match table.pointer_mut(pointer) {
            Some(place) => place.clone_from(value),
            None => {
                if let Some((Some(Value::Object(members)), name)) = parent(table, pointer) {
                    members.insert(name, value.clone());
                }
            }
        },
    }
}

/// The parent of the value at a JSON Pointer, and the value's name.
fn parent<'a>(value: &'a mut Value, pointer: &str) -> Option<(Option<&'a mut Value>, String)> {
    let (parent, name) = pointer.rsplit_once('/')?;
    Some((value.pointer_mut(parent), name.replace("~1", "/").replace("~0", "~")))
}

/// Edits the ARN of the table and those below it: of its indexes, its stream and its backups.
fn for_each_arn(table: &mut Value, edit: &mut impl FnMut(&str) -> String) {
    if let Some(own) = table["TableArn"].as_str().map(str::to_owned) {
        edit_arns(table, &own, edit);
    }
}

fn edit_arns(value: &mut Value, own: &str, edit: &mut impl FnMut(&str) -> String) {
    match value {
        Value::String(text) if is_below(own, text) => *text = edit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| edit_arns(item, own, edit)),
        Value::Object(members) => members.values_mut().for_each(|member| edit_arns(member, own, edit)),
        _ => {}
    }
}

fn is_below(own: &str, arn: &str) -> bool {
    arn.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn replace_part(arn: &str, part: usize, with: &str) -> String {
    let parts = arn.splitn(6, ':').enumerate().map(|(at, text)| if at == part { with } else { text });
    parts.collect::<Vec<_>>().join(":")
}

fn rename(arn: &str, before: &str, name: &str) -> String {
    let Some((head, rest)) = arn.split_once(":table/") else { return arn.to_owned() };
    let rest = rest.strip_prefix(before).unwrap_or(rest);
    format!("{head}:table/{name}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::full_table;

    fn after(edits: &[TableEdit]) -> Value {
        let body = StoredTable::body(&full_table("orders", "111122223333", "eu-west-1"));
        serde_json::from_slice::<Value>(&edited(body, edits)).unwrap()["Table"].clone()
    }

    fn arns(table: &Value) -> Vec<String> {
        let (mut arns, mut copy) = (Vec::new(), table.clone());
        for_each_arn(&mut copy, &mut |arn| {
            arns.push(arn.to_owned());
            arn.to_owned()
        });
        arns
    }

    #[test]
    fn edits_of_name_account_and_region_apply_to_every_arn() {
        let before = arns(&after(&[]));
        assert!(before.len() > 3, "the table, its stream and its indexes: {before:?}");
        let edits = [
            TableEdit::Name("others".into()),
            TableEdit::ArnAccount("000000000000".into()),
            TableEdit::ArnRegion("ddblocal".into()),
        ];
        let table = after(&edits);
        assert_eq!(table["TableName"], "others");
        let expected = before.iter().map(|arn| {
            arn.replace(":eu-west-1:111122223333:", ":ddblocal:000000000000:").replace(":table/orders", ":table/others")
        });
        assert_eq!(arns(&table), expected.collect::<Vec<_>>());
    }

    #[test]
    fn values_are_left_out_replaced_and_added() {
        assert_eq!(after(&[TableEdit::Stub]), json!({"TableName": "orders"}));
        let table = after(&[
            TableEdit::Without("/TableId".into()),
            TableEdit::Without("/KeySchema/0/KeyType".into()),
            TableEdit::Without("/Nothing/here".into()),
            TableEdit::Set("/ItemCount".into(), json!("many")),
            TableEdit::Set("/BillingModeSummary/New".into(), json!([1])),
        ]);
        assert_eq!((table.get("TableId"), table["KeySchema"][0].get("KeyType")), (None, None));
        assert_eq!((&table["ItemCount"], &table["BillingModeSummary"]["New"]), (&json!("many"), &json!([1])));
    }

    #[test]
    fn answer_that_is_not_a_description_stays_unchanged() {
        for body in ["", "nonsense", "{\"TableNames\":[]}"] {
            assert_eq!(edited(Bytes::from(body), &[TableEdit::Stub]), body);
        }
    }
}

//! Descriptions of tables that are made when they are asked for.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Index, StoredTable, TableBuilder};

const NAME: &str = "@NAME@";
const NUMBER: &str = "@NUMBER@";
const ACCOUNT: &str = "@ACCOUNT@";
const REGION: &str = "@REGION@";
const PARTITION: &str = "@PARTITION@";

/// A description with placeholders: `@NAME@`, `@ACCOUNT@`, `@REGION@`, `@PARTITION@`, and `@NUMBER@` for the table's
/// number as twelve hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Shape {
    body: String,
}

impl Shape {
    /// Any description with placeholders in its strings.
    #[must_use]
    pub fn from_description(description: &Value) -> Self {
        Self { body: String::from_utf8_lossy(&StoredTable::body(description)).into_owned() }
    }

    /// About 3 KB: a provisioned table with a stream, two global secondary indexes and a local one.
    #[must_use]
    pub fn standard() -> Self {
        let description = TableBuilder::new(ACCOUNT, REGION, NAME)
            .partition(PARTITION)
            .hash("customer_id", "S")
            .range("placed_at", "N")
            .attribute("status", "S")
            .attribute("warehouse", "S")
            .attribute("total", "N")
            .provisioned(40, 20)
            .gsi(Index::new("by_status").hash("status").range("placed_at").include(&["total", "currency"]))
            .gsi(Index::new("by_warehouse").hash("warehouse").range("status"))
            .lsi(Index::new("by_total").hash("customer_id").range("total").keys_only())
            .stream("NEW_AND_OLD_IMAGES")
            .protected()
            .field("TableId", json!("5e1f0c9a-7b1d-4c55-a2c4-@NUMBER@"))
            .field("CreationDateTime", json!(1_735_689_600.123))
            .field("TableClassSummary", json!({"TableClass": "STANDARD", "LastUpdateDateTime": 1_735_689_600.5}))
            .field(
                "SSEDescription",
                json!({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": "arn:@PARTITION@:kms:@REGION@:@ACCOUNT@:key/1a2b3c4d-0000-4000-8000-@NUMBER@"}),
            )
            .build();
        Self::from_description(&description)
    }

    /// The template of one scope.
    pub(crate) fn compile(&self, partition: &str, account_id: &str, region: &str) -> Template {
        let body = self.body.replace(PARTITION, partition).replace(ACCOUNT, account_id).replace(REGION, region);
        let mut pieces = Vec::new();
        let mut rest = body.as_str();
        while let Some(at) = rest.find('@') {
            let (marker, piece) = if rest[at..].starts_with(NAME) {
                (NAME, Piece::Name)
            } else if rest[at..].starts_with(NUMBER) {
                (NUMBER, Piece::Number)
            } else {
                ("@", Piece::Text("@".to_owned()))
            };
            pieces.push(Piece::Text(rest[..at].to_owned()));
            pieces.push(piece);
            rest = &rest[at + marker.len()..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Template { capacity: body.len() + 64 * pieces.len(), pieces }
    }
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Name,
    Number,
}

/// A shape with everything filled in but the table.
#[derive(Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    capacity: usize,
}

impl Template {
    /// The answer for one table.
    pub(crate) fn render(&self, name: &str, number: u64) -> Bytes {
        let mut body = Vec::with_capacity(self.capacity);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => body.extend_from_slice(text.as_bytes()),
                Piece::Name => body.extend_from_slice(name.as_bytes()),
                Piece::Number => body.extend_from_slice(format!("{number:012x}").as_bytes()),
            }
        }
        body.into()
    }
}

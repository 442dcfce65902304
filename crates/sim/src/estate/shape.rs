//! Descriptions of tables that are generated on request.

use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Index, StoredTable, TableBuilder};
use crate::place::Place;

const NAME: &str = "@NAME@";
const NUMBER: &str = "@NUMBER@";
const ACCOUNT: &str = "@ACCOUNT@";
const REGION: &str = "@REGION@";
const PARTITION: &str = "@PARTITION@";

static STANDARD: LazyLock<Shape> = LazyLock::new(Shape::make_standard);

/// A description with placeholders: `@NAME@`, `@ACCOUNT@`, `@REGION@`, `@PARTITION@`, and `@NUMBER@` for the table's
/// number as twelve hexadecimal digits.
///
/// Clones share their data, so any number of scopes can use one shape.
#[derive(Clone, Debug)]
pub struct Shape {
    pieces: Arc<[Piece]>,
}

impl Shape {
    /// A shape from a description whose strings may contain placeholders.
    #[must_use]
    pub fn from_description(description: &Value) -> Self {
        let body = StoredTable::body(description);
        let body = String::from_utf8_lossy(&body);
        let mut pieces = Vec::new();
        let mut rest = &*body;
        while let Some(at) = rest.find('@') {
            let (marker, piece) = marker(&rest[at..]);
            pieces.push(Piece::Text(rest[..at].to_owned()));
            pieces.push(piece);
            rest = &rest[at + marker.len()..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Self { pieces: pieces.into() }
    }

    /// About 3 KB: a provisioned table with a stream, two global secondary indexes and a local one.
    #[must_use]
    pub fn standard() -> Self {
        STANDARD.clone()
    }

    fn make_standard() -> Self {
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

    /// The answer for one table.
    pub(crate) fn render(&self, place: &Place, name: &str, number: u64) -> Bytes {
        let text_length: usize = self.pieces.iter().map(Piece::text_length).sum();
        let mut body = Vec::with_capacity(text_length + 32 * self.pieces.len());
        for piece in &*self.pieces {
            let text = match piece {
                Piece::Text(text) => text,
                Piece::Name => name,
                Piece::Account => &place.account_id,
                Piece::Region => &place.region,
                Piece::Partition => &place.partition,
                Piece::Number => {
                    // Writing to memory does not fail.
                    let _ = write!(body, "{number:012x}");
                    continue;
                }
            };
            body.extend_from_slice(text.as_bytes());
        }
        body.into()
    }
}

/// The marker at the beginning of a text, and the piece that it stands for.
fn marker(text: &str) -> (&'static str, Piece) {
    let markers = [
        (NAME, Piece::Name),
        (NUMBER, Piece::Number),
        (ACCOUNT, Piece::Account),
        (REGION, Piece::Region),
        (PARTITION, Piece::Partition),
    ];
    let found = markers.into_iter().find(|(marker, _)| text.starts_with(marker));
    found.unwrap_or_else(|| ("@", Piece::Text("@".to_owned())))
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Name,
    Number,
    Account,
    Region,
    Partition,
}

impl Piece {
    fn text_length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Estate;

    #[test]
    fn placeholders_are_filled_for_each_place() {
        let [partition, account_id, region] = ["aws-cn", "111122223333", "cn-north-1"].map(str::to_owned);
        let place = Place { partition, account_id, region };
        let description = json!({
            "TableName": "@NAME@", "At": "@PARTITION@/@REGION@/@ACCOUNT@", "Id": "@NUMBER@", "User": "a@b"
        });
        let body: Value =
            serde_json::from_slice(&Shape::from_description(&description).render(&place, "t", 255)).unwrap();
        assert_eq!(
            body["Table"],
            json!({"TableName": "t", "At": "aws-cn/cn-north-1/111122223333", "Id": "0000000000ff", "User": "a@b"})
        );
    }

    #[test]
    fn all_scopes_of_a_uniform_estate_share_one_shape() {
        let estate = Estate::uniform(10, 17, 60);
        let tables = estate.accounts.iter().flat_map(|account| account.regions.values());
        let shapes: Vec<&Shape> =
            tables.filter_map(|tables| tables.generated.as_ref()).map(|(_, shape)| shape).collect();
        assert_eq!(shapes.len(), 170);
        assert!(shapes.iter().all(|shape| Arc::ptr_eq(&shape.pieces, &shapes[0].pieces)));
    }
}

//! What each catalog gets of a table with every field that AWS documents, and of a table with names
//! that are markup elsewhere.

use dynacrawl_catalogs::atlan::{Atlan, Connection};
use dynacrawl_catalogs::datahub::DataHub;
use dynacrawl_catalogs::openmetadata::{Names, OpenMetadata};
use dynacrawl_catalogs::{Described, Unnamed, rows};
use dynacrawl_model::{NamedScope, Scope, TableRecord, Timestamp};
use dynacrawl_sim::fixtures;
use serde_json::{Value, json};

fn scope() -> NamedScope {
    let scope = Scope {
        partition: "aws".into(),
        account_id: "123456789012".parse().ok(),
        region: "eu-west-1".parse().expect("a Region"),
    };
    NamedScope { scope, account_name: Some("payments".into()) }
}

fn record(description: &Value) -> TableRecord {
    let body = json!({ "Table": description }).to_string();
    let decoded = dynacrawl_normalizer::decode(body.as_bytes()).expect("a description");
    TableRecord {
        observed_at: Timestamp::from_millis(1_767_225_600_000).expect("a time"),
        fingerprint: dynacrawl_normalizer::fingerprint(&decoded.table),
        table: decoded.table,
        problems: Vec::new(),
    }
}

/// Everything that the catalogs get of a table, as lines of JSON.
fn mapped(description: &Value) -> [(&'static str, Vec<Value>); 4] {
    let (scope, record) = (scope(), record(description));
    let table = Described::new(&scope, &record).expect("a name");
    let datahub = DataHub { env: "PROD".to_owned(), platform_instance: "{account}".parse().expect("a template") };
    let containers = datahub.containers(&scope).into_iter().flat_map(|shared| shared.entity);
    let proposals = containers.chain(datahub.dataset(&table)).chain(datahub.statistics(&table));
    let openmetadata = OpenMetadata { names: Names::Scoped { service: "dynamodb".to_owned() } };
    let parents = openmetadata.parents(&scope).into_iter().map(|shared| shared.entity);
    let connection: Connection = "default/dynamodb/1735689600".parse().expect("a connection");
    let entities = Atlan::default().entities(&connection, &table);
    let row = |row: serde_json::Result<Value>| row.expect("JSON");
    let rows = std::iter::once(row(serde_json::to_value(rows::table(&table))))
        .chain(rows::indexes(&table).into_iter().map(|one| row(serde_json::to_value(one))))
        .chain(rows::key_attributes(&table).into_iter().map(|one| row(serde_json::to_value(one))));
    [
        ("datahub", proposals.map(|proposal| proposal.to_json()).collect()),
        ("openmetadata", parents.chain([openmetadata.table(&table)]).map(|request| request.to_json()).collect()),
        ("atlan", entities.into_iter().map(|entity| entity.json).collect()),
        ("rows", rows.collect()),
    ]
}

#[test]
fn a_table_with_every_field() {
    for (name, values) in mapped(&fixtures::full_table("orders", "123456789012", "eu-west-1")) {
        let text: Vec<_> = values.iter().map(|value| serde_json::to_string_pretty(value).expect("JSON")).collect();
        insta::assert_snapshot!(format!("full_{name}"), text.join("\n"));
    }
}

/// Attribute names may be any text.
#[test]
fn odd_names_are_escaped_where_they_would_be_markup() {
    let odd = "a::b>\"c\"<script>/%[x](y)`";
    let description = json!({
        "TableName": "o.d-d_1", "TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/o.d-d_1",
        "AttributeDefinitions": [{"AttributeName": odd, "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": odd, "KeyType": "HASH"}],
    });
    let [(_, datahub), (_, openmetadata), (_, atlan), _] = mapped(&description);
    let urn = "urn:li:dataset:(urn:li:dataPlatform:dynamodb,123456789012.eu-west-1.o.d-d_1,PROD)";
    assert!(datahub.iter().any(|proposal| proposal["entityUrn"] == urn));
    let body = &openmetadata[3]["body"];
    let name = "a__reserved__colon__b__reserved__arrow____reserved__quote__c__reserved__quote__<script__reserved__arrow__/%[x](y)`";
    assert_eq!((&body["columns"][0]["name"], &body["columns"][0]["displayName"]), (&json!(name), &json!(odd)));
    assert!(
        body["description"].as_str().expect("text").contains(r#"- Partition key: a::b\>"c"\<script\>/%\[x\](y)\`"#)
    );
    let name = &atlan[1]["attributes"]["qualifiedName"];
    assert_eq!(name, "default/dynamodb/1735689600/o.d-d_1/a::b>\"c\"<script>%2F%25[x](y)`");
}

#[test]
fn a_key_of_several_attributes_is_shown_whole() {
    let key = |names: &[(&str, &str)]| -> Value {
        names.iter().map(|(name, role)| json!({"AttributeName": name, "KeyType": role})).collect()
    };
    let description = json!({
        "TableName": "t",
        "AttributeDefinitions": (["a", "b", "c", "d"]).map(|name| json!({"AttributeName": name, "AttributeType": "S"})),
        "KeySchema": key(&[("a", "HASH")]),
        "GlobalSecondaryIndexes": [{
            "IndexName": "i",
            "KeySchema": key(&[("b", "HASH"), ("c", "HASH"), ("d", "RANGE"), ("a", "RANGE")]),
            "Projection": {"ProjectionType": "ALL"},
        }],
    });
    let [(_, datahub), _, (_, atlan), _] = mapped(&description);
    let properties = datahub.iter().find(|one| one["aspectName"] == "datasetProperties").expect("properties");
    let index = &properties["aspect"]["json"]["customProperties"]["index.i"];
    assert_eq!(index, "global; b (S, partition), c (S, partition), d (S, sort), a (S, sort); ALL");
    let index = atlan.iter().find(|one| one["typeName"] == "DynamoDBGlobalSecondaryIndex").expect("an index");
    let attributes = &index["attributes"];
    assert_eq!((&attributes["dynamoDBPartitionKey"], &attributes["dynamoDBSortKey"]), (&json!("b, c"), &json!("d, a")));
}

#[test]
fn a_table_without_a_name_has_no_place() {
    let (scope, mut record) =
        (scope(), record(&json!({"TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/t"})));
    assert_eq!(Described::new(&scope, &record).map(|table| table.name.to_owned()), Ok("t".to_owned()));
    record.table.arn = None;
    assert_eq!(Described::new(&scope, &record).map(|_| ()), Err(Unnamed));
}

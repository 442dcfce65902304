//! DataHub: metadata change proposals, as its file source reads them and its REST API takes them.
//!
//! A dataset has the urn that DataHub's own DynamoDB source gives it: the account as platform
//! instance, and `<region>.<table>` as name. The account and its Regions are containers. Only
//! aspects of the source are written; what people edit in DataHub is in other aspects.

use dynacrawl_model::{IndexKind, NamedScope, ROLE_PARTITION, ROLE_SORT};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::described::FACT_KEYS;
use crate::{Described, Shared, Template};

const PLATFORM: &str = "urn:li:dataPlatform:dynamodb";

/// The settings of the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataHub {
    /// The environment in the urn of each dataset, such as `PROD`.
    pub env: String,
    /// The platform instance of an account; DataHub's own source uses the account's id.
    pub platform_instance: Template,
}

/// The environments that DataHub knows (`FabricType`).
pub const ENVIRONMENTS: [&str; 14] =
    ["DEV", "TEST", "QA", "UAT", "EI", "PRE", "STG", "NON_PROD", "PROD", "CORP", "RVW", "PRD", "TST", "SIT"];

/// An aspect of an entity, to be written whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// `dataset` or `container`.
    pub entity_type: &'static str,
    /// The entity.
    pub urn: String,
    /// The aspect's name.
    pub aspect: &'static str,
    /// The aspect.
    pub value: Value,
}

impl Proposal {
    /// The proposal as DataHub's file source reads it.
    pub fn to_json(&self) -> Value {
        json!({
            "entityType": self.entity_type,
            "entityUrn": self.urn,
            "changeType": "UPSERT",
            "aspectName": self.aspect,
            "aspect": { "json": self.value },
        })
    }
}

impl DataHub {
    /// The containers of a scope: the account, and the Region within it.
    pub fn containers(&self, scope: &NamedScope) -> Vec<Shared<Vec<Proposal>>> {
        let account = scope.account_id.as_ref().map_or("unknown", |id| id.as_str());
        let (account_urn, region_urn) = (account_container(scope), region_container(scope));
        let account_name =
            scope.account_name.as_deref().map_or_else(|| account.to_owned(), |name| format!("{name} ({account})"));
        let instance = self.instance(scope);
        let container = |urn: &str, name: &str, kind: &str, properties: Value, parents: &[&str]| {
            let mut proposals = vec![
                ("containerProperties", json!({ "name": name, "customProperties": properties })),
                ("subTypes", json!({ "typeNames": [kind] })),
                ("dataPlatformInstance", self.instance_aspect(scope)),
                ("status", json!({ "removed": false })),
            ];
            if let Some(parent) = parents.last() {
                proposals.push(("container", json!({ "container": parent })));
            }
            proposals.push(("browsePathsV2", browse_path(&instance, parents)));
            let proposal = |(aspect, value)| Proposal { entity_type: "container", urn: urn.to_owned(), aspect, value };
            Shared { id: urn.to_owned(), entity: proposals.into_iter().map(proposal).collect() }
        };
        let partition = scope.partition.as_str();
        let of_account = json!({ "account_id": account, "partition": partition });
        let of_region = json!({ "account_id": account, "partition": partition, "region": scope.region.as_str() });
        vec![
            container(&account_urn, &account_name, "Account", of_account, &[]),
            container(&region_urn, scope.region.as_str(), "Region", of_region, &[&account_urn]),
        ]
    }

    /// The dataset of a table: what changes only if someone changes the table.
    pub fn dataset(&self, table: &Described<'_>) -> Vec<Proposal> {
        let (account, region) = (account_container(table.scope), region_container(table.scope));
        let instance = self.instance(table.scope);
        self.of_dataset(
            table,
            vec![
                ("schemaMetadata", schema(table)),
                ("datasetProperties", properties(table)),
                ("dataPlatformInstance", self.instance_aspect(table.scope)),
                ("subTypes", json!({ "typeNames": ["Table"] })),
                ("container", json!({ "container": region })),
                ("browsePathsV2", browse_path(&instance, &[&account, &region])),
                ("status", json!({ "removed": false })),
            ],
        )
    }

    /// The statistics of a table, which change by themselves.
    pub fn statistics(&self, table: &Described<'_>) -> Vec<Proposal> {
        let mut profile = json!({
            "timestampMillis": table.record.observed_at.as_millis(),
            "partitionSpec": { "type": "FULL_TABLE", "partition": "FULL_TABLE_SNAPSHOT" },
        });
        let described = table.table();
        for (field, value) in [("rowCount", described.item_count), ("sizeInBytes", described.size_bytes)] {
            if let Some(value) = value {
                profile[field] = value.into();
            }
        }
        self.of_dataset(table, vec![("datasetProfile", profile)])
    }

    /// The custom properties that change by themselves, for a patch.
    pub fn counts(&self, table: &Described<'_>) -> Proposal {
        let all = properties(table);
        let changes = |key: &&String| {
            let of_table = ["status", "totalItems", "readCapacityUnits", "writeCapacityUnits", "replicas"];
            let of_index = ["index.", "indexItems.", "indexBytes."];
            key.strip_prefix("table.").is_some_and(|key| of_table.contains(&key))
                || of_index.iter().any(|prefix| key.starts_with(prefix))
        };
        let custom = all["customProperties"].as_object().into_iter().flatten().filter(|(key, _)| changes(key));
        let custom: Map<String, Value> = custom.map(|(key, value)| (key.clone(), value.clone())).collect();
        let value = json!({ "customProperties": custom });
        Proposal { entity_type: "dataset", urn: self.urn(table), aspect: "datasetProperties", value }
    }

    fn of_dataset(&self, table: &Described<'_>, aspects: Vec<(&'static str, Value)>) -> Vec<Proposal> {
        let urn = self.urn(table);
        let proposal = |(aspect, value)| Proposal { entity_type: "dataset", urn: urn.clone(), aspect, value };
        aspects.into_iter().map(proposal).collect()
    }

    /// The urn of a table's dataset.
    pub fn urn(&self, table: &Described<'_>) -> String {
        self.urn_of(table.scope, table.name)
    }

    /// The urn of the dataset of a table with this name.
    pub fn urn_of(&self, scope: &NamedScope, name: &str) -> String {
        let instance = self.platform_instance.fill(scope);
        format!("urn:li:dataset:({PLATFORM},{instance}.{}.{name},{})", scope.region, self.env)
    }

    fn instance(&self, scope: &NamedScope) -> String {
        format!("urn:li:dataPlatformInstance:({PLATFORM},{})", self.platform_instance.fill(scope))
    }

    fn instance_aspect(&self, scope: &NamedScope) -> Value {
        json!({ "platform": PLATFORM, "instance": self.instance(scope) })
    }
}

/// Whether a custom property is one that the mapping writes. If it writes it no longer, the property is out
/// of date.
pub fn is_own_property(key: &str, value: &str) -> bool {
    if let Some((what, _)) = key.split_once('.') {
        match what {
            "index" => return ["global; ", "local; ", "vector; "].iter().any(|kind| value.starts_with(kind)),
            "indexItems" | "indexBytes" => return value.parse::<i64>().is_ok(),
            _ => {}
        }
    }
    ["table.arn", "table.totalItems"].contains(&key) || FACT_KEYS.contains(&key)
}

fn account_container(scope: &NamedScope) -> String {
    container_urn(&[scope.partition.as_str(), scope.account_id.as_ref().map_or("unknown", |id| id.as_str())])
}

fn region_container(scope: &NamedScope) -> String {
    let account = scope.account_id.as_ref().map_or("unknown", |id| id.as_str());
    container_urn(&[scope.partition.as_str(), account, scope.region.as_str()])
}

/// The urn of a container: the first half of a SHA-256 over what identifies it, because DataHub
/// identifies containers by 32 hexadecimal digits.
fn container_urn(key: &[&str]) -> String {
    let digest = Sha256::digest(format!("dynamodb/{}", key.join("/")));
    let digits: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("urn:li:container:{digits}")
}

fn browse_path(instance: &str, containers: &[&str]) -> Value {
    let entry = |urn: &str| json!({ "id": urn, "urn": urn });
    let path: Vec<_> = std::iter::once(instance).chain(containers.iter().copied()).map(entry).collect();
    json!({ "path": path })
}

fn schema(table: &Described<'_>) -> Value {
    let field = |column: &crate::described::Column<'_>| {
        let mut field = json!({
            "fieldPath": column.name,
            "nullable": column.role.is_none(),
            "type": { "type": { field_type(column.kind): {} } },
            "nativeDataType": column.kind.unwrap_or("unknown"),
            "recursive": false,
            "isPartOfKey": column.role.is_some(),
        });
        if let Some(description) = column.description() {
            field["description"] = description.into();
        }
        field
    };
    let fields: Vec<_> = table.columns().iter().map(field).collect();
    let keys: Vec<_> = [ROLE_PARTITION, ROLE_SORT].iter().flat_map(|role| table.key(role)).collect();
    json!({
        "schemaName": table.name,
        "platform": PLATFORM,
        "version": 0,
        "hash": "",
        "platformSchema": { "com.linkedin.schema.Schemaless": {} },
        "fields": fields,
        "primaryKeys": keys,
    })
}

fn field_type(kind: Option<&str>) -> &'static str {
    match kind {
        Some("S") => "com.linkedin.schema.StringType",
        Some("N") => "com.linkedin.schema.NumberType",
        Some("B") => "com.linkedin.schema.BytesType",
        _ => "com.linkedin.schema.NullType",
    }
}

fn properties(table: &Described<'_>) -> Value {
    let described = table.table();
    let mut custom = Map::new();
    if let Some(arn) = &described.arn {
        custom.insert("table.arn".to_owned(), arn.as_str().into());
    }
    if let Some(items) = described.item_count {
        custom.insert("table.totalItems".to_owned(), items.to_string().into());
    }
    for fact in table.facts() {
        custom.insert(fact.key, fact.value.into());
    }
    for kind in [IndexKind::Global, IndexKind::Local, IndexKind::Vector] {
        for index in table.indexes(kind) {
            let name = index.name.as_deref().unwrap_or_default();
            // The name of an index may have dots, so nothing comes after it.
            for (what, value) in [("indexItems", index.item_count), ("indexBytes", index.size_bytes)] {
                if let Some(value) = value {
                    custom.insert(format!("{what}.{name}"), value.to_string().into());
                }
            }
        }
    }
    let mut properties = json!({ "name": table.name, "customProperties": custom, "tags": [] });
    if let Some(arn) = &described.arn {
        properties["qualifiedName"] = arn.as_str().into();
    }
    if let Some(url) = table.console_url() {
        properties["externalUrl"] = url.into();
    }
    if let Some(created) = described.created_at {
        properties["created"] = json!({ "time": created.as_millis() });
    }
    properties
}

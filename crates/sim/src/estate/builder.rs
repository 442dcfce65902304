//! Builds descriptions of tables in the form of the DynamoDB API.

use serde_json::{Map, Value, json};

use crate::derived::{derived_uuid, hash};

/// Builds the `Table` of a DescribeTable answer as AWS would send it. The defaults are those of a
/// new on-demand table. Times, sizes and ids are derived from the account, the Region and the name.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    partition: String,
    account: String,
    region: String,
    name: String,
    seed: u64,
    attributes: Vec<Value>,
    keys: Vec<Value>,
    global: Vec<Index>,
    local: Vec<Index>,
    vector: Vec<Value>,
    provisioned: Option<(u64, u64)>,
    fields: Map<String, Value>,
    without: Vec<&'static str>,
}

impl TableBuilder {
    /// A table in the partition `aws`.
    #[must_use]
    pub fn new(account_id: &str, region: &str, name: &str) -> Self {
        Self {
            partition: "aws".to_owned(),
            account: account_id.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
            seed: hash(&format!("{account_id}/{region}/{name}")),
            attributes: Vec::new(),
            keys: Vec::new(),
            global: Vec::new(),
            local: Vec::new(),
            vector: Vec::new(),
            provisioned: None,
            fields: Map::new(),
            without: Vec::new(),
        }
    }

    /// Moves the table to another partition.
    #[must_use]
    pub fn partition(mut self, partition: &str) -> Self {
        partition.clone_into(&mut self.partition);
        self
    }

    /// Adds a partition key attribute of type `S`, `N` or `B`.
    #[must_use]
    pub fn hash(self, attribute: &str, kind: &str) -> Self {
        self.key(attribute, kind, "HASH")
    }

    /// Adds a sort key attribute of type `S`, `N` or `B`.
    #[must_use]
    pub fn range(self, attribute: &str, kind: &str) -> Self {
        self.key(attribute, kind, "RANGE")
    }

    fn key(mut self, attribute: &str, kind: &str, role: &str) -> Self {
        self.keys.push(json!({"AttributeName": attribute, "KeyType": role}));
        self.attribute(attribute, kind)
    }

    /// Defines an attribute that indexes use as a key.
    #[must_use]
    pub fn attribute(mut self, attribute: &str, kind: &str) -> Self {
        self.attributes.push(json!({"AttributeName": attribute, "AttributeType": kind}));
        self
    }

    /// Adds a global secondary index.
    #[must_use]
    pub fn gsi(mut self, index: Index) -> Self {
        self.global.push(index);
        self
    }

    /// Adds a local secondary index.
    #[must_use]
    pub fn lsi(mut self, index: Index) -> Self {
        self.local.push(index);
        self
    }

    /// Adds a vector index over an attribute, with a search key and inline filters.
    #[must_use]
    pub fn vector(
        mut self,
        name: &str,
        attribute: &str,
        dimensions: u32,
        distance: &str,
        search_key: &str,
        filters: &[&str],
    ) -> Self {
        let mut schema = vec![json!({"AttributeName": search_key, "SearchSchemaElementType": "HASH"})];
        schema.extend(
            filters.iter().map(|filter| json!({"AttributeName": filter, "SearchSchemaElementType": "INLINE_FILTER"})),
        );
        let arn = format!("{}/index/{name}", self.arn());
        self.vector.push(json!({
            "IndexName": name, "SearchSchema": schema, "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": filters},
            "VectorAttribute": {"AttributeName": attribute}, "Dimensions": dimensions, "DistanceFunction": distance,
            "IndexStatus": "ACTIVE", "Backfilling": false, "IndexSizeBytes": self.seed % 90_000_000, "ItemCount": self.seed % 40_000,
            "IndexArn": arn,
        }));
        self
    }

    /// Provisioned capacity instead of on-demand.
    #[must_use]
    pub fn provisioned(mut self, read: u64, write: u64) -> Self {
        self.provisioned = Some((read, write));
        self
    }

    /// Limits for an on-demand table.
    #[must_use]
    pub fn on_demand_maximum(self, read: i64, write: i64) -> Self {
        self.field("OnDemandThroughput", json!({"MaxReadRequestUnits": read, "MaxWriteRequestUnits": write}))
    }

    /// Warm throughput.
    #[must_use]
    pub fn warm(self, read: u64, write: u64) -> Self {
        self.field(
            "WarmThroughput",
            json!({"ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write, "Status": "ACTIVE"}),
        )
    }

    /// A stream of this view type.
    #[must_use]
    pub fn stream(self, view: &str) -> Self {
        let label = format!("2025-0{}-1{}T08:15:30.{:03}", self.seed % 9 + 1, self.seed % 7, self.seed % 1_000);
        let arn = format!("{}/stream/{label}", self.arn());
        self.field("StreamSpecification", json!({"StreamEnabled": true, "StreamViewType": view}))
            .field("LatestStreamLabel", json!(label))
            .field("LatestStreamArn", json!(arn))
    }

    /// Encryption with a KMS key of the account.
    #[must_use]
    pub fn kms(self) -> Self {
        let key = derived_uuid(&format!("key/{}", self.seed % 5));
        let arn = format!("arn:{}:kms:{}:{}:key/{key}", self.partition, self.region, self.account);
        self.field("SSEDescription", json!({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": arn}))
    }

    /// The class for infrequently accessed tables.
    #[must_use]
    pub fn infrequent_access(self) -> Self {
        let at = self.created() + 86_400.25;
        self.field("TableClassSummary", json!({"TableClass": "STANDARD_INFREQUENT_ACCESS", "LastUpdateDateTime": at}))
    }

    /// Deletion protection.
    #[must_use]
    pub fn protected(self) -> Self {
        self.field("DeletionProtectionEnabled", json!(true))
    }

    /// The table's status.
    #[must_use]
    pub fn status(self, status: &str) -> Self {
        self.field("TableStatus", json!(status))
    }

    /// Sets any field, including those that the builder sets itself.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Leaves a field out of the answer.
    #[must_use]
    pub fn without(mut self, field: &'static str) -> Self {
        self.without.push(field);
        self
    }

    /// The table's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:{}:dynamodb:{}:{}:table/{}", self.partition, self.region, self.account, self.name)
    }

    /// Seconds since 1970, with milliseconds: from mid-2018 to the end of 2024.
    fn created(&self) -> f64 {
        let milliseconds = 1_530_000_000_000 + self.seed % 205_000_000_000;
        milliseconds as f64 / 1_000.0
    }

    /// The description.
    #[must_use]
    pub fn build(&self) -> Value {
        let items = self.seed % 2_500_000;
        let mut table = Map::new();
        let mut set = |name: &str, value: Value| table.insert(name.to_owned(), value);
        set("AttributeDefinitions", json!(self.attributes));
        set("TableName", json!(self.name));
        set("KeySchema", json!(self.keys));
        set("TableStatus", json!("ACTIVE"));
        set("CreationDateTime", json!(self.created()));
        set("TableSizeBytes", json!(items * (60 + self.seed % 900)));
        set("ItemCount", json!(items));
        set("TableArn", json!(self.arn()));
        set("TableId", json!(derived_uuid(&self.arn())));
        set("DeletionProtectionEnabled", json!(false));
        set("ProvisionedThroughput", self.throughput());
        match self.provisioned {
            Some((read, write)) => set("WarmThroughput", warm(read.max(12_000), write.max(4_000))),
            None => {
                let since =
                    json!({"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": self.created()});
                set("BillingModeSummary", since);
                set("WarmThroughput", warm(12_000, 4_000))
            }
        };
        if !self.global.is_empty() {
            let global = self.global.iter().map(|index| index.describe(self, true)).collect();
            set("GlobalSecondaryIndexes", Value::Array(global));
        }
        if !self.local.is_empty() {
            let local = self.local.iter().map(|index| index.describe(self, false)).collect();
            set("LocalSecondaryIndexes", Value::Array(local));
        }
        if !self.vector.is_empty() {
            set("VectorIndexes", json!(self.vector));
        }
        table.extend(self.fields.clone());
        table.retain(|name, _| !self.without.contains(&name.as_str()));
        Value::Object(table)
    }

    fn throughput(&self) -> Value {
        match self.provisioned {
            Some((read, write)) => json!({
                "LastIncreaseDateTime": self.created() + 600.5, "LastDecreaseDateTime": self.created() + 90_000.75,
                "NumberOfDecreasesToday": 0, "ReadCapacityUnits": read, "WriteCapacityUnits": write,
            }),
            None => json!({"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0}),
        }
    }
}

fn warm(read: u64, write: u64) -> Value {
    json!({"ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write, "Status": "ACTIVE"})
}

/// A secondary index of a table. By default it projects everything.
#[derive(Clone, Debug)]
pub struct Index {
    name: String,
    keys: Vec<Value>,
    projection: Value,
    fields: Map<String, Value>,
}

impl Index {
    /// An index without keys.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            keys: Vec::new(),
            projection: json!({"ProjectionType": "ALL"}),
            fields: Map::new(),
        }
    }

    /// Adds a partition key attribute, which the table has to define.
    #[must_use]
    pub fn hash(mut self, attribute: &str) -> Self {
        self.keys.push(json!({"AttributeName": attribute, "KeyType": "HASH"}));
        self
    }

    /// Adds a sort key attribute, which the table has to define.
    #[must_use]
    pub fn range(mut self, attribute: &str) -> Self {
        self.keys.push(json!({"AttributeName": attribute, "KeyType": "RANGE"}));
        self
    }

    /// Projects only the keys.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.projection = json!({"ProjectionType": "KEYS_ONLY"});
        self
    }

    /// Projects the keys and these attributes.
    #[must_use]
    pub fn include(mut self, attributes: &[&str]) -> Self {
        self.projection = json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": attributes});
        self
    }

    /// Sets any field.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    fn describe(&self, table: &TableBuilder, global: bool) -> Value {
        let seed = hash(&self.name) ^ table.seed;
        let mut index = Map::new();
        let mut set = |name: &str, value: Value| index.insert(name.to_owned(), value);
        set("IndexName", json!(self.name));
        set("KeySchema", json!(self.keys));
        set("Projection", self.projection.clone());
        set("IndexSizeBytes", json!(seed % 400_000_000));
        set("ItemCount", json!(seed % 900_000));
        set("IndexArn", json!(format!("{}/index/{}", table.arn(), self.name)));
        if global {
            set("IndexStatus", json!("ACTIVE"));
            set("ProvisionedThroughput", table.throughput());
            set("WarmThroughput", warm(12_000, 4_000));
        }
        index.extend(self.fields.clone());
        Value::Object(index)
    }
}

//! The sink `openmetadata`: tables in OpenMetadata, by its REST API.
//!
//! Each table is a request of its own: the answer is about this table, has the id that its profile needs,
//! and all versions have it. What people may have written is read first and sent back, because a request
//! replaces the display name, the retention period and the constraints. The token has to be a bot's: only
//! then OpenMetadata keeps descriptions.

mod parents;

use std::collections::HashSet;

use dynacrawl_catalogs::openmetadata::{OpenMetadata, is_own_description};
use dynacrawl_catalogs::{Described, Owners};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::catalog::{Answered, CatalogSettings, Doubts, Refusals, TableState, TableUpdate, updates};
use crate::kind::{Destination, Kind, ONE_BY_ONE};
use crate::secret::SecretRef;
use crate::sink::{Delivered, DeliveryError, Event, Sink};
use crate::web::{Api, ApiSettings, encoded, version};

/// How many tables are sent at once.
const AT_ONCE: usize = 8;
/// The first version that has all members of the requests (`sourceUrl`, `sizeInByte`).
const OLDEST: [u64; 3] = [1, 3, 0];
const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";

/// Where OpenMetadata is, and how tables are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMetadataSettings {
    /// The server, without `/api`.
    pub api: ApiSettings,
    /// The names.
    pub catalog: OpenMetadata,
    /// How the sink follows the state.
    pub follow: CatalogSettings,
}

/// A server of OpenMetadata.
#[derive(Debug)]
pub(crate) struct OpenMetadataSink {
    settings: OpenMetadataSettings,
    api: Api,
    is_prepared: bool,
    /// The services, databases and schemas that are known to exist.
    known: HashSet<String>,
    doubts: Doubts,
    owners: Owners,
}

impl OpenMetadataSink {
    /// A sink that has not connected yet.
    pub(crate) fn new(settings: OpenMetadataSettings) -> Self {
        let api = Api::new(settings.api.clone(), &[]);
        Self {
            settings,
            api,
            is_prepared: false,
            known: HashSet::new(),
            doubts: Doubts::default(),
            owners: Owners::default(),
        }
    }

    async fn all(&mut self, batch: &[Event]) -> Result<Delivered, DeliveryError> {
        let updates = updates(batch);
        if updates.is_empty() {
            return Ok(Delivered::default());
        }
        self.api.open()?;
        self.prepare().await?;
        for update in &updates {
            let place = self.settings.catalog.schema(update.scope);
            self.owners.claim("openmetadata.service", &place, &update.scope.to_string())?;
            if !matches!(update.state, TableState::Removed) {
                parents::create(&self.api, &self.settings.catalog, update.scope, &mut self.known).await?;
            }
        }
        let this = &*self;
        let sending: Vec<_> = updates.iter().map(|update| this.one(update)).collect();
        let answers: Vec<_> = stream::iter(sending).buffered(AT_ONCE).collect().await;
        let mut refusals = Refusals::default();
        for (update, answered) in updates.iter().zip(answers) {
            match answered {
                Answered::Taken => {}
                Answered::Refused(reason) => refusals.refused(update, reason),
                Answered::Suspect(error) => refusals.suspect(update, error),
                Answered::Failed(error) => {
                    // A parent may have been deleted.
                    self.known.clear();
                    return Err(error);
                }
            }
        }
        refusals.delivered(updates.len(), &mut self.doubts)
    }

    /// Whether the server has what dynacrawl uses of it, and keeps what people wrote: only from requests of a
    /// bot.
    async fn prepare(&mut self) -> Result<(), DeliveryError> {
        if self.is_prepared {
            return Ok(());
        }
        let of_server = read(self.api.call(Method::GET, "/api/v1/system/version", "", None).await?)?;
        let Some(found) = of_server.as_ref().and_then(|answer| answer["version"].as_str()) else {
            let problem = "GET /api/v1/system/version is not answered as by OpenMetadata; the URL is that of the server, without /api";
            return Err(DeliveryError::new(problem));
        };
        if version(found) < OLDEST {
            let [major, minor, _] = OLDEST;
            let problem =
                format!("the server has version {found} of OpenMetadata; dynacrawl needs {major}.{minor} or newer");
            return Err(DeliveryError::new(problem));
        }
        let answer = self.api.call(Method::GET, "/api/v1/users/loggedInUser", "", None).await?;
        let user = read(answer)?.unwrap_or_default();
        if user["isBot"] != true {
            let problem =
                "the token is not a bot's; requests of another user would replace the descriptions that people wrote";
            return Err(DeliveryError::new(problem));
        }
        self.is_prepared = true;
        Ok(())
    }

    async fn one(&self, update: &TableUpdate<'_>) -> Answered {
        let done = match &update.state {
            TableState::Present(table) => self.table(table).await,
            TableState::Counted(table) => self.counted(table).await,
            TableState::Removed => self.removed(update).await,
        };
        match done {
            Ok(()) => Answered::Taken,
            Err(Untaken::Failed(error)) => Answered::Failed(error),
            Err(Untaken::Answer(answer)) => match answer.status {
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                    Answered::Refused(answer.in_words())
                }
                StatusCode::INTERNAL_SERVER_ERROR => Answered::Suspect(answer.into_error()),
                _ => Answered::Failed(answer.into_error()),
            },
        }
    }

    /// The table as the server has it, also if it is deleted there.
    async fn stored(&self, name: &str) -> Result<Option<Value>, Untaken> {
        let path = format!("/api/v1/tables/name/{}?include=all&fields=tableConstraints", encoded(name));
        self.call(Method::GET, &path, "", None).await
    }

    async fn table(&self, table: &Described<'_>) -> Result<(), Untaken> {
        let catalog = &self.settings.catalog;
        let stored = self.stored(&catalog.table_name(table.scope, table.name)).await?;
        let request = catalog.structure(table);
        let mut body = request.body;
        let description = body["description"].clone();
        if let Some(stored) = &stored {
            if stored["deleted"] == true {
                self.call(Method::PUT, "/api/v1/tables/restore", JSON, Some(&json!({ "id": stored["id"] }))).await?;
            }
            keep_what_people_wrote(&mut body, stored);
        }
        let Some(written) = self.call(Method::PUT, request.path, JSON, Some(&body)).await? else {
            return Err(Untaken::Failed(DeliveryError::new(
                "OpenMetadata does not have the schema of the table any more",
            )));
        };
        self.describe(&written, &description).await?;
        self.put_profile(&written, table).await
    }

    /// Brings the description up to date if it is ours: a request of a bot does not change one that is
    /// there.
    async fn describe(&self, written: &Value, description: &Value) -> Result<(), Untaken> {
        let text = written["description"].as_str().unwrap_or_default();
        if written["description"] == *description || !is_own_description(text) {
            return Ok(());
        }
        let patch = json!([{ "op": "replace", "path": "/description", "value": description }]);
        let path = format!("/api/v1/tables/{}", id(written)?);
        self.call(Method::PATCH, &path, JSON_PATCH, Some(&patch)).await.map(drop)
    }

    async fn counted(&self, table: &Described<'_>) -> Result<(), Untaken> {
        let name = self.settings.catalog.table_name(table.scope, table.name);
        match self.stored(&name).await? {
            Some(stored) if stored["deleted"] != true => {
                // States and capacity are there.
                self.describe(&stored, &self.settings.catalog.structure(table).body["description"]).await?;
                self.put_profile(&stored, table).await
            }
            _ => Ok(()),
        }
    }

    async fn put_profile(&self, stored: &Value, table: &Described<'_>) -> Result<(), Untaken> {
        let path = format!("/api/v1/tables/{}/tableProfile", id(stored)?);
        let profile = self.settings.catalog.profile(table);
        self.call(Method::PUT, &path, JSON, Some(&profile)).await.map(drop)
    }

    /// Deletes a table so that it can be restored, with what people wrote.
    async fn removed(&self, update: &TableUpdate<'_>) -> Result<(), Untaken> {
        let stored = self.stored(&self.settings.catalog.table_name(update.scope, update.name)).await?;
        let Some(stored) = stored.filter(|stored| stored["deleted"] != true) else { return Ok(()) };
        let path = format!("/api/v1/tables/{}?recursive=true&hardDelete=false", id(&stored)?);
        self.call(Method::DELETE, &path, "", None).await.map(drop)
    }

    /// Sends a request. `None` if there is no such entity.
    async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Option<Value>, Untaken> {
        let answer = self.api.call(method, path, content_type, body).await.map_err(Untaken::Failed)?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.json().map_err(Untaken::Failed)?)),
            _ => Err(Untaken::Answer(answer)),
        }
    }

    async fn checked(&mut self) -> Result<(), DeliveryError> {
        self.api.open()?;
        self.prepare().await?;
        let permissions = read(self.api.call(Method::GET, "/api/v1/permissions/table", "", None).await?)?;
        let permissions = permissions.unwrap_or_default();
        let denied = |operation: &str| {
            let of = permissions["permissions"].as_array().into_iter().flatten();
            !of.filter(|one| one["operation"] == operation)
                .any(|one| one["access"] == "allow" || one["access"] == "conditionalAllow")
        };
        match ["Create", "EditAll", "Delete"].into_iter().find(|operation| denied(operation)) {
            None => Ok(()),
            Some(operation) => Err(DeliveryError::new(format!(
                "the bot lacks the permission {operation} on tables; give it a role with the IngestionBotPolicy"
            ))),
        }
    }
}

/// Why a table was not taken.
enum Untaken {
    Answer(Answer),
    Failed(DeliveryError),
}

/// The body of an answer; `None` if there is no such entity.
fn read(answer: Answer) -> Result<Option<Value>, DeliveryError> {
    match answer.status {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => Ok(Some(answer.json()?)),
        _ => Err(answer.into_error()),
    }
}

fn id(stored: &Value) -> Result<&str, Untaken> {
    // From the answer, and put into a path.
    let is_plain = |id: &&str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let missing = || Untaken::Failed(DeliveryError::new("OpenMetadata answers without the id of the table"));
    stored["id"].as_str().filter(is_plain).ok_or_else(missing)
}

/// Repeats what a request would otherwise remove.
fn keep_what_people_wrote(body: &mut Value, stored: &Value) {
    for field in ["displayName", "retentionPeriod", "locationPath"] {
        if !stored[field].is_null() {
            body[field] = stored[field].clone();
        }
    }
    let keys = ["PRIMARY_KEY", "SORT_KEY"];
    let is_ours = |constraint: &&Value| keys.iter().any(|key| constraint["constraintType"] == **key);
    let theirs = stored["tableConstraints"].as_array().into_iter().flatten().filter(|one| !is_ours(one));
    // The server refuses a constraint on a column that is gone.
    let columns: Vec<_> =
        body["columns"].as_array().into_iter().flatten().map(|column| column["name"].clone()).collect();
    let has_columns = |one: &&Value| one["columns"].as_array().into_iter().flatten().all(|name| columns.contains(name));
    let theirs: Vec<_> = theirs.filter(has_columns).cloned().collect();
    if !theirs.is_empty() {
        let ours = body["tableConstraints"].as_array().cloned().unwrap_or_default();
        body["tableConstraints"] = ours.into_iter().chain(theirs).collect();
    }
}

impl Kind for OpenMetadataSettings {
    fn destination(&self) -> Destination {
        Destination::Catalog(Box::new(OpenMetadataSink::new(self.clone())), self.follow)
    }

    fn largest_batch(&self) -> usize {
        2 * ONE_BY_ONE
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        self.api.token.iter().map(|token| ("openmetadata.token", token)).collect()
    }

    fn place(&self) -> Option<String> {
        Some(format!("openmetadata {} {:?}", self.api.url, self.catalog))
    }
}

impl Sink for OpenMetadataSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        self.all(batch).boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        self.checked().boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::keep_what_people_wrote;

    #[test]
    fn what_people_wrote_is_repeated_unless_its_column_is_gone() {
        let foreign_key = |columns: &[&str]| json!({ "constraintType": "FOREIGN_KEY", "columns": columns, "referredColumns": ["a.b.c.d.e"] });
        let ours = json!({ "constraintType": "PRIMARY_KEY", "columns": ["id"] });
        let stored = json!({
            "displayName": "Orders",
            "retentionPeriod": "P30D",
            "locationPath": "s3://backups/orders",
            "description": "kept by the server",
            "tableConstraints": [
                { "constraintType": "PRIMARY_KEY", "columns": ["old"] },
                foreign_key(&["id"]),
                foreign_key(&["gone"]),
            ],
        });
        let mut body = json!({ "name": "orders", "columns": [{ "name": "id" }], "tableConstraints": [ours] });
        keep_what_people_wrote(&mut body, &stored);
        let expected = json!({
            "name": "orders",
            "columns": [{ "name": "id" }],
            "displayName": "Orders",
            "retentionPeriod": "P30D",
            "locationPath": "s3://backups/orders",
            "tableConstraints": [ours, foreign_key(&["id"])],
        });
        assert_eq!(body, expected);
        let mut new = json!({ "name": "orders", "columns": [] });
        keep_what_people_wrote(&mut new, &json!({}));
        assert_eq!(new, json!({ "name": "orders", "columns": [] }));
    }
}

//! The sink `atlan`: tables in Atlan, by its REST API.
//!
//! An entity that another one refers to has to exist before, so tables are sent before their attributes and
//! indexes. A request is one transaction. What a request does not name stays, so people's additions do; an
//! attribute that has lost its value is named with `null`.

mod pace;

use std::collections::{BTreeSet, HashSet};

use dynacrawl_catalogs::Described;
use dynacrawl_catalogs::atlan::{Atlan, Connection, EntityType};
use dynacrawl_model::{Escaped, Scope};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use self::pace::Pace;
use crate::answer::Answer;
use crate::catalog::{Answered, CatalogSettings, Doubts, TableState, TableUpdate, UpdateHalves, updates};
use crate::kind::{Destination, Kind, ONE_BY_ONE};
use crate::secret::SecretRef;
use crate::sink::{Delivered, DeliveryError, Event, Sink};
use crate::web::{Api, ApiSettings, encoded};

/// The most entities in a request, as Atlan recommends.
const AT_ONCE: usize = 20;
/// The most entities that one request archives: their ids are in its URL.
const ARCHIVED_AT_ONCE: usize = 50;
/// How many results of a search are read at once.
const FOUND_AT_ONCE: usize = 300;
/// Atlan counts requests by this header, apart from those of other programs.
const HEADERS: [(&str, &str); 2] = [("x-atlan-agent-id", "dynacrawl"), ("accept", "application/json")];

/// Where Atlan is, and the connection of each account and Region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtlanSettings {
    /// The tenant.
    pub api: ApiSettings,
    /// The connections.
    pub catalog: Atlan,
    /// How the sink follows the state.
    pub follow: CatalogSettings,
}

/// A tenant of Atlan.
#[derive(Debug)]
pub(crate) struct AtlanSink {
    settings: AtlanSettings,
    api: Api,
    pace: Pace,
    /// The connections that are known to exist.
    known: BTreeSet<Connection>,
    /// The scopes without a connection that were logged.
    skipped: HashSet<Scope>,
    doubts: Doubts,
}

/// An update of a table that has a place.
struct Placed<'e> {
    update: &'e TableUpdate<'e>,
    connection: &'e Connection,
}

impl AtlanSink {
    /// A sink that has not connected yet.
    pub(crate) fn new(settings: AtlanSettings) -> Self {
        let api = Api::new(settings.api.clone(), &HEADERS);
        Self {
            settings,
            api,
            pace: Pace::default(),
            known: BTreeSet::new(),
            skipped: HashSet::new(),
            doubts: Doubts::default(),
        }
    }

    async fn all(&mut self, batch: &[Event]) -> Result<Delivered, DeliveryError> {
        let updates = updates(batch);
        let catalog = self.settings.catalog.clone();
        let mut placed = Vec::with_capacity(updates.len());
        for update in &updates {
            match catalog.connection(update.scope) {
                Some(connection) => placed.push(Placed { update, connection }),
                None => self.skip(update.scope),
            }
        }
        if placed.is_empty() {
            return Ok(Delivered::default());
        }
        self.api.open()?;
        for one in &placed {
            self.need(one.connection).await?;
        }
        let mut halves = UpdateHalves::new(&placed, AT_ONCE);
        while let Some(some) = halves.next() {
            let answered = self.some(some).await;
            halves.answered(some, answered, |one| one.update)?;
        }
        halves.refusals.delivered(placed.len(), &mut self.doubts)
    }

    fn skip(&mut self, scope: &Scope) {
        if self.skipped.insert(scope.clone()) {
            tracing::warn!(
                scope = %Escaped(&scope.to_string()),
                "the sink has no connection for this account and Region (connections), so its tables are not sent"
            );
        }
    }

    /// Checks that a connection exists: entities of a connection that does not would be visible to nobody.
    async fn need(&mut self, connection: &Connection) -> Result<(), DeliveryError> {
        if self.known.contains(connection) {
            return Ok(());
        }
        let name = connection.as_str();
        match self.find("Connection", name).await? {
            Some(entity) if entity["status"] == "ACTIVE" => drop(self.known.insert(connection.clone())),
            _ => {
                let problem =
                    format!("Atlan has no connection {name} that the token may see; create it, or correct connections");
                return Err(DeliveryError::new(problem));
            }
        }
        Ok(())
    }

    /// The entity with a qualified name, also if it is archived.
    async fn find(&mut self, kind: &str, name: &str) -> Result<Option<Value>, DeliveryError> {
        let path = format!(
            "/api/meta/entity/uniqueAttribute/type/{kind}?attr%3AqualifiedName={}&minExtInfo=true&ignoreRelationships=true",
            encoded(name)
        );
        let answer = self.call(Method::GET, &path, None).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                let body: Value = answer.json()?;
                Ok(Some(body["entity"].clone()))
            }
            _ => Err(failure(answer)),
        }
    }

    async fn some(&mut self, some: &[Placed<'_>]) -> Answered {
        let (mut tables, mut children) = (Vec::new(), Vec::new());
        let (mut present, mut removed) = (BTreeSet::new(), Vec::new());
        let mut changed = Vec::new();
        for Placed { update, connection } in some {
            let name = Atlan::table_name(connection, update.name);
            match &update.state {
                TableState::Present(table) => {
                    changed.push(name);
                    self.add(connection, table, &mut tables, &mut children, &mut present);
                }
                TableState::Counted(table) => {
                    for entity in self.settings.catalog.statistics(connection, table) {
                        let to = if entity.entity_type == EntityType::Table { &mut tables } else { &mut children };
                        to.push(entity.json);
                    }
                }
                TableState::Removed => removed.push(name),
            }
        }
        for entities in tables.chunks(AT_ONCE).chain(children.chunks(AT_ONCE)) {
            let body = json!({ "entities": entities });
            match self.call(Method::POST, "/api/meta/entity/bulk", Some(&body)).await {
                Ok(answer) if answer.status.is_success() => {}
                Ok(answer) => return refusal_or_failure(answer),
                Err(error) => return Answered::Failed(error),
            }
        }
        match self.archive(&changed, &present, &removed).await {
            Ok(()) => Answered::Taken,
            Err(error) => Answered::Failed(error),
        }
    }

    fn add(
        &self,
        connection: &Connection,
        table: &Described<'_>,
        tables: &mut Vec<Value>,
        children: &mut Vec<Value>,
        present: &mut BTreeSet<String>,
    ) {
        for entity in self.settings.catalog.entities(connection, table) {
            present.insert(entity.qualified_name().to_owned());
            let to = if entity.entity_type == EntityType::Table { &mut *tables } else { &mut *children };
            to.push(entity.with_nulls());
        }
    }

    /// Archives removed tables with all that belongs to them, and attributes and indexes that the changed
    /// tables have no longer.
    async fn archive(
        &mut self,
        changed: &[String],
        present: &BTreeSet<String>,
        removed: &[String],
    ) -> Result<(), DeliveryError> {
        let mut guids = Vec::new();
        for (guid, name) in self.children(changed).await? {
            if !present.contains(&name) {
                guids.push(guid);
            }
        }
        guids.extend(self.children(removed).await?.into_iter().map(|(guid, _)| guid));
        for name in removed {
            // The table comes after what belongs to it.
            let table = self.find(EntityType::Table.name(), name).await?;
            guids.extend(table.filter(|table| table["status"] == "ACTIVE").as_ref().and_then(guid));
        }
        for some in guids.chunks(ARCHIVED_AT_ONCE) {
            let query: String = some.iter().map(|guid| format!("&guid={}", encoded(guid))).collect();
            let path = format!("/api/meta/entity/bulk?deleteType=SOFT{query}");
            let answer = self.call(Method::DELETE, &path, None).await?;
            if !answer.status.is_success() {
                return Err(failure(answer));
            }
        }
        Ok(())
    }

    /// The attributes and indexes of tables in Atlan that are not archived: the id and the qualified name
    /// of each.
    async fn children(&mut self, tables: &[String]) -> Result<Vec<(String, String)>, DeliveryError> {
        let mut found = Vec::new();
        if tables.is_empty() {
            return Ok(found);
        }
        let types: Vec<_> =
            EntityType::ALL.into_iter().filter(|of| *of != EntityType::Table).map(EntityType::name).collect();
        let filter = json!([
            { "term": { "__state": { "value": "ACTIVE" } } },
            { "terms": { "__typeName.keyword": types } },
            { "terms": { "tableQualifiedName": tables } },
        ]);
        let mut read = 0;
        loop {
            let query = json!({ "bool": { "filter": filter } });
            let sort = json!([{ "__guid": { "order": "asc" } }]);
            let dsl = json!({ "from": read, "size": FOUND_AT_ONCE, "query": query, "sort": sort });
            let body = json!({ "dsl": dsl, "attributes": ["qualifiedName"] });
            let answer = self.call(Method::POST, "/api/meta/search/indexsearch", Some(&body)).await?;
            if !answer.status.is_success() {
                return Err(failure(answer));
            }
            let answer: Value = answer.json()?;
            let page = answer["entities"].as_array().cloned().unwrap_or_default();
            let of = |entity: &Value| Some((guid(entity)?, entity["attributes"]["qualifiedName"].as_str()?.to_owned()));
            found.extend(page.iter().filter_map(of));
            read += page.len();
            if page.len() < FOUND_AT_ONCE {
                return Ok(found);
            }
        }
    }

    async fn call(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, DeliveryError> {
        self.pace.wait().await;
        self.api.call(method, path, "application/json", body).await
    }

    async fn checked(&mut self) -> Result<(), DeliveryError> {
        self.api.open()?;
        let answer = self.call(Method::GET, "/api/service/users/current", None).await?;
        if !answer.status.is_success() {
            return Err(failure(answer));
        }
        let connections: Vec<_> = self.settings.catalog.connections.values().cloned().collect();
        for connection in connections {
            self.need(&connection).await?;
        }
        Ok(())
    }
}

fn guid(entity: &Value) -> Option<String> {
    entity["guid"].as_str().filter(|guid| !guid.is_empty()).map(str::to_owned)
}

/// Invalid attributes are 400 or 404, and an entity that is too large 406 or 413. A 404 without a code of
/// the metastore comes from a gateway.
fn refusal_or_failure(answer: Answer) -> Answered {
    let has_code =
        || answer.json().is_ok_and(|body| body["errorCode"].as_str().is_some_and(|code| code.starts_with("ATLAS-")));
    match answer.status {
        StatusCode::NOT_FOUND if !has_code() => Answered::Failed(failure(answer)),
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::NOT_ACCEPTABLE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Answered::Refused(answer.in_words()),
        StatusCode::INTERNAL_SERVER_ERROR => Answered::Suspect(answer.into_error()),
        _ => Answered::Failed(failure(answer)),
    }
}

/// Every answer of Atlan has `Retry-After`, which means something only if it takes no more requests.
fn failure(answer: Answer) -> DeliveryError {
    let counts = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status);
    let error = answer.into_error();
    if counts { error } else { DeliveryError { retry_after: None, ..error } }
}

impl Kind for AtlanSettings {
    fn destination(&self) -> Destination {
        Destination::Catalog(Box::new(AtlanSink::new(self.clone())), self.follow)
    }

    fn largest_batch(&self) -> usize {
        2 * ONE_BY_ONE
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        self.api.token.iter().map(|token| ("atlan.token", token)).collect()
    }

    fn place(&self) -> Option<String> {
        Some(format!("atlan {} {:?}", self.api.url, self.catalog))
    }

    fn has_place(&self, scope: &Scope) -> bool {
        self.catalog.connection(scope).is_some()
    }
}

impl Sink for AtlanSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        self.all(batch).boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        self.checked().boxed()
    }
}

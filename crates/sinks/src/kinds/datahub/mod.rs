//! The sink `datahub`: tables as datasets of DataHub, by its REST API.
//!
//! Servers from 1.0.1 on have OpenAPI v3; older ones get RestLI. Each request is one transaction of the
//! server. `datasetProperties` is patched, because other tools may add custom properties to it; all other
//! aspects belong to the source of the metadata, and what people edit is in aspects of its own.

mod requests;

use std::collections::{BTreeSet, HashSet};

use dynacrawl_catalogs::datahub::{DataHub, Proposal, is_own_property};
use dynacrawl_catalogs::{Owners, Shared};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use self::requests::{Mode, Request, patch};
use crate::answer::Answer;
use crate::catalog::{Answered, CatalogSettings, Doubts, TableState, TableUpdate, UpdateHalves, updates};
use crate::kind::{Destination, Kind, ONE_BY_ONE};
use crate::secret::SecretRef;
use crate::sink::{Delivered, DeliveryError, Event, Sink};
use crate::web::{Api, ApiSettings, encoded, version};

/// The first version of the server whose OpenAPI v3 DataHub's own client uses.
const OPENAPI_SINCE: [u64; 3] = [1, 0, 1];
/// DataHub's client sends these with each request.
const HEADERS: [(&str, &str); 1] = [("x-restli-protocol-version", "2.0.0")];

/// Where DataHub is, and how tables are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataHubSettings {
    /// The API: the metadata service, or `https://HOST/api/gms` of the frontend.
    pub api: ApiSettings,
    /// The names.
    pub catalog: DataHub,
    /// How the sink follows the state.
    pub follow: CatalogSettings,
}

/// A server of DataHub.
#[derive(Debug)]
pub(crate) struct DataHubSink {
    settings: DataHubSettings,
    api: Api,
    mode: Option<Mode>,
    /// The containers that this process has written.
    written: HashSet<String>,
    doubts: Doubts,
    owners: Owners,
}

impl DataHubSink {
    /// A sink that has not connected yet.
    pub(crate) fn new(settings: DataHubSettings) -> Self {
        let api = Api::new(settings.api.clone(), &HEADERS);
        Self {
            settings,
            api,
            mode: None,
            written: HashSet::new(),
            doubts: Doubts::default(),
            owners: Owners::default(),
        }
    }

    /// The kind of requests that the server takes.
    async fn mode(&mut self) -> Result<Mode, DeliveryError> {
        if let Some(mode) = self.mode {
            return Ok(mode);
        }
        let answer = self.api.open()?.call(Method::GET, "/config", "", None).await?;
        if !answer.status.is_success() {
            return Err(answer.into_error());
        }
        let config: Value = answer.json()?;
        if config["noCode"] != "true" {
            let problem = "GET /config is not answered as by DataHub's metadata service; the URL of the frontend ends with /api/gms";
            return Err(DeliveryError::new(problem));
        }
        let version = config["versions"]["acryldata/datahub"]["version"].as_str().map(version).unwrap_or_default();
        let mode = if version >= OPENAPI_SINCE { Mode::OpenApi } else { Mode::RestLi };
        self.mode = Some(mode);
        Ok(mode)
    }

    async fn all(&mut self, batch: &[Event]) -> Result<Delivered, DeliveryError> {
        let updates = updates(batch);
        if updates.is_empty() {
            return Ok(Delivered::default());
        }
        for update in &updates {
            let account = update.scope.account_id.as_ref().map_or("unknown", |id| id.as_str());
            let place = self.settings.catalog.platform_instance.fill(update.scope);
            self.owners.claim("datahub.platform_instance", &place, account)?;
        }
        let mode = self.mode().await?;
        let mut halves = UpdateHalves::new(&updates, updates.len());
        while let Some(some) = halves.next() {
            let answered = self.some(mode, some).await;
            halves.answered(some, answered, |update| update)?;
        }
        halves.refusals.delivered(updates.len(), &mut self.doubts)
    }

    /// Sends the aspects of some tables. First what describes them, then their statistics, which the
    /// server does not write in the same transaction.
    async fn some(&mut self, mode: Mode, some: &[TableUpdate<'_>]) -> Answered {
        let (mut containers, mut new) = (Vec::new(), Vec::new());
        let (mut aspects, mut statistics, mut patches) = (Vec::new(), Vec::new(), Vec::new());
        for update in some {
            match &update.state {
                TableState::Present(table) => {
                    for Shared { id, entity } in self.settings.catalog.containers(table.scope) {
                        if !self.written.contains(&id) && !new.contains(&id) {
                            new.push(id);
                            containers.extend(entity);
                        }
                    }
                    let (properties, others): (Vec<_>, Vec<_>) = self
                        .settings
                        .catalog
                        .dataset(table)
                        .into_iter()
                        .partition(|proposal| proposal.aspect == "datasetProperties");
                    aspects.extend(others);
                    for proposal in properties {
                        match self.patched(proposal).await {
                            Ok(patch) => patches.push(patch),
                            Err(error) => return Answered::Failed(error),
                        }
                    }
                    statistics.extend(self.settings.catalog.statistics(table));
                }
                TableState::Counted(table) => {
                    let counts = self.settings.catalog.counts(table);
                    patches.push(Proposal { value: patch(&counts.value, &BTreeSet::new()), ..counts });
                    statistics.extend(self.settings.catalog.statistics(table));
                }
                TableState::Removed => {
                    let removal = self.removal(update);
                    match self.properties(&removal.urn).await {
                        Ok(Some(_)) => aspects.push(removal),
                        // The status alone would create the dataset.
                        Ok(None) => {}
                        Err(error) => return Answered::Failed(error),
                    }
                }
            }
        }
        for request in mode.requests(&containers, &aspects, &patches).into_iter().chain(mode.statistics(&statistics)) {
            match self.send(request).await {
                Answered::Taken => {}
                other => return other,
            }
        }
        self.written.extend(new);
        Answered::Taken
    }

    /// Hides a dataset. What people wrote stays, and appears again if the table returns.
    fn removal(&self, update: &TableUpdate<'_>) -> Proposal {
        let urn = self.settings.catalog.urn_of(update.scope, update.name);
        Proposal { entity_type: "dataset", urn, aspect: "status", value: json!({ "removed": true }) }
    }

    /// The patch that brings the dataset's properties up to date, and leaves those of others alone.
    async fn patched(&self, proposal: Proposal) -> Result<Proposal, DeliveryError> {
        let stored = self.properties(&proposal.urn).await?.unwrap_or_default();
        let own: BTreeSet<&str> = stored["customProperties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| is_own_property(key, value.as_str().unwrap_or_default()))
            .map(|(key, _)| key.as_str())
            .collect();
        Ok(Proposal { value: patch(&proposal.value, &own), ..proposal })
    }

    /// The properties of a dataset, if DataHub has any.
    async fn properties(&self, urn: &str) -> Result<Option<Value>, DeliveryError> {
        let path = format!("/aspects/{}?aspect=datasetProperties&version=0", encoded(urn));
        let answer = self.api.call(Method::GET, &path, "", None).await?;
        match answer.status {
            status if status.is_success() => {
                let mut stored: Value = answer.json()?;
                let properties = stored.pointer_mut("/aspect/com.linkedin.dataset.DatasetProperties");
                let properties = properties.map(Value::take).filter(Value::is_object);
                properties.map(Some).ok_or_else(|| DeliveryError::new("the answer has no properties of a dataset"))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.into_error()),
        }
    }

    async fn send(&self, request: Request) -> Answered {
        let answer = self.api.call(request.method, request.path, "application/json", Some(&request.body)).await;
        match answer {
            Ok(answer) if answer.status.is_success() => Answered::Taken,
            Ok(answer) => refusal_or_failure(answer),
            Err(error) => Answered::Failed(error),
        }
    }

    /// A request without content shows whether the token is valid and, with OpenAPI, whether it may write:
    /// the server checks that first.
    async fn checked(&mut self) -> Result<(), DeliveryError> {
        let mode = self.mode().await?;
        let request = mode.probe();
        let answer = self.api.call(request.method, request.path, "application/json", Some(&request.body)).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.into_error()) }
    }
}

/// 400, 413 and 422 refuse what was sent. Some versions answer 500 to an aspect that they refuse, too.
fn refusal_or_failure(answer: Answer) -> Answered {
    match answer.status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Answered::Refused(answer.in_words())
        }
        StatusCode::INTERNAL_SERVER_ERROR => Answered::Suspect(answer.into_error()),
        _ => Answered::Failed(answer.into_error()),
    }
}

impl Kind for DataHubSettings {
    fn destination(&self) -> Destination {
        Destination::Catalog(Box::new(DataHubSink::new(self.clone())), self.follow)
    }

    fn largest_batch(&self) -> usize {
        2 * ONE_BY_ONE
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        self.api.token.iter().map(|token| ("datahub.token", token)).collect()
    }

    fn place(&self) -> Option<String> {
        Some(format!("datahub {} {:?}", self.api.url, self.catalog))
    }
}

impl Sink for DataHubSink {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        self.all(batch).boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        self.checked().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::OPENAPI_SINCE;
    use crate::web::version;

    #[test]
    fn the_version_decides_between_the_apis() {
        for (text, is_new) in
            [("v1.7.0", true), ("1.0.1", true), ("v1.0.0", false), ("0.15.0.1", false), ("null", false), ("v2", true)]
        {
            assert_eq!(version(text) >= OPENAPI_SINCE, is_new, "{text}");
        }
    }
}

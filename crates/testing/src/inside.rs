//! The simulator inside the process, in place of a network: for tests on simulated time.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dynacrawl::config::Config;
use dynacrawl_auth::{BaseCredentials, CredentialSpec, UserKeys};
use dynacrawl_engine::settings::{RunRequest, Settings, Target};
use dynacrawl_engine::{LocalWorkers, RunPlan, ScopeEvent, ScopeJob, Workers};
use dynacrawl_model::Region;
use dynacrawl_sim::{Account, InProcess};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// The account whose user crawls.
pub const HUB: &str = "999999999999";

/// How long an attempt may take, as on a network.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// The simulator in place of a network.
#[derive(Clone)]
struct Inside(InProcess);

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inside")
    }
}

impl HttpClient for Inside {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The simulator as a client.
pub fn connector(simulator: &InProcess) -> SharedHttpConnector {
    SharedHttpConnector::new(Inside(simulator.clone()))
}

impl HttpConnector for Inside {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let simulator = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.map(|body| bytes::Bytes::copy_from_slice(body.bytes().unwrap_or_default()));
            let answer = tokio::time::timeout(ATTEMPT_TIMEOUT, simulator.answer(request)).await;
            let answer = answer.map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?;
            let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}

/// A configuration whose services are all the simulator.
pub fn config(settings: &str) -> Config {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("test.toml");
    let endpoints = "[aws]\nendpoint_url = \"http://simulator\"\n[sts]\nendpoint_url = \"http://simulator\"\n[discovery]\n\
                     organizations_endpoint_url = \"http://simulator\"\naccount_endpoint_url = \"http://simulator\"\n\
                     ec2_endpoint_url = \"http://simulator\"\n";
    std::fs::write(&file, format!("{endpoints}{settings}")).expect("written");
    Config::check_file(&file).expect("a configuration")
}

/// A plan that crawls the simulator with the keys of [`HUB`]'s user.
pub fn plan_of(simulator: &InProcess, config: Config) -> RunPlan {
    plan_with(simulator, config, |_| Account::new(HUB))
}

/// A plan that crawls the simulator with the keys of the user of each target's account.
pub fn plan_with(simulator: &InProcess, config: Config, account: impl Fn(&Target) -> Account) -> RunPlan {
    plan_over(SharedHttpClient::new(Inside(simulator.clone())), &Arc::new(config.run), config.request, account)
}

/// A plan of one run, with the keys of [`HUB`]'s user.
pub fn plan_for(simulator: &InProcess, settings: &Arc<Settings>, request: RunRequest) -> RunPlan {
    plan_over(SharedHttpClient::new(Inside(simulator.clone())), settings, request, |_| Account::new(HUB))
}

/// A plan of one run over any client.
pub fn plan_over(
    http: SharedHttpClient,
    settings: &Arc<Settings>,
    request: RunRequest,
    account: impl Fn(&Target) -> Account,
) -> RunPlan {
    let credentials = |target: &Target| {
        let user = account(target);
        let keys = UserKeys {
            access_key_id: user.access_key_id,
            secret_access_key: user.secret_access_key.into(),
            session_token: None,
        };
        Ok(CredentialSpec { base: BaseCredentials::Keys(keys), chain: target.chain.clone() })
    };
    let plan = RunPlan::with_http(settings, request, credentials, http.into()).expect("a plan");
    plan.with_workers(workers)
}

/// The workers of this process; with `DYNACRAWL_TEST_WORKERS=serialising` as if they were on another machine.
fn workers(local: LocalWorkers) -> Arc<dyn Workers> {
    match std::env::var("DYNACRAWL_TEST_WORKERS").as_deref() {
        Ok("serialising") => Arc::new(Serialising(local)),
        Ok(other) => panic!("DYNACRAWL_TEST_WORKERS: {other}"),
        Err(_) => Arc::new(local),
    }
}

/// Workers whose jobs and events are sent as JSON.
pub struct Serialising(pub LocalWorkers);

impl Workers for Serialising {
    fn run(&self, job: ScopeJob, stop: CancellationToken) -> BoxStream<'static, ScopeEvent> {
        self.0.run(sent(&job), stop).map(|event| sent(&event)).boxed()
    }

    fn end(&self, target: &str, region: &Region) {
        self.0.end(target, region);
    }
}

/// A value as it arrives on another machine.
fn sent<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("JSON");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Like [`plan_of`], for settings as text.
pub fn plan(simulator: &InProcess, settings: &str) -> RunPlan {
    plan_of(simulator, config(settings))
}

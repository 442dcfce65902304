//! Sequential DescribeTable calls through the client, including the simulator and the loopback.

use criterion::{Criterion, criterion_group, criterion_main};
use dynacrawl_auth::{BaseCredentials, CredentialPool, CredentialSpec, UserKeys};
use dynacrawl_aws::{AwsSettings, Connections, EndpointSettings, HttpSettings, Places};
use dynacrawl_client::{DecodeFailure, RetryPolicy, ScopeClient, ScopeSettings};
use dynacrawl_model::{Region, TableName};
use dynacrawl_sim::{Estate, Options, Simulator};
use std::time::Duration;

async fn client(simulator: &Simulator) -> ScopeClient {
    let account = simulator.access().accounts[0].clone();
    let http = HttpSettings::plain(Duration::from_secs(5));
    let aws = AwsSettings { http: http.build().expect("an HTTP stack") };
    let region: Region = account.regions[0].parse().expect("a Region");
    let endpoints = EndpointSettings { dynamodb_url: Some(simulator.url()), ..EndpointSettings::default() };
    let sdk = aws.sdk_config(None, &region, &endpoints).await;
    let spec = CredentialSpec {
        base: BaseCredentials::Keys(UserKeys {
            access_key_id: account.access_key_id,
            secret_access_key: account.secret_access_key.into(),
            session_token: None,
        }),
        chain: Vec::new(),
    };
    let credentials = CredentialPool::default().chain(&spec, None, &sdk, None);
    let settings = ScopeSettings {
        region,
        dynamodb_url: endpoints.dynamodb_url,
        rate: None,
        requests: Places::new(64, 1, &Connections::default()).share("simulator"),
        retry: RetryPolicy::default(),
        opt_in: false,
    };
    ScopeClient::new(&sdk, credentials.last().credentials.clone(), settings)
}

fn describe(criterion: &mut Criterion) {
    let options = Options { verify_signatures: false, ..Options::default() };
    let simulator = Simulator::start(Estate::uniform(1, 1, 1), &options).expect("a simulator");
    let account = &simulator.access().accounts[0];
    let name = TableName::from(simulator.table_names(&account.account_id, &account.regions[0])[0].as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(client(&simulator));

    criterion.bench_function("describe_table", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            client.describe_table(&name, |body| Ok::<_, DecodeFailure>(body.len())).await.expect("an answer")
        });
    });
}

criterion_group!(benches, describe);
criterion_main!(benches);

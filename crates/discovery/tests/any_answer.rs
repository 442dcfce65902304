//! Any response of EC2 (XML) leads to Regions from some source, and never to a panic.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dynacrawl_auth::{BaseCredentials, CredentialPool, CredentialSpec, UserKeys};
use dynacrawl_aws::{AwsSettings, EndpointSettings, Quota, RetryPolicy};
use dynacrawl_discovery::{AccountRegions, DiscoveryUrls};
use dynacrawl_model::Region;
use proptest::prelude::*;

/// A server that refuses Account Management and gives one response to EC2.
#[derive(Clone, Debug)]
struct Ec2 {
    status: u16,
    body: Vec<u8>,
}

impl HttpClient for Ec2 {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Ec2 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (status, body) = if request.uri().contains("account.example.com") {
            (403, SdkBody::from(r#"{"__type":"AccessDeniedException"}"#))
        } else {
            (self.status, SdkBody::from(self.body.clone()))
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().expect("a status"), body)))
    }
}

/// The Regions of an account if EC2 responds like this.
fn ask(answer: Ec2) -> Vec<Region> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let aws = AwsSettings { http: SharedHttpClient::new(answer).into() };
        let region: Region = "eu-west-1".parse().expect("a Region");
        let sdk = aws.sdk_config(None, &region, &EndpointSettings::default()).await;
        let keys = UserKeys { access_key_id: "AKIA".into(), secret_access_key: "secret".into(), session_token: None };
        let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
        let credentials = CredentialPool::default().chain(&spec, None, &sdk, None);
        let url = |name: &str| Some(format!("http://{name}.example.com"));
        let urls = DiscoveryUrls { organizations: url("organizations"), account: url("account"), ec2: url("ec2") };
        let quota = Quota { name: dynacrawl_model::QuotaName::Account, rate: None, concurrency: 1 };
        let retry = RetryPolicy { max_attempts: 2, patience: Duration::from_secs(1), ..RetryPolicy::default() };
        let last = &credentials.last().credentials;
        let found = AccountRegions::new(&sdk, last, &urls, quota, retry, "aws".into()).enabled().await;
        assert!(!found.regions.is_empty(), "at least the built-in list");
        found.regions
    })
}

fn regions(names: &[&str]) -> String {
    let items: Vec<String> = names.iter().map(|name| format!("<item><regionName>{name}</regionName></item>")).collect();
    format!("<DescribeRegionsResponse><regionInfo>{}</regionInfo></DescribeRegionsResponse>", items.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_regions_or_an_error(
        status in prop_oneof![Just(200), 100_u16..=599],
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        ask(Ec2 { status, body });
    }

    #[test]
    fn any_tags_are_regions_or_an_error(
        tags in prop::collection::vec(
            prop_oneof![
                "</?(DescribeRegionsResponse|regionInfo|item|regionName|a)( [a-z]=\"[^\"]{0,5}\")?/?>",
                "[a-z0-9-]{1,12}",
                "&[a-z#0-9]{0,8};?",
                "(<!\\[CDATA\\[|\\]\\]>|<!--|-->|<\\?xml|<!DOCTYPE)",
            ],
            0..30,
        ),
    ) {
        ask(Ec2 { status: 200, body: tags.concat().into_bytes() });
    }

    #[test]
    fn an_unreadable_name_does_not_lose_the_others(name in "[^<&]{0,20}") {
        let found = ask(Ec2 { status: 200, body: regions(&["eu-west-1", &name]).into_bytes() });
        prop_assert!(found.iter().any(|region| region.as_str() == "eu-west-1"));
    }
}

#[test]
fn the_regions_of_a_response_are_found() {
    let found = ask(Ec2 { status: 200, body: regions(&["eu-west-1", "sa-east-1"]).into_bytes() });
    assert_eq!(found.iter().map(Region::as_str).collect::<Vec<_>>(), ["eu-west-1", "sa-east-1"]);
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    for status in [200, 400] {
        for open in ["<a>", "<item>", "<DescribeRegionsResponse><regionInfo>"] {
            ask(Ec2 { status, body: open.repeat(200_000).into_bytes() });
        }
    }
}

//! Any response in place of DynamoDB's is a page or an error with a class, and never a panic.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dynacrawl_auth::{BaseCredentials, CredentialPool, CredentialSpec, UserKeys};
use dynacrawl_aws::{AwsSettings, EndpointSettings, Places};
use dynacrawl_client::{DecodeFailure, RetryPolicy, ScopeClient, ScopeSettings};
use dynacrawl_model::{Region, TableName};
use proptest::prelude::*;

/// A server that gives one response to everything.
#[derive(Clone, Debug)]
struct Always {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl HttpClient for Always {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Always {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = self.status.try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(self.body.clone()));
        for (name, value) in &self.headers {
            let _ = response.headers_mut().try_append(*name, value.clone());
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// Lists a page and describes a table. Each failure has to be an error with a code.
fn ask(answer: Always) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let aws = AwsSettings { http: SharedHttpClient::new(answer).into() };
        let region: Region = "eu-west-1".parse().expect("a Region");
        let sdk = aws.sdk_config(None, &region, &EndpointSettings::default()).await;
        let keys = UserKeys { access_key_id: "AKIA".into(), secret_access_key: "secret".into(), session_token: None };
        let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
        let credentials = CredentialPool::default().chain(&spec, None, &sdk, None);
        let settings = ScopeSettings {
            region,
            dynamodb_url: Some("http://nowhere".to_owned()),
            rate: None,
            requests: Places::new(4, 1, aws.http.connections()).share("one"),
            retry: RetryPolicy { max_attempts: 2, patience: Duration::from_secs(1), ..RetryPolicy::default() },
            opt_in: false,
        };
        let client = ScopeClient::new(&sdk, credentials.last().credentials.clone(), settings);
        if let Err(failed) = client.list_tables(None).await {
            assert!(!failed.error.code.is_empty(), "{failed:?}");
        }
        let described = client.describe_table(&TableName::from("t"), |body| Ok::<_, DecodeFailure>(body.len())).await;
        if let Err(failed) = described {
            assert!(!failed.error.code.is_empty(), "{failed:?}");
        }
    });
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![Just(200), Just(400), Just(403), Just(407), Just(500), Just(503), 100_u16..=599]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_and_headers_are_an_error_or_a_result(
        status in status(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        after in ".{0,20}",
        kind in ".{0,20}",
    ) {
        ask(Always { status, headers: vec![("retry-after", after), ("content-type", kind)], body });
    }

    #[test]
    fn any_error_document_is_classified(status in status(), code in ".{0,40}", message in ".{0,80}", spelled in "(__type|code|message|Message|errors)") {
        let body = serde_json::json!({ spelled: code, "message": message }).to_string().into_bytes();
        ask(Always { status, headers: vec![("content-type", "application/x-amz-json-1.0".to_owned())], body });
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    for status in [200, 400] {
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        ask(Always { status, headers: Vec::new(), body: nested.into_bytes() });
    }
}

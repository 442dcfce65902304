//! A check that panics is a failure that names the target, and does not affect other checks.

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use dynacrawl::check::{CheckStatus, Findings, check};
use dynacrawl::exit::Exit;
use dynacrawl_sim::{Account, Estate, InProcess, Options, Tables};
use dynacrawl_testing::inside::{HUB, config, connector, plan_over};

/// A network that panics on some requests.
#[derive(Clone, Debug)]
struct Panicking {
    inner: SharedHttpConnector,
    at: fn(&HttpRequest) -> bool,
}

impl HttpClient for Panicking {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Panicking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        assert!(!(self.at)(&request), "no such request was expected");
        self.inner.call(request)
    }
}

async fn checked(at: fn(&HttpRequest) -> bool, settings: &str) -> Findings {
    let regions = ["us-east-1", "eu-west-1"];
    let account =
        regions.iter().fold(Account::new(HUB), |account, region| account.region(*region, Tables::new().generated(2)));
    let options = Options { verify_signatures: false, ..Options::default() };
    let inner = connector(&InProcess::new(Estate::new([account]), &options));
    let config = config(settings);
    let client = SharedHttpClient::new(Panicking { inner, at });
    let plan = plan_over(client, &Arc::new(config.run), config.request, |_| Account::new(HUB));
    check(&plan, &config.check).await
}

fn signed_for(request: &HttpRequest, part: &str) -> bool {
    request.headers().get("authorization").is_some_and(|text| text.contains(part))
}

const HOME: &str = "[[target]]\nname = \"home\"\nregions = [\"us-east-1\", \"eu-west-1\"]\n";

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_scope_fails_that_scope_alone() {
    let findings = checked(|request| signed_for(request, "/eu-west-1/dynamodb/"), HOME).await;
    let failed: Vec<_> = findings.checks.iter().filter(|check| check.status == CheckStatus::Fail).collect();
    let [failed] = failed[..] else { panic!("one failure: {:?}", findings.checks) };
    assert_eq!((failed.id, failed.code, failed.target.as_str()), ("check", Some("panic"), "home"));
    assert!(failed.message.contains("eu-west-1") && failed.message.contains("no such request was expected"));
    assert!(findings.checks.iter().any(|check| check.id == "list_tables" && check.status == CheckStatus::Ok));
    assert_eq!(findings.exit(), Exit::Partial);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_target_fails_that_target_alone() {
    let settings = "[[target]]\nname = \"home\"\nregions = [\"us-east-1\"]\n\
                    [[target]]\nname = \"role\"\nregions = [\"us-east-1\"]\n\
                    assume_role = [{ arn = \"arn:aws:iam::111111111111:role/Reader\" }]\n";
    // Only the target with a role sends AssumeRole.
    let assumes = |request: &HttpRequest| {
        request.body().bytes().is_some_and(|body| body.windows(10).any(|part| part == b"AssumeRole"))
    };
    let findings = checked(assumes, settings).await;
    let failed: Vec<_> = findings.checks.iter().filter(|check| check.status == CheckStatus::Fail).collect();
    let [failed] = failed[..] else { panic!("one failure: {:?}", findings.checks) };
    assert_eq!((failed.id, failed.code, failed.target.as_str()), ("check", Some("panic"), "role"));
    assert_eq!(findings.exit(), Exit::Partial);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_listing_an_organization_fails_it_alone() {
    let settings = format!(
        "{HOME}[[target]]\nname = \"all\"\nregions = [\"us-east-1\"]\norganizations = true\n\
         assume_role = [{{ arn = \"arn:aws:iam::{{account}}:role/Reader\" }}]\n"
    );
    let findings = checked(|request| signed_for(request, "/organizations/"), &settings).await;
    let failed: Vec<_> = findings.checks.iter().filter(|check| check.status == CheckStatus::Fail).collect();
    let [failed] = failed[..] else { panic!("one failure: {:?}", findings.checks) };
    assert_eq!((failed.code, failed.target.as_str(), findings.exit()), (Some("panic"), "all", Exit::Partial));
}

//! Resolves the endpoint once.

use std::sync::OnceLock;

use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, EndpointFuture, Params, ResolveEndpoint};
use aws_smithy_types::endpoint::Endpoint;

/// Resolves a client's endpoint once, if it does not depend on the request.
///
/// The SDK's own cache has the table's name in its key, so it misses for every table and runs its
/// rules again. Only an endpoint that contains the account's id depends on the request (by the
/// credentials' account).
#[derive(Debug)]
pub(crate) struct EndpointOnce {
    rules: DefaultResolver,
    resolved: OnceLock<Endpoint>,
}

impl EndpointOnce {
    pub(crate) fn new() -> Self {
        Self { rules: DefaultResolver::new(), resolved: OnceLock::new() }
    }
}

impl ResolveEndpoint for EndpointOnce {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        if let Some(endpoint) = self.resolved.get() {
            return EndpointFuture::ready(Ok(endpoint.clone()));
        }
        EndpointFuture::new(async {
            let endpoint = self.rules.resolve_endpoint(params).await?;
            Ok(self.resolved.get_or_init(|| endpoint).clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::endpoint::{Params, ResolveEndpoint};

    use super::EndpointOnce;

    fn in_region(region: &str) -> Params {
        Params::builder().region(region).build().expect("parameters")
    }

    /// The second parameters, which lead elsewhere, are ignored: the rules ran once.
    #[tokio::test]
    async fn the_rules_run_once_for_all_tables() {
        let resolver = EndpointOnce::new();
        let first = resolver.resolve_endpoint(&in_region("eu-west-1")).await.expect("an endpoint");
        assert_eq!(first.url(), "https://dynamodb.eu-west-1.amazonaws.com");
        let second = resolver.resolve_endpoint(&in_region("us-east-1")).await.expect("an endpoint");
        assert_eq!(second.url(), first.url());
    }
}

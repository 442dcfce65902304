//! The endpoint, found out once.

use std::sync::OnceLock;

use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, EndpointFuture, Params, ResolveEndpoint};
use aws_smithy_types::endpoint::Endpoint;

/// Resolves a client's endpoint once, where it does not depend on the request.
///
/// The SDK's own cache has the table's name as part of its key, so it misses for every table, and runs its rules anew. Only
/// an endpoint that carries the account's id depends on the request (by the credentials' account).
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

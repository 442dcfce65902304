//! All simulated services, and which of them a request belongs to.

use hyper::{HeaderMap, Method, Uri};

use super::account::AccountManagement;
use super::dynamodb::DynamoDb;
use super::ec2::Ec2;
use super::organizations::Organizations;
use super::service::{Call, Service};
use super::sts::Sts;
use crate::headers::text;
use crate::operation::Operation;
use crate::query::Parameters;

/// All services. A request belongs to the first that recognizes it.
const SERVICES: [&dyn Service; 5] = [&DynamoDb, &Organizations, &AccountManagement, &Ec2, &Sts];

impl<'a> Call<'a> {
    /// Reads a request. If no service recognizes it, DynamoDB refuses it if it has a target, and
    /// STS otherwise.
    pub(crate) fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        let target = text(headers, "x-amz-target");
        let mut parameters = Parameters::default();
        let (service, operation) = if !target.is_empty() {
            find(|service| service.of_target(target)).unwrap_or((&DynamoDb, Operation::Other))
        } else if let Some(found) = find(|service| service.of_path(uri.path())) {
            found
        } else {
            let form = if body.is_empty() { uri.query().unwrap_or_default().as_bytes() } else { body };
            parameters = Parameters::parse(form);
            let parameter = |name| parameters.get(name).unwrap_or_default();
            let (action, version) = (parameter("Action"), parameter("Version"));
            find(|service| service.of_action(action, version)).unwrap_or((&Sts, Operation::Other))
        };
        let request_id = service.request_id();
        Self { method, uri, headers, body, service, operation, parameters, request_id }
    }
}

/// The first service that recognizes a request, and the operation.
fn find(operation: impl Fn(&dyn Service) -> Option<Operation>) -> Option<(&'static dyn Service, Operation)> {
    SERVICES.into_iter().find_map(|service| Some((service, operation(service)?)))
}

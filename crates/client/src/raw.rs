//! The raw body of DescribeTable's response.
//!
//! The SDK's own deserialiser drops unknown fields, and costs more than the rest of the call. So it
//! is replaced for successful responses of this one operation: the body is passed on unchanged, and
//! the SDK's output stays empty. The SDK still reads errors.

use std::cell::RefCell;

use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableOutput;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::OutputOrError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextRef, Output,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, disable_interceptor, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;

tokio::task_local! {
    /// Where the deserialiser leaves the body of the current call: it runs inside the call's
    /// future.
    static BODY: RefCell<Option<SdkBody>>;
}

/// Runs a DescribeTable call, and returns its result with the raw body.
pub(crate) async fn capture<T>(call: impl Future<Output = T>) -> (T, Option<SdkBody>) {
    BODY.scope(RefCell::new(None), async {
        let result = call.await;
        (result, BODY.with(RefCell::take))
    })
    .await
}

/// Replaces the SDK's deserialiser for DescribeTable's successful responses.
#[derive(Debug)]
pub(crate) struct RawDescribeTable;

#[dyn_dispatch_hint]
impl Intercept for RawDescribeTable {
    fn name(&self) -> &'static str {
        "RawDescribeTable"
    }

    /// Omits the headers about attempts that the SDK makes on its own, because it makes none here.
    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(disable_interceptor::<InvocationIdInterceptor>("no retries in the SDK"));
        cfg.interceptor_state().store_put(disable_interceptor::<RequestInfoInterceptor>("no retries in the SDK"));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answered = context.response().status().is_success();
        if answered && cfg.load::<Metadata>().is_some_and(|operation| operation.name() == "DescribeTable") {
            cfg.interceptor_state().store_put(SharedResponseDeserializer::new(Raw));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Raw;

impl DeserializeResponse for Raw {
    fn deserialize_nonstreaming_with_config(&self, response: &HttpResponse, _: &ConfigBag) -> OutputOrError {
        let body = response.body().try_clone().ok_or_else(|| OrchestratorError::other("the body is not in memory"))?;
        check_crc32(response, body.bytes().unwrap_or_default())?;
        BODY.with(|slot| slot.replace(Some(body)));
        Ok(Output::erase(DescribeTableOutput::builder().build()))
    }
}

/// Checks the checksum that DynamoDB sends, which the Rust SDK ignores.
fn check_crc32<E>(response: &HttpResponse, body: &[u8]) -> Result<(), OrchestratorError<E>> {
    let Some(sent) = response.headers().get("x-amz-crc32") else { return Ok(()) };
    if sent.parse() == Ok(crc32fast::hash(body)) {
        Ok(())
    } else {
        Err(OrchestratorError::other("the body does not match its x-amz-crc32: it was damaged in transit"))
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::interceptors::context::Error;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::check_crc32;

    #[test]
    fn a_damaged_body_is_detected() {
        let mut response = HttpResponse::new(StatusCode::try_from(200).expect("a status"), SdkBody::empty());
        let checked = |response: &HttpResponse, body: &[u8]| check_crc32::<Error>(response, body).is_ok();
        assert!(checked(&response, b"without a checksum"));
        response.headers_mut().insert("x-amz-crc32", "3421780262");
        assert!(checked(&response, b"123456789"));
        assert!(!checked(&response, b"123456780"));
        response.headers_mut().insert("x-amz-crc32", "nonsense");
        assert!(!checked(&response, b"123456789"));
    }
}

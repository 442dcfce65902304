//! ec2:DescribeRegions.
//!
//! The one call of EC2's that is wanted. The SDK's crate for EC2 has some 700 more and would be by far the largest
//! dependency, so the call is put together here from the SDK's own parts: its signer, its HTTP stack, its XML reader.

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_smithy_xml::decode::Document;
use aws_types::SdkConfig;
use dynacrawl_auth::CachedCredentials;
use dynacrawl_aws::{AwsError, ErrorClass};
use dynacrawl_model::Partition;

const BODY: &str = "Action=DescribeRegions&Version=2016-11-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[derive(Debug)]
pub(crate) struct Ec2 {
    config: SdkConfig,
    credentials: CachedCredentials,
    region: String,
    url: String,
}

/// What EC2 answered instead of Regions.
#[derive(Debug, thiserror::Error)]
#[error("{metadata}")]
struct Refused {
    metadata: ErrorMetadata,
}

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.metadata
    }
}

impl Ec2 {
    pub(crate) fn new(
        config: &SdkConfig,
        credentials: CachedCredentials,
        url: Option<&str>,
        partition: &Partition,
    ) -> Self {
        let region = config.region().map(|region| region.as_ref().to_owned()).unwrap_or_default();
        let environment = || {
            let named = ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"].map(|name| std::env::var(name).ok());
            named.into_iter().flatten().find(|url| !url.is_empty())
        };
        let url = url.map(str::to_owned).or_else(environment);
        let url = url.unwrap_or_else(|| endpoint(&region, partition, config.use_fips().unwrap_or_default()));
        Self { config: config.clone(), credentials, region, url }
    }

    /// The names of the Regions that are enabled for the account.
    pub(crate) async fn describe_regions(&self) -> Result<Vec<String>, AwsError> {
        let credentials = self.credentials.get().await.map_err(|failed| failed.error)?;
        let signed = self.signed(credentials).map_err(|said| {
            AwsError::new(ErrorClass::Other, "request_not_built", format!("the call cannot be signed: {said}"))
        })?;
        let http = self
            .config
            .http_client()
            .ok_or_else(|| AwsError::new(ErrorClass::Other, "request_not_built", "there is no HTTP stack"))?;
        let timeouts = self.config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
        let mut operation = Operation::builder()
            .service_name("ec2")
            .operation_name("DescribeRegions")
            .behavior_version(dynacrawl_aws::behavior_version())
            .http_client(http)
            .endpoint_url(&self.url)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts)
            .serializer(move |()| signed.try_clone().ok_or_else(|| "the body is in memory".into()))
            .deserializer(read);
        if let Some(sleep) = self.config.sleep_impl() {
            operation = operation.sleep_impl(sleep);
        }
        Box::pin(operation.build().invoke(()))
            .await
            .map_err(|error: SdkError<Refused, HttpResponse>| AwsError::from_sdk(&error))
    }

    /// The request, with its signature. The endpoint comes to it later.
    fn signed(
        &self,
        credentials: aws_credential_types::Credentials,
    ) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let host = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or(host);
        let default_port = if self.url.starts_with("https:") { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [("content-type", CONTENT_TYPE), ("host", host)];
        let signable = SignableRequest::new("POST", "/", headers.into_iter(), SignableBody::Bytes(BODY.as_bytes()))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = HttpRequest::new(SdkBody::from(BODY));
        request.set_method("POST")?;
        request.set_uri("/")?;
        request.headers_mut().insert("content-type", CONTENT_TYPE);
        for (name, value) in instructions.headers() {
            request.headers_mut().insert(name.to_owned(), value.to_owned());
        }
        Ok(request)
    }
}

fn endpoint(region: &str, partition: &Partition, use_fips: bool) -> String {
    let suffix = match partition.as_str() {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    };
    format!("https://ec2{}.{region}.{suffix}", if use_fips { "-fips" } else { "" })
}

fn read(response: &HttpResponse) -> Result<Vec<String>, OrchestratorError<Refused>> {
    let body = response.body().bytes().unwrap_or_default();
    let text = std::str::from_utf8(body).unwrap_or_default();
    if response.status().is_success() {
        return texts(text, "DescribeRegionsResponse", "regionName").map_err(OrchestratorError::other);
    }
    let first = |tag| texts(text, "Response", tag).ok().and_then(|all| all.into_iter().next());
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = first("Code") {
        metadata = metadata.code(code);
    }
    if let Some(message) = first("Message") {
        metadata = metadata.message(message);
    }
    Err(OrchestratorError::operation(Refused { metadata: metadata.build() }))
}

/// The texts of all elements called `tag`, at whatever depth, in a document whose root is `root`.
fn texts(document: &str, root: &str, tag: &str) -> Result<Vec<String>, String> {
    fn collect(
        element: &mut aws_smithy_xml::decode::ScopedDecoder<'_, '_>,
        tag: &str,
        found: &mut Vec<String>,
    ) -> Result<(), String> {
        while let Some(mut child) = element.next_tag() {
            if child.start_el().local() == tag {
                let text = aws_smithy_xml::decode::try_data(&mut child).map_err(|error| error.to_string())?;
                found.push(text.into_owned());
            } else {
                collect(&mut child, tag, found)?;
            }
        }
        Ok(())
    }
    let mut document = Document::new(document);
    let mut element = document.root_element().map_err(|error| error.to_string())?;
    if element.start_el().local() != root {
        return Err(format!("the answer is no {root}"));
    }
    let mut found = Vec::new();
    collect(&mut element, tag, &mut found)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{endpoint, texts};

    #[test]
    fn regions_are_read_out_of_the_answer() {
        let answer = "<?xml version=\"1.0\"?><DescribeRegionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
                      <requestId>1</requestId><regionInfo><item><regionName>eu-west-1</regionName><regionEndpoint>e</regionEndpoint></item>\
                      <item><regionName>us-east-1</regionName></item></regionInfo></DescribeRegionsResponse>";
        assert_eq!(texts(answer, "DescribeRegionsResponse", "regionName").expect("XML"), ["eu-west-1", "us-east-1"]);
        assert!(texts("<html></html>", "DescribeRegionsResponse", "regionName").is_err());
        assert!(texts("nonsense", "DescribeRegionsResponse", "regionName").is_err());
    }

    #[test]
    fn every_partition_has_its_endpoint() {
        for (region, partition, host) in [
            ("eu-west-1", "aws", "https://ec2.eu-west-1.amazonaws.com"),
            ("cn-north-1", "aws-cn", "https://ec2.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "aws-us-gov", "https://ec2.us-gov-west-1.amazonaws.com"),
            ("eusc-de-east-1", "aws-eusc", "https://ec2.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(endpoint(region, &partition.into(), false), host);
        }
    }
}

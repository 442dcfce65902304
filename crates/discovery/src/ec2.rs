//! ec2:DescribeRegions.
//!
//! dynacrawl needs only this call of EC2. The SDK's crate for EC2 has some 700 more and would be by
//! far the largest dependency, so the call is built here from the SDK's own parts: its signer, its
//! HTTP stack, its XML reader.

use std::time::SystemTime;

use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_smithy_xml::decode::{Document, ScopedDecoder};
use aws_types::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use dynacrawl_auth::CachedCredentials;
use dynacrawl_aws::{AwsError, ErrorClass};

const BODY: &str = "Action=DescribeRegions&Version=2016-11-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[derive(Debug)]
pub(crate) struct Ec2 {
    config: SdkConfig,
    credentials: CachedCredentials,
    region: String,
    url: Option<String>,
}

/// The error that EC2 returned instead of Regions.
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
    /// `url` replaces the endpoint of AWS's settings.
    pub(crate) fn new(config: &SdkConfig, credentials: CachedCredentials, url: Option<String>) -> Self {
        let region = config.region().map(|region| region.as_ref().to_owned()).unwrap_or_default();
        Self { config: config.clone(), credentials, region, url }
    }

    /// The names of the Regions that are enabled for the account.
    pub(crate) async fn describe_regions(&self) -> Result<Vec<String>, AwsError> {
        let credentials = self.credentials.get().await.map_err(|failed| failed.error)?;
        let not_built = |problem: String| AwsError::new(ErrorClass::Other, "request_not_built", problem);
        let url = match &self.url {
            Some(url) => url.clone(),
            None => endpoint(&self.config, &self.region).await.map_err(not_built)?,
        };
        let signed = self.signed(&url, credentials);
        let signed = signed.map_err(|error| not_built(format!("the call cannot be signed: {error}")))?;
        let http = self.config.http_client().ok_or_else(|| not_built("there is no HTTP stack".to_owned()))?;
        let timeouts = self.config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
        let mut operation = Operation::builder()
            .service_name("ec2")
            .operation_name("DescribeRegions")
            .behavior_version(dynacrawl_aws::behavior_version())
            .http_client(http)
            .endpoint_url(&url)
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

    /// The signed request. Its endpoint is added later.
    fn signed(
        &self,
        url: &str,
        credentials: aws_credential_types::Credentials,
    ) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        let prefix = prefix.trim_end_matches('/');
        let path = if prefix.is_empty() { "/".to_owned() } else { format!("/{prefix}/") };
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
        let signable = SignableRequest::new("POST", &path, headers.into_iter(), SignableBody::Bytes(BODY.as_bytes()))?;
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

/// EC2's endpoint, by the rules and settings that all AWS SDKs share.
///
/// EC2's endpoints follow the rules of STS's in all partitions, with and without FIPS and
/// dual-stack, except for the name. A comparison of botocore's rules for both found no Region where
/// they differ.
async fn endpoint(config: &SdkConfig, region: &str) -> Result<String, String> {
    // AWS_ENDPOINT_URL_EC2, the profile's services section, AWS_ENDPOINT_URL and the profile, unless they are ignored.
    let key = ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let key = key.map_err(|error| error.to_string())?;
    let configured = config.service_config().and_then(|service| service.load_config(key));
    if let Some(url) = configured.or_else(|| config.endpoint_url().map(str::to_owned)) {
        return Ok(url);
    }
    let parameters = Params::builder()
        .region(region)
        .use_fips(config.use_fips().unwrap_or_default())
        .use_dual_stack(config.use_dual_stack().unwrap_or_default())
        .use_global_endpoint(false)
        .build()
        .map_err(|error| error.to_string())?;
    let resolved = DefaultResolver::new().resolve_endpoint(&parameters).await;
    let resolved = resolved.map_err(|error| format!("EC2 has no endpoint in {region}: {error}"))?;
    let host = resolved.url().strip_prefix("https://sts").ok_or("the SDK's rules changed")?;
    Ok(format!("https://ec2{host}"))
}

fn read(response: &HttpResponse) -> Result<Vec<String>, OrchestratorError<Refused>> {
    let body = response.body().bytes().unwrap_or_default();
    let text = std::str::from_utf8(body).unwrap_or_default();
    if response.status().is_success() {
        return texts(text, &["DescribeRegionsResponse", "regionInfo", "item", "regionName"])
            .map_err(OrchestratorError::other);
    }
    let first = |tag| {
        // EC2's own format, and that of AWS's other Query services, which some emulators use.
        let forms: [&[&str]; 2] = [&["Response", "Errors", "Error", tag], &["ErrorResponse", "Error", tag]];
        forms.into_iter().find_map(|path| texts(text, path).ok()?.into_iter().next())
    };
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = first("Code") {
        metadata = metadata.code(code);
    }
    if let Some(message) = first("Message") {
        metadata = metadata.message(message);
    }
    Err(OrchestratorError::operation(Refused { metadata: metadata.build() }))
}

/// The texts of all elements at `path`, which begins with the root.
///
/// It descends only as deep as `path`, however deep the document is.
fn texts(document: &str, path: &[&str]) -> Result<Vec<String>, String> {
    fn collect(element: &mut ScopedDecoder<'_, '_>, path: &[&str], found: &mut Vec<String>) -> Result<(), String> {
        let Some((tag, below)) = path.split_first() else {
            let text = aws_smithy_xml::decode::try_data(element).map_err(|error| error.to_string())?;
            found.push(text.into_owned());
            return Ok(());
        };
        while let Some(mut child) = element.next_tag() {
            if child.start_el().local() == *tag {
                collect(&mut child, below, found)?;
            }
        }
        Ok(())
    }
    let (root, below) = path.split_first().ok_or("no path")?;
    let mut document = Document::new(document);
    let mut element = document.root_element().map_err(|error| error.to_string())?;
    if element.start_el().local() != *root {
        return Err(format!("the answer is not a {root}"));
    }
    let mut found = Vec::new();
    collect(&mut element, below, &mut found)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use aws_types::SdkConfig;
    use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

    use super::{endpoint, texts};

    const REGIONS: [&str; 4] = ["DescribeRegionsResponse", "regionInfo", "item", "regionName"];

    #[test]
    fn regions_are_read_from_the_response() {
        let answer = "<?xml version=\"1.0\"?><DescribeRegionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
                      <requestId>1</requestId><regionInfo><item><regionName>eu-west-1</regionName><regionEndpoint>e</regionEndpoint></item>\
                      <item><regionName>us-east-1</regionName></item></regionInfo></DescribeRegionsResponse>";
        assert_eq!(texts(answer, &REGIONS).expect("XML"), ["eu-west-1", "us-east-1"]);
        assert!(texts("<html></html>", &REGIONS).is_err());
        assert!(texts("nonsense", &REGIONS).is_err());
    }

    #[test]
    fn a_document_of_any_depth_is_read_without_deep_recursion() {
        const DEPTH: usize = 500_000;
        for inside in ["a", "regionInfo", "item"] {
            let (open, close) = (format!("<{inside}>").repeat(DEPTH), format!("</{inside}>").repeat(DEPTH));
            let nested = format!("<DescribeRegionsResponse>{open}{close}</DescribeRegionsResponse>");
            assert_eq!(texts(&nested, &REGIONS), Ok(Vec::new()));
            let unclosed = format!("<DescribeRegionsResponse><regionInfo>{open}");
            assert_eq!(texts(&unclosed, &REGIONS), Ok(Vec::new()));
        }
    }

    fn config(use_fips: bool, use_dual_stack: bool) -> aws_types::sdk_config::Builder {
        SdkConfig::builder().use_fips(use_fips).use_dual_stack(use_dual_stack)
    }

    /// The expected endpoints are botocore's.
    #[tokio::test]
    async fn endpoints_follow_the_rules_of_aws() {
        for (region, use_fips, use_dual_stack, url) in [
            ("eu-west-1", false, false, "https://ec2.eu-west-1.amazonaws.com"),
            ("us-east-1", false, false, "https://ec2.us-east-1.amazonaws.com"),
            ("us-east-1", true, false, "https://ec2-fips.us-east-1.amazonaws.com"),
            ("us-east-1", false, true, "https://ec2.us-east-1.api.aws"),
            ("us-east-1", true, true, "https://ec2-fips.us-east-1.api.aws"),
            ("cn-north-1", false, false, "https://ec2.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", false, true, "https://ec2.cn-north-1.api.amazonwebservices.com.cn"),
            ("us-gov-west-1", false, false, "https://ec2.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1", true, false, "https://ec2.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1", false, true, "https://ec2.us-gov-west-1.api.aws"),
            ("eusc-de-east-1", false, false, "https://ec2.eusc-de-east-1.amazonaws.eu"),
            ("us-iso-east-1", false, false, "https://ec2.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", false, false, "https://ec2.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            let config = config(use_fips, use_dual_stack).build();
            let resolved = endpoint(&config, region).await;
            assert_eq!(resolved.as_deref(), Ok(url), "{region}, FIPS {use_fips}, dual-stack {use_dual_stack}");
        }
    }

    /// Settings of one service and of all, as the SDK loads them.
    #[derive(Debug)]
    struct Configured;

    impl LoadServiceConfig for Configured {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            let asked = (key.service_id(), key.env(), key.profile());
            (asked == ("EC2", "AWS_ENDPOINT_URL", "endpoint_url")).then(|| "https://ec2.internal".to_owned())
        }
    }

    #[tokio::test]
    async fn configured_endpoints_are_found_by_the_sdk() {
        let ours = config(true, false).service_config(Configured).endpoint_url("https://all.internal").build();
        assert_eq!(endpoint(&ours, "eu-west-1").await.as_deref(), Ok("https://ec2.internal"));
        let all = config(true, false).endpoint_url("https://all.internal").build();
        assert_eq!(endpoint(&all, "eu-west-1").await.as_deref(), Ok("https://all.internal"));
    }
}

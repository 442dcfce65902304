//! AWS Signature Version 4 with a signing key that is derived once a day, not for each request.
//!
//! The SDK's signer derives the key each time and signs every header. This one signs POST requests
//! to the root, and leaves the rest to the SDK's: other paths, and a clock that has turned out to
//! be wrong.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4Signer};
use aws_sdk_dynamodb::config::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::config_bag::ConfigBag;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

const SERVICE: &str = "dynamodb";

/// Signs the requests of one scope.
#[derive(Clone, Debug)]
pub(crate) struct ScopeSigner(Arc<Inner>);

struct Inner {
    region: String,
    sdk: SigV4Signer,
    /// Whether the clock is wrong. Then the SDK's signer signs, which corrects it by AWS's
    /// responses.
    clock_is_wrong: AtomicBool,
    key: Mutex<Option<DayKey>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScopeSigner").field("region", &self.region).finish_non_exhaustive()
    }
}

/// A signing key, and what it was derived for.
struct DayKey {
    date: String,
    access_key_id: String,
    key: Vec<u8>,
}

impl ScopeSigner {
    pub(crate) fn new(region: String) -> Self {
        Self(Arc::new(Inner {
            region,
            sdk: SigV4Signer::new(),
            clock_is_wrong: AtomicBool::new(false),
            key: Mutex::new(None),
        }))
    }

    /// Records that AWS found the local clock wrong.
    pub(crate) fn clock_is_wrong(&self) {
        self.0.clock_is_wrong.store(true, Ordering::Relaxed);
    }
}

impl AuthScheme for ScopeSigner {
    fn scheme_id(&self) -> AuthSchemeId {
        SCHEME_ID
    }

    fn identity_resolver(&self, resolvers: &dyn GetIdentityResolver) -> Option<SharedIdentityResolver> {
        resolvers.identity_resolver(SCHEME_ID)
    }

    fn signer(&self) -> &dyn Sign {
        &*self.0
    }
}

impl Sign for Inner {
    fn sign_http_request(
        &self,
        request: &mut HttpRequest,
        identity: &Identity,
        endpoint: AuthSchemeEndpointConfig<'_>,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        let by_sdk = self.clock_is_wrong.load(Ordering::Relaxed);
        if let (false, Some(host), Some(credentials)) =
            (by_sdk, root_host(request.uri()), identity.data::<Credentials>())
        {
            let now = components.time_source().unwrap_or_default().now();
            return self.sign(request, &host, credentials, now);
        }
        self.sdk.sign_http_request(request, identity, endpoint, components, config)
    }
}

impl Inner {
    fn sign(
        &self,
        request: &mut HttpRequest,
        host: &str,
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<(), BoxError> {
        let time = jiff::Timestamp::try_from(now)?.strftime("%Y%m%dT%H%M%SZ").to_string();
        let date = &time[..8];
        let header = |name| request.headers().get(name).unwrap_or_default();
        let payload = request.body().bytes().ok_or("the body is not in memory")?;

        let mut canonical = String::with_capacity(1024);
        write!(canonical, "POST\n/\n\ncontent-type:{}\nhost:{host}\nx-amz-date:{time}\n", header("content-type"))?;
        let mut signed = "content-type;host;x-amz-date;x-amz-target";
        if let Some(token) = credentials.session_token() {
            writeln!(canonical, "x-amz-security-token:{token}")?;
            signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
        }
        write!(canonical, "x-amz-target:{}\n\n{signed}\n", header("x-amz-target"))?;
        write_hex(&mut canonical, &Sha256::digest(payload));

        let scope = format!("{date}/{}/{SERVICE}/aws4_request", self.region);
        let mut to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n");
        write_hex(&mut to_sign, &Sha256::digest(&canonical));

        let id = credentials.access_key_id();
        let signature = self.signature(date, now, credentials, to_sign.as_bytes());
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");

        if let Some(token) = credentials.session_token() {
            add_secret(request.headers_mut(), "x-amz-security-token", token)?;
        }
        let headers = request.headers_mut();
        headers.insert("x-amz-date", time);
        // A value that no header can carry is an error, not a panic.
        headers.try_insert("authorization", authorization)?;
        Ok(())
    }

    fn signature(&self, date: &str, now: SystemTime, credentials: &Credentials, to_sign: &[u8]) -> String {
        let mut cached = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_today = |day: &&DayKey| day.date == date && day.access_key_id == credentials.access_key_id();
        if let Some(day) = cached.as_ref().filter(is_of_today) {
            return calculate_signature(&day.key, to_sign);
        }
        let secret = credentials.secret_access_key();
        let key = generate_signing_key(secret, now, &self.region, SERVICE).as_ref().to_vec();
        let signature = calculate_signature(&key, to_sign);
        let access_key_id = credentials.access_key_id().to_owned();
        *cached = Some(DayKey { date: date.to_owned(), access_key_id, key });
        signature
    }
}

/// Adds a header marked as sensitive: HTTP libraries leave it out of their logs, and HTTP/2 out of
/// its tables.
///
/// The SDK's headers cannot be marked one by one, but those of a whole request can be converted.
fn add_secret(headers: &mut Headers, name: &'static str, value: &str) -> Result<(), BoxError> {
    let mut value = HeaderValue::from_str(value)?;
    value.set_sensitive(true);
    let mut carrier = HttpRequest::empty();
    *carrier.headers_mut() = std::mem::take(headers);
    let mut marked = std::mem::take(carrier.try_into_http1x()?.headers_mut());
    marked.insert(HeaderName::from_static(name), value);
    *headers = Headers::try_from(marked)?;
    Ok(())
}

/// The Host header that hyper will send, for requests to the root of an endpoint.
fn root_host(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) {
        return None;
    }
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    Some(authority.strip_suffix(default_port).unwrap_or(authority).to_owned())
}

fn write_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_sdk_dynamodb::config::Credentials;
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_types::body::SdkBody;

    use super::{ScopeSigner, root_host};

    fn signed(token: Option<&str>) -> HttpRequest {
        let mut request = HttpRequest::new(SdkBody::from("{}"));
        request.set_method("POST").expect("a method");
        request.set_uri("https://dynamodb.us-east-1.amazonaws.com/").expect("a URI");
        request.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        request.headers_mut().insert("x-amz-target", "DynamoDB_20120810.ListTables");
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, token.map(str::to_owned), None, "test");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let signer = ScopeSigner::new("us-east-1".to_owned());
        signer.0.sign(&mut request, "dynamodb.us-east-1.amazonaws.com", &credentials, now).expect("signed");
        request
    }

    /// The expected values were computed by botocore's signer.
    #[test]
    fn signatures_match_those_of_botocore() {
        let request = signed(None);
        assert_eq!(request.headers().get("x-amz-date"), Some("20150830T123600Z"));
        assert_eq!(
            request.headers().get("authorization"),
            Some(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
                 Signature=75214f17608dbd636679e18f6f89744844ae96fcd228b8147167152488d817de"
            )
        );
        let request = signed(Some("session"));
        assert_eq!(request.headers().get("x-amz-security-token"), Some("session"));
        let authorization = request.headers().get("authorization").expect("signed");
        assert!(
            authorization.ends_with("Signature=1081913c32bf8c42929f4224092d2ceb9b73b6528d7df3d1be197ec298cb7e0c"),
            "{authorization}"
        );
    }

    #[test]
    fn the_session_token_is_not_shown_in_debug_output() {
        let request = signed(Some("IQoJb3JpZ2luX2VjEXAMPLE"));
        assert_eq!(request.headers().len(), 5, "{request:?}");
        assert!(!format!("{request:?}").contains("IQoJb3JpZ2luX2VjEXAMPLE"));
        let sent = request.try_into_http1x().expect("a request");
        assert!(sent.headers()["x-amz-security-token"].is_sensitive());
        assert_eq!(sent.headers()["content-type"], "application/x-amz-json-1.0");
        assert!(!format!("{sent:?}").contains("IQoJb3JpZ2luX2VjEXAMPLE"));
    }

    #[test]
    fn only_requests_to_the_root_are_signed_here() {
        assert_eq!(root_host("http://127.0.0.1:8000/").as_deref(), Some("127.0.0.1:8000"));
        assert_eq!(root_host("https://a.example:443/").as_deref(), Some("a.example"));
        assert_eq!(root_host("http://[::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(root_host("http://a.example/prefix/"), None);
        assert_eq!(root_host("http://a.example/?q"), None);
    }
}

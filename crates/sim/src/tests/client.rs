//! A blocking client with one connection for each request.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::Account;
use crate::sessions::unix_ms;
use crate::sigv4::{Signable, SigningScope, amz_date, authorization};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

/// An access key, its secret and an optional session token.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl Keys {
    pub(super) fn of(account: &Account) -> Self {
        Self { id: account.access_key_id.clone(), secret: account.secret_access_key.clone(), token: None }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// The announced length.
    pub(super) announced: usize,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of an error in any protocol, or an empty text.
    pub(super) fn code(&self) -> String {
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(body) => {
                let code = body["__type"].as_str().or_else(|| self.header("x-amzn-errortype")).unwrap_or_default();
                code.rsplit('#').next().unwrap_or_default().to_owned()
            }
            Err(_) => self.tag("Code").unwrap_or_default(),
        }
    }

    /// The text of an XML element.
    pub(super) fn tag(&self, name: &str) -> Option<String> {
        let text = self.text();
        let start = text.find(&format!("<{name}>"))? + name.len() + 2;
        let end = text[start..].find("</")? + start;
        Some(text[start..end].to_owned())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The session keys of an AssumeRole answer.
    pub(super) fn keys(&self) -> Keys {
        let tag = |name| self.tag(name).unwrap_or_else(|| panic!("no {name} in {}", self.text()));
        Keys { id: tag("AccessKeyId"), secret: tag("SecretAccessKey"), token: Some(tag("SessionToken")) }
    }
}

/// A client of one account in one Region.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) keys: Keys,
    pub(super) region: String,
    /// Added to the time with which requests are signed.
    pub(super) seconds_off: i64,
}

impl Client {
    pub(super) fn new(address: SocketAddr, keys: Keys, region: &str) -> Self {
        Self { address, keys, region: region.to_owned(), seconds_off: 0 }
    }

    pub(super) fn with_keys(&self, keys: Keys) -> Self {
        Self { keys, ..self.clone() }
    }

    pub(super) fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    pub(super) fn dynamodb(&self, operation: &str, body: &str) -> Answer {
        self.try_dynamodb(operation, body).unwrap()
    }

    /// Fails if the answer has no complete head.
    pub(super) fn try_dynamodb(&self, operation: &str, body: &str) -> io::Result<Answer> {
        let target = format!("DynamoDB_20120810.{operation}");
        self.send("dynamodb", "/", &[("content-type", "application/x-amz-json-1.0"), ("x-amz-target", &target)], body)
    }

    pub(super) fn describe(&self, table: &str) -> Answer {
        self.dynamodb("DescribeTable", &format!("{{\"TableName\":\"{table}\"}}"))
    }

    pub(super) fn sts(&self, form: &str) -> Answer {
        let form = format!("{form}&Version=2011-06-15");
        self.send("sts", "/", &[FORM], &form).unwrap()
    }

    pub(super) fn organizations(&self, operation: &str, body: &str) -> Answer {
        let target = format!("AWSOrganizationsV20161128.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)];
        self.send("organizations", "/", &headers, body).unwrap()
    }

    pub(super) fn list_regions(&self, body: &str) -> Answer {
        self.send("account", "/listRegions", &[("content-type", "application/json")], body).unwrap()
    }

    pub(super) fn describe_regions(&self, more: &str) -> Answer {
        let form = format!("Action=DescribeRegions&Version=2016-11-15{more}");
        self.send("ec2", "/", &[FORM], &form).unwrap()
    }

    pub(super) fn assume(&self, role_arn: &str, more: &str) -> Answer {
        let arn = role_arn.replace(':', "%3A").replace('/', "%2F");
        self.sts(&format!("Action=AssumeRole&RoleArn={arn}&RoleSessionName=tester{more}"))
    }

    /// Sends a request that is signed for this service.
    pub(super) fn send(&self, service: &str, path: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Answer> {
        let signed = self.sign(service, path, &self.address.to_string(), headers, body);
        let headers: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        exchange(self.address, &format!("POST {path}"), &headers, body)
    }

    /// All headers of a signed request.
    pub(super) fn sign(
        &self,
        service: &str,
        path: &str,
        host: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Vec<(String, String)> {
        let date = amz_date(unix_ms() / 1_000 + self.seconds_off);
        let mut headers: Vec<(&str, &str)> = headers.to_vec();
        headers.extend([("host", host), ("x-amz-date", date.as_str())]);
        headers.extend(self.keys.token.as_deref().map(|token| ("x-amz-security-token", token)));
        let request = Signable { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
        let scope = SigningScope { amz_date: &date, region: &self.region, service };
        let signature = authorization(&self.keys.id, &self.keys.secret, &scope, &request);
        headers.push(("authorization", &signature));
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Sends one request on its own connection, and reads until the server closes it.
pub(super) fn exchange(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Answer> {
    let mut text = format!("{line} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("{text}\r\n{body}").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let mut answer = Answer { status, head, body: bytes[end + 4..].to_vec(), announced: 0 };
    answer.announced = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    Ok(answer)
}

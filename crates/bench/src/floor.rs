//! The floor: the least cost of any client. It sends one constant request, which is signed only
//! once, over connections that stay open, and reads and discards the answers.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::measure::measured;
use crate::report::Measured;

const BODY: &[u8] = br#"{"TableName":"table-000000"}"#;

pub(crate) fn run(url: &str, requests: u64, connections: usize, access_key_id: &str, region: &str) -> Result<()> {
    let address = url.strip_prefix("http://").context("the simulator speaks plain HTTP")?.to_owned();
    // The simulator checks the access key and the Region, not the signature.
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={access_key_id}/20260101/{region}/dynamodb/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={}",
        "0".repeat(64)
    );
    measured(async move {
        let mut workers = JoinSet::new();
        let connections = connections as u64;
        for worker in 0..connections {
            let share = requests / connections + u64::from(worker < requests % connections);
            workers.spawn(send(address.clone(), authorization.clone(), share));
        }
        let mut done = 0;
        while let Some(sent) = workers.join_next().await {
            done += sent??;
        }
        Ok(Measured { done, ..Measured::default() })
    })
}

async fn send(address: String, authorization: String, requests: u64) -> Result<u64> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let sending = async move {
        for _ in 0..requests {
            let request = Request::post("/")
                .header("host", &address)
                .header("content-type", "application/x-amz-json-1.0")
                .header("x-amz-target", "DynamoDB_20120810.DescribeTable")
                .header("x-amz-date", "20260101T000000Z")
                .header("authorization", &authorization)
                .body(Full::new(Bytes::from_static(BODY)))?;
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            ensure!(answer.status() == StatusCode::OK, "the simulator answered {}", answer.status());
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
        }
        Ok(requests)
    };
    let (_, sent) = tokio::join!(connection, sending);
    sent
}

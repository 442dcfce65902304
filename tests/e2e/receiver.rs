//! An HTTP server that receives events, records what it got, and fails as a test says.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::read::GzDecoder;
use serde_json::Value;

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// It is recorded, and answered with 204.
    Take,
    /// It is recorded, and the connection is cut before the answer.
    TakeAndCut,
    /// The connection is cut, and nothing is recorded.
    Cut,
    /// It is recorded, and answered with 200 and a body that breaks off.
    TakeAndBreakOff,
    /// It is not recorded, and answered with a status, headers and a body.
    Answer(u16, &'static str, String),
    /// It is recorded unless its body contains a text; then it is answered with a status.
    RefuseIf(String, u16),
}

/// A request that was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    /// Not compressed.
    pub(crate) body: String,
}

impl Received {
    /// The events of a body of JSON lines or of one event.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Answers a request that is taken: a status, and a body.
type Handler = dyn Fn(&Received) -> (u16, Value) + Send + Sync;

#[derive(Default)]
struct Shared {
    handler: Option<Arc<Handler>>,
    received: Vec<Received>,
    /// The next reactions; afterwards, `otherwise`.
    reactions: VecDeque<Reaction>,
    otherwise: Option<Reaction>,
}

/// The server. It ends with the test's process.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let receiver = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                thread::spawn(move || while serve(&stream, &shared).is_some() {});
            }
        });
        receiver
    }

    /// A server that answers by itself to the requests that it takes.
    pub(crate) fn serving(handler: impl Fn(&Received) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let receiver = Self::start();
        receiver.shared.lock().expect("no panic").handler = Some(Arc::new(handler));
        receiver
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// The next requests get these reactions, and later ones `otherwise`.
    pub(crate) fn reacts(&self, next: impl IntoIterator<Item = Reaction>, otherwise: Reaction) {
        let mut shared = self.shared.lock().expect("no panic");
        shared.reactions = next.into_iter().collect();
        shared.otherwise = Some(otherwise);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().expect("no panic").received.clone()
    }

    /// All events that were posted, in the order of arrival.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.received().iter().filter(|one| one.method == "POST").flat_map(Received::events).collect()
    }

    pub(crate) fn forget(&self) {
        self.shared.lock().expect("no panic").received.clear();
    }
}

/// Serves one request; `None` at the end of the connection.
fn serve(mut stream: &TcpStream, shared: &Mutex<Shared>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let first = lines.next()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let pair = |line: String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<_, _> = lines.filter_map(pair).collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut text = String::new();
    match headers.get("content-encoding").map(String::as_str) {
        Some("gzip") => GzDecoder::new(&body[..]).read_to_string(&mut text).ok()?,
        _ => (&body[..]).read_to_string(&mut text).ok()?,
    };
    let received = Received { method, path, headers, body: text };
    let mut shared = shared.lock().expect("no panic");
    let next = shared.reactions.pop_front();
    let reaction = next.or_else(|| shared.otherwise.clone()).unwrap_or(Reaction::Take);
    let handled = shared.handler.clone().filter(|_| matches!(reaction, Reaction::Take | Reaction::TakeAndCut));
    let handled = handled.map(|handler| {
        let (status, body) = handler(&received);
        let body = body.to_string();
        format!(
            "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    let answer = match &reaction {
        Reaction::Take | Reaction::TakeAndCut if handled.is_some() => handled.unwrap_or_default(),
        Reaction::Take | Reaction::TakeAndCut => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        Reaction::TakeAndBreakOff => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ntaken".to_owned(),
        Reaction::Cut => String::new(),
        Reaction::RefuseIf(text, _) if !received.body.contains(text.as_str()) => {
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
        }
        Reaction::RefuseIf(text, status) => {
            format!("HTTP/1.1 {status} Refused\r\ncontent-length: {}\r\n\r\nrefused: {text}", text.len() + 9)
        }
        Reaction::Answer(status, headers, body) => {
            format!("HTTP/1.1 {status} Answer\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        }
    };
    if matches!(reaction, Reaction::Take | Reaction::TakeAndCut | Reaction::TakeAndBreakOff)
        || answer.starts_with("HTTP/1.1 204")
    {
        shared.received.push(received);
    }
    drop(shared);
    if matches!(reaction, Reaction::Cut | Reaction::TakeAndCut) {
        // The client sees the end of the connection.
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    stream.write_all(answer.as_bytes()).ok()?;
    (!matches!(reaction, Reaction::TakeAndBreakOff)).then_some(())
}

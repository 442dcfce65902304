//! Requests that do not arrive completely.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dynacrawl_daemon::http::router;
use dynacrawl_daemon::http::server::serve;
use dynacrawl_daemon::metrics::recorder;
use dynacrawl_daemon::shared::Shared;
use dynacrawl_testing::inside::config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the body of a request may take.
const BODY_TIME: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_times_out() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let config = config("[[target]]\nname = \"home\"\nregions = [\"eu-west-1\"]\n");
    let shared = Arc::new(Shared::new(&config.for_daemon(), Some("secret".into()), "no-state.db".into()));
    let (orders, mut asked) = mpsc::channel(1);
    let router = router(shared, orders, recorder().expect("a recorder").handle());
    let stop = CancellationToken::new();
    let client = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let head = "POST /api/v1/runs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer secret\r\n";
        stream.write_all(format!("{head}content-length: 10\r\n\r\n{{").as_bytes()).await.expect("it is sent");
        let (asked_at, mut answer) = (Instant::now(), [0; 12]);
        stream.read_exact(&mut answer).await.expect("an answer");
        stop.cancel();
        (asked_at.elapsed(), answer)
    };
    let ((), (took, answer)) = tokio::join!(serve(listener, router, &stop), client);
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(took >= BODY_TIME && took < 2 * BODY_TIME, "{took:?}");
    assert!(asked.try_recv().is_err(), "no run was requested");
}

//! A proxy of TCP connections that cuts them.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use dynacrawl_sim::{DemoAccount, Simulator};
use fastrand::Rng;

use crate::command::Dynacrawl;
use crate::daemon::Place;
use crate::support::{HOME, IRELAND, eventually, ireland};

/// Forwards connections to a server of this machine, and cuts them where a test says.
pub(crate) struct Cutter {
    pub(crate) port: u16,
    upstream: Arc<AtomicU16>,
    cuts: Arc<Mutex<VecDeque<Cut>>>,
}

/// After how many bytes a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Of what the client sends: the server gets a part of a request.
    Request(usize),
    /// Of what the server answers: it has got requests whose answers the client does not get.
    Answer(usize),
}

impl Cutter {
    /// Forwards to a port.
    pub(crate) fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cuts: Arc<Mutex<VecDeque<Cut>>> = Arc::default();
        let upstream = Arc::new(AtomicU16::new(upstream));
        let (to, of_thread) = (Arc::clone(&upstream), Arc::clone(&cuts));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let cut = of_thread.lock().expect("no panic").pop_front();
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to.load(Ordering::SeqCst))) {
                    forward(&client, &server, cut);
                }
            }
        });
        Self { port, upstream, cuts }
    }

    /// Forwards new connections to another port, as of a server that was started again.
    pub(crate) fn forwards_to(&self, port: u16) {
        self.upstream.store(port, Ordering::SeqCst);
    }

    /// The next connections are cut so.
    pub(crate) fn cuts(&self, cuts: impl IntoIterator<Item = Cut>) {
        self.cuts.lock().expect("no panic").extend(cuts);
    }
}

fn forward(client: &TcpStream, server: &TcpStream, cut: Option<Cut>) {
    let (of_request, of_answer) = match cut {
        None => (usize::MAX, usize::MAX),
        Some(Cut::Request(bytes)) => (bytes, usize::MAX),
        Some(Cut::Answer(bytes)) => (usize::MAX, bytes),
    };
    for (from, to, most) in [(client, server, of_request), (server, client, of_answer)] {
        let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
        thread::spawn(move || {
            copy(&from, &to, most);
            // Both directions end together.
            for socket in [&from, &to] {
                _ = socket.shutdown(Shutdown::Both);
            }
        });
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, most: usize) {
    let (mut left, mut buffer) = (most, [0; 8192]);
    while left > 0 {
        let Ok(read @ 1..) = from.read(&mut buffer) else { return };
        let part = read.min(left);
        left -= part;
        if to.write_all(&buffer[..part]).is_err() {
            return;
        }
    }
}

/// Crawls some times into a sink behind a proxy, cuts connections and kills the process at any moment, until a
/// last crawl delivers the rest. `cut`: how a connection is cut.
pub(crate) fn cut_and_kill(
    seed: u64,
    cutter: &Cutter,
    cut: impl Fn(&mut Rng) -> Cut,
    crawl: impl Fn(&Place, &Simulator, &DemoAccount) -> Dynacrawl,
) -> Place {
    let (sim, home) = ireland(15);
    let mut random = Rng::with_seed(seed);
    let place = Place::new();
    for round in 0..random.u32(1..=2) {
        if round > 0 {
            sim.remove_table(HOME, IRELAND, &format!("table-{round:06}")).expect("a scope");
        }
        let cuts: Vec<_> = (0..random.usize(0..6)).map(|_| cut(&mut random)).collect();
        cutter.cuts(cuts);
        let before = place.delivered();
        let mut running = crawl(&place, &sim, &home).start();
        if random.bool() {
            let after = random.u64(0..15);
            eventually("it has come far enough", || place.delivered() >= before + after || running.has_ended());
            running.kill();
        }
        eventually("it ends", || running.has_ended());
    }
    let mut left = 20;
    while crawl(&place, &sim, &home).run().code() != 0 {
        left -= 1;
        assert!(left > 0, "seed {seed}");
    }
    place
}

//! The simulator as a value to hold in a test, and as a process of its own.

use std::{
    io::{self, Read as _},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    counts::Counts,
    denials::Denial,
    estate::{DemoAccess, Estate},
    faults::{FaultId, FaultRule},
    options::Options,
    quota::Quota,
    server,
    state::{State, UnknownScope, read, write},
};

/// A running simulator on a thread of its own. Dropping it stops the server and waits for its thread.
#[derive(Debug)]
pub struct Simulator {
    state: Arc<State>,
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts a simulator on the loopback interface.
    ///
    /// # Errors
    /// If the port is taken or the thread cannot be started.
    pub fn start(estate: Estate, options: &Options) -> io::Result<Self> {
        let state = Arc::new(State::new(estate, options));
        let stop = CancellationToken::new();
        let runtime = runtime()?;
        let (ready, bound) = mpsc::channel();
        let (shared, stopped, port) = (Arc::clone(&state), stop.clone(), options.port);
        let thread = thread::Builder::new().name("dynacrawl-sim".to_owned()).spawn(move || {
            runtime.block_on(async move {
                match server::bind(port).await {
                    Ok((listener, address)) => {
                        // The one who started it waits; if they gave up, `stop` is cancelled, too.
                        let _ = ready.send(Ok(address));
                        server::serve(listener, shared, stopped).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        })?;
        let address = bound.recv().map_err(io::Error::other)??;
        Ok(Self { state, address, stop, thread: Some(thread) })
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for both DynamoDB and STS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How a client reaches the accounts, as the estate said.
    #[must_use]
    pub fn access(&self) -> &DemoAccess {
        &self.state.access
    }

    /// Sets a fault.
    pub fn add_fault(&self, rule: FaultRule) -> FaultId {
        self.state.faults.add(rule)
    }

    /// How many requests a fault has hit.
    #[must_use]
    pub fn fault_hits(&self, id: FaultId) -> u64 {
        self.state.faults.hits(id)
    }

    /// Ends one fault; its hits stay readable.
    pub fn remove_fault(&self, id: FaultId) {
        self.state.faults.remove(id);
    }

    /// Ends all faults, also those of the estate; hits stay readable.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Adds an IAM denial.
    pub fn deny(&self, denial: Denial) {
        self.state.denials.add(denial);
    }

    /// Takes all IAM denials back, also those of the estate.
    pub fn clear_denials(&self) {
        self.state.denials.clear();
    }

    /// Replaces the quota of one scope; none lifts it.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn set_quota(&self, account_id: &str, region: &str, quota: Option<Quota>) -> Result<(), UnknownScope> {
        self.state.scope(account_id, region).map(|scope| scope.set_quota(quota))
    }

    /// Replaces the latency of one scope.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn set_latency(&self, account_id: &str, region: &str, latency: Duration) -> Result<(), UnknownScope> {
        self.state.scope(account_id, region).map(|scope| scope.set_latency(latency))
    }

    /// Everything counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Starts counting anew.
    pub fn reset_counts(&self) {
        self.state.reset_counts();
    }

    /// Ends all sessions issued so far.
    pub fn expire_sessions(&self) {
        self.state.sessions.expire_all();
    }

    /// Lets time pass for sessions, and for nothing else.
    pub fn advance_sessions(&self, by: Duration) {
        self.state.sessions.advance(by);
    }

    /// Puts the clock that signatures are checked by ahead of the real one by so many seconds, or behind.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.state.skew_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Creates or replaces a table. `description` is what DescribeTable's `Table` shall hold.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn put_table(
        &self,
        account_id: &str,
        region: &str,
        name: &str,
        description: &Value,
    ) -> Result<(), UnknownScope> {
        self.state.scope(account_id, region).map(|scope| write(&scope.tables).put(name, description))
    }

    /// Removes a table; says whether it was there.
    ///
    /// # Errors
    /// If the estate has no such scope.
    pub fn remove_table(&self, account_id: &str, region: &str, name: &str) -> Result<bool, UnknownScope> {
        self.state.scope(account_id, region).map(|scope| write(&scope.tables).remove(name))
    }

    /// The description of a table as DescribeTable would give it if nothing went wrong; none for a table that vanishes.
    #[must_use]
    pub fn describe_json(&self, account_id: &str, region: &str, name: &str) -> Option<Value> {
        read(&self.state.scope(account_id, region).ok()?.tables).describe_json(name)
    }

    /// All names that ListTables would give, in order; none if the estate has no such scope.
    #[must_use]
    pub fn table_names(&self, account_id: &str, region: &str) -> Vec<String> {
        self.state.scope(account_id, region).map(|scope| read(&scope.tables).names()).unwrap_or_default()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so on standard error already.
            let _ = thread.join();
        }
    }
}

/// What ends [`serve_blocking`].
#[derive(Clone, Debug, Default)]
pub struct StopWhen {
    /// SIGTERM or SIGINT.
    pub signals: bool,
    /// The end of standard input: the parent is gone, or wants to stop.
    pub stdin_closes: bool,
    /// Cancelled by the caller.
    pub token: CancellationToken,
}

/// Serves an estate on this thread until told to stop. `on_ready` learns the address.
///
/// # Errors
/// If the port is taken, or signals cannot be watched.
pub fn serve_blocking(
    estate: Estate,
    options: &Options,
    stop: StopWhen,
    on_ready: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let state = Arc::new(State::new(estate, options));
    runtime()?.block_on(async {
        let (listener, address) = server::bind(options.port).await?;
        if stop.stdin_closes {
            let token = stop.token.clone();
            // Nothing can interrupt a read of standard input, so this thread is not joined: it ends with the process.
            thread::Builder::new().name("stdin".to_owned()).spawn(move || {
                let mut sink = [0; 1024];
                while matches!(io::stdin().read(&mut sink), Ok(1..)) {}
                token.cancel();
            })?;
        }
        let signals = signals(stop.signals)?;
        on_ready(address);
        tokio::select! {
            () = server::serve(listener, state, stop.token) => {}
            () = signals => {}
        }
        Ok(())
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Ends with the first SIGTERM or SIGINT; never, if they are not wanted.
#[cfg(unix)]
fn signals(wanted: bool) -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let both = if wanted { Some((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)) } else { None };
    Ok(async move {
        match both {
            Some((mut terminate, mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    })
}

/// Ends with the first Ctrl-C; never, if it is not wanted.
#[cfg(not(unix))]
fn signals(wanted: bool) -> io::Result<impl Future<Output = ()>> {
    Ok(async move {
        if !wanted || tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}

//! Runs the simulator: on a thread that a test owns, or as a separate process.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::estate::Estate;
use crate::options::Options;
use crate::server;
use crate::state::State;

/// A simulator that runs on its own thread, with all methods of [`Control`]. Dropping it stops the
/// server and waits for the thread.
#[derive(Debug)]
pub struct Simulator {
    control: Control,
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
                        // `start` waits for this. If it is gone, `stop` is cancelled as well.
                        let _ = ready.send(Ok(address));
                        server::serve(listener, shared, stopped).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        })?;
        let address = bound.recv().map_err(io::Error::other)??;
        Ok(Self { control: Control::new(state), address, stop, thread: Some(thread) })
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for all services.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Deref for Simulator {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // After a panic, the message is already on standard error.
            let _ = thread.join();
        }
    }
}

/// What ends [`serve_blocking`].
#[derive(Clone, Debug, Default)]
pub struct StopWhen {
    /// SIGTERM or SIGINT.
    pub signals: bool,
    /// The end of standard input: the parent has ended, or closes it to stop this process.
    pub stdin_closes: bool,
    /// The caller cancels it.
    pub token: CancellationToken,
}

/// Serves an estate on this thread until it is stopped. `on_ready` gets the address.
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
            // A read of standard input cannot be interrupted. So this thread is not joined, and
            // ends with the process.
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

/// Completes at the first SIGTERM or SIGINT, or never if they are not wanted.
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

/// Completes at the first Ctrl-C, or never if it is not wanted.
#[cfg(not(unix))]
fn signals(wanted: bool) -> io::Result<impl Future<Output = ()>> {
    Ok(async move {
        if !wanted || tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}

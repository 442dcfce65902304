//! Bounds the connections over all endpoints, and remembers which endpoints cannot be reached.
//!
//! The SDK's pool bounds the connections to one endpoint, but a crawl has an endpoint for each
//! Region. So a request that would need a new connection waits here until one more is allowed. At
//! the start of a run, when every request needs one, that also paces the handshakes.
//!
//! Calls that share the places for requests (`places.rs`) are admitted before they are signed,
//! together with their place. The connector admits all others (the SDK's own credential providers,
//! STS).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_smithy_http_client::pool::{ConnectionEvent, ConnectionEventListener, ConnectionProtocol, OriginKey};
use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::unreachable::{Reach, Unreachable};

/// How many handshakes may be in progress at once.
const HANDSHAKES: usize = 32;
/// How many of them may go to an endpoint that has no connection yet: if all of them fail, they
/// must not keep the others waiting until they time out.
const FIRST_HANDSHAKES: usize = 8;
/// How long a request waits for a connection.
pub(crate) const CONNECTION_WAIT: Duration = Duration::from_secs(30);

/// A listener that admits requests when the connections allow it.
pub(crate) trait Changed: Send + Sync {
    /// A connection was closed or has become free.
    fn connections_changed(self: Arc<Self>);
}

/// Counts connections and admits requests.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    most: usize,
    state: Mutex<State>,
    listeners: Mutex<Vec<Weak<dyn Changed>>>,
}

#[derive(Default)]
struct State {
    loads: HashMap<OriginKey, Load, RandomState>,
    /// Requests that were admitted before their endpoint was known.
    unbound: usize,
    routes: HashMap<String, Route, RandomState>,
    unreachable: Unreachable,
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
    /// Whether an endpoint with few connections needs another one while others hold all allowed
    /// ones.
    starved: bool,
}

/// A request that the connector has to admit.
struct Waiting {
    ticket: u64,
    origin: OriginKey,
    answer: oneshot::Sender<Result<Admission, Fault>>,
}

/// The connections and requests of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    open: usize,
    in_flight: usize,
    /// Whether its connections carry many requests at once (HTTP/2).
    multiplexed: bool,
}

impl Load {
    /// Connections that are open or about to be.
    fn connections(self) -> usize {
        self.open + self.starting()
    }

    /// Connections that are about to be opened.
    fn starting(self) -> usize {
        if self.multiplexed && self.open > 0 { 0 } else { self.in_flight.saturating_sub(self.open) }
    }

    /// Whether an open connection can take one more request.
    fn is_free(self) -> bool {
        self.open > 0 && (self.multiplexed || self.in_flight < self.open)
    }
}

/// The endpoint of a client's calls, learned from the first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route(Arc<Mutex<Option<OriginKey>>>);

impl Route {
    fn origin(&self) -> Option<OriginKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, origin: &OriginKey) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(origin.clone());
    }
}

/// Whether a request may be sent.
pub(crate) enum Verdict {
    /// Now.
    Admitted(Admission),
    /// Later.
    Wait,
    /// The endpoint cannot be reached.
    Refused(Fault),
}

impl State {
    /// Reserves a connection for a request to `origin`, if it may be sent now.
    fn book(&mut self, origin: Option<&OriginKey>, most: usize) -> Result<bool, Fault> {
        let load = origin.and_then(|origin| self.loads.get(origin)).copied().unwrap_or_default();
        let reach = origin.map_or(Reach::Untried, |origin| self.unreachable.reach(origin));
        let may = load.is_free() || {
            let own = match reach {
                Reach::Unreachable(fault) => return Err(fault),
                // One at a time: all waiting requests share its outcome.
                Reach::Failing => 1,
                Reach::Untried if load.open == 0 => FIRST_HANDSHAKES,
                Reach::Untried => HANDSHAKES,
            };
            let sums = self.loads.values().fold((self.unbound, self.unbound), |(connections, starting), load| {
                (connections + load.connections(), starting + load.starting())
            });
            let room = sums.0 < most;
            if !room && load.connections() < self.fair_share(most) {
                self.starved = true;
            }
            room && sums.1 < HANDSHAKES && load.starting() < own
        };
        if may {
            match origin {
                Some(origin) => self.loads.entry(origin.clone()).or_default().in_flight += 1,
                None => self.unbound += 1,
            }
        }
        Ok(may)
    }

    /// How many connections each endpoint has if they are shared evenly.
    fn fair_share(&self, most: usize) -> usize {
        (most / (self.loads.len() + 1)).max(1)
    }

    fn change(&mut self, origin: &OriginKey, change: impl FnOnce(&mut Load)) {
        let load = self.loads.entry(origin.clone()).or_default();
        change(load);
        if load.open == 0 && load.in_flight == 0 {
            self.loads.remove(origin);
        }
    }
}

impl Gate {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, state: Mutex::default(), listeners: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<dyn Changed>>> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `listener` after each change, for as long as it lives.
    pub(crate) fn listen(&self, listener: Weak<dyn Changed>) {
        let mut listeners = self.listeners();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(listener);
    }

    /// The route of all clients with this key, which have the same endpoint.
    pub(crate) fn route(&self, key: &str) -> Route {
        self.state().routes.entry(key.to_owned()).or_default().clone()
    }

    /// Admits a request on `route`, if it may be sent now.
    pub(crate) fn try_admit(&self, route: &Route) -> Verdict {
        let origin = route.origin();
        match self.state().book(origin.as_ref(), self.0.most) {
            Ok(true) => Verdict::Admitted(Admission { gate: self.clone(), origin, route: Some(route.clone()) }),
            Ok(false) => Verdict::Wait,
            Err(fault) => Verdict::Refused(fault),
        }
    }

    /// Waits until a request may be sent to `origin`.
    pub(crate) async fn admit(&self, origin: OriginKey) -> Result<Admission, Fault> {
        let (ticket, answer) = {
            let mut state = self.state();
            if state.book(Some(&origin), self.0.most)? {
                return Ok(Admission { gate: self.clone(), origin: Some(origin), route: None });
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            let (sender, answer) = oneshot::channel();
            state.waiting.push_back(Waiting { ticket, origin, answer: sender });
            (ticket, answer)
        };
        let _leave = Leave { gate: self, ticket };
        match tokio::time::timeout(CONNECTION_WAIT, answer).await {
            Ok(Ok(admitted)) => admitted,
            // The sender stays in the queue until it is used.
            Ok(Err(_)) | Err(_) => Err(Fault::NoConnection(CONNECTION_WAIT)),
        }
    }

    /// Serves waiting requests, in the order in which they came, after something has changed.
    fn serve(&self) {
        let mut served = Vec::new();
        {
            let mut state = self.state();
            let mut at = 0;
            while let Some(origin) = state.waiting.get(at).map(|waiting| waiting.origin.clone()) {
                let verdict = state.book(Some(&origin), self.0.most);
                if verdict == Ok(false) {
                    at += 1;
                } else if let Some(waiting) = state.waiting.remove(at) {
                    let admission = || Admission { gate: self.clone(), origin: Some(origin), route: None };
                    served.push((waiting.answer, verdict.map(|_| admission())));
                }
            }
        }
        for (waiting, verdict) in served {
            // If the caller no longer waits, the admission is dropped and so given back.
            let _ = waiting.send(verdict);
        }
        let listeners: Vec<_> = self.listeners().iter().filter_map(Weak::upgrade).collect();
        for listener in listeners {
            listener.connections_changed();
        }
    }

    fn change(&self, origin: &OriginKey, change: impl FnOnce(&mut Load)) {
        self.state().change(origin, change);
        self.serve();
    }

    /// Whether the connection that has just served a request of `origin` should be closed, because
    /// other endpoints have fewer than their share.
    pub(crate) fn takes_back(&self, origin: &OriginKey) -> bool {
        let mut state = self.state();
        if !state.starved {
            return false;
        }
        let share = state.fair_share(self.0.most);
        let takes = state.loads.get(origin).is_some_and(|load| load.open > share);
        if takes {
            // A request that still needs one sets it again.
            state.starved = false;
        }
        takes
    }

    /// Allows unreachable endpoints to be tried again.
    pub(crate) fn forget_unreachable(&self) {
        self.state().unreachable.forget_all();
        self.serve();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("most", &self.most).finish_non_exhaustive()
    }
}

impl ConnectionEventListener for Gate {
    fn on_event(&self, event: &ConnectionEvent<'_>) {
        match event {
            ConnectionEvent::Opened(opened) => {
                let origin = opened.establishment().origin();
                self.state().unreachable.reached(origin);
                self.change(origin, |load| {
                    load.open += 1;
                    load.multiplexed = opened.connection().protocol() == ConnectionProtocol::Http2;
                });
            }
            ConnectionEvent::EstablishmentFailed(failed) => {
                let (origin, took) = (failed.establishment().origin(), failed.stats().total_duration());
                let text = crate::cause::connection_failure(&crate::cause::chain(failed.error()));
                self.state().unreachable.failed(origin, took, text);
                self.serve();
            }
            ConnectionEvent::LogicalClose(closed) => {
                self.change(closed.connection().origin(), |load| load.open = load.open.saturating_sub(1));
            }
            _ => {}
        }
    }
}

/// Removes a request from the queue, whether or not it was served.
struct Leave<'a> {
    gate: &'a Gate,
    ticket: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let left = {
            let mut state = self.gate.state();
            let at = state.waiting.iter().position(|waiting| waiting.ticket == self.ticket);
            at.and_then(|at| state.waiting.remove(at))
        };
        drop(left);
    }
}

/// An admitted request.
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Gate,
    /// `None` for the first request of its route.
    origin: Option<OriginKey>,
    route: Option<Route>,
}

impl Admission {
    /// The admission of a request that turns out to go to `origin`; `None` if it was admitted to
    /// another endpoint.
    pub(crate) fn bind(mut self, origin: &OriginKey) -> Option<Self> {
        if self.origin.as_ref() == Some(origin) {
            return Some(self);
        }
        if let Some(route) = &self.route {
            route.learn(origin);
        }
        if self.origin.is_some() {
            return None;
        }
        {
            let mut state = self.gate.state();
            state.unbound = state.unbound.saturating_sub(1);
            state.loads.entry(origin.clone()).or_default().in_flight += 1;
        }
        self.origin = Some(origin.clone());
        // Other requests on this route no longer have to wait for a connection of their own.
        self.gate.serve();
        Some(self)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        match &self.origin {
            Some(origin) => self.gate.change(origin, |load| load.in_flight = load.in_flight.saturating_sub(1)),
            None => {
                {
                    let mut state = self.gate.state();
                    state.unbound = state.unbound.saturating_sub(1);
                }
                self.gate.serve();
            }
        }
    }
}
#[cfg(test)]
impl Gate {
    pub(crate) fn opened(&self, origin: &OriginKey) {
        self.change(origin, |load| load.open += 1);
    }

    pub(crate) fn closed(&self, origin: &OriginKey) {
        self.change(origin, |load| load.open -= 1);
    }
}

#[cfg(test)]
mod tests;

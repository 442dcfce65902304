//! Places for requests in flight, shared fairly by scopes.
//!
//! A scope whose requests hang keeps its places until they time out. Three rules keep it from
//! taking the places of other scopes:
//!
//! 1. A quarter of the places is reserved for scopes that hold fewer than their base. The base is
//!    the total divided by the number of concurrent scopes.
//! 2. A freed place goes to the waiting scope that holds the fewest places. Among equals, and
//!    within a scope, the request that came first gets it.
//! 3. Each scope has its own limit. It starts at the base (or at one in thirty-two places, if the
//!    base is less), grows by one with each response, and is halved by a time-out.
//!
//! A place is given together with permission to use a connection. So no request waits for a
//! connection while it holds a place, or for a place while it holds a connection.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::connections::{Admission, CONNECTION_WAIT, Changed, Gate, Route, Verdict};
use crate::fault::Fault;
use crate::{AwsError, Connections, gated};

/// A scope's limit starts at one in this many places, at least.
const INITIAL_SHARE: usize = 32;

/// The places of a process, or of one caller.
#[derive(Clone, Debug)]
pub struct Places(Arc<Shared>);

struct Shared {
    total: usize,
    /// The places for each scope, whatever others do.
    base: usize,
    gate: Option<Gate>,
    state: Mutex<State>,
    /// How many requests wait. If none do, changes of the connections are ignored.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    scopes: HashMap<u64, Scope, RandomState>,
    /// The scopes with waiting requests that are below their limit: by places held, then by the
    /// ticket of the first waiting request.
    order: BTreeSet<(usize, u64, u64)>,
    next_scope: u64,
    /// Counts requests that were queued and places that were given.
    now: u64,
}

#[derive(Debug)]
struct Scope {
    held: usize,
    limit: usize,
    /// Time-outs of places given up to this count are ignored: requests in flight together halve
    /// the limit once.
    halved_at: u64,
    route: Option<Route>,
    queue: VecDeque<Waiting>,
    /// Since when it has been waiting only for a connection.
    without_connection: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    answer: oneshot::Sender<Result<Place, Fault>>,
}

/// One scope's share of the places.
#[derive(Clone, Debug)]
pub struct Share(Arc<Member>);

#[derive(Debug)]
struct Member {
    id: u64,
    places: Arc<Shared>,
}

/// A place for one request in flight, given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Place {
    places: Arc<Shared>,
    scope: u64,
    given_at: u64,
    admission: Option<Admission>,
    ended: Ended,
}

/// How the request ended, if it was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Unknown,
    Answered,
    TimedOut,
}

impl Scope {
    /// The scope's key in the order; `None` if nothing waits or the limit is reached.
    fn order(&self, id: u64) -> Option<(usize, u64, u64)> {
        let first = self.queue.front().filter(|_| self.held < self.limit)?;
        Some((self.held, first.ticket, id))
    }
}

impl State {
    /// Changes a scope and its position in the order.
    fn change<T>(&mut self, id: u64, change: impl FnOnce(&mut Scope) -> T) -> Option<T> {
        let scope = self.scopes.get_mut(&id)?;
        let before = scope.order(id);
        let result = change(scope);
        let after = scope.order(id);
        if before != after {
            if let Some(before) = before {
                self.order.remove(&before);
            }
            self.order.extend(after);
        }
        Some(result)
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

impl Places {
    /// `total` places for `scopes` concurrent scopes, given together with connections.
    pub fn new(total: usize, scopes: usize, connections: &Connections) -> Self {
        let total = total.max(1);
        let shared = Arc::new(Shared {
            total,
            base: (total / scopes.max(1)).max(1),
            gate: connections.gate().cloned(),
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
        });
        if let Some(gate) = &shared.gate {
            let listener: Weak<dyn Changed> = Arc::<Shared>::downgrade(&shared);
            gate.listen(listener);
        }
        Self(shared)
    }

    /// A share for one scope. `endpoint` is any name; scopes with the same name call the same
    /// endpoint.
    pub fn share(&self, endpoint: &str) -> Share {
        let route = self.0.gate.as_ref().map(|gate| gate.route(endpoint));
        let mut state = self.0.state();
        let id = state.next_scope;
        state.next_scope += 1;
        // Small at first: a scope that hangs from the start never has more.
        let scope = Scope {
            held: 0,
            limit: self.0.base.max(self.0.total / INITIAL_SHARE),
            halved_at: 0,
            route,
            queue: VecDeque::new(),
            without_connection: None,
        };
        state.scopes.insert(id, scope);
        drop(state);
        Share(Arc::new(Member { id, places: self.0.clone() }))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a scope that holds `held` places may have one more now.
    fn may_have(&self, state: &State, held: usize) -> bool {
        let reserved = if state.scopes.len() > 1 { self.total / 4 } else { 0 };
        let free = self.total.saturating_sub(state.held);
        free > 0 && (held < self.base || free > reserved)
    }

    /// Permission to use a connection on a scope's route.
    fn connect(&self, route: Option<&Route>) -> Result<Option<Admission>, Option<Fault>> {
        match self.gate.as_ref().zip(route).map(|(gate, route)| gate.try_admit(route)) {
            None => Ok(None),
            Some(Verdict::Admitted(admission)) => Ok(Some(admission)),
            Some(Verdict::Wait) => Err(None),
            Some(Verdict::Refused(fault)) => Err(Some(fault)),
        }
    }

    /// Gives a place to a scope that may have one.
    fn give(self: &Arc<Self>, state: &mut State, scope: u64, admission: Option<Admission>) -> Place {
        state.held += 1;
        let given_at = state.tick();
        state.change(scope, |scope| {
            scope.held += 1;
            scope.without_connection = None;
        });
        Place { places: self.clone(), scope, given_at, admission, ended: Ended::Unknown }
    }

    /// The next request to serve, and the place or fault it gets.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<(Waiting, Result<Place, Fault>)> {
        let mut without_connection = Vec::new();
        let mut next = None;
        for (held, _, id) in &state.order {
            if !self.may_have(state, *held) {
                break;
            }
            let Some(scope) = state.scopes.get(id) else { continue };
            match self.connect(scope.route.as_ref()) {
                Ok(admission) => next = Some((*id, Ok(admission))),
                Err(Some(fault)) => next = Some((*id, Err(fault))),
                Err(None) => {
                    without_connection.push(*id);
                    continue;
                }
            }
            break;
        }
        for id in without_connection {
            if let Some(scope) = state.scopes.get_mut(&id) {
                scope.without_connection.get_or_insert_with(Instant::now);
            }
        }
        let (id, admitted) = next?;
        let waiting = state.change(id, |scope| scope.queue.pop_front()).flatten()?;
        let given = admitted.map(|admission| self.give(state, id, admission));
        Some((waiting, given))
    }

    /// Serves the requests that can be served after a change.
    fn serve(self: &Arc<Self>) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut served = Vec::new();
        {
            let mut state = self.state();
            while let Some(one) = self.next(&mut state) {
                served.push(one);
            }
        }
        for (waiting, given) in served {
            // If the caller no longer waits, the place is dropped and so given back.
            let _ = waiting.answer.send(given);
        }
    }
}

impl Changed for Shared {
    fn connections_changed(self: Arc<Self>) {
        self.serve();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").field("total", &self.total).field("base", &self.base).finish_non_exhaustive()
    }
}

impl Share {
    /// Waits for a place, and for a connection.
    ///
    /// # Errors
    /// If no connection becomes free in time, or the endpoint cannot be reached.
    pub async fn acquire(&self) -> Result<Place, AwsError> {
        self.place().await.map_err(AwsError::from)
    }

    async fn place(&self) -> Result<Place, Fault> {
        let Member { id, places } = &*self.0;
        let (ticket, mut answer) = {
            let mut state = places.state();
            let ready = state.scopes.get(id).filter(|scope| scope.queue.is_empty() && scope.held < scope.limit);
            if let Some(scope) = ready
                && places.may_have(&state, scope.held)
            {
                match places.connect(scope.route.as_ref()) {
                    Ok(admission) => return Ok(places.give(&mut state, *id, admission)),
                    Err(Some(fault)) => return Err(fault),
                    Err(None) => {}
                }
            }
            let ticket = state.tick();
            let (sender, answer) = oneshot::channel();
            state.change(*id, |scope| scope.queue.push_back(Waiting { ticket, answer: sender }));
            places.waiting.fetch_add(1, Ordering::AcqRel);
            (ticket, answer)
        };
        let _leave = Leave { member: &self.0, ticket };
        // The connections may have changed since the check above.
        places.serve();
        loop {
            tokio::select! {
                biased;
                given = &mut answer => return given.unwrap_or(Err(Fault::NoConnection(CONNECTION_WAIT))),
                () = tokio::time::sleep(CONNECTION_WAIT) => {
                    let state = places.state();
                    let since = state.scopes.get(id).and_then(|scope| scope.without_connection);
                    if since.is_some_and(|since| since.elapsed() >= CONNECTION_WAIT) {
                        return Err(Fault::NoConnection(CONNECTION_WAIT));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
impl Share {
    /// How many requests the scope may have in flight at the moment.
    fn limit(&self) -> usize {
        self.0.places.state().scopes[&self.0.id].limit
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.places.state();
        let left = state.scopes.remove(&self.id);
        if let Some(order) = left.as_ref().and_then(|scope| scope.order(self.id)) {
            state.order.remove(&order);
        }
        drop(state);
        self.places.serve();
    }
}

/// Removes a request from the queue, whether or not it was served.
struct Leave<'a> {
    member: &'a Member,
    ticket: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let places = &self.member.places;
        places.waiting.fetch_sub(1, Ordering::AcqRel);
        let mut state = places.state();
        let left = state.change(self.member.id, |scope| {
            let at = scope.queue.iter().position(|waiting| waiting.ticket == self.ticket);
            at.and_then(|at| scope.queue.remove(at))
        });
        drop(state);
        drop(left);
    }
}

impl Place {
    /// Runs the attempt that the place is for, with its connection.
    pub fn run<F: Future>(&mut self, attempt: F) -> impl Future<Output = F::Output> + use<F> {
        gated::admitted(self.admission.take(), attempt)
    }

    /// Gives the place back after an attempt. A response raises the scope's limit, a time-out
    /// lowers it.
    pub fn ended(mut self, timed_out: bool) {
        self.ended = if timed_out { Ended::TimedOut } else { Ended::Answered };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // If the attempt was not sent, others can use its connection.
        drop(self.admission.take());
        let total = self.places.total;
        {
            let mut state = self.places.state();
            state.held = state.held.saturating_sub(1);
            let now = state.now;
            state.change(self.scope, |scope| {
                scope.held = scope.held.saturating_sub(1);
                match self.ended {
                    Ended::Answered => scope.limit = (scope.limit + 1).min(total),
                    Ended::TimedOut if self.given_at > scope.halved_at => {
                        scope.limit = (scope.limit / 2).max(1);
                        scope.halved_at = now;
                    }
                    Ended::TimedOut | Ended::Unknown => {}
                }
            });
        }
        self.places.serve();
    }
}

#[cfg(test)]
mod tests;

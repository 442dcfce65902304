//! The contract that every sink must keep. Each kind of sink has one test that calls [`holds`].

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use dynacrawl_engine::settings::EventFilter;
use dynacrawl_engine::{PreparedRun, Progress, SharedState, crawl_to_output, undelivered};
use dynacrawl_model::{Record, Timestamp};
use dynacrawl_sinks::{
    Backoff, Delivered, DeliveryError, Destination, Event, EventSource, JournalError, Refusal, Sink, SinkKind,
    SinkSettings, Start, Until, Work, deliver_next, work,
};
use dynacrawl_state::{OutboxEvent, State};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::inside::plan_of;
use crate::world::{World, table};

/// A kind of sink under test. Its destination is in, or belongs to, a directory.
pub struct Candidate {
    /// The kind of sink with its destination in a directory.
    pub kind: fn(&Path) -> SinkKind,
    /// Whether the sink uses a network, for which the clock cannot be paused.
    pub in_real_time: bool,
    /// What the destination has, in the order of arrival: the id and the record of each event.
    pub received: fn(&Path) -> Vec<(String, Value)>,
}

/// The id and the record of an event as sinks deliver it, for [`Candidate::received`].
pub fn split(mut event: Value) -> (String, Value) {
    let members = event.as_object_mut().expect("an object");
    let id = members.remove("event_id").expect("an id");
    members.remove("table_before");
    (id.as_str().expect("text").to_owned(), event)
}

/// The name of the sink in the state.
const NAME: &str = "test";
/// Another sink, to which nothing is delivered.
const OTHER: &str = "other";

/// An estate with a sink, after two runs with changes.
struct Scene<'a> {
    world: World,
    state: SharedState,
    candidate: &'a Candidate,
    expected: Vec<OutboxEvent>,
}

impl<'a> Scene<'a> {
    async fn new(candidate: &'a Candidate) -> Self {
        let world = World::new(25);
        let state = State::open(Path::new(&world.path("state.db"))).expect("a state");
        let mut scene = Self { world, state: Arc::new(Mutex::new(state)), candidate, expected: Vec::new() };
        scene.crawl().await;
        scene.world.remove(3..5);
        scene.world.edit(&table(7), |table| {
            let protected = table["DeletionProtectionEnabled"] == true;
            table["DeletionProtectionEnabled"] = (!protected).into();
        });
        scene.crawl().await;
        scene.expected = scene.owed(NAME);
        assert_eq!(scene.expected.len(), 25 + 2 + 3 + 2, "{:?}", kinds(&scene.expected));
        scene
    }

    /// A crawl that shares the state, as the daemon's do.
    async fn crawl(&self) {
        let sinks = [NAME, OTHER].map(|name| format!("[sink.{name}.file]\npath = \"{}\"\n", self.world.path(name)));
        let plan = plan_of(&self.world.simulator, self.world.config(&sinks.concat()));
        let settings = plan.settings.state.clone().expect("a state");
        let start = PreparedRun::with_state(&plan, &settings, &self.state, false).expect("a start");
        let (stop, progress) = (CancellationToken::new(), Arc::new(Progress::default()));
        crawl_to_output(&plan, start, &stop, &progress).await.1.expect("written");
    }

    fn owed(&self, sink: &str) -> Vec<OutboxEvent> {
        self.state.lock().expect("no panic").undelivered(sink, 10_000).expect("read")
    }

    fn settings(&self) -> SinkSettings {
        let directory = self.world.directory.path();
        let dead_letters = Some(directory.join("refused.jsonl"));
        SinkSettings {
            name: NAME.to_owned(),
            kind: (self.candidate.kind)(directory),
            batch: 7,
            backoff: Backoff::default(),
            dead_letters,
            start: Start::Now,
        }
    }

    fn sink(&self) -> Box<dyn Sink> {
        let Destination::Events(sink) = self.settings().kind.destination() else { panic!("a sink of events") };
        if self.candidate.in_real_time { Box::new(InRealTime(Some(sink))) } else { sink }
    }

    async fn drive(&self, sink: &mut dyn Sink, until: Until, stop: &CancellationToken) {
        let source = undelivered(&self.state, NAME, &EventFilter::default());
        let settings = self.settings();
        work(&mut Batches { sink, source: &source, settings: &settings }, &settings, until, stop).await;
    }

    async fn deliver_all(&self, sink: &mut dyn Sink) {
        self.drive(sink, Until::Empty, &CancellationToken::new()).await;
    }

    /// What arrived, each event where it arrived first.
    fn arrived(&self) -> Vec<(String, Value)> {
        let mut seen = HashSet::new();
        let received = (self.candidate.received)(self.world.directory.path());
        received.into_iter().filter(|(id, _)| seen.insert(id.clone())).collect()
    }

    /// Checks that everything expected has arrived, in order, and that nothing is owed.
    fn assert_whole(&self, what: &str) {
        let expected: Vec<_> = self.expected.iter().map(id_and_record).collect();
        let arrived = self.arrived();
        let ids = |of: &[(String, Value)]| of.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&arrived), ids(&expected), "{what}");
        assert_eq!(arrived, expected, "{what}");
        assert_eq!(self.owed(NAME), [], "{what}");
    }
}

fn id_and_record(event: &OutboxEvent) -> (String, Value) {
    (event.event_id.clone(), serde_json::to_value(record(event)).expect("JSON"))
}

fn record(event: &OutboxEvent) -> &Record {
    event.record.as_ref().expect("it can be read")
}

fn kinds(events: &[OutboxEvent]) -> Vec<&'static str> {
    events.iter().map(|event| record(event).kind().as_str()).collect()
}

/// Checks a kind of sink against the whole contract. The clock has to be paused.
///
/// # Panics
/// If the sink does not keep the contract.
pub async fn holds(candidate: &Candidate) {
    in_order_and_whole(candidate).await;
    failures_in_mid_batch(candidate).await;
    refusals_of_single_events(candidate).await;
    down_for_days(candidate).await;
    slow_beside_a_run(candidate).await;
    shutdown_and_restart(candidate).await;
    pruning_waits_for_the_slowest(candidate).await;
}

async fn in_order_and_whole(candidate: &Candidate) {
    let scene = Scene::new(candidate).await;
    let mut sink = scene.sink();
    sink.health().await.expect("the destination is there");
    scene.deliver_all(&mut *sink).await;
    scene.assert_whole("in order");
    // Each run has its changes, then the ends, and nothing after its last record.
    let kinds = kinds(&scene.expected);
    let ends = |kind: &&str| ["scope_completed", "target_failed", "run_completed"].contains(kind);
    assert!(kinds[..25].iter().all(|kind| *kind == "table_added"), "{kinds:?}");
    assert_eq!(kinds[25..27], ["scope_completed", "run_completed"]);
    assert!(!kinds[27..30].iter().any(ends), "{kinds:?}");
    assert_eq!(kinds[30..], ["scope_completed", "run_completed"]);
    let run_of = |event: &OutboxEvent| record(event).run_id;
    assert!(scene.expected[..27].iter().all(|event| run_of(event) == run_of(&scene.expected[0])));
    assert!(scene.expected[27..].iter().all(|event| run_of(event) == run_of(&scene.expected[31])));
    // Each change has its table as it was, even one that removes it.
    assert!(scene.expected.iter().all(|event| event.table.is_some() != ends(&record(event).kind().as_str())));
}

/// The events of a source, batch by batch.
struct Batches<'a, S> {
    sink: &'a mut dyn Sink,
    source: &'a S,
    settings: &'a SinkSettings,
}

impl<S: EventSource> Work for Batches<'_, S> {
    async fn step(&mut self) -> Result<usize, DeliveryError> {
        deliver_next(self.sink, self.source, self.settings).await
    }

    async fn failed(&self, error: &DeliveryError) -> Result<(), JournalError> {
        self.source.failed(error).await
    }
}

/// A sink with a fault around another sink.
struct Faulty<'a> {
    inner: Box<dyn Sink>,
    fault: Fault<'a>,
}

enum Fault<'a> {
    /// This many times, the sink takes only the first half of a batch, and then fails.
    Half(u32),
    /// The destination refuses these permanently.
    Refuses(HashSet<String>),
    /// Nothing is accepted until a time. Counts the attempts.
    Down(Instant, &'a Mutex<u32>),
    /// Each batch is accepted only after a while.
    Slow(Duration),
    /// Each batch is accepted at once, and acknowledged after a while.
    Late(Duration),
}

impl Sink for Faulty<'_> {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        async move {
            match &mut self.fault {
                Fault::Half(left) if *left > 0 => {
                    *left -= 1;
                    self.inner.deliver(&batch[..batch.len() / 2]).await?;
                    Err(DeliveryError::new("interrupted"))
                }
                Fault::Refuses(ids) => {
                    let (refused, taken): (Vec<Event>, Vec<Event>) =
                        batch.iter().cloned().partition(|event| ids.contains(&event.id));
                    self.inner.deliver(&taken).await?;
                    let refusal = |event: Event| Refusal { id: event.id, reason: "too old".to_owned() };
                    Ok(Delivered { refused: refused.into_iter().map(refusal).collect() })
                }
                Fault::Down(until, tries) if Instant::now() < *until => {
                    *tries.lock().expect("no panic") += 1;
                    let retry_after = Some(Duration::from_secs(30));
                    Err(DeliveryError { message: "503".to_owned(), retry_after })
                }
                Fault::Slow(time) => {
                    sleep(*time).await;
                    self.inner.deliver(batch).await
                }
                Fault::Late(time) => {
                    let delivered = self.inner.deliver(batch).await;
                    sleep(*time).await;
                    delivered
                }
                Fault::Half(_) | Fault::Down(..) => self.inner.deliver(batch).await,
            }
        }
        .boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        self.inner.health()
    }
}

/// A sink that runs on a runtime of its own, whose clock is not paused. While it runs there, the
/// paused clock stands still.
struct InRealTime(Option<Box<dyn Sink>>);

impl InRealTime {
    async fn run<T: Send + 'static>(&mut self, work: impl FnOnce(&mut dyn Sink, &Runtime) -> T + Send + 'static) -> T {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        let mut sink = self.0.take().expect("the work before has ended");
        let working = tokio::task::spawn_blocking(move || {
            let runtime = RUNTIME
                .get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));
            let result = work(&mut *sink, runtime);
            (sink, result)
        });
        let (sink, result) = working.await.expect("no panic");
        self.0 = Some(sink);
        result
    }
}

impl Sink for InRealTime {
    fn deliver<'a>(&'a mut self, batch: &'a [Event]) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        let batch = batch.to_vec();
        self.run(move |sink, runtime| runtime.block_on(sink.deliver(&batch))).boxed()
    }

    fn health(&mut self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        self.run(|sink, runtime| runtime.block_on(sink.health())).boxed()
    }
}

async fn failures_in_mid_batch(candidate: &Candidate) {
    let scene = Scene::new(candidate).await;
    let mut sink = Faulty { inner: scene.sink(), fault: Fault::Half(5) };
    scene.deliver_all(&mut sink).await;
    scene.assert_whole("failures in mid-batch");
}

async fn refusals_of_single_events(candidate: &Candidate) {
    let mut scene = Scene::new(candidate).await;
    let refused: HashSet<_> = scene.expected.iter().step_by(5).map(|event| event.event_id.clone()).collect();
    let mut sink = Faulty { inner: scene.sink(), fault: Fault::Refuses(refused.clone()) };
    scene.deliver_all(&mut sink).await;
    let letters = std::fs::read_to_string(scene.world.directory.path().join("refused.jsonl")).expect("dead letters");
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: HashSet<_> = letters.iter().map(|letter| letter["event_id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(ids, refused);
    assert!(letters.iter().all(|letter| letter["reason"] == "too old" && letter["sink"] == NAME));
    scene.expected.retain(|event| !refused.contains(&event.event_id));
    scene.assert_whole("refusals");
}

async fn down_for_days(candidate: &Candidate) {
    let scene = Scene::new(candidate).await;
    let days = Duration::from_secs(3 * 24 * 3600);
    let (began, tries) = (Instant::now(), Mutex::new(0));
    let mut sink = Faulty { inner: scene.sink(), fault: Fault::Down(began + days, &tries) };
    scene.deliver_all(&mut sink).await;
    scene.assert_whole("down for days");
    let (took, tries) = (began.elapsed(), *tries.lock().expect("no panic"));
    assert!(took >= days && took < days + Duration::from_secs(600), "{took:?}");
    assert!((500..2000).contains(&tries), "{tries} attempts in three days");
}

async fn slow_beside_a_run(candidate: &Candidate) {
    let mut scene = Scene::new(candidate).await;
    let stop = CancellationToken::new();
    let mut sink = Faulty { inner: scene.sink(), fault: Fault::Slow(Duration::from_secs(300)) };
    let crawling = async {
        let began = Instant::now();
        scene.world.remove(10..12);
        scene.crawl().await;
        began.elapsed()
    };
    let driving = scene.drive(&mut sink, Until::Empty, &stop);
    let (took, ()) = tokio::join!(crawling, driving);
    assert!(took < Duration::from_secs(60), "the sink held up the run for {took:?}");
    let more = scene.owed(OTHER);
    assert_eq!(more.len(), scene.expected.len() + 4);
    scene.expected = more;
    scene.assert_whole("slow");
}

async fn shutdown_and_restart(candidate: &Candidate) {
    let scene = Scene::new(candidate).await;
    // Stopped between two batches, and killed in a batch.
    for round in 0..8 {
        let stop = CancellationToken::new();
        // A kill hits a batch before the destination has it, or after.
        let time = Duration::from_secs(10);
        let fault = if round % 4 == 1 { Fault::Late(time) } else { Fault::Slow(time) };
        let mut sink = Faulty { inner: scene.sink(), fault };
        let driving = scene.drive(&mut sink, Until::Stopped, &stop);
        if round % 2 == 0 {
            let stopping = async {
                sleep(Duration::from_secs(15)).await;
                stop.cancel();
            };
            let ended = timeout(Duration::from_secs(25), async { tokio::join!(driving, stopping) }).await;
            assert!(ended.is_ok(), "it ends after the batch under way");
        } else {
            assert!(timeout(Duration::from_secs(5), driving).await.is_err(), "nothing stops it");
        }
    }
    scene.deliver_all(&mut *scene.sink()).await;
    scene.assert_whole("shutdown and restart");
}

async fn pruning_waits_for_the_slowest(candidate: &Candidate) {
    let scene = Scene::new(candidate).await;
    scene.deliver_all(&mut *scene.sink()).await;
    assert_eq!(scene.owed(OTHER), scene.expected, "the other sink still has its events");
    let last = scene.expected.last().expect("events").cursor;
    scene.state.lock().expect("no panic").delivered(OTHER, last, Timestamp::now(), 0).expect("written");
    assert_eq!(scene.owed(OTHER), []);
    let left = rows(&scene.world.path("state.db"), "outbox");
    assert_eq!(left, 0, "events that all sinks have accepted are deleted");
}

/// How many rows a table of a state has.
pub fn rows(state: &str, table: &str) -> i64 {
    let connection = rusqlite::Connection::open(state).expect("a state");
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a number")
}

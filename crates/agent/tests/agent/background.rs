//! Calls of the queue, over a real store and in real time: the clock cannot be paused beside a database.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_agent::{Agent, Background, Invocation, Metrics, Request, Settings, Timing, Via, submission};
use hearth_datastore::{
    Datastore, DefinitionStore, Definitions, DefinitionsSettings, Node, Recorder, RecorderSettings, Standing,
    Submission, open,
};
use hearth_drivers::scripted::programs::{Request as Asked, cat, exit, hang, http_echo, json_echo, response, serve};
use hearth_drivers::scripted::{Ledger, Program, Script, ScriptedDriver, Step};
use hearth_drivers::{Error as DriverError, Exit};
use hearth_models::{Call, CallFilter, CallId, InstanceId, PerPage, Priority, Reason, RoutePatch, ServerId, Status};
use hearth_queue::{Broker, BrokerError, MemoryBroker, Queue, QueueSettings, RetryPolicy};
use http::{HeaderMap, Method, Version};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

fn route(image: &str, format: &str, memory: u32) -> RoutePatch {
    let patch = format!(r#"{{"image":"{image}","type":"async","format":"{format}","memory":{memory}}}"#);
    serde_json::from_str(&patch).unwrap()
}

/// A server without its front.
struct Stand {
    store: Arc<dyn Datastore>,
    definitions: Arc<dyn DefinitionStore>,
    recorder: Recorder,
    queue: Queue,
    agent: Agent,
    driver: ScriptedDriver,
    stop: CancellationToken,
    background: JoinSet<()>,
    services: JoinSet<()>,
    _directory: TempDir,
}

impl Stand {
    async fn new(script: Script, change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_broker(script, change, None).await
    }

    async fn with_broker(script: Script, change: impl FnOnce(&mut Settings), broker: Option<Arc<dyn Broker>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&format!("sqlite3://{}/hearth.db", directory.path().display())).await.unwrap();
        // What other nodes change shows when it must.
        let settings = DefinitionsSettings { fresh: PATIENCE * 10, ..DefinitionsSettings::default() };
        let definitions: Arc<dyn DefinitionStore> = Arc::new(Definitions::new(Arc::clone(&store) as _, settings));
        let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
        let (mut services, stop) = (JoinSet::new(), CancellationToken::new());
        let (recorder, recording) = Recorder::new(Arc::clone(&store) as _, RecorderSettings::new(node));
        services.spawn(async {
            recording.run(CancellationToken::new()).await;
        });
        let retry = RetryPolicy {
            first: Duration::from_millis(10),
            longest: Duration::from_millis(20),
            attempts: NonZeroU32::new(3).unwrap(),
        };
        let settings = QueueSettings { retry, renew: Duration::from_millis(50), ..QueueSettings::new(node) };
        let (queue, service) = Queue::new(Arc::clone(&store).queue(), broker, settings);
        services.spawn(service.run(CancellationToken::new()));
        let driver = ScriptedDriver::new().with("image", script);
        let mut settings = Settings { precise_drain: false, cpus: 2, ..Settings::default() };
        change(&mut settings);
        let metrics = Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap());
        let agent = Agent::start(Arc::new(driver.clone()), recorder.clone(), metrics, settings);
        let mut background = JoinSet::new();
        let works = Background::new(agent.clone(), queue.clone(), Arc::clone(&definitions), Arc::clone(&store) as _);
        background.spawn(works.run(stop.clone()));
        Self { store, definitions, recorder, queue, agent, driver, stop, background, services, _directory: directory }
    }

    async fn of(program: Program) -> Self {
        Self::new(Script::new(program), |_| {}).await
    }

    async fn route(&self, format: &str) {
        self.definitions.upsert_route("app", "/f", route("image", format, 128)).await.unwrap();
    }

    async fn submit(&self, body: impl Into<Bytes>) -> CallId {
        self.submit_to("/f", body).await
    }

    async fn submit_to(&self, path: &str, body: impl Into<Bytes>) -> CallId {
        let submission = self.submission(path, body).await;
        let id = submission.call.id;
        self.queue.accept(submission).await.unwrap();
        id
    }

    async fn submission(&self, path: &str, body: impl Into<Bytes>) -> Submission {
        let resolved = self.store.resolve("app", path).await.unwrap();
        let invocation = Invocation {
            id: CallId::generate(),
            app: Arc::clone(&resolved.app),
            function: Arc::clone(&resolved.function),
            trigger: resolved.trigger.clone(),
            fn_path: Arc::clone(&resolved.fn_path),
            timing: Timing::FromAccept,
            arrived: Instant::now(),
            request: Request {
                via: Via::Http,
                method: Method::POST,
                target: format!("/r/app{path}"),
                url: format!("http://localhost/r/app{path}"),
                host: "localhost".to_owned(),
                version: Version::HTTP_11,
                headers: HeaderMap::new(),
                params: vec![("app", "app".to_owned())],
            },
        };
        submission(&invocation, body.into(), Priority::default(), Duration::ZERO).unwrap()
    }

    async fn call(&self, id: CallId) -> Call {
        let app = self.definitions.app("app").await.unwrap();
        self.recorder.call(app.id, id).await.unwrap()
    }

    /// The call, once it is in this state.
    async fn until(&self, id: CallId, status: Status) -> Call {
        let looking = async {
            loop {
                let call = self.call(id).await;
                if call.status() == status {
                    return call;
                }
                assert!(!call.status().is_final(), "it is {call:?}");
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("the call never became {status}"))
    }

    /// The call as the store has it, once it has left the queue.
    async fn stored(&self, id: CallId) -> Call {
        let app = self.definitions.app("app").await.unwrap();
        let looking = async {
            loop {
                let call = self.store.call(app.id, id).await.unwrap();
                if call.status().is_final() {
                    return call;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("the store never had its end")
    }

    /// Waits until so many calls are ready and so many leased.
    async fn until_depth(&self, expected: (u64, u64)) {
        let looking = async {
            loop {
                let depth = self.store.clone().queue().depth().await.unwrap();
                if (depth.ready, depth.leased) == expected {
                    return;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never {expected:?} ready and leased"));
    }

    async fn log(&self, id: CallId) -> Bytes {
        let app = self.definitions.app("app").await.unwrap();
        self.recorder.log(app.id, id).await.unwrap()
    }

    /// Waits until so many calls are executed.
    async fn until_busy(&self, containers: usize) {
        let looking = async {
            while self.agent.occupancy().busy != containers {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never {containers} busy"));
    }

    /// Stops everything, and nothing may be left.
    async fn ends_clean(self) {
        self.ends_within(PATIENCE).await;
    }

    /// The same, where what still starts or runs has to stop after a while.
    async fn ends_within(mut self, drain: Duration) {
        self.stop.cancel();
        let ending = async {
            while let Some(ended) = self.background.join_next().await {
                ended.unwrap();
            }
            self.agent.shutdown(drain).await;
            self.driver.until(Ledger::is_clean).await;
        };
        timeout(PATIENCE, ending).await.expect("something does not end");
        assert_eq!(self.recorder.live(), 0, "calls are left in memory");
        self.services.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_call_has_a_record_and_its_answer_in_its_log() {
    let json = "{\"body\":\"hi \u{fffd}\",\"content_type\":\"\",\"protocol\":{\"headers\":{},\"status_code\":200}}\n";
    for (format, program, log) in [
        ("default", cat(), &b"hi \xff"[..]),
        ("http", http_echo(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi \xff"),
        ("json", json_echo(), json.as_bytes()),
    ] {
        let stand = Stand::of(program).await;
        stand.route(format).await;
        let id = stand.submit(&b"hi \xff"[..]).await;
        let call = stand.until(id, Status::Success).await;
        assert_eq!((call.attempts, call.reason()), (1, None), "{format}");
        assert!(call.started_at().is_some() && call.completed_at().is_some());
        assert_eq!(stand.log(id).await, log, "{format}: {:?}", stand.log(id).await);
        stand.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_calls_share_few_containers_and_all_end() {
    let stand = Stand::of(http_echo()).await;
    stand.route("http").await;
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(stand.submit(format!("{n}")).await);
    }
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(stand.until(id, Status::Success).await.attempts, 1);
        assert!(stand.log(id).await.ends_with(format!("\r\n\r\n{n}").as_bytes()));
    }
    assert!(stand.driver.ledger().created <= 6, "{}", stand.driver.ledger().created);
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_the_function_is_the_result() {
    let stand = Stand::of(exit(3)).await;
    stand.route("default").await;
    let id = stand.submit("").await;
    let call = stand.until(id, Status::Error).await;
    assert_eq!((call.attempts, call.reason(), call.error()), (1, Some(Reason::BadExit), Some("container exit code 3")));
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_before_the_execution_is_the_result_too() {
    let refused = || DriverError::Create { message: "no".to_owned() };
    let image = || DriverError::ImageRefused { image: "image".to_owned(), status: 404, message: "no".to_owned() };
    for (format, script, reason) in [
        ("default", Script::new(cat()).pull(Step::fails(image())), Reason::Image),
        ("http", Script::new(cat()).pull(Step::fails(image())), Reason::Image),
        ("default", Script::new(cat()).create(Step::fails(refused())), Reason::Image),
        ("http", Script::new(cat()).create(Step::fails(refused())), Reason::Image),
        ("http", Script::new(cat()).start(Step::fails(DriverError::Unhealthy)), Reason::BadExit),
        // It is over before it has its first request.
        ("json", Script::new(exit(3)), Reason::BadExit),
        ("json", Script::new(exit(0)), Reason::BadExit),
    ] {
        let stand = Stand::new(script, |_| {}).await;
        stand.route(format).await;
        for _ in 0..3 {
            let id = stand.submit("").await;
            let call = stand.stored(id).await;
            assert_eq!((call.status(), call.attempts, call.reason()), (Status::Error, 1, Some(reason)), "{format}");
        }
        assert_eq!(stand.recorder.counts().superseded, 0);
        stand.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_the_engines_own_or_of_a_syslog_server_is_no_result() {
    let full = || DriverError::Engine { operation: "create", message: "disk full".to_owned(), source: None };
    let no_syslog = || DriverError::Log { message: "connection refused".to_owned() };
    for (format, program, error) in [
        ("default", cat(), full()),
        ("http", http_echo(), full()),
        ("default", cat(), no_syslog()),
        ("http", http_echo(), no_syslog()),
    ] {
        let stand = Stand::new(Script::new(program).create(Step::fails(error).times(1)), |_| {}).await;
        stand.route(format).await;
        let call = stand.stored(stand.submit("x").await).await;
        assert_eq!((call.status(), call.attempts), (Status::Success, 2), "{format}: {call:?}");
        stand.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_the_platform_is_tried_again_and_then_given_up() {
    let away = || DriverError::EngineAway { source: None };
    let script = Script::new(cat()).create(Step::fails(away()).times(4));
    let stand = Stand::new(script, |_| {}).await;
    stand.route("default").await;
    let id = stand.submit("x").await;
    let call = stand.until(id, Status::Error).await;
    assert_eq!((call.attempts, call.reason()), (3, Some(Reason::Platform)));
    assert_eq!(call.error(), Some("given up after 3 attempts: container engine unavailable"));
    let dead = stand.queue.dead(call.app_id, None, PerPage::default()).await.unwrap();
    assert_eq!(dead.iter().map(|call| call.id).collect::<Vec<_>>(), [id]);
    let again = stand.queue.redrive(call.app_id, id).await.unwrap();
    assert_eq!(stand.until(again.id, Status::Success).await.attempts, 2);
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_uses_up_its_attempts_while_the_engine_is_away() {
    let stand = Stand::of(cat()).await;
    stand.route("default").await;
    stand.driver.set_away(true);
    let first = stand.submit("x").await;
    let tried = async {
        while stand.call(first).await.attempts == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, tried).await.expect("it is not tried");
    // More than the three attempts that it has would take.
    sleep(Duration::from_millis(300)).await;
    let second = stand.submit("x").await;
    sleep(Duration::from_millis(300)).await;
    stand.driver.set_away(false);
    assert_eq!(stand.until(first, Status::Success).await.attempts, 2);
    assert_eq!(stand.until(second, Status::Success).await.attempts, 1);
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_vanishes_or_is_killed_takes_no_call_along() {
    for exit in [Exit::Vanished, Exit::Code(137)] {
        let stand = Stand::of(hang()).await;
        stand.route("default").await;
        let id = stand.submit("x").await;
        stand.until_busy(1).await;
        stand.driver.script("image", Script::new(cat()));
        stand.driver.kill_all(exit);
        assert_eq!(stand.until(id, Status::Success).await.attempts, 2, "{exit:?}");
        stand.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_queued_is_found_while_a_function_has_no_room() {
    let stand = Stand::new(Script::new(hang()), |settings| settings.max_containers_per_function = 1).await;
    stand.route("http").await;
    stand.driver.script("quick", Script::new(http_echo()));
    stand.definitions.upsert_route("app", "/quick", route("quick", "http", 128)).await.unwrap();
    stand.submit("x").await;
    stand.until_busy(1).await;
    // It waits for room, for as long as this test lasts.
    stand.submit("x").await;
    let submission = stand.submission("/quick", "y").await;
    let other = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    // Nobody tells: the databases of several servers need not.
    stand.store.clone().queue().accept(other, std::slice::from_ref(&submission)).await.unwrap();
    stand.until(submission.call.id, Status::Success).await;
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_stops_and_so_does_its_container() {
    let stand = Stand::of(hang()).await;
    stand.route("http").await;
    let id = stand.submit("x").await;
    stand.until_busy(1).await;
    let call = stand.until(id, Status::Running).await;
    stand.queue.cancel(call.app_id, id).await.unwrap();
    timeout(PATIENCE, stand.driver.until(Ledger::is_clean)).await.expect("its container goes on");
    let call = stand.until(id, Status::Cancelled).await;
    assert_eq!((call.reason(), call.attempts), (Some(Reason::ApiRequest), 1));
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_back_what_has_not_begun() {
    let stand = Stand::new(Script::new(hang()), |_| {}).await;
    stand.route("http").await;
    let runs = stand.submit("x").await;
    stand.until_busy(1).await;
    stand.driver.script("image", Script::new(hang()).start(Step::takes(PATIENCE * 10)));
    let waits = stand.submit("x").await;
    stand.until_depth((0, 2)).await;
    stand.stop.cancel();
    stand.until_depth((1, 1)).await;
    let call = stand.call(waits).await;
    assert_eq!((call.status(), call.attempts), (Status::Queued, 0));
    stand.driver.kill_all(Exit::Code(1));
    stand.until(runs, Status::Error).await;
    stand.ends_within(Duration::ZERO).await;
}

/// A queue that says what is ready only as often as it is told to.
#[derive(Debug)]
struct HeldUp {
    order: MemoryBroker,
    asked: Notify,
    answers: Semaphore,
}

impl Default for HeldUp {
    fn default() -> Self {
        Self { order: MemoryBroker::default(), asked: Notify::new(), answers: Semaphore::new(0) }
    }
}

#[async_trait]
impl Broker for HeldUp {
    async fn push(&self, calls: &[Standing]) -> Result<(), BrokerError> {
        self.order.push(calls).await
    }

    async fn take(&self, at_most: usize) -> Result<Vec<Standing>, BrokerError> {
        self.asked.notify_one();
        self.answers.acquire().await.unwrap().forget();
        self.order.take(at_most).await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.order.ping().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_back_what_was_being_reserved() {
    let broker = Arc::new(HeldUp::default());
    let mut stand = Stand::with_broker(Script::new(cat()), |_| {}, Some(broker.clone())).await;
    stand.route("http").await;
    broker.asked.notified().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(stand.submit("x").await);
    }
    stand.stop.cancel();
    broker.answers.add_permits(1);
    stand.background.join_next().await.unwrap().unwrap();
    stand.until_depth((6, 0)).await;
    for id in ids {
        let call = stand.call(id).await;
        assert_eq!((call.status(), call.attempts), (Status::Queued, 0));
    }
    assert_eq!(stand.driver.ledger().created, 0);
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_route_that_is_gone_are_cancelled() {
    let broker = Arc::new(HeldUp::default());
    let stand = Stand::with_broker(Script::new(hang()), |_| {}, Some(broker.clone())).await;
    stand.route("http").await;
    let id = stand.submit("x").await;
    stand.definitions.remove_route("app", "/f").await.unwrap();
    // Not before: a call that has begun goes on.
    broker.answers.add_permits(Semaphore::MAX_PERMITS);
    let call = stand.until(id, Status::Cancelled).await;
    assert_eq!((call.reason(), call.error()), (Some(Reason::ApiRequest), Some("its route was deleted")));
    let app = call.app_id;
    assert_eq!(stand.recorder.calls(app, &CallFilter::default()).await.unwrap(), [call]);
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_call_is_not_ended_because_of_what_is_remembered() {
    let stand = Stand::of(http_echo()).await;
    stand.definitions.upsert_route("app", "/other", route("image", "http", 128)).await.unwrap();
    // This server knows that there is no such route; another one makes it and accepts a call.
    stand.definitions.resolve("app", "/f").await.unwrap_err();
    stand.store.upsert_route("app", "/f", route("image", "http", 128)).await.unwrap();
    let call = stand.stored(stand.submit("x").await).await;
    assert_eq!((call.status(), call.attempts), (Status::Success, 1), "{call:?}");
    // The same for a route that the other one made anew.
    stand.definitions.resolve("app", "/other").await.unwrap();
    stand.store.remove_route("app", "/other").await.unwrap();
    stand.store.upsert_route("app", "/other", route("image", "http", 128)).await.unwrap();
    let call = stand.stored(stand.submit_to("/other", "x").await).await;
    assert_eq!((call.status(), call.attempts), (Status::Success, 1), "{call:?}");
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_function_holds_up_no_other_and_uses_no_attempt() {
    let stand = Stand::new(Script::new(hang()), |settings| settings.memory = 400 << 20).await;
    stand.driver.script("small", Script::new(http_echo()));
    stand.definitions.upsert_route("app", "/f", route("image", "http", 256)).await.unwrap();
    stand.definitions.upsert_route("app", "/small", route("small", "http", 32)).await.unwrap();
    let mut large = Vec::new();
    for _ in 0..20 {
        large.push(stand.submit("x").await);
    }
    stand.until_busy(1).await;
    for _ in 0..20 {
        let id = stand.submit_to("/small", "x").await;
        assert_eq!(stand.stored(id).await.attempts, 1);
    }
    stand.until_depth((19, 1)).await;
    for id in &large[1..] {
        let call = stand.call(*id).await;
        assert_eq!((call.status(), call.attempts), (Status::Queued, 0));
    }
    stand.stop.cancel();
    stand.driver.kill_all(Exit::Code(1));
    stand.ends_clean().await;
}

/// A queue that counts what it hears.
#[derive(Debug, Default)]
struct Counting {
    order: MemoryBroker,
    pushed: AtomicUsize,
}

#[async_trait]
impl Broker for Counting {
    async fn push(&self, calls: &[Standing]) -> Result<(), BrokerError> {
        self.pushed.fetch_add(calls.len(), Ordering::SeqCst);
        self.order.push(calls).await
    }

    async fn take(&self, at_most: usize) -> Result<Vec<Standing>, BrokerError> {
        self.order.take(at_most).await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.order.ping().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_finds_no_slot_is_given_back_without_an_attempt() {
    let broker = Arc::new(Counting::default());
    let nobody_may_wait = |settings: &mut Settings| settings.max_waiting_per_function = 0;
    let mut stand = Stand::with_broker(Script::new(http_echo()), nobody_may_wait, Some(broker.clone())).await;
    stand.route("http").await;
    let id = stand.submit("x").await;
    let given_back = async {
        while broker.pushed.load(Ordering::SeqCst) < 3 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, given_back).await.expect("it is not given back");
    stand.stop.cancel();
    stand.background.join_next().await.unwrap().unwrap();
    stand.until_depth((1, 0)).await;
    assert_eq!((stand.call(id).await.status(), stand.call(id).await.attempts), (Status::Queued, 0));
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_which_the_server_is_too_small_is_given_up_in_the_end() {
    let stand = Stand::new(Script::new(http_echo()), |settings| settings.memory = 64 << 20).await;
    stand.route("http").await;
    let call = stand.stored(stand.submit("x").await).await;
    assert_eq!((call.status(), call.attempts, call.reason()), (Status::Error, 3, Some(Reason::NoCapacity)));
    stand.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_function_wrote_before_its_answer_stands_before_it() {
    let program = Program::new(|mut io| async move {
        io.listen();
        while let Some(mut connection) = io.accept().await {
            let io = &io;
            serve(&mut connection, &|_request: Asked| async move {
                io.stderr("working\n").await;
                sleep(Duration::from_millis(2)).await;
                response(200, &[b'x'; 100])
            })
            .await;
        }
        Exit::Code(0)
    });
    let stand = Stand::new(Script::new(program), |settings| settings.max_log = 60).await;
    stand.route("http-stream").await;
    for _ in 0..3 {
        let id = stand.submit("hi").await;
        stand.until(id, Status::Success).await;
        let log = String::from_utf8(stand.log(id).await.to_vec()).unwrap();
        assert!(log.starts_with("working\nHTTP/1.1 200 OK"), "{log}");
    }
    stand.ends_clean().await;
}

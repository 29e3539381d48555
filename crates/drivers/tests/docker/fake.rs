//! A driver on an engine that a test plays, for what a real one does only when it breaks.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use hearth_drivers::docker::{DockerConfig, DockerDriver, Observer, Operation, Outcome, StatsFrom};
use hearth_drivers::{ContainerSpec, Contract, Driver, Error, Exit, Image};
use hearth_models::{InstanceId, ServerId};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::http::{Listener, Reply, Request, Server, serve};
use crate::support::within;

/// A played engine: what it was asked, and how it answers.
struct Fake {
    dir: TempDir,
    log: watch::Sender<Vec<String>>,
}

/// Counts what the driver reports.
#[derive(Debug, Default)]
struct Counts(Mutex<Vec<(Operation, Outcome)>>);

impl Observer for Counts {
    fn engine_call(&self, operation: Operation, outcome: Outcome, _took: Duration) {
        self.0.lock().unwrap().push((operation, outcome));
    }
}

impl Fake {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), log: watch::Sender::default() }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// Runs the engine until the server is dropped. `answer` is given method and path (the query for `/events` and
    /// `/_ping` is of no interest), and what it leaves alone is answered as by an engine in order.
    fn run(&self, answer: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Server {
        std::fs::remove_file(self.socket()).ok();
        let listener = UnixListener::bind(self.socket()).unwrap();
        let (answer, log) = (Arc::new(answer), self.log.clone());
        serve(Listener::Unix(listener), move |request: Request| {
            let asked = format!("{} {}", request.method, request.target);
            log.send_modify(|log| log.push(asked.clone()));
            let reply = answer(&asked).unwrap_or_else(|| in_order(&asked));
            async move { reply }
        })
    }

    async fn connect(&self) -> (DockerDriver, Arc<Counts>) {
        let config = DockerConfig {
            host: Some(format!("unix://{}", self.socket().display())),
            stats_from: StatsFrom::Engine,
            ..DockerConfig::new(ServerId::generate(), InstanceId::generate())
        };
        let counts = Arc::new(Counts::default());
        let driver = DockerDriver::connect(config, Arc::clone(&counts) as Arc<dyn Observer>).await.unwrap();
        // The driver caches from the moment it knows that somebody listens.
        self.until(|log| log.iter().any(|asked| asked.starts_with("GET /_ping"))).await;
        (driver, counts)
    }

    fn count(&self, what: &str) -> usize {
        self.log.borrow().iter().filter(|asked| asked.starts_with(what)).count()
    }

    async fn until(&self, condition: impl Fn(&[String]) -> bool) {
        let mut log = self.log.subscribe();
        within(log.wait_for(|log| condition(log))).await.unwrap();
    }
}

fn in_order(asked: &str) -> Reply {
    let (method, path) = asked.split_once(' ').unwrap();
    match (method, path.split('?').next().unwrap()) {
        ("GET", "/version") => Reply::json(200, &json!({ "ApiVersion": "1.41" })),
        ("GET", "/_ping") => Reply::Whole(200, Vec::new(), b"OK".to_vec()),
        ("GET", "/events") => Reply::Open(Vec::new()),
        ("GET", path) if path.starts_with("/images/") => Reply::json(200, &json!({ "Id": "sha256:1" })),
        ("POST", "/containers/create") => Reply::json(201, &json!({ "Id": "abc", "Warnings": [] })),
        ("DELETE", _) => Reply::Whole(204, Vec::new(), Vec::new()),
        _ => Reply::json(404, &json!({ "message": "no such thing" })),
    }
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        contract: Contract::Pipes,
        image: Image { id: "sha256:1".to_owned(), has_healthcheck: false, has_volume: false, command: Arc::default() },
        env: Vec::new(),
        memory_bytes: 64 << 20,
        cpu_millis: None,
        labels: Vec::new(),
        tapped: false,
        syslog: None,
    }
}

/// Asks for `reference` until the answer comes without the engine.
async fn until_cached(fake: &Fake, driver: &DockerDriver, reference: &str) {
    let begin = Instant::now();
    loop {
        let before = fake.count("GET /images/");
        driver.image(reference).await.unwrap();
        if fake.count("GET /images/") == before {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "it is never cached");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn known_images_cost_no_request_until_the_engine_is_heard_no_more() {
    let fake = Fake::new();
    let engine = fake.run(|_| None);
    let (driver, counts) = fake.connect().await;
    until_cached(&fake, &driver, "some/image").await;
    let before = fake.log.borrow().len();
    for _ in 0..100 {
        driver.image("some/image").await.unwrap();
    }
    assert_eq!(fake.log.borrow().len(), before);
    assert!(counts.0.lock().unwrap().contains(&(Operation::InspectImage, Outcome::Done)));

    // The connection breaks: nothing is known any more, and is again once somebody listens.
    let inspected = fake.count("GET /images/");
    drop(engine);
    let engine = fake.run(|_| None);
    fake.until(|log| log.iter().filter(|asked| asked.starts_with("GET /events")).count() > 1).await;
    until_cached(&fake, &driver, "some/image").await;
    assert!(fake.count("GET /images/") > inspected);
    drop(engine);
}

#[tokio::test]
async fn many_who_ask_at_once_cost_one_request() {
    let fake = Fake::new();
    let _engine = fake.run(|_| None);
    let (driver, _) = fake.connect().await;
    let before = fake.count("GET /images/");
    let found = join_all((0..50).map(|_| driver.image("some/image"))).await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().id == "sha256:1"));
    // One, and another look for each time that the start of listening dropped what was seen.
    assert!(fake.count("GET /images/") <= before + 3);
}

#[tokio::test]
async fn an_engine_that_goes_silent_is_noticed_within_two_seconds() {
    let fake = Fake::new();
    let engine = fake.run(|_| None);
    let (driver, counts) = fake.connect().await;
    drop(engine);
    std::fs::remove_file(fake.socket()).unwrap();
    let _silent = UnixListener::bind(fake.socket()).unwrap();
    for attempt in 0..2 {
        let begin = Instant::now();
        let error = match attempt {
            0 => driver.image("other/image").await.unwrap_err(),
            _ => driver.create(spec()).await.err().unwrap(),
        };
        assert!(error.is_engine_away(), "{error:?}");
        assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
    }
    let counts = counts.0.lock().unwrap();
    assert!(counts.contains(&(Operation::CreateContainer, Outcome::Failed)));
}

#[tokio::test]
async fn an_engine_that_is_slow_but_there_is_waited_for() {
    let fake = Fake::new();
    let _engine = fake.run(|asked| {
        // An open answer is one that has not come yet, for a request that wants all of it.
        asked.starts_with("POST /containers/create").then(|| Reply::Open(Vec::new()))
    });
    let (driver, _) = fake.connect().await;
    let pings = fake.count("GET /_ping");
    assert!(timeout(Duration::from_millis(2500), driver.create(spec())).await.is_err());
    assert!(fake.count("GET /_ping") >= pings + 2);
}

#[tokio::test]
async fn a_container_that_may_have_been_created_is_removed_when_it_turns_up() {
    let fake = Fake::new();
    let (deleted, deletions) = watch::channel(0usize);
    let _engine = fake.run(move |asked| match asked.split_once(' ').unwrap() {
        ("POST", path) if path.starts_with("/containers/create") => Some(Reply::HangUp),
        ("DELETE", _) => {
            deleted.send_modify(|n| *n += 1);
            // Only the third time is it there.
            (*deleted.borrow() < 3).then(|| Reply::json(404, &json!({ "message": "No such container" })))
        }
        _ => None,
    });
    let (driver, _) = fake.connect().await;
    let error = driver.create(spec()).await.err().unwrap();
    assert!(error.is_engine_away(), "{error:?}");
    assert_eq!(driver.shutdown(Duration::from_secs(10)).await, 0);
    assert_eq!(*deletions.borrow(), 3);
    let log = fake.log.borrow();
    let created = log.iter().find(|asked| asked.starts_with("POST /containers/create")).unwrap();
    let name = created.split("name=").nth(1).unwrap().split('&').next().unwrap();
    assert!(name.starts_with("hearth-"));
    assert!(log.iter().filter(|asked| asked.starts_with("DELETE")).all(|asked| asked.contains(name)));
}

#[tokio::test]
async fn removal_goes_on_through_a_restart_of_the_engine() {
    let fake = Fake::new();
    let engine = fake.run(|_| None);
    let (driver, _) = fake.connect().await;
    let container = driver.create(spec()).await.unwrap();
    drop(engine);
    drop(container);
    assert_eq!(driver.shutdown(Duration::from_millis(200)).await, 1);
    let _engine = fake.run(|_| None);
    assert_eq!(driver.shutdown(Duration::from_secs(10)).await, 0);
    let log = fake.log.borrow();
    let removal = log.iter().find(|asked| asked.starts_with("DELETE /containers/abc?")).unwrap();
    assert!(removal.contains("force=true") && removal.contains("v=true"), "{removal}");
}

/// What the engine says to a second removal.
fn under_way() -> serde_json::Value {
    json!({ "message": "removal of container abc is already in progress" })
}

#[tokio::test]
async fn a_removal_that_somebody_else_began_is_watched_to_its_end() {
    let fake = Fake::new();
    let (deleted, deletions) = watch::channel(0usize);
    let _engine = fake.run(move |asked| {
        asked.starts_with("DELETE").then(|| {
            deleted.send_modify(|n| *n += 1);
            // The other removal fails, and so does the next one: the engine itself says when the container is gone.
            match *deleted.borrow() {
                1 | 2 => Reply::json(409, &under_way()),
                3 => Reply::json(500, &json!({ "message": "device or resource busy" })),
                _ => Reply::json(404, &json!({ "message": "No such container" })),
            }
        })
    });
    let (driver, _) = fake.connect().await;
    drop(driver.create(spec()).await.unwrap());
    assert_eq!(driver.shutdown(Duration::from_secs(10)).await, 0);
    assert_eq!(*deletions.borrow(), 4);
    driver.remove("abc").await.unwrap();
}

#[tokio::test]
async fn the_first_who_is_asked_for_a_removal_waits_for_one_that_is_under_way() {
    let fake = Fake::new();
    let (deleted, deletions) = watch::channel(0usize);
    let _engine = fake.run(move |asked| {
        asked.starts_with("DELETE").then(|| {
            deleted.send_modify(|n| *n += 1);
            if *deleted.borrow() < 3 {
                Reply::json(409, &under_way())
            } else {
                Reply::json(404, &json!({ "message": "no" }))
            }
        })
    });
    let (driver, _) = fake.connect().await;
    driver.remove("abc").await.unwrap();
    assert_eq!(*deletions.borrow(), 3);
}

#[tokio::test]
async fn what_runs_is_killed_at_once_however_many_removals_are_under_way() {
    let fake = Fake::new();
    let _engine = fake.run(|asked| match asked.split_once(' ').unwrap() {
        ("DELETE", _) => Some(Reply::Silence),
        ("POST", path) if path.starts_with("/containers/abc/wait") => Some(Reply::Silence),
        ("POST", path) if path.starts_with("/containers/abc/kill") => Some(Reply::Whole(204, Vec::new(), Vec::new())),
        _ => living(asked, None),
    });
    let (driver, _) = fake.connect().await;
    let starts = (0..100).map(async |_| driver.create(spec()).await.unwrap().start().await.unwrap());
    let running = join_all(starts).await;
    let idle = driver.create(spec()).await.unwrap();
    drop(running);
    fake.until(|log| {
        let count = |what: &str| log.iter().filter(|asked| asked.starts_with(what)).count();
        // A removal kills, too.
        count("DELETE") + count("POST /containers/abc/kill") >= 100
    })
    .await;
    assert_eq!((fake.count("DELETE"), fake.count("POST /containers/abc/kill")), (8, 92));
    drop(idle);
    assert!(driver.shutdown(Duration::from_millis(200)).await > 0);
    assert_eq!(fake.count("POST /containers/abc/kill"), 92, "what was never started needs no kill");
}

#[tokio::test]
async fn what_ended_is_removed_without_a_kill() {
    let fake = Fake::new();
    let _engine = fake.run(|asked| match asked.split_once(' ').unwrap() {
        ("DELETE", _) => Some(Reply::Silence),
        _ => living(asked, Some(0)),
    });
    let (driver, _) = fake.connect().await;
    let mut ended = Vec::new();
    for _ in 0..20 {
        let mut running = driver.create(spec()).await.unwrap().start().await.unwrap();
        assert_eq!(within(&mut running.exit).await, Exit::Code(0));
        ended.push(running);
    }
    drop(ended);
    fake.until(|log| log.iter().filter(|asked| asked.starts_with("DELETE")).count() == 8).await;
    assert_eq!(driver.shutdown(Duration::from_millis(200)).await, 20);
    assert_eq!(fake.count("POST /containers/abc/kill"), 0);
}

/// An engine that has no image before it was pulled; `pull` answers for a name.
fn empty(pull: impl Fn(&str) -> Reply + Send + Sync + 'static) -> impl Fn(&str) -> Option<Reply> + Send + Sync {
    let pulled = Mutex::new(Vec::<String>::new());
    move |asked| {
        let (method, target) = asked.split_once(' ').unwrap();
        match (method, target.split('?').next().unwrap()) {
            ("POST", "/images/create") => {
                let reply = pull(target);
                if matches!(reply, Reply::Whole(..)) {
                    pulled.lock().unwrap().push(target.to_owned());
                }
                Some(reply)
            }
            ("GET", path) if path.starts_with("/images/") => {
                let registry = path.trim_start_matches("/images/").split('/').next().unwrap();
                let known = pulled.lock().unwrap().iter().any(|target| target.contains(registry));
                (!known).then(|| Reply::json(404, &json!({ "message": "No such image" })))
            }
            _ => None,
        }
    }
}

#[tokio::test]
async fn a_registry_that_says_nothing_is_one_that_cannot_be_reached() {
    let fake = Fake::new();
    let _engine = fake.run(empty(|_| Reply::Silence));
    let (driver, _) = fake.connect().await;
    let error = timeout(Duration::from_secs(40), driver.image("dead.example/an/image")).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ImageUnreachable { .. }), "{error:?}");
    let expected = "Failed to pull image 'dead.example/an/image': the registry did not answer within 10s";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_name_that_only_the_engine_refuses_is_no_failure_of_the_engine() {
    let fake = Fake::new();
    let _engine = fake.run(|asked| {
        let asked_for = asked.strip_prefix("GET /images/")?;
        let message = if asked_for.contains("UPPER") {
            "no such image: UPPER/x:latest: invalid reference format: repository name must be lowercase"
        } else {
            "client version 1.41 is too new. Maximum supported API version is 1.40"
        };
        Some(Reply::json(400, &json!({ "message": message })))
    });
    let (driver, _) = fake.connect().await;
    let error = within(driver.image("UPPER/x")).await.unwrap_err();
    assert!(matches!(error, Error::ImageRefused { status: 400, .. }), "{error:?}");
    let expected = "Failed to pull image 'UPPER/x': \
        no such image: UPPER/x:latest: invalid reference format: repository name must be lowercase";
    assert_eq!(error.to_string(), expected);
    let error = within(driver.image("an/image")).await.unwrap_err();
    assert!(matches!(error, Error::Engine { .. }), "{error:?}");
    assert_eq!(fake.count("POST /images/create"), 0);
}

#[tokio::test]
async fn a_pull_that_makes_progress_is_waited_for() {
    let fake = Fake::new();
    let _engine =
        fake.run(empty(|_| Reply::Open(b"{\"status\":\"Pulling from an/image\",\"id\":\"v1\"}\r\n".to_vec())));
    let (driver, _) = fake.connect().await;
    assert!(timeout(Duration::from_secs(4), driver.image("slow.example/an/image")).await.is_err());
    assert_eq!(fake.count("POST /images/create"), 1);
}

#[tokio::test]
async fn a_registry_that_says_nothing_stops_no_other_pull() {
    let fake = Fake::new();
    let _engine = fake.run(empty(|target| {
        if target.contains("dead.example") { Reply::Silence } else { Reply::Whole(200, Vec::new(), Vec::new()) }
    }));
    let (driver, _) = fake.connect().await;
    let names: Vec<_> = (0..50).map(|n| format!("dead.example/an/image{n}")).collect();
    let dead = join_all(names.iter().map(|name| driver.image(name)));
    let alive = async {
        fake.until(|log| log.iter().any(|asked| asked.starts_with("POST /images/create"))).await;
        timeout(Duration::from_secs(2), driver.image("alive.example/an/image")).await
    };
    tokio::select! {
        _ = dead => panic!("nobody waits for the dead any more"),
        found = alive => assert_eq!(found.unwrap().unwrap().id, "sha256:1"),
    }
}

/// Counts warnings of what cannot be seen.
#[derive(Clone, Debug, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let lines = Arc::clone(&self.0);
        event.record(&mut move |_: &Field, value: &dyn Debug| lines.lock().unwrap().push(format!("{value:?}")));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn a_server_that_cannot_look_into_its_containers_stdin_says_so_once() {
    let warnings = Warnings::default();
    let _all = tracing::subscriber::set_default(warnings.clone());
    let fake = Fake::new();
    let _engine = fake.run(|asked| living(asked, None));
    let (driver, _) = fake.connect().await;
    let about_stdin = || warnings.0.lock().unwrap().iter().filter(|line| line.contains("stdin")).count();
    assert_eq!(about_stdin(), 0);
    for _ in 0..3 {
        drop(driver.create(spec()).await.unwrap().start().await.unwrap());
    }
    assert_eq!(about_stdin(), 1, "{warnings:?}");
    assert_eq!(driver.shutdown(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn a_caller_that_leaves_while_its_container_is_created_leaves_nothing() {
    let fake = Fake::new();
    let engine = fake.run(|_| None);
    let (driver, _) = fake.connect().await;
    {
        let creation = driver.create(spec());
        tokio::pin!(creation);
        // Just far enough to be on its way.
        assert!(futures_util::poll!(&mut creation).is_pending());
    }
    assert_eq!(driver.shutdown(Duration::from_secs(10)).await, 0);
    assert_eq!(fake.count("POST /containers/create"), 1);
    assert_eq!(fake.count("DELETE /containers/abc"), 1);
    drop(engine);
}

#[tokio::test]
async fn refusals_are_told_in_the_engines_words() {
    let fake = Fake::new();
    let _engine = fake.run(|asked| {
        let refusal = |status, message: &str| Some(Reply::json(status, &json!({ "message": message })));
        match asked.split_once(' ').unwrap() {
            ("POST", path) if path.starts_with("/containers/create") => refusal(400, "no such option"),
            ("GET", path) if path.starts_with("/images/") => refusal(500, "disk is gone"),
            _ => None,
        }
    });
    let (driver, counts) = fake.connect().await;
    let error = driver.create(spec()).await.err().unwrap();
    assert!(matches!(&error, Error::Create { message } if message == "no such option"), "{error:?}");
    let error = driver.image("some/image").await.unwrap_err();
    assert_eq!(error.to_string(), "container engine failed to inspect the image: disk is gone");
    assert!(counts.0.lock().unwrap().contains(&(Operation::CreateContainer, Outcome::Refused)));
    assert_eq!(driver.shutdown(Duration::from_secs(5)).await, 0);
    assert_eq!(fake.count("DELETE"), 0, "what was refused does not exist");
}

#[tokio::test]
async fn a_failure_of_the_engines_own_is_not_taken_for_a_refusal() {
    let fake = Fake::new();
    let _engine = fake.run(|asked| {
        asked
            .starts_with("POST /containers/create")
            .then(|| Reply::json(500, &json!({ "message": "no space left on device" })))
    });
    let (driver, _) = fake.connect().await;
    let error = driver.create(spec()).await.err().unwrap();
    let told = "container engine failed to create the container: no space left on device";
    assert!(matches!(&error, Error::Engine { .. }) && error.to_string() == told, "{error:?}");
    assert_eq!(driver.shutdown(Duration::from_secs(5)).await, 0);
}

/// An engine whose containers start at once and end when the test says so.
fn living(asked: &str, exit: Option<i64>) -> Option<Reply> {
    let (method, path) = asked.split_once(' ').unwrap();
    match (method, path.split('?').next().unwrap()) {
        ("POST", "/containers/abc/attach") => Some(Reply::Open(Vec::new())),
        ("POST", "/containers/abc/start") => Some(Reply::Whole(204, Vec::new(), Vec::new())),
        ("POST", "/containers/abc/wait") => Some(match exit {
            Some(code) => Reply::json(200, &json!({ "StatusCode": code, "Error": null })),
            None => Reply::HangUp,
        }),
        ("GET", "/containers/abc/json") => Some(Reply::json(200, &json!({ "State": { "OOMKilled": false } }))),
        _ => None,
    }
}

#[tokio::test]
async fn an_exit_is_learnt_from_the_engine_that_came_back() {
    let fake = Fake::new();
    let engine = fake.run(|asked| living(asked, None));
    let (driver, _) = fake.connect().await;
    let running = driver.create(spec()).await.unwrap().start().await.unwrap();
    let mut exit = running.exit;
    assert!(timeout(Duration::from_millis(300), &mut exit).await.is_err());
    drop(engine);
    assert!(timeout(Duration::from_millis(300), &mut exit).await.is_err());
    let engine = fake.run(|asked| living(asked, Some(7)));
    assert_eq!(within(exit).await, Exit::Code(7));
    drop(running.guard);
    assert_eq!(driver.shutdown(Duration::from_secs(5)).await, 0);
    drop(engine);
}

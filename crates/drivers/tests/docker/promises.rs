//! What every driver promises, held against the scripted one and the real one.

use std::time::Duration;

use futures_util::StreamExt;
use hearth_drivers::scripted::{Program, Script, ScriptedDriver, Step, programs};
use hearth_drivers::{ContainerSpec, Contract, Driver, Error, Exit, Frame, Running, StatsSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Engine, FIXTURE, LIMIT, output, within};

/// What a container of the suite does.
#[derive(Clone, Copy)]
enum Does {
    /// Reads all, logs a line, answers what it read, exits with 3.
    Echo,
    Hang,
    /// Exits with 3 when its input ends, and with 7 if that is not within a second.
    AwaitTheEnd,
    BecomeHealthy,
    BecomeUnhealthy,
}

trait Subject {
    fn driver(&self) -> &dyn Driver;
    fn image(&self, does: Does) -> (&'static str, Vec<(String, String)>);
    async fn existing(&self) -> usize;
}

impl Subject for Engine {
    fn driver(&self) -> &dyn Driver {
        &self.driver
    }

    fn image(&self, does: Does) -> (&'static str, Vec<(String, String)>) {
        let (reference, script) = match does {
            Does::Echo => (FIXTURE, "stderr a line; echo; after exit 3"),
            Does::Hang => (FIXTURE, "hang"),
            Does::AwaitTheEnd => (FIXTURE, "exit 3"),
            Does::BecomeHealthy => ("hearth/fixture:healthy", "hang"),
            Does::BecomeUnhealthy => ("hearth/fixture:unhealthy", "hang"),
        };
        let start = if matches!(does, Does::AwaitTheEnd) { "late 1000 exit 7" } else { "" };
        let env = [("FN_FORMAT", "default"), ("HEARTH_SCRIPT", script), ("HEARTH_START", start)];
        (reference, env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    async fn existing(&self) -> usize {
        Self::existing(self).await
    }
}

impl Subject for ScriptedDriver {
    fn driver(&self) -> &dyn Driver {
        self
    }

    fn image(&self, does: Does) -> (&'static str, Vec<(String, String)>) {
        let reference = match does {
            Does::Echo => "echo",
            Does::Hang => "hang",
            Does::AwaitTheEnd => "await-the-end",
            Does::BecomeHealthy => "healthy",
            Does::BecomeUnhealthy => "unhealthy",
        };
        (reference, Vec::new())
    }

    async fn existing(&self) -> usize {
        self.ledger().existing()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_keeps_the_promises() {
    let engine = Engine::connect().await;
    promises(&engine).await;
    engine.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_scripted_driver_keeps_the_promises() {
    let takes = Duration::from_millis(150);
    let echo = Program::new(|mut io| async move {
        let mut input = Vec::new();
        io.stdin.read_to_end(&mut input).await.unwrap();
        io.stderr("a line\n").await;
        io.stdout(input).await;
        Exit::Code(3)
    });
    let await_the_end = Program::new(|mut io| async move {
        let mut input = Vec::new();
        let end = io.stdin.read_to_end(&mut input);
        Exit::Code(if tokio::time::timeout(Duration::from_secs(1), end).await.is_ok() { 3 } else { 7 })
    });
    let hang = || Script::new(programs::hang()).start(Step::takes(takes)).remove_takes(takes);
    let unhealthy = Script::new(programs::hang()).start(Step::fails(Error::Unhealthy).after(takes));
    let driver = ScriptedDriver::new()
        .with("echo", Script::new(echo).start(Step::takes(takes)).remove_takes(takes))
        .with("hang", hang())
        .with("await-the-end", Script::new(await_the_end))
        .with("healthy", hang().with_healthcheck())
        .with("unhealthy", unhealthy.with_healthcheck());
    promises(&driver).await;
    assert!(driver.ledger().is_clean());
}

async fn promises(subject: &impl Subject) {
    within(subject.driver().ping()).await.unwrap();
    input_comes_back_and_the_exit_is_told(subject).await;
    input_ends_where_its_writer_says_so_and_nowhere_else(subject).await;
    dropping_the_guard_ends_a_container(subject).await;
    an_exit_is_told_however_late_it_is_asked_for(subject).await;
    a_frozen_container_does_nothing_and_goes_on_when_it_is_thawed(subject).await;
    a_frozen_container_is_removed_as_any_other(subject).await;
    health_decides_about_a_start(subject).await;
    what_is_given_up_is_removed(subject).await;
    what_is_no_image_is_refused(subject).await;
    assert_eq!(subject.driver().remove_orphans().await.unwrap(), 0);
    assert_eq!(subject.driver().shutdown(LIMIT).await, 0);
    assert_eq!(subject.existing().await, 0);
}

async fn spec(subject: &impl Subject, does: Does) -> ContainerSpec {
    let (reference, env) = subject.image(does);
    let image = subject.driver().image(reference).await.unwrap();
    ContainerSpec {
        image,
        contract: Contract::Pipes,
        env,
        memory_bytes: 64 << 20,
        cpu_millis: None,
        labels: Vec::new(),
        tapped: false,
        syslog: None,
    }
}

async fn start(subject: &impl Subject, does: Does) -> Result<Running, Error> {
    let container = subject.driver().create(spec(subject, does).await).await?;
    within(container.start()).await
}

async fn input_comes_back_and_the_exit_is_told(subject: &impl Subject) {
    let mut running = start(subject, Does::Echo).await.unwrap();
    running.stdin.write_all(b"hello").await.unwrap();
    running.stdin.shutdown().await.unwrap();
    assert_eq!(output(&mut running).await, (b"hello".to_vec(), b"a line\n".to_vec()));
    assert_eq!(within(running.exit).await, Exit::Code(3));
}

async fn input_ends_where_its_writer_says_so_and_nowhere_else(subject: &impl Subject) {
    let mut whole = start(subject, Does::AwaitTheEnd).await.unwrap();
    whole.stdin.write_all(b"all").await.unwrap();
    whole.stdin.shutdown().await.unwrap();
    assert_eq!(within(whole.exit).await, Exit::Code(3));
    let mut cut = start(subject, Does::AwaitTheEnd).await.unwrap();
    cut.stdin.write_all(b"half").await.unwrap();
    drop(cut.stdin);
    assert_eq!(within(cut.exit).await, Exit::Code(7));
}

async fn dropping_the_guard_ends_a_container(subject: &impl Subject) {
    let mut running = start(subject, Does::Hang).await.unwrap();
    assert!(!running.guard.id().is_empty());
    drop(running.guard);
    assert!(matches!(within(running.exit).await, Exit::Code(137) | Exit::Vanished));
    assert!(within(running.output.next()).await.is_none());
}

async fn an_exit_is_told_however_late_it_is_asked_for(subject: &impl Subject) {
    let mut running = start(subject, Does::Echo).await.unwrap();
    running.stdin.shutdown().await.unwrap();
    output(&mut running).await;
    // Both streams are closed; the process ends about now.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(within(running.exit).await, Exit::Code(3));
}

async fn a_frozen_container_does_nothing_and_goes_on_when_it_is_thawed(subject: &impl Subject) {
    let driver = subject.driver();
    let mut running = start(subject, Does::Echo).await.unwrap();
    let id = running.guard.id().to_owned();
    within(driver.thaw(&id)).await.expect_err("it is not frozen");
    within(driver.freeze(&id)).await.unwrap();
    within(driver.freeze(&id)).await.expect_err("it is frozen");
    running.stdin.write_all(b"hello").await.unwrap();
    running.stdin.shutdown().await.unwrap();
    let a_while = Duration::from_millis(300);
    assert!(tokio::time::timeout(a_while, running.output.next()).await.is_err(), "it wrote something");
    assert!(tokio::time::timeout(Duration::ZERO, &mut running.exit).await.is_err());
    if let StatsSource::Direct(sampler) = &mut running.stats {
        sampler.sample().expect("it is there");
    }
    within(driver.thaw(&id)).await.unwrap();
    assert_eq!(output(&mut running).await, (b"hello".to_vec(), b"a line\n".to_vec()));
    assert_eq!(within(running.exit).await, Exit::Code(3));
    within(driver.freeze(&id)).await.expect_err("it has ended");
}

async fn a_frozen_container_is_removed_as_any_other(subject: &impl Subject) {
    let mut running = start(subject, Does::Hang).await.unwrap();
    let id = running.guard.id().to_owned();
    within(subject.driver().freeze(&id)).await.unwrap();
    drop(running.guard);
    assert!(matches!(within(running.exit).await, Exit::Code(137) | Exit::Vanished));
    assert!(within(running.output.next()).await.is_none());
    within(subject.driver().thaw(&id)).await.expect_err("it is gone");
}

async fn health_decides_about_a_start(subject: &impl Subject) {
    assert!(spec(subject, Does::BecomeHealthy).await.image.has_healthcheck);
    assert!(!spec(subject, Does::Hang).await.image.has_healthcheck);
    drop(start(subject, Does::BecomeHealthy).await.unwrap());
    assert!(matches!(start(subject, Does::BecomeUnhealthy).await, Err(Error::Unhealthy)));
}

async fn what_is_given_up_is_removed(subject: &impl Subject) {
    let spec = spec(subject, Does::Hang).await;
    drop(subject.driver().create(spec.clone()).await.unwrap());
    let soon = Duration::from_millis(20);
    let container = subject.driver().create(spec).await.unwrap();
    assert!(tokio::time::timeout(soon, container.start()).await.is_err());
}

async fn what_is_no_image_is_refused(subject: &impl Subject) {
    let error = within(subject.driver().image("127.0.0.1:1/no/such:image")).await.unwrap_err();
    assert!(error.is_image(), "{error:?}");
    assert!(error.to_string().starts_with("Failed to pull image '127.0.0.1:1/no/such:image': "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn frames_of_the_scripted_driver_keep_their_order() {
    let talk = Program::new(|io| async move {
        for n in 0..10u8 {
            io.stdout(vec![n]).await;
            io.stderr(vec![n]).await;
        }
        Exit::Code(0)
    });
    let driver = ScriptedDriver::new().with("echo", Script::new(talk));
    let running = start(&driver, Does::Echo).await.unwrap();
    let frames: Vec<_> = running.output.map(Result::unwrap).collect().await;
    let expected: Vec<_> =
        (0..10u8).flat_map(|n| [Frame::Stdout(vec![n].into()), Frame::Stderr(vec![n].into())]).collect();
    assert_eq!(frames, expected);
}

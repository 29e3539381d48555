//! What a container with a socket writes is seen at once, and a mark comes out behind it.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use hearth_drivers::docker::{SocketConfig, SocketContract, StatsFrom};
use hearth_drivers::{Contract, Driver, Frame, Mark, Running, Tap};

use crate::support::{Engine, FIXTURE, within};

async fn start(engine: &Engine, script: &str) -> Running {
    let mut spec = engine.spec(FIXTURE, &[("FN_FORMAT", "default"), ("HEARTH_SCRIPT", script)]).await;
    spec.contract = Contract::Socket;
    spec.tapped = true;
    let container = engine.driver.create(spec).await.unwrap();
    within(container.start()).await.unwrap()
}

async fn engine(directory: &tempfile::TempDir, stats_from: StatsFrom, engine_logs: bool) -> Engine {
    let directory = directory.path().to_owned();
    let contract = SocketContract { engine_logs, ..SocketContract::default() };
    Engine::connect_with(|config| {
        config.sockets = Some(SocketConfig { directory, engine_directory: None, tmpfs: None, contract });
        config.stats_from = stats_from;
    })
    .await
}

/// Everything up to the mark.
async fn before_mark(running: &mut Running, mark: Mark) -> String {
    let mut log = Vec::new();
    let mut awaited = mark.on;
    while awaited.contains(&true) {
        match within(running.output.next()).await.unwrap().unwrap() {
            Frame::Stdout(bytes) | Frame::Stderr(bytes) => log.extend_from_slice(&bytes),
            Frame::Mark(outlet, number) => {
                assert_eq!(number, mark.number);
                awaited[outlet.index()] = false;
            }
        }
    }
    String::from_utf8(log).unwrap()
}

/// Returns when it has written. Nobody waits for that but a test.
async fn wrote(tap: &mut Box<dyn Tap>) {
    let written = async {
        while !tap.wrote() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_comes_out_behind_all_that_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(&directory, StatsFrom::Auto, true).await;
    let mut running = start(&engine, "stderr first; stdout second; sleep 500; stderr third; hang").await;
    let mut tap = running.tap.take().expect("this test runs as root, on the engine's host");
    assert!(tap.wrote(), "nobody knows what was before");
    let mut log = String::new();
    loop {
        let mark = tap.mark().unwrap().unwrap();
        let more = before_mark(&mut running, mark).await;
        assert!(mark.number == 1 || !more.is_empty(), "seen to be written before the mark, and not come out before it");
        log += &more;
        if log.contains("third") {
            break;
        }
        wrote(&mut tap).await;
    }
    assert!(log.contains("first") && log.contains("second"), "{log:?}");
    assert!(!tap.wrote(), "a mark is no writing of its own");

    // Nobody is kept from seeing its end.
    crate::support::docker(&["kill", running.guard.id()]);
    assert!(within(running.output.next()).await.is_none());
    drop(running);
    drop(tap);
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_none_where_the_containers_pipes_are_out_of_reach() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(&directory, StatsFrom::Engine, true).await;
    let running = start(&engine, "hang").await;
    assert!(running.tap.is_none());
    drop(running);
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_launched_function_wrote_is_here_as_soon_as_it_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(&directory, StatsFrom::Engine, false).await;
    let mut running = start(&engine, "stderr first; stdout second; sleep 500; stderr third; hang").await;
    let mut tap = running.tap.take().unwrap();
    let mut log = String::new();
    while !log.contains("third") {
        wrote(&mut tap).await;
        // Until then it is not known which way the log comes.
        let Ok(mark) = tap.mark() else { continue };
        let here = before_mark(&mut running, mark.unwrap()).now_or_never();
        log += &here.expect("nothing is waited for");
    }
    assert_eq!(log, "first\nsecondthird\n", "in the order in which it was written, whatever to");
    assert!(!tap.wrote());
    crate::support::docker(&["kill", running.guard.id()]);
    assert!(within(running.output.next()).await.is_none());
    drop((running, tap));
    engine.finish().await;
}

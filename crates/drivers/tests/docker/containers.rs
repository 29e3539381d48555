//! What a container can do, and what it cannot.

use std::time::Duration;

use futures_util::StreamExt;
use hearth_drivers::{Driver, Error, Exit, Frame};
use tokio::io::AsyncWriteExt;

use crate::support::{Engine, docker, output, stdout, within};

const DEFAULT: (&str, &str) = ("FN_FORMAT", "default");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_unprivileged_and_bounded() {
    let engine = Engine::connect().await;
    let script = ("HEARTH_SCRIPT", "file /proc/self/status");
    let mut running = engine.start(&[DEFAULT, script]).await;
    let inspected = docker(&["inspect", running.guard.id()]);
    running.stdin.shutdown().await.unwrap();
    let (status, _) = output(&mut running).await;
    let status = String::from_utf8(status).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let host = &inspected[0]["HostConfig"];
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["MemorySwap"], 64 << 20);
    assert_eq!(host["PidsLimit"], 1024);
    assert_eq!(host["LogConfig"]["Type"], "none");
    let config = &inspected[0]["Config"];
    assert_eq!((&config["StdinOnce"], &config["OpenStdin"]), (&true.into(), &true.into()));
    assert_eq!(config["Labels"]["hearth.server"], engine.server.to_string());
    assert_eq!(config["Labels"]["hearth.test"], "drivers");
    assert!(inspected[0]["Name"].as_str().unwrap().starts_with("/hearth-0"));
    drop(running);
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_out_of_memory_is_told_from_any_other_kill() {
    let engine = Engine::connect().await;
    for _ in 0..3 {
        let mut running = engine.start(&[DEFAULT, ("HEARTH_SCRIPT", "alloc-until-oom")]).await;
        running.stdin.shutdown().await.unwrap();
        assert_eq!(within(running.exit).await, Exit::OutOfMemory);
    }
    let killed = engine.start(&[DEFAULT, ("HEARTH_SCRIPT", "hang")]).await;
    docker(&["kill", killed.guard.id()]);
    assert_eq!(within(killed.exit).await, Exit::Code(137));
    let removed = engine.start(&[DEFAULT, ("HEARTH_SCRIPT", "hang")]).await;
    docker(&["rm", "-f", removed.guard.id()]);
    assert!(matches!(within(removed.exit).await, Exit::Code(137) | Exit::Vanished));
    drop((killed.guard, removed.guard));
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_go_both_ways_unharmed() {
    let engine = Engine::connect().await;
    let mut running = engine.start(&[DEFAULT, ("HEARTH_SCRIPT", "relay; logflood 2m")]).await;
    let sent: Vec<u8> = (0..10u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut got, mut logged) = (Vec::new(), 0);
    let write = async {
        running.stdin.write_all(&sent).await.unwrap();
        running.stdin.shutdown().await.unwrap();
    };
    let read = async {
        while let Some(frame) = running.output.next().await {
            match frame.unwrap() {
                Frame::Stdout(bytes) => got.extend_from_slice(&bytes),
                Frame::Stderr(bytes) => logged += bytes.len(),
                Frame::Mark(..) => {}
            }
        }
    };
    within(async { tokio::join!(write, read) }).await;
    assert!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
    assert_eq!(logged, 2 << 20);
    drop(running);
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_sees_the_end_of_its_input_when_its_writer_says_so() {
    let engine = Engine::connect().await;
    let mut running = engine.start(&[("FN_FORMAT", "http")]).await;
    running.stdin.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    let answer = stdout(&mut running, 40).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    running.stdin.shutdown().await.unwrap();
    assert_eq!(within(running.exit).await, Exit::Code(0));
    drop(running.guard);
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_start_says_why() {
    let engine = Engine::connect().await;
    let build = "FROM hearth/fixture:test\nENTRYPOINT [\"/no-such-program\"]\n";
    let image = crate::images::Built::new("broken", build);
    let spec = engine.spec(&image.name, &[]).await;
    let container = engine.driver.create(spec.clone()).await.unwrap();
    match within(container.start()).await {
        Err(Error::Start { message }) => assert!(message.contains("no-such-program"), "{message}"),
        other => panic!("{other:?}"),
    }
    let tiny = hearth_drivers::ContainerSpec { memory_bytes: 1 << 20, ..spec };
    match within(engine.driver.create(tiny)).await {
        Err(Error::Create { message }) => assert!(message.contains("memory"), "{message}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("created with less memory than the engine allows"),
    }
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_ends_before_it_is_healthy_is_no_start() {
    let engine = Engine::connect().await;
    let spec = engine.spec("hearth/fixture:unhealthy", &[("HEARTH_START", "exit 4")]).await;
    let container = engine.driver.create(spec).await.unwrap();
    match tokio::time::timeout(Duration::from_secs(10), container.start()).await.unwrap() {
        Err(Error::Start { message }) => assert!(message.contains("code 4"), "{message}"),
        other => panic!("{other:?}"),
    }
    engine.finish().await;
}

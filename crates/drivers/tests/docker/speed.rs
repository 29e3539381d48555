//! What the driver costs beside the bare requests. Prints figures; asserts only what holds on a busy machine.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use futures_util::StreamExt;
use hearth_drivers::{Driver, Exit};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use ulid::Ulid;

use crate::support::{Engine, FIXTURE, output, within};

const ENV: [(&str, &str); 1] = [("FN_FORMAT", "default")];
const ROUNDS: usize = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_call_costs_hardly_more_than_its_bare_requests() {
    let engine = Engine::connect().await;
    let docker = Docker::connect_with_unix_defaults().unwrap();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        cold(&engine).await;
        ours.push(begin.elapsed());
        let begin = Instant::now();
        cold_bare(&docker).await;
        bare.push(begin.elapsed());
    }
    let (ours, bare) = (median(ours), median(bare));
    println!("cold: {ours:?} ours, {bare:?} bare, ratio {:.3}", ours.as_secs_f64() / bare.as_secs_f64());
    engine.finish().await;
}

async fn cold(engine: &Engine) {
    let spec = engine.spec(FIXTURE, &ENV).await;
    let mut running = engine.driver.create(spec).await.unwrap().start().await.unwrap();
    running.stdin.write_all(b"hello").await.unwrap();
    running.stdin.shutdown().await.unwrap();
    assert_eq!(output(&mut running).await.0, b"hello");
    assert_eq!(within(running.exit).await, Exit::Code(0));
}

async fn cold_bare(docker: &Docker) {
    let name = format!("bare-{}", Ulid::generate());
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = ContainerCreateBody {
        image: Some(FIXTURE.to_owned()),
        env: Some(vec!["FN_FORMAT=default".to_owned()]),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        host_config: Some(HostConfig {
            memory: Some(64 << 20),
            memory_swap: Some(64 << 20),
            pids_limit: Some(1024),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    docker.create_container(Some(options), body).await.unwrap();
    let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
    let mut attached = docker.attach_container(&name, Some(options)).await.unwrap();
    docker.start_container(&name, None::<StartContainerOptions>).await.unwrap();
    attached.input.write_all(b"hello").await.unwrap();
    attached.input.shutdown().await.unwrap();
    while attached.output.next().await.is_some() {}
    let mut wait = docker.wait_container(&name, None::<WaitContainerOptions>).boxed();
    wait.next().await.unwrap().unwrap();
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(&name, Some(options)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_trip_costs_no_more_than_the_clients_own() {
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    let engine = Engine::connect().await;
    let mut running = engine.start(&[("FN_FORMAT", "http")]).await;
    let mut ours = Vec::new();
    for _ in 0..2000 {
        let begin = Instant::now();
        running.stdin.write_all(REQUEST).await.unwrap();
        let frame = running.output.next().await.unwrap().unwrap();
        ours.push(begin.elapsed());
        assert!(matches!(frame, hearth_drivers::Frame::Stdout(_)));
    }
    let docker = Docker::connect_with_unix_defaults().unwrap();
    let second = engine.start(&[("FN_FORMAT", "http")]).await;
    let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
    let mut attached = docker.attach_container(second.guard.id(), Some(options)).await.unwrap();
    let mut bare = Vec::new();
    drop(second.output);
    for _ in 0..2000 {
        let begin = Instant::now();
        attached.input.write_all(REQUEST).await.unwrap();
        attached.output.next().await.unwrap().unwrap();
        bare.push(begin.elapsed());
    }
    let (ours, bare) = (median(ours), median(bare));
    println!("round trip: {ours:?} ours, {bare:?} with the client library's stream");
    assert!(ours < Duration::from_millis(50));
    drop((running, second.guard));
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_frozen_container_costs_a_thaw_more() {
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    let engine = Engine::connect().await;
    let mut running = engine.start(&[("FN_FORMAT", "http")]).await;
    let id = running.guard.id().to_owned();
    let (mut freezes, mut thaws, mut exchanges) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..100 {
        let begin = Instant::now();
        engine.driver.freeze(&id).await.unwrap();
        freezes.push(begin.elapsed());
        let begin = Instant::now();
        engine.driver.thaw(&id).await.unwrap();
        thaws.push(begin.elapsed());
        let begin = Instant::now();
        running.stdin.write_all(REQUEST).await.unwrap();
        running.output.next().await.unwrap().unwrap();
        exchanges.push(begin.elapsed());
    }
    for (what, mut times) in [("freeze", freezes), ("thaw", thaws), ("exchange", exchanges)] {
        times.sort();
        println!("{what}: p50 {:?}, p99 {:?}", times[49], times[98]);
    }
    drop(running.guard);
    engine.finish().await;
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

//! Whatever happens to whoever asked for a container, the container goes.

use std::sync::Arc;
use std::time::Duration;

use hearth_drivers::Driver;
use hearth_drivers::docker::{DockerConfig, DockerDriver, Unobserved};
use hearth_models::InstanceId;
use tokio::time::timeout;

use crate::support::{Engine, FIXTURE, LIMIT, docker};

const HANG: [(&str, &str); 2] = [("FN_FORMAT", "default"), ("HEARTH_SCRIPT", "hang")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_at_any_moment_leaves_nothing() {
    let engine = Engine::connect().await;
    let spec = engine.spec(FIXTURE, &HANG).await;
    for moment in [0, 1, 2, 5, 10, 20, 40, 80, 120, 160, 200, 300] {
        let attempt = async { engine.driver.create(spec.clone()).await?.start().await };
        drop(timeout(Duration::from_millis(moment), attempt).await);
    }
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_this_servers_earlier_processes_leave_orphans() {
    let engine = Engine::connect().await;
    let other = Engine::connect().await;
    let spec = engine.spec(FIXTURE, &HANG).await;
    let running = engine.driver.create(spec.clone()).await.unwrap().start().await.unwrap();
    let others = other.driver.create(spec.clone()).await.unwrap();

    let next = DockerConfig::new(engine.server, InstanceId::generate());
    let next = DockerDriver::connect(next, Arc::new(Unobserved)).await.unwrap();
    let own = next.create(spec).await.unwrap();
    assert_eq!(engine.existing().await, 2);
    let listed = next.list().await.unwrap();
    let orphan = listed.iter().find(|found| found.id == running.guard.id()).unwrap();
    assert_eq!(orphan.server, engine.server.to_string());
    assert!(orphan.name.starts_with("hearth-") && orphan.status.starts_with("Up"), "{orphan:?}");

    assert_eq!(next.remove_orphans().await.unwrap(), 1);
    assert_eq!(next.remove_orphans().await.unwrap(), 0);
    assert_eq!((engine.existing().await, other.existing().await), (1, 1));
    drop((own, others, running));
    assert_eq!(next.shutdown(LIMIT).await, 0);
    other.finish().await;
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removal_outlives_its_caller_and_shutdown_waits_for_it() {
    let engine = Engine::connect().await;
    let running = engine.start(&HANG).await;
    let id = running.guard.id().to_owned();
    // Somebody else was quicker: that is as good.
    docker(&["rm", "-f", &id]);
    drop(running);
    let many: Vec<_> = {
        let starts = (0..4).map(|_| engine.start(&HANG));
        futures_util::future::join_all(starts).await
    };
    std::thread::spawn(move || drop(many)).join().unwrap();
    engine.finish().await;
}

//! Engines that are not there, or are there and do not answer.

use std::sync::Arc;
use std::time::Duration;

use hearth_drivers::Error;
use hearth_drivers::docker::{DockerConfig, DockerDriver, Unobserved};
use hearth_models::{InstanceId, ServerId};
use tokio::net::UnixListener;
use tokio::time::Instant;

async fn connect(host: String) -> (Result<DockerDriver, Error>, Duration) {
    let config = DockerConfig { host: Some(host), ..DockerConfig::new(ServerId::generate(), InstanceId::generate()) };
    let begin = Instant::now();
    let driver = DockerDriver::connect(config, Arc::new(Unobserved)).await;
    (driver, begin.elapsed())
}

#[tokio::test]
async fn an_engine_that_is_away_is_told_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let host = format!("unix://{}", socket.display());
    let soon = Duration::from_millis(2500);
    let (driver, took) = connect(host.clone()).await;
    assert!(driver.unwrap_err().is_engine_away() && took < soon, "no socket: {took:?}");

    let silent = UnixListener::bind(&socket).unwrap();
    let (driver, took) = connect(host.clone()).await;
    assert!(driver.unwrap_err().is_engine_away() && took < soon, "silent: {took:?}");
    drop(silent);
    let (driver, took) = connect(host).await;
    assert!(driver.unwrap_err().is_engine_away() && took < soon, "refused: {took:?}");
    let (driver, took) = connect("tcp://127.0.0.1:1".to_owned()).await;
    assert!(driver.unwrap_err().is_engine_away() && took < soon, "tcp: {took:?}");
}

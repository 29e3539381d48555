//! The Docker driver against a real engine.

mod support;

use hearth_drivers::Exit;
use support::{Engine, output, within};
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_reads_writes_logs_exits_and_is_removed() {
    let engine = Engine::connect().await;
    let script = "stderr seen; echo; after exit 3";
    let mut running = engine.start(&[("FN_FORMAT", "default"), ("HEARTH_SCRIPT", script)]).await;
    running.stdin.write_all(b"hello").await.unwrap();
    running.stdin.shutdown().await.unwrap();
    let (stdout, stderr) = output(&mut running).await;
    assert_eq!(stdout, b"hello");
    assert_eq!(stderr, b"seen\n");
    assert_eq!(within(&mut running.exit).await, Exit::Code(3));
    drop(running);
    engine.finish().await;
}

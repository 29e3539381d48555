//! Idle containers that are paused, where that is set (v2 contract B.4.7).

use rustix::process::Signal;

use crate::support::{Options, PATIENCE, Server, eventually};

/// So many containers of the server are paused.
async fn are_paused(server: &Server, count: usize) {
    eventually(PATIENCE, "so many paused containers", async || {
        let mut states = Vec::new();
        for id in server.containers().await {
            states.push(server.engine().docker(&["inspect", "--format", "{{.State.Status}}", &id]).await);
        }
        if states.iter().filter(|state| *state == "paused").count() == count {
            Ok(())
        } else {
            Err(format!("{states:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_container_is_paused_and_goes_on_where_it_was_with_its_next_call() {
    let server = Options::new().await.setting("FN_FREEZE_IDLE_MSECS", "100").start().await;
    let formats = ["http", "json", "http-stream"];
    for format in formats {
        server.route(&format!("/{format}")).format(format).create().await;
    }
    let script = "stderr a line; instance";
    let mut first = Vec::new();
    for round in 1..=3 {
        for (at, format) in formats.into_iter().enumerate() {
            let reply = server.run(&format!("/{format}"), script).await;
            let (instance, served) = reply.instance();
            assert_eq!(served, round, "{format}");
            assert_eq!(server.record(&reply).await.log, "a line\n", "{format}");
            if round == 1 {
                first.push(instance.to_owned());
            } else {
                assert_eq!(first[at], instance, "{format}");
            }
        }
        are_paused(&server, formats.len()).await;
    }
    // It goes as it is.
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_containers_of_a_server_that_was_killed_are_removed_at_its_next_start() {
    let server = Options::new().await.setting("FN_FREEZE_IDLE_MSECS", "0").start().await;
    server.route("/f").format("http").create().await;
    server.run("/f", "body x").await.is_answer("x");
    are_paused(&server, 1).await;
    server.signal(Signal::KILL);
    let (_, options) = server.ended().await;
    assert_eq!(options.containers().await.len(), 1, "it cannot see that its input ended");
    let server = options.start().await;
    assert_eq!(server.containers().await, [""; 0]);
    server.finish().await;
}

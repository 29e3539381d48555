//! The binary with a real engine: how it starts, and all the ways in which it ends. Needs Docker and the fixture image
//! (`scripts/functions.sh fixture`).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

mod server;

use std::time::Duration;

use server::{Server, containers_of};

#[tokio::test]
async fn a_function_is_deployed_called_and_recorded() {
    let server = Server::start().await;
    server.deploy("/f", "http", "").await;
    let first = server.call("/f", "instance").await.text().await.unwrap();
    let second = server.call("/f", "instance").await.text().await.unwrap();
    let nonce = |text: &str| text.split(' ').next().unwrap().to_owned();
    assert_eq!(nonce(&first), nonce(&second), "one container served both");

    let failed = server.call("/f", "stderr oh no; exit 3").await;
    assert_eq!(failed.status(), 502);
    let id = failed.headers()["fn_call_id"].to_str().unwrap().to_owned();
    let call = server.json(&format!("/v1/apps/app/calls/{id}")).await;
    assert_eq!((call["call"]["status"].as_str(), call["call"]["reason"].as_str()), (Some("error"), Some("bad_exit")));
    let log = server.json(&format!("/v1/apps/app/calls/{id}/log")).await;
    assert_eq!(log["log"]["log"], "oh no\n");
    server.stop("INT", 0).await;
}

#[tokio::test]
async fn sigterm_lets_an_accepted_call_end_and_leaves_no_container() {
    let server = Server::start().await;
    server.deploy("/f", "http", "").await;
    server.call("/f", "body warm").await;
    let (answer, ()) = tokio::join!(server.call("/f", "sleep 1500; body done"), async {
        server.until_running().await;
        server.signal("TERM");
        server.until_refused().await;
    });
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(answer.text().await.unwrap(), "done");
    server.wait(0).await;
}

#[tokio::test]
async fn a_call_that_outlives_the_drain_deadline_is_stopped_with_its_container() {
    let server = Server::start_with(&[("FN_DRAIN_TIMEOUT", "500ms")]).await;
    server.deploy("/f", "http", "").await;
    let (answer, ()) = tokio::join!(server.try_call("/f", "hang"), async {
        server.until_running().await;
        server.signal("TERM");
    });
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), 503);
    }
    server.wait(0).await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let server = Server::start().await;
    server.deploy("/f", "http", "").await;
    let (answer, ()) = tokio::join!(server.try_call("/f", "hang"), async {
        server.until_running().await;
        server.signal("TERM");
        server.until_refused().await;
        server.signal("INT");
    });
    assert!(answer.is_err(), "the connection is gone");
    let home = server.end(130).await;
    // What it left is the next one's to remove.
    Server::start_in(home, &[]).await.stop("TERM", 0).await;
}

#[tokio::test]
async fn a_killed_server_is_cleaned_up_after_at_the_next_start() {
    let server = Server::start().await;
    server.deploy("/f", "http", "").await;
    let (answer, ()) = tokio::join!(server.try_call("/f", "sleep 60000"), async {
        server.until_running().await;
        // Calls of a second or more are in the record before they end.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        server.signal("KILL");
    });
    assert!(answer.is_err());
    let id = server.id();
    let home = server.reap().await;
    assert_eq!(containers_of(&id).len(), 1, "nobody removed it");

    let next = Server::start_in(home, &[]).await;
    assert_eq!(next.id(), id);
    assert_eq!(containers_of(&id).len(), 0);
    let calls = next.json("/v1/apps/app/calls?status=error&reason=platform").await;
    assert_eq!(calls["calls"].as_array().unwrap().len(), 1, "{calls}");
    next.stop("INT", 0).await;
}

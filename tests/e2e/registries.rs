//! Registries that serve, refuse, break, and take their time: what the caller of a function is told.

use std::time::Duration;

use futures_util::future::join_all;

use crate::support::{Mood, Options, PATIENCE, Registry, Server};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once_for_all_who_call() {
    let server = Server::start().await;
    let registry = Registry::start(Mood::Serve(Duration::from_millis(500))).await;
    server.route("/f").image(&registry.image).create().await;
    let calls = join_all((0..10).map(|number| server.call("/f").script(&format!("body {number}")).send())).await;
    for (number, reply) in calls.iter().enumerate() {
        reply.is_answer(&number.to_string());
    }
    assert_eq!(registry.pulls(), 1);
    server.run("/f", "body again").await.is_answer("again");
    assert_eq!(registry.pulls(), 1, "it is here");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_with_its_status_and_costs_nothing() {
    let server = Server::start().await;
    for (number, (mood, statuses)) in [
        // The engine makes a 404 of what it may not see.
        (Mood::Ask, &[401, 404][..]),
        (Mood::Refuse(403, "DENIED"), &[403, 404]),
        (Mood::Refuse(404, "MANIFEST_UNKNOWN"), &[404]),
        (Mood::Refuse(404, "NAME_UNKNOWN"), &[404]),
        (Mood::Refuse(429, "TOOMANYREQUESTS"), &[429]),
    ]
    .into_iter()
    .enumerate()
    {
        let registry = Registry::start(mood).await;
        let path = format!("/{number}");
        server.route(&path).image(&registry.image).format(["http", "default"][number % 2]).create().await;
        let reply = server.run(&path, "body x").await;
        assert!(statuses.contains(&reply.status), "{mood:?}: {reply:?}");
        let message = reply.message();
        assert!(message.starts_with(&format!("Failed to pull image '{}': ", registry.image)), "{mood:?}: {message}");
        reply.is_call_error(reply.status, &message);
        println!("{mood:?}: {} {message}", reply.status);
        server.record(&reply).await.never_ran("error", "image", &message);
        assert_eq!(registry.pulls(), 1, "{mood:?}: a refusal is final");
        server.is_empty().await;
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_in_trouble_is_tried_thrice_and_then_left_alone_for_a_while() {
    let server = Server::start().await;
    let registry = Registry::start(Mood::Refuse(503, "UNAVAILABLE")).await;
    server.route("/f").image(&registry.image).create().await;
    let calls = join_all((0..10).map(|_| server.run("/f", "body x"))).await;
    for reply in &calls {
        let message = reply.message();
        assert!(message.starts_with(&format!("Failed to pull image '{}': ", registry.image)), "{message}");
        reply.is_call_error(502, &message);
        assert!(reply.took < PATIENCE, "{reply:?}");
        server.record(reply).await.never_ran("error", "image", &message);
    }
    assert_eq!(registry.pulls(), 3, "three tries for all callers together");
    for _ in 0..20 {
        assert_eq!(server.run("/f", "body x").await.status, 502);
    }
    assert!(registry.pulls() <= 12, "answered from memory: {} pulls", registry.pulls());
    println!("503: {}; {} pulls for 30 calls", calls[0].message(), registry.pulls());
    server.is_empty().await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_layer_is_told() {
    let server = Server::start().await;
    let registry = Registry::start(Mood::Corrupt).await;
    server.route("/f").image(&registry.image).create().await;
    let reply = server.run("/f", "body x").await;
    let message = reply.message();
    assert!(message.starts_with(&format!("Failed to pull image '{}': ", registry.image)), "{message}");
    reply.is_call_error(502, &message);
    println!("broken layer: {message}");
    server.record(&reply).await.never_ran("error", "image", &message);
    server.is_empty().await;
    server.finish().await;
}

/// A pull that takes longer than a call can wait is not for nothing: it goes on, and the next calls are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_pull_outlives_the_call_that_began_it() {
    let server = Server::start().await;
    let registry = Registry::start(Mood::Serve(Duration::from_secs(4))).await;
    server.route("/f").image(&registry.image).timeout(4).create().await;
    let reply = server.run("/f", "body x").await;
    reply.is_call_error(503, "Timed out - server too busy");
    assert!(reply.took < PATIENCE, "{reply:?}");
    server.record(&reply).await.never_ran("error", "no_capacity", "Timed out - server too busy");
    crate::support::eventually(PATIENCE, "the pull is done", async || {
        let reply = server.run("/f", "body x").await;
        if reply.status == 200 { Ok(()) } else { Err(reply.message()) }
    })
    .await;
    assert_eq!(registry.pulls(), 1);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_without_end_is_given_up() {
    let server = Options::new().await.setting("FN_HOT_PULL_TIMEOUT_MSECS", "1000").start().await;
    let registry = Registry::start(Mood::Serve(Duration::from_secs(3600))).await;
    server.route("/f").image(&registry.image).create().await;
    let reply = server.run("/f", "body x").await;
    reply.is_call_error(504, "Image pull timed out");
    server.record(&reply).await.never_ran("error", "image", "Image pull timed out");
    assert!(reply.took < PATIENCE, "{reply:?}");
    let apps = server.get("/v2/apps").send().await.json();
    let fns = format!("/v2/fns?app_id={}", apps["items"][0]["id"].as_str().unwrap());
    let function = server.get(&fns).send().await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let reply = server.post(&format!("/invoke/{function}")).send().await;
    assert_eq!((reply.status, &reply.json()["message"]), (504, &"Image pull timed out".into()), "{reply:?}");
    server.finish().await;
}

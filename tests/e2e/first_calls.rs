//! What a newcomer sees first: a cold call, hot calls, a curve, a failure, and Ctrl-C.

use futures_util::future::join_all;
use rustix::process::Signal;

use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_call_is_answered_and_recorded_and_leaves_no_container() {
    let server = Server::start().await;
    server.route("/cold").format("default").create().await;
    let reply = server.call("/cold").script("stderr at work; echo").body("hello").send().await;
    reply.is_answer("hello");
    assert_eq!(reply.value("content-type"), "text/plain; charset=utf-8");
    let record = server.record(&reply).await;
    record.is_success();
    assert_eq!((record.text("path"), record.log.as_str()), ("/cold", "at work\n"));
    server.is_empty().await;
    let again = server.run("/cold", "instance").await;
    assert_eq!(again.instance().1, 1, "every call has a container of its own");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_calls_share_a_container() {
    let server = Server::start().await;
    for format in ["http", "json"] {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        let first = server.run(&path, "stderr one; instance").await;
        let second = server.run(&path, "stderr two; instance").await;
        let nonce = first.instance().0;
        assert_eq!((first.instance(), second.instance()), ((nonce, 1), (nonce, 2)), "{format}");
        for (reply, log) in [(first, "one\n"), (second, "two\n")] {
            let record = server.record(&reply).await;
            record.is_success();
            assert_eq!(record.log, log, "{format}");
        }
    }
    server.has_containers(2).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_three_second_call_has_a_curve_of_nine_measures() {
    let server = Server::start().await;
    let script = "udp 172.17.0.1:9 64k; alloc 16; spin 1500; write-disk 1m; sleep 1500; body done";
    let calls = ["default", "http", "json"].map(async |format| {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        let reply = server.run(&path, script).await;
        reply.is_answer("done");
        let record = server.record(&reply).await;
        record.is_success();
        record.has_curve(3, 64);
        assert!(record.most("mem_usage") >= 16 << 20, "{format}: {record:?}");
        assert!(record.most("cpu_total") > 0, "{format}: {record:?}");
        assert!(record.most("net_tx") > 64 << 10, "{format}: {record:?}");
    });
    join_all(calls).await;
    // A call too short for the second of the clock has one all the same, and one that does nothing has none.
    let short = server.run("/http", "sleep 100").await;
    server.record(&short).await.has_curve(2, 64);
    let instant = server.run("/http", "body x").await;
    assert!(server.record(&instant).await.points().len() <= 2);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_call_has_status_reason_and_log() {
    let server = Server::start().await;
    for format in ["default", "http", "json"] {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        let reply = server.run(&path, "stderr something is wrong; exit 3").await;
        reply.is_call_error(502, "container exit code 3");
        let record = server.record(&reply).await;
        record.is_failure("error", "bad_exit", "container exit code 3");
        assert_eq!(record.log, "something is wrong\n", "{format}");
    }
    server.is_empty().await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_lets_an_accepted_call_end_and_leaves_no_container() {
    let server = Server::start().await;
    server.route("/idle").create().await;
    server.route("/busy").create().await;
    server.route("/cold").format("default").create().await;
    server.run("/idle", "body x").await.is_answer("x");
    let (hot, cold, ()) =
        tokio::join!(server.run("/busy", "sleep 1500; body x"), server.run("/cold", "sleep 1500; body x"), async {
            server.until_running("/busy", 1).await;
            server.until_running("/cold", 1).await;
            server.signal(Signal::INT);
        });
    hot.is_answer("x");
    assert_eq!(hot.value("connection"), "close");
    cold.is_answer("x");
    let (ended, options) = server.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(options.containers().await, [""; 0]);
}

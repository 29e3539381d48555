//! Every way in which a call can end (v1 contract A.3, B.4.2): what the client sees, what the record says, and that
//! the next call is not the worse for it.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{APP, Engine, FIXTURE, Options, PATIENCE, Record, Server, eventually};

const OUT_OF_MEMORY: &str =
    "container out of memory, you may want to raise route.memory for this route (default: 128MB)";

/// A way to fail, and what comes of it.
struct Fault {
    format: &'static str,
    script: &'static str,
    status: u16,
    /// What the client is told, and the record says as well.
    message: &'static str,
    reason: &'static str,
    /// The function may have said enough for its answer to begin; then it is cut instead of replaced.
    may_begin: bool,
}

const fn fault(
    format: &'static str,
    script: &'static str,
    status: u16,
    message: &'static str,
    reason: &'static str,
) -> Fault {
    Fault { format, script, status, message, reason, may_begin: false }
}

impl Fault {
    const fn late(self) -> Self {
        Self { may_begin: true, ..self }
    }

    /// Runs it on a route of its own.
    async fn happens(&self, server: &Server, path: &str) {
        server.route(path).format(self.format).timeout(20).create().await;
        let what = format!("{} {}", self.format, self.script);
        let reply = server.call(path).script(&format!("stderr about to; {}", self.script)).body("in").send().await;
        if self.may_begin && reply.status == 200 {
            assert!(!reply.complete, "{what}: {reply:?}");
            assert!(!reply.text().contains("error"), "nothing is appended: {what}: {reply:?}");
        } else {
            assert_eq!((reply.status, reply.message().as_str()), (self.status, self.message), "{what}: {reply:?}");
            reply.is_call_error(self.status, self.message);
        }
        let record = server.record(&reply).await;
        record.is_failure("error", self.reason, self.message);
        assert_eq!(record.log, "about to\n", "{what}");
        // Whatever it did, its container is gone, and the next call begins afresh.
        let next = server.run(path, "instance").await;
        assert_eq!(next.instance().1, 1, "{what}");
        println!("{what}: {} {}", reply.status, reply.text().trim_end());
    }
}

async fn all_happen(faults: &[Fault]) {
    let server = Server::start().await;
    // A few at a time, as many as there are CPUs to start containers on.
    let paths: Vec<_> = (0..faults.len()).map(|number| format!("/{number}")).collect();
    for pair in faults.iter().zip(&paths).collect::<Vec<_>>().chunks(3) {
        join_all(pair.iter().map(|(fault, path)| fault.happens(&server, path))).await;
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_instead_of_answering() {
    all_happen(&[
        fault("default", "exit 3", 502, "container exit code 3", "bad_exit"),
        fault("default", "body lost; exit 4", 502, "container exit code 4", "bad_exit"),
        fault("default", "partial begun; exit 5", 502, "container exit code 5", "bad_exit").late(),
        fault("default", "crash-mid-answer 6", 502, "container exit code 6", "bad_exit").late(),
        fault("http", "exit 3", 502, "container exit code 3", "bad_exit"),
        fault("http", "exit-silent", 502, "container exited without a response", "bad_exit"),
        fault("http", "body short; crash-mid-answer 6", 502, "container exit code 6", "bad_exit").late(),
        fault("http", "exit 137", 502, "container killed", "killed"),
        fault("json", "exit 3", 502, "container exit code 3", "bad_exit"),
        fault("json", "exit-silent", 502, "container exited without a response", "bad_exit"),
        fault("json", "body short; crash-mid-answer 6", 502, "container exit code 6", "bad_exit"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_takes_too_much_memory() {
    all_happen(&[
        fault("default", "alloc-until-oom", 502, OUT_OF_MEMORY, "out_of_memory"),
        fault("http", "alloc-until-oom", 502, OUT_OF_MEMORY, "out_of_memory"),
        fault("json", "alloc-until-oom", 502, OUT_OF_MEMORY, "out_of_memory"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_no_answer() {
    const STATUS_LINE: &str = "invalid function response: http: malformed status line";
    all_happen(&[
        fault("http", "garbage", 502, STATUS_LINE, "bad_output"),
        fault("http", "stdout hello\\r\\n\\r\\n", 502, STATUS_LINE, "bad_output"),
        fault(
            "http",
            "stdout HTTP/1.1 099 No\\r\\nContent-Length: 0\\r\\n\\r\\n",
            502,
            "invalid function response: http: status code 99 outside 100..999",
            "bad_output",
        ),
        fault(
            "http",
            "stdout HTTP/1.1 200 OK\\r\\nno header\\r\\n\\r\\n",
            502,
            "invalid function response: http: malformed header line",
            "bad_output",
        ),
        fault(
            "http",
            "header Content-Length x; body y",
            502,
            "invalid function response: http: bad content-length",
            "bad_output",
        ),
        fault("http", "body short; truncate", 502, "invalid function response: http: truncated body", "bad_output")
            .late(),
        fault(
            "json",
            "garbage",
            502,
            "invalid function response: json: expected an object, found something else",
            "bad_output",
        ),
        fault(
            "json",
            "stdout []",
            502,
            "invalid function response: json: expected an object, found an array",
            "bad_output",
        ),
        fault("json", "stdout {\"body\":}", 502, "invalid function response: json: malformed object", "bad_output"),
        fault(
            "json",
            "status 1000; body x",
            502,
            "invalid function response: json: status code 1000 outside 100..999",
            "bad_output",
        ),
        fault("json", "body short; truncate", 502, "invalid function response: json: truncated object", "bad_output"),
    ])
    .await;
}

/// The deadline is the function's; whatever it hangs in.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_hangs_is_stopped_at_its_deadline() {
    let server = Server::start().await;
    let hangs = [
        ("default", "hang"),
        ("default", "close-stdout; hang"),
        ("http", "hang"),
        ("http", "stall-after-head"),
        ("http", "body short; truncate-hang"),
        ("json", "hang"),
        ("json", "body short; truncate-hang"),
    ];
    for (format, _) in hangs {
        // Made once, the first time.
        let path = format!("/{format}");
        server
            .request("PUT", &format!("/v1/apps/{APP}/routes{path}"))
            .body(
                json!({
                    "route": { "image": FIXTURE, "format": format, "timeout": 10, "memory": 64 },
                })
                .to_string(),
            )
            .send()
            .await;
    }
    let calls = hangs.map(async |(format, script)| {
        let path = format!("/{format}");
        let reply = server.run(&path, &format!("stderr stuck; {script}")).await;
        if reply.status == 200 {
            assert!(script.starts_with("body") && !reply.complete && !reply.text().contains("error"), "{reply:?}");
        } else {
            reply.is_call_error(504, "Timed out");
        }
        assert!(reply.took >= Duration::from_secs(9), "{reply:?}");
        let record = server.record(&reply).await;
        record.is_failure("timeout", "timeout", "Timed out");
        assert_eq!(record.log, "stuck\n", "{format} {script}");
        record.has_curve(3, 64);
    });
    join_all(calls).await;
    server.is_empty().await;
    for format in ["default", "http", "json"] {
        assert_eq!(server.run(&format!("/{format}"), "instance").await.instance().1, 1);
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_killed_or_removed_from_outside() {
    let server = Server::start().await;
    for format in ["default", "http", "json"] {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        for command in [&["kill"][..], &["rm", "--force"]] {
            let (reply, ()) = tokio::join!(server.run(&path, "stderr here; hang"), async {
                server.until_running(&path, 1).await;
                let running = server.containers().await;
                assert_eq!(running.len(), 1);
                server.engine().docker(&[command, &[running[0].as_str()]].concat()).await;
            });
            assert_eq!(reply.status, 502, "{format} {command:?}: {reply:?}");
            let message = reply.message();
            assert!(["container killed", "container vanished"].contains(&message.as_str()), "{format}: {message}");
            let record = server.record(&reply).await;
            record.is_failure("error", "killed", &message);
            server.is_empty().await;
        }
        if format != "default" {
            // One that idles meanwhile is noticed, and no call is given to it.
            server.run(&path, "instance").await;
            server.engine().docker(&["kill", &server.containers().await[0]]).await;
            assert_eq!(server.run(&path, "instance").await.instance().1, 1, "{format}");
            server.has_containers(1).await;
            server.manage("DELETE", &format!("/v1/apps/{APP}/routes{path}"), &json!(null)).await;
            server.is_empty().await;
        }
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_before_the_first_request() {
    let server = Server::start().await;
    let early = |format| format!("invalid function response: {format}: output before the first request");
    // What was written before the request may be read only after it; it is no answer then either.
    let spoke = [early("http"), "invalid function response: http: malformed status line".to_owned()];
    let spoke_json =
        [early("json"), "invalid function response: json: expected an object, found something else".to_owned()];
    let died = ["container exit code 3".to_owned()];
    let left = ["container exited without a response".to_owned()];
    for (path, format, start, messages, reason) in [
        ("/spoke", "http", "stdout x", &spoke[..], "bad_output"),
        ("/spoke-json", "json", "stdout x", &spoke_json, "bad_output"),
        ("/died", "http", "exit 3", &died, "bad_exit"),
        ("/left", "json", "exit 0", &left, "bad_exit"),
        ("/cold", "default", "exit 3", &died, "bad_exit"),
    ] {
        server.route(path).format(format).config("HEARTH_START", start).create().await;
        let reply = server.run(path, "body x").await;
        let message = reply.message();
        assert!(messages.contains(&message), "{path}: {message}");
        reply.is_call_error(502, &message);
        let record = server.record(&reply).await;
        let kept = (record.text("status"), record.text("reason"), record.text("error"));
        assert_eq!(kept, ("error", reason, message.as_str()), "{path}");
        server.is_empty().await;
    }
    // One that only takes its time is waited for.
    server.route("/late").config("HEARTH_START_DELAY", "1500").create().await;
    server.run("/late", "body x").await.is_answer("x");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_decide_when_a_container_serves() {
    let server = Server::start().await;
    let slow = format!("hearth-e2e/{}:slow", server.id().to_lowercase());
    server.engine().build(&slow, "HEALTHCHECK --interval=5s CMD [\"/hearth-fixture\", \"probe\", \"healthy\"]").await;
    for format in ["default", "http"] {
        let path = |name: &str| format!("/{name}-{format}");
        server.route(&path("well")).format(format).image("hearth/fixture:healthy").create().await;
        server.run(&path("well"), "body x").await.is_answer("x");
        server.route(&path("ill")).format(format).image("hearth/fixture:unhealthy").create().await;
        let ill = server.run(&path("ill"), "body x").await;
        ill.is_call_error(502, "container is unhealthy");
        server.record(&ill).await.never_ran("error", "bad_exit", "container is unhealthy");
        // Not healthy within half of the call's time: it has not begun, and may be tried again.
        server.route(&path("slow")).format(format).image(&slow).timeout(4).create().await;
        let late = server.run(&path("slow"), "body x").await;
        late.is_call_error(503, "Timed out - server too busy");
        assert_eq!(late.value("retry-after"), "15");
        assert!(late.took >= Duration::from_secs(2), "{late:?}");
        server.record(&late).await.never_ran("error", "no_capacity", "Timed out - server too busy");
    }
    server.finish().await;
    Engine::shared().await.try_docker(&["rmi", "--force", &slow]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_not_there() {
    let server = Options::new().await.setting("FN_MEMORY", "128MiB").start().await;
    server.route("/large").memory(129).create().await;
    let large = server.run("/large", "body x").await;
    large.is_call_error(503, "function needs 129 MB of memory, this server has 128 MB");
    server.record(&large).await.never_ran("error", "no_capacity", &large.message());
    server.route("/holder").memory(128).create().await;
    server.route("/other").memory(64).timeout(10).create().await;
    let (held, refused) = tokio::join!(server.run("/holder", "sleep 8000; body x"), async {
        server.until_running("/holder", 1).await;
        server.run("/other", "body x").await
    });
    held.is_answer("x");
    refused.is_call_error(503, "Timed out - server too busy");
    assert_eq!(refused.value("retry-after"), "15");
    server.record(&refused).await.never_ran("error", "no_capacity", "Timed out - server too busy");
    // Now it only idles, and makes room.
    server.route("/patient").memory(64).create().await;
    server.run("/patient", "body x").await.is_answer("x");
    server.has_containers(1).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_cut_at_its_limit_and_the_call_is_not_disturbed() {
    let server = Server::start().await;
    for format in ["default", "http", "json"] {
        let path = format!("/{format}");
        server.route(&path).format(format).create().await;
        let reply = server.run(&path, "logflood 5m; body out").await;
        reply.is_answer("out");
        let record = server.record(&reply).await;
        record.is_success();
        assert_eq!(record.log.len(), 1_048_639, "{format}");
        assert!(record.log.ends_with("\n-----max log size 1048576 bytes exceeded, truncating log-----\n"), "{format}");
        let next = server.run(&path, "stderr short; body x").await;
        assert_eq!(server.record(&next).await.log, "short\n", "{format}");
    }
    // For ever, as fast as it goes, until the deadline.
    server.route("/flood").timeout(16).create().await;
    let flood = server.run("/flood", "lograte").await;
    flood.is_call_error(504, "Timed out");
    let record = server.record(&flood).await;
    record.is_failure("timeout", "timeout", "Timed out");
    assert_eq!(record.log.len(), 1_048_639);
    let resident = resident_mib(&server);
    assert!(resident < 200, "a flood grew the server to {resident} MiB");
    server.finish().await;
}

fn resident_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Answers that are good, from containers that are not to be used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_breaks_the_rules_beside_a_good_answer() {
    let server = Server::start().await;
    for (path, format, preset, body) in [
        ("/surplus", "http", "body x; surplus y", &b"in"[..]),
        ("/surplus-json", "json", "body x; surplus {}", b"in"),
        ("/exits", "http", "body x; after exit 1", b"in"),
        ("/no-read", "http", "no-read; body x", &[b'a'; 1 << 20]),
        ("/http10", "http", "http10; nolength; body x", b"in"),
    ] {
        server.route(path).format(format).config("HEARTH_SCRIPT", preset).create().await;
        let reply = server.call(path).body(body).send().await;
        reply.is_answer("x");
        server.record(&reply).await.is_success();
        server.is_empty().await;
    }
    // Nor is one kept that says more than it should while it idles.
    server.route("/late").create().await;
    let late = server.run("/late", "late 300 stdout y; body x").await;
    late.is_answer("x");
    server.is_empty().await;
    server.finish().await;
}

/// Odd ways to read a request that harm nobody: the container stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_only_odd_is_kept() {
    let server = Options::new().await.setting("FN_PREREAD", "64KiB").start().await;
    let small = vec![b'a'; 2_000];
    let large = vec![b'a'; 2 << 20];
    for (path, format, preset, body, answer) in [
        ("/early", "http", "answer-early; body x", &small, "x"),
        ("/early-json", "json", "answer-early; body x", &small, "x"),
        ("/slow", "http", "slow-read 5; body x", &small, "x"),
        ("/continue", "http", "continue100; body x", &small, "x"),
        ("/chunked", "http", "chunked; body x", &large, "x"),
        ("/newline", "json", "body x; surplus \\n", &small, "x"),
    ] {
        server.route(path).format(format).config("HEARTH_SCRIPT", preset).create().await;
        for _ in 0..2 {
            let reply = server.call(path).body(body.clone()).send().await;
            reply.is_answer(answer);
            server.record(&reply).await.is_success();
        }
        let count = server
            .engine()
            .docker(&[
                "ps",
                "--quiet",
                "--filter",
                &format!("label=hearth.route={path}"),
                "--filter",
                &format!("label=hearth.server={}", server.id()),
            ])
            .await;
        assert_eq!(count.lines().count(), 1, "{path}");
        server.manage("DELETE", &format!("/v1/apps/{APP}/routes{path}"), &json!(null)).await;
    }
    // An answer ahead of a large request that is then not taken: the client has its answer.
    server.route("/large").config("HEARTH_SCRIPT", "answer-early; body x").create().await;
    let reply = server.call("/large").body(large).send().await;
    reply.is_answer("x");
    server.finish().await;
}

/// The engine does not tell that a pipe of a container was closed, so one that can no longer answer is found out at
/// the deadline of the next call.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_closes_its_pipes() {
    let server = Server::start().await;
    server.route("/http").timeout(16).create().await;
    server.route("/cold").format("default").timeout(20).create().await;
    server.run("/http", "body x; after close-stdout").await.is_answer("x");
    let mute = server.run("/http", "body x").await;
    mute.is_call_error(504, "Timed out");
    server.record(&mute).await.is_failure("timeout", "timeout", "Timed out");
    server.is_empty().await;
    server.run("/http", "close-stderr; body x").await.is_answer("x");
    server.call("/cold").script("close-stdin; body x").body("in").send().await.is_answer("x");
    server.run("/cold", "close-stderr; body x").await.is_answer("x");
    server.run("/cold", "partial x; close-stdout").await.is_answer("x");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_outlives_all_of_it() {
    let server = Server::start().await;
    server.route("/f").create().await;
    let scripts = ["exit 3", "garbage", "body x; truncate", "exit-silent", "body x", "body x; surplus y", "abort"];
    let calls = (0..42).map(async |number: usize| {
        let script = scripts[number % scripts.len()];
        let reply = server.run("/f", &format!("stderr {number}; {script}")).await;
        let record: Record = server.record(&reply).await;
        assert_ne!(record.text("completed_at"), "0001-01-01T00:00:00.000Z");
        assert_eq!(
            reply.status == 200 && reply.complete,
            record.text("status") == "success",
            "{script}: {reply:?} {record:?}"
        );
        assert_eq!(record.log, format!("{number}\n"), "{script}");
    });
    join_all(calls).await;
    eventually(PATIENCE, "it serves", async || {
        let reply = server.run("/f", "body well").await;
        if reply.status == 200 { Ok(()) } else { Err(reply.status) }
    })
    .await;
    server.signal(Signal::TERM);
    let (ended, options) = server.ended().await;
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(options.containers().await, [""; 0]);
}

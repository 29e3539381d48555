//! Many callers at once, some of functions that misbehave: everyone gets their own answer, and every log is that of
//! its call.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use ulid::Ulid;

use crate::support::{Options, Record, Reply, Server};

const CALLERS: usize = 64;
const CALLS: usize = 3;

/// What callers do, `N` being a nonce to tell their traces by, and whether they get an answer, which is the nonce.
const DEEDS: [(&str, bool); 13] = [
    ("stderr N; body N", true),
    ("stderr N; exit 3; body N", false),
    ("stderr N; body N", true),
    ("stderr N; body N", true),
    ("stderr N; garbage; body N", false),
    ("stderr N; sleep 30; body N", true),
    ("stderr N; body N", true),
    ("stderr N; exit-silent", false),
    ("stderr-raw N; stderr; body N", true),
    ("stderr N; body N", true),
    ("stderr N; body N", true),
    ("stderr N; body N", true),
    SURPLUS,
];

/// What comes after an answer may come so late that it is taken for the beginning of the next.
const SURPLUS: (&str, bool) = ("stderr N; body N; surplus N", true);

/// Lines in a log that are not of its call, and lines of the call that are not in it.
fn strays(record: &Record, nonce: &str) -> (usize, usize) {
    let foreign = record.log.lines().filter(|line| *line != nonce && !line.is_empty()).count();
    let own = record.log.lines().filter(|line| *line == nonce).count();
    (foreign, usize::from(own == 0))
}

fn check(reply: &Reply, answers: bool, nonce: &str, script: &str) {
    if answers {
        assert_eq!((reply.status, reply.text(), reply.complete), (200, nonce, true), "{script}");
    } else {
        assert_eq!(reply.status, 502, "{script}: {reply:?}");
    }
}

async fn hammer(server: &Server, deeds: &[(&str, bool)]) -> (usize, usize) {
    let paths = ["/http", "/json", "/http-stream", "/http2", "/json2"];
    for path in paths {
        server.route(path).format(path[1..].trim_end_matches('2')).timeout(120).create().await;
        server.run(path, "body warm").await.is_answer("warm");
    }
    let (foreign, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let callers = (0..CALLERS).map(async |caller: usize| {
        for call in 0..CALLS {
            let nonce = Ulid::generate().to_string();
            let (script, answers) = deeds[(caller + call * 5) % deeds.len()];
            let script = script.replace('N', &nonce);
            let reply = server.call(paths[caller % paths.len()]).script(&script).body(nonce.clone()).send().await;
            check(&reply, answers, &nonce, &script);
            let record = server.record(&reply).await;
            assert_eq!(record.text("status"), if answers { "success" } else { "error" }, "{script}: {record:?}");
            let (strange, missing) = strays(&record, &nonce);
            if strange + missing > 0 {
                let (path, log) = (paths[caller % paths.len()], &record.log);
                println!("{path}: {script}: {strange} foreign, {missing} lost: {log:?}");
            }
            foreign.fetch_add(strange, Ordering::Relaxed);
            lost.fetch_add(missing, Ordering::Relaxed);
        }
    });
    join_all(callers).await;
    (foreign.into_inner(), lost.into_inner())
}

/// With a window that is wider than log lines are late, none goes astray.
#[tokio::test(flavor = "multi_thread")]
async fn everyone_gets_their_own_answer_and_every_log_is_that_of_its_call() {
    let options = Options::new().await.setting("FN_STDERR_DRAIN", "100ms").setting("FN_MAX_STDERR_DRAIN", "100ms");
    let server = options.start().await;
    assert_eq!(hammer(&server, &DEEDS).await, (0, 0), "lines that are foreign, lines that are lost");
    server.finish().await;
}

/// With the defaults answers are as safe; lines may come too late. What is measured here is printed.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_defaults_answers_are_as_safe_and_few_lines_are_late() {
    let options = Options::new().await.setting("FN_STDERR_DRAIN", "250us").setting("FN_MAX_STDERR_DRAIN", "5ms");
    let server = options.start().await;
    let (foreign, lost) = hammer(&server, DEEDS.split_last().unwrap().1).await;
    println!("of {} calls under full load, {foreign} foreign lines in logs, {lost} lines lost", CALLERS * CALLS);
    server.finish().await;
}

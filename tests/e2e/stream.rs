//! `http-stream`: functions that listen on a socket (v2 contract B.3), behind routes of v1.

use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::future::join_all;
use rustix::process::Signal;

use crate::support::{APP, Options, PATIENCE, Reply, Server, eventually};

const INIT_FAILED: &str =
    "Container failed to initialize, please ensure you are using the latest fdk and check the logs";
pub(crate) const INIT_TIMED_OUT: &str =
    "Container initialization timed out, please ensure you are using the latest fdk and check the logs";
const NOT_RECEIVED: &str = "error receiving function response";
const INVALID: &str = "invalid function response";

/// A container is used again, or not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Goes,
    Stays,
}

/// The socket directories of the server.
pub(crate) fn directories(directory: &Path, id: &str) -> Vec<PathBuf> {
    let found = std::fs::read_dir(directory.join("data/iofs").join(id)).unwrap();
    found.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

pub(crate) async fn has_directories(server: &Server, count: usize) {
    eventually(PATIENCE, "so many socket directories", async || {
        let found = directories(server.directory(), &server.id());
        if found.len() == count { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

// === rows of B.3.5 ===

/// What a script comes to.
struct Row(&'static str, u16, &'static str, &'static str, &'static str, After);

impl Row {
    async fn holds(&self, server: &Server, path: &str) {
        let Self(script, status, message, state, reason, after) = *self;
        server.route(path).format("http-stream").timeout(3).create().await;
        let before = server.run(path, "instance").await;
        assert_eq!(before.instance().1, 1, "{script}");
        let reply = server.call(path).script(&format!("stderr about to; {script}")).body("in").send().await;
        reply.is_call_error(status, message);
        let record = server.record(&reply).await;
        record.is_failure(state, reason, message);
        assert_eq!(record.log, "about to\n", "{script}");
        let next = server.run(path, "instance").await;
        let stays = next.instance().0 == before.instance().0;
        assert_eq!(stays, after == After::Stays, "{script}: {before:?} {next:?}");
        println!("{script}: {status} {message}; {state}, {reason}; the container {after:?}");
    }
}

async fn hold(rows: &[Row]) {
    let server = Options::new().await.setting("FN_MAX_RESPONSE", "1MiB").start().await;
    let paths: Vec<_> = (0..rows.len()).map(|number| format!("/{number}")).collect();
    for some in rows.iter().zip(&paths).collect::<Vec<_>>().chunks(3) {
        join_all(some.iter().map(|(row, path)| row.holds(&server, path))).await;
    }
    has_directories(&server, rows.len()).await;
    let directory = server.directory().to_owned();
    let id = server.id();
    server.is_unused(&paths).await;
    assert_eq!(directories(&directory, &id), Vec::<PathBuf>::new());
    server.finish().await;
}

impl Server {
    /// Deletes routes and waits until their containers are gone, with their directories.
    pub(crate) async fn is_unused(&self, paths: &[String]) {
        for path in paths {
            self.request("DELETE", &format!("/v1/apps/{APP}/routes{path}")).send().await;
        }
        has_directories(self, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_answers_of_itself() {
    use After::{Goes, Stays};
    hold(&[
        Row("raw-status 502; body x", 502, "function failed", "error", "bad_exit", Stays),
        Row("raw-status 504; body x", 504, "Timed out", "timeout", "timeout", Stays),
        Row("raw-status 500; body x", 502, INVALID, "error", "bad_output", Goes),
        Row("raw-status 201; body x", 502, INVALID, "error", "bad_output", Goes),
        Row("raw-status 204", 502, INVALID, "error", "bad_output", Goes),
        Row("raw-status 302; body x", 502, INVALID, "error", "bad_output", Goes),
        Row("raw-status 404; body x", 502, INVALID, "error", "bad_output", Goes),
        Row("raw-header Fn-Http-Status 99; body x", 502, INVALID, "error", "bad_output", Goes),
        Row("raw-header Fn-Http-Status 1000; body x", 502, INVALID, "error", "bad_output", Goes),
        Row("raw-header Fn-Http-Status 101; body x", 502, INVALID, "error", "bad_output", Goes),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_received() {
    use After::Goes;
    const HEADER: &str = "function response header too large";
    const BODY: &str = "function response body too large";
    let header: &str = Box::leak(format!("raw-header X {}; body x", "x".repeat(9_000)).into_boxed_str());
    let headers: &str = Box::leak([header; 8].join("; ").into_boxed_str());
    hold(&[
        Row("garbage", 502, NOT_RECEIVED, "error", "bad_output", Goes),
        Row("hang-up; body lost", 502, NOT_RECEIVED, "error", "bad_output", Goes),
        Row("body begun; flush; hang-up", 502, NOT_RECEIVED, "error", "bad_output", Goes),
        Row("exit 3", 502, NOT_RECEIVED, "error", "bad_exit", Goes),
        Row("exit-silent", 502, NOT_RECEIVED, "error", "bad_exit", Goes),
        Row("alloc-until-oom", 502, NOT_RECEIVED, "error", "out_of_memory", Goes),
        Row("raw-header Content-Length x; body y", 502, NOT_RECEIVED, "error", "bad_output", Goes),
        Row("raw-header Transfer-Encoding gzip; body y", 502, NOT_RECEIVED, "error", "bad_output", Goes),
        Row("hang", 504, "Timed out", "timeout", "timeout", Goes),
        Row("stall-after-head", 504, "Timed out", "timeout", "timeout", Goes),
        Row("big 2m", 502, BODY, "error", "bad_output", Goes),
    ])
    .await;
    let server = Server::start().await;
    server.route("/f").format("http-stream").config("HEARTH_SCRIPT", headers).create().await;
    let reply = server.call("/f").send().await;
    reply.is_call_error(502, HEADER);
    server.record(&reply).await.is_failure("error", "bad_output", HEADER);
    // What a function frames as it likes is no fault.
    server.route("/g").format("http-stream").create().await;
    for (script, status) in
        [("raw-header Fn-Http-Status teapot; body x", 200), ("raw-header Fn-Http-Status 999; body x", 999)]
    {
        let reply = server.run("/g", script).await;
        assert_eq!((reply.status, reply.text()), (status, "x"), "{script}");
    }
    let wrong = server.run("/g", "raw-header Fn-Http-H-Content-Length 999; body x").await;
    wrong.is_answer("x");
    assert_eq!(wrong.value("content-length"), "1");
    server.finish().await;
}

// === readiness, B.3.3 ===

/// How a function opens its socket, and what comes of the call that it is started for.
async fn opens(server: &Server, listen: &str) -> Reply {
    let path = format!("/{listen}");
    server.route(&path).format("http-stream").config("HEARTH_LISTEN", listen).create().await;
    server.call(&path).script("body open").send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_can_be_used_is_used() {
    let server = Server::start().await;
    for listen in ["direct", "renamed"] {
        opens(&server, listen).await.is_answer("open");
    }
    // Whoever may do anything may connect to it.
    let locked = opens(&server, "locked").await;
    if rustix::process::geteuid().is_root() {
        locked.is_answer("open");
    } else {
        locked.is_call_error(502, NOT_RECEIVED);
    }
    server.route("/slow").format("http-stream").config("HEARTH_START_DELAY", "1500").create().await;
    server.run("/slow", "body awake").await.is_answer("awake");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_become_ready_is_told_from_one_that_cannot() {
    let server = Options::new().await.setting("FN_HOT_START_TIMEOUT_MSECS", "2500").start().await;
    for listen in ["absolute", "upwards", "dangling", "file"] {
        let reply = opens(&server, listen).await;
        reply.is_call_error(502, INIT_FAILED);
        server.record(&reply).await.never_ran("error", "bad_output", INIT_FAILED);
    }
    let deaf = opens(&server, "deaf").await;
    deaf.is_call_error(502, NOT_RECEIVED);
    server.record(&deaf).await.never_ran("error", "bad_exit", NOT_RECEIVED);
    let never = opens(&server, "never").await;
    never.is_call_error(504, INIT_TIMED_OUT);
    server.record(&never).await.never_ran("error", "image", INIT_TIMED_OUT);
    for (path, start, reason) in [
        ("/exits", "exit 1", "bad_exit"),
        ("/leaves", "exit 0", "bad_exit"),
        ("/eats", "alloc-until-oom", "out_of_memory"),
    ] {
        server.route(path).format("http-stream").config("HEARTH_START", start).create().await;
        let reply = server.call(path).send().await;
        reply.is_call_error(502, INIT_FAILED);
        assert!(reply.took.as_millis() < 2_500, "at once: {reply:?}");
        server.record(&reply).await.never_ran("error", reason, INIT_FAILED);
    }
    has_directories(&server, 0).await;
    server.finish().await;
}

// === what goes through ===

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_told_of_its_socket_and_of_the_request() {
    let server = Server::start().await;
    server.route("/f").format("http-stream").config("MINE", "1").create().await;
    let env = server.run("/f", "env").await;
    for line in
        ["FN_LISTENER=unix:/tmp/iofs/lsnr.sock", "FN_FORMAT=http-stream", "FN_MEMORY=64", "FN_TYPE=sync", "MINE=1"]
    {
        assert!(env.text().lines().any(|have| have == line), "{line}: {}", env.text());
    }
    assert!(env.text().contains("FN_FN_ID=") && env.text().contains("FN_APP_ID="), "{}", env.text());
    assert!(!env.text().contains("FN_PATH") && !env.text().contains("FN_APP_NAME"), "{}", env.text());

    let call = server.request("PUT", &format!("/r/{APP}/f?a=b%20c")).header("X-Own", "v").header("Content-Type", "t/x");
    let request = call.header("Fn-Call-Id", "forged").script("headers").body("in").send().await;
    let has = |line: &str| assert!(request.text().lines().any(|have| have == line), "{line}: {}", request.text());
    has("Host: localhost");
    has("Transfer-Encoding: chunked");
    has("Fn-Http-Method: PUT");
    has(&format!("Fn-Http-Request-Url: http://{}/r/{APP}/f?a=b%20c", server.address()));
    has("Fn-Intent: httprequest");
    has(&format!("Fn-Call-Id: {}", request.call_id()));
    has("Content-Type: t/x");
    has("Fn-Http-H-X-Own: v");
    has("Fn-Http-H-Content-Length: 2");
    has("Fn-Http-H-Fn-Call-Id: forged");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stdout_and_stderr_are_the_log() {
    // From the function, and through the engine, which carries them apart from each other.
    for is_direct in [true, false] {
        let options = Options::new().await.setting("FN_DISABLE_DIRECT_LOGS", if is_direct { "0" } else { "1" });
        let server = options.start().await;
        server.route("/f").format("http-stream").create().await;
        for number in 0..3 {
            let reply = server.run("/f", &format!("stderr e{number}; print o{number}; body x")).await;
            reply.is_answer("x");
            let log = server.record(&reply).await.log;
            let mut lines: Vec<_> = log.lines().collect();
            if !is_direct {
                lines.sort_unstable();
            }
            assert_eq!(lines, [format!("e{number}"), format!("o{number}")]);
        }
        let last = server.run("/f", "stderr last words; exit 3").await;
        assert_eq!((last.status, server.record(&last).await.log.as_str()), (502, "last words\n"));
        server.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_programs_are_forbidden_functions_run_without_being_launched() {
    let place = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "noexec", "tmpfs"]).arg(place.path()).status();
    assert!(mount.unwrap().success());
    let server = Options::new().await.setting("FN_IOFS_PATH", place.path().to_str().unwrap()).start().await;
    server.route("/f").format("http-stream").create().await;
    let reply = server.run("/f", "stderr line; body x").await;
    reply.is_answer("x");
    assert_eq!(server.record(&reply).await.log, "line\n");
    let told = server.finish_with_errors().await;
    assert!(told.contains("functions cannot be launched from here"), "{told}");
    assert!(Command::new("umount").arg(place.path()).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_its_function_closed_costs_no_call() {
    let server = Server::start().await;
    server.route("/closes").format("http-stream").create().await;
    server.route("/idles").format("http-stream").config("HEARTH_IDLE_CLOSE", "20").create().await;
    let instance = server.run("/closes", "instance").await;
    for number in 2..12 {
        // Said ahead, and not.
        let after = ["raw-header Connection close; after hang-up", "after hang-up"][number as usize % 2];
        let reply = server.run("/closes", &format!("instance; {after}")).await;
        assert_eq!(reply.instance(), (instance.instance().0, number), "{after}");
    }
    let instance = server.run("/idles", "instance").await;
    for number in 2..12 {
        // Around the time at which it closes.
        tokio::time::sleep(std::time::Duration::from_millis(18 + u64::from(number) % 4)).await;
        let reply = server.run("/idles", "instance").await;
        assert_eq!(reply.instance(), (instance.instance().0, number));
    }
    server.finish().await;
}

// === crashes ===

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_leaves_no_socket_directory_to_the_next() {
    let server = Server::start().await;
    for path in ["/a", "/b"] {
        server.route(path).format("http-stream").create().await;
        server.run(path, "body x").await.is_answer("x");
    }
    has_directories(&server, 2).await;
    let left = directories(server.directory(), &server.id());
    server.signal(Signal::KILL);
    let (_, options) = server.ended().await;
    let server = options.start().await;
    assert!(left.iter().all(|path| !path.exists()), "{left:?}");
    server.run("/a", "body again").await.is_answer("again");
    server.finish().await;
}

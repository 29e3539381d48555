//! What containers of `http-stream` functions are like (v2 contract B.5.1), what of it can be set, and where their sockets
//! are.

use futures_util::future::join_all;
use rustix::process::Signal;

use crate::stream::INIT_TIMED_OUT;
use crate::support::{FIXTURE, Options, Server};

/// As an ordinary user, in a file system that is not its own (v2 contract B.5.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_as_the_contract_has_it() {
    let server = Server::start().await;
    server.route("/f").format("http-stream").create().await;
    let limits = server.run("/f", "file /proc/self/limits").await;
    for (name, limit) in [
        ("Max open files", "350"),
        ("Max locked memory", "65536"),
        ("Max pending signals", "5000"),
        ("Max msgqueue size", "819200"),
    ] {
        let line = limits.text().lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line[name.len()..].split_whitespace().next(), Some(limit), "{line}");
    }
    let status = server.run("/f", "file /proc/self/status").await;
    for line in
        ["Uid:\t1000\t1000\t1000\t1000", "Gid:\t1000\t1000\t1000\t1000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    {
        assert!(status.text().contains(line), "{line}: {}", status.text());
    }
    let mounts = server.run("/f", "file /proc/self/mounts").await;
    let options = |place: &str| {
        let line = mounts.text().lines().find(|line| line.split(' ').nth(1) == Some(place)).unwrap_or_default();
        let options = line.split(' ').nth(3).unwrap_or_default();
        options.split(',').next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        (options("/"), options("/tmp"), options("/tmp/iofs")),
        ("ro".to_owned(), "rw".to_owned(), "rw".to_owned())
    );
    let init = server.run("/f", "file /proc/1/comm").await;
    assert_eq!(init.text(), "docker-init\n");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_contract_takes_from_a_container_can_be_left_to_it() {
    let server = Options::new()
        .await
        .setting("FN_DISABLE_UNPRIVILEGED_CONTAINERS", "true")
        .setting("FN_DISABLE_READONLY_ROOTFS", "true")
        .start()
        .await;
    server.route("/f").format("http-stream").create().await;
    let status = server.run("/f", "file /proc/self/status").await;
    for line in ["Uid:\t0\t0\t0\t0", "NoNewPrivs:\t0"] {
        assert!(status.text().contains(line), "{line}: {}", status.text());
    }
    assert!(!status.text().contains("CapEff:\t0000000000000000"), "{}", status.text());
    let mounts = server.run("/f", "file /proc/self/mounts").await;
    let root = mounts.text().lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap_or_default();
    assert!(root.split(' ').nth(3).unwrap_or_default().starts_with("rw,"), "{root}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_directory_may_be_a_file_system_with_a_size() {
    if !rustix::process::geteuid().is_root() {
        println!("only root may mount");
        return;
    }
    let options =
        Options::new().await.setting("FN_IOFS_TMPFS", "true").setting("FN_IOFS_OPTS", "size=64k,nr_inodes=16");
    let server = options.start().await;
    server.route("/f").format("http-stream").create().await;
    let mounts = server.run("/f", "file /proc/self/mounts").await;
    let line = mounts.text().lines().find(|line| line.split(' ').nth(1) == Some("/tmp/iofs")).unwrap_or_default();
    assert!(line.starts_with("tmpfs ") && line.contains("size=64k") && line.contains("noexec"), "{line}");
    let directory = server.directory().join("data/iofs").to_string_lossy().into_owned();
    let mounted = || std::fs::read_to_string("/proc/self/mounts").unwrap().matches(&directory).count();
    assert_eq!(mounted(), 1);
    server.is_unused(&["/f".to_owned()]).await;
    assert_eq!(mounted(), 0, "it goes with its container");
    // Killed, it leaves one to the next.
    server.route("/f").format("http-stream").create().await;
    server.run("/f", "body x").await.is_answer("x");
    server.signal(Signal::KILL);
    let (_, options) = server.ended().await;
    let server = options.start().await;
    assert_eq!(mounted(), 0);
    server.finish().await;
}

/// A server that runs in a container itself sees the directory under another name than the engine.
#[tokio::test(flavor = "multi_thread")]
async fn the_engine_may_know_the_directory_by_another_name() {
    let options = Options::new().await;
    let place = options.directory().join("place");
    let alias = options.directory().join("alias");
    std::fs::create_dir(&place).unwrap();
    std::os::unix::fs::symlink(&place, &alias).unwrap();
    let options = options.setting("FN_IOFS_PATH", place.to_str().unwrap());
    let server = options.setting("FN_IOFS_DOCKER_PATH", alias.to_str().unwrap()).start().await;
    server.route("/f").image(FIXTURE).format("http-stream").create().await;
    server.run("/f", "body x").await.is_answer("x");
    let made =
        std::fs::read_dir(place.join(server.id())).unwrap().filter(|made| made.as_ref().unwrap().path().is_dir());
    assert_eq!(made.count(), 1);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_the_engine_does_not_see_is_told_of_before_a_function_misses_it() {
    let server = Options::new().await.setting("FN_IOFS_DOCKER_PATH", "/nowhere/hearth").start().await;
    server.route("/f").format("http-stream").create().await;
    let reply = server.run("/f", "body x").await;
    assert_eq!(reply.status, 502, "{reply:?}");
    assert!(reply.message().contains("/nowhere/hearth"), "{reply:?}");
    // Others need none.
    server.route("/g").format("http").create().await;
    server.run("/g", "body x").await.is_answer("x");
    let log = server.finish_with_errors().await;
    let told = log.lines().find(|line| line.contains("the engine does not see their socket directories")).unwrap();
    assert!(told.contains(" WARN ") && told.contains("FN_IOFS_DOCKER_PATH"), "{told}");
}

/// Of many that wait, nobody waits for a second start.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_wait_for_a_function_that_never_becomes_ready_hear_of_it_and_why() {
    let server = Options::new().await.setting("FN_HOT_START_TIMEOUT_MSECS", "2000").start().await;
    let never = server.route("/never").format("http-stream").config("HEARTH_LISTEN", "never");
    never.config("HEARTH_START", "stderr no such module").create().await;
    let replies = join_all((0..8).map(|_| server.call("/never").send())).await;
    for reply in &replies {
        reply.is_call_error(504, INIT_TIMED_OUT);
        let record = server.record(reply).await;
        let ended = (record.text("status"), record.text("reason"), record.text("error"));
        assert_eq!(ended, ("error", "image", INIT_TIMED_OUT));
        assert_eq!(record.log, "no such module\n");
    }
    // One more would have begun when the first had failed.
    let metrics = server.metrics().await;
    let starts: f64 = metrics.all("hearth_launches_total").iter().map(|(_, value)| value).sum();
    assert!(starts <= 6.0, "{starts} starts for {} calls", replies.len());
    server.finish().await;
}

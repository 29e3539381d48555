//! The binary from outside, as far as it gets without a Docker engine: usage, settings, and what it says when it
//! cannot start.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `hearth` with these arguments and variables, and nothing else of this environment.
fn hearth(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hearth"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(directory)
        .output()
        .unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

#[test]
fn all_bad_settings_are_reported_at_once_and_nothing_is_started() {
    let home = tempfile::tempdir().unwrap();
    let environment =
        [("PORT", "http"), ("FN_LOG_LEVEL", "loud"), ("MQ_URL", "bolt:///mq.db"), ("DB_URL", "oracle://u:pw@h/d")];
    let output = hearth(home.path(), &["serve", "--listen", "nowhere"], &environment);
    assert_eq!(output.status.code(), Some(64));
    let said = lines(&output.stderr);
    assert_eq!(said.len(), 5, "{said:#?}");
    assert!(said.iter().all(|line| line.starts_with("hearth: bad setting ")), "{said:#?}");
    assert!(!said.concat().contains("pw"), "no secret is repeated");
    assert!(!home.path().join("data").exists(), "no file is made");
}

#[test]
fn without_an_engine_it_says_in_one_line_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    // So little that no limit of open files is too low for it.
    let little = ["serve", "--port", "0", "--max-connections", "10", "--memory", "128MiB"];
    let output = hearth(home.path(), &little, &[("DOCKER_HOST", "unix:///nowhere/docker.sock")]);
    assert_eq!(output.status.code(), Some(69));
    let said = lines(&output.stderr);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("hearth: cannot reach the Docker engine at unix:///nowhere/docker.sock; start it"));
    assert!(home.path().join("data/server-id").exists());
}

#[test]
fn a_log_store_that_cannot_be_used_is_told_in_one_line_without_its_secret() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), "").unwrap();
    for (url, word) in [
        ("file://file", "cannot keep logs in /"),
        (
            "s3://key:secret@127.0.0.1:1/us-east-1/bucket",
            "cannot keep logs in http://127.0.0.1:1/bucket in us-east-1: ",
        ),
        ("s3://key:secret@127.0.0.1:1/", "must provide bucket name and region in path of s3 api url."),
        ("ftp://key:secret@h", "bad setting LOGSTORE_URL: db type not supported ftp"),
    ] {
        let output = hearth(home.path(), &["serve", "--port", "0"], &[("LOGSTORE_URL", url)]);
        assert_eq!(output.status.code(), Some(64), "{url}");
        let said = lines(&output.stderr);
        let [line] = &said[..] else { panic!("{url}: {said:#?}") };
        assert!(line.starts_with(&format!("hearth: {word}")) && !line.contains("secret"), "{line}");
    }
}

#[test]
fn a_docker_host_that_is_none_is_a_bad_setting() {
    let home = tempfile::tempdir().unwrap();
    let output = hearth(home.path(), &["serve", "--port", "0"], &[("DOCKER_HOST", "ssh://h")]);
    assert_eq!(output.status.code(), Some(64), "{:?}", lines(&output.stderr));
}

#[test]
fn wrong_usage_is_told_from_help() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, code, word) in [
        (&["--version"][..], 0, "hearth "),
        (&["help"], 0, "serve"),
        (&["serve", "--help"], 0, "FN_DB_URL, DB_URL"),
        (&[], 64, "serve"),
        (&["serve", "--listne", "x"], 64, "--listen"),
        (&["swerve"], 64, "serve"),
    ] {
        let output = hearth(home.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains(word), "{arguments:?}");
    }
}

#[test]
fn a_check_tells_all_that_is_broken_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let environment =
        [("DOCKER_HOST", "unix:///nowhere/docker.sock"), ("FN_DB_URL", "postgres://u:secret@127.0.0.1:1/d")];
    let output = hearth(home.path(), &["check", "--port", "0", "--memory", "1GiB"], &environment);
    assert_eq!(output.status.code(), Some(1), "{:?}", lines(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    for line in ["BROKEN  docker          ", "BROKEN  database        ", "ok      port            127.0.0.1:0 is free"]
    {
        assert!(said.contains(line), "{line} in {said}");
    }
    assert!(said.ends_with("to be fixed before a server can start: 2\n") && !said.contains("secret"), "{said}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is made");
    assert_eq!(hearth(home.path(), &["check", "--port", "x"], &[]).status.code(), Some(64));
}

#[test]
fn a_call_of_a_server_that_is_away_is_told_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let output = hearth(home.path(), &["call", "app", "ID", "--url", "http://127.0.0.1:1"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = lines(&output.stderr);
    assert!(said.len() == 1 && said[0].starts_with("hearth: ") && said[0].contains("127.0.0.1:1"), "{said:#?}");
}

#[test]
fn its_memory_is_in_ordinary_pages() {
    // It has begun when it asks for the call, and waits until it is killed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_hearth"))
        .args(["call", "app", "ID", "--url", &url])
        .env_clear()
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let connection = listener.accept().unwrap();
    let of = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let (status, maps) = (of("status"), of("smaps"));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(connection);
    // Kernels without huge pages say nothing of them.
    assert!(!status.contains("THP_enabled:\t1"), "{status}");
    // "hg": the allocator asked for them.
    let asked = maps.lines().filter(|line| line.starts_with("VmFlags:") && line.contains(" hg")).count();
    assert_eq!(asked, 0, "{maps}");
}

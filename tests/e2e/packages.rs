//! What people install: the image of the server beside a host's engine, the compose file, and what `make install` puts down.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::support::{Engine, FIXTURE, PATIENCE, eventually};

/// What scripts/image.sh makes for tests.
const IMAGE: &str = "hearth/server:test";

/// A directory of the workspace's.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A server in a container, which goes with this, and so do the containers that it made.
#[derive(Debug)]
struct Contained {
    engine: Engine,
    id: String,
    url: String,
    data: tempfile::TempDir,
}

impl Contained {
    /// Started as docs/install.md has it, on a port of its own, and with more options.
    async fn start(engine: Engine, more: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let volume = format!("{}:/data", data.path().display());
        let id = engine
            .docker(
                &[
                    &["run", "--detach", "--publish", "127.0.0.1::8080", "--health-interval", "500ms"],
                    &["--volume", "/var/run/docker.sock:/var/run/docker.sock", "--volume", &volume][..],
                    more,
                    &["--env", "FN_MEMORY=1GiB", IMAGE],
                ]
                .concat(),
            )
            .await;
        let mut server = Self { engine, id, url: String::new(), data };
        let port = server.engine.docker(&["port", &server.id, "8080/tcp"]).await;
        server.url = format!("http://{port}");
        server
    }

    fn server_id(&self) -> String {
        std::fs::read_to_string(self.data.path().join("server-id")).unwrap_or_default().trim().to_owned()
    }

    async fn is(&self, what: &str, format: &str) {
        eventually(PATIENCE, what, async || {
            let seen = self.engine.docker(&["inspect", "--format", format, &self.id]).await;
            if seen == what { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        self.engine.remove_container(&self.id);
        self.engine.sweep(&self.server_id());
    }
}

async fn put_route(client: &reqwest::Client, url: &str, format: &str) {
    let route = json!({"route": {"image": FIXTURE, "format": format, "memory": 64, "timeout": 60}});
    let put = client.put(format!("{url}/v1/apps/app/routes/f")).body(route.to_string());
    let reply = put.send().await.unwrap();
    assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
}

/// Calls it, and gives the record, once that is there.
async fn call(client: &reqwest::Client, url: &str, script: &str) -> serde_json::Value {
    let reply = client.post(format!("{url}/r/app/f")).header("Hearth-Script", script).send().await.unwrap();
    let id = reply.headers()["fn_call_id"].to_str().unwrap().to_owned();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (200, "seen"));
    let record = client.get(format!("{url}/v1/apps/app/calls/{id}")).send().await.unwrap();
    serde_json::from_str::<serde_json::Value>(&record.text().await.unwrap()).unwrap()["call"].take()
}

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_runs_functions_on_the_engine_whose_socket_it_is_given() {
    let server = Contained::start(Engine::shared().await, &[]).await;
    // What it says of itself, by the program in the image.
    server.is("healthy", "{{.State.Health.Status}}").await;
    let client = client();
    put_route(&client, &server.url, "http-stream").await;
    assert_eq!(call(&client, &server.url, "body seen").await["status"], "success");
    put_route(&client, &server.url, "http").await;
    let record = call(&client, &server.url, "spin 2500; body seen").await;
    assert_eq!(record["status"], "success", "{record}");
    // Samples are those of the engine, about one in a second.
    let stats = record["stats"].as_array().unwrap_or_else(|| panic!("{record}"));
    assert!(stats.iter().any(|point| point["metrics"]["mem_usage"].as_u64() > Some(0)), "{record}");

    assert!(!server.engine.containers(&server.server_id()).await.is_empty(), "a hot container idles");
    server.engine.docker(&["stop", "--time", "60", &server.id]).await;
    server.is("0", "{{.State.ExitCode}}").await;
    assert_eq!(server.engine.containers(&server.server_id()).await, [""; 0], "none is left");

    let checked_on = ["run", "--rm", "--volume", "/var/run/docker.sock:/var/run/docker.sock"];
    let checked = server.engine.docker(&[&checked_on[..], &[IMAGE, "check"]].concat()).await;
    assert!(checked.contains("not visible from here") && checked.contains("can start"), "{checked}");
    assert!(checked.contains("ok      sockets ") && checked.contains("/data, which the engine has as "), "{checked}");
    // What its container has to itself no other can have.
    let hidden = ["--env", "FN_IOFS_PATH=/iofs", IMAGE, "check"];
    let checked = server.engine.docker(&[&checked_on[..], &hidden].concat()).await;
    assert!(checked.contains("poor    sockets         the engine does not see /"), "{checked}");
}

/// As the Fn Project's command-line client starts its server: sockets are in a volume, which the engine is told by its name.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_may_be_in_a_volume_that_is_told_by_its_name() {
    let engine = Engine::shared().await;
    let volume = format!("hearth-sockets-{}", std::process::id());
    for told in [&["--env", &format!("FN_IOFS_DOCKER_PATH={volume}")][..], &[]] {
        let mount = format!("{volume}:/iofs");
        let more = [&["--volume", &mount, "--env", "FN_IOFS_PATH=/iofs"], told].concat();
        let server = Contained::start(engine.clone(), &more).await;
        server.is("healthy", "{{.State.Health.Status}}").await;
        let client = client();
        put_route(&client, &server.url, "http-stream").await;
        assert_eq!(call(&client, &server.url, "body seen").await["status"], "success", "{told:?}");
        server.engine.docker(&["stop", "--time", "60", &server.id]).await;
    }
    engine.docker(&["volume", "rm", &volume]).await;
}

/// A project of compose, removed with this.
#[derive(Debug)]
struct Project {
    name: String,
    data: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let name = data.path().file_name().unwrap().to_string_lossy().to_lowercase();
        Self { name: format!("hearth-{}", name.trim_start_matches('.')), data }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        // Compose is a program of its own, or part of Docker's.
        let mut command = std::process::Command::new("docker-compose");
        if std::process::Command::new("docker-compose").arg("--version").output().is_err() {
            command = std::process::Command::new("docker");
            command.arg("compose");
        }
        command.args(["--project-name", &self.name, "--file", "deploy/compose/compose.yaml"]).args(arguments);
        command.current_dir(root()).env("HEARTH_IMAGE", IMAGE).env("POSTGRES_IMAGE", "hearth/postgres:test");
        command.env("HEARTH_PORT", "0").env("PROMETHEUS_PORT", "0").env("HOME", self.data.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        drop(self.command(&["down", "--volumes", "--remove-orphans"]).output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compose_file_brings_up_a_server_whose_records_are_in_postgres() {
    let engine = Engine::shared().await;
    let project = Project::new();
    let whole = project.run(&["config"]);
    for service in ["hearth:", "postgres:", "prometheus:"] {
        assert!(whole.contains(service), "{whole}");
    }
    // No image of Prometheus can be had everywhere.
    project.run(&["up", "--detach", "hearth", "postgres"]);
    let client = client();
    // The database is found by its name, and takes its time.
    let url = eventually(4 * PATIENCE, "the server is ready", async || {
        let url = format!("http://{}", project.run(&["port", "hearth", "8080"]));
        match client.get(format!("{url}/ready")).send().await {
            Ok(reply) if reply.status() == 200 => Ok(url),
            Ok(reply) => Err(reply.text().await.unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    // Its socket is in the volume of its data.
    put_route(&client, &url, "http-stream").await;
    assert_eq!(call(&client, &url, "body seen").await["status"], "success");
    let postgres = project.run(&["ps", "--quiet", "postgres"]);
    let count = ["psql", "--host=/tmp", "--username=hearth", "--tuples-only", "--command=SELECT count(*) FROM calls"];
    eventually(PATIENCE, "the record is in Postgres", async || {
        let count = engine.docker(&[&["exec", &postgres][..], &count].concat()).await;
        if count.trim() == "1" { Ok(()) } else { Err(count) }
    })
    .await;
    let id = project.run(&["ps", "--quiet", "hearth"]);
    let own = tempfile::tempdir().unwrap();
    let copy = own.path().join("server-id");
    engine.docker(&["cp", &format!("{id}:/data/server-id"), copy.to_str().unwrap()]).await;
    let server = std::fs::read_to_string(copy).unwrap();
    project.run(&["stop"]);
    assert_eq!(engine.docker(&["inspect", "--format", "{{.State.ExitCode}}", &id]).await, "0");
    assert_eq!(engine.containers(server.trim()).await, [""; 0], "none is left");
}

#[tokio::test]
async fn what_is_installed_is_whole_and_its_unit_is_sound() {
    let package = tempfile::tempdir().unwrap();
    let destination = format!("DESTDIR={}", package.path().display());
    let mut make = Command::new("make");
    make.args(["install", "PREFIX=/usr", "PROFILE=dev", &destination]).current_dir(root());
    // Of cargo that runs this test; the one in make has a target of its own.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        make.env_remove(name);
    }
    make.envs(std::env::var_os("CARGO_TARGET_DIR").map(|directory| ("CARGO_TARGET_DIR", directory)));
    let made = make.output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let binary = package.path().join("usr/bin/hearth");
    let version = Command::new(&binary).arg("--version").env_clear().output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), "hearth 0.1.0");
    // A program that needs no interpreter of the system needs none of its libraries.
    let text = std::fs::read(&binary).unwrap();
    assert!(!text.windows(8).any(|window| window == b"/lib64/l"), "it is static");

    let unit = package.path().join("usr/lib/systemd/system/hearth.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/hearth serve\n"), "{text}");
    let here = text.replace("/usr/bin/hearth", binary.to_str().unwrap());
    let checked = package.path().join("hearth.service");
    std::fs::write(&checked, here).unwrap();
    let verified = systemd_analyze(&["verify", checked.to_str().unwrap()]).await;
    assert!(!verified.contains("hearth.service"), "{verified}");
    // 0 is a cage, 10 a process that may do everything.
    let exposure = systemd_analyze(&["security", "--offline=true", "--threshold=25", checked.to_str().unwrap()]).await;
    assert!(exposure.contains("Overall exposure level"), "{exposure}");
    assert!(package.path().join("usr/lib/sysusers.d/hearth.conf").exists());
}

/// What it says; it has to be content.
async fn systemd_analyze(arguments: &[&str]) -> String {
    let output = Command::new("systemd-analyze").args(arguments).output().await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "systemd-analyze {arguments:?}: {said}");
    said
}

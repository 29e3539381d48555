//! Pulling from registries that behave, refuse, break, and take their time. The engine speaks plain HTTP to 127.0.0.1.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_drivers::docker::CredentialSources;
use hearth_drivers::{Driver, Error};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::http::{Listener, Reply, Request, Server, serve};
use crate::support::{Engine, docker, try_docker, within};

/// How a registry answers for a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Serve,
    /// Only with the user `u` and the password `p`.
    Ask,
    Refuse(u16, &'static str),
    /// The image's layer is not what its digest says.
    Corrupt,
    /// Takes this many milliseconds.
    Slow(u64),
}

struct Registry {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

impl Registry {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, blobs) = (Arc::clone(&asked), Arc::new(Blobs::make(mood == Mood::Corrupt)));
        let server = serve(Listener::Tcp(listener), move |request| {
            log.lock().unwrap().push(request.target.clone());
            let blobs = Arc::clone(&blobs);
            async move { blobs.answer(mood, &request).await }
        });
        Self { port, asked, _server: server }
    }

    fn image(&self) -> String {
        format!("127.0.0.1:{}/some/image:v1", self.port)
    }

    /// How often the engine began to pull: it greets the registry each time.
    fn pulls(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|target| *target == "/v2/").count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        try_docker(&["rmi", "-f", &self.image()]);
    }
}

/// An image with one layer, by digest.
struct Blobs {
    manifest: Vec<u8>,
    by_digest: HashMap<String, Vec<u8>>,
}

impl Blobs {
    fn make(corrupt: bool) -> Self {
        // No two registries have the same image: the engine would not fetch the second.
        let nonce = ulid::Ulid::generate().to_string();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nonce"), &nonce).unwrap();
        let tar =
            Command::new("tar").args(["-C", dir.path().to_str().unwrap(), "-c", "nonce"]).output().unwrap().stdout;
        let layer = pipe("gzip", &["-c"], &tar);
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Labels": { "nonce": nonce } },
            "rootfs": { "type": "layers", "diff_ids": [sha256(&tar)] },
        });
        let config = config.to_string().into_bytes();
        let blob =
            |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "size": bytes.len(), "digest": sha256(bytes) });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": blob("application/vnd.docker.container.image.v1+json", &config),
            "layers": [blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)],
        });
        let stored = if corrupt { pipe("gzip", &["-c"], b"something else") } else { layer.clone() };
        Self {
            manifest: manifest.to_string().into_bytes(),
            by_digest: HashMap::from([(sha256(&layer), stored), (sha256(&config), config)]),
        }
    }

    async fn answer(&self, mood: Mood, request: &Request) -> Reply {
        if mood == Mood::Ask && request.headers.get("authorization").map(String::as_str) != Some("Basic dTpw") {
            let error = br#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#;
            return Reply::Whole(401, vec![("WWW-Authenticate", "Basic realm=\"r\"".to_owned())], error.to_vec());
        }
        if request.target == "/v2/" {
            return Reply::json(200, &json!({}));
        }
        if request.target.contains("/manifests/") {
            return self.manifest(mood).await;
        }
        match request.target.rsplit('/').next().and_then(|digest| self.by_digest.get(digest)) {
            Some(blob) => Reply::Whole(200, Vec::new(), blob.clone()),
            None => Reply::json(404, &json!({})),
        }
    }

    async fn manifest(&self, mood: Mood) -> Reply {
        match mood {
            Mood::Refuse(status, code) => {
                return Reply::json(status, &json!({ "errors": [{ "code": code, "message": "no" }] }));
            }
            Mood::Slow(ms) => sleep(Duration::from_millis(ms)).await,
            Mood::Serve | Mood::Ask | Mood::Corrupt => {}
        }
        let headers = vec![
            ("Content-Type", "application/vnd.docker.distribution.manifest.v2+json".to_owned()),
            ("Docker-Content-Digest", sha256(&self.manifest)),
        ];
        Reply::Whole(200, headers, self.manifest.clone())
    }
}

fn sha256(bytes: &[u8]) -> String {
    let sum = String::from_utf8(pipe("sha256sum", &[], bytes)).unwrap();
    format!("sha256:{}", sum.split(' ').next().unwrap())
}

fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_image_is_pulled_once_for_all_who_ask() {
    let engine = Engine::connect().await;
    let registry = Registry::start(Mood::Slow(500)).await;
    let image = registry.image();
    // Who asked first leaves; the pull goes on for the others.
    assert!(timeout(Duration::from_millis(100), engine.driver.image(&image)).await.is_err());
    let asks = (0..20).map(|_| engine.driver.image(&image));
    let found = within(futures_util::future::join_all(asks)).await;
    let id = docker(&["inspect", "-f", "{{.Id}}", &image]);
    for answer in found {
        assert_eq!(answer.unwrap().id, id);
    }
    assert_eq!(registry.pulls(), 1);
    assert_eq!(within(engine.driver.image(&image)).await.unwrap().id, id);
    assert_eq!(registry.pulls(), 1);
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_final_and_carry_the_registrys_status() {
    let engine = Engine::connect().await;
    let table = [
        (401, "UNAUTHORIZED", &[401, 404][..]),
        (403, "DENIED", &[403, 404]),
        (404, "MANIFEST_UNKNOWN", &[404]),
        (404, "NAME_UNKNOWN", &[404]),
        (429, "TOOMANYREQUESTS", &[429]),
    ];
    for (answered, code, expected) in table {
        let registry = Registry::start(Mood::Refuse(answered, code)).await;
        let image = registry.image();
        let begin = Instant::now();
        match within(engine.driver.image(&image)).await {
            Err(Error::ImageRefused { image: named, status, message }) => {
                println!("{answered} {code}: {status} {message}");
                assert_eq!(named, image);
                assert!(expected.contains(&status), "{answered} {code}: {status} {message}");
            }
            other => panic!("{answered} {code}: {other:?}"),
        }
        assert_eq!(registry.pulls(), 1, "{answered} {code} after {:?}", begin.elapsed());
    }
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_in_trouble_gets_three_tries_within_three_seconds() {
    let engine = Engine::connect().await;
    let registry = Registry::start(Mood::Refuse(503, "UNAVAILABLE")).await;
    let begin = Instant::now();
    let error = within(engine.driver.image(&registry.image())).await.unwrap_err();
    assert!(matches!(error, Error::ImageUnreachable { .. }), "{error:?}");
    println!("503: {error}");
    assert_eq!(registry.pulls(), 3);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());

    let begin = Instant::now();
    let error = within(engine.driver.image("127.0.0.1:1/gone/image")).await.unwrap_err();
    assert!(matches!(error, Error::ImageUnreachable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("Failed to pull image '127.0.0.1:1/gone/image': "), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_gets_the_credentials_stored_under_its_own_name() {
    let registry = Registry::start(Mood::Ask).await;
    let image = registry.image();
    let engine_with = async |server: String| {
        let auth = format!(r#"{{"{server}":{{"auth":"dTpw"}}}}"#);
        Engine::connect_with(|config| {
            config.credentials = CredentialSources { docker_auth: Some(auth), ..CredentialSources::default() };
        })
        .await
    };
    let stranger = engine_with("0.0.1:5000".to_owned()).await;
    let error = within(stranger.driver.image(&image)).await.unwrap_err();
    assert!(matches!(error, Error::ImageRefused { status: 401, .. }), "{error:?}");
    let known = engine_with(format!("http://127.0.0.1:{}/v2/", registry.port)).await;
    within(known.driver.image(&image)).await.unwrap();
    stranger.finish().await;
    known.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_layer_and_a_pull_without_end_are_errors() {
    let engine = Engine::connect_with(|config| config.pull_limit = Duration::from_secs(1)).await;
    let registry = Registry::start(Mood::Slow(60_000)).await;
    let begin = Instant::now();
    let error = within(engine.driver.image(&registry.image())).await.unwrap_err();
    assert!(matches!(error, Error::PullTimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(3));

    let registry = Registry::start(Mood::Corrupt).await;
    let error = within(engine.driver.image(&registry.image())).await.unwrap_err();
    println!("broken layer: {error:?}");
    assert!(matches!(error, Error::ImageUnreachable { .. }), "{error:?}");
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_working_registry_serves() {
    let engine = Engine::connect().await;
    let registry = Registry::start(Mood::Serve).await;
    let found = within(engine.driver.image(&registry.image())).await.unwrap();
    let digest = docker(&["inspect", "-f", "{{index .RepoDigests 0}}", &found.id]);
    assert_eq!(within(engine.driver.image(&digest)).await.unwrap(), found);
    engine.finish().await;
}

//! A registry on this machine, in any mood. The engine speaks plain HTTP to 127.0.0.1.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::docker::{Engine, FIXTURE};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// How it answers when it is asked for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should, taking so long: half of it for the manifest and half for the layer.
    Serve(Duration),
    /// With this status and error code.
    Refuse(u16, &'static str),
    /// Only to whoever has a password, which nobody here has.
    Ask,
    /// The image's layer is not what its digest says.
    Corrupt,
}

/// A registry that has one image: the fixture.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) image: String,
    greeted: Arc<AtomicUsize>,
    engine: Engine,
    // Aborted when dropped.
    _tasks: JoinSet<()>,
}

struct Shelf {
    mood: Mood,
    manifest: Vec<u8>,
    blobs: HashMap<String, Vec<u8>>,
    greeted: Arc<AtomicUsize>,
}

type Answer = Response<Full<Bytes>>;

// === impl Registry ===

impl Registry {
    pub(crate) async fn start(mood: Mood) -> Self {
        let engine = Engine::shared().await;
        let greeted = Arc::new(AtomicUsize::new(0));
        let shelf = Arc::new(Shelf::stock(&engine, mood, Arc::clone(&greeted)).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let image = format!("{}/some/function:v1", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shelf = Arc::clone(&shelf);
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        let shelf = Arc::clone(&shelf);
                        async move { Ok::<_, Infallible>(shelf.answer(&request).await) }
                    });
                    // An engine tries TLS first, and is told by an error that there is none.
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { image, greeted, engine, _tasks: tasks }
    }

    /// How often an engine began to pull.
    pub(crate) fn pulls(&self) -> usize {
        self.greeted.load(Ordering::Relaxed)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.engine.forget_image(&self.image);
    }
}

// === impl Shelf ===

impl Shelf {
    /// Puts a copy of the fixture on the shelf that the engine has never seen.
    async fn stock(engine: &Engine, mood: Mood, greeted: Arc<AtomicUsize>) -> Self {
        let binary = fixture_binary(engine).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("nonce"), ulid::Ulid::generate().to_string()).unwrap();
        std::fs::write(directory.path().join("fixture"), binary).unwrap();
        let path = directory.path().to_str().unwrap();
        let tar = Command::new("tar").args(["--mode=0755", "-C", path, "-c", "nonce", "fixture"]).output().unwrap();
        let layer = through("gzip", &["-1"], &tar.stdout);
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Entrypoint": ["/fixture"] },
            "rootfs": { "type": "layers", "diff_ids": [sha256(&tar.stdout)] },
        });
        let config = config.to_string().into_bytes();
        let blob =
            |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "size": bytes.len(), "digest": sha256(bytes) });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": blob("application/vnd.docker.container.image.v1+json", &config),
            "layers": [blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)],
        });
        let stored = if mood == Mood::Corrupt { through("gzip", &[], b"something else") } else { layer.clone() };
        let blobs = HashMap::from([(sha256(&layer), stored), (sha256(&config), config)]);
        Self { mood, manifest: manifest.to_string().into_bytes(), blobs, greeted }
    }

    async fn answer(&self, request: &Request<hyper::body::Incoming>) -> Answer {
        let path = request.uri().path();
        if path == "/v2/" {
            self.greeted.fetch_add(1, Ordering::Relaxed);
        }
        if self.mood == Mood::Ask {
            let mut refusal = refusal(401, "UNAUTHORIZED");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"r\""));
            return refusal;
        }
        if path == "/v2/" {
            return reply(200, "application/json", b"{}".to_vec());
        }
        if path.contains("/manifests/") {
            return self.manifest().await;
        }
        if let Mood::Serve(time) = self.mood {
            sleep(time / 2).await;
        }
        match path.rsplit('/').next().and_then(|digest| self.blobs.get(digest)) {
            Some(blob) => reply(200, "application/octet-stream", blob.clone()),
            None => refusal(404, "BLOB_UNKNOWN"),
        }
    }

    async fn manifest(&self) -> Answer {
        match self.mood {
            Mood::Refuse(status, code) => return refusal(status, code),
            Mood::Serve(time) => sleep(time / 2).await,
            Mood::Ask | Mood::Corrupt => {}
        }
        let mut answer = reply(200, MANIFEST, self.manifest.clone());
        let digest = HeaderValue::from_str(&sha256(&self.manifest)).unwrap();
        answer.headers_mut().insert("docker-content-digest", digest);
        answer
    }
}

fn refusal(status: u16, code: &str) -> Answer {
    let error: Value = json!({ "errors": [{ "code": code, "message": "no" }] });
    reply(status, "application/json", error.to_string().into_bytes())
}

fn reply(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

async fn fixture_binary(engine: &Engine) -> Vec<u8> {
    let container = engine.docker(&["create", FIXTURE]).await;
    let copied = engine.try_docker(&["cp", &format!("{container}:/hearth-fixture"), "-"]).await;
    engine.docker(&["rm", &container]).await;
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    through("tar", &["-x", "-O"], &copied.stdout)
}

fn sha256(bytes: &[u8]) -> String {
    let sum = String::from_utf8(through("sha256sum", &[], bytes)).unwrap();
    format!("sha256:{}", sum.split(' ').next().unwrap())
}

/// What `program` makes of `input`.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap().unwrap();
    output
}

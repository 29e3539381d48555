//! A collector of traces, in the process of the test. It reads what it is sent with eyes of its own: Zipkin's JSON, and the
//! bytes of OTLP's protobuf.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::PATIENCE;
use super::eventually::eventually;

/// Takes whatever is posted to it.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    // Aborted when dropped.
    _tasks: JoinSet<()>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Bytes,
}

/// A span, whichever way it came. Times are microseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) error: Option<String>,
}

/// The spans of one call, the root first, then in the order in which they began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) Vec<Span>);

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let (all, mut tasks) = (Arc::clone(&taken), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let all = Arc::clone(&all);
                connections.spawn(async move {
                    let service = service_fn(|request| take(request, Arc::clone(&all)));
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { address, taken, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// The whole tree of a call, once it is here.
    pub(crate) async fn tree(&self, call: &str) -> Tree {
        eventually(PATIENCE, "the trace of a call is here", async || self.look_for(call).ok_or(call)).await
    }

    /// The same, if it is here already.
    pub(crate) fn look_for(&self, call: &str) -> Option<Tree> {
        let spans: Vec<Span> = self.taken().iter().flat_map(Taken::spans).collect();
        let root = spans.iter().find(|span| span.tags.get("call.id").is_some_and(|id| id == call))?;
        let mut tree: Vec<Span> = spans.iter().filter(|span| span.trace == root.trace).cloned().collect();
        tree.sort_by_key(|span| (span.id != root.id, span.began, std::cmp::Reverse(span.ended)));
        Some(Tree(tree))
    }
}

async fn take(
    request: Request<hyper::body::Incoming>,
    all: Arc<Mutex<Vec<Taken>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (path, content_type) = (request.uri().path().to_owned(), header("content-type").unwrap_or_default());
    let key = header("x-key");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    all.lock().unwrap().push(Taken { path, content_type, key, body });
    Ok(Response::new(Full::default()))
}

// === impl Tree ===

impl Tree {
    /// Every span as the names from the root to it.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.0.iter().map(|span| self.path(span)).collect();
        paths.sort();
        paths
    }

    fn path(&self, span: &Span) -> String {
        match self.0.iter().find(|other| Some(&other.id) == span.parent.as_ref()) {
            Some(parent) => format!("{}/{}", self.path(parent), span.name),
            None => span.name.clone(),
        }
    }

    pub(crate) fn root(&self) -> &Span {
        &self.0[0]
    }

    #[track_caller]
    pub(crate) fn span(&self, name: &str) -> &Span {
        self.0.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    /// As people look at it.
    pub(crate) fn listing(&self) -> String {
        let root = self.root();
        let mut text = format!("trace {}\n", root.trace);
        self.list(root, 0, &mut text);
        text
    }

    fn list(&self, span: &Span, depth: usize, text: &mut String) {
        let (from, took) = (micros(span.began.abs_diff(self.root().began)), micros(span.ended - span.began));
        let name = format!("{}{}", "  ".repeat(depth), span.name);
        *text += &format!("  {name:<16} {from:>10} {took:>10} ms");
        for (key, value) in &span.tags {
            *text += &format!("  {key}={value}");
        }
        text.push('\n');
        self.0.iter().filter(|other| other.parent.as_ref() == Some(&span.id)).for_each(|child| {
            self.list(child, depth + 1, text);
        });
    }
}

fn micros(time: u64) -> String {
    format!("{}.{:03}", time / 1000, time % 1000)
}

// === impl Taken ===

impl Taken {
    pub(crate) fn spans(&self) -> Vec<Span> {
        match self.content_type.as_str() {
            "application/json" => {
                serde_json::from_slice::<Vec<Value>>(&self.body).unwrap().iter().map(zipkin).collect()
            }
            "application/x-protobuf" => {
                let scopes = all(&self.body, 1).flat_map(|resource| all(resource, 2));
                scopes.flat_map(|scope| all(scope, 2)).map(otlp).collect()
            }
            other => panic!("{other}"),
        }
    }
}

fn zipkin(span: &Value) -> Span {
    let text = |key: &str| span[key].as_str().map(str::to_owned);
    let began = span["timestamp"].as_u64().unwrap();
    let tags = span["tags"].as_object().into_iter().flatten();
    let mut tags: BTreeMap<String, String> =
        tags.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
    assert_eq!(span["localEndpoint"]["serviceName"], "fnserver");
    Span {
        began,
        ended: began + span["duration"].as_u64().unwrap(),
        name: text("name").unwrap(),
        trace: text("traceId").unwrap(),
        id: text("id").unwrap(),
        parent: text("parentId"),
        error: tags.remove("error"),
        tags,
    }
}

fn otlp(span: &[u8]) -> Span {
    let hex =
        |number| one(span, number).map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let micros = |number| match fields(span).find(|(field, _)| *field == number) {
        Some((_, Field::Fixed(nanos))) => nanos / 1000,
        other => panic!("{other:?}"),
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let tag = |pair: &[u8]| (text(one(pair, 1).unwrap()), text(one(one(pair, 2).unwrap(), 1).unwrap()));
    Span {
        began: micros(7),
        ended: micros(8),
        name: text(one(span, 5).unwrap()),
        trace: hex(1).unwrap(),
        id: hex(2).unwrap(),
        parent: hex(4),
        tags: all(span, 9).map(tag).collect(),
        error: one(span, 15).map(|status| text(one(status, 2).unwrap())),
    }
}

// === protobuf, as far as it is needed here ===

#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number,
    Fixed(u64),
    Bytes(&'a [u8]),
}

fn all(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(move |(field, value)| match value {
        Field::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
}

fn one(message: &[u8], number: u64) -> Option<&[u8]> {
    all(message, number).next()
}

fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => {
                varint(&mut message);
                Field::Number
            }
            1 => Field::Fixed(u64::from_le_bytes(*message.split_off(..8).unwrap().first_chunk().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut message)).unwrap();
                Field::Bytes(message.split_off(..length).unwrap())
            }
            other => panic!("wire type {other}"),
        };
        Some((key >> 3, value))
    })
}

fn varint(message: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = *message.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

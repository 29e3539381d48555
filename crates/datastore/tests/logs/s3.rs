//! A real S3 server over a directory, in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hearth_datastore::{Error, open_logs};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const KEY: &str = "AKIA";
/// With characters that mean something in a URL.
const SECRET: &str = "se/c+r@et";

/// The server; it is gone when this is dropped.
pub(crate) struct S3 {
    address: SocketAddr,
    root: PathBuf,
    tasks: JoinSet<()>,
}

impl S3 {
    pub(crate) async fn start(root: &Path) -> Self {
        Self::listen(root, ([127, 0, 0, 1], 0).into()).await
    }

    async fn listen(root: &Path, address: SocketAddr) -> Self {
        // What `main` does for the server.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
                connections.spawn(async { connection.await.ok() });
            }
        });
        Self { address, root: root.to_owned(), tasks }
    }

    /// The same server once more, where the last one was.
    pub(crate) async fn again(self) -> Self {
        let Self { address, root, mut tasks } = self;
        tasks.shutdown().await;
        Self::listen(&root, address).await
    }

    pub(crate) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) fn url(&self, bucket: &str) -> String {
        format!("s3://{KEY}:se/c%2Br%40et@{}/eu-west-1/{bucket}", self.address)
    }
}

async fn refused(url: &str) -> String {
    let error = open_logs(url).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("secret") && !text.contains(SECRET), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut s3 = S3::start(directory.path()).await;
    let wrong = s3.url("bucket").replace("se/c%2Br%40et", "secret");
    let text = refused(&wrong).await;
    assert!(text.starts_with("cannot keep logs in http://127.0.0.1:"), "{text}");
    assert!(text.contains("/bucket in eu-west-1: "), "{text}");
    s3.stop().await;
    assert!(refused(&s3.url("bucket")).await.starts_with("cannot keep logs in http://127.0.0.1:"));

    std::fs::write(directory.path().join("file"), "").unwrap();
    let text = refused(&format!("file://{}/file/logs", directory.path().display())).await;
    assert!(text.starts_with("cannot keep logs in /"), "{text}");
    assert_eq!(refused("bolt:///x").await, "db type not supported bolt");
}

//! A store, somebody who keeps the order, and servers that share both.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Datastore, Node, Payload, QueueStore, Record, Recorded, Submission, open};
use hearth_models::{
    App, AppId, Call, CallId, CallType, Config, FnId, InstanceId, Priority, ServerId, Status, Timestamp,
};
use hearth_queue::{Broker, Delivery, MemoryBroker, Queue, QueueSettings, RedisBroker, RetryPolicy};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::faulty::Faulty;
use crate::redis::RedisServer;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any test: what would happen then does not happen.
const NEVER: Duration = Duration::from_secs(3600);

/// Who keeps the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Store,
    Memory,
    Redis,
}

pub(crate) struct Stand {
    kind: Kind,
    pub(crate) store: Arc<dyn Datastore>,
    pub(crate) app: App,
    redis: Option<RedisServer>,
    services: JoinSet<()>,
    /// Stops all servers.
    stop: CancellationToken,
    _directory: TempDir,
}

/// A server's share of the queue.
pub(crate) struct Server {
    pub(crate) node: Node,
    pub(crate) queue: Queue,
    pub(crate) broker: Option<Arc<dyn Broker>>,
    /// Its connection to the store.
    pub(crate) store: Arc<Faulty>,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn node() -> Node {
    Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() }
}

/// Settings under which nothing happens by the passing of time alone.
pub(crate) fn still(node: Node) -> QueueSettings {
    QueueSettings { lease: NEVER, renew: NEVER, poll: NEVER, reconcile: NEVER, ..QueueSettings::new(node) }
}

/// Settings under which a server makes up soon for what others missed.
pub(crate) fn quick(node: Node) -> QueueSettings {
    QueueSettings {
        lease: Duration::from_millis(1500),
        renew: Duration::from_millis(50),
        poll: Duration::from_millis(50),
        reconcile: Duration::from_millis(50),
        retry: RetryPolicy {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(5),
            attempts: NonZeroU32::new(3).unwrap(),
        },
        ..QueueSettings::new(node)
    }
}

impl Stand {
    pub(crate) async fn new(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&format!("sqlite3://{}/hearth.db", directory.path().display())).await.unwrap();
        let app = App::new("app", Config::default()).unwrap();
        store.insert_app(&app).await.unwrap();
        let redis = match kind {
            Kind::Redis => Some(RedisServer::start(directory.path()).await),
            Kind::Store | Kind::Memory => None,
        };
        let (services, stop) = (JoinSet::new(), CancellationToken::new());
        Self { kind, store, app, redis, services, stop, _directory: directory }
    }

    pub(crate) fn rows(&self) -> Arc<dyn QueueStore> {
        Arc::clone(&self.store).queue()
    }

    pub(crate) fn redis(&mut self) -> &mut RedisServer {
        self.redis.as_mut().unwrap()
    }

    /// Another server, which works until the test is over.
    pub(crate) async fn server(&mut self, settings: QueueSettings) -> Server {
        let identity = self.rows().identity().await.unwrap();
        let broker: Option<Arc<dyn Broker>> = match (self.kind, &self.redis) {
            (Kind::Memory, _) => Some(Arc::new(MemoryBroker::default())),
            (_, Some(redis)) => Some(Arc::new(RedisBroker::connect(redis.url(), &identity).await.unwrap())),
            (_, None) => None,
        };
        self.server_with(settings, broker).await
    }

    /// The same, with somebody in particular who keeps its order.
    pub(crate) async fn server_with(&mut self, settings: QueueSettings, broker: Option<Arc<dyn Broker>>) -> Server {
        let (node, stop) = (settings.node, self.stop.child_token());
        let store = Faulty::new(self.rows());
        let (queue, service) = Queue::new(Arc::clone(&store) as _, broker.clone(), settings);
        self.services.spawn(service.run(stop.clone()));
        Server { node, queue, broker, store, stop }
    }

    /// A server on which nothing happens by the passing of time alone.
    pub(crate) async fn still(&mut self) -> Server {
        self.server(still(node())).await
    }

    /// A server that makes up soon for what others missed.
    pub(crate) async fn quick(&mut self) -> Server {
        self.server(quick(node())).await
    }

    /// Waits until all servers have stopped, which they have been told to.
    pub(crate) async fn all_stopped(&mut self) {
        while let Some(ended) = self.services.join_next().await {
            ended.unwrap();
        }
    }

    pub(crate) async fn status(&self, id: CallId) -> (Status, u32) {
        let call = self.store.call(self.app.id, id).await.unwrap();
        (call.status(), call.attempts)
    }

    /// Stores the result of an attempt.
    pub(crate) async fn succeed(&self, node: Node, delivery: &Delivery) -> Recorded {
        let mut call = delivery.leased().call.clone();
        call.succeed().unwrap();
        let record = Record { call, log: Some(Bytes::new()) };
        self.store.record(node, &[Arc::new(record)]).await.unwrap()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    /// The next call, as a server waits for it.
    pub(crate) async fn next(&self) -> Delivery {
        let next = async {
            loop {
                if let Some(delivery) = self.queue.reserve(1, &[]).await.unwrap().pop() {
                    return delivery;
                }
                self.queue.wait().await;
            }
        };
        timeout(PATIENCE, next).await.expect("no call came")
    }

    pub(crate) async fn accept(&self, submission: &Submission) -> CallId {
        self.queue.accept(submission.clone()).await.unwrap();
        submission.call.id
    }
}

pub(crate) fn submission(app: AppId, priority: u8) -> Submission {
    let call = Call::accept(app, FnId::generate(), CallType::Async);
    let payload = Payload { head: "{}".to_owned(), body: Bytes::from_static(b"\0\xff") };
    Submission { due_at: call.created_at, call, priority: Priority::try_from(priority).unwrap(), payload }
}

pub(crate) fn delayed(app: AppId, delay: Duration) -> Submission {
    let call = Call::accept_delayed(app, FnId::generate());
    Submission { due_at: Timestamp::now().after(delay), call, ..submission(app, 0) }
}

/// Waits for something to become so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not so in time: {what}"));
}

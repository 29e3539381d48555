//! Fresh stores, and things to put into them.

use std::sync::Arc;

use bytes::Bytes;
use hearth_datastore::{Datastore, Error, Node, Record, open};
use hearth_models::{
    App, AppId, Call, CallType, Config, ConfigPatch, Error as ModelError, FnId, InstanceId, Reason, Route, RoutePatch,
    ServerId,
};
use tempfile::TempDir;

use crate::databases::Database;

/// Where a store is kept: empty at first.
pub(crate) enum Stand {
    Directory(TempDir),
    Server(Database),
}

impl Stand {
    /// The `DB_URL` of the store.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Directory(directory) => format!("sqlite3://{}/hearth.db", directory.path().display()),
            Self::Server(database) => database.url(),
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Datastore> {
        open(&self.url()).await.unwrap()
    }

    pub(crate) async fn remove(self) {
        match self {
            Self::Directory(directory) => directory.close().unwrap(),
            Self::Server(database) => database.remove().await,
        }
    }
}

pub(crate) async fn sqlite() -> Stand {
    Stand::Directory(tempfile::tempdir().unwrap())
}

pub(crate) async fn postgres() -> Stand {
    Stand::Server(Database::postgres().await)
}

pub(crate) async fn mariadb() -> Stand {
    Stand::Server(Database::mariadb().await)
}

pub(crate) fn node() -> Node {
    Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() }
}

pub(crate) fn config(json: &str) -> Config {
    serde_json::from_str::<ConfigPatch>(json).unwrap().into_new()
}

pub(crate) async fn app(store: &dyn Datastore, name: &str) -> App {
    let app = App::new(name, Config::default()).unwrap();
    store.insert_app(&app).await.unwrap();
    app
}

pub(crate) fn patch(json: &str) -> RoutePatch {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn route(app_name: &str, path: &str) -> Route {
    patch(r#"{"image":"acme/hello:1"}"#).create(app_name, path).unwrap()
}

pub(crate) fn accepted(app_id: AppId, path: &str) -> Call {
    let mut call = Call::accept(app_id, FnId::generate(), CallType::Sync);
    call.path = path.to_owned();
    call
}

pub(crate) fn running(app_id: AppId, path: &str) -> Call {
    let mut call = accepted(app_id, path);
    call.start().unwrap();
    call
}

pub(crate) fn succeeded(app_id: AppId, path: &str) -> Call {
    let mut call = running(app_id, path);
    call.succeed().unwrap();
    call
}

pub(crate) fn failed(app_id: AppId, path: &str, reason: Reason) -> Call {
    let mut call = running(app_id, path);
    call.fail(reason, "why").unwrap();
    call
}

pub(crate) fn record(call: Call, log: impl Into<Option<&'static [u8]>>) -> Arc<Record> {
    Arc::new(Record { call, log: log.into().map(Bytes::from_static) })
}

/// What a client would be told.
pub(crate) fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> ModelError {
    match result.unwrap_err() {
        Error::Model(error) => error,
        other => panic!("not for a client: {}", other.chain()),
    }
}

//! Things to put into stores.

use std::sync::Arc;

use bytes::Bytes;
use hearth_datastore::{Datastore, Error, Node, Record};
use hearth_models::{App, AppId, Call, CallType, Config, Error as ModelError, FnId, InstanceId, Reason, ServerId};

pub(crate) fn node() -> Node {
    Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() }
}

pub(crate) async fn app(store: &dyn Datastore, name: &str) -> App {
    let app = App::new(name, Config::default()).unwrap();
    store.insert_app(&app).await.unwrap();
    app
}

pub(crate) fn running(app_id: AppId) -> Call {
    let mut call = Call::accept(app_id, FnId::generate(), CallType::Sync);
    call.start().unwrap();
    call
}

pub(crate) fn succeeded(app_id: AppId) -> Call {
    let mut call = running(app_id);
    call.succeed().unwrap();
    call
}

pub(crate) fn failed(app_id: AppId) -> Call {
    let mut call = running(app_id);
    call.fail(Reason::Killed, "why").unwrap();
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

//! Logs as objects, one for each call, named by the ids of app and call.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use hearth_models::{AppId, CallId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::task::spawn_blocking;

use super::packing::{pack, unpack};
use crate::{Error, LogEntry, LogStore, Result};

/// Objects written at the same time. Enough to hide the latency of a network, few enough for any server.
const WRITES: usize = 32;
/// Lies beside the directories of the apps, and says whose they are.
const MARK: &str = "hearth-logs.txt";

/// A log store in something that keeps objects.
#[derive(Debug)]
pub(super) struct Objects {
    objects: Arc<dyn ObjectStore>,
}

impl Objects {
    pub(super) const fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    /// Writes a word about what is kept here, to find out whether it can.
    pub(super) async fn probe(&self) -> object_store::Result<()> {
        let words = "Logs of calls, kept by Hearth: one object for each, named by the ids of app and call. zcat -f shows them.\n";
        self.objects.put(&Path::from(MARK), PutPayload::from_static(words.as_bytes())).await?;
        Ok(())
    }

    async fn put_one(&self, path: Path, object: Bytes) -> Result<()> {
        let first = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&path, object.into(), first).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, paths: Vec<Path>) -> Result<()> {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.objects.delete_stream(paths);
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl LogStore for Objects {
    async fn put(&self, logs: &[LogEntry]) -> Result<()> {
        let logs = logs.to_vec();
        // A group may hold megabytes.
        let packed = spawn_blocking(move || {
            let pack = |entry: &LogEntry| Ok((path(entry.app_id, entry.call_id), pack(&entry.log)?));
            logs.iter().map(pack).collect::<std::io::Result<Vec<_>>>()
        });
        let packed = packed.await.map_err(|error| Error::Database(error.into()))?;
        let packed = packed.map_err(|error| Error::Database(error.into()))?;
        let writes = packed.into_iter().map(|(path, object)| self.put_one(path, object));
        stream::iter(writes).buffer_unordered(WRITES).try_collect().await
    }

    async fn get(&self, app_id: AppId, call_id: CallId) -> Result<Option<Bytes>> {
        let object = match self.objects.get(&path(app_id, call_id)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let log = unpack(object).map_err(|error| Error::corrupt(format!("the log of call {call_id}"), error))?;
        Ok(Some(log))
    }

    async fn remove(&self, app_id: AppId, calls: &[CallId]) -> Result<()> {
        self.delete(calls.iter().map(|call_id| path(app_id, *call_id)).collect()).await
    }

    async fn purge(&self, app_id: AppId, at_most: usize) -> Result<bool> {
        let of_app = Path::from(app_id.to_string());
        let some = self.objects.list(Some(&of_app)).take(at_most);
        let paths: Vec<Path> = some.map_ok(|object| object.location).try_collect().await?;
        let any = !paths.is_empty();
        self.delete(paths).await?;
        Ok(any)
    }

    async fn close(&self) {}
}

fn path(app_id: AppId, call_id: CallId) -> Path {
    Path::from(format!("{app_id}/{call_id}"))
}

/// What an object store cannot do now it may do later: it is away, full, or someone changed what we may do there.
impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

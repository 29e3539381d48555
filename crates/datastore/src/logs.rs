//! Logs elsewhere: in a directory, in S3-compatible object storage, or in another database than the calls.
//!
//! * [`open_logs`] turns a `LOGSTORE_URL` into a [`LogStore`].
//! * [`LogsElsewhere`] joins it with the store of the calls, into one that the recorder and the keeper can use.

mod elsewhere;
mod objects;
mod packing;
mod s3;
mod url;

use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;

use crate::sql::open_sql;
use crate::{Error, LogStore, Result};
use objects::Objects;
use url::Target;

pub use elsewhere::LogsElsewhere;

/// Opens the log store that `url` names, and creates its directory or bucket where needed.
///
/// * `file:///absolute/path` and `file://relative/path`: a directory;
/// * `s3://access_key:secret@host[:port]/region/bucket?ssl=true`: object storage; without `ssl=true` over plain HTTP;
/// * what [`open`](crate::open) takes: another database.
///
/// An object is named by the app's and the call's id and holds the log, compressed with gzip where that pays.
///
/// # Errors
/// [`Error::Config`], one line without secrets: a URL that is wrong or of an unsupported kind, a place that cannot be
/// written to.
pub async fn open_logs(url: &str) -> Result<Arc<dyn LogStore>> {
    match url::parse(url)? {
        Target::Database => Ok(Arc::new(open_sql(url).await?)),
        Target::Directory(path) => Ok(Arc::new(directory(&path).await?)),
        Target::S3(bucket) => Ok(Arc::new(s3::open(&bucket).await?)),
    }
}

async fn directory(path: &Path) -> Result<Objects> {
    let cannot =
        |error: &dyn std::fmt::Display| Error::Config(format!("cannot keep logs in {}: {error}", path.display()));
    std::fs::create_dir_all(path).map_err(|error| cannot(&error))?;
    let files = LocalFileSystem::new_with_prefix(path).map_err(|error| cannot(&error))?;
    // What was taken over is on the disk when that is said, as in the database. Directories of apps that are gone go too.
    let objects = Objects::new(Arc::new(files.with_fsync(true).with_automatic_cleanup(true)));
    objects.probe().await.map_err(|error| cannot(&error))?;
    Ok(objects)
}

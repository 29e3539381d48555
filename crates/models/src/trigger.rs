//! Triggers: an HTTP path of an app that leads to a function.

use serde::{Deserialize, Serialize};

use crate::{Annotations, AppId, FnId, Headers, Timestamp, TriggerId};

/// An HTTP path of an app that leads to a function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trigger {
    /// Its id.
    pub id: TriggerId,
    /// The app whose path it is.
    pub app_id: AppId,
    /// The function that it leads to.
    pub fn_id: FnId,
    /// Unique per function.
    pub name: String,
    /// The path, unique in its app. API v1 gives and finds paths in cleaned form only; API v2 takes them as they are.
    pub source: String,
    /// Headers added to every response.
    pub headers: Headers,
    /// Free notes of API v2, by key.
    pub annotations: Annotations,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

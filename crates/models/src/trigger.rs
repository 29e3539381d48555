//! Triggers: an HTTP path of an app that leads to a function.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AppId, FnId, Headers, Timestamp, TriggerId};

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
    /// The path, in cleaned form, unique in its app.
    pub source: String,
    /// Headers added to every response.
    pub headers: Headers,
    /// Free notes of API v2, by key.
    pub annotations: BTreeMap<String, Box<RawValue>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

//! One page out of two places: the calls in memory, and the store, which may know an older state of them or none.

use std::collections::HashMap;

use hearth_models::{AppId, Call, CallFilter, CallId};

use super::table::Entry;
use crate::{CallStore, Result};

/// The page that a store would show if it already knew the calls in `here`.
pub(super) async fn merged(
    store: &dyn CallStore,
    app_id: AppId,
    filter: &CallFilter,
    here: HashMap<CallId, Entry>,
) -> Result<Vec<Call>> {
    let size = filter.per_page.get();
    let mut page = Vec::with_capacity(size);
    let mut from_store = filter.clone();
    loop {
        let calls = store.calls(app_id, &from_store).await?;
        let full = calls.len() >= size;
        from_store.cursor = calls.last().map(|call| call.id.to_string());
        // What has ended in the store is the last word on it; of anything else memory knows better.
        page.extend(calls.into_iter().filter(|call| call.status().is_final() || !here.contains_key(&call.id)));
        // A page is cut short only where the list ends, because clients take a short page for the last one.
        if !full || page.len() >= size {
            break;
        }
    }
    let ended: Vec<CallId> = page.iter().map(|call| call.id).collect();
    let ours = here
        .into_values()
        .filter(|entry| matches(filter, entry.call()) && !ended.contains(&entry.call().id))
        .map(|entry| entry.call().clone());
    page.extend(ours);
    page.sort_unstable_by_key(|call| std::cmp::Reverse(call.id));
    page.truncate(size);
    Ok(page)
}

/// Whether the list that `filter` describes shows `call`. The stores say the same in SQL.
fn matches(filter: &CallFilter, call: &Call) -> bool {
    let CallFilter { fn_id, path, from_time, to_time, status, reason, cursor, per_page: _ } = filter;
    fn_id.is_none_or(|fn_id| call.fn_id == fn_id)
        && path.as_ref().is_none_or(|path| *path == call.path)
        && from_time.is_none_or(|from| call.created_at > from)
        && to_time.is_none_or(|to| call.created_at < to)
        && status.is_none_or(|status| call.status() == status)
        && reason.is_none_or(|reason| call.reason() == Some(reason))
        && cursor.as_ref().is_none_or(|cursor| call.id.to_string() < *cursor)
}

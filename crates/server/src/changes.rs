//! Tells the agent which functions a change of an app concerns, so that containers with the old environment go.

use std::collections::BTreeSet;

use hearth_datastore::Result;
use hearth_models::{Cursor, FnId, Page, PerPage};

use crate::api::Api;

/// The functions that routes of `app` lead to. None when that cannot be found out: no call gets a wrong container
/// then, because a changed environment is another slot, but the old ones stay until they have idled long enough.
pub(crate) async fn functions_of(api: &Api, app: &str) -> BTreeSet<FnId> {
    match collect(api, app).await {
        Ok(functions) => functions,
        Err(error) => {
            tracing::debug!(%error, app, "the functions of the app are not known");
            BTreeSet::new()
        }
    }
}

/// Lets the agent know that `functions` changed.
pub(crate) fn tell(api: &Api, functions: &BTreeSet<FnId>) {
    for function in functions {
        api.agent.function_changed(*function);
    }
}

async fn collect(api: &Api, app: &str) -> Result<BTreeSet<FnId>> {
    let mut functions = BTreeSet::new();
    let mut page = Page { after: Cursor::default(), size: PerPage::from_query(Some("100")) };
    loop {
        let routes = api.datastore.routes(app, None, &page).await?;
        for route in &routes {
            functions.insert(api.datastore.resolve(app, &route.path).await?.function.id);
        }
        match routes.last() {
            Some(last) if routes.len() == page.size.get() => page.after = Cursor::after(last.path.as_str()),
            _ => return Ok(functions),
        }
    }
}

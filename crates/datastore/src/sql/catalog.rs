//! Apps, functions and triggers by id. Whatever is changed, its app is held first, and what is checked is read after
//! that: so the checks still hold when the change is written.

use std::sync::Arc;

use async_trait::async_trait;
use hearth_models::v2::{AppPatch, Error as Refusal, FnPatch, TriggerPatch};
use hearth_models::{App, AppId, Error as ModelError, FnId, Function, Trigger, TriggerId};
use sqlx::any::AnyArguments;
use sqlx::{AnyConnection, Row};

use super::apps::{self, app_columns};
use super::dialect::Dialect;
use super::functions::{self, function_columns, read_function, read_trigger, trigger_columns};
use super::row::Reader;
use super::statement::Statement;
use super::{DEADLINE, SqlStore, history, retrying, within};
use crate::{AppChange, Catalog, FunctionChange, FunctionFilter, Resolved, Result, TriggerChange, TriggerFilter};

pub(super) const RESOLVE: &str = concat!(
    "SELECT ",
    app_columns!(),
    ", ",
    function_columns!(),
    ", (SELECT o.source FROM triggers o WHERE o.fn_id = f.id ORDER BY o.created_at, o.id LIMIT 1)",
    " FROM functions f JOIN apps a ON a.id = f.app_id WHERE f.id = $1"
);
pub(super) const FIRST_SOURCE: &str =
    "SELECT o.source FROM triggers o WHERE o.fn_id = $1 ORDER BY o.created_at, o.id LIMIT 1";
pub(super) const OF_SOURCE: &str = "SELECT t.id FROM triggers t WHERE t.app_id = $1 AND t.source = $2";
pub(super) const OF_NAME: &str = "SELECT t.id FROM triggers t WHERE t.app_id = $1 AND t.fn_id = $2 AND t.name = $3";
pub(super) const OF_FUNCTION: &str =
    concat!("SELECT ", trigger_columns!(), " FROM triggers t WHERE t.fn_id = $1 ORDER BY t.created_at, t.id");
pub(super) const DELETE_OF_FUNCTION: &str = "DELETE FROM triggers WHERE fn_id = $1";

impl SqlStore {
    async fn do_update_app_by_id(&self, id: AppId, patch: AppPatch) -> Result<AppChange> {
        let mut tx = self.begin().await?;
        let app = apps::lock_by_id(&mut tx, self.dialect, id).await?;
        let mut app = app.ok_or(ModelError::AppNotFound)?;
        let outdated = {
            let before = app.clone();
            patch.apply(&mut app)?;
            app.config != before.config || app.syslog_address() != before.syslog_address()
        };
        apps::update(&mut tx, self.dialect, &app).await?;
        tx.commit().await?;
        Ok(AppChange { outdated, app })
    }

    async fn do_remove_app_by_id(&self, id: AppId) -> Result<App> {
        let mut tx = self.begin().await?;
        let app = apps::lock_by_id(&mut tx, self.dialect, id).await?;
        let app = app.ok_or(ModelError::AppNotFound)?;
        apps::delete(&mut tx, self.dialect, app.id).await?;
        history::note_deletion(&mut tx, self.dialect, app.id).await?;
        tx.commit().await?;
        Ok(app)
    }

    async fn do_insert_function(&self, function: &Function) -> Result<Function> {
        let mut tx = self.begin().await?;
        let app = apps::lock_by_id(&mut tx, self.dialect, function.app_id).await?;
        let app = app.ok_or(ModelError::AppNotFound)?;
        let function = Function { shape: app.shape, ..function.clone() };
        functions::insert_function(&mut tx, self.dialect, &function).await?;
        tx.commit().await?;
        Ok(function)
    }

    async fn do_update_function(&self, id: FnId, patch: FnPatch) -> Result<FunctionChange> {
        let app_id = self.app_of_function(id).await?;
        let mut tx = self.begin().await?;
        let mut function = lock_function(&mut tx, self.dialect, app_id, id).await?;
        let before = function.clone();
        patch.apply(&mut function)?;
        functions::update_function(&mut tx, self.dialect, &function).await?;
        tx.commit().await?;
        Ok(FunctionChange { outdated: !function.runs_like(&before), function })
    }

    async fn do_remove_function(&self, id: FnId) -> Result<(Function, Vec<Trigger>)> {
        let app_id = self.app_of_function(id).await?;
        let mut tx = self.begin().await?;
        let function = lock_function(&mut tx, self.dialect, app_id, id).await?;
        let query = sqlx::query(self.dialect.sql(OF_FUNCTION)).bind(id.to_string());
        let rows = query.fetch_all(&mut *tx).await?;
        let triggers = rows.iter().map(|row| read_trigger(&mut Reader::new(row))).collect::<Result<_>>()?;
        for sql in [DELETE_OF_FUNCTION, "DELETE FROM functions WHERE id = $1"] {
            sqlx::query(self.dialect.sql(sql)).bind(id.to_string()).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok((function, triggers))
    }

    async fn do_functions(&self, filter: &FunctionFilter) -> Result<Vec<Function>> {
        let (text, arguments) = list_functions(filter)?;
        let mut on = self.read().await?;
        let rows = sqlx::query_with(self.dialect.built(text), arguments).fetch_all(&mut *on).await?;
        rows.iter().map(|row| read_function(&mut Reader::new(row))).collect()
    }

    async fn do_insert_trigger(&self, trigger: &Trigger) -> Result<TriggerChange> {
        let mut tx = self.begin().await?;
        let app = apps::lock_by_id(&mut tx, self.dialect, trigger.app_id).await?;
        app.ok_or(ModelError::AppNotFound)?;
        check(&mut tx, self.dialect, trigger).await?;
        let before = first_source(&mut tx, self.dialect, trigger.fn_id).await?;
        functions::insert_trigger(&mut tx, self.dialect, trigger).await.map_err(too_long_for_v2)?;
        tx.commit().await?;
        let outdated = before.is_none().then_some(trigger.fn_id).into_iter().collect();
        Ok(TriggerChange { trigger: trigger.clone(), left: None, outdated })
    }

    async fn do_update_trigger(&self, id: TriggerId, patch: TriggerPatch) -> Result<TriggerChange> {
        let app_id = self.app_of_trigger(id).await?;
        let mut tx = self.begin().await?;
        let before = lock_trigger(&mut tx, self.dialect, app_id, id).await?;
        let mut trigger = before.clone();
        patch.apply(&mut trigger)?;
        check(&mut tx, self.dialect, &trigger).await?;
        let functions =
            if before.fn_id == trigger.fn_id { vec![before.fn_id] } else { vec![before.fn_id, trigger.fn_id] };
        let first = first_sources(&mut tx, self.dialect, &functions).await?;
        functions::update_trigger(&mut tx, self.dialect, &trigger).await.map_err(too_long_for_v2)?;
        let outdated = changed(&mut tx, self.dialect, functions, &first).await?;
        tx.commit().await?;
        let left = Some(before.source).filter(|source| *source != trigger.source);
        Ok(TriggerChange { trigger, left, outdated })
    }

    async fn do_remove_trigger(&self, id: TriggerId) -> Result<TriggerChange> {
        let app_id = self.app_of_trigger(id).await?;
        let mut tx = self.begin().await?;
        let trigger = lock_trigger(&mut tx, self.dialect, app_id, id).await?;
        let functions = vec![trigger.fn_id];
        let first = first_sources(&mut tx, self.dialect, &functions).await?;
        let delete = sqlx::query(self.dialect.sql("DELETE FROM triggers WHERE id = $1"));
        delete.bind(id.to_string()).execute(&mut *tx).await?;
        let outdated = changed(&mut tx, self.dialect, functions, &first).await?;
        tx.commit().await?;
        Ok(TriggerChange { left: Some(trigger.source.clone()), trigger, outdated })
    }

    async fn do_triggers(&self, filter: &TriggerFilter) -> Result<Vec<Trigger>> {
        let (text, arguments) = list_triggers(filter)?;
        let mut on = self.read().await?;
        let rows = sqlx::query_with(self.dialect.built(text), arguments).fetch_all(&mut *on).await?;
        rows.iter().map(|row| read_trigger(&mut Reader::new(row))).collect()
    }

    async fn do_resolve_function(&self, id: FnId) -> Result<Arc<Resolved>> {
        let mut on = self.read().await?;
        let row = sqlx::query(self.dialect.sql(RESOLVE)).bind(id.to_string()).fetch_optional(&mut *on).await?;
        let row = row.ok_or(Refusal::FnNotFound)?;
        let mut row = Reader::new(&row);
        let app = apps::read(&mut row)?;
        let function = read_function(&mut row)?;
        let fn_path: Option<String> = row.get()?;
        Ok(Arc::new(Resolved {
            app: app.into(),
            function: function.into(),
            trigger: None,
            fn_path: fn_path.unwrap_or_default().into(),
        }))
    }

    /// The app that has to be held for a change of this function. Which one never changes.
    async fn app_of_function(&self, id: FnId) -> Result<AppId> {
        let function = functions::function(&mut *self.read().await?, self.dialect, id).await?;
        Ok(function.ok_or(Refusal::FnNotFound)?.app_id)
    }

    /// The same for a trigger.
    async fn app_of_trigger(&self, id: TriggerId) -> Result<AppId> {
        let trigger = functions::trigger(&mut *self.read().await?, self.dialect, id).await?;
        Ok(trigger.ok_or(Refusal::TriggerNotFound)?.app_id)
    }
}

/// The function, with its app held until the transaction ends.
async fn lock_function(on: &mut AnyConnection, dialect: Dialect, app_id: AppId, id: FnId) -> Result<Function> {
    let app = apps::lock_by_id(&mut *on, dialect, app_id).await?;
    let function = if app.is_some() { functions::function(on, dialect, id).await? } else { None };
    Ok(function.ok_or(Refusal::FnNotFound)?)
}

/// The same for a trigger.
async fn lock_trigger(on: &mut AnyConnection, dialect: Dialect, app_id: AppId, id: TriggerId) -> Result<Trigger> {
    let app = apps::lock_by_id(&mut *on, dialect, app_id).await?;
    let trigger = if app.is_some() { functions::trigger(on, dialect, id).await? } else { None };
    Ok(trigger.ok_or(Refusal::TriggerNotFound)?)
}

/// Whether a trigger of an app that is held may be as it is (v2 contract B.1.6: rules 15 to 18).
async fn check(on: &mut AnyConnection, dialect: Dialect, trigger: &Trigger) -> Result<()> {
    let function = functions::function(&mut *on, dialect, trigger.fn_id).await?;
    let function = function.ok_or(Refusal::FnNotFound)?;
    if function.app_id != trigger.app_id {
        return Err(Refusal::FnOfAnotherApp.into());
    }
    let (id, app_id) = (trigger.id.to_string(), trigger.app_id.to_string());
    let query = sqlx::query(dialect.sql(OF_SOURCE)).bind(&*app_id).bind(&*trigger.source);
    if query.fetch_optional(&mut *on).await?.is_some_and(|row| row.get::<&str, _>(0) != id) {
        return Err(Refusal::SourceExists.into());
    }
    let query = sqlx::query(dialect.sql(OF_NAME)).bind(&*app_id).bind(trigger.fn_id.to_string()).bind(&*trigger.name);
    if query.fetch_optional(on).await?.is_some_and(|row| row.get::<&str, _>(0) != id) {
        return Err(Refusal::TriggerExists.into());
    }
    Ok(())
}

/// The source of a function's oldest trigger.
async fn first_source(on: &mut AnyConnection, dialect: Dialect, id: FnId) -> Result<Option<String>> {
    let row = sqlx::query(dialect.sql(FIRST_SOURCE)).bind(id.to_string()).fetch_optional(on).await?;
    row.as_ref().map(|row| Reader::new(row).get()).transpose()
}

async fn first_sources(on: &mut AnyConnection, dialect: Dialect, of: &[FnId]) -> Result<Vec<Option<String>>> {
    let mut sources = Vec::with_capacity(of.len());
    for id in of {
        sources.push(first_source(on, dialect, *id).await?);
    }
    Ok(sources)
}

/// Those of `functions` whose first source is not what it was.
async fn changed(
    on: &mut AnyConnection,
    dialect: Dialect,
    functions: Vec<FnId>,
    before: &[Option<String>],
) -> Result<Vec<FnId>> {
    let after = first_sources(on, dialect, &functions).await?;
    let pairs = functions.into_iter().zip(before.iter().zip(after));
    Ok(pairs.filter(|(_, (before, after))| *before != after).map(|(id, _)| id).collect())
}

/// The same refusal as this door calls it.
fn too_long_for_v2(error: crate::Error) -> crate::Error {
    match error {
        crate::Error::Model(ModelError::InvalidRoutePath) => Refusal::SourceTooLong.into(),
        other => other,
    }
}

/// The statement that lists functions, and its arguments.
pub(super) fn list_functions(filter: &FunctionFilter) -> Result<(String, AnyArguments)> {
    let FunctionFilter { app_id, name, page } = filter;
    let mut list = Statement::new(concat!("SELECT ", function_columns!(), " FROM functions f WHERE f.app_id = "));
    list.bind(app_id.to_string())?;
    if let Some(name) = name.as_deref() {
        list.and("f.name = ", name)?;
    }
    list.and("f.name > ", page.after.as_str())?;
    list.push(" ORDER BY f.name LIMIT ");
    list.bind(page.size.get() as i64)?;
    Ok(list.finish())
}

/// The statement that lists triggers, and its arguments.
pub(super) fn list_triggers(filter: &TriggerFilter) -> Result<(String, AnyArguments)> {
    let TriggerFilter { app_id, fn_id, name, after, size } = filter;
    let mut list = Statement::new(concat!("SELECT ", trigger_columns!(), " FROM triggers t WHERE t.app_id = "));
    list.bind(app_id.to_string())?;
    if let Some(fn_id) = fn_id {
        list.and("t.fn_id = ", fn_id.to_string())?;
    }
    if let Some(name) = name.as_deref() {
        list.and("t.name = ", name)?;
    }
    match after.id {
        None => list.and("t.name > ", &*after.name)?,
        Some(id) => {
            // The first says where the walk begins.
            list.and("t.name >= ", &*after.name)?;
            list.and("(t.name > ", &*after.name)?;
            list.push(" OR t.id > ");
            list.bind(id.to_string())?;
            list.push(")");
        }
    }
    // Names are unique in a function.
    list.push(if fn_id.is_some() { " ORDER BY t.name LIMIT " } else { " ORDER BY t.name, t.id LIMIT " });
    list.bind(size.get() as i64)?;
    Ok(list.finish())
}

#[async_trait]
impl Catalog for SqlStore {
    async fn update_app_by_id(&self, id: AppId, patch: AppPatch) -> Result<AppChange> {
        retrying(DEADLINE, || self.do_update_app_by_id(id, patch.clone())).await
    }

    async fn remove_app_by_id(&self, id: AppId) -> Result<App> {
        retrying(DEADLINE, || self.do_remove_app_by_id(id)).await
    }

    async fn insert_function(&self, function: Function) -> Result<Function> {
        retrying(DEADLINE, || self.do_insert_function(&function)).await
    }

    async fn update_function(&self, id: FnId, patch: FnPatch) -> Result<FunctionChange> {
        retrying(DEADLINE, || self.do_update_function(id, patch.clone())).await
    }

    async fn remove_function(&self, id: FnId) -> Result<(Function, Vec<Trigger>)> {
        retrying(DEADLINE, || self.do_remove_function(id)).await
    }

    async fn functions(&self, filter: &FunctionFilter) -> Result<Vec<Function>> {
        within(DEADLINE, self.do_functions(filter)).await
    }

    async fn insert_trigger(&self, trigger: &Trigger) -> Result<TriggerChange> {
        retrying(DEADLINE, || self.do_insert_trigger(trigger)).await
    }

    async fn update_trigger(&self, id: TriggerId, patch: TriggerPatch) -> Result<TriggerChange> {
        retrying(DEADLINE, || self.do_update_trigger(id, patch.clone())).await
    }

    async fn remove_trigger(&self, id: TriggerId) -> Result<TriggerChange> {
        retrying(DEADLINE, || self.do_remove_trigger(id)).await
    }

    async fn triggers(&self, filter: &TriggerFilter) -> Result<Vec<Trigger>> {
        within(DEADLINE, self.do_triggers(filter)).await
    }

    async fn resolve_function(&self, id: FnId) -> Result<Arc<Resolved>> {
        within(DEADLINE, self.do_resolve_function(id)).await
    }
}

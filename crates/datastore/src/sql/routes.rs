//! Routes: the view over a trigger and its function, and every change that touches both.

use std::sync::Arc;

use hearth_models::{App, AppId, Config, Error as ModelError, Function, Page, Route, RoutePatch, Trigger};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::SqlStore;
use super::apps::{self, app_columns};
use super::dialect::Dialect;
use super::error::conflict;
use super::functions::{self, function_columns, read_function, read_trigger, trigger_columns};
use super::row::Reader;
use crate::{Error, RemovedRoute, Resolved, Result, RouteChange};

macro_rules! routes {
    ($end:literal) => {
        concat!(
            "SELECT ",
            trigger_columns!(),
            ", ",
            function_columns!(),
            " FROM triggers t JOIN functions f ON f.id = t.fn_id WHERE t.app_id = $1 AND ",
            $end
        )
    };
}

pub(super) const FIND: &str = routes!("t.source = $2");
pub(super) const LIST: &str = routes!("t.source > $2 ORDER BY t.source LIMIT $3");
pub(super) const LIST_OF_IMAGE: &str = routes!("t.source > $2 AND f.image = $3 ORDER BY t.source LIMIT $4");
pub(super) const RESOLVE: &str = concat!(
    "SELECT ",
    app_columns!(),
    ", ",
    trigger_columns!(),
    ", ",
    function_columns!(),
    ", (SELECT o.source FROM triggers o WHERE o.fn_id = f.id ORDER BY o.created_at, o.id LIMIT 1)",
    " FROM apps a LEFT JOIN triggers t ON t.app_id = a.id AND t.source = $1",
    " LEFT JOIN functions f ON f.id = t.fn_id WHERE a.name = $2"
);

impl SqlStore {
    pub(super) async fn do_insert_route(&self, app_name: &str, route: Route) -> Result<RouteChange> {
        let mut tx = self.begin().await?;
        let (app, new_app) = self.app_or_new(&mut tx, app_name).await?;
        if find(&mut tx, self.dialect, app.id, &route.path).await?.is_some() {
            return Err(ModelError::RouteExists.into());
        }
        let change = self.create(&mut tx, app, new_app, route).await?;
        tx.commit().await?;
        Ok(change)
    }

    pub(super) async fn do_upsert_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        let mut tx = self.begin().await?;
        let there = self.find_locked(&mut tx, app_name, path).await?;
        let change = if let Some((function, trigger)) = there {
            self.merge(&mut tx, app_name, patch, function, trigger).await?
        } else {
            // The route is checked before the app is made: a refused one leaves nothing behind.
            let route = patch.create(app_name, path)?;
            let (app, new_app) = self.app_or_new(&mut tx, app_name).await?;
            if new_app.is_none() && find(&mut tx, self.dialect, app.id, path).await?.is_some() {
                // Another transaction made both since they were looked for.
                return Err(conflict(ModelError::RouteExists));
            }
            self.create(&mut tx, app, new_app, route).await?
        };
        tx.commit().await?;
        Ok(change)
    }

    pub(super) async fn do_update_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        let mut tx = self.begin().await?;
        let there = self.find_locked(&mut tx, app_name, path).await?;
        let (function, trigger) = there.ok_or(ModelError::RouteNotFound)?;
        let change = self.merge(&mut tx, app_name, patch, function, trigger).await?;
        tx.commit().await?;
        Ok(change)
    }

    pub(super) async fn do_remove_route(&self, app_name: &str, path: &str) -> Result<RemovedRoute> {
        let mut tx = self.begin().await?;
        let there = self.find_locked(&mut tx, app_name, path).await?;
        let (function, trigger) = there.ok_or(ModelError::RouteNotFound)?;
        let function_removed = functions::delete_trigger(&mut tx, self.dialect, &trigger).await?;
        tx.commit().await?;
        Ok(RemovedRoute {
            app_id: function.app_id,
            fn_id: function.id,
            function_removed,
            route: Route::of(app_name, trigger, function),
        })
    }

    pub(super) async fn do_route(&self, app_name: &str, path: &str) -> Result<Route> {
        match self.do_resolve(app_name, path).await? {
            Resolution::Found(found) => {
                let Resolved { trigger, function, .. } = *found;
                let trigger = trigger.map(Arc::unwrap_or_clone).ok_or(ModelError::RouteNotFound)?;
                Ok(Route::of(app_name, trigger, Arc::unwrap_or_clone(function)))
            }
            Resolution::NoApp | Resolution::NoRoute => Err(ModelError::RouteNotFound.into()),
        }
    }

    pub(super) async fn do_routes(&self, app_name: &str, image: Option<&str>, page: &Page) -> Result<Vec<Route>> {
        let mut on = self.read().await?;
        let app = apps::by_name(&mut on, self.dialect, app_name).await?;
        let app = app.ok_or(ModelError::AppNotFound)?;
        let (after, size) = (page.after.as_str(), page.size.get() as i64);
        let rows = match image {
            None => {
                let query = sqlx::query(self.dialect.sql(LIST)).bind(app.id.to_string()).bind(after);
                query.bind(size).fetch_all(&mut *on).await?
            }
            Some(image) => {
                let query = sqlx::query(self.dialect.sql(LIST_OF_IMAGE)).bind(app.id.to_string()).bind(after);
                query.bind(image).bind(size).fetch_all(&mut *on).await?
            }
        };
        let route = |row| {
            let (function, trigger) = read_pair(row)?;
            Ok(Route::of(app_name, trigger, function))
        };
        rows.iter().map(route).collect()
    }

    pub(super) async fn do_resolve(&self, app_name: &str, path: &str) -> Result<Resolution> {
        let mut on = self.read().await?;
        let query = sqlx::query(self.dialect.sql(RESOLVE)).bind(path).bind(app_name);
        let Some(row) = query.fetch_optional(&mut *on).await? else {
            return Ok(Resolution::NoApp);
        };
        let mut row = Reader::new(&row);
        let app = apps::read(&mut row)?;
        if row.is_null()? {
            return Ok(Resolution::NoRoute);
        }
        let trigger = read_trigger(&mut row)?;
        let function = read_function(&mut row)?;
        let fn_path: String = row.get()?;
        Ok(Resolution::Found(Box::new(Resolved {
            app: app.into(),
            function: function.into(),
            trigger: Some(trigger.into()),
            fn_path: fn_path.into(),
        })))
    }

    /// The app, held until the transaction ends, or a new one of this name.
    async fn app_or_new(&self, on: &mut AnyConnection, name: &str) -> Result<(App, Option<App>)> {
        if let Some(app) = apps::lock(on, self.dialect, name).await? {
            return Ok((app, None));
        }
        let app = App::new(name, Config::default())?;
        match apps::insert(on, self.dialect, &app).await {
            // Another transaction made it since it was looked for.
            Err(Error::Model(there @ ModelError::AppExists)) => Err(conflict(there)),
            other => other.map(|()| (app.clone(), Some(app))),
        }
    }

    /// The route, with its app held until the transaction ends.
    async fn find_locked(
        &self,
        on: &mut AnyConnection,
        app_name: &str,
        path: &str,
    ) -> Result<Option<(Function, Trigger)>> {
        match apps::lock(on, self.dialect, app_name).await? {
            Some(app) => find(on, self.dialect, app.id, path).await,
            None => Ok(None),
        }
    }

    async fn create(
        &self,
        on: &mut AnyConnection,
        app: App,
        new_app: Option<App>,
        route: Route,
    ) -> Result<RouteChange> {
        let (mut function, mut trigger) = route.split(&app);
        let name = functions::free_name(on, self.dialect, app.id, &function.name).await?;
        function.name.clone_from(&name);
        trigger.name = name;
        functions::insert_function(on, self.dialect, &function).await?;
        functions::insert_trigger(on, self.dialect, &trigger).await?;
        Ok(RouteChange {
            app_id: app.id,
            fn_id: function.id,
            route: Route::of(&app.name, trigger, function),
            created: true,
            function_changed: false,
            new_app,
        })
    }

    async fn merge(
        &self,
        on: &mut AnyConnection,
        app_name: &str,
        patch: RoutePatch,
        mut function: Function,
        mut trigger: Trigger,
    ) -> Result<RouteChange> {
        let before = function.clone();
        patch.apply(&mut function, &mut trigger)?;
        let function_changed = !function.runs_like(&before);
        functions::update_function(on, self.dialect, &function).await?;
        functions::update_trigger(on, self.dialect, &trigger).await?;
        Ok(RouteChange {
            app_id: function.app_id,
            fn_id: function.id,
            route: Route::of(app_name, trigger, function),
            created: false,
            function_changed,
            new_app: None,
        })
    }
}

/// What became of the question for a route.
#[derive(Debug)]
pub(super) enum Resolution {
    Found(Box<Resolved>),
    NoApp,
    NoRoute,
}

impl Resolution {
    pub(super) fn into_result(self) -> Result<Arc<Resolved>> {
        match self {
            Self::Found(found) => Ok(Arc::from(found)),
            Self::NoApp => Err(ModelError::AppNotFound.into()),
            Self::NoRoute => Err(ModelError::RouteNotFound.into()),
        }
    }
}

async fn find(
    on: &mut AnyConnection,
    dialect: Dialect,
    app_id: AppId,
    path: &str,
) -> Result<Option<(Function, Trigger)>> {
    let query = sqlx::query(dialect.sql(FIND)).bind(app_id.to_string()).bind(path);
    let row = query.fetch_optional(on).await?;
    row.as_ref().map(read_pair).transpose()
}

fn read_pair(row: &AnyRow) -> Result<(Function, Trigger)> {
    let mut row = Reader::new(row);
    let trigger = read_trigger(&mut row)?;
    Ok((read_function(&mut row)?, trigger))
}

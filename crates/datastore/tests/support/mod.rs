//! A store in memory that can be told to fail.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_datastore::{
    AppChange, CallStore, Catalog, DefinitionStore, Error, FunctionChange, FunctionFilter, Node, Record, Recorded,
    RemovedRoute, Resolved, Result, RouteChange, TriggerChange, TriggerFilter,
};
use hearth_models::v2::{self, FnPatch, TriggerPatch};
use hearth_models::{
    App, AppId, AppPatch, Call, CallFilter, CallId, Config, Error as ModelError, FnId, Function, Page, Route,
    RoutePatch, Trigger, TriggerId,
};

/// What the fake does and what was done to it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Every operation fails as if the database were away.
    pub(crate) away: bool,
    /// Every operation fails as if the database made no sense.
    pub(crate) broken: bool,
    /// Every operation takes this long.
    pub(crate) delay: Duration,
    /// That many groups are stored and then reported as failed: their commit's answer was lost.
    pub(crate) lost_answers: usize,
    /// Calls that are refused, and their whole group with them.
    pub(crate) refused: HashSet<CallId>,
    /// Calls on which the store fails, and their whole group with them.
    pub(crate) faulty: HashSet<CallId>,
    /// Apps that are gone.
    pub(crate) gone: HashSet<AppId>,
    pub(crate) calls: HashMap<CallId, Call>,
    pub(crate) logs: HashMap<CallId, Bytes>,
    /// Sizes of the groups that were tried.
    pub(crate) groups: Vec<usize>,
    /// How often `resolve` was asked.
    pub(crate) asked: usize,
    pub(crate) definitions: HashMap<String, Arc<Resolved>>,
}

#[derive(Debug, Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
}

impl Fake {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap())
    }

    async fn answer<T>(&self, f: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let delay = self.with(|state| state.delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.with(|state| {
            if state.away {
                return Err(Error::Unavailable("the fake is away".into()));
            }
            if state.broken {
                return Err(Error::Database("the fake is broken".into()));
            }
            f(state)
        })
    }

    /// Puts a definition there, as another node would.
    pub(crate) fn define(&self, app_name: &str, path: &str, image: &str) {
        let patch: RoutePatch = serde_json::from_str(&format!(r#"{{"image":"{image}"}}"#)).unwrap();
        let app = App::new(app_name, Config::default()).unwrap();
        let route = patch.create(app_name, path).unwrap();
        let (function, trigger) = route.split(&app);
        let resolved = Resolved {
            app: app.into(),
            function: function.into(),
            trigger: Some(trigger.into()),
            fn_path: path.into(),
        };
        self.with(|state| state.definitions.insert(format!("{app_name}{path}"), Arc::new(resolved)));
    }

    /// The same for a function without a trigger.
    pub(crate) fn define_function(&self, id: FnId, image: &str) {
        let app = App::new("app", Config::default()).unwrap();
        let patch = format!(r#"{{"app_id":"{}","name":"f","image":"{image}"}}"#, app.id);
        let mut function = serde_json::from_str::<FnPatch>(&patch).unwrap().create().unwrap();
        function.id = id;
        let resolved = Resolved { app: app.into(), function: function.into(), trigger: None, fn_path: "".into() };
        self.with(|state| state.definitions.insert(id.to_string(), Arc::new(resolved)));
    }
}

#[async_trait]
impl CallStore for Fake {
    async fn record(&self, _: Node, records: &[Arc<Record>]) -> Result<Recorded> {
        self.answer(|state| {
            state.groups.push(records.len());
            if records.iter().any(|record| state.refused.contains(&record.call.id)) {
                return Err(Error::Refused("the fake refuses it".into()));
            }
            if records.iter().any(|record| state.faulty.contains(&record.call.id)) {
                return Err(Error::Database("the fake is broken".into()));
            }
            let mut recorded = Recorded::default();
            for (place, Record { call, log }) in records.iter().map(AsRef::as_ref).enumerate() {
                if state.gone.contains(&call.app_id) {
                    recorded.discarded += 1;
                    recorded.let_go.push(place);
                    continue;
                }
                recorded.stored += 1;
                let stored = state.calls.entry(call.id).or_insert_with(|| call.clone());
                if !stored.status().is_final() {
                    *stored = call.clone();
                }
                if let Some(log) = log {
                    state.logs.entry(call.id).or_insert_with(|| log.clone());
                }
            }
            if state.lost_answers > 0 {
                state.lost_answers -= 1;
                return Err(Error::Unavailable("the answer was lost".into()));
            }
            Ok(recorded)
        })
        .await
    }

    async fn call(&self, app_id: AppId, call_id: CallId) -> Result<Call> {
        self.answer(|state| {
            let call = state.calls.get(&call_id);
            let call = call.filter(|call| call.app_id == app_id);
            Ok(call.cloned().ok_or(ModelError::CallNotFound)?)
        })
        .await
    }

    async fn calls(&self, app_id: AppId, filter: &CallFilter) -> Result<Vec<Call>> {
        self.answer(|state| Ok(page(state.calls.values(), app_id, filter))).await
    }

    async fn log(&self, _: AppId, call_id: CallId) -> Result<Bytes> {
        self.answer(|state| {
            let log = state.logs.get(&call_id).cloned();
            Ok(log.ok_or(ModelError::LogNotFound)?)
        })
        .await
    }

    async fn interrupt(&self, _: Node) -> Result<u64> {
        unimplemented!()
    }
}

/// The page of `calls` that `filter` describes, for the fields that these tests use.
pub(crate) fn page<'a>(calls: impl Iterator<Item = &'a Call>, app_id: AppId, filter: &CallFilter) -> Vec<Call> {
    let shown = |call: &&Call| {
        call.app_id == app_id
            && filter.fn_id.is_none_or(|fn_id| fn_id == call.fn_id)
            && filter.path.as_ref().is_none_or(|path| *path == call.path)
            && filter.status.is_none_or(|status| status == call.status())
            && filter.cursor.as_ref().is_none_or(|cursor| call.id.to_string() < *cursor)
    };
    let mut calls: Vec<Call> = calls.filter(shown).cloned().collect();
    calls.sort_by_key(|call| std::cmp::Reverse(call.id));
    calls.truncate(filter.per_page.get());
    calls
}

#[async_trait]
impl Catalog for Fake {
    async fn update_function(&self, id: FnId, _: FnPatch) -> Result<FunctionChange> {
        self.answer(|_| Ok(())).await?;
        self.define_function(id, "changed");
        let found = self.with(|state| Arc::clone(&state.definitions[&id.to_string()]));
        Ok(FunctionChange { function: (*found.function).clone(), outdated: true })
    }

    async fn resolve_function(&self, id: FnId) -> Result<Arc<Resolved>> {
        self.with(|state| state.asked += 1);
        let found = self.with(|state| state.definitions.get(&id.to_string()).cloned());
        self.answer(|_| Ok(found.ok_or(ModelError::V2(v2::Error::FnNotFound))?)).await
    }

    async fn update_app_by_id(&self, _: AppId, _: v2::AppPatch) -> Result<AppChange> {
        unimplemented!()
    }
    async fn remove_app_by_id(&self, _: AppId) -> Result<App> {
        unimplemented!()
    }
    async fn insert_function(&self, _: Function) -> Result<Function> {
        unimplemented!()
    }
    async fn remove_function(&self, _: FnId) -> Result<(Function, Vec<Trigger>)> {
        unimplemented!()
    }
    async fn functions(&self, _: &FunctionFilter) -> Result<Vec<Function>> {
        unimplemented!()
    }
    async fn insert_trigger(&self, _: &Trigger) -> Result<TriggerChange> {
        unimplemented!()
    }
    async fn update_trigger(&self, _: TriggerId, _: TriggerPatch) -> Result<TriggerChange> {
        unimplemented!()
    }
    async fn remove_trigger(&self, _: TriggerId) -> Result<TriggerChange> {
        unimplemented!()
    }
    async fn triggers(&self, _: &TriggerFilter) -> Result<Vec<Trigger>> {
        unimplemented!()
    }
}

#[async_trait]
impl DefinitionStore for Fake {
    async fn update_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        self.upsert_route(app_name, path, patch).await
    }

    async fn upsert_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        self.answer(|_| Ok(())).await?;
        self.define(app_name, path, patch.image.as_deref().unwrap());
        let found = self.with(|state| Arc::clone(&state.definitions[&format!("{app_name}{path}")]));
        Ok(RouteChange {
            route: Route::of(app_name, (**found.trigger.as_ref().unwrap()).clone(), (*found.function).clone()),
            app_id: found.app.id,
            fn_id: found.function.id,
            created: false,
            function_changed: true,
            new_app: None,
        })
    }

    async fn resolve(&self, app_name: &str, path: &str) -> Result<Arc<Resolved>> {
        self.with(|state| state.asked += 1);
        // The answer is that of the moment of the question, however long it takes to arrive.
        let found = self.with(|state| state.definitions.get(&format!("{app_name}{path}")).cloned());
        self.answer(|_| Ok(found.ok_or(ModelError::RouteNotFound)?)).await
    }

    async fn insert_app(&self, _: &App) -> Result<()> {
        unimplemented!()
    }
    async fn app(&self, _: &str) -> Result<App> {
        unimplemented!()
    }
    async fn app_by_id(&self, _: AppId) -> Result<Option<App>> {
        unimplemented!()
    }
    async fn update_app(&self, _: &str, _: AppPatch) -> Result<App> {
        unimplemented!()
    }
    async fn remove_app(&self, _: &str) -> Result<App> {
        unimplemented!()
    }
    async fn apps(&self, _: &Page) -> Result<Vec<App>> {
        unimplemented!()
    }
    async fn insert_route(&self, _: &str, _: Route) -> Result<RouteChange> {
        unimplemented!()
    }
    async fn remove_route(&self, _: &str, _: &str) -> Result<RemovedRoute> {
        unimplemented!()
    }
    async fn route(&self, _: &str, _: &str) -> Result<Route> {
        unimplemented!()
    }
    async fn routes(&self, _: &str, _: Option<&str>, _: &Page) -> Result<Vec<Route>> {
        unimplemented!()
    }
    async fn function(&self, _: FnId) -> Result<Option<Function>> {
        unimplemented!()
    }
    async fn trigger(&self, _: TriggerId) -> Result<Option<Trigger>> {
        unimplemented!()
    }
    async fn ping(&self) -> Result<()> {
        unimplemented!()
    }
}

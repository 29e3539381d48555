//! An agent on scripted containers, and what its callers and its records say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_agent::{
    Agent, Answer, Failure, Invocation, Metrics, Request, RequestBody, Settings, Timing, Via, full_body,
};
use hearth_datastore::{
    CallStore, Error as StoreError, Node, Record, Recorded, Recorder, RecorderSettings, Result as StoreResult,
};
use hearth_drivers::scripted::{Program, Script, ScriptedDriver};
use hearth_models::{
    App, AppId, Call, CallFilter, CallId, Config, Error, Format, Function, InstanceId, RoutePatch, ServerId, Trigger,
};
use http::{HeaderMap, Method, Version};
use http_body_util::BodyExt;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An agent whose every image is `image`.
pub(crate) struct TestAgent {
    pub(crate) agent: Agent,
    pub(crate) driver: ScriptedDriver,
    pub(crate) recorder: Recorder,
    pub(crate) app: Arc<App>,
    pub(crate) registry: Registry,
}

impl TestAgent {
    pub(crate) fn new(program: Program) -> Self {
        Self::with(Script::new(program), |_| {})
    }

    pub(crate) fn with(script: Script, change: impl FnOnce(&mut Settings)) -> Self {
        let driver = ScriptedDriver::new().with("image", script);
        let mut settings = Settings { precise_drain: false, cpus: 2, ..Settings::default() };
        change(&mut settings);
        let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
        let (recorder, service) = Recorder::new(Arc::new(MemoryStore::default()), RecorderSettings::new(node));
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(service.run(CancellationToken::new()));
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::register(&registry).unwrap());
        let agent = Agent::start(Arc::new(driver.clone()), recorder.clone(), metrics, settings);
        let app = Arc::new(App::new("app", Config::default()).unwrap());
        Self { agent, driver, recorder, app, registry }
    }

    /// A function of the app, reached through a trigger, as `json` describes the route.
    pub(crate) fn function(&self, json: &str) -> TestFunction {
        let patch: RoutePatch = serde_json::from_str(json).unwrap();
        let path = patch.path.clone().unwrap_or_else(|| "/f".to_owned());
        let patch = RoutePatch { image: Some(patch.image.clone().unwrap_or_else(|| "image".to_owned())), ..patch };
        let (function, trigger) = patch.create("app", &path).unwrap().split(&self.app);
        TestFunction { app: Arc::clone(&self.app), function: Arc::new(function), trigger: Arc::new(trigger) }
    }

    pub(crate) async fn call(&self, function: &TestFunction, body: impl Into<Bytes>) -> Outcome {
        let body = body.into();
        let length = body.len();
        self.call_with(function, full_body(body), |request| {
            request.headers.insert("content-length", length.into());
        })
        .await
    }

    pub(crate) async fn call_with(
        &self,
        function: &TestFunction,
        body: RequestBody,
        change: impl FnOnce(&mut Request),
    ) -> Outcome {
        let invocation = function.invocation(change);
        let id = invocation.id;
        let result = self.agent.submit(invocation, body).await;
        Outcome { id, result }
    }

    /// The record of a call, once it has ended.
    pub(crate) async fn record(&self, id: CallId) -> Call {
        self.until_ended(id).await;
        self.recorder.call(self.app.id, id).await.unwrap()
    }

    pub(crate) async fn log(&self, id: CallId) -> Bytes {
        self.until_ended(id).await;
        self.recorder.log(self.app.id, id).await.unwrap()
    }

    async fn until_ended(&self, id: CallId) {
        let ended = async {
            while !self.recorder.call(self.app.id, id).await.is_ok_and(|call| call.status().is_final()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), ended).await.expect("the call never ended");
    }

    /// Stops the agent and checks that nothing is left of anything.
    pub(crate) async fn ends_clean(self) {
        self.agent.shutdown(Duration::from_secs(60)).await;
        let clean = self.driver.until(|ledger| ledger.is_clean());
        tokio::time::timeout(Duration::from_secs(60), clean).await.expect("containers are left");
        let occupancy = self.agent.occupancy();
        assert_eq!((occupancy.waiting, occupancy.busy, occupancy.memory_reserved), (0, 0, 0), "{occupancy:?}");
        assert_eq!(self.recorder.live(), 0, "calls never ended");
    }
}

#[derive(Clone)]
pub(crate) struct TestFunction {
    pub(crate) app: Arc<App>,
    pub(crate) function: Arc<Function>,
    pub(crate) trigger: Arc<Trigger>,
}

impl TestFunction {
    pub(crate) fn invocation(&self, change: impl FnOnce(&mut Request)) -> Invocation {
        let mut request = Request {
            via: Via::Http,
            method: Method::POST,
            target: "/r/app/f".to_owned(),
            url: "http://localhost/r/app/f".to_owned(),
            host: "localhost".to_owned(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            params: vec![("app", "app".to_owned())],
        };
        change(&mut request);
        Invocation {
            id: CallId::generate(),
            app: Arc::clone(&self.app),
            function: Arc::clone(&self.function),
            trigger: Some(Arc::clone(&self.trigger)),
            fn_path: self.trigger.source.as_str().into(),
            timing: Timing::FromAccept,
            arrived: Instant::now(),
            request,
        }
    }
}

pub(crate) struct Outcome {
    pub(crate) id: CallId,
    pub(crate) result: Result<Answer, Failure>,
}

impl Outcome {
    /// Status and whole body of the answer.
    pub(crate) async fn answer(self) -> (u16, Bytes) {
        let answer = self.result.expect("an answer");
        let status = answer.status.as_u16();
        (status, answer.body.collect().await.expect("a whole body").to_bytes())
    }

    pub(crate) fn error(&self) -> Error {
        self.result.as_ref().expect_err("no answer").error.clone()
    }
}

/// Formats that one container serves many calls with.
pub(crate) const HOT: [Format; 2] = [Format::Http, Format::Json];

/// Calls in memory, as a store would keep them.
#[derive(Debug, Default)]
struct MemoryStore {
    calls: Mutex<HashMap<CallId, Arc<Record>>>,
}

#[async_trait]
impl CallStore for MemoryStore {
    async fn record(&self, _node: Node, records: &[Arc<Record>]) -> StoreResult<Recorded> {
        let mut calls = self.calls.lock().unwrap();
        calls.extend(records.iter().map(|record| (record.call.id, Arc::clone(record))));
        Ok(Recorded { stored: records.len(), ..Recorded::default() })
    }

    async fn call(&self, _app: AppId, id: CallId) -> StoreResult<Call> {
        let calls = self.calls.lock().unwrap();
        calls.get(&id).map(|record| record.call.clone()).ok_or(StoreError::Model(Error::CallNotFound))
    }

    async fn calls(&self, _app: AppId, _filter: &CallFilter) -> StoreResult<Vec<Call>> {
        Ok(self.calls.lock().unwrap().values().map(|record| record.call.clone()).collect())
    }

    async fn log(&self, _app: AppId, id: CallId) -> StoreResult<Bytes> {
        let calls = self.calls.lock().unwrap();
        let log = calls.get(&id).and_then(|record| record.log.clone());
        log.ok_or(StoreError::Model(Error::LogNotFound))
    }

    async fn interrupt(&self, _node: Node) -> StoreResult<u64> {
        Ok(0)
    }
}

//! What this program adds to Hearth: every request brings a token, apps have a quota, calls are told where they run and
//! are counted, and two endpoints show what was counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hearth::http::header::AUTHORIZATION;
use hearth::http::{HeaderValue, Method};
use hearth::models::{App, Call, ConfigPatch, Error};
use hearth::{
    AppListener, Body, Builder, CallListener, EndpointRequest, Invocation, ListenerError, Next, Request, Response,
    error_response,
};

/// Puts all of it around a server.
#[must_use]
pub fn extend(builder: Builder, token: &str, quota: Quota, ledger: Ledger) -> Builder {
    let token: Arc<str> = format!("Bearer {token}").into();
    let (all, one) = (ledger.clone(), ledger.clone());
    builder
        .middleware(move |request, next| demand(Arc::clone(&token), request, next))
        .app_listener(quota)
        .app_listener(ledger.clone())
        .call_listener(ledger)
        .endpoint(Method::GET, "/ledger", move |_| {
            let text = all.text();
            async { Ok(Response::new(Body::from(text))) }
        })
        .app_endpoint(Method::GET, "/ledger/{what}", move |request| one.show(&request))
}

/// Lets only those in who know the token; around everything, so that nothing is forgotten.
async fn demand(token: Arc<str>, request: Request, next: Next) -> Response {
    if request.headers().get(AUTHORIZATION).is_none_or(|given| given.as_bytes() != token.as_bytes()) {
        let refusal = Error::Refused { status: 401, message: "Invalid Authorization token.".to_owned() };
        return error_response(request.uri().path(), &refusal);
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-embedded", HeaderValue::from_static("yes"));
    response
}

/// Only so many apps at a time, and each says so in its configuration.
#[derive(Clone, Debug)]
pub struct Quota {
    left: Arc<Mutex<usize>>,
}

impl Quota {
    /// Room for `apps`.
    #[must_use]
    pub fn of(apps: usize) -> Self {
        Self { left: Arc::new(Mutex::new(apps)) }
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self::of(100)
    }
}

#[async_trait]
impl AppListener for Quota {
    async fn before_create(&self, app: &mut App) -> Result<(), Error> {
        if *lock(&self.left) == 0 {
            return Err(Error::Refused { status: 402, message: "No more apps".to_owned() });
        }
        app.config.0.insert("PLAN".to_owned(), "small".to_owned());
        Ok(())
    }

    async fn after_create(&self, _app: &App) -> Result<(), ListenerError> {
        let mut left = lock(&self.left);
        *left = left.saturating_sub(1);
        Ok(())
    }

    async fn after_delete(&self, _app: &App) -> Result<(), ListenerError> {
        *lock(&self.left) += 1;
        Ok(())
    }
}

/// What happened, by app.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    lines: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl Ledger {
    fn note(&self, app: &str, line: String) {
        lock(&self.lines).entry(app.to_owned()).or_default().push(line);
    }

    /// All of it, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = lock(&self.lines);
        lines.iter().flat_map(|(app, lines)| lines.iter().map(move |line| format!("{app} {line}\n"))).collect()
    }

    /// The lines of an app that begin so.
    fn show(&self, request: &EndpointRequest) -> impl Future<Output = Result<Response, Error>> + use<> {
        let app = request.app.as_ref().map(|app| app.name.clone()).unwrap_or_default();
        let what = request.params.get("what").cloned().unwrap_or_default();
        let lines = lock(&self.lines).get(&app).cloned().unwrap_or_default();
        async move {
            let found: Vec<String> = lines.into_iter().filter(|line| line.starts_with(&what)).collect();
            Ok(Response::new(Body::from(found.join("\n"))))
        }
    }
}

#[async_trait]
impl AppListener for Ledger {
    async fn after_create(&self, app: &App) -> Result<(), ListenerError> {
        self.note(&app.name, format!("created with {:?}", app.config.0));
        Ok(())
    }

    async fn before_update(&self, _app: &App, config: &mut ConfigPatch) -> Result<(), Error> {
        // Nobody changes the plan.
        config.0.remove("PLAN");
        Ok(())
    }

    async fn after_update(&self, app: &App) -> Result<(), ListenerError> {
        self.note(&app.name, format!("updated to {:?}", app.config.0));
        Ok(())
    }

    async fn before_delete(&self, app: &App) -> Result<(), Error> {
        if app.config.0.contains_key("KEEP") {
            return Err(Error::Refused { status: 409, message: "This app is kept".to_owned() });
        }
        Ok(())
    }

    async fn after_delete(&self, app: &App) -> Result<(), ListenerError> {
        self.note(&app.name, "deleted".to_owned());
        Err("the ledger of deletions is full".into())
    }
}

#[async_trait]
impl CallListener for Ledger {
    async fn before_call(&self, invocation: &mut Invocation) -> Result<(), Error> {
        if invocation.request.headers.contains_key("x-forbidden") {
            return Err(Error::Refused { status: 403, message: "Not this call".to_owned() });
        }
        invocation.request.headers.insert("x-region", HeaderValue::from_static("here"));
        Ok(())
    }

    async fn after_call(&self, call: &Call) -> Result<(), ListenerError> {
        self.note(&call.path, format!("{} {}", call.status(), call.error().unwrap_or("-")));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

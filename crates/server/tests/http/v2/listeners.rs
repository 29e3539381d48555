//! Listeners of calls that come by the doors of API v2: they see them, may change them, and may refuse them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hearth_agent::{CallListener, Invocation, ListenerError};
use hearth_drivers::scripted::programs::{http, response};
use hearth_models::{Call, Error, Status};
use http::{HeaderValue, Request};
use http_body_util::Full;

use super::{make_app, make_fn, make_trigger};
use crate::client::Reply;
use crate::test_app::{Options, TestApp};

/// Adds a header to every call, refuses those that ask for it, and writes down what it sees.
#[derive(Debug, Default)]
struct Keeper {
    began: Mutex<Vec<(String, Option<String>)>>,
    ended: Mutex<Vec<(String, Status)>>,
}

#[async_trait]
impl CallListener for Keeper {
    async fn before_call(&self, invocation: &mut Invocation) -> Result<(), Error> {
        let source = invocation.trigger.as_ref().map(|trigger| trigger.source.clone());
        self.began.lock().unwrap().push((invocation.id.to_string(), source));
        if invocation.request.headers.contains_key("x-refuse") {
            return Err(Error::Refused { status: 403, message: "not you".to_owned() });
        }
        invocation.request.headers.insert("x-added", HeaderValue::from_static("by a listener"));
        Ok(())
    }

    async fn after_call(&self, call: &Call) -> Result<(), ListenerError> {
        self.ended.lock().unwrap().push((call.id.to_string(), call.status()));
        Ok(())
    }
}

struct Stand {
    app: TestApp,
    keeper: Arc<Keeper>,
    fn_id: String,
}

impl Stand {
    async fn new() -> Self {
        let keeper = Arc::new(Keeper::default());
        let tells = http(|request| async move { response(200, request.head.as_bytes()) });
        let listener = Arc::clone(&keeper);
        let app = Options::default().image("image", tells).agent(|agent| agent.listeners.push(listener)).start().await;
        let app_id = make_app(&app, "app").await;
        let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","format":"http""#).await;
        make_trigger(&app, &app_id, &fn_id, "t", "/f").await;
        Self { app, keeper, fn_id }
    }

    /// Calls, and says under which id.
    async fn call(&self, path: &str, headers: &[&str]) -> (Reply, String) {
        let mut request = Request::post(path).header("host", "hearth.test");
        for name in headers {
            request = request.header(*name, "detached");
        }
        let reply = self.app.request(request.body(Full::default()).unwrap()).await;
        let id = reply.values("fn-call-id").remove(0);
        (reply, id)
    }

    /// What the record of a call comes to say: its status and its error.
    async fn record(&self, id: &str) -> (String, Option<String>) {
        let path = format!("/v2/fns/{}/calls/{id}", self.fn_id);
        let text = |reply: &Reply, key: &str| reply.json()[key].as_str().map(str::to_owned);
        let is_over = |reply: &Reply| matches!(text(reply, "status").as_deref(), Some("success" | "cancelled"));
        let reply = self.app.until(&path, is_over).await;
        (text(&reply, "status").unwrap_or_default(), text(&reply, "error"))
    }

    /// Ends the server, which tells its listeners of every call first, and holds what was seen to what happened.
    async fn saw(self, began: &[(&str, Option<&str>)], ended: &[(&str, Status)]) {
        let Self { app, keeper, .. } = self;
        app.stop().await;
        let seen = keeper.began.lock().unwrap();
        let seen: Vec<_> = seen.iter().map(|(id, source)| (id.as_str(), source.as_deref())).collect();
        assert_eq!(seen, began);
        let seen = keeper.ended.lock().unwrap();
        let mut seen: Vec<_> = seen.iter().map(|(id, status)| (id.as_str(), *status)).collect();
        seen.sort_by_key(|(id, _)| began.iter().position(|(known, _)| known == id));
        assert_eq!(seen, ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_by_id_or_by_trigger_is_seen_and_changed_before_it_runs_and_seen_when_it_has_ended() {
    let stand = Stand::new().await;
    let (direct, first) = stand.call(&format!("/invoke/{}", stand.fn_id), &[]).await;
    let (triggered, second) = stand.call("/t/app/f", &[]).await;
    for reply in [direct, triggered] {
        assert_eq!(reply.status, 200);
        assert!(reply.text().contains("X-Added: by a listener"), "{}", reply.text());
    }
    let (began, ended) =
        ([(&*first, None), (&*second, Some("/f"))], [&*first, &*second].map(|id| (id, Status::Success)));
    stand.saw(&began, &ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_is_answered_in_the_form_of_its_door_and_recorded() {
    let stand = Stand::new().await;
    let mut ids = Vec::new();
    for path in [format!("/invoke/{}", stand.fn_id), "/t/app/f".to_owned()] {
        let (reply, id) = stand.call(&path, &["x-refuse"]).await;
        reply.is_v2_error(403, "not you");
        assert_eq!(stand.record(&id).await, ("cancelled".to_owned(), Some("not you".to_owned())));
        ids.push(id);
    }
    assert_eq!(stand.app.driver.ledger().created, 0, "nothing ran");
    let began = [(&*ids[0], None), (&*ids[1], Some("/f"))];
    let ended = [&*ids[0], &*ids[1]].map(|id| (id, Status::Cancelled));
    stand.saw(&began, &ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_call_is_asked_about_when_it_is_about_to_run() {
    let stand = Stand::new().await;
    let path = format!("/invoke/{}", stand.fn_id);
    let (accepted, changed) = stand.call(&path, &["fn-invoke-type"]).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(stand.record(&changed).await, ("success".to_owned(), None));
    let log = stand.app.get(&format!("/v2/fns/{}/calls/{changed}/log", stand.fn_id)).await;
    assert!(log.text().contains("X-Added: by a listener"), "{}", log.text());
    // Whoever queued it has been told that it was accepted; that it is refused stands in its record.
    let (accepted, refused) = stand.call(&path, &["fn-invoke-type", "x-refuse"]).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(stand.record(&refused).await, ("cancelled".to_owned(), Some("not you".to_owned())));
    let (began, ended) =
        ([&*changed, &*refused].map(|id| (id, None)), [(&*changed, Status::Success), (&*refused, Status::Cancelled)]);
    stand.saw(&began, &ended).await;
}

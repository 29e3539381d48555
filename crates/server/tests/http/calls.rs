//! `/v1/apps/:app/calls`.

use hearth_drivers::Exit;
use hearth_drivers::scripted::{Program, programs};
use serde_json::Value;

use crate::client::Reply;
use crate::test_app::{Options, TestApp};

async fn start() -> TestApp {
    let failing = Program::new(|io| async move {
        io.stderr(&b"exiting 137\n\xff"[..]).await;
        Exit::Code(3)
    });
    let app = Options::default().image("echo", programs::cat()).image("bad", failing).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/e","image":"echo""#).await;
    app.create_route(r#""path":"/cold","image":"bad""#).await;
    app
}

async fn call(app: &TestApp, path: &str) -> String {
    app.get(path).await.values("fn_call_id").remove(0)
}

fn ids(reply: &Reply) -> Vec<String> {
    let calls = reply.json()["calls"].as_array().unwrap().clone();
    calls.iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_recorded_with_reason_and_log() {
    let app = start().await;
    let id = call(&app, "/r/app/cold").await;
    let reply = app.get(&format!("/v1/apps/app/calls/{id}")).await;
    let time = |key: &str| reply.json()["call"][key].as_str().unwrap().to_owned();
    let stats: Value = reply.json()["call"]["stats"].clone();
    assert!(stats.is_null(), "{stats}");
    reply.is_ok(&format!(
        concat!(
            r#"{{"message":"Successfully loaded call","call":{{"id":"{}","status":"error","app_name":"app","#,
            r#""path":"/cold","completed_at":"{}","created_at":"{}","started_at":"{}","reason":"bad_exit","#,
            r#""error":"container exit code 3","type":"sync"}}}}"#
        ),
        id,
        time("completed_at"),
        time("created_at"),
        time("started_at"),
    ));
    app.get(&format!("/v1/apps/app/calls/{id}/log")).await.is_ok(&format!(
        r#"{{"message":"Successfully loaded log","log":{{"call_id":"{id}","log":"exiting 137\n{}","app_name":"app"}}}}"#,
        '\u{FFFD}'
    ));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_wrote_nothing_has_an_empty_log() {
    let app = start().await;
    let id = call(&app, "/r/app/e").await;
    let log = app.get(&format!("/v1/apps/app/calls/{id}/log")).await.json();
    assert_eq!(log["log"]["log"], "");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_newest_first_and_paged_by_id() {
    let app = start().await;
    app.get("/v1/apps/app/calls").await.is_ok(r#"{"message":"Successfully listed calls","next_cursor":"","calls":[]}"#);
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(call(&app, "/r/app/e").await);
    }
    made.reverse();
    assert_eq!(ids(&app.get("/v1/apps/app/calls").await), made);
    let first = app.get("/v1/apps/app/calls?per_page=2").await;
    assert_eq!(ids(&first), made[..2]);
    assert_eq!(first.json()["next_cursor"], made[1]);
    let rest = app.get(&format!("/v1/apps/app/calls?per_page=2&cursor={}", made[1])).await;
    assert_eq!((ids(&rest), &rest.json()["next_cursor"]), (made[2..].to_vec(), &Value::from("")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_path_time_status_and_reason() {
    let app = start().await;
    let good = call(&app, "/r/app/e").await;
    let bad = call(&app, "/r/app/cold").await;
    for (query, expected) in [
        ("path=/e", vec![&good]),
        ("path=%2Fcold", vec![&bad]),
        ("path=e", vec![]),
        ("status=success", vec![&good]),
        ("status=error&reason=bad_exit", vec![&bad]),
        ("reason=timeout", vec![]),
        ("from_time=1", vec![&bad, &good]),
        ("from_time=99999999999", vec![]),
        ("to_time=99999999999", vec![&bad, &good]),
        ("to_time=-9223372036854775808", vec![]),
        ("cursor=not-an-id", vec![&bad, &good]),
        ("cursor=%20", vec![]),
    ] {
        let listed = ids(&app.get(&format!("/v1/apps/app/calls?{query}")).await);
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_be_read_while_it_runs() {
    let options = Options::default().image("hang", programs::hang());
    let app = options.start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/h","image":"hang","timeout":2"#).await;
    let (reply, running) = tokio::join!(app.get("/r/app/h"), async {
        app.until("/v1/apps/app/calls?status=running", |reply| !ids(reply).is_empty()).await
    });
    let id = reply.values("fn_call_id").remove(0);
    assert_eq!(ids(&running), [id]);
    let call = running.json()["calls"][0].clone();
    assert_eq!((&call["status"], &call["completed_at"]), (&"running".into(), &"0001-01-01T00:00:00.000Z".into()));
    app.stop().await;
}

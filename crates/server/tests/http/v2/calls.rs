//! Calls and logs of functions and apps.

use hearth_drivers::scripted::Program;
use hearth_drivers::scripted::programs::{hang, http, response};
use http::Request;
use http_body_util::Full;

use super::{column, make_app, make_fn, make_trigger, text};
use crate::test_app::{Options, TestApp};

fn says_hello() -> Program {
    http(|_| async move { response(200, b"hello") })
}

async fn detached(app: &TestApp, fn_id: &str) -> String {
    let request = Request::post(format!("/invoke/{fn_id}")).header("fn-invoke-type", "detached");
    let reply = app.request(request.body(Full::default()).unwrap()).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    reply.values("fn-call-id").remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_listed_by_function_and_by_app_newest_first() {
    let app = Options::default().image("image", says_hello()).start().await;
    let app_id = make_app(&app, "app").await;
    let one = make_fn(&app, &app_id, "one", r#""image":"image","format":"http""#).await;
    let two = make_fn(&app, &app_id, "two", r#""image":"image","format":"http""#).await;
    let trigger = make_trigger(&app, &app_id, &two, "t", "/two").await;
    let mut ids = Vec::new();
    for path in [format!("/invoke/{one}"), "/t/app/two".into(), format!("/invoke/{one}"), "/r/app/two".into()] {
        let reply = app.post(&path, "").await;
        assert_eq!(reply.status, 200, "{path}");
        ids.extend(reply.values("fn-call-id").into_iter().chain(reply.values("fn_call_id")));
    }
    let newest = |which: &[usize]| which.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
    for (query, which) in [
        (format!("/v2/apps/{app_id}/calls"), newest(&[3, 2, 1, 0])),
        (format!("/v2/fns/{one}/calls"), newest(&[2, 0])),
        (format!("/v2/fns/{two}/calls"), newest(&[3, 1])),
        (format!("/v2/apps/{app_id}/calls?fn_id={two}"), newest(&[3, 1])),
        (format!("/v2/apps/{app_id}/calls?fn_id=no-id"), vec![]),
        (format!("/v2/fns/{one}/calls?fn_id={two}&path=/none"), newest(&[2, 0])),
        (format!("/v2/fns/{one}/calls?status=success"), newest(&[2, 0])),
        (format!("/v2/fns/{one}/calls?status=error"), vec![]),
        (format!("/v2/fns/{one}/calls?reason=killed"), vec![]),
        (format!("/v2/fns/{one}/calls?from_time=1&to_time=2"), vec![]),
    ] {
        assert_eq!(column(&app.get(&query).await, "id"), which, "{query}");
    }
    let first = app.get(&format!("/v2/fns/{one}/calls?per_page=1")).await;
    assert_eq!(column(&first, "id"), newest(&[2]));
    let next = text(&first.json(), "next_cursor");
    let rest = app.get(&format!("/v2/fns/{one}/calls?cursor={next}")).await;
    assert_eq!((column(&rest, "id"), rest.json().get("next_cursor")), (newest(&[0]), None));

    let call = app.get(&format!("/v2/fns/{two}/calls/{}", ids[1])).await;
    let [created, started, completed] = ["created_at", "started_at", "completed_at"].map(|key| text(&call.json(), key));
    let keys = format!(
        r#"{{"id":"{}","app_id":"{app_id}","fn_id":"{two}","trigger_id":"{trigger}","status":"success","created_at":"{created}","started_at":"{started}","completed_at":"{completed}","attempts":1"#,
        ids[1]
    );
    assert!(call.text().starts_with(&keys), "{}", call.text());
    app.get(&format!("/v2/apps/{app_id}/calls/{}", ids[1])).await.is_ok(&call.text());
    app.get(&format!("/v2/fns/{one}/calls/{}", ids[1])).await.is_v2_error(404, "Call not found");
    app.get(&format!("/v2/fns/{one}/calls/{}/log", ids[1])).await.is_v2_error(404, "Call log not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_byte_by_byte() {
    let noisy = |bytes: &'static [u8]| {
        Program::new(move |io| async move {
            io.stderr(bytes).await;
            io.stdout("done").await;
            hearth_drivers::Exit::Code(0)
        })
    };
    let app =
        Options::default().image("text", noisy("é\n".as_bytes())).image("bytes", noisy(b"\xff\x00")).start().await;
    let app_id = make_app(&app, "app").await;
    for (image, bytes, content_type) in
        [("text", "é\n".as_bytes(), "text/plain; charset=utf-8"), ("bytes", b"\xff\x00", "application/octet-stream")]
    {
        let fn_id = make_fn(&app, &app_id, image, &format!(r#""image":"{image}","format":"default""#)).await;
        let id = app.post(&format!("/invoke/{fn_id}"), "").await.values("fn-call-id").remove(0);
        for path in [format!("/v2/fns/{fn_id}/calls/{id}/log"), format!("/v2/apps/{app_id}/calls/{id}/log")] {
            let log = app.get(&path).await;
            assert_eq!((log.status.as_u16(), &*log.body), (200, bytes));
            assert_eq!(log.values("content-type"), [content_type]);
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_call_is_cancelled_once() {
    let app = Options::default().image("image", hang()).start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","format":"http""#).await;
    let other = make_fn(&app, &app_id, "g", r#""image":"image","format":"http""#).await;
    for of in [format!("/v2/fns/{fn_id}"), format!("/v2/apps/{app_id}")] {
        let id = detached(&app, &fn_id).await;
        let path = format!("{of}/calls/{id}");
        app.until(&path, |reply| reply.json()["status"] == "running").await;
        app.get(&format!("{path}/log")).await.is_v2_error(404, "Call log not found");
        app.send("DELETE", &format!("/v2/fns/{other}/calls/{id}"), "").await.is_v2_error(404, "Call not found");
        app.send("DELETE", &path, "").await.is_done();
        let call = app.until(&path, |reply| reply.json()["status"] == "cancelled").await.json();
        assert_eq!(call["reason"], "api_request");
        app.send("DELETE", &path, "").await.is_v2_error(409, "Call has ended already");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_somebody_waits_for_is_not_cancelled_by_others() {
    let slow = http(|_| async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        response(200, b"done")
    });
    let app = Options::default().image("image", slow).start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"image","format":"http""#).await;
    let calls = format!("/v2/fns/{fn_id}/calls");
    let refused = async {
        let running = app.until(&calls, |reply| reply.text().contains("\"running\"")).await.json();
        let id = text(&running["items"][0], "id");
        let message = "a synchronous call is cancelled by its client, who leaves";
        app.send("DELETE", &format!("{calls}/{id}"), "").await.is_v2_error(409, message);
        app.send("DELETE", &format!("/v1/apps/app/calls/{id}"), "").await.is_error(409, message);
        id
    };
    let invoke = format!("/invoke/{fn_id}");
    let (reply, id) = tokio::join!(app.post(&invoke, ""), refused);
    assert_eq!((reply.text(), reply.values("fn-call-id")), ("done".to_owned(), vec![id.clone()]));
    app.send("DELETE", &format!("{calls}/{id}"), "").await.is_v2_error(409, "Call has ended already");
    app.stop().await;
}

/// Under the names of API v2's servers.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_calls_and_containers_by_id() {
    let app = Options::default().image("acme/f:1", says_hello()).image("hang", hang()).start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"acme/f:1","format":"http""#).await;
    for _ in 0..2 {
        app.post(&format!("/invoke/{fn_id}"), "").await;
    }
    for image in ["hang", "missing"] {
        let fields = format!(r#""image":"{image}","format":"http","timeout":1"#);
        let failing = make_fn(&app, &app_id, image, &fields).await;
        app.post(&format!("/invoke/{failing}"), "").await;
    }
    let labels = format!(r#"{{app_id="{app_id}",fn_id="{fn_id}",image_name="acme/f:1"}}"#);
    let idle = format!("fn_container_idle_total{labels} 1\n");
    let used = format!("fn_util_mem_used {}\n", 128 << 20);
    let metrics =
        app.until("/metrics", |reply| [&idle, &used].iter().all(|line| reply.text().contains(*line))).await.text();
    let (starting, busy) = (format!("fn_container_start_total{labels}"), format!("fn_container_busy_total{labels}"));
    for line in [
        "fn_calls 4",
        "fn_completed 2",
        "fn_errors 1",
        "fn_timeouts 1",
        "fn_canceled 0",
        "fn_server_busy 0",
        "fn_queued 0",
        "fn_running 0",
        &format!("{starting} 0"),
        &format!("{busy} 0"),
        &format!("fn_util_mem_avail {}", (2_u64 << 30) - (128 << 20)),
        "fn_util_cpu_used 0",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line}: {metrics}");
    }
    app.send("DELETE", &format!("/v2/fns/{fn_id}"), "").await.is_done();
    app.until("/metrics", |reply| !reply.text().contains(&fn_id)).await;
    app.stop().await;
}

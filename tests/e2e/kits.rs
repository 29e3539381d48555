//! Functions written with the published kits for Python and Node run as they are: `docker/functions/kits`, built by
//! scripts/examples.sh. Each test does the same with both.

use serde_json::{Value, json};

use crate::support::{APP, Reply, Server};

/// A kit, and what its function says where kits differ.
struct Kit {
    name: &'static str,
    /// Its own answer to a failure of the function, which the platform passes on as a failure.
    log_of_a_throw: &'static str,
}

const KITS: [Kit; 2] = [
    Kit { name: "python", log_of_a_throw: "thrown on purpose" },
    Kit { name: "node", log_of_a_throw: "Error in function: Error: thrown on purpose" },
];

impl Kit {
    fn path(&self) -> String {
        format!("/{}", self.name)
    }

    async fn deploy(&self, server: &Server) {
        let image = format!("hearth/kit-{}:test", self.name);
        let image = ["image", "inspect", "--format", "{{.Id}}", &image];
        let there = server.engine().try_docker(&image).await.status.success();
        assert!(there, "the image of the kit is missing; build it with scripts/examples.sh");
        let route = server.route(&self.path()).format("http-stream").image(image[4]).memory(128);
        route.config("COLOUR", "green").create().await;
    }

    async fn asked(&self, server: &Server, what: &str, body: impl Into<reqwest::Body>) -> Reply {
        server.call(&self.path()).header("Kit-Do", what).body(body).send().await
    }
}

async fn with_kits() -> Server {
    let server = Server::start().await;
    for kit in &KITS {
        kit.deploy(&server).await;
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn text_json_and_bytes_come_through_as_they_are() {
    let server = with_kits().await;
    for kit in &KITS {
        let reply = server.call(&kit.path()).header("Content-Type", "text/plain").body("ünïcode").send().await;
        reply.is_answer("ünïcode");
        assert_eq!(reply.value("content-type"), "text/plain", "{}", kit.name);

        let reply = kit.asked(&server, "json", r#"{"n": [1, null, "x"]}"#).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.value("content-type"), "application/json");
        assert_eq!(reply.json(), json!({"asked": {"n": [1, null, "x"]}, "call": reply.call_id()}));

        let bytes: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
        let reply = kit.asked(&server, "echo", bytes.clone()).await;
        assert_eq!((reply.status, reply.complete), (200, true));
        assert!(reply.body == bytes, "{}: 5 MB came back changed", kit.name);

        let record = server.record(&reply).await;
        record.is_success();
        assert!(record.log.contains("doing echo with 5242880 bytes"), "{}", record.log);
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kits_function_says_status_and_headers_and_is_told_of_the_request() {
    let server = with_kits().await;
    for kit in &KITS {
        let reply = kit.asked(&server, "status", "").await;
        assert_eq!((reply.status, reply.text()), (418, "teapot"), "{reply:?}");
        assert_eq!((reply.value("x-kit"), reply.value("content-type")), (kit.name, "text/plain"));

        let path = format!("/r/{APP}/{}?a=b%20c", kit.name);
        let asked = server.request("PUT", &path).header("Kit-Do", "facts").header("X-Asked", "yes").body("x");
        let facts: Value = asked.send().await.json();
        assert_eq!(
            (&facts["method"], &facts["config"], &facts["header"]),
            (&"PUT".into(), &"green".into(), &"yes".into())
        );
        assert!(facts["url"].as_str().unwrap().ends_with(&path), "{facts}");
        assert!(facts["deadline"].as_str().unwrap().starts_with("20"), "{facts}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kits_function_throws_is_a_failure_with_its_log_and_the_container_goes_on() {
    let server = with_kits().await;
    for kit in &KITS {
        let reply = kit.asked(&server, "throw", "x").await;
        reply.is_call_error(502, "function failed");
        let record = server.record(&reply).await;
        assert_eq!(
            (&record.call["status"], &record.call["reason"]),
            (&"error".into(), &"bad_exit".into()),
            "{record:?}"
        );
        assert!(record.log.contains(kit.log_of_a_throw), "{}", record.log);
        kit.asked(&server, "echo", "again").await.is_answer("again");
    }
    server.has_containers(KITS.len()).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kits_function_is_the_same_through_the_doors_of_api_v2() {
    let server = with_kits().await;
    let apps = server.get(&format!("/v2/apps?name={APP}")).send().await.json();
    let app = apps["items"][0]["id"].as_str().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
    for kit in &KITS {
        let functions = server.get(&format!("/v2/fns?app_id={app}&name={}", kit.name)).send().await.json();
        let invoke = format!("/invoke/{}", functions["items"][0]["id"].as_str().unwrap());
        let trigger = format!("/t/{APP}/{}", kit.name);
        for door in [&invoke, &trigger] {
            let reply = server.post(door).header("Content-Type", "text/plain").body("ünïcode").send().await;
            assert_eq!((reply.status, reply.text(), reply.value("fn-call-id").len()), (200, "ünïcode", 26), "{door}");
            assert_eq!(reply.value("content-type"), "text/plain");
            let reply = server.post(door).body(bytes.clone()).send().await;
            assert!(reply.status == 200 && reply.complete && reply.body == bytes, "{door}: 5 MB came back changed");
            let reply = server.post(door).header("Kit-Do", "throw").body("x").send().await;
            assert_eq!((reply.status, reply.text()), (502, "{\"message\":\"function failed\"}\n"), "{door}");
        }
        // A request is answered with the function's status; an invocation succeeds or does not.
        for (door, status) in [(&invoke, 200), (&trigger, 418)] {
            let reply = server.post(door).header("Kit-Do", "status").send().await;
            assert_eq!((reply.status, reply.text()), (status, "teapot"), "{door}: {reply:?}");
        }
    }
    server.has_containers(KITS.len()).await;
    server.finish().await;
}

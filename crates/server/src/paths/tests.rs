use std::collections::BTreeSet;

use super::endpoints::{Endpoint, Methods, Taken};
use super::*;

fn on(method: &str, path: &str) -> Result<String, String> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let path = decode(path).map_err(|error| error.to_string())?;
    resolve(Door::Public, &method, &path).map(|operation| format!("{operation:?}")).map_err(|refusal| match refusal {
        Refusal::Error(error) => error.to_string(),
        Refusal::Method { error, allow } => format!("{error}: {allow}"),
        Refusal::Redirect { status, path } => format!("{} {path}", status.as_u16()),
    })
}

#[test]
fn every_endpoint_of_the_contract_is_found() {
    for (method, path, operation) in [
        ("GET", "/", "Root"),
        ("GET", "/version", "Version"),
        ("GET", "/stats", "Stats"),
        ("GET", "/metrics", "Metrics"),
        ("GET", "/live", "Live"),
        ("GET", "/ready", "Ready"),
        ("GET", "/v1/apps", "ListApps"),
        ("HEAD", "/v1/apps", "ListApps"),
        ("POST", "/v1/apps", "CreateApp"),
        ("GET", "/v1/apps/a", "GetApp(\"a\")"),
        ("PATCH", "/v1/apps/a", "UpdateApp(\"a\")"),
        ("DELETE", "/v1/apps/a", "DeleteApp(\"a\")"),
        ("GET", "/v1/apps/a/routes", "ListRoutes(\"a\")"),
        ("POST", "/v1/apps/a/routes", "CreateRoute(\"a\")"),
        ("GET", "/v1/apps/a/calls", "ListCalls(\"a\")"),
    ] {
        assert_eq!(on(method, path).as_deref(), Ok(operation), "{method} {path}");
    }
}

/// OpenAPI has no word for CONNECT.
fn describable() -> impl Iterator<Item = Method> {
    Methods::ALL.into_iter().filter(|method| method != Method::CONNECT)
}

#[test]
fn the_description_has_every_endpoint_and_no_other() {
    let mut described = BTreeSet::new();
    for (version, text) in [
        (Version::V1, include_str!("../../../../api-spec/v1.yaml")),
        (Version::V2, include_str!("../../../../api-spec/v2.yaml")),
    ] {
        let description: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        describe(version, &description, &mut described);
    }
    assert_eq!(described, served());
}

/// Path, method and name of an operation.
type Known = BTreeSet<(String, String, String)>;

fn describe(version: Version, description: &serde_json::Value, described: &mut Known) {
    for (template, item) in description["paths"].as_object().unwrap() {
        assert_eq!(Version::of(template), version, "{template}");
        for (key, operation) in item.as_object().unwrap() {
            let Ok(method) = key.to_uppercase().parse::<Method>() else { panic!("{key}") };
            if describable().any(|one| one == method) {
                let name = operation["operationId"].as_str().unwrap();
                assert!(described.insert((template.clone(), method.to_string(), name.to_owned())), "{name} twice");
            }
        }
    }
}

fn served() -> Known {
    let mut served = Known::new();
    for endpoint in ENDPOINTS {
        for method in describable().filter(|method| endpoint.methods.include(method)) {
            // HEAD goes with GET, and the description says so once.
            let implied = method == Method::HEAD && matches!(endpoint.methods, Methods::Get);
            if !implied {
                let name = operation_id(endpoint, &method);
                served.insert((endpoint.template.to_owned(), method.to_string(), name));
            }
        }
    }
    served
}

/// An operation is called as its variant; what calls functions has a name for each method, as OpenAPI wants it.
fn operation_id(endpoint: &Endpoint, method: &Method) -> String {
    let operation = format!("{:?}", (endpoint.operation)(Taken::default()));
    let name = operation.trim_start_matches("V2(").split(['(', ' ', ')']).next().unwrap();
    match name {
        "Invoke" | "CallTrigger" => {
            let call = if name == "Invoke" { "Call" } else { name };
            let root = if endpoint.template.matches('{').count() == 2 { "" } else { "Root" };
            let (first, rest) = method.as_str().split_at(1);
            format!("{call}{root}{first}{}", rest.to_lowercase())
        }
        name => name.to_owned(),
    }
}

#[test]
fn no_two_endpoints_fit_the_same_request() {
    for endpoint in ENDPOINTS {
        let path = endpoint.template.replace(['{', '}'], "");
        for method in Methods::ALL {
            let fits = ENDPOINTS.iter().filter(|other| other.methods.include(&method) && other.take(&path).is_some());
            assert!(fits.count() <= 1, "{method} {path}");
        }
    }
}

#[test]
fn routes_calls_and_functions_are_named_by_decoded_segments() {
    for (method, path, operation) in [
        ("GET", "/v1/apps/a/routes/", r#"GetRoute(RouteRef { app: "a", path: "/" })"#),
        ("GET", "/v1/apps/a/routes/b/c/", r#"GetRoute(RouteRef { app: "a", path: "/b/c/" })"#),
        ("PUT", "/v1/apps/a/routes/%2Fb", r#"PutRoute(RouteRef { app: "a", path: "//b" })"#),
        ("PATCH", "/v1/apps/a/routes/b%20c", r#"UpdateRoute(RouteRef { app: "a", path: "/b c" })"#),
        ("DELETE", "/v1%2Fapps/a/routes/b", r#"DeleteRoute(RouteRef { app: "a", path: "/b" })"#),
        ("GET", "/v1/apps/a/calls/c", r#"GetCall(CallRef { app: "a", call: "c" })"#),
        ("HEAD", "/v1/apps/a/calls/c/log", r#"GetLog(CallRef { app: "a", call: "c" })"#),
        ("DELETE", "/v1/apps/a/calls/c", r#"CancelCall(CallRef { app: "a", call: "c" })"#),
        ("HEAD", "/v1/apps/a/dead-calls", r#"ListDeadCalls("a")"#),
        ("POST", "/v1/apps/a/dead-calls/c/redrive", r#"RedriveCall(CallRef { app: "a", call: "c" })"#),
        ("GET", "/r/a", r#"Invoke { app: "a", rest: None }"#),
        ("TRACE", "/r/a/", r#"Invoke { app: "a", rest: Some("/") }"#),
        ("OPTIONS", "/r/a//b/../c", r#"Invoke { app: "a", rest: Some("//b/../c") }"#),
        ("CONNECT", "/r/a%2Fb", r#"Invoke { app: "a", rest: Some("/b") }"#),
    ] {
        assert_eq!(on(method, path).as_deref(), Ok(operation), "{method} {path}");
    }
}

#[test]
fn a_slash_too_many_or_too_few_is_redirected_as_the_contract_says() {
    for (method, path, answer) in [
        ("GET", "/v1/apps/", "301 /v1/apps"),
        ("HEAD", "/v1/apps/", "301 /v1/apps"),
        ("POST", "/v1/apps/", "307 /v1/apps"),
        ("GET", "/v1/apps/x/", "Path not found"),
        ("PATCH", "/v1/apps/x/", "307 /v1/apps/x"),
        ("DELETE", "/v1/apps//", "307 /v1/apps/"),
        ("DELETE", "/v1/apps/", "Missing app name"),
        ("POST", "/v1/apps/x/routes/", "307 /v1/apps/x/routes"),
        ("PUT", "/v1/apps/x/routes", "307 /v1/apps/x/routes/"),
        ("PATCH", "/v1/apps/x/routes", "307 /v1/apps/x/routes/"),
        ("DELETE", "/v1/apps/x/routes", "307 /v1/apps/x/routes/"),
        ("GET", "/v1/apps/x/calls/", "301 /v1/apps/x/calls"),
        ("GET", "/v1/apps/x/calls/c/", "301 /v1/apps/x/calls/c"),
        ("GET", "/v1/apps/x/calls/c/log/", "301 /v1/apps/x/calls/c/log"),
        ("GET", "/v1/apps/sp%20%22ce/calls/", "301 /v1/apps/sp%20%22ce/calls"),
        ("GET", "/metrics/", "301 /metrics"),
        ("GET", "/stats/", "301 /stats"),
        ("GET", "/version/", "301 /version"),
    ] {
        assert_eq!(on(method, path), Err(answer.to_owned()), "{method} {path}");
    }
}

#[test]
fn what_leads_nowhere_is_not_found_whatever_the_method() {
    for (method, path) in [
        ("GET", "/r"),
        ("GET", "/r/"),
        ("POST", "/r/"),
        ("FOO", "/r/a/b"),
        ("GET", "//version"),
        ("GET", "/Version"),
        ("POST", "/version"),
        ("OPTIONS", "/v1/apps"),
        ("PUT", "/v1/apps"),
        ("DELETE", "/v1/apps"),
        ("PUT", "/v1/apps/a"),
        ("POST", "/v1/apps/a"),
        ("POST", "/v1/apps/a/"),
        ("GET", "/v1/apps//"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/appsx"),
        ("GET", "/v1/apps/a/routesx"),
        ("POST", "/v1/apps/a/routes/b"),
        ("GET", "/v1/apps/a/other"),
        ("DELETE", "/v1/apps/a/calls/c/log"),
        ("DELETE", "/v1/apps/a/calls"),
        ("GET", "/v1/apps/a/dead-calls/c"),
        ("GET", "/v1/apps/a/dead-calls/c/redrive"),
        ("POST", "/v1/apps/a/dead-calls//redrive"),
        ("POST", "/v1/apps/a/dead-callsx"),
        ("GET", "/v1/apps/a/calls//"),
        ("GET", "/v1/apps/a/calls//log"),
        ("GET", "/v1/apps/a/calls/c/logs"),
        ("GET", "/log-level"),
        ("PUT", "/log-level"),
        ("OPTIONS", "*"),
    ] {
        assert_eq!(on(method, path), Err("Path not found".to_owned()), "{method} {path}");
    }
}

#[test]
fn an_empty_app_segment_is_a_missing_name() {
    for (method, path) in [
        ("GET", "/r//"),
        ("POST", "/r//b"),
        ("PATCH", "/v1/apps/"),
        ("GET", "/v1/apps//routes"),
        ("POST", "/v1/apps//routes"),
        ("PUT", "/v1/apps//routes/b"),
        ("GET", "/v1/apps//calls"),
        ("GET", "/v1/apps//calls/c/log"),
    ] {
        assert_eq!(on(method, path), Err("Missing app name".to_owned()), "{method} {path}");
    }
}

#[test]
fn broken_escapes_control_characters_and_no_utf8_are_malformed() {
    for path in ["/%", "/%2", "/%zz", "/r/a/%+1", "/r/a/%FF", "/r/a/%00", "/r/a/%0A"] {
        assert_eq!(on("GET", path), Err("Path malformed".to_owned()), "{path}");
    }
}

#[test]
fn paths_of_api_v2_name_objects_by_id() {
    for (method, path, operation) in [
        ("GET", "/v2/apps", "V2(ListApps)"),
        ("POST", "/v2/fns", "V2(CreateFn)"),
        ("PUT", "/v2/triggers/t", r#"V2(UpdateTrigger("t"))"#),
        ("DELETE", "/v2%2Fapps/a%20b", r#"V2(DeleteApp("a b"))"#),
        ("GET", "/v2/fns/f/calls/c/log", r#"V2(GetFnLog(AnyCall { of: "f", call: "c" }))"#),
        ("DELETE", "/v2/apps/a/calls/c", r#"V2(CancelAppCall(AnyCall { of: "a", call: "c" }))"#),
        ("POST", "/invoke/f", r#"InvokeFn("f")"#),
        ("GET", "/t/a", r#"CallTrigger { app: "a", source: "/" }"#),
        ("HEAD", "/t/a/", r#"CallTrigger { app: "a", source: "/" }"#),
        ("TRACE", "/t/a//b/../c/", r#"CallTrigger { app: "a", source: "//b/../c/" }"#),
    ] {
        assert_eq!(on(method, path).as_deref(), Ok(operation), "{method} {path}");
    }
}

#[test]
fn a_wrong_method_of_api_v2_is_told_from_an_unknown_path() {
    let any = "GET, POST, PUT, PATCH, HEAD, OPTIONS, DELETE, CONNECT, TRACE";
    for (method, path, answer) in [
        ("GET", "/v2/apps/", "301 /v2/apps".to_owned()),
        ("POST", "/v2/apps/", "307 /v2/apps".to_owned()),
        ("DELETE", "/v2/fns/f/", "307 /v2/fns/f".to_owned()),
        ("POST", "/invoke/f/", "307 /invoke/f".to_owned()),
        ("GET", "/v2//apps", "Path not found: GET /v2//apps".to_owned()),
        ("GET", "/V2/apps", "Path not found".to_owned()),
        ("GET", "/v2", "Path not found: GET /v2".to_owned()),
        ("POST", "/invoke", "Path not found: POST /invoke".to_owned()),
        ("POST", "/invoke/", "Path not found: POST /invoke/".to_owned()),
        ("GET", "/t", "Path not found: GET /t".to_owned()),
        ("GET", "/t/", "Path not found: GET /t/".to_owned()),
        ("GET", "/t//b", "Path not found: GET /t//b".to_owned()),
        ("PATCH", "/v2/apps/", "Path not found: PATCH /v2/apps/".to_owned()),
        ("HEAD", "/v2/apps", "Method not allowed: HEAD /v2/apps: GET, POST".to_owned()),
        ("OPTIONS", "/v2/fns/f", "Method not allowed: OPTIONS /v2/fns/f: GET, PUT, DELETE".to_owned()),
        ("GET", "/invoke/f", "Method not allowed: GET /invoke/f: POST".to_owned()),
        ("FOO", "/t/a/b%20c", format!("Method not allowed: FOO /t/a/b c: {any}")),
    ] {
        assert_eq!(on(method, path), Err(answer), "{method} {path}");
    }
}

proptest::proptest! {
    #[test]
    fn a_redirect_leads_somewhere(
        method in proptest::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "FOO"]),
        path in "(/(v1|v2|apps|fns|r|t|invoke|routes|calls|log|a|%2F|version|)){0,6}/?",
    ) {
        if let Err(answer) = on(method, &path)
            && let Some(("301" | "307", to)) = answer.split_once(" /")
        {
            let there = on(method, &format!("/{to}"));
            let found = there.is_ok() || there == Err("Missing app name".to_owned());
            proptest::prop_assert!(found, "{} {} -> {} -> {:?}", method, path, answer, there);
        }
    }
}

//! The encoders: whatever a client sends and a URL hides, a function's parser reads exactly one request.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_models::{App, AppId, CallType, Config, FnId, Format, Function, FunctionLimits, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::env::{base_env, full_env, is_protected};
use crate::formats::http::{BodyFraming, request_head};
use crate::formats::json;
use crate::invocation::{Invocation, Request, Timing, Via};

/// The lines of the input are, in turn: parameter, target, host, body, then headers.
///
/// # Panics
/// When a request does not read back.
pub fn requests(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0xff);
    let mut next = || parts.next().unwrap_or_default();
    let (route, target, host, body) = (next(), next(), next(), next());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut invocation = invocation(text(route), text(target), text(host));
    let config = Config([(text(target), text(route))].into());
    for header in parts.take(32) {
        let split = header.iter().position(|byte| *byte == b':').unwrap_or(header.len());
        let name = HeaderName::from_bytes(&header[..split]);
        let value = HeaderValue::from_bytes(header.get(split + 1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            invocation.request.headers.append(name, value);
        }
    }
    check_head(&invocation);
    check_json(&invocation, body);
    check_env(&invocation, &config);
}

fn check_head(invocation: &Invocation) {
    let head = request_head(invocation, BodyFraming::Length(7));
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut slots);
    let status = parsed.parse(&head).expect("a parser accepts the head");
    assert_eq!(status, httparse::Status::Complete(head.len()), "one head");
    let count = |name: &str| parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
    for once in ["host", "content-length", "fn_call_id", "fn_path", "fn_method", "fn_request_url", "fn_app_name"] {
        assert_eq!(count(once), 1, "{once}");
    }
    assert_eq!(count("transfer-encoding"), 0);
}

fn check_json(invocation: &Invocation, body: &[u8]) {
    let request = json::request(invocation, body);
    let value: serde_json::Value = serde_json::from_slice(&request).expect("one JSON value");
    assert_eq!(value["protocol"]["request_url"], invocation.request.target);
    assert_eq!(value["protocol"]["headers"]["Fn_path"], serde_json::json!(["/f"]));
    if let Ok(body) = std::str::from_utf8(body) {
        assert_eq!(value["body"], body);
    }
}

fn check_env(invocation: &Invocation, config: &Config) {
    let mut function = Function::clone(&invocation.function);
    function.config = config.clone();
    let base = base_env(&invocation.app, &function, "/f");
    let protected = base.iter().filter(|(name, _)| is_protected(name.split('=').next().unwrap_or_default()));
    assert_eq!(protected.count(), 5, "the five facts and nothing that looks like one");
    let env = full_env(base, invocation);
    assert!(env.is_sorted_by(|(a, _), (b, _)| a < b), "ascending, no name twice");
    for (name, value) in &env {
        assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'), "{name:?}");
    }
}

/// A call of `/f`.
pub(crate) fn invocation(route: String, target: String, host: String) -> Invocation {
    let app = App::new("fuzz", Config::default()).expect("the name is valid");
    let function = Function {
        id: FnId::generate(),
        app_id: AppId::generate(),
        name: "f".to_owned(),
        image: "f".to_owned(),
        format: Format::Http,
        call_type: CallType::Sync,
        limits: FunctionLimits::default(),
        config: Config::default(),
        annotations: BTreeMap::new(),
        shape: String::new(),
        made_by_route: true,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    };
    Invocation {
        id: "01M7ZQASW747WVJ00000000000".parse().expect("the id is valid"),
        app: Arc::new(app),
        function: Arc::new(function),
        trigger: None,
        fn_path: "/f".into(),
        timing: Timing::FromAccept,
        arrived: tokio::time::Instant::now(),
        request: Request {
            via: Via::Http,
            method: Method::POST,
            url: format!("http://{host}{target}"),
            target,
            host,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            params: vec![("app", "fuzz".to_owned()), ("route", route)],
        },
    }
}

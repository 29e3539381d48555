//! What a function finds in its environment, and what hot functions get as headers instead (v1 contract B.2 with A.2).
//!
//! A hot container serves many calls, so its environment holds only what they share: the *base* environment. A cold
//! one serves a single call, whose facts and headers are in its environment too: the *full* one. Hot functions are
//! told the facts of a call as headers of its request; configuration, which holds secrets, never travels there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hearth_drivers::{SOCKET_DIRECTORY, SOCKET_NAME};
use hearth_models::{App, Config, Format, Function, canonical_header_name};
use http::HeaderMap;
use http::header::{HOST, HeaderName, TRANSFER_ENCODING};

use crate::invocation::Invocation;

/// A fact that only Hearth tells: its variable, and the header that carries it to hot functions.
#[derive(Clone, Copy, Debug)]
struct Fact {
    variable: &'static str,
    header: &'static str,
}

const FORMAT: Fact = Fact { variable: "FN_FORMAT", header: "Fn_format" };
const APP_NAME: Fact = Fact { variable: "FN_APP_NAME", header: "Fn_app_name" };
const PATH: Fact = Fact { variable: "FN_PATH", header: "Fn_path" };
const MEMORY: Fact = Fact { variable: "FN_MEMORY", header: "Fn_memory" };
const TYPE: Fact = Fact { variable: "FN_TYPE", header: "Fn_type" };
const CALL_ID: Fact = Fact { variable: "FN_CALL_ID", header: "Fn_call_id" };
const METHOD: Fact = Fact { variable: "FN_METHOD", header: "Fn_method" };
const REQUEST_URL: Fact = Fact { variable: "FN_REQUEST_URL", header: "Fn_request_url" };

/// The protected names. Neither configuration nor a client can set them, in whatever casing.
const PROTECTED: [Fact; 8] = [FORMAT, APP_NAME, PATH, MEMORY, TYPE, CALL_ID, METHOD, REQUEST_URL];

/// Whether `name` is one of the protected names, in any casing.
pub(crate) fn is_protected(name: &str) -> bool {
    PROTECTED.iter().any(|fact| fact.variable.eq_ignore_ascii_case(name))
}

/// The environment that all calls of a function share: the configuration of its app, its own over that, and the facts
/// of the function. Ascending by name.
pub(crate) fn base_env(app: &App, function: &Function, fn_path: &str) -> Vec<(String, String)> {
    let mut env = Env::default();
    env.configure(&app.config);
    env.configure(&function.config);
    if function.format == Format::HttpStream {
        env.tell_of_the_socket(app, function);
    } else {
        env.tell(function_facts(app, function, fn_path));
    }
    env.into_sorted()
}

/// The environment of a single call: `base`, the facts and parameters of the call, and over all of them the headers
/// of its request. Bytes of header values that are not UTF-8 become U+FFFD, for the engine takes text only.
/// Ascending by name.
pub(crate) fn full_env(base: Vec<(String, String)>, invocation: &Invocation) -> Vec<(String, String)> {
    let mut env = Env(base.into_iter().collect());
    env.tell(call_facts(invocation));
    for (name, value) in &invocation.request.params {
        env.set(format!("FN_PARAM_{name}"), value);
    }
    env.add_headers(&invocation.request.headers);
    env.into_sorted()
}

/// What a hot function is told with a request beside the client's headers, by canonical name: the facts of the
/// function and of the call, which replace what the client sent under these names, and the parameters, which are
/// appended.
pub(crate) fn injected_headers(invocation: &Invocation) -> Vec<(Cow<'static, str>, Cow<'_, str>)> {
    let facts = function_facts(&invocation.app, &invocation.function, &invocation.fn_path)
        .into_iter()
        .chain(call_facts(invocation))
        .map(|(fact, value)| (Cow::Borrowed(fact.header), value));
    let params = invocation.request.params.iter().map(|(name, value)| {
        let name = match *name {
            "app" => Cow::Borrowed("Fn_param_app"),
            "route" => Cow::Borrowed("Fn_param_route"),
            other => Cow::Owned(canonical_header_name(&format!("FN_PARAM_{other}"))),
        };
        (name, Cow::Borrowed(value.as_str()))
    });
    facts.chain(params).collect()
}

fn function_facts<'a>(app: &'a App, function: &Function, fn_path: &'a str) -> [(Fact, Cow<'a, str>); 5] {
    [
        (FORMAT, function.format.as_str().into()),
        (APP_NAME, app.name.as_str().into()),
        (PATH, fn_path.into()),
        (MEMORY, function.limits.memory_mb.to_string().into()),
        (TYPE, function.call_type.as_str().into()),
    ]
}

fn call_facts(invocation: &Invocation) -> [(Fact, Cow<'_, str>); 3] {
    [
        (CALL_ID, (*invocation.id.text()).to_owned().into()),
        (METHOD, invocation.request.method.as_str().into()),
        (REQUEST_URL, invocation.request.url.as_str().into()),
    ]
}

/// An environment in the making: what is set later wins.
#[derive(Debug, Default)]
struct Env(BTreeMap<String, String>);

impl Env {
    /// A NUL ends every text in an environment, so the engine would not start the container; it is left out.
    fn set(&mut self, name: String, value: &str) {
        self.0.insert(name, value.replace('\0', ""));
    }

    fn tell<'a>(&mut self, facts: impl IntoIterator<Item = (Fact, Cow<'a, str>)>) {
        for (fact, value) in facts {
            self.set(fact.variable.to_owned(), &value);
        }
    }

    /// What `http-stream` functions are told (v2 contract B.3.1): nothing that depends on the door.
    fn tell_of_the_socket(&mut self, app: &App, function: &Function) {
        for (name, value) in [
            ("FN_LISTENER", format!("unix:{SOCKET_DIRECTORY}/{SOCKET_NAME}")),
            ("FN_FORMAT", function.format.to_string()),
            ("FN_MEMORY", function.limits.memory_mb.to_string()),
            ("FN_TYPE", "sync".to_owned()),
            ("FN_FN_ID", function.id.to_string()),
            ("FN_APP_ID", app.id.to_string()),
        ] {
            self.set(name.to_owned(), &value);
        }
    }

    /// Keys that collide once `-` is `_` are taken in their order. What stands after a `=` in a key is, for a process,
    /// the beginning of the value: seen otherwise, the key `FN_PATH=x` would set a protected name.
    fn configure(&mut self, config: &Config) {
        for (key, value) in &config.0 {
            let key = key.replace('-', "_").replace('\0', "");
            let (name, value) = match key.split_once('=') {
                None => (key.as_str(), Cow::Borrowed(value.as_str())),
                Some((name, rest)) => (name, Cow::Owned(format!("{rest}={value}"))),
            };
            if !name.is_empty() && !is_protected(name) {
                self.set(name.to_owned(), &value);
            }
        }
    }

    fn add_headers(&mut self, headers: &HeaderMap) {
        let mut names: Vec<&HeaderName> = headers.keys().collect();
        // A map of headers has no order; two names can become one variable (`x-1` and `x_1`).
        names.sort_unstable_by_key(|name| name.as_str());
        for name in names {
            if *name == HOST || *name == TRANSFER_ENCODING || is_protected(name.as_str()) {
                continue;
            }
            let variable = canonical_header_name(name.as_str()).replace('-', "_");
            let values: Vec<Cow<'_, str>> =
                headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            self.set(format!("FN_HEADER_{variable}"), &values.join(", "));
        }
    }

    fn into_sorted(self) -> Vec<(String, String)> {
        self.0.into_iter().collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use hearth_models::{AppId, CallType, FnId, FunctionLimits, Timestamp};
    use http::{HeaderMap, HeaderValue, Method, Version};
    use tokio::time::Instant;

    use super::*;
    use crate::invocation::{Request, Timing, Via};

    fn config(entries: &[(&str, &str)]) -> Config {
        Config(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn function(format: Format, config: Config) -> Function {
        Function {
            id: FnId::generate(),
            app_id: AppId::generate(),
            name: "f".to_owned(),
            image: "example/f".to_owned(),
            format,
            call_type: CallType::Sync,
            limits: FunctionLimits::default(),
            config,
            annotations: hearth_models::Annotations::default(),
            shape: String::new(),
            made_by_route: true,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
        }
    }

    /// The call of the contract's captured request, B.3.2: `curl` posts `hello chunk` to `/r/specx/http`.
    pub(crate) fn captured(format: Format) -> Invocation {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:8081"));
        headers.insert("user-agent", HeaderValue::from_static("curl/7.88.1"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        Invocation {
            id: "01M7ZQASW747WVJ00000000000".parse().unwrap(),
            app: Arc::new(App::new("specx", config(&[("app-cfg", "appv"), ("shared", "app")])).unwrap()),
            function: Arc::new(function(format, config(&[("r_cfg", "rv"), ("MODE", "http-raw")]))),
            trigger: None,
            fn_path: "/http".into(),
            timing: Timing::FromAccept,
            arrived: Instant::now(),
            request: Request {
                via: Via::Http,
                method: Method::POST,
                target: "/r/specx/http".to_owned(),
                url: "http://127.0.0.1:8081/r/specx/http".to_owned(),
                host: "127.0.0.1:8081".to_owned(),
                version: Version::HTTP_11,
                headers,
                params: vec![("app", "specx".to_owned()), ("route", "/http".to_owned())],
            },
        }
    }

    fn base(app: &[(&str, &str)], of_function: &[(&str, &str)]) -> Vec<(String, String)> {
        let app = App::new("specx", config(app)).unwrap();
        base_env(&app, &function(Format::Http, config(of_function)), "/http")
    }

    /// The variables beside the five facts of the function.
    fn beside_facts(env: Vec<(String, String)>) -> Vec<(String, String)> {
        env.into_iter().filter(|(name, _)| !is_protected(name)).collect()
    }

    fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_base_environment_is_both_configurations_and_the_facts() {
        let env = base(
            &[("shared", "app"), ("only-app", "1"), ("empty", ""), ("a.b c", "x")],
            &[("shared", "function"), ("Own-Key", "2")],
        );
        assert_eq!(
            env,
            pairs(&[
                ("FN_APP_NAME", "specx"),
                ("FN_FORMAT", "http"),
                ("FN_MEMORY", "128"),
                ("FN_PATH", "/http"),
                ("FN_TYPE", "sync"),
                ("Own_Key", "2"),
                ("a.b c", "x"),
                ("empty", ""),
                ("only_app", "1"),
                ("shared", "function"),
            ])
        );
    }

    #[test]
    fn configuration_cannot_set_protected_names_in_any_disguise() {
        for fact in PROTECTED {
            let lower = fact.variable.to_ascii_lowercase();
            let dashed = fact.variable.replace('_', "-");
            let before_equals = format!("{}=evil", fact.variable);
            let with_nul = format!("{}\0", fact.variable);
            for key in [fact.variable, &lower, &dashed, &before_equals, &with_nul] {
                let env = base(&[(key, "evil")], &[(key, "evil")]);
                assert_eq!(env, base(&[], &[]), "{key:?}");
            }
        }
    }

    #[test]
    fn odd_keys_mean_what_a_process_would_read() {
        let env = base(
            &[("A-B", "first"), ("A_B", "second"), ("K=v", "w"), ("", "x"), ("=", "x"), ("n\0ul", "v\0w")],
            &[("FN_OTHER", "mine")],
        );
        let expected = [("A_B", "second"), ("FN_OTHER", "mine"), ("K", "v=w"), ("nul", "vw")];
        assert_eq!(beside_facts(env), pairs(&expected));
    }

    #[test]
    fn the_full_environment_adds_the_call_its_parameters_and_headers() {
        let mut invocation = captured(Format::Default);
        let headers = &mut invocation.request.headers;
        headers.append("x-foo-bar", HeaderValue::from_static("1"));
        headers.append("x-foo-bar", HeaderValue::from_bytes(b"\xff2").unwrap());
        headers.insert("content-length", HeaderValue::from_static("11"));
        headers.insert("fn_path", HeaderValue::from_static("evil"));
        let base = pairs(&[("FN_HEADER_Accept", "config"), ("FN_PARAM_app", "config"), ("mine", "1")]);
        assert_eq!(
            full_env(base, &invocation),
            pairs(&[
                ("FN_CALL_ID", "01M7ZQASW747WVJ00000000000"),
                ("FN_HEADER_Accept", "*/*"),
                ("FN_HEADER_Content_Length", "11"),
                ("FN_HEADER_Content_Type", "application/x-www-form-urlencoded"),
                ("FN_HEADER_User_Agent", "curl/7.88.1"),
                ("FN_HEADER_X_Foo_Bar", "1, \u{fffd}2"),
                ("FN_METHOD", "POST"),
                ("FN_PARAM_app", "specx"),
                ("FN_PARAM_route", "/http"),
                ("FN_REQUEST_URL", "http://127.0.0.1:8081/r/specx/http"),
                ("mine", "1"),
            ])
        );
    }

    #[test]
    fn a_function_with_a_socket_is_told_where_it_is_and_no_door() {
        let app = App::new("specx", config(&[("K", "app")])).unwrap();
        let function = function(Format::HttpStream, config(&[("FN_LISTENER", "mine"), ("K", "fn")]));
        let (app_id, fn_id) = (app.id.to_string(), function.id.to_string());
        assert_eq!(
            base_env(&app, &function, "/http"),
            pairs(&[
                ("FN_APP_ID", app_id.as_str()),
                ("FN_FN_ID", fn_id.as_str()),
                ("FN_FORMAT", "http-stream"),
                ("FN_LISTENER", "unix:/tmp/iofs/lsnr.sock"),
                ("FN_MEMORY", "128"),
                ("FN_TYPE", "sync"),
                ("K", "fn"),
            ])
        );
    }

    #[test]
    fn names_that_become_one_variable_have_a_fixed_winner() {
        for names in [["x-1", "x_1"], ["x_1", "x-1"]] {
            let mut invocation = captured(Format::Default);
            for name in names {
                invocation.request.headers.insert(name, HeaderValue::from_static(name));
            }
            let env = full_env(Vec::new(), &invocation);
            assert!(env.contains(&("FN_HEADER_X_1".to_owned(), "x_1".to_owned())));
        }
    }

    #[test]
    fn a_nul_in_a_path_cannot_stop_a_container_from_starting() {
        let mut invocation = captured(Format::Default);
        invocation.request.params = vec![("route", "/x/\0/../http".to_owned())];
        let env = full_env(Vec::new(), &invocation);
        assert!(env.contains(&("FN_PARAM_route".to_owned(), "/x//../http".to_owned())));
    }

    #[test]
    fn hot_functions_are_told_facts_and_never_configuration() {
        let invocation = captured(Format::Http);
        let mut injected = injected_headers(&invocation);
        injected.sort();
        let names: Vec<&str> = injected.iter().map(|(name, _)| &**name).collect();
        assert_eq!(
            names,
            [
                "Fn_app_name",
                "Fn_call_id",
                "Fn_format",
                "Fn_memory",
                "Fn_method",
                "Fn_param_app",
                "Fn_param_route",
                "Fn_path",
                "Fn_request_url",
                "Fn_type"
            ]
        );
    }

    #[test]
    fn fact_headers_are_the_canonical_spelling_of_their_variables() {
        for fact in PROTECTED {
            assert_eq!(fact.header, canonical_header_name(fact.variable));
        }
    }
}

//! What a function finds in its environment, and what hot functions get as headers instead (v1 contract B.2 with A.2).
//!
//! A hot container serves many calls, so its environment holds only what they share: the *base* environment. A cold
//! one serves a single call, whose facts and headers are in its environment too: the *full* one. Hot functions are
//! told the facts of a call as headers of its request; configuration, which holds secrets, never travels there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hearth_models::{App, Config, Function, canonical_header_name};
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
    env.tell(function_facts(app, function, fn_path));
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
        let name = canonical_header_name(&format!("FN_PARAM_{name}"));
        (Cow::Owned(name), Cow::Borrowed(value.as_str()))
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
        (CALL_ID, invocation.id.to_string().into()),
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

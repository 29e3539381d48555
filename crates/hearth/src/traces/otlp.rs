//! OTLP: the messages of `opentelemetry/proto/trace/v1`, as far as they are used here.

use hearth_agent::{Span, Trace};
use prost::Message;

#[derive(Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtlpSpan>,
}

#[derive(Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Message)]
struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

/// `AnyValue`, of which only texts are used.
#[derive(Message)]
struct Value {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

#[derive(Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

/// Numbers of `SpanKind` and `StatusCode`.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const ERROR: i32 = 2;

/// A request's body.
pub(super) fn encode(batch: &[Trace]) -> Vec<u8> {
    let spans = batch.iter().flat_map(|trace| trace.spans.iter().map(|span| otlp_span(trace, span))).collect();
    let scope = Scope { name: "hearth".to_owned(), version: hearth_server::VERSION.to_owned() };
    let resource = Resource {
        attributes: vec![attribute("service.name", "hearth"), attribute("service.version", hearth_server::VERSION)],
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    Request { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }.encode_to_vec()
}

fn otlp_span(trace: &Trace, span: &Span) -> OtlpSpan {
    OtlpSpan {
        trace_id: trace.id.to_bytes().to_vec(),
        span_id: span.id.to_bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
        name: span.name.to_owned(),
        kind: if span.is_server { SERVER } else { INTERNAL },
        start_time_unix_nano: span.began.saturating_mul(1000),
        end_time_unix_nano: span.ended.saturating_mul(1000),
        attributes: span.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        status: span.error.clone().map(|message| Status { message, code: ERROR }),
    }
}

fn attribute(key: &str, text: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(Value { text: Some(text.to_owned()) }) }
}

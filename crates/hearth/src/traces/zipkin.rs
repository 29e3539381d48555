//! Zipkin's JSON, version 2.

use std::collections::BTreeMap;

use hearth_agent::{Span, Trace};
use serde::Serialize;

/// The name under which the contract's server stands in Zipkin (v1 contract B.9.6).
const SERVICE: &str = "fnserver";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ZipkinSpan<'a> {
    trace_id: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Microseconds, like the duration, which is not zero.
    timestamp: u64,
    duration: u64,
    local_endpoint: Endpoint,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    service_name: &'static str,
}

/// A request's body.
pub(super) fn encode(batch: &[Trace]) -> serde_json::Result<Vec<u8>> {
    let spans = batch.iter().flat_map(|trace| trace.spans.iter().map(|span| zipkin_span(trace, span)));
    serde_json::to_vec(&spans.collect::<Vec<_>>())
}

fn zipkin_span<'a>(trace: &Trace, span: &'a Span) -> ZipkinSpan<'a> {
    let attributes = span.attributes.iter().map(|(name, value)| (*name, value.as_str()));
    ZipkinSpan {
        trace_id: trace.id.to_string(),
        id: span.id.to_string(),
        parent_id: span.parent.map(|parent| parent.to_string()),
        name: span.name,
        kind: span.is_server.then_some("SERVER"),
        timestamp: span.began,
        duration: span.ended.saturating_sub(span.began).max(1),
        local_endpoint: Endpoint { service_name: SERVICE },
        tags: attributes.chain(span.error.as_deref().map(|error| ("error", error))).collect(),
    }
}

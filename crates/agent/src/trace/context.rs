//! Trace context in headers: W3C `traceparent`, and B3 in one header or in several. What is malformed is as if it were not
//! there. Baggage is nobody's business here; it passes like every other header.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Names a trace. Not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// Names a span of a trace. Not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// What a request says of the trace it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Incoming {
    /// The trace, and the client's span.
    pub(super) parent: Option<(TraceId, SpanId)>,
    /// Whether the client wants it recorded, if it says.
    pub(super) sampled: Option<bool>,
}

impl TraceId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u128(1..))
    }

    /// Its bytes, the most significant first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    /// Its bytes, the most significant first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What `headers` say. Of several forms the W3C's comes first, then B3's single header.
pub(super) fn read(headers: &HeaderMap) -> Incoming {
    let forms = [read_traceparent, read_b3, read_b3_headers];
    forms.iter().find_map(|read| read(headers)).unwrap_or_default()
}

fn read_traceparent(headers: &HeaderMap) -> Option<Incoming> {
    let text = only(headers, &TRACEPARENT)?;
    let mut parts = text.splitn(4, '-');
    let (version, trace, span, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = lower_hex(version, 2)?;
    let (flags, later) = rest.split_at_checked(2)?;
    // A version that is not known yet may go on after the flags.
    let well_formed = version < 0xff && (later.is_empty() || version > 0 && later.starts_with('-'));
    let flags = lower_hex(flags, 2).filter(|_| well_formed)?;
    let parent = (trace_id(lower_hex(trace, 32)?)?, span_id(lower_hex(span, 16)?)?);
    Some(Incoming { parent: Some(parent), sampled: Some(flags & 1 == 1) })
}

fn read_b3(headers: &HeaderMap) -> Option<Incoming> {
    let text = only(headers, &B3)?;
    let mut parts = text.split('-');
    let (trace, span, sampled) = (parts.next()?, parts.next(), parts.next());
    let Some(span) = span else {
        // A decision without a trace.
        return Some(Incoming { parent: None, sampled: Some(decision(trace)?) });
    };
    let sampled = match sampled {
        Some(text) => Some(decision(text)?),
        None => None,
    };
    Some(Incoming { parent: Some((b3_trace_id(trace)?, span_id(hex(span, 16)?)?)), sampled })
}

fn read_b3_headers(headers: &HeaderMap) -> Option<Incoming> {
    let debug = only(headers, &B3_FLAGS) == Some("1");
    let sampled = only(headers, &B3_SAMPLED).and_then(decision);
    let sampled = if debug { Some(true) } else { sampled };
    let ids = only(headers, &B3_TRACE).zip(only(headers, &B3_SPAN));
    let parent = ids.and_then(|(trace, span)| Some((b3_trace_id(trace)?, span_id(hex(span, 16)?)?)));
    (parent.is_some() || sampled.is_some()).then_some(Incoming { parent, sampled })
}

/// The headers that say to which trace a request belongs, in whatever form.
static OF_TRACE: [HeaderName; 8] =
    [TRACEPARENT, HeaderName::from_static("tracestate"), B3, B3_TRACE, B3_SPAN, B3_PARENT, B3_SAMPLED, B3_FLAGS];

/// Those of the headers that are about the trace.
pub(crate) fn of_trace(headers: &HeaderMap) -> impl Iterator<Item = (&'static HeaderName, &HeaderValue)> {
    // Most requests have none.
    let some = headers.keys().any(|name| OF_TRACE.contains(name));
    let names = OF_TRACE.iter().filter(move |_| some);
    names.flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)))
}

/// Tells a function to which trace it belongs, and that `span` is its own: in the W3C's form, in B3's single header, and in
/// B3's several, which function kits read.
pub(super) fn write(headers: &mut HeaderMap, trace: TraceId, span: SpanId, sampled: bool) {
    let flag = u8::from(sampled);
    set(headers, TRACEPARENT, &format!("00-{trace}-{span}-0{flag}"));
    set(headers, B3, &format!("{trace}-{span}-{flag}"));
    headers.remove(&B3_PARENT);
    headers.remove(&B3_FLAGS);
    set(headers, B3_TRACE, &trace.to_string());
    set(headers, B3_SPAN, &span.to_string());
    set(headers, B3_SAMPLED, &flag.to_string());
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // Digits, letters and dashes are a header's value.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// The value of a header that may stand once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    Some(first.to_str().ok()?.trim())
}

fn decision(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// B3 knows short ids of traces too.
fn b3_trace_id(text: &str) -> Option<TraceId> {
    trace_id(hex(text, if text.len() == 16 { 16 } else { 32 })?)
}

fn trace_id(number: u128) -> Option<TraceId> {
    (number != 0).then_some(TraceId(number))
}

fn span_id(number: u128) -> Option<SpanId> {
    let number = u64::try_from(number).ok()?;
    (number != 0).then_some(SpanId(number))
}

fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    hex(text, digits).filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase()))
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let whole = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn incoming(entries: &[(&'static str, &str)]) -> (Option<(String, String)>, Option<bool>) {
        let Incoming { parent, sampled } = read(&headers(entries));
        (parent.map(|(trace, span)| (trace.to_string(), span.to_string())), sampled)
    }

    #[test]
    fn every_form_is_read() {
        let parent = Some((TRACE.to_owned(), SPAN.to_owned()));
        let w3c = |flags: &str| format!("00-{TRACE}-{SPAN}-{flags}");
        assert_eq!(incoming(&[("traceparent", &w3c("01"))]), (parent.clone(), Some(true)));
        assert_eq!(incoming(&[("traceparent", &w3c("00"))]), (parent.clone(), Some(false)));
        let future = format!("cc-{TRACE}-{SPAN}-03-what-will-be");
        assert_eq!(incoming(&[("traceparent", &future)]), (parent.clone(), Some(true)));
        for (tail, sampled) in [("", None), ("-1", Some(true)), ("-0", Some(false)), ("-d", Some(true))] {
            let single = format!("{TRACE}-{SPAN}{tail}");
            assert_eq!(incoming(&[("b3", &single)]), (parent.clone(), sampled), "{single}");
        }
        assert_eq!(incoming(&[("b3", "0")]), (None, Some(false)));
        let several = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
        assert_eq!(incoming(&several), (parent.clone(), Some(true)));
        assert_eq!(incoming(&several[..2]), (parent, None));
        assert_eq!(incoming(&[("x-b3-flags", "1")]), (None, Some(true)));
        let short = [("x-b3-traceid", &TRACE[16..]), ("x-b3-spanid", SPAN)];
        assert_eq!(incoming(&short).0.unwrap().0, format!("{:0>32}", &TRACE[16..]));
    }

    #[test]
    fn what_is_malformed_is_as_if_it_were_not_there() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-{SPAN}-é1"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
        ] {
            assert_eq!(incoming(&[("traceparent", &bad)]), (None, None), "{bad}");
        }
        let twice = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(incoming(&[("traceparent", &twice), ("traceparent", &twice)]), (None, None));
        for bad in ["", "x", "-", "0af7-b7ad-1", &format!("{TRACE}-{SPAN}-maybe")] {
            assert_eq!(incoming(&[("b3", bad)]), (None, None), "{bad}");
        }
        assert_eq!(incoming(&[("x-b3-traceid", TRACE)]), (None, None));
    }

    #[test]
    fn the_forms_a_client_used_are_replaced_and_what_else_it_sent_stays() {
        let (trace, span) = (TraceId::random(), SpanId::random());
        let mut sent = headers(&[
            ("x-b3-traceid", TRACE),
            ("x-b3-spanid", SPAN),
            ("x-b3-parentspanid", SPAN),
            ("x-b3-flags", "1"),
            ("tracestate", "vendor=1"),
            ("baggage", "fn_secret=1"),
        ]);
        write(&mut sent, trace, span, true);
        let text = |name: &str| sent.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(text("traceparent"), Some(format!("00-{trace}-{span}-01")));
        assert_eq!(text("b3"), Some(format!("{trace}-{span}-1")));
        assert_eq!((text("x-b3-traceid"), text("x-b3-spanid")), (Some(trace.to_string()), Some(span.to_string())));
        assert_eq!(
            (text("x-b3-sampled"), text("x-b3-parentspanid"), text("x-b3-flags")),
            (Some("1".into()), None, None)
        );
        assert_eq!((text("tracestate"), text("baggage")), (Some("vendor=1".into()), Some("fn_secret=1".into())));
        let mut plain = HeaderMap::new();
        write(&mut plain, trace, span, false);
        assert_eq!(plain.len(), 5);
        assert_eq!(read(&plain), Incoming { parent: Some((trace, span)), sampled: Some(false) });
    }
}

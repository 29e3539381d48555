//! Where traces go. URLs and headers may hold secrets, so messages repeat neither.

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use super::source::Reader;
use super::table;
use crate::traces::{Protocol, Target};

/// Which calls are traced, and who is told.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    pub(crate) targets: Vec<Target>,
    /// Of the calls whose clients do not say, 0 to 1.
    pub(crate) share: f64,
}

pub(super) fn traces(reader: &mut Reader<'_>) -> Traces {
    let zipkin = reader.parse_with(&table::ZIPKIN_URL, zipkin);
    let headers = reader.parse_with(&table::OTLP_HEADERS, headers).unwrap_or_default();
    let otlp = reader.parse_with(&table::OTLP_URL, |text| otlp(text, headers));
    let share = reader.parse_with(&table::TRACE_SHARE, |text| match text.trim().parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    });
    Traces { targets: zipkin.into_iter().chain(otlp).collect(), share: share.unwrap_or(1.0) }
}

/// The contract's server speaks version 1 of Zipkin's protocol, and its URL says so.
fn zipkin(text: &str) -> Result<Target, String> {
    let mut url = url(text)?;
    if matches!(url.path(), "" | "/" | "/api/v1/spans") {
        url.set_path("/api/v2/spans");
    }
    Ok(Target { protocol: Protocol::Zipkin, url, headers: HeaderMap::new() })
}

#[cfg(feature = "otel")]
fn otlp(text: &str, headers: HeaderMap) -> Result<Target, String> {
    const PATH: &str = "/v1/traces";
    let mut url = url(text)?;
    if !url.path().ends_with(PATH) {
        url.set_path(&format!("{}{PATH}", url.path().trim_end_matches('/')));
    }
    Ok(Target { protocol: Protocol::Otlp, url, headers })
}

#[cfg(not(feature = "otel"))]
fn otlp(_text: &str, _headers: HeaderMap) -> Result<Target, String> {
    Err("this hearth was built without OTLP (the feature otel)".to_owned())
}

fn url(text: &str) -> Result<Url, String> {
    match Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("expected a URL that begins with http:// or https://".to_owned()),
    }
}

fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let header = pair.split_once('=').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let (name, value) = header.ok_or("expected pairs of a header's name and its value, like x-key=abc")?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_protocols_where_none_is_said() {
        for (given, path) in [
            ("http://zipkin:9411", "/api/v2/spans"),
            (" http://zipkin:9411/api/v1/spans ", "/api/v2/spans"),
            ("https://tenant.example/zipkin/api/v2/spans", "/zipkin/api/v2/spans"),
        ] {
            assert_eq!(zipkin(given).unwrap().url.path(), path, "{given}");
        }
        for bad in ["", "zipkin:9411", "ftp://zipkin", "http://"] {
            assert!(zipkin(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "otel")]
    #[test]
    fn an_endpoint_of_otlp_is_a_base_or_the_whole() {
        for (given, path) in [
            ("http://collector:4318", "/v1/traces"),
            ("http://collector:4318/", "/v1/traces"),
            ("http://collector/otlp", "/otlp/v1/traces"),
            ("http://collector/v1/traces", "/v1/traces"),
        ] {
            assert_eq!(otlp(given, HeaderMap::new()).unwrap().url.path(), path, "{given}");
        }
    }

    #[test]
    fn headers_are_pairs_and_are_not_shown() {
        let read = headers("x-key=a=b, Authorization=Bearer secret,").unwrap();
        assert_eq!(read["x-key"], "a=b");
        assert_eq!(read["authorization"], "Bearer secret");
        assert!(!format!("{read:?}").contains("secret"));
        for bad in ["x", "=v", "a b=c", "x=a\nb"] {
            assert!(headers(bad).is_err(), "{bad:?}");
        }
    }
}

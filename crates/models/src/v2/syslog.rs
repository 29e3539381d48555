//! The address that an app's logs are to be sent to: a URL of one of five schemes, or refused in the words that clients
//! of the contract know.

use super::Error;

const SCHEMES: [&str; 5] = ["tcp", "udp", "unix", "unixgram", "tcp+tls"];

/// Checks `syslog_url`. The empty one is none, and blanks around it do not count.
///
/// # Errors
/// [`Error::InvalidSyslogUrl`].
pub(super) fn validate(url: &str) -> Result<(), Error> {
    let text = url.trim();
    if text.is_empty() {
        return Ok(());
    }
    let refuse = |detail| Error::InvalidSyslogUrl { url: url.to_owned(), detail };
    let scheme = scheme(text).map_err(|fault| refuse(format!("parse \"{text}\": {fault}")))?;
    if SCHEMES.contains(&scheme.as_str()) {
        Ok(())
    } else {
        let schemes = SCHEMES.join(", ");
        Err(refuse(format!("invalid scheme, only [{schemes}] are supported")))
    }
}

/// The scheme in lower case, empty without one, of a text that can be taken for a URL at all.
fn scheme(text: &str) -> Result<String, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (text, _fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = match text.split_once(':') {
        Some(("", _)) => return Err("missing protocol scheme".to_owned()),
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        _ => ("", text),
    };
    let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
    if scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err("first path segment in URL cannot contain colon".to_owned());
    }
    if let Some(escape) = broken_escape(rest) {
        return Err(format!("invalid URL escape \"{escape}\""));
    }
    let authority = rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default());
    if let Some(authority) = authority {
        check_authority(authority)?;
    }
    Ok(scheme.to_ascii_lowercase())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The first `%` that no two hexadecimal digits follow, with what follows it.
fn broken_escape(text: &str) -> Option<&str> {
    text.match_indices('%').map(|(at, _)| &text[at..]).find_map(|rest| {
        let digits = rest.bytes().skip(1).take(2).filter(u8::is_ascii_hexdigit).count();
        let end = rest.char_indices().nth(3).map_or(rest.len(), |(end, _)| end);
        (digits < 2).then(|| &rest[..end])
    })
}

fn check_authority(authority: &str) -> Result<(), String> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(bad) = host.chars().find(|c| " \"<>\\^`{|}".contains(*c)) {
        return Err(format!("invalid character \"{}\" in host name", bad.escape_default()));
    }
    let port = match host.rsplit_once(']') {
        Some((_, after)) => after,
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let is_port = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    match port.strip_prefix(':') {
        Some(digits) if is_port(digits) => Ok(()),
        None if port.is_empty() => Ok(()),
        _ => Err(format!("invalid port \"{port}\" after host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_schemes_are_taken_in_any_case() {
        for url in ["", "  ", "tcp://h:1", " UDP://h ", "unix:///run/x", "unixgram:///x", "tcp+tls://[::1]:514/a?b#c"] {
            assert_eq!(validate(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn what_is_no_such_url_is_refused_with_the_reason() {
        let schemes = "invalid scheme, only [tcp, udp, unix, unixgram, tcp+tls] are supported";
        for (url, detail) in [
            ("tls://h", schemes),
            ("http://h", schemes),
            ("h", schemes),
            ("%zz", "parse \"%zz\": invalid URL escape \"%zz\""),
            ("tcp://h/%4", "parse \"tcp://h/%4\": invalid URL escape \"%4\""),
            ("tcp://h/%€", "parse \"tcp://h/%€\": invalid URL escape \"%€\""),
            ("://h", "parse \"://h\": missing protocol scheme"),
            ("1a:b", "parse \"1a:b\": first path segment in URL cannot contain colon"),
            ("tcp://h:x", "parse \"tcp://h:x\": invalid port \":x\" after host"),
            ("tcp://a b", "parse \"tcp://a b\": invalid character \" \" in host name"),
        ] {
            let error = Error::InvalidSyslogUrl { url: url.to_owned(), detail: detail.to_owned() };
            assert_eq!(validate(url), Err(error));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_problem(text in ".*") {
            let _any = validate(&text);
        }
    }
}

//! Route paths: cleaning and the checks a new path must pass.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::Error;

/// The cleaned form of a path: rooted, no repeated slashes, no `.` or `..`, no trailing slash; `/` when nothing
/// is left. Every stored path has this form, and every requested one is brought to it before it is looked up.
#[must_use]
pub fn clean_path(path: &str) -> Cow<'_, str> {
    // Nearly all are, of those that functions are called by.
    if is_clean(path) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

fn is_clean(path: &str) -> bool {
    match path.strip_prefix('/') {
        None => false,
        Some("") => true,
        Some(below) => {
            below.as_bytes().split(|byte| *byte == b'/').all(|segment| !matches!(segment, b"" | b"." | b".."))
        }
    }
}

/// Checks the path of a new route, in the contract's order (v1 contract B.1.7 with A.1).
pub(crate) fn validate_route_path(path: &str) -> Result<(), Error> {
    if path.is_empty() {
        return Err(Error::MissingRoutePath);
    }
    if path.starts_with(':') || path.bytes().any(|byte| byte.is_ascii_control()) || !escapes_are_whole(path) {
        return Err(Error::PathMalformed);
    }
    let before_query = path.split(['?', '#']).next().unwrap_or_default();
    let url_path = match before_query.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => rest.find('/').map_or("", |at| &rest[at..]),
        _ => before_query,
    };
    let rooted = url_path.starts_with('/');
    if rooted && percent_decode_str(url_path).any(|byte| byte == b':') {
        return Err(Error::DynamicPath);
    }
    if !rooted || url_path.len() != path.len() {
        return Err(Error::InvalidRoutePath);
    }
    Ok(())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn escapes_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        let hex = after.as_bytes();
        hex.len() >= 2 && hex[0].is_ascii_hexdigit() && hex[1].is_ascii_hexdigit()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_to_what_a_request_can_reach() {
        for (path, clean) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a", "/a"),
            ("a", "/a"),
            ("/b/", "/b"),
            ("/a/../b", "/b"),
            ("/../..", "/"),
            ("//bb", "/bb"),
            ("/x/./y//z", "/x/y/z"),
        ] {
            assert_eq!(clean_path(path), clean, "{path}");
        }
    }

    #[test]
    fn bad_paths_get_the_contracts_message() {
        for (path, error) in [
            ("", Error::MissingRoutePath),
            ("/a%zz", Error::PathMalformed),
            ("/a%2", Error::PathMalformed),
            ("/a\nb", Error::PathMalformed),
            ("/:name", Error::DynamicPath),
            ("/a%3Ab", Error::DynamicPath),
            ("noslash", Error::InvalidRoutePath),
            ("/a?x=:y", Error::InvalidRoutePath),
            ("/frag#x:y", Error::InvalidRoutePath),
            ("http://h/a", Error::InvalidRoutePath),
            ("http://h", Error::InvalidRoutePath),
        ] {
            assert_eq!(validate_route_path(path), Err(error), "{path}");
        }
        for path in ["/", "/a", "/a/*", "/a/../b", "/b/", "//dd", "/sp ace", "/é", "/a%20b"] {
            assert_eq!(validate_route_path(path), Ok(()), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_clean_path_stays_as_it_is(path in "[/.a-c]{0,20}") {
            let clean = clean_path(&path);
            proptest::prop_assert_eq!(clean_path(&clean), clean.as_ref());
        }
    }
}

//! Names of images: the grammar of the OCI distribution specification, read the way Docker reads it.
//!
//! `[registry/]repository[:tag][@digest]`. The first part is a registry when it has a dot or a colon, is
//! `localhost`, or has an upper-case letter; otherwise the image is on Docker Hub. A digest is never dropped.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::Error;

/// Docker Hub, under the name its images have.
pub(super) const HUB: &str = "docker.io";

const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// The full name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

// === impl Reference ===

impl Reference {
    /// Host, and port if there is one, of where the image lives.
    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// Registry and repository.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What is asked for of that name: the digest where there is one, since it says more than a tag.
    pub(super) fn version(&self) -> &str {
        let tag = self.tag.as_deref().unwrap_or("latest");
        self.digest.as_deref().unwrap_or(tag)
    }
}

/// The form the engine is asked for: exactly one of tag and digest.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.digest.is_some() { '@' } else { ':' };
        write!(f, "{}{separator}{}", self.name(), self.version())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|why| Error::InvalidReference { reference: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon after the last slash begins a tag; one before it belongs to a port.
    let path = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[path..].find(':') {
        Some(colon) => (&rest[..path + colon], Some(&rest[path + colon + 1..])),
        None => (rest, None),
    };
    let (registry, repository) = split_registry(name)?;
    check_repository(&repository)?;
    if registry.len() + 1 + repository.len() > MAX_NAME {
        return Err("its name is longer than 255 characters");
    }
    tag.map_or(Ok(()), check_tag)?;
    digest.map_or(Ok(()), check_digest)?;
    Ok(Reference { registry, repository, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
}

fn split_registry(name: &str) -> Result<(String, String), &'static str> {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (HUB, name),
    };
    check_registry(registry)?;
    if registry != HUB && registry != "index.docker.io" {
        return Ok((registry.to_owned(), repository.to_owned()));
    }
    let official = if repository.contains('/') { "" } else { "library/" };
    Ok((HUB.to_owned(), format!("{official}{repository}")))
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.contains(|letter: char| letter.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    const BAD: &str = "its registry is not a host with an optional port";
    let (host, port) = match registry.rfind(']') {
        // The colons of an IPv6 address are not that of a port.
        Some(end) => registry.split_at(end + 1),
        None => registry.split_at(registry.find(':').unwrap_or(registry.len())),
    };
    let good_port = match port.strip_prefix(':') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    let good_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_domain_component),
    };
    if good_host && good_port { Ok(()) } else { Err(BAD) }
}

fn is_domain_component(part: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = part.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("its repository has upper-case letters");
    }
    if is_bare_id(repository) {
        return Err("it is an image id, not a name");
    }
    if repository.split('/').all(is_path_component) {
        Ok(())
    } else {
        Err("its repository is not made of names and single separators")
    }
}

/// 64 hexadecimal digits would be ambiguous: the engine takes them for an id.
fn is_bare_id(repository: &str) -> bool {
    let name = repository.strip_prefix("library/").unwrap_or(repository);
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = part.split(|letter: char| u8::try_from(letter).is_ok_and(is_word));
    let bytes = part.as_bytes();
    let edges = [bytes.first(), bytes.last()];
    edges.iter().all(|byte| byte.is_some_and(|byte| is_word(*byte)))
        && separators
            .filter(|run| !run.is_empty())
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    let good = bytes.next().is_some_and(is_word)
        && bytes.all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
        && tag.len() <= MAX_TAG;
    if good { Ok(()) } else { Err("its tag is not 1 to 128 letters, digits, '_', '.' and '-'") }
}

fn check_digest(digest: &str) -> Result<(), &'static str> {
    const BAD: &str = "its digest is not an algorithm and hexadecimal digits";
    let (algorithm, hex) = digest.split_once(':').ok_or(BAD)?;
    let good_algorithm = algorithm.split(['+', '.', '-', '_']).all(|part| {
        part.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let good_length = match algorithm {
        "sha256" => hex.len() == 64,
        "sha384" => hex.len() == 96,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32,
    };
    let good_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if good_algorithm && good_length && good_hex { Ok(()) } else { Err(BAD) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let table = [
            ("mongo", "docker.io", "library/mongo", "latest"),
            ("mongo:v1", "docker.io", "library/mongo", "v1"),
            ("fnproject/hello", "docker.io", "fnproject/hello", "latest"),
            ("fnproject/hello:v1", "docker.io", "fnproject/hello", "v1"),
            ("docker.io/mongo", "docker.io", "library/mongo", "latest"),
            ("index.docker.io/a/b", "docker.io", "a/b", "latest"),
            ("my.registry/hello", "my.registry", "hello", "latest"),
            ("my.registry/hello:v1", "my.registry", "hello", "v1"),
            ("quay.com/fnproject/hello", "quay.com", "fnproject/hello", "latest"),
            ("quay.com:8080/fnproject/hello:v2", "quay.com:8080", "fnproject/hello", "v2"),
            (
                "localhost.localdomain:5000/samalba/hipache:latest",
                "localhost.localdomain:5000",
                "samalba/hipache",
                "latest",
            ),
            ("localhost/foo", "localhost", "foo", "latest"),
            ("localhost:5057/foo/bar:1", "localhost:5057", "foo/bar", "1"),
            ("127.0.0.1:5055/foo/bar:1", "127.0.0.1:5055", "foo/bar", "1"),
            ("[::1]:5000/foo", "[::1]:5000", "foo", "latest"),
            ("[2001:db8::1]/foo:1", "[2001:db8::1]", "foo", "1"),
            ("UPPER/foo", "UPPER", "foo", "latest"),
            ("gcr.io/a/b/c/d__e/f.g/h---i:T_1.2-3", "gcr.io", "a/b/c/d__e/f.g/h---i", "T_1.2-3"),
        ];
        for (text, registry, repository, version) in table {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(reference.registry(), registry, "{text}");
            assert_eq!(reference.repository, repository, "{text}");
            assert_eq!(reference.version(), version, "{text}");
            assert_eq!(reference.to_string(), format!("{registry}/{repository}:{version}"));
        }
    }

    #[test]
    fn digests_are_kept_and_win_over_tags() {
        for text in [format!("repo@{DIGEST}"), format!("repo:v1@{DIGEST}")] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.version(), DIGEST);
            assert_eq!(reference.to_string(), format!("docker.io/library/repo@{DIGEST}"));
        }
    }

    #[test]
    fn what_no_registry_could_have_is_refused_with_the_reason() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = format!("a.b/{}", "n".repeat(252));
        let id = "0123456789abcdef".repeat(4);
        let table = [
            ("", "it is empty"),
            ("Mongo", "upper-case"),
            ("a/B", "upper-case"),
            (":tag", "separators"),
            ("a//b", "separators"),
            ("a/", "separators"),
            ("/a", "separators"),
            ("a..b", "separators"),
            ("a___b", "separators"),
            ("a-", "separators"),
            ("a b", "separators"),
            ("../etc/passwd", "registry"),
            ("a?x=1", "separators"),
            ("a\r\nb", "separators"),
            ("naïve", "separators"),
            ("a:", "tag"),
            ("a:-x", "tag"),
            ("a:x/y", "registry"),
            (&long_tag, "tag"),
            (&long_name, "255"),
            (&id, "image id"),
            ("a@sha256:123", "digest"),
            ("a@", "digest"),
            ("a@x@y", "digest"),
            ("-a.b/c", "registry"),
            ("a.b:x/c", "registry"),
            ("a.b:/c", "registry"),
            ("[::g]/c", "registry"),
            ("[::g]:1/c", "registry"),
        ];
        for (text, why) in table {
            match text.parse::<Reference>() {
                Err(Error::InvalidReference { reference, why: said }) => {
                    assert_eq!(reference, text);
                    assert!(said.contains(why), "{text:?}: {said}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_well_formed_name_is_read_and_its_full_form_means_the_same(
            registry in "([a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?\\.[a-z]{2,4}|localhost|10\\.0\\.0\\.[0-9]{1,2})(:[0-9]{1,5})?",
            repository in "[a-z0-9]{1,8}(([._]|__|-{1,3})[a-z0-9]{1,8}){0,2}(/[a-z0-9]{1,8}){1,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            digest in any::<bool>(),
        ) {
            let mut text = format!("{registry}/{repository}");
            if let Some(tag) = &tag {
                text = format!("{text}:{tag}");
            }
            if digest {
                text = format!("{text}@{DIGEST}");
            }
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(reference.registry(), registry);
            let again: Reference = reference.to_string().parse().unwrap();
            prop_assert_eq!(again.to_string(), reference.to_string());
        }

        #[test]
        fn no_text_panics_and_what_is_accepted_is_safe_in_a_path(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let full = reference.to_string();
                prop_assert!(full.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%')));
                prop_assert!(!full.contains(".."));
            }
        }
    }
}

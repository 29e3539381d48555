//! Where an engine listens.

use std::fmt;
use std::path::PathBuf;

use crate::Error;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// Host and port, spoken to without TLS.
    Tcp(String),
}

// === impl Address ===

impl Address {
    /// Reads a value as `DOCKER_HOST` has it; nothing or an empty text is the local socket.
    pub(super) fn parse(host: Option<&str>) -> Result<Self, Error> {
        let host = host.map(str::trim).filter(|host| !host.is_empty());
        let Some(host) = host else {
            return Ok(Self::Unix(PathBuf::from(DEFAULT_SOCKET)));
        };
        let refused = |why: &str| Error::Setting { name: "DOCKER_HOST", message: format!("{why}: '{host}'") };
        match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(("tcp" | "http", authority)) => {
                let authority = authority.trim_end_matches('/');
                match authority.rsplit_once(':') {
                    Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => {
                        Ok(Self::Tcp(authority.to_owned()))
                    }
                    _ => Err(refused("needs a host and a port")),
                }
            }
            Some(("https", _)) => Err(refused("TLS to the engine is not supported")),
            _ => Err(refused("must begin with unix:/// or tcp://")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_ports_are_read_and_anything_else_is_refused() {
        let parse = |host| Address::parse(host).map(|address| address.to_string());
        assert_eq!(parse(None).unwrap(), "unix:///var/run/docker.sock");
        assert_eq!(parse(Some(" ")).unwrap(), "unix:///var/run/docker.sock");
        assert_eq!(parse(Some("unix:///run/d.sock")).unwrap(), "unix:///run/d.sock");
        assert_eq!(parse(Some("tcp://10.0.0.1:2375/")).unwrap(), "tcp://10.0.0.1:2375");
        assert_eq!(parse(Some("http://[::1]:2375")).unwrap(), "tcp://[::1]:2375");
        for bad in ["unix://relative", "tcp://host", "tcp://:1", "tcp://h:x", "https://h:1", "ssh://h", "h"] {
            let error = Address::parse(Some(bad)).unwrap_err().to_string();
            assert!(error.starts_with("bad setting DOCKER_HOST: "), "{error}");
            assert!(error.ends_with(&format!("'{bad}'")), "{error}");
        }
    }
}

//! `hearth ready`: asks the server that these settings are of whether requests are welcome. It is for who has a program to
//! run and no client: the health check of the image, the start of a service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use crate::settings::Settings;

/// Longer than `/ready` itself waits for the engine and the database.
const LIMIT: Duration = Duration::from_secs(20);

/// What `/ready` says: `ok`, or why not.
#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
}

/// Whether the server is ready.
///
/// # Errors
/// It does not answer, or says what it lacks.
pub(crate) async fn ready(settings: &Settings) -> anyhow::Result<()> {
    let address = asked(settings.server.listen);
    // Of this machine, whatever proxy the environment names for others.
    let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build()?;
    let response = client.get(format!("http://{address}/ready")).send().await?;
    if response.status().is_success() {
        return Ok(());
    }
    match response.json::<Answer>().await {
        Ok(answer) => anyhow::bail!("not ready: {}", answer.status),
        Err(_) => anyhow::bail!("what answers at {address} is no Hearth"),
    }
}

/// Who listens everywhere is asked at home.
fn asked(listen: SocketAddr) -> SocketAddr {
    let home = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(home, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_at_home() {
        for (listens, at) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("127.0.0.2:8080", "127.0.0.2:8080"),
        ] {
            assert_eq!(asked(listens.parse().unwrap()), at.parse().unwrap());
        }
    }
}

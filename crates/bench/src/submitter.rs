//! A client that queues calls: it has its answer when the call is on the disk.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use crate::answer::shown;
use crate::client::{Connection, request_with};
use crate::load::Exchange;

/// Queues calls of one function over and over, over one connection, and checks that each was accepted.
#[derive(Debug)]
pub(crate) struct Submitter {
    address: SocketAddr,
    request: Bytes,
    connection: Option<Connection>,
}

impl Submitter {
    /// Will call `path` with `body`, which is to run in so many seconds. Connects already, so that no call has to.
    pub(crate) async fn connect(address: SocketAddr, path: &str, body: &[u8], delay: u32) -> Result<Self> {
        let request = request_with("POST", path, &format!("Fn-Delay: {delay}\r\n"), body);
        Ok(Self { address, request, connection: Some(Connection::open(address).await?) })
    }

    /// Queues a call. Its id.
    pub(crate) async fn submit(&mut self) -> Result<String> {
        // A connection on which something went wrong is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let id = connection.exchange(&self.request, accepted).await?;
        self.connection = Some(connection);
        Ok(id)
    }
}

impl Exchange for Submitter {
    async fn exchange(&mut self) -> Result<()> {
        self.submit().await.map(drop)
    }
}

/// The id in a 202.
fn accepted(status: u16, body: &[u8]) -> Result<String> {
    ensure!(status == 202, "answered with {status}: {}", shown(body));
    let id = body.strip_prefix(br#"{"call_id":""#).and_then(|rest| rest.strip_suffix(br#""}"#));
    let id = id.with_context(|| format!("no id in {}", shown(body)))?;
    Ok(std::str::from_utf8(id)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_out_of_a_202_alone() {
        assert_eq!(accepted(202, br#"{"call_id":"01M8"}"#).unwrap(), "01M8");
        assert!(accepted(200, br#"{"call_id":"01M8"}"#).is_err());
        assert!(accepted(202, b"01M8").is_err());
    }
}

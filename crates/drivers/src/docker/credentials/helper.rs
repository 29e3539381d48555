//! Programs that keep credentials: `docker-credential-NAME get`, as Docker's client runs them.

use std::ffi::OsStr;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// A helper may talk to a cloud, not to a person.
const LIMIT: Duration = Duration::from_secs(10);

/// The user name that says the secret is a token.
const TOKEN: &str = "<token>";

/// Why a helper was of no help. Holds nothing the helper said, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("it could not be run")]
    Run(#[source] io::Error),
    #[error("it took longer than {LIMIT:?}")]
    Late,
    #[error("it ended with {0}")]
    Status(std::process::ExitStatus),
    #[error("its answer could not be read")]
    Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// A helper's name becomes part of a program's name: nothing else may be in it.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.is_empty() && name.bytes().all(good) {
        Ok(())
    } else {
        Err("a credential helper's name has characters other than letters, digits, '-', '_' and '.'".to_owned())
    }
}

/// Asks the helper `name` for the credentials of `server`. None when it has none.
pub(super) async fn ask(name: &str, server: &str) -> Result<Option<DockerCredentials>, HelperError> {
    ask_program(format!("docker-credential-{name}").as_ref(), server).await
}

pub(super) async fn ask_program(program: &OsStr, server: &str) -> Result<Option<DockerCredentials>, HelperError> {
    let output = timeout(LIMIT, run(program, server)).await.map_err(|_| HelperError::Late)?;
    let output = output.map_err(HelperError::Run)?;
    if !output.status.success() {
        let nothing = output.stdout.starts_with(b"credentials not found");
        return if nothing { Ok(None) } else { Err(HelperError::Status(output.status)) };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|_| HelperError::Answer)?;
    let mut found = DockerCredentials { serveraddress: Some(server.to_owned()), ..DockerCredentials::default() };
    if answer.username == TOKEN {
        found.identitytoken = Some(answer.secret);
    } else {
        found.username = Some(answer.username);
        found.password = Some(answer.secret);
    }
    Ok(Some(found))
}

async fn run(program: &OsStr, server: &str) -> io::Result<Output> {
    let mut helper = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = helper.stdin.take() {
        match stdin.write_all(server.as_bytes()).await {
            // It need not read what it does not want to know.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    helper.wait_with_output().await
}

//! Whose images Hearth may pull.
//!
//! Credentials come from where Docker's own client has them: the `DOCKER_AUTH` setting, or else the first
//! configuration file there is. They are read once, at start; helpers named there are asked at each pull, since what
//! they give may expire. A registry gets the credentials that are stored under its own name and no others.
//! Nothing here prints a secret.

mod helper;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;

use super::reference::HUB;
use crate::Error;

/// The name under which Docker's tools keep credentials of Docker Hub.
const HUB_SERVER: &str = "https://index.docker.io/v1/";

/// Other names that Docker Hub goes by in configuration files.
const HUB_NAMES: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// Where credentials may be.
#[derive(Clone, Default)]
pub struct CredentialSources {
    /// `DOCKER_AUTH`: JSON, either as in a configuration file (`{"auths":{…}}`) or just the map of servers.
    pub docker_auth: Option<String>,
    /// `DOCKER_CONFIG`: the directory of a `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `HOME`: where `.docker/config.json` or the old `.dockercfg` may be.
    pub home: Option<PathBuf>,
}

/// Credentials by registry.
#[derive(Default)]
pub(super) struct Credentials {
    entries: BTreeMap<String, DockerCredentials>,
    /// Programs that know the credentials of one registry.
    helpers: BTreeMap<String, String>,
    /// The program that knows all others.
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    auths: Option<HashMap<String, Entry>>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    email: String,
    identitytoken: String,
    registrytoken: String,
}

// === impl Credentials ===

impl Credentials {
    /// Reads the first source there is. Having none is fine; one that cannot be read is an error, since anonymous
    /// pulls would fail later with a message that hides why.
    pub(super) async fn load(sources: &CredentialSources) -> Result<Self, Error> {
        if let Some(text) = sources.docker_auth.as_deref().filter(|text| !text.trim().is_empty()) {
            return Self::parse(text.as_bytes()).map_err(|message| Error::Setting { name: "DOCKER_AUTH", message });
        }
        for path in sources.files() {
            match tokio::fs::read(&path).await {
                Ok(text) => return Self::parse(&text).map_err(|why| unusable(&path, &why)),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(unusable(&path, &error.to_string())),
            }
        }
        Ok(Self::default())
    }

    /// What to tell the engine for a pull from `registry`.
    pub(super) async fn of(&self, registry: &str) -> Option<DockerCredentials> {
        let program = self.helpers.get(registry).or(self.store.as_ref());
        if let Some(program) = program {
            match helper::ask(program, server_of(registry)).await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(registry, helper = program, error = %crate::Chain(&error), "credential helper failed");
                }
            }
        }
        self.entries.get(registry).cloned()
    }

    /// Reads either form. The messages say where, never what.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let malformed =
            |error: serde_json::Error| format!("not as expected at line {}, column {}", error.line(), error.column());
        let map: HashMap<String, &serde_json::value::RawValue> = serde_json::from_slice(text).map_err(malformed)?;
        let wrapped = ["auths", "credHelpers", "credsStore"];
        let file = if map.is_empty() || wrapped.iter().any(|key| map.contains_key(*key)) {
            serde_json::from_slice(text).map_err(malformed)?
        } else {
            flat(&map)
        };
        let mut credentials = Self { store: file.creds_store.filter(|name| !name.is_empty()), ..Self::default() };
        for (registry, program) in file.cred_helpers {
            credentials.helpers.insert(registry_of(&registry), program);
        }
        for program in credentials.helpers.values().chain(&credentials.store) {
            helper::check_name(program)?;
        }
        // In order, so that of several entries for one registry it is always the same that counts.
        let auths: BTreeMap<_, _> = file.auths.unwrap_or_default().into_iter().collect();
        for (server, entry) in auths {
            let registry = registry_of(&server);
            if let Some(found) = entry.into_credentials(&registry)? {
                credentials.entries.insert(registry, found);
            }
        }
        Ok(credentials)
    }
}

/// The flat form has been used for whole configuration files too, so what is no entry is skipped.
fn flat(map: &HashMap<String, &serde_json::value::RawValue>) -> File {
    let entries =
        map.iter().filter_map(|(server, value)| Some((server.clone(), serde_json::from_str(value.get()).ok()?)));
    File { auths: Some(entries.collect()), ..File::default() }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("registries", &self.entries.keys())
            .field("helpers", &self.helpers)
            .field("store", &self.store)
            .finish()
    }
}

// === impl CredentialSources ===

impl CredentialSources {
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let configured = self.docker_config.iter().map(|dir| dir.join("config.json"));
        let home = self.home.iter();
        let of_home = home.flat_map(|home| [home.join(".docker/config.json"), home.join(".dockercfg")]);
        configured.chain(of_home)
    }
}

impl fmt::Debug for CredentialSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSources")
            .field("docker_auth", &self.docker_auth.as_ref().map(|_| "…"))
            .field("docker_config", &self.docker_config)
            .field("home", &self.home)
            .finish()
    }
}

// === impl Entry ===

impl Entry {
    /// None for an entry that only says that a helper has them.
    fn into_credentials(self, registry: &str) -> Result<Option<DockerCredentials>, String> {
        let (mut username, mut password) = (self.username, self.password);
        if !self.auth.is_empty() {
            (username, password) = decode_auth(&self.auth)
                .ok_or_else(|| format!("the 'auth' of {registry} is not base64 of user:password"))?;
        }
        let found = DockerCredentials {
            username: some(username),
            password: some(password),
            email: some(self.email),
            identitytoken: some(self.identitytoken),
            registrytoken: some(self.registrytoken),
            serveraddress: Some(server_of(registry).to_owned()),
            auth: None,
        };
        let any = [&found.username, &found.identitytoken, &found.registrytoken];
        Ok(any.iter().any(|field| field.is_some()).then_some(found))
    }
}

fn decode_auth(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    // Old tools padded passwords with zeroes.
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The registry that a server address in a configuration file means: its host and port.
fn registry_of(server: &str) -> String {
    let address = server.split_once("://").map_or(server, |(_, address)| address);
    let host = address.split('/').next().unwrap_or(address);
    let host = if HUB_NAMES.contains(&host) { HUB } else { host };
    host.to_owned()
}

/// The server address that engines and helpers know a registry by.
fn server_of(registry: &str) -> &str {
    if registry == HUB { HUB_SERVER } else { registry }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::Setting { name: "DOCKER_CONFIG", message: format!("{}: {why}", path.display()) }
}

#[cfg(test)]
mod tests;

//! What is set of the engine and of the containers on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_drivers::docker::{CredentialSources, SocketConfig, SocketContract, StatsFrom};

use super::source::{Reader, Source};
use super::table::{self, Setting};

/// The engine that runs containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Docker {
    pub(crate) host: Option<String>,
    pub(crate) credentials: CredentialSources,
    pub(crate) network: Option<String>,
    pub(crate) pids: Option<u32>,
    pub(crate) pull_limit: Option<Duration>,
    pub(crate) stats_from: StatsFrom,
    pub(crate) sockets: Sockets,
}

/// The sockets of `http-stream` functions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets {
    /// Where they are, if not in the data directory.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) engine_directory: Option<String>,
    /// Options of the tmpfs that each of them is, if it is one.
    pub(crate) tmpfs: Option<String>,
    pub(crate) contract: SocketContract,
}

impl Sockets {
    /// What the driver is told; `data` is the data directory.
    pub(crate) fn config(&self, data: &Path) -> SocketConfig {
        SocketConfig {
            directory: self.directory.clone().unwrap_or_else(|| data.join("iofs")),
            engine_directory: self.engine_directory.clone(),
            tmpfs: self.tmpfs.clone(),
            contract: self.contract,
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, source: &Source) -> Docker {
    let text = |setting| reader.text(setting).map(|given| given.text.to_owned());
    let mut docker = Docker {
        host: text(&table::DOCKER_HOST),
        network: None,
        credentials: CredentialSources {
            docker_auth: text(&table::DOCKER_AUTH),
            docker_config: text(&table::DOCKER_CONFIG).map(PathBuf::from),
            home: source.environment.get("HOME").map(PathBuf::from),
        },
        ..Docker::default()
    };
    docker.network = reader.parse_with(&table::DOCKER_NETWORK, |text| {
        let mut names = text.split_whitespace();
        let name = names.next().map(str::to_owned);
        name.filter(|_| names.next().is_none()).ok_or_else(|| "expected the name of one network".to_owned())
    });
    let mut pids = 0;
    reader.set_positive(&table::DOCKER_PIDS, &mut pids);
    docker.pids = Some(pids).filter(|pids| *pids > 0);
    docker.pull_limit = reader.parse(&table::HOT_PULL_TIMEOUT_MSECS).map(Duration::from_millis);
    let stats = reader.parse_with(&table::DOCKER_STATS, |text| match text.trim() {
        "auto" => Ok(StatsFrom::Auto),
        "engine" => Ok(StatsFrom::Engine),
        _ => Err("expected auto or engine".to_owned()),
    });
    docker.stats_from = stats.unwrap_or_default();
    docker.sockets = sockets(reader);
    docker
}

fn sockets(reader: &mut Reader<'_>) -> Sockets {
    let mut contract = SocketContract::default();
    let limits = &mut contract.limits;
    reader.set(&table::MAX_PIDS, &mut limits.pids, |pids| pids);
    reader.set(&table::MAX_OPEN_FILES, &mut limits.open_files, |files| files);
    reader.set(&table::MAX_LOCKED_MEMORY, &mut limits.locked_memory, |bytes| bytes);
    reader.set(&table::MAX_PENDING_SIGNALS, &mut limits.pending_signals, |signals| signals);
    reader.set(&table::MAX_MESSAGE_QUEUE, &mut limits.message_queues, |bytes| bytes);
    contract.keeps_user = flag(reader, &table::DISABLE_UNPRIVILEGED_CONTAINERS);
    contract.writable_root = flag(reader, &table::DISABLE_READONLY_ROOTFS);
    contract.engine_logs = flag(reader, &table::DISABLE_DIRECT_LOGS);
    let is_tmpfs = flag(reader, &table::IOFS_TMPFS);
    let text = |setting| reader.text(setting).map(|given| given.text.trim().to_owned());
    Sockets {
        directory: text(&table::IOFS_PATH).map(PathBuf::from),
        engine_directory: text(&table::IOFS_DOCKER_PATH),
        tmpfs: is_tmpfs.then(|| text(&table::IOFS_OPTS).unwrap_or_default()),
        contract,
    }
}

/// A boolean as the contract has it (v2 contract B.4.12).
pub(super) fn flag(reader: &mut Reader<'_>, setting: &Setting) -> bool {
    let read = |text: &str| match text.trim() {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    };
    reader.parse_with(setting, read).unwrap_or(false)
}

//! What an engine tells of itself and of its machine, for who wants to know whether it will do.

use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::engine::{Engine, Fault};
use super::observer::{Operation, Unobserved};
use crate::Error;
use crate::stats::Layout;

/// How long the engine may take to tell.
const LIMIT: Duration = Duration::from_secs(10);

/// An engine and its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Where it was reached.
    pub address: String,
    /// Its version, as `20.10.24`.
    pub version: String,
    /// The version of its API that is spoken with it, as `1.41`.
    pub api_version: String,
    /// The version of control groups that it uses, as `1` or `2`.
    pub cgroup_version: String,
    /// Whether it can limit the memory of containers.
    pub limits_memory: bool,
    /// Whether it can keep them from swapping.
    pub limits_swap: bool,
    /// Whether it can limit their processes.
    pub limits_pids: bool,
    /// Where it keeps images and containers.
    pub root: String,
    /// Whether this process sees control groups of containers, so that samples may be read from them.
    pub groups_visible: bool,
}

/// Asks the engine at `host`, or where Docker's own tools look, about itself.
///
/// # Errors
/// It cannot be reached, or `host` cannot be understood.
pub async fn about(host: Option<&str>) -> Result<About, Error> {
    let address = Address::parse(host)?;
    let shown = address.to_string();
    let engine = Engine::connect(address, Arc::new(Unobserved)).await?;
    let answer = engine.call(Operation::Ping, LIMIT, async { engine.api().info().await.map_err(Fault::from) }).await;
    let info = answer.map_err(|fault| fault.into_error(Operation::Ping))?;
    Ok(About {
        address: shown,
        version: info.server_version.unwrap_or_default(),
        api_version: engine.api().client_version().to_string(),
        // Engines that do not tell know only the first.
        cgroup_version: info.cgroup_version.map_or_else(|| "1".to_owned(), |version| version.to_string()),
        limits_memory: info.memory_limit.unwrap_or_default(),
        limits_swap: info.swap_limit.unwrap_or_default(),
        limits_pids: info.pids_limit.unwrap_or_default(),
        root: info.docker_root_dir.unwrap_or_default(),
        groups_visible: Layout::detect().is_some_and(|layout| layout.is_whole()),
    })
}

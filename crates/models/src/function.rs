//! Functions: a container image and how to run it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Annotations, AppId, CallType, Config, Error, FnId, Format, Timestamp};

/// A container image and how to run it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Function {
    /// Its id.
    pub id: FnId,
    /// The app that owns it.
    pub app_id: AppId,
    /// Unique in its app.
    pub name: String,
    /// The image reference as given.
    pub image: String,
    /// How it is spoken to.
    pub format: Format,
    /// Whether its callers wait.
    pub call_type: CallType,
    /// Memory limit of its containers, and its timeouts.
    pub limits: FunctionLimits,
    /// Environment, over that of the app.
    pub config: Config,
    /// Free notes of API v2, by key.
    pub annotations: Annotations,
    /// Machine shape, copied from the app for API v2 clients.
    pub shape: String,
    /// A route made it, so it goes with its last trigger.
    pub made_by_route: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Function {
    /// Whether containers of this one would do for `other`.
    #[must_use]
    pub fn runs_like(&self, other: &Self) -> bool {
        let container = |of: &Self| (of.format, of.call_type, of.limits);
        self.image == other.image && container(self) == container(other) && self.config == other.config
    }
}

/// What one container and one call of a function may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FunctionLimits {
    /// Memory of a container, in MiB.
    pub memory_mb: u64,
    /// Longest execution, in seconds.
    pub timeout_secs: u32,
    /// How long a hot container may idle, in seconds.
    pub idle_timeout_secs: u32,
}

impl Default for FunctionLimits {
    fn default() -> Self {
        Self { memory_mb: 128, timeout_secs: 30, idle_timeout_secs: 30 }
    }
}

impl FunctionLimits {
    const MAX_MEMORY_MB: u64 = 8192;
    const MAX_IDLE_TIMEOUT: i32 = 3600;

    /// Longest execution.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs as u64)
    }

    /// How long a hot container may idle.
    #[must_use]
    pub const fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_secs as u64)
    }

    /// Memory of a container, in bytes.
    #[must_use]
    pub const fn memory_bytes(&self) -> u64 {
        self.memory_mb.saturating_mul(1024 * 1024)
    }

    pub(crate) fn route_timeout(seconds: i64, call_type: CallType) -> Result<u32, Error> {
        let max = match call_type {
            CallType::Sync => 120,
            CallType::Async => 3600,
        };
        u32::try_from(seconds).ok().filter(|s| (1..=max).contains(s)).ok_or(Error::InvalidTimeout)
    }

    pub(crate) fn route_idle_timeout(seconds: i32) -> Result<u32, Error> {
        u32::try_from(seconds)
            .ok()
            .filter(|s| *s > 0 && seconds <= Self::MAX_IDLE_TIMEOUT)
            .ok_or(Error::InvalidIdleTimeout)
    }

    pub(crate) fn route_memory(mb: u64) -> Result<u64, Error> {
        if (1..=Self::MAX_MEMORY_MB).contains(&mb) { Ok(mb) } else { Err(Error::InvalidMemory) }
    }
}

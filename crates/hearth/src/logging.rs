//! The server's own log: text or JSON on stderr, at a level named by the contract's words.

use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use hearth_server::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::settings::Log;

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(LevelFilter);

/// How it is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Changes the level of a process that logs.
#[derive(Clone, Debug)]
pub(crate) struct LevelSwitch {
    handle: reload::Handle<Targets, Registry>,
    level: Arc<Mutex<Level>>,
}

impl Default for Level {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match text.to_ascii_lowercase().as_str() {
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" | "warning" => LevelFilter::WARN,
            // Nothing of ours is worse than an error.
            "error" | "fatal" | "panic" => LevelFilter::ERROR,
            _ => return Err("Invalid log level."),
        }))
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json"),
        }
    }
}

/// Begins to log. What comes back changes the level.
///
/// # Errors
/// Something in this process logs already.
pub(crate) fn start(log: Log) -> Result<LevelSwitch, TryInitError> {
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let lines = match log.format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            fmt::layer().with_writer(std::io::stderr).with_ansi(colours).boxed()
        }
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(std::io::stderr).boxed()
        }
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    Ok(LevelSwitch { handle, level: Arc::new(Mutex::new(log.level)) })
}

/// The level is that of our crates; libraries say no more than `info`, whatever it is.
fn filter(Level(level): Level) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        // It tells of every retry; what comes of them all is ours to tell.
        .with_target("object_store", level.min(LevelFilter::WARN))
        .with_target("hearth", level)
}

// === impl LevelSwitch ===

impl LogLevel for LevelSwitch {
    fn get(&self) -> String {
        let Level(level) = *self.level.lock().unwrap_or_else(PoisonError::into_inner);
        level.to_string()
    }

    fn set(&self, word: &str) -> bool {
        let Ok(level) = word.parse() else { return false };
        // The lock is held until both agree.
        let mut current = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // It fails only when nothing logs any more.
        let changed = self.handle.reload(filter(level)).is_ok();
        if changed {
            *current = level;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_words_are_levels_in_any_casing() {
        for (word, level) in [
            ("debug", LevelFilter::DEBUG),
            ("INFO", LevelFilter::INFO),
            ("Warning", LevelFilter::WARN),
            ("fatal", LevelFilter::ERROR),
        ] {
            assert_eq!(word.parse(), Ok(Level(level)));
        }
        assert_eq!("loud".parse::<Level>(), Err("Invalid log level."));
    }
}

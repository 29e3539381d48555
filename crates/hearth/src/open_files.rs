//! The limit of open files. Shells and service managers hand down a small one that a process may raise by itself, and a
//! server that runs into it can neither accept connections nor start containers.

use hearth_models::FunctionLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::settings::Settings;

/// What a container may keep open here: its streams, the engine's answers about it, what its samples are read from.
const PER_CONTAINER: u64 = 16;

/// Raises the limit as far as this process may. Returns what to tell the operator when that is too little.
pub(crate) fn raise(settings: &Settings) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let allowed = if raised.is_ok() { limit.maximum } else { limit.current };
    // No number means no limit.
    shortage(allowed?, needed(settings))
}

/// All connections, and the containers for which there is memory when each has what a function gets by default.
fn needed(settings: &Settings) -> u64 {
    let containers = settings.agent.memory / FunctionLimits::default().memory_bytes();
    let connections = settings.server.max_connections as u64;
    connections.saturating_add(containers.saturating_mul(PER_CONTAINER))
}

fn shortage(allowed: u64, needed: u64) -> Option<String> {
    (allowed < needed).then(|| {
        format!(
            "at most {allowed} files may be open, and --max-connections and --memory could need {needed}: \
             raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower these settings"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Source;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let settings = Settings::read(&Source::default()).unwrap();
        let limit = getrlimit(Resource::Nofile);
        let lowered = limit.current.map_or(512, |soft| soft.min(512));
        setrlimit(Resource::Nofile, Rlimit { current: Some(lowered), ..limit }).unwrap();
        raise(&settings);
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }

    #[test]
    fn too_low_a_limit_is_told_with_what_is_needed() {
        let flags = [("max-connections", "1000".to_owned()), ("memory", "1GiB".to_owned())];
        let source = Source { flags: flags.into(), ..Source::default() };
        let needed = needed(&Settings::read(&source).unwrap());
        assert_eq!(needed, 1000 + 8 * 16);
        assert_eq!(shortage(needed, needed), None);
        let told = shortage(needed - 1, needed).unwrap();
        assert!(told.starts_with("at most 1127 files may be open, ") && told.contains(" need 1128: "), "{told}");
    }
}

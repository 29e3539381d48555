//! What can be asked for on the command line, and how long everything takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Drives a real Hearth server with real containers, and prints what it does beside the same containers without it.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// A run of at most 90 seconds. Its figures say whether everything works, and little more.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Run only scenarios whose name begins with this. May be given several times.
    #[arg(long = "scenario", value_name = "NAME")]
    pub(crate) scenarios: Vec<String>,

    /// Print the names of all scenarios and stop.
    #[arg(long)]
    pub(crate) list: bool,

    /// The server to measure; `hearth` beside this program unless given.
    #[arg(long, value_name = "FILE")]
    pub(crate) server: Option<PathBuf>,

    /// Another build of the server, for the scenario versus. Without it that does nothing.
    #[arg(long, value_name = "FILE")]
    pub(crate) other: Option<PathBuf>,

    /// Where results, the server's data and its log go.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) output: PathBuf,

    /// The image of the function, which must be the fixture of the tests.
    #[arg(long, value_name = "IMAGE", default_value = "hearth/fixture:test")]
    pub(crate) image: String,

    /// A Postgres server with empty databases bench_1, bench_2 and so on: postgres://user:password@host:port. Without it
    /// there is only SQLite.
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,

    /// End with exit code 2 when a target is missed.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// How long things are measured, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// One measurement.
    pub(crate) window: Duration,
    /// One measurement of something that takes a good part of a second.
    pub(crate) slow_window: Duration,
    /// How often Hearth and the baseline take turns.
    pub(crate) rounds: usize,
    /// Load that is not measured, ahead of the first round.
    pub(crate) warm_up: Duration,
    /// Clients that answer at once are driven so long to see how many containers are started for them.
    pub(crate) at_once: Duration,
    /// Clients of the function that sleeps for a second.
    pub(crate) sleepers: usize,
    /// How often that function is grown from nothing.
    pub(crate) growths: usize,
    /// Calls that are stored before some of them are trimmed.
    pub(crate) history: usize,
    /// Calls that are queued at once, to see how soon they have ended.
    pub(crate) queued: usize,
    /// Calls that are queued one by one, to see how soon they begin.
    pub(crate) starts: usize,
    /// A server with nothing to do is watched for so long.
    pub(crate) idle: Duration,
    /// A run that takes longer is given up.
    pub(crate) limit: Duration,
}

// === impl Options ===

impl Options {
    pub(crate) const fn pace(&self) -> Pace {
        if self.quick { Pace::QUICK } else { Pace::FULL }
    }

    pub(crate) fn selects(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|name| scenario.starts_with(name.as_str()))
    }
}

// === impl Pace ===

impl Pace {
    const FULL: Self = Self {
        window: Duration::from_secs(5),
        slow_window: Duration::from_secs(5),
        rounds: 3,
        warm_up: Duration::from_secs(3),
        at_once: Duration::from_secs(30),
        sleepers: 64,
        growths: 2,
        history: 1_000_000,
        queued: 10_000,
        starts: 500,
        idle: Duration::from_secs(20),
        limit: Duration::from_mins(40),
    };

    const QUICK: Self = Self {
        window: Duration::from_millis(700),
        slow_window: Duration::from_secs(2),
        rounds: 1,
        warm_up: Duration::from_millis(700),
        at_once: Duration::from_secs(4),
        sleepers: 16,
        growths: 1,
        history: 20_000,
        queued: 1_000,
        starts: 20,
        idle: Duration::from_secs(2),
        limit: Duration::from_mins(3),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_how_their_names_begin() {
        let options = |args: &[&str]| Options::parse_from([&["hearth-bench"], args].concat());
        assert!(options(&[]).selects("cold"));
        let hot = options(&["--scenario", "hot-http", "--scenario", "idle"]);
        let selected = ["hot-http", "hot-http-logging", "hot-json", "idle"].map(|name| hot.selects(name));
        assert_eq!(selected, [true, true, false, true]);
    }
}

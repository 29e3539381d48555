//! What will be done, all of it drawn from one seed: a run that found something can be done again.
//!
//! The same seed gives the same calls, the same victims in the same order, and the same pauses. What the machine makes of
//! them in between is its own.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::ValueEnum;

/// What keeps the queue, and for how many servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
    /// The order in Redis, the calls in SQLite.
    Redis,
    /// Two servers on one Postgres.
    Shared,
}

/// Something that is killed, and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// One of the servers, with SIGKILL.
    Server(usize),
    /// The container engine, with SIGKILL.
    Engine,
    /// The container engine, told to stop: it kills its containers first.
    EngineInOrder,
    /// One of the containers that run, with SIGKILL.
    Container,
    /// One of the containers, removed as it runs.
    ContainerRemoved,
    /// Postgres, with SIGKILL.
    Postgres,
    /// Redis, with SIGKILL. It forgets everything.
    Redis,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub(crate) victim: Victim,
    /// When, after the calls ahead of it were let go.
    pub(crate) after: Duration,
    /// How long the victim stays away.
    pub(crate) away: Duration,
    /// The next kill does not wait until all is well again.
    pub(crate) hasty: bool,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) works: Duration,
    pub(crate) priority: u16,
    pub(crate) delay_seconds: u16,
    pub(crate) body_bytes: usize,
    /// It is cancelled so long after it was accepted.
    pub(crate) cancel_after: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) calls: Vec<Call>,
    pub(crate) kills: Vec<Kill>,
}

/// The routes, by their formats.
pub(crate) const ROUTES: [(&str, &str); 3] = [("/http", "http"), ("/json", "json"), (COLD, "default")];

/// The route whose functions take the end of their input for the end of their request.
pub(crate) const COLD: &str = "/cold";

// === impl Store ===

impl Store {
    pub(crate) const ALL: [Self; 4] = [Self::Sqlite, Self::Postgres, Self::Redis, Self::Shared];

    pub(crate) const fn servers(self) -> usize {
        match self {
            Self::Shared => 2,
            Self::Sqlite | Self::Postgres | Self::Redis => 1,
        }
    }

    pub(crate) const fn has_postgres(self) -> bool {
        matches!(self, Self::Postgres | Self::Shared)
    }

    /// Victims, as often as they stand here.
    fn victims(self) -> Vec<Victim> {
        use Victim::{Container, ContainerRemoved, Engine, EngineInOrder, Postgres, Redis, Server};
        let mut victims = vec![Engine, EngineInOrder, Container, Container, ContainerRemoved];
        match self {
            Self::Sqlite => victims.extend([Server(0); 5]),
            Self::Postgres => victims.extend([Server(0), Server(0), Server(0), Postgres, Postgres]),
            Self::Redis => victims.extend([Server(0), Server(0), Server(0), Redis, Redis]),
            Self::Shared => victims.extend([Server(0), Server(0), Server(1), Server(1), Postgres]),
        }
        victims
    }
}

impl Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Shared => "shared",
        })
    }
}

// === impl Victim ===

impl Victim {
    /// What it counts as in a verdict.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Server(_) => "server",
            Self::Engine | Self::EngineInOrder => "engine",
            Self::Container | Self::ContainerRemoved => "container",
            Self::Postgres | Self::Redis => "database",
        }
    }
}

// === impl Plan ===

impl Plan {
    pub(crate) fn draw(store: Store, seed: u64, calls: usize, kills: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let victims = store.victims();
        Self {
            kills: (0..kills).map(|_| draw_kill(&mut random, &victims)).collect(),
            calls: (0..calls).map(|_| draw_call(&mut random)).collect(),
        }
    }
}

fn draw_kill(random: &mut fastrand::Rng, victims: &[Victim]) -> Kill {
    Kill {
        victim: victims[random.usize(..victims.len())],
        after: millis(random, 0..=1500),
        away: millis(random, 0..=1500),
        hasty: random.u8(..4) == 0,
    }
}

fn draw_call(random: &mut fastrand::Rng) -> Call {
    let (path, works) = match random.u8(..100) {
        // Each of these takes a container of its own.
        0..4 => (COLD, millis(random, 0..=50)),
        4..14 => ("/json", millis(random, 0..=50)),
        14..18 => ("/http", millis(random, 1000..=3000)),
        18..30 => ("/http", millis(random, 50..=400)),
        _ => ("/http", millis(random, 0..=50)),
    };
    Call {
        path,
        works,
        priority: random.u16(..3),
        delay_seconds: if random.u8(..20) == 0 { random.u16(1..=3) } else { 0 },
        body_bytes: random.usize(..2000),
        cancel_after: (random.u8(..50) == 0).then(|| millis(random, 0..=200)),
    }
}

fn millis(random: &mut fastrand::Rng, range: RangeInclusive<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything() {
        let drawn = |seed| format!("{:?}", Plan::draw(Store::Shared, seed, 100, 50));
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn every_store_has_all_that_it_depends_on_killed() {
        for store in Store::ALL {
            let plan = Plan::draw(store, 1, 0, 200);
            let has = |kind| plan.kills.iter().any(|kill| kill.victim.kind() == kind);
            assert!(has("server") && has("engine") && has("container"), "{store}");
            assert_eq!(has("database"), store != Store::Sqlite, "{store}");
            let servers = plan.kills.iter().filter_map(|kill| match kill.victim {
                Victim::Server(server) => Some(server),
                _ => None,
            });
            assert_eq!(servers.max(), Some(store.servers() - 1));
        }
    }
}

//! Where `http-stream` functions have their sockets: whether a server may make directories there, and whether the engine can
//! mount them.

use std::path::Path;

use hearth_drivers::docker::{SEE_TO_IT, Seen, SocketPlace, socket_place};
use hearth_drivers::{Chain, Error};

use super::Finding;
use crate::settings::Docker;

const WHAT: &str = "sockets";

/// Nothing is said where the engine is away: that is a finding of its own.
pub(super) async fn sockets(settings: &Docker, data: &Path) -> Option<Finding> {
    match socket_place(settings.host.as_deref(), &settings.sockets.config(data)).await {
        Ok(place) => Some(judge(&place)),
        Err(Error::EngineAway { .. }) => None,
        Err(error) => {
            let advice = "let this user write there, or choose another directory with --iofs-path";
            Some(Finding::broken(WHAT, Chain(&error), advice))
        }
    }
}

fn judge(place: &SocketPlace) -> Finding {
    let SocketPlace { directory, engine_directory, seen, doubtful } = place;
    let here = directory.display();
    let there = match engine_directory {
        Some(there) if there != directory => format!("{here}, which the engine has as {}", there.display()),
        _ => here.to_string(),
    };
    if let Some(kind) = doubtful {
        let advice = "choose a directory on a disk of this machine, or in its memory, with --iofs-path";
        return Finding::poor(WHAT, format!("{there} is on {kind}, where sockets may not work"), advice);
    }
    match seen {
        Seen::Yes => Finding::fine(WHAT, format!("containers can have directories in {there}")),
        Seen::No => {
            Finding::poor(WHAT, format!("the engine does not see {there}: http-stream functions cannot run"), SEE_TO_IT)
        }
        Seen::Unknown(why) => {
            Finding::poor(WHAT, format!("it is not known whether the engine sees {there}: {why}"), SEE_TO_IT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_place_that_the_engine_does_not_see_is_poor_and_says_what_to_do() {
        let place = SocketPlace {
            directory: "/data".into(),
            engine_directory: Some("/srv/data".into()),
            seen: Seen::Yes,
            doubtful: None,
        };
        let found = judge(&place);
        assert_eq!(
            found,
            Finding::fine(WHAT, "containers can have directories in /data, which the engine has as /srv/data")
        );
        let seen = |seen| judge(&SocketPlace { seen, engine_directory: None, ..place.clone() });
        for finding in [seen(Seen::No), seen(Seen::Unknown("why".to_owned()))] {
            let Verdict::Poor { advice } = finding.verdict else { panic!("{finding:?}") };
            assert!(advice.contains("FN_IOFS_DOCKER_PATH"), "{advice}");
        }
        let remote = judge(&SocketPlace { doubtful: Some("nfs"), ..place });
        assert_eq!(remote.says, "/data, which the engine has as /srv/data is on nfs, where sockets may not work");
    }
}

//! The Docker engine goes away under load, and comes back.

use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{APP, Options, PATIENCE, PrivateEngine, Reply, Server, eventually};

/// Callers that go on until they are told to stop, and what they saw.
struct Load {
    stop: watch::Sender<bool>,
    callers: JoinSet<Vec<Reply>>,
}

impl Load {
    /// Hot and cold calls, short and longer ones.
    fn start(server: &Server) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (path, script) = match caller {
                0..3 => ("/http", "body x"),
                3..5 => ("/json", "body x"),
                5..7 => ("/http", "sleep 700; body x"),
                _ => ("/cold", "body x"),
            };
            let (url, stopped) = (format!("http://{}/r/{APP}{path}", server.address()), stopped.clone());
            let client = server.client();
            callers.spawn(async move {
                let mut replies = Vec::new();
                while !*stopped.borrow() {
                    let request = crate::support::Request::new(client.post(&url)).script(script);
                    replies.push(request.send().await);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                replies
            });
        }
        Self { stop, callers }
    }

    async fn stop(self) -> Vec<Reply> {
        self.stop.send_replace(true);
        self.callers.join_all().await.into_iter().flatten().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_goes_away_is_told_and_survived() {
    let mut engine = PrivateEngine::start().await;
    let server = Options::with_engine(engine.engine.clone()).start().await;
    for (path, format) in [("/http", "http"), ("/json", "json"), ("/cold", "default")] {
        server.route(path).format(format).timeout(20).create().await;
        server.run(path, "body x").await.is_answer("x");
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let load = Load::start(&server);
        server.until_running("/http", 2).await;
        engine.end(signal);
        // While it is away: a clear refusal within two seconds, and the server lives on.
        for path in ["/http", "/json", "/cold"] {
            let away = eventually(PATIENCE, "the engine's absence is noticed", async || {
                let reply = server.run(path, "body x").await;
                if reply.status == 503 { Ok(reply) } else { Err(format!("{reply:?}")) }
            })
            .await;
            away.is_call_error(503, "container engine unavailable");
            assert_eq!(away.value("retry-after"), "2");
            assert!(away.took < PATIENCE, "{away:?}");
            println!("{signal:?}: {path}: {} after {:?}", away.status, away.took);
            server.record(&away).await.never_ran("error", "platform", "container engine unavailable");
        }
        assert_eq!(server.get("/live").send().await.status, 200);
        assert_eq!(server.get("/ready").send().await.status, 503);

        engine.run().await;
        server.becomes_ready(PATIENCE).await;
        for path in ["/http", "/json", "/cold"] {
            eventually(PATIENCE, "service resumes", async || {
                let reply = server.run(path, "body x").await;
                if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
            })
            .await;
        }
        let replies = load.stop().await;
        assert!(replies.iter().any(|reply| reply.status == 200));
        let mut seen: Vec<_> = replies.iter().map(|reply| (reply.status, what(reply))).collect();
        seen.sort_unstable();
        seen.dedup();
        println!("{signal:?}: {} calls saw {seen:#?}", replies.len());
        for (number, reply) in replies.iter().enumerate() {
            assert!(matches!(reply.status, 200 | 502 | 503), "{reply:?}");
            assert!(reply.took < PATIENCE, "{reply:?}");
            if reply.status == 200 && number % 20 != 0 {
                continue;
            }
            let record = server.record(reply).await;
            let expected = if reply.status == 200 { "success" } else { "error" };
            assert_eq!(record.text("status"), expected, "{reply:?}: {record:?}");
        }
    }
    let log = server.finish_with_errors().await;
    // What was asked for just when the engine died may turn up for a while. What was asked of nobody may not.
    let looked_for = log.split_once("the next start will remove them containers=").map(|(_, after)| after);
    let looked_for = looked_for.map_or(0, |after| after.lines().next().unwrap().parse().unwrap());
    assert!(looked_for <= 8, "{looked_for} containers are looked for that cannot be there");
}

fn what(reply: &Reply) -> String {
    if reply.status == 200 { "an answer".to_owned() } else { reply.message() }
}

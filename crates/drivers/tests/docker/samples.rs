//! Both sources of samples, side by side.

use std::time::Duration;

use futures_util::StreamExt;
use hearth_drivers::docker::StatsFrom;
use hearth_drivers::{Driver, Running, Sampler, StatsSource};
use hearth_models::{Metrics, Stat};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::support::{Engine, within};

async fn spin(engine: &Engine) -> Running {
    let script = "alloc 16; write-disk 1m; udp 172.17.0.1:9 64k; spin 4000; hang";
    let mut running = engine.start(&[("FN_FORMAT", "default"), ("HEARTH_SCRIPT", script)]).await;
    running.stdin.shutdown().await.unwrap();
    running
}

fn direct(stats: StatsSource) -> Box<dyn Sampler> {
    match stats {
        StatsSource::Direct(sampler) => sampler,
        StatsSource::Stream(_) => panic!("the control group is not visible: this test runs on the engine's host"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sources_show_the_same_container_the_same_way() {
    let near = Engine::connect().await;
    let far = Engine::connect_with(|config| config.stats_from = StatsFrom::Engine).await;
    let running = spin(&near).await;
    let mut sampler = direct(running.stats);
    let watched = spin(&far).await;
    let StatsSource::Stream(stream) = watched.stats else { panic!("not a stream") };

    // The first of the stream has no interval; the next two are of the same seconds as ours.
    let streamed: Vec<Stat> = within(stream.skip(1).take(2).collect()).await;
    sampler.mark();
    sleep(Duration::from_secs(1)).await;
    let ours = sampler.sample().unwrap();
    let (ours, theirs) = (ours.metrics, streamed[1].metrics);
    println!("control group: {ours:?}\nengine:        {theirs:?}");
    alike(&ours, &theirs);
    assert_eq!(streamed[1].timestamp.since(streamed[0].timestamp).as_secs_f64().round() as u64, 1);
    drop((running.guard, watched.guard));
    near.finish().await;
    far.finish().await;
}

/// Two containers that do the same are not equal to the byte.
fn alike(ours: &Metrics, theirs: &Metrics) {
    let near = |a: u64, b: u64, slack: u64| a.abs_diff(b) <= slack;
    assert_eq!(ours.mem_limit, theirs.mem_limit);
    assert!(near(ours.mem_usage, theirs.mem_usage, 2 << 20) && ours.mem_usage > 16 << 20);
    assert!(ours.net_tx > 64 << 10 && near(ours.net_tx, theirs.net_tx, 8 << 10));
    assert!(ours.net_rx > 0 && theirs.net_rx > 0);
    assert!(ours.cpu_total <= 110 && theirs.cpu_total <= 110);
    assert_eq!((ours.disk_read, ours.disk_write), (theirs.disk_read, theirs.disk_write));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_container_shows_the_same_figures_to_both() {
    let engine = Engine::connect().await;
    let running = spin(&engine).await;
    let mut sampler = direct(running.stats);
    sleep(Duration::from_secs(5)).await;
    // It hangs now, so its memory stands still.
    let ours = sampler.sample().unwrap().metrics;
    let raw = crate::support::docker_stats(running.guard.id());
    println!("control group: {ours:?}");
    assert_eq!(raw["memory_stats"]["limit"], ours.mem_limit);
    let usage = raw["memory_stats"]["usage"].as_u64().unwrap();
    // The kernel charges in batches per CPU.
    assert!(usage.abs_diff(ours.mem_usage) < 1 << 20, "{usage} {}", ours.mem_usage);
    let sent = raw["networks"]["eth0"]["tx_bytes"].as_u64().unwrap();
    // Neighbour discovery goes on meanwhile.
    assert!(sent.abs_diff(ours.net_tx) < 4 << 10, "{sent} {}", ours.net_tx);
    drop(running.guard);
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_are_cheap_and_end_with_the_container() {
    let engine = Engine::connect().await;
    let running = spin(&engine).await;
    let mut sampler = direct(running.stats);
    let time = |mut work: Box<dyn FnMut() + '_>| {
        let mut costs: Vec<Duration> = (0..200)
            .map(|_| {
                let begin = Instant::now();
                work();
                begin.elapsed()
            })
            .collect();
        costs.sort();
        costs[costs.len() / 2]
    };
    let sample = time(Box::new(|| assert!(sampler.sample().is_some())));
    let mark = time(Box::new(|| sampler.mark()));
    println!("sample {sample:?}, mark {mark:?} (medians of 200)");
    assert!(sample < Duration::from_millis(1), "{sample:?}");
    drop(running.guard);
    within(running.exit).await;
    let begin = Instant::now();
    while sampler.sample().is_some() {
        assert!(begin.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(10)).await;
    }
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sources_go_on_while_a_container_is_frozen() {
    let near = Engine::connect().await;
    let far = Engine::connect_with(|config| config.stats_from = StatsFrom::Engine).await;
    let hang = [("FN_FORMAT", "default"), ("HEARTH_START", "hang")];
    let running = near.start(&hang).await;
    let mut sampler = direct(running.stats);
    let watched = far.start(&hang).await;
    let StatsSource::Stream(mut stream) = watched.stats else { panic!("not a stream") };
    within(stream.next()).await.unwrap();
    near.driver.freeze(running.guard.id()).await.unwrap();
    far.driver.freeze(watched.guard.id()).await.unwrap();
    sampler.mark();
    for _ in 0..3 {
        assert!(within(stream.next()).await.unwrap().metrics.mem_usage > 0);
    }
    let ours = sampler.sample().unwrap().metrics;
    assert!(ours.mem_usage > 0 && ours.cpu_total == 0, "{ours:?}");
    near.driver.thaw(running.guard.id()).await.unwrap();
    far.driver.thaw(watched.guard.id()).await.unwrap();
    within(stream.next()).await.unwrap();
    sampler.sample().unwrap();
    drop((running.guard, watched.guard));
    near.finish().await;
    far.finish().await;
}

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;
use crate::Frame;

const SECOND: Duration = Duration::from_secs(1);

async fn created(driver: &ScriptedDriver) -> Result<Box<dyn Container>, Error> {
    let image = driver.image("fn").await?;
    let spec = ContainerSpec {
        contract: Contract::Pipes,
        image,
        env: vec![("FN_PATH".to_owned(), "/r".to_owned())],
        memory_bytes: 128 << 20,
        cpu_millis: None,
        labels: Vec::new(),
        tapped: false,
        syslog: None,
    };
    driver.create(spec).await
}

async fn started(driver: &ScriptedDriver) -> Running {
    created(driver).await.unwrap().start().await.unwrap()
}

fn playing(program: Program) -> ScriptedDriver {
    ScriptedDriver::new().with("fn", Script::new(program))
}

/// Reads output until `length` bytes of stdout came.
async fn stdout(running: &mut Running, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < length {
        match running.output.next().await {
            Some(Ok(Frame::Stdout(bytes))) => out.extend_from_slice(&bytes),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&out)),
        }
    }
    out
}

#[tokio::test(start_paused = true)]
async fn cat_answers_its_input_and_ends() {
    let driver = playing(programs::cat());
    let mut running = started(&driver).await;
    running.stdin.write_all(b"hello").await.unwrap();
    running.stdin.shutdown().await.unwrap();
    assert_eq!(stdout(&mut running, 5).await, b"hello");
    assert!(running.output.next().await.is_none());
    assert_eq!((&mut running.exit).await, Exit::Code(0));
    assert_eq!(driver.ledger().containers["scripted-0001"], State::Exited);
    drop(running);
    assert!(driver.ledger().is_clean());
    assert_eq!((driver.ledger().created, driver.ledger().removed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn http_echo_answers_bodies_of_both_codings_in_any_pieces() {
    let driver = playing(programs::http_echo());
    let mut running = started(&driver).await;
    let requests = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for byte in requests {
        running.stdin.write_all(&[*byte]).await.unwrap();
    }
    let mut expected = programs::response(200, b"hello");
    expected.extend(programs::response(200, b"abcde"));
    assert_eq!(stdout(&mut running, expected.len()).await, expected);
    running.stdin.shutdown().await.unwrap();
    assert_eq!(running.exit.await, Exit::Code(0));
}

#[tokio::test(start_paused = true)]
async fn json_echo_answers_each_object() {
    let driver = playing(programs::json_echo());
    let mut running = started(&driver).await;
    running.stdin.write_all(b"{\"body\":\"a\"}\n\n{\"body\":").await.unwrap();
    let first = br#"{"body":"a","protocol":{"status_code":200}}"#;
    assert_eq!(stdout(&mut running, first.len()).await.trim_ascii(), first);
    running.stdin.write_all(b"\"b\"}\n").await.unwrap();
    assert_eq!(stdout(&mut running, first.len()).await.trim_ascii()[..10], b"{\"body\":\"b"[..]);
    running.stdin.write_all(b"]").await.unwrap();
    assert_eq!(running.exit.await, Exit::Code(1));
}

#[tokio::test(start_paused = true)]
async fn steps_take_their_time_and_fail_as_often_as_told() {
    let unreachable = Error::ImageUnreachable { image: "fn".to_owned(), message: "no route".to_owned() };
    let script = Script::new(programs::hang())
        .pull(Step::fails(unreachable).times(1).after(SECOND))
        .start(Step::takes(2 * SECOND));
    let driver = ScriptedDriver::new().with("fn", script);
    let begin = Instant::now();
    assert!(matches!(created(&driver).await, Err(Error::ImageUnreachable { .. })));
    assert_eq!(begin.elapsed(), SECOND);
    let running = started(&driver).await;
    assert_eq!(begin.elapsed(), 4 * SECOND);
    assert!(driver.image("fn").await.is_ok());
    assert_eq!(begin.elapsed(), 4 * SECOND);
    let ledger = driver.ledger();
    assert_eq!((ledger.asked.len(), ledger.pulled.len(), ledger.live()), (3, 2, 1));
    drop(running);
    assert!(matches!(driver.image("other").await, Err(Error::ImageRefused { status: 404, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_or_is_abandoned_leaves_nothing() {
    let driver = ScriptedDriver::new()
        .with("fn", Script::new(programs::hang()).start(Step::fails(Error::Unhealthy).after(SECOND)));
    assert!(matches!(created(&driver).await.unwrap().start().await, Err(Error::Unhealthy)));
    let abandoned = tokio::time::timeout(SECOND / 2, created(&driver).await.unwrap().start()).await;
    assert!(abandoned.is_err());
    assert!(driver.ledger().is_clean());
    assert_eq!(driver.ledger().created, 2);
}

#[tokio::test(start_paused = true)]
async fn removal_takes_its_time_and_shutdown_waits_for_it() {
    let driver = ScriptedDriver::new().with("fn", Script::new(programs::hang()).remove_takes(SECOND));
    let running = started(&driver).await;
    let exit = running.exit;
    drop(running.guard);
    assert_eq!(exit.await, Exit::Code(137));
    assert_eq!(driver.ledger().existing(), 1);
    assert_eq!(driver.shutdown(SECOND / 2).await, 1);
    assert_eq!(driver.shutdown(SECOND).await, 0);
    assert!(driver.ledger().is_clean());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_says_so_and_may_take_its_containers_along() {
    let driver = playing(programs::hang());
    let running = started(&driver).await;
    driver.set_away(true);
    assert!(driver.ping().await.unwrap_err().is_engine_away());
    assert!(created(&driver).await.err().unwrap().is_engine_away());
    driver.kill_all(Exit::OutOfMemory);
    assert_eq!(running.exit.await, Exit::OutOfMemory);
    driver.set_away(false);
    driver.leave_orphans(3);
    assert_eq!(driver.remove_orphans().await.unwrap(), 3);
    assert_eq!(driver.remove_orphans().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn pipes_are_bounded_until_the_reader_is_gone() {
    let driver = playing(programs::flood());
    let mut running = started(&driver).await;
    running.stdin.write_all(b"x").await.unwrap();
    let first = running.output.next().await.unwrap().unwrap();
    assert_eq!(first, Frame::Stdout(Bytes::from(vec![b'x'; 32 * 1024])));
    drop(running.output);
    drop(running.guard);
    assert_eq!(running.exit.await, Exit::Code(137));

    let driver = playing(programs::hang());
    let mut running = started(&driver).await;
    let full = running.stdin.write_all(&[0; 128 * 1024]);
    assert!(tokio::time::timeout(SECOND, full).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_program_can_close_its_output_or_lose_its_connection() {
    let driver = playing(Program::new(|mut io| async move {
        io.stderr(io.env("FN_PATH").unwrap_or_default().to_owned()).await;
        io.close_output();
        io.stdin.read_to_end(&mut Vec::new()).await.ok();
        Exit::Code(3)
    }));
    let mut running = started(&driver).await;
    let frame = running.output.next().await.unwrap().unwrap();
    assert_eq!(frame, Frame::Stderr(Bytes::from("/r")));
    assert!(running.output.next().await.is_none());
    assert!(futures_util::poll!(&mut running.exit).is_pending());
    running.stdin.shutdown().await.unwrap();
    assert_eq!(running.exit.await, Exit::Code(3));

    let driver = playing(Program::new(|mut io| async move {
        io.cut().await;
        std::future::pending().await
    }));
    let mut running = started(&driver).await;
    assert!(running.output.next().await.unwrap().unwrap_err().is_cut());
    assert!(running.output.next().await.is_none());
    assert!(running.stdin.write_all(b"x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn samples_come_from_either_source_while_the_container_runs() {
    let driver = playing(programs::exit_after(3 * SECOND + SECOND / 2, Exit::Code(0)));
    let running = started(&driver).await;
    let StatsSource::Direct(mut sampler) = running.stats else { panic!("not direct") };
    sampler.mark();
    let sample = sampler.sample().unwrap().metrics;
    assert_eq!((sample.cpu_total, sample.cpu_user), (1, 1));
    assert_eq!(sampler.sample().unwrap().metrics.cpu_user, 0);
    running.exit.await;
    assert!(sampler.sample().is_none());

    let program = programs::exit_after(3 * SECOND + SECOND / 2, Exit::Code(0));
    driver.script("fn", Script::new(program).stats(Stats::Stream(SECOND)));
    let running = started(&driver).await;
    let StatsSource::Stream(samples) = running.stats else { panic!("not a stream") };
    assert_eq!(samples.count().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_that_ran_at_once_is_counted_on_many_threads() {
    let driver = playing(programs::hang());
    let starts = (0..8).map(|_| started(&driver));
    let running = futures_util::future::join_all(starts).await;
    driver.until(|ledger| ledger.live() == 8).await;
    drop(running);
    let ledger = driver.until(Ledger::is_clean).await;
    assert_eq!((ledger.max_live, ledger.started, ledger.removed), (8, 8, 8));
}

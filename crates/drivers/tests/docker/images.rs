//! Which image a reference names, while people change that.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use hearth_drivers::{Driver, Error, Image};
use tokio::time::{Instant, sleep};
use ulid::Ulid;

use crate::support::{Engine, docker, need_fixture, try_docker, within};

/// An image of its own under a name of its own, removed when dropped.
pub(crate) struct Built {
    pub(crate) name: String,
    pub(crate) id: String,
}

impl Built {
    pub(crate) fn new(tag: &str, dockerfile: &str) -> Self {
        let nonce = Ulid::generate();
        let name = format!("hearth-test/{}:{tag}", nonce.to_string().to_lowercase());
        let id = Self::build(&name, dockerfile, nonce);
        Self { name, id }
    }

    /// A new image under the same name.
    pub(crate) fn rebuild(&mut self, dockerfile: &str) {
        self.id = Self::build(&self.name, dockerfile, Ulid::generate());
    }

    fn build(name: &str, dockerfile: &str, nonce: Ulid) -> String {
        need_fixture();
        let mut build = Command::new("docker")
            .args(["build", "-q", "-t", name, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let dockerfile = format!("{dockerfile}\nLABEL hearth.nonce={nonce}\n");
        build.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        try_docker(&["rmi", "-f", &self.name]);
        try_docker(&["rmi", "-f", &self.id]);
    }
}

/// Asks until the answer is as expected: events take a moment.
async fn until_named(engine: &Engine, reference: &str, expected: impl Fn(&Result<Image, Error>) -> bool) {
    let begin = Instant::now();
    loop {
        let answer = within(engine.driver.image(reference)).await;
        if expected(&answer) {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{answer:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_build_under_a_tag_is_seen_and_a_removed_one_is_missed() {
    let engine = Engine::connect().await;
    let mut image = Built::new("v1", "FROM hearth/fixture:test");
    let first = image.id.clone();
    assert_eq!(engine.driver.image(&image.name).await.unwrap().id, first);
    image.rebuild("FROM hearth/fixture:healthy");
    assert_ne!(image.id, first);
    until_named(&engine, &image.name, |answer| {
        answer.as_ref().is_ok_and(|found| found.id == image.id && found.has_healthcheck)
    })
    .await;
    docker(&["tag", &first, &image.name]);
    until_named(&engine, &image.name, |answer| answer.as_ref().is_ok_and(|found| found.id == first)).await;
    docker(&["rmi", "-f", &image.name]);
    until_named(&engine, &image.name, |answer| answer.as_ref().is_err_and(Error::is_image)).await;
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_of_an_image_that_was_removed_meanwhile_is_one_of_the_image_its_name_has_now() {
    let engine = Engine::connect().await;
    let mut image = Built::new("v1", "FROM hearth/fixture:test");
    let spec = engine.spec(&image.name, &[("FN_FORMAT", "default")]).await;
    docker(&["rmi", "-f", &image.name]);
    image.rebuild("FROM hearth/fixture:test");
    assert_ne!(spec.image.id, image.id);
    let running = within(engine.driver.create(spec.clone()).await.unwrap().start()).await.unwrap();
    assert_eq!(docker(&["inspect", "-f", "{{.Image}}", running.guard.id()]), image.id);
    drop(running);
    // An image of which there is a container would lose no more than its name.
    within(Box::pin(async {
        while engine.existing().await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    }))
    .await;

    let spec = engine.spec(&image.name, &[]).await;
    docker(&["rmi", "-f", &image.name]);
    let error = within(engine.driver.create(spec)).await.err().unwrap();
    assert!(error.is_image(), "{error:?}");
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_cannot_be_are_refused_without_asking() {
    let engine = Engine::connect().await;
    let begin = Instant::now();
    for name in ["", "UPPER", "a b", "../x", "x:"] {
        assert!(matches!(engine.driver.image(name).await, Err(Error::InvalidReference { .. })), "{name:?}");
    }
    assert!(begin.elapsed() < Duration::from_millis(100));
    engine.finish().await;
}

/// Engines differ in which names they refuse of those that can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_the_engine_refuses_is_the_images_fault() {
    let engine = Engine::connect().await;
    let error = within(engine.driver.image("UPPER/x")).await.unwrap_err();
    assert!(error.is_image(), "{error:?}");
    engine.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_of_an_image_are_seen_also_where_another_image_declares_them() {
    let engine = Engine::connect().await;
    assert!(!engine.driver.image("hearth/fixture:test").await.unwrap().has_volume);
    let base = Built::new("base", "FROM hearth/fixture:test\nVOLUME /data");
    let image = Built::new("v1", &format!("FROM {}", base.name));
    assert!(engine.driver.image(&base.name).await.unwrap().has_volume);
    assert!(engine.driver.image(&image.name).await.unwrap().has_volume);
    engine.finish().await;
}

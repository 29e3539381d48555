//! Images that are not there, change, and go.

use ulid::Ulid;

use crate::support::{APP, Engine, FIXTURE, PATIENCE, Server, eventually};

/// A name that only this test uses; the image goes with it.
struct Image {
    name: String,
    engine: Engine,
}

impl Image {
    async fn new() -> Self {
        // Nobody listens there, so that one that is not here is nowhere.
        let name = format!("127.0.0.1:1/hearth-e2e/{}:v", Ulid::generate().to_string().to_lowercase());
        Self { name, engine: Engine::shared().await }
    }

    async fn build(&self, mark: &str) {
        self.engine.build(&self.name, &format!("ENV MARK={mark}")).await;
    }

    async fn remove(&self) {
        self.engine.docker(&["rmi", "--force", &self.name]).await;
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.engine.forget_image(&self.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_rebuilt_under_its_tag_runs_from_the_next_call_on() {
    let server = Server::start().await;
    let image = Image::new().await;
    for format in ["http", "default"] {
        image.build("first").await;
        let path = format!("/{format}");
        server.route(&path).format(format).image(&image.name).create().await;
        for mark in ["first", "second", "third"] {
            image.build(mark).await;
            eventually(PATIENCE, "the engine has told of it", async || {
                let reply = server.run(&path, "env").await;
                assert_eq!(reply.status, 200, "{reply:?}");
                if reply.text().contains(&format!("MARK={mark}\n")) { Ok(()) } else { Err(reply.text().to_owned()) }
            })
            .await;
        }
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_removed_between_calls_is_told_and_found_again_once_it_is_back() {
    let server = Server::start().await;
    let image = Image::new().await;
    image.build("here").await;
    for format in ["http", "default"] {
        let path = format!("/{format}");
        server.route(&path).format(format).image(&image.name).create().await;
        server.run(&path, "body x").await.is_answer("x");
    }
    image.remove().await;
    let gone = eventually(PATIENCE, "the engine has told of it", async || {
        let reply = server.run("/default", "body x").await;
        if reply.status == 502 { Ok(reply) } else { Err(reply.status) }
    })
    .await;
    let message = gone.message();
    assert!(message.starts_with(&format!("Failed to pull image '{}': ", image.name)), "{message}");
    let record = server.record(&gone).await;
    record.never_ran("error", "image", &message);
    image.build("back").await;
    for path in ["/http", "/default"] {
        eventually(PATIENCE, "it is tried again", async || {
            let reply = server.run(path, "env").await;
            if reply.status == 200 && reply.text().contains("MARK=back\n") { Ok(()) } else { Err(format!("{reply:?}")) }
        })
        .await;
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_is_none_and_a_registry_that_is_not_there() {
    let server = Server::start().await;
    server.route("/none").image("Upper/Case").create().await;
    let none = server.run("/none", "body x").await;
    assert_eq!(none.status, 400);
    let message = none.message();
    assert!(message.starts_with("Failed to pull image 'Upper/Case': "), "{message}");
    server.record(&none).await.never_ran("error", "image", &message);

    server.route("/away").image("127.0.0.1:1/some/image").create().await;
    for _ in 0..3 {
        let away = server.run("/away", "body x").await;
        assert_eq!(away.status, 502);
        let message = away.message();
        assert!(message.starts_with("Failed to pull image '127.0.0.1:1/some/image': "), "{message}");
        assert!(away.took < PATIENCE, "{away:?}");
        server.record(&away).await.never_ran("error", "image", &message);
    }
    // Mended by pointing the route at an image that is there.
    let route = format!("/v1/apps/{APP}/routes/away");
    server.manage("PATCH", &route, &serde_json::json!({ "route": { "image": FIXTURE } })).await;
    server.run("/away", "body x").await.is_answer("x");
    server.finish().await;
}

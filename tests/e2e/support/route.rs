//! Routes of the fixture.

use serde_json::{Map, Value, json};

use super::docker::FIXTURE;
use super::server::{APP, Server};

/// A route in the making: the fixture, in the format `http`, unless something else is said.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    server: &'a Server,
    app: String,
    fields: Map<String, Value>,
}

impl<'a> Route<'a> {
    pub(crate) fn new(server: &'a Server, path: &str) -> Self {
        let fields = json!({
            "path": path, "image": FIXTURE, "format": "http", "memory": 64, "timeout": 120, "idle_timeout": 60,
        });
        let Value::Object(fields) = fields else { unreachable!("an object was written") };
        Self { server, app: APP.to_owned(), fields }
    }

    pub(crate) fn app(mut self, app: &str) -> Self {
        app.clone_into(&mut self.app);
        self
    }

    pub(crate) fn format(self, format: &str) -> Self {
        self.with("format", format)
    }

    pub(crate) fn image(self, image: &str) -> Self {
        self.with("image", image)
    }

    /// In seconds.
    pub(crate) fn timeout(self, seconds: u32) -> Self {
        self.with("timeout", seconds)
    }

    /// In seconds.
    pub(crate) fn idle_timeout(self, seconds: u32) -> Self {
        self.with("idle_timeout", seconds)
    }

    /// In MiB.
    pub(crate) fn memory(self, mb: u32) -> Self {
        self.with("memory", mb)
    }

    /// A variable of its containers.
    pub(crate) fn config(mut self, name: &str, value: &str) -> Self {
        let config = self.fields.entry("config").or_insert_with(|| json!({}));
        config[name] = value.into();
        self
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// Creates it, and its app when there is none.
    pub(crate) async fn create(self) {
        let body = json!({ "route": self.fields }).to_string();
        let reply = self.server.post(&format!("/v1/apps/{}/routes", self.app)).body(body).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

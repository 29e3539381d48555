//! The engine, through its own command line: what the tests do to containers and images behind the server's back.

use std::process::Output;

use tokio::process::Command;
use tokio::sync::OnceCell;

/// The function that does what it is told (docker/functions/README.md).
pub(crate) const FIXTURE: &str = "hearth/fixture:test";

const IMAGES: [&str; 3] = [FIXTURE, "hearth/fixture:healthy", "hearth/fixture:unhealthy"];

/// One Docker engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Engine {
    /// Where it is, when it is not the one that everybody shares.
    pub(crate) host: Option<String>,
}

impl Engine {
    /// The engine that all tests share, with the images of the fixture.
    pub(crate) async fn shared() -> Self {
        static READY: OnceCell<()> = OnceCell::const_new();
        let engine = Self::default();
        READY.get_or_init(|| engine.has_images()).await;
        engine
    }

    /// Runs a `docker` command and gives what it printed.
    pub(crate) async fn docker(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments).await;
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) async fn try_docker(&self, arguments: &[&str]) -> Output {
        self.command()
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await
            .expect("docker is installed: scripts/docker.sh")
    }

    /// The containers of a server, in whatever state.
    pub(crate) async fn containers(&self, server: &str) -> Vec<String> {
        let label = format!("label=hearth.server={server}");
        let ids = self.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]).await;
        ids.lines().map(str::to_owned).collect()
    }

    /// Removes the containers of a server; for when a test is over, however it ended.
    pub(crate) fn sweep(&self, server: &str) {
        let label = format!("label=hearth.server={server}");
        let listed = self.command().into_std().args(["ps", "--all", "--quiet", "--filter", &label]).output();
        let Ok(listed) = listed else { return };
        let ids = String::from_utf8_lossy(&listed.stdout);
        if !ids.is_empty() {
            let removed = self.command().into_std().args(["rm", "--force", "--volumes"]).args(ids.lines()).output();
            drop(removed);
        }
    }

    /// Removes a container, if it is there; for when a test is over, however it ended.
    pub(crate) fn remove_container(&self, id: &str) {
        drop(self.command().into_std().args(["rm", "--force", "--volumes", id]).output());
    }

    /// Removes an image, if it is there; for when a test is over, however it ended.
    pub(crate) fn forget_image(&self, name: &str) {
        drop(self.command().into_std().args(["rmi", "--force", name]).output());
    }

    /// Makes an image of the fixture with more lines in its Dockerfile.
    pub(crate) async fn build(&self, tag: &str, lines: &str) {
        let directory = tempfile::tempdir().unwrap();
        let dockerfile = format!("FROM {FIXTURE}\n{lines}\n");
        std::fs::write(directory.path().join("Dockerfile"), dockerfile).unwrap();
        self.docker(&["build", "--quiet", "--tag", tag, directory.path().to_str().unwrap()]).await;
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(self.host.iter().flat_map(|host| ["--host", host]));
        command
    }

    async fn has_images(&self) {
        let output = self.try_docker(&[&["image", "inspect", "--format", "{{.Id}}"], &IMAGES[..]].concat()).await;
        if output.status.success() {
            return;
        }
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if words.contains("No such image") {
            panic!("the images of the fixture are missing; build them with scripts/functions.sh fixture\n{words}");
        }
        panic!("no Docker engine answers; scripts/docker.sh starts one\n{words}");
    }
}

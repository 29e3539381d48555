//! A reader at the root of a clone, with a server that runs, who types what a document says into one shell.

use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::blocks::{Block, Kind, Note};
use crate::expected::is_as_shown;
use crate::root;

/// What no server here takes to start, `make run` of a clone that is built included.
const PATIENCE: Duration = Duration::from_secs(120);
/// Stands in the output before that of each command, with the line of the command behind it.
const MARK: char = '\u{1e}';
/// What every reader has: an error in an answer is a failure, and what was built is known.
const PRELUDE: &str = r#"
set -euo pipefail
exec 2>&1
curl() { command curl --silent --show-error --fail-with-body "$@"; }
docker() {
    local word previous=
    if [[ ${1:-} == build ]]; then
        for word in "$@"; do
            [[ $previous != -t && $previous != --tag ]] || printf '%s\n' "$word" >>"$HOME/built"
            previous=$word
        done
    fi
    command docker "$@"
}
"#;
/// What `make run` deploys.
const SAMPLES: &str = r#"
for sample in hello=http crunch=json upper=default; do
    curl --output /dev/null --request PUT "localhost:8080/v1/apps/demo/routes/${sample%=*}" \
        --data '{"route": {"image": "hearth/'"${sample%=*}"'", "format": "'"${sample#*=}"'"}}'
done
"#;

/// Where a document's commands are run. What they leave is gone with it.
#[derive(Debug)]
pub(crate) struct Session {
    home: TempDir,
    port: u16,
    admin_port: u16,
    has_server: bool,
}

/// A process that goes on meanwhile, and what it prints.
#[derive(Debug)]
struct Background {
    child: Child,
    log: PathBuf,
}

// === impl Session ===

impl Session {
    /// With a server, unless the document itself starts one.
    pub(crate) fn new() -> Self {
        Self { has_server: true, ..Self::without_server() }
    }

    pub(crate) fn without_server() -> Self {
        let home = tempfile::tempdir().unwrap();
        let programs = home.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hearth"), programs.join("hearth")).unwrap();
        let [port, admin_port] = free_ports();
        Self { home, port, admin_port, has_server: false }
    }

    /// Runs the blocks, and says of the first that is not as it should be where it is and what came out.
    pub(crate) fn run(&self, document: &str, blocks: &[&Block]) -> Result<(), String> {
        self.run_blocks(document, blocks)?;
        match self.containers().as_str() {
            "" => Ok(()),
            left => Err(format!("{document}: containers are left of its server: {left}")),
        }
    }

    fn run_blocks(&self, document: &str, blocks: &[&Block]) -> Result<(), String> {
        let serves = blocks.iter().position(|block| matches!(block.note, Some(Note::Serves(_))));
        let Some(serves) = serves else {
            let server = self.has_server.then(|| self.serve()).transpose()?;
            let first = if self.has_server { SAMPLES } else { "" };
            return self.type_in(document, first, blocks).and_then(|()| server.map_or(Ok(()), Background::end));
        };
        let (before, [serving, after @ ..]) = blocks.split_at(serves) else { unreachable!("it is one of them") };
        self.type_in(document, "", before)?;
        let server = self.start_serving(document, serving)?;
        self.type_in(document, "", after)?;
        server.end().map_err(|failure| format!("{document}:{}: {failure}", serving.line))
    }

    fn serve(&self) -> Result<Background, String> {
        let server = Background::start(self.command("hearth").arg("serve"), self.home.path().join("server.log"));
        // `hearth ready` asks where a server with these variables listens.
        server.until("it is ready", || self.command("hearth").arg("ready").output().unwrap().status.success())
    }

    fn start_serving(&self, document: &str, block: &Block) -> Result<Background, String> {
        let Some(Note::Serves(until)) = &block.note else { unreachable!("it serves") };
        let mut shell = self.command("bash");
        shell.args(["-euo", "pipefail", "-c", &self.adapted(&block.text)]);
        let server = Background::start(&mut shell, self.home.path().join("serving.log"));
        let seen = server.log.clone();
        let has_come = || std::fs::read_to_string(&seen).unwrap_or_default().contains(until);
        server.until(until, has_come).map_err(|failure| format!("{document}:{}: {failure}", block.line))
    }

    /// Types the blocks into one shell, which ends at the first failure.
    fn type_in(&self, document: &str, first: &str, blocks: &[&Block]) -> Result<(), String> {
        let mut script = format!("{PRELUDE}{first}");
        let mut shown = Vec::new();
        for block in blocks {
            block.write_to(&mut script, &mut shown);
        }
        let output = self.command("bash").arg("-c").arg(self.adapted(&script)).output().unwrap();
        self.remove_images();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let parts: Vec<(usize, &str)> = text.split(MARK).skip(1).map(part).collect();
        if !output.status.success() {
            let (line, came) = parts.last().copied().unwrap_or((0, &text));
            return Err(format!("{document}:{line}: {}, having printed\n{came}", output.status));
        }
        for (line, came) in parts {
            let expected = shown.iter().find(|(of, _)| *of == line).map(|(_, output)| output);
            let expected = expected.map(|expected| self.adapted(expected));
            if let Some(expected) = expected.filter(|expected| !is_as_shown(expected, came)) {
                return Err(format!("{document}:{line}: the document shows\n{expected}\nand this came out\n{came}"));
            }
        }
        Ok(())
    }

    /// The ports of the documents are those of this session, and the image of the server is the one for tests.
    fn adapted(&self, text: &str) -> String {
        let (port, admin) = (self.port, self.admin_port);
        let text = text.replace("hearth/server\n", "hearth/server:test\n");
        ["localhost", "127.0.0.1"].iter().fold(text, |text, host| {
            text.replace(&format!("{host}:8080"), &format!("127.0.0.1:{port}"))
                .replace(&format!("{host}:8081"), &format!("127.0.0.1:{admin}"))
        })
    }

    /// At the root of the clone, with a home of its own and the settings of its server.
    fn command(&self, program: &str) -> Command {
        let home = self.home.path();
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(home.join("bin")).chain(std::env::split_paths(&paths));
        let paths = std::env::join_paths(paths).unwrap();
        let mut command = Command::new("env");
        // Found by the path that is set here.
        command.arg(program);
        command.current_dir(root()).stdin(Stdio::null()).env("PATH", paths).env("HOME", home);
        let listens = format!("127.0.0.1:{}", self.admin_port);
        command.env("FN_DATA_DIR", home.join("data")).env("FN_ADMIN_LISTEN", listens).env("FN_MEMORY", "2GiB");
        command.env("PORT", self.port.to_string()).env("API_URL", format!("http://127.0.0.1:{}", self.port));
        // Built the way tests are; a reader's build would take minutes, and be another.
        command.env("HEARTH_BINARY", env!("CARGO_BIN_EXE_hearth"));
        // Of what is run inside a test, cargo would take these to be about itself.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") || name.starts_with("NEXTEST"))
        {
            command.env_remove(name);
        }
        for (name, directory) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let usual = || Some(Path::new(&std::env::var_os("HOME")?).join(directory).into_os_string());
            command.envs(std::env::var_os(name).or_else(usual).map(|directory| (name, directory)));
        }
        command.envs(std::env::var_os("CARGO_TARGET_DIR").map(|directory| ("CARGO_TARGET_DIR", directory)));
        command
    }

    /// Those that are left of its server.
    fn containers(&self) -> String {
        let Ok(id) = std::fs::read_to_string(self.home.path().join("data/server-id")) else { return String::new() };
        let label = format!("label=hearth.server={}", id.trim());
        let listed = Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &label]).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    }

    fn remove_images(&self) {
        let Ok(built) = std::fs::read_to_string(self.home.path().join("built")) else { return };
        drop(Command::new("docker").args(["image", "rm", "--force"]).args(built.lines()).output());
    }
}

/// Two ports that nobody listens on.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// What comes behind a mark: a line of the document, and an output.
fn part(text: &str) -> (usize, &str) {
    let (line, output) = text.split_once('\n').unwrap_or((text, ""));
    (line.parse().unwrap_or_default(), output)
}

// === impl Block ===

impl Block {
    /// Adds its commands to a script, and what they are to print to `shown`.
    fn write_to(&self, script: &mut String, shown: &mut Vec<(usize, String)>) {
        let fails = self.note == Some(Note::Fails);
        let Kind::Transcript(steps) = &self.kind else {
            return add(script, self.line, &self.text, fails);
        };
        for step in steps {
            add(script, step.line, &step.command, fails);
            shown.push((step.line, step.output.clone()));
        }
    }
}

fn add(script: &mut String, line: usize, commands: &str, fails: bool) {
    writeln!(script, r"printf '\036{line}\n'").unwrap();
    if fails {
        // The shell forgets -e in a condition.
        writeln!(script, "set +e\n(set -e\n{commands})\ncode=$?\nset -e").unwrap();
        writeln!(script, "if ((code == 0)); then echo 'this was to fail'; exit 1; fi").unwrap();
    } else {
        script.push_str(commands);
        script.push('\n');
    }
}

// === impl Background ===

impl Background {
    /// In a process group of its own, as a terminal would have it.
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let output = File::create(&log).unwrap();
        let errors = output.try_clone().unwrap();
        let child = command.process_group(0).stdout(output).stderr(errors).spawn().unwrap();
        Self { child, log }
    }

    fn until(mut self, what: &str, mut come: impl FnMut() -> bool) -> Result<Self, String> {
        let begin = Instant::now();
        while !come() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begin.elapsed() > PATIENCE {
                return Err(format!("{ended:?}, and not yet '{what}':\n{}", self.said()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ctrl-C, upon which it has to end in good order.
    fn end(mut self) -> Result<(), String> {
        kill_process_group(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = self.child.wait().unwrap();
        // make ends by the signal, once what it runs has ended.
        let interrupted = status.signal() == Some(Signal::INT.as_raw());
        if status.success() || interrupted { Ok(()) } else { Err(format!("at its end {status}:\n{}", self.said())) }
    }
}

impl Drop for Background {
    /// When a block has failed. What is still there ends like a server whose caller is gone.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            kill_process_group(Pid::from_child(&self.child), Signal::TERM).ok();
            self.child.wait().ok();
        }
    }
}

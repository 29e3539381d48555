//! Who functions tell that they began and ended, outside of everything that is killed.
//!
//! It is a process of its own, because it lives in the network of the private engine, where the functions can reach it;
//! it also keeps that network alive while the engine is away. A function goes on only once its line is written down.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hearth_models::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

const PORT: u16 = 7000;
/// A line is sent in one piece, so it is there or will never be.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any line.
const LONGEST: u64 = 1000;

/// The witness as the harness knows it. Ends with it, however that ends.
#[derive(Debug)]
pub(crate) struct Witness {
    process: Child,
    notes: PathBuf,
}

/// What one function told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) attempt: u32,
    pub(crate) moment: Moment,
    /// Of the body that the function was given.
    pub(crate) digest: u64,
    /// When the witness heard it.
    pub(crate) at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Began,
    Ended,
}

// === impl Witness ===

impl Witness {
    /// Starts it in a new network.
    pub(crate) async fn start(directory: &Path) -> Result<Self> {
        let notes = directory.join("witness");
        File::create(&notes)?;
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net"])
            .arg(std::env::current_exe()?)
            .arg("witness")
            .arg(&notes)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .context("cannot start setpriv and unshare")?;
        let mut ready = [0];
        let stdout = process.stdout.as_mut().context("it has no stdout")?;
        timeout(PATIENCE, stdout.read_exact(&mut ready)).await?.context("no network of its own; it takes root")?;
        Ok(Self { process, notes })
    }

    /// The file that is its network.
    pub(crate) fn network(&self) -> Result<String> {
        Ok(format!("/proc/{}/ns/net", self.process.id().context("the witness has ended")?))
    }

    /// What a function in a container with this gateway has to do to tell how far it is.
    pub(crate) fn script(gateway: &str, works: Duration) -> String {
        let (address, works) = (format!("{gateway}:{PORT}"), works.as_millis());
        format!("tell {address} began; sleep {works}; tell {address} ended; body done")
    }

    /// All that it was told, by call.
    pub(crate) fn notes(&self) -> Result<HashMap<String, Vec<Note>>> {
        let text = std::fs::read_to_string(&self.notes)?;
        let mut notes: HashMap<String, Vec<Note>> = HashMap::new();
        for line in text.lines() {
            let (call, note) = parse(line).with_context(|| format!("a note that makes no sense: {line}"))?;
            notes.entry(call.to_owned()).or_default().push(note);
        }
        Ok(notes)
    }
}

fn parse(line: &str) -> Option<(&str, Note)> {
    let mut words = line.split(' ');
    let (call, attempt) = (words.next()?, words.next()?.parse().ok()?);
    let moment = match words.next()? {
        "began" => Moment::Began,
        "ended" => Moment::Ended,
        _ => return None,
    };
    let digest = u64::from_str_radix(words.next()?, 16).ok()?;
    let at = Timestamp::from_millis(words.next()?.parse().ok()?);
    words.next().is_none().then_some((call, Note { attempt, moment, digest, at }))
}

/// The witness as a process. Ends when it is killed.
pub(crate) async fn serve(notes: &Path) -> Result<ExitCode> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    stdout().write_all(b".")?;
    stdout().flush()?;
    let mut functions = JoinSet::new();
    loop {
        tokio::select! {
            function = listener.accept() => {
                functions.spawn(note(function?.0, File::options().append(true).open(notes)?));
            }
            Some(_noted) = functions.join_next() => {}
        }
    }
}

/// A function that is killed meanwhile has told nothing.
async fn note(mut function: TcpStream, mut notes: File) -> Result<()> {
    let mut line = Vec::new();
    let (reader, mut writer) = function.split();
    timeout(PATIENCE, BufReader::new(reader.take(LONGEST)).read_until(b'\n', &mut line)).await??;
    ensure!(line.pop() == Some(b'\n'), "half a line");
    line.extend_from_slice(format!(" {}\n", Timestamp::now().as_millis()).as_bytes());
    notes.write_all(&line)?;
    writer.write_all(b".").await?;
    Ok(())
}

/// The 64-bit FNV-1a hash of nothing.
const NOTHING: u64 = 0xcbf2_9ce4_8422_2325;

/// The 64-bit FNV-1a hash, by which functions tell what body they got.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    digests(bytes).last().unwrap_or(NOTHING)
}

/// Those of all beginnings, from none of it to the whole.
pub(crate) fn digests(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let longer = bytes.iter().scan(NOTHING, |hash, &byte| {
        *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Some(*hash)
    });
    std::iter::once(NOTHING).chain(longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_four_words_and_a_time() {
        let note = Note { attempt: 2, moment: Moment::Began, digest: NOTHING, at: Timestamp::from_millis(7) };
        assert_eq!(parse("01AB 2 began cbf29ce484222325 7"), Some(("01AB", note)));
        for line in ["", "01AB - began 0 7", "01AB 2 slept 0 7", "01AB 2 ended", "01AB 2 ended 0", "01AB 2 ended 0 7 0"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(digest(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(digests(b"foo").collect::<Vec<_>>(), ["", "f", "fo", "foo"].map(|text| digest(text.as_bytes())));
    }
}

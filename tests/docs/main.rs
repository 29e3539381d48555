//! What the documents tell a reader to type is typed here, in their order, against a real server with a real engine; what
//! they show of a file is in that file. A block that is neither run nor excused, with its reason, fails. CONTRIBUTING.md
//! tells writers what they have to do.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests too")]

mod blocks;
mod expected;
mod session;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use blocks::{Block, Kind, Note, blocks, links};
use session::Session;

/// Blocks that are not run, in all documents. Each says why in its document; one more is a decision, made here.
const EXCUSED: usize = 9;

/// How a line begins that is a command. A block that is said to be none has no such line.
const COMMANDS: [&str; 12] = [
    "$ ",
    "curl ",
    "docker ",
    "hearth serve",
    "hearth check",
    "hearth call",
    "hearth clean",
    "make ",
    "cargo ",
    "systemctl ",
    "scripts/",
    "sudo ",
];

/// A test for each document, and a list of them.
macro_rules! documents {
    ($($test:ident: $path:literal,)*) => {
        const DOCUMENTS: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $test() {
                check($path);
            }
        )*
    };
}

documents! {
    readme: "README.md",
    architecture: "ARCHITECTURE.md",
    contributing: "CONTRIBUTING.md",
    changelog: "CHANGELOG.md",
    api_v2: "docs/api-v2.md",
    asynchronous_calls: "docs/async.md",
    benchmarks: "docs/benchmarks.md",
    concepts: "docs/concepts.md",
    configuration: "docs/configuration.md",
    embedding: "docs/embedding.md",
    failures: "docs/failures.md",
    formats: "docs/formats.md",
    installing: "docs/install.md",
    limits: "docs/limits.md",
    metrics: "docs/metrics.md",
    migration: "docs/migration.md",
    operations: "docs/operations.md",
    security: "docs/security.md",
    stats_and_logs: "docs/stats-and-logs.md",
    tracing: "docs/tracing.md",
    the_sample_functions: "examples/functions/README.md",
    the_fixture: "docker/functions/README.md",
    compose: "deploy/compose/README.md",
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// Runs a document's commands, and holds its excerpts to their files.
fn check(document: &str) {
    let blocks = blocks(document, &read(document));
    for block in &blocks {
        block.is_sound(document);
    }
    let run: Vec<&Block> = blocks.iter().filter(|block| block.is_run()).collect();
    if !run.is_empty() {
        Session::new().run(document, &run).unwrap_or_else(|failure| panic!("{failure}"));
    }
    println!("{document}: {} blocks, {} of them run", blocks.len(), run.len());
}

impl Block {
    /// Whether it is what it says it is, as far as that can be seen without running it.
    fn is_sound(&self, document: &str) {
        let here = format!("{document}:{}", self.line);
        match (&self.kind, &self.note) {
            (Kind::Source(language), Some(Note::From(file))) => {
                let text = read(file);
                assert!(text.contains(self.text.trim_end()), "{here}: this {language} is not in {file}");
            }
            (Kind::Source(language), _) => {
                panic!("{here}: say of which file this {language} is, before it: <!-- from PATH -->")
            }
            (Kind::Json, _) => {
                let parsed: Result<serde_json::Value, _> = serde_json::from_str(&self.text);
                assert!(parsed.is_ok(), "{here}: this is no JSON: {parsed:?}");
            }
            (Kind::Picture, _) => {
                let command = self.text.lines().find(|line| COMMANDS.iter().any(|begin| line.starts_with(begin)));
                assert!(command.is_none(), "{here}: {command:?} is a command: let the block be sh or console");
            }
            (Kind::Commands | Kind::Transcript(_), Some(Note::NotRun(reason))) => {
                assert!(reason.len() > 10, "{here}: why is it not run?");
                self.names_targets_that_exist(&here);
            }
            (Kind::Commands | Kind::Transcript(_), _) => {}
        }
    }

    /// Of what is not run, this much can be seen all the same.
    fn names_targets_that_exist(&self, here: &str) {
        let makefile = read("Makefile");
        for line in self.text.lines() {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let mut words = line.split_whitespace();
            if words.next() == Some("make") {
                let target = words.find(|word| !word.contains('=')).unwrap_or_default();
                assert!(makefile.contains(&format!("\n{target}:")), "{here}: there is no make {target}");
            }
        }
    }
}

fn documents_below(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = directory.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            documents_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(path);
        }
    }
}

#[test]
fn every_document_has_its_test_and_what_is_not_run_is_counted() {
    let mut found = BTreeSet::new();
    for directory in ["docs", "examples", "docker", "deploy"] {
        documents_below(Path::new(directory), &mut found);
    }
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = PathBuf::from(entry.unwrap().file_name());
        if name.extension().is_some_and(|extension| extension == "md") {
            found.insert(name);
        }
    }
    let listed: BTreeSet<PathBuf> = DOCUMENTS.iter().map(PathBuf::from).collect();
    assert_eq!(listed, found, "the list of documents, above, against those there are");

    let all: Vec<Block> = DOCUMENTS.iter().flat_map(|document| blocks(document, &read(document))).collect();
    let (run, excused) = (
        all.iter().filter(|block| block.is_run()).count(),
        all.iter().filter(|block| block.excuse().is_some()).count(),
    );
    println!(
        "{} documents, {} blocks: {run} run, {excused} not run, {} held to files or parsed",
        DOCUMENTS.len(),
        all.len(),
        all.len() - run - excused
    );
    for document in DOCUMENTS {
        for excuse in blocks(document, &read(document)).iter().filter_map(Block::excuse) {
            println!("  not run: {document}:{excuse}");
        }
    }
    assert!(excused <= EXCUSED, "{excused} blocks are not run; EXCUSED says {EXCUSED}");
}

#[test]
fn what_documents_link_to_is_there() {
    for document in DOCUMENTS {
        let directory = Path::new(document).parent().unwrap();
        for link in links(&read(document)) {
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { PathBuf::from(document) } else { directory.join(path) };
            assert!(root().join(&target).exists(), "{document} links to {link}");
            if !heading.is_empty() {
                let text = read(target.to_str().unwrap());
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let names = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
                assert!(headings.map(names).any(|name| name == heading), "{document} links to {link}");
            }
        }
    }
}

/// A document whose one block is this.
fn fails(text: &str) -> String {
    let blocks = blocks("broken.md", text);
    let run: Vec<&Block> = blocks.iter().collect();
    Session::without_server().run("broken.md", &run).unwrap_err()
}

#[test]
fn a_broken_snippet_is_found_with_its_line_and_its_output() {
    let failure = fails("Do this:\n\n```sh\nx=5\necho $x\n```\n\nand\n\n```sh\necho seen\nfalse\necho unseen\n```\n");
    assert!(failure.starts_with("broken.md:10: "), "{failure}");
    assert!(failure.contains("seen") && !failure.contains("unseen"), "{failure}");
    let failure = fails("<!-- fails -->\n```sh\ntrue\n```\n");
    assert!(failure.starts_with("broken.md:2: ") && failure.contains("was to fail"), "{failure}");
    let failure = fails("```console\n$ echo 12\n12\n$ echo 123\n124\n```\n");
    assert!(failure.starts_with("broken.md:4: ") && failure.contains("124"), "{failure}");
    // Nothing listens there: what curl cannot do is a failure.
    let failure = fails("```sh\ncurl localhost:8080/ready\n```\n");
    assert!(failure.starts_with("broken.md:1: ") && failure.contains("curl: (7)"), "{failure}");
}

#[test]
fn what_a_transcript_shows_may_leave_out_what_changes() {
    let text = "```console\n$ echo '{\"id\":\"01M800BBG1ND75FGV883ZZ89F5\",\"n\":7}'\n{\"id\":\"01M7ZQN1PR4HN0600000000000\",…}\n```\n";
    let blocks = blocks("good.md", text);
    Session::without_server().run("good.md", &blocks.iter().collect::<Vec<_>>()).unwrap();
}

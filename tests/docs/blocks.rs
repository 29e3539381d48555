//! The code blocks of a Markdown document, and what its writer says of them.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A block of code.
#[derive(Debug)]
pub(crate) struct Block {
    /// Where it begins.
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) kind: Kind,
    pub(crate) note: Option<Note>,
}

/// What it is, by the word behind its fence.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `sh`: commands.
    Commands,
    /// `console`: commands behind `$ `, and what they print.
    Transcript(Vec<Step>),
    /// `json`.
    Json,
    /// `text` and `http`: something to look at.
    Picture,
    /// A part of a file, in this language.
    Source(String),
}

/// A command, and what it prints.
#[derive(Debug)]
pub(crate) struct Step {
    /// The line of the document.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) output: String,
}

/// What a comment right before a block says of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// `<!-- not run: WHY -->`
    NotRun(String),
    /// `<!-- fails -->`: that is what it shows.
    Fails,
    /// `<!-- serves until "TEXT" -->`: it goes on while the blocks behind it are run, which begin once it has printed the
    /// text, and ends in good order by Ctrl-C.
    Serves(String),
    /// `<!-- from PATH -->`: a part of this file.
    From(String),
}

/// The blocks of a document.
///
/// # Panics
/// A block does not say what it is, or a comment before it is not understood.
pub(crate) fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut comment, mut open) = (None, None);
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let line = 1 + text[..range.start].matches('\n').count();
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                panic!("{document}:{line}: put a fence around this block: ```sh, ```console, ```json, ```text …")
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let note = comment.take().map(|comment: String| {
                    Note::parse(&comment).unwrap_or_else(|| panic!("{document}:{line}: what does '{comment}' mean?"))
                });
                open = Some((line, info.to_string(), String::new(), note));
            }
            Event::Text(part) => {
                if let Some((_, _, text, _)) = &mut open {
                    text.push_str(&part);
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                let (line, info, text, note) = open.take().unwrap();
                let kind = Kind::parse(&info, line, &text);
                let kind = kind.unwrap_or_else(|| panic!("{document}:{line}: a fence says what is in it: ```sh"));
                // What is of a file is held to it, whatever its language.
                let kind = if let Some(Note::From(_)) = note { Kind::Source(info) } else { kind };
                blocks.push(Block { line, text, kind, note });
            }
            Event::Html(html) => {
                let inside = html.trim().strip_prefix("<!--").and_then(|html| html.strip_suffix("-->"));
                comment = inside.map(|inside| inside.trim().to_owned());
            }
            // Around a comment.
            Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
            _ => comment = None,
        }
    }
    blocks
}

/// Where a document links to within the repository.
pub(crate) fn links(text: &str) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. }) if !dest_url.contains("://") => Some(dest_url.to_string()),
        _ => None,
    };
    Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(link).collect()
}

// === impl Block ===

impl Block {
    pub(crate) fn is_run(&self) -> bool {
        matches!(self.kind, Kind::Commands | Kind::Transcript(_)) && !matches!(self.note, Some(Note::NotRun(_)))
    }

    /// Where it is, and why it is not run.
    pub(crate) fn excuse(&self) -> Option<String> {
        match &self.note {
            Some(Note::NotRun(reason)) => Some(format!("{}: {reason}", self.line)),
            _ => None,
        }
    }
}

// === impl Kind ===

impl Kind {
    fn parse(info: &str, line: usize, text: &str) -> Option<Self> {
        Some(match info {
            "" => return None,
            "sh" => Self::Commands,
            "console" => Self::Transcript(steps(line, text)),
            "json" => Self::Json,
            "text" | "http" => Self::Picture,
            language => Self::Source(language.to_owned()),
        })
    }
}

/// A line that begins with `$ ` is a command, with the lines that it goes on in; what is between it and the next is what it
/// prints.
fn steps(fence: usize, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: fence + 1 + number, command: format!("{command}\n"), output: String::new() });
            continued = command.ends_with('\\');
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("line {fence}: a console block begins with '$ '"));
        let part = if continued { &mut step.command } else { &mut step.output };
        part.push_str(line);
        part.push('\n');
        continued = continued && line.ends_with('\\');
    }
    steps
}

// === impl Note ===

impl Note {
    fn parse(comment: &str) -> Option<Self> {
        if let Some(reason) = comment.strip_prefix("not run:") {
            return Some(Self::NotRun(reason.trim().to_owned()));
        }
        if let Some(text) = comment.strip_prefix("serves until ") {
            return Some(Self::Serves(text.trim_matches('"').to_owned()));
        }
        if let Some(path) = comment.strip_prefix("from ") {
            return Some(Self::From(path.to_owned()));
        }
        (comment == "fails").then_some(Self::Fails)
    }
}

//! What a document shows of an output, compared with what came out.

/// Whether `shown` is what came out. `…` stands for anything within a line, and alone on a line for any lines. Ids and times
/// differ each time, so each stands for any other.
pub(crate) fn is_as_shown(shown: &str, came: &str) -> bool {
    let came = came.replace('\r', "");
    let came: Vec<String> = came.trim_end().lines().map(general).collect();
    let shown: Vec<String> = shown.trim_end().lines().map(general).collect();
    lines_match(&shown, &came)
}

fn lines_match(shown: &[String], came: &[String]) -> bool {
    match shown {
        [] => came.is_empty(),
        [any, rest @ ..] if any.trim() == "…" => (0..=came.len()).any(|skipped| lines_match(rest, &came[skipped..])),
        [line, rest @ ..] => match came {
            [first, others @ ..] => line_matches(line, first) && lines_match(rest, others),
            [] => false,
        },
    }
}

fn line_matches(shown: &str, came: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut left) = came.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return left.is_empty() };
    for part in middle {
        let Some((_, behind)) = left.split_once(part) else { return false };
        left = behind;
    }
    left.ends_with(last)
}

/// The line with every id and every time made the same.
fn general(line: &str) -> String {
    let mut general = String::new();
    let mut word = String::new();
    for c in line.trim_end().chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "-:.".contains(c) {
            word.push(c);
            continue;
        }
        let bare = word.trim_end_matches(['.', ':']);
        match bare {
            bare if is_id(bare) => general.push_str("ID"),
            bare if is_time(bare) => general.push_str("TIME"),
            bare => general.push_str(bare),
        }
        general.push_str(&word[bare.len()..]);
        word.clear();
        general.push(c);
    }
    general.pop();
    general
}

fn is_id(word: &str) -> bool {
    word.len() == 26 && word.starts_with("01") && word.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
}

fn is_time(word: &str) -> bool {
    word.len() == 24 && word.starts_with("20") && word.ends_with('Z') && word.as_bytes()[10] == b'T'
}

#[test]
fn what_changes_may_differ_and_nothing_else() {
    for (shown, came) in [
        ("a 01M800BBG1ND75FGV883ZZ89F5\n", "a 01M800BBG1ND75FGV883ZZ8999"),
        ("at 2026-11-21T18:52:21.999Z.", "at 2026-11-21T18:52:21.000Z."),
        ("a … c", "a b c"),
        ("{…}", "{}"),
        ("a\n…\nc\n", "a\nb\nb\nc\n"),
        ("…\nc", "c"),
        ("", "\n"),
    ] {
        assert!(is_as_shown(shown, came), "{shown:?} {came:?}");
    }
    for (shown, came) in
        [("a", "b"), ("a", "a\nb"), ("a\nb", "a"), ("a … c", "a b"), ("7 ms", "8 ms"), ("a\n…\nc", "a\nb"), ("a", "")]
    {
        assert!(!is_as_shown(shown, came), "{shown:?} {came:?}");
    }
}

//! What names of apps, functions and triggers may be made of.

/// The most bytes of a name.
pub(super) const MAX: usize = 255;

/// Whether a name is made of letters and numbers of any script, `_` and `-`: apps and triggers.
pub(super) fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// Whether a name stands in a segment of a URL as it is: functions.
pub(super) fn is_segment(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~$&+:=@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_examples() {
        for name in ["été中1", "a-b_c", "Ⅷ"] {
            assert!(is_word(name), "{name}");
        }
        for name in ["a.b", "a b", "a/b", "a\u{301}", "🎉"] {
            assert!(!is_word(name), "{name}");
        }
        for name in ["f.2~x", "f:b@c", "$&+=", "A-_9"] {
            assert!(is_segment(name), "{name}");
        }
        for name in ["a b", "a/b", "a%20", "é", "a;b", "a,b", "a?b"] {
            assert!(!is_segment(name), "{name}");
        }
    }
}

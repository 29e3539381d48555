//! Finding where a JSON object ends without parsing it, however it is cut into pieces.

use crate::formats::JsonFault;

/// Follows an object byte by byte: is this inside a string, and how deep. It is no parser, yet refuses what no JSON
/// text can contain, so that a program's `{'key': None}` or a stack trace is found out when it comes and not at the
/// deadline. What passes is parsed once, as a whole.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    depth: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Outside,
    InString,
    /// Behind a backslash.
    Escaped,
}

/// What a byte outside strings does.
#[derive(Clone, Copy)]
enum Class {
    Plain,
    Quote,
    Open,
    Close,
    Illegal,
}

impl Scanner {
    /// Reads on in `bytes`, the first of which is `{` at the first call. Gives how many of them belong to the object
    /// when it ends among them.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, JsonFault> {
        let mut at = 0;
        while at < bytes.len() {
            match self.place {
                Place::InString => at += self.skip_text(&bytes[at..])?,
                Place::Escaped => {
                    self.place = Place::InString;
                    at += 1;
                }
                Place::Outside => {
                    at += 1;
                    match class(bytes[at - 1]) {
                        Class::Plain => {}
                        Class::Quote => self.place = Place::InString,
                        Class::Open => self.depth += 1,
                        Class::Close => self.depth -= 1,
                        Class::Illegal => return Err(JsonFault::Malformed),
                    }
                    if self.depth == 0 {
                        return Ok(Some(at));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Goes over text to the byte behind the next quote or backslash.
    fn skip_text(&mut self, bytes: &[u8]) -> Result<usize, JsonFault> {
        let at = plain_text(bytes);
        self.place = match bytes.get(at) {
            None => return Ok(at),
            Some(b'"') => Place::Outside,
            Some(b'\\') => Place::Escaped,
            // Line ends in strings are escaped in JSON, so a quote too few is noticed at the end of the line.
            Some(_) => return Err(JsonFault::Malformed),
        };
        Ok(at + 1)
    }
}

/// How many bytes come before the first quote, backslash or control character. Answers are mostly text, so it looks
/// at eight bytes at a time.
pub(super) fn plain_text(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return n * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    bytes.len() - rest.len() + rest.iter().position(special).unwrap_or(rest.len())
}

/// The high bit of every byte of `word` that is a quote, a backslash or a control character. A borrow can set bits
/// above a true one, never below, so the lowest is always right.
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
    (zero | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGH
}

/// White space, punctuation, and the bytes that numbers, `true`, `false` and `null` are made of.
const fn class(byte: u8) -> Class {
    match byte {
        b'"' => Class::Quote,
        b'{' | b'[' => Class::Open,
        b'}' | b']' => Class::Close,
        b' ' | b'\t' | b'\r' | b'\n' | b':' | b',' => Class::Plain,
        b'0'..=b'9' | b'+' | b'-' | b'.' | b'E' => Class::Plain,
        b'a' | b'e' | b'f' | b'l' | b'n' | b'r' | b's' | b't' | b'u' => Class::Plain,
        _ => Class::Illegal,
    }
}

//! The content type of an answer that names none, from its first bytes. The rules are those of the WHATWG's MIME
//! sniffing note as the contract's server applies them, so that clients see the same types.

/// No more than this of the answer is looked at.
const LOOKED_AT: usize = 512;

const BINARY: &str = "application/octet-stream";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Tags that make a text HTML, in upper case. A space or `>` must follow.
const HTML_TAGS: &[&[u8]] = &[
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<!--",
];

/// What a file of a type begins with; `?` stands for any byte.
const MAGIC: &[(&[u8], &str)] = &[
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xFE\xFF??", "text/plain; charset=utf-16be"),
    (b"\xFF\xFE??", "text/plain; charset=utf-16le"),
    (b"\xEF\xBB\xBF?", TEXT),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF????WEBPVP", "image/webp"),
    (b"\x89PNG\r\n\x1A\n", "image/png"),
    (b"\xFF\xD8\xFF", "image/jpeg"),
    (b".snd", "audio/basic"),
    (b"FORM????AIFF", "audio/aiff"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"RIFF????AVI ", "video/avi"),
    (b"RIFF????WAVE", "audio/wave"),
    (b"\x1A\x45\xDF\xA3", "video/webm"),
    (b"\x00\x01\x00\x00", "font/ttf"),
    (b"OTTO", "font/otf"),
    (b"ttcf", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1F\x8B\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1A\x07\x00", "application/x-rar-compressed"),
    (b"Rar!\x1A\x07\x01\x00", "application/x-rar-compressed"),
    (b"\x00asm", "application/wasm"),
];

/// The content type of an answer that begins with `beginning`.
pub(crate) fn content_type(beginning: &[u8]) -> &'static str {
    let data = &beginning[..beginning.len().min(LOOKED_AT)];
    let text = data.trim_ascii_start();
    if text.starts_with(b"<") {
        if HTML_TAGS.iter().any(|tag| begins_with_tag(text, tag)) {
            return HTML;
        }
        if text.starts_with(b"<?xml") {
            return "text/xml; charset=utf-8";
        }
    }
    if let Some((_, content_type)) = MAGIC.iter().find(|(magic, _)| begins_like(data, magic)) {
        return content_type;
    }
    if is_mp4(data) {
        return "video/mp4";
    }
    // Without a way out, so that many bytes are looked at in one step.
    let binary = text.iter().fold(false, |found, byte| found | is_binary(*byte));
    if binary { BINARY } else { TEXT }
}

fn begins_with_tag(text: &[u8], tag: &[u8]) -> bool {
    match text.split_at_checked(tag.len()) {
        Some((head, rest)) => head.eq_ignore_ascii_case(tag) && matches!(rest.first(), Some(b' ' | b'>')),
        None => false,
    }
}

fn begins_like(data: &[u8], magic: &[u8]) -> bool {
    // The first byte decides nearly always, and none of them is `?`.
    data.first() == magic.first()
        && data.len() >= magic.len()
        && magic.iter().zip(data).all(|(wanted, byte)| *wanted == b'?' || wanted == byte)
}

/// An MP4 file begins with a box that lists its brands; one of them begins with `mp4`.
fn is_mp4(data: &[u8]) -> bool {
    const BRANDS_AT: usize = 8;
    const MINOR_VERSION_AT: usize = 12;
    let Some((size, rest)) = data.split_first_chunk::<4>() else {
        return false;
    };
    let size = u32::from_be_bytes(*size) as usize;
    if data.len() < MINOR_VERSION_AT || data.len() < size || !size.is_multiple_of(4) {
        return false;
    }
    rest.starts_with(b"ftyp")
        && (BRANDS_AT..size).step_by(4).filter(|at| *at != MINOR_VERSION_AT).any(|at| data[at..].starts_with(b"mp4"))
}

const fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_from_the_first_bytes() {
        for (data, expected) in [
            (&b""[..], TEXT),
            (b"hello", TEXT),
            (b"{\"a\":1}", TEXT),
            ("gr\u{fc}\u{df}e".as_bytes(), TEXT),
            (b"\xff\xf0 latin", TEXT),
            (b"\x01\x02", BINARY),
            (b"text with a \x00 inside", BINARY),
            (b"tab\tesc\x1b\n", TEXT),
            (b"<html>", HTML),
            (b"  \r\n<!doctype HTML >", HTML),
            (b"<p>x", HTML),
            (b"<pre>", TEXT),
            (b"<html", TEXT),
            (b"<?xml version='1.0'?>", "text/xml; charset=utf-8"),
            (b"\n<?xml", "text/xml; charset=utf-8"),
            (b"%PDF-1.7", "application/pdf"),
            (b"\xEF\xBB\xBFx", TEXT),
            (b"\xFF\xFEa\0", "text/plain; charset=utf-16le"),
            (b"GIF89a...", "image/gif"),
            (b"\x89PNG\r\n\x1A\n...", "image/png"),
            (b"\xFF\xD8\xFF\xE0", "image/jpeg"),
            (b"RIFF\x01\x02\x03\x04WAVEfmt", "audio/wave"),
            (b"\x1F\x8B\x08\x00", "application/x-gzip"),
            (b"PK\x03\x04", "application/zip"),
            (b"\x00asm\x01", "application/wasm"),
            (b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00mp41", "video/mp4"),
            (b"\x00\x00\x00\x10ftypmp42mp41", "video/mp4"),
            (b"\x00\x00\x00\x10ftypisommp41", BINARY),
            (b"\xff\xff\xff\xffftypmp42mp42", TEXT),
        ] {
            assert_eq!(content_type(data), expected, "{}", data.escape_ascii());
        }
    }

    #[test]
    fn only_the_first_512_bytes_count() {
        let mut data = vec![b'a'; LOOKED_AT];
        data.push(0);
        assert_eq!(content_type(&data), TEXT);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_a_problem(data in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            proptest::prop_assert!(content_type(&data).contains('/'));
        }
    }
}

//! JSON text as the contract's clients and functions are used to it: `<`, `>`, `&`, U+2028 and U+2029 inside
//! strings leave as `\u` escapes, so that the text can stand inside HTML and scripts.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes JSON without spaces and with the escapes named above.
#[derive(Clone, Copy, Debug, Default)]
pub struct EscapeHtml;

impl Formatter for EscapeHtml {
    fn write_raw_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // In JSON these characters stand nowhere but inside strings.
        self.write_string_fragment(writer, fragment)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let special = rest[at..].chars().next().unwrap_or_default();
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(special))?;
            rest = &rest[at + special.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// `value` as JSON bytes.
///
/// # Errors
/// Whatever the value's own `Serialize` refuses.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, EscapeHtml))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn html_characters_leave_as_escapes_in_keys_and_values() {
        let value = serde_json::json!({"a<b": "0 < x & y > z \u{2028}é\"\n"});
        let text = String::from_utf8(super::to_vec(&value).unwrap()).unwrap();
        assert_eq!(text, r#"{"a\u003cb":"0 \u003c x \u0026 y \u003e z \u2028é\"\n"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}

//! The canonical form of a JSON value: bounded in size, and safe in a line of a log.
//!
//! Keys are sorted, there is no white space, and every character that could end a line, move a cursor or change the
//! reading direction is escaped. A text or tree that is too large is cut. The cut records its original length and the
//! SHA-256 of the whole, so that the full value can still be proved.

use std::fmt::{self, Write as _};

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

/// Bounds of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Size limit of one text in bytes.
    pub text: usize,
    /// Size limit of the canonical form in bytes.
    pub whole: usize,
    /// Nesting limit.
    pub depth: usize,
}

/// Number of bytes that are kept of a cut text.
const SHOWN: usize = 256;

/// Returns the canonical form of a value.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Returns the digit of a number below 16.
const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

/// Formats bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    // Digits are valid UTF-8.
    String::from_utf8(digits).unwrap_or_default()
}

/// Parses 32 bytes written by [`hex`]; `None` for any other text.
#[must_use]
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != 32 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |d: &u8| char::from(*d).to_digit(16);
        *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(bytes)
}

/// The last `N` hexadecimal digits of a number, on the stack.
pub(crate) struct Digits<const N: usize>([u8; N]);

impl<const N: usize> Digits<N> {
    pub(crate) fn of(mut number: u128) -> Self {
        let mut digits = [b'0'; N];
        for place in digits.iter_mut().rev() {
            *place = digit((number & 15) as u8);
            number >>= 4;
        }
        Self(digits)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Returns the hexadecimal SHA-256 of some bytes.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Returns the canonical form of the value, cut to the bounds.
#[must_use]
pub fn spelled(mut value: Value, bounds: Bounds) -> String {
    shorten(&mut value, bounds, 0);
    let spelled = canonical(&value);
    if spelled.len() <= bounds.whole { spelled } else { canonical(&cut(&spelled)) }
}

/// Builder for the canonical form of an object, without a tree in between. Keys must come in sorted order.
#[derive(Debug, Default)]
pub struct Spelling {
    out: String,
    last: &'static str,
}

impl Spelling {
    /// Creates a builder for an object of about this length.
    #[must_use]
    pub fn about(length: usize) -> Self {
        Self { out: String::with_capacity(length), last: "" }
    }

    fn key(&mut self, key: &'static str) {
        debug_assert!(self.last < key, "`{key}` comes after `{}`", self.last);
        self.out.push(if self.last.is_empty() { '{' } else { ',' });
        write_text(key, &mut self.out);
        self.out.push(':');
        self.last = key;
    }

    /// Adds a text, cut to the bounds.
    pub fn text(&mut self, key: &'static str, text: &str, bounds: Bounds) {
        self.key(key);
        // An escape takes six bytes for one.
        if text.len() <= bounds.text && text.len().saturating_mul(6) + 2 <= bounds.whole {
            write_text(text, &mut self.out);
        } else {
            self.out.push_str(&spelled(json!(text), bounds));
        }
    }

    /// Adds a trusted text such as an id, if there is one. It is not bounded.
    pub fn own(&mut self, key: &'static str, text: Option<impl fmt::Display>) {
        let Some(text) = text else { return };
        self.key(key);
        let start = self.out.len();
        // Writing to a string does not fail.
        let _ = write!(self.out, "\"{text}\"");
        let inside = start + 1..self.out.len() - 1;
        let written = self.out.get(inside).filter(|inside| !is_plain(inside)).map(str::to_owned);
        if let Some(written) = written {
            self.out.truncate(start);
            write_text(&written, &mut self.out);
        }
    }

    /// Adds a number.
    pub fn number(&mut self, key: &'static str, number: i64) {
        self.key(key);
        // Writing to a string does not fail.
        let _ = write!(self.out, "{number}");
    }

    /// Adds an object. It is not bounded.
    pub fn object(&mut self, key: &'static str, object: &Map<String, Value>) {
        self.key(key);
        write_object(object, &mut self.out);
    }

    /// Adds a value, cut to the bounds.
    pub fn value(&mut self, key: &'static str, value: Value, bounds: Bounds) {
        self.key(key);
        self.out.push_str(&spelled(value, bounds));
    }

    /// Returns the canonical form.
    #[must_use]
    pub fn end(mut self) -> String {
        self.out.push_str(if self.last.is_empty() { "{}" } else { "}" });
        self.out
    }
}

fn shorten(value: &mut Value, bounds: Bounds, depth: usize) {
    match value {
        Value::String(text) if text.len() > bounds.text => *value = cut(text),
        Value::Array(_) | Value::Object(_) if depth >= bounds.depth => *value = cut(&canonical(value)),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, bounds, depth + 1)),
        Value::Object(map) => {
            if map.keys().any(|key| key.len() > bounds.text) {
                let short = |key: String| if key.len() > bounds.text { cut_text(&key) } else { key };
                *map = std::mem::take(map).into_iter().map(|(key, item)| (short(key), item)).collect();
            }
            map.values_mut().for_each(|item| shorten(item, bounds, depth + 1));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns what replaces an oversized value.
fn cut(whole: &str) -> Value {
    json!({ "cut": cut_text(whole), "bytes": whole.len(), "sha256": sha256_hex(whole.as_bytes()) })
}

/// Returns what replaces an oversized text of which only the beginning is available.
#[must_use]
pub fn cut_short(begins: &str, bytes: usize) -> Value {
    json!({ "cut": cut_text(begins), "bytes": bytes })
}

fn cut_text(whole: &str) -> String {
    let end = (0..=SHOWN).rev().find(|end| whole.is_char_boundary(*end)).unwrap_or(0);
    whole.get(..end).unwrap_or_default().to_owned()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        // Writing to a string does not fail.
        Value::Number(number) => drop(write!(out, "{number}")),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out),
    }
}

fn write_object(map: &Map<String, Value>, out: &mut String) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by(|one, two| one.0.cmp(two.0));
    out.push('{');
    for (place, (key, item)) in entries.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write(item, out);
    }
    out.push('}');
}

/// Returns whether the text needs no escape. Checks every byte without an early exit, so that the loop is vectorised.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .fold(true, |plain, byte| plain & (matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')))
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    if is_plain(text) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            char if must_be_escaped(char) => {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

/// Returns whether a character is invisible but has an effect: controls, line and paragraph separators, direction and
/// width marks, tags.
const fn must_be_escaped(char: char) -> bool {
    matches!(char,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_written_in_hexadecimal_is_read_back() {
        let bytes: [u8; 32] = std::array::from_fn(|place| place as u8 * 7);
        let text = hex(&bytes);
        assert_eq!(unhex(&text), Some(bytes));
        let signed = text.replacen("00", "+0", 1);
        for other in [text.to_uppercase(), signed, format!("{text}00"), text.replacen("00", "", 1)] {
            assert_eq!(unhex(&other), None, "{other}");
        }
    }

    const SMALL: Bounds = Bounds { text: 300, whole: 2_000, depth: 4 };

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["\\PC{0,40}", any::<String>(), "[\\x00-\\x1f\u{202e}\u{2028}\"\\\\a]{0,20}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
            Just("x".repeat(5_000).into())
        ];
        leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map("\\PC{0,10}", inner, 0..6)
                    .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_one_spelling_reads_back_equal_on_one_visible_line(value in any_json()) {
            let spelled = canonical(&value);
            prop_assert_eq!(serde_json::from_str::<Value>(&spelled).unwrap(), value);
            prop_assert!(!spelled.chars().any(must_be_escaped));
        }

        #[test]
        fn a_bounded_value_fits_and_a_small_one_is_unchanged(value in any_json()) {
            let spelled = canonical(&value);
            let short = super::spelled(value.clone(), SMALL);
            // A cut part may itself consist of escapes, six bytes for one.
            prop_assert!(short.len() <= SMALL.whole.max(SHOWN * 6 + 200), "{}", short.len());
            if spelled.len() <= SMALL.text {
                let nested = spelled.matches(['[', '{']).count();
                prop_assert!(nested >= SMALL.depth || short == spelled);
            }
        }
    }

    #[test]
    fn a_cut_text_can_still_be_proved() {
        let whole = "\u{1b}[2J\n{\"event\":\"forged\"}".repeat(50_000);
        let spelled = spelled(json!({ "note": whole }), SMALL);
        let short: Value = serde_json::from_str(&spelled).unwrap();
        assert_eq!(short["note"]["sha256"], sha256_hex(whole.as_bytes()));
        assert_eq!(short["note"]["bytes"], whole.len());
        assert!(spelled.len() < 2_000);
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    proptest! {
        #[test]
        fn an_object_that_is_written_at_once_is_spelled_like_its_tree(text in any::<String>(), long in "\\PC{0,700}", own in any::<String>(), value in any_json(), number in any::<i64>()) {
            let object = value.as_object().cloned().unwrap_or_default();
            let mut spelling = Spelling::about(64);
            spelling.text("a", &text, SMALL);
            spelling.text("b", &long, SMALL);
            spelling.own("c", Some("turn_1"));
            spelling.own("d", None::<&str>);
            spelling.number("n", number);
            spelling.object("o", &object);
            spelling.own("own", Some(&own));
            spelling.value("v", value.clone(), SMALL);
            let bounded = |value| serde_json::from_str::<Value>(&spelled(value, SMALL)).unwrap();
            let tree = json!({ "v": bounded(value), "a": bounded(json!(text)), "b": bounded(json!(long)), "c": "turn_1", "n": number, "o": &object, "own": &own });
            prop_assert_eq!(spelling.end(), canonical(&tree));
        }
    }

    #[test]
    fn digits_are_those_that_everybody_writes() {
        for number in [0, 0x1f, u128::from(u64::MAX), u128::MAX, 0x0123_4567_89ab_cdef << 60] {
            assert_eq!(Digits::<32>::of(number).as_str(), format!("{number:032x}"));
            assert_eq!(hex(&number.to_be_bytes()), format!("{number:032x}"));
        }
        assert_eq!(Digits::<4>::of(0xabcde).as_str(), "bcde", "the last ones");
    }

    #[test]
    fn keys_are_sorted_whatever_the_order_they_came_in() {
        let one: Value = serde_json::from_str(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap();
        assert_eq!(canonical(&one), r#"{"a":{"c":2,"d":1},"b":1}"#);
    }
}

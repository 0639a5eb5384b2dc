//! JSON as it was written, with what a parsed value loses.
//!
//! A parsed number has the width of the machine's, and of a repeated member only the last value is left. Code that
//! passes such a text on must pass on the text, and code that acts on the value must know that it differs.

use std::{borrow::Cow, fmt};

use serde_json::{Map, Number, Value, value::RawValue};

/// Limit up to which integers are exact as floating point numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A JSON text with everything that it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The value, for searches in it: a repeated member is a list of all its values, and a number that does not fit is
    /// its text.
    pub every: Value,
    /// The first thing that a parsed value would lose.
    pub lost: Option<Lost>,
}

/// Something that a parsed value would lose, by its place (a JSON pointer, RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Digits of this number.
    Digits(String),
    /// All but the last value of this member.
    Twice(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits(place) => write!(f, "`{place}`: the number has more digits than can be kept"),
            Self::Twice(place) => write!(f, "`{place}`: it is given more than once"),
        }
    }
}

/// Reads a text; `None` if it is not JSON.
#[must_use]
pub fn read(text: &str) -> Option<Written> {
    serde_json::from_str::<Value>(text).ok()?; // INVARIANT: the reader below is given valid JSON, of bounded depth
    let mut reader = Reader { text, at: 0, place: String::new(), lost: None };
    let every = reader.value();
    Some(Written { every, lost: reader.lost })
}

/// Returns the value of a text without rounding or dropping anything: a number that does not fit is its text. `None`
/// if it is not JSON.
#[must_use]
pub fn kept(text: &str) -> Option<Value> {
    read(text).map(|written| written.every)
}

/// Replaces invalid escapes in a JSON text: half of a surrogate pair (`\ud83d` alone, as languages with UTF-16 strings
/// write text that they have cut) becomes U+FFFD.
#[must_use]
pub fn whole_letters(text: &str) -> Cow<'_, str> {
    let (mut whole, mut from, mut at) = (String::new(), 0, 0);
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += next;
        let unit = |at: usize| {
            let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                whole.push_str(text.get(from..at).unwrap_or_default());
                whole.push_str("\\ufffd");
                from = at + 6;
                6
            }
            _ => 2, // the character after the backslash, which may be a backslash
        };
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    whole.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(whole)
}

/// Returns the text of a part of a JSON text: `a/0/b` is `b` of the first item of the list `a`. `None` if there is
/// none.
#[must_use]
pub fn part<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    path.split('/').try_fold(text, |text, step| {
        let found: Option<&RawValue> = match step.parse::<usize>() {
            Ok(place) => serde_json::from_str::<Vec<&RawValue>>(text).ok()?.get(place).copied(),
            Err(_) => {
                serde_json::from_str::<std::collections::HashMap<String, &RawValue>>(text).ok()?.remove(step)
            }
        };
        found.map(RawValue::get)
    })
}

/// Writes numbers such as `100.0` and `1e2` as integers: JSON Schema counts them as such, but many JSON readers do
/// not.
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|_| number.is_f64());
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a whole number that fits, checked just before"
            )]
            if let Some(whole) = whole.filter(|float| float.fract() == 0.0 && float.abs() <= EXACT) {
                *number = Number::from(whole as i64);
            }
        }
        _ => {}
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    place: String,
    lost: Option<Lost>,
}

impl<'a> Reader<'a> {
    /// Returns the next byte that is not white space.
    fn peek(&mut self) -> u8 {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        rest.get(space).copied().unwrap_or(b'}') // the end of the text ends everything
    }

    /// Takes the text up to the byte at which `stop` is true.
    fn take(&mut self, stop: impl FnMut(&u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest
            .bytes()
            .position({
                let mut stop = stop;
                move |byte| stop(&byte)
            })
            .unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn value(&mut self) -> Value {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => Value::String(self.string()),
            _ => {
                let word = self.take(|byte| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace());
                self.word(word)
            }
        }
    }

    fn word(&mut self, word: &str) -> Value {
        let value: Value = serde_json::from_str(word).unwrap_or_default();
        if value.is_number() && decimal(word) != decimal(&value.to_string()) {
            self.lose(Lost::Digits);
            return Value::String(word.to_owned());
        }
        value
    }

    fn string(&mut self) -> String {
        let (mut quotes, mut escaped) = (0, false);
        let body = self.take(|byte| match byte {
            _ if quotes == 2 => true,
            _ if escaped => {
                escaped = false;
                false
            }
            b'\\' => {
                escaped = true;
                false
            }
            b'"' => {
                quotes += 1;
                false
            }
            _ => false,
        });
        serde_json::from_str(body).unwrap_or_default()
    }

    fn list(&mut self) -> Value {
        let mut all = Vec::new();
        self.at += 1;
        while !matches!(self.peek(), b']' | b'}') {
            let value = self.inside(&all.len().to_string(), Self::value);
            all.push(value);
            self.comma();
        }
        self.at += 1;
        Value::Array(all)
    }

    fn object(&mut self) -> Value {
        let (mut all, mut twice) = (Map::new(), Map::new());
        self.at += 1;
        while self.peek() != b'}' {
            let key = self.string();
            if self.peek() == b':' {
                self.at += 1;
            }
            let again = all.contains_key(&key);
            let value = self.inside(&key, |reader| {
                if again {
                    reader.lose(Lost::Twice);
                }
                reader.value()
            });
            if again {
                // The first value is copied only once: a member may be repeated a hundred thousand times.
                let first = || Value::Array(all.get(&key).cloned().into_iter().collect());
                if let Value::Array(more) = twice.entry(key.as_str()).or_insert_with(first) {
                    more.push(value);
                }
            } else {
                all.insert(key, value);
            }
            self.comma();
        }
        self.at += 1;
        all.extend(twice);
        Value::Object(all)
    }

    fn comma(&mut self) {
        if self.peek() == b',' {
            self.at += 1;
        }
    }

    fn inside(&mut self, step: &str, read: impl FnOnce(&mut Self) -> Value) -> Value {
        let outer = self.place.len();
        self.place.push('/');
        self.place.push_str(&step.replace('~', "~0").replace('/', "~1"));
        let value = read(self);
        self.place.truncate(outer);
        value
    }

    fn lose(&mut self, what: impl FnOnce(String) -> Lost) {
        let place = &self.place;
        self.lost.get_or_insert_with(|| what(place.clone()));
    }
}

/// Returns a number as its sign, its digits and the position of its point: the same for all ways to write it.
fn decimal(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or_else(|| (mantissa.trim_start_matches('-'), ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
    if digits.is_empty() {
        return (false, digits, 0);
    }
    let ends = all.len() - all.trim_end_matches('0').len();
    let length = |text: usize| i64::try_from(text).unwrap_or(i64::MAX);
    let exponent = exponent.trim_start_matches('+').parse().unwrap_or(i64::MIN / 2);
    let point = length(ends).saturating_sub(length(fraction.len())).saturating_add(exponent);
    (mantissa.starts_with('-'), digits, point)
}

/// Replaces each U+0000 in the strings of a document by U+FFFD, since no database and few tools accept it; borrowed if
/// there is none.
#[must_use]
pub fn without_nul(json: &str) -> Cow<'_, str> {
    const ESCAPE: &str = "\\u0000";
    if !json.contains(ESCAPE) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut pieces = json.split(ESCAPE);
    out.push_str(pieces.next().unwrap_or_default());
    let mut replaced = false;
    for piece in pieces {
        // After an odd number of backslashes the escape's own backslash is an escaped one.
        let escaped = out.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        out.push_str(if escaped { ESCAPE } else { "\\ufffd" });
        replaced |= !escaped;
        out.push_str(piece);
    }
    if replaced { Cow::Owned(out) } else { Cow::Borrowed(json) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_kept_to_its_last_digit_or_named() {
        for kept in
            ["1", "-0.0", "1e2", "1.0", "0.1", "9007199254740993", "18446744073709551615", "1E+22", "2.5e-7"]
        {
            let text = format!("{{\"a\": [ {kept} ] }}");
            assert_eq!(read(&text).unwrap().lost, None, "{kept}");
        }
        for lost in [
            "12345678901234567890123",
            "18446744073709551617",
            "0.1000000000000000055511151231257827",
            "1e-400",
            "9007199254740993.0",
        ] {
            let read = read(&format!("{{\"a\": [true, {lost}]}}")).unwrap();
            assert_eq!(read.lost, Some(Lost::Digits("/a/1".to_owned())), "{lost}");
            assert_eq!(read.every, json!({ "a": [true, lost] }));
        }
    }

    #[test]
    fn what_is_given_twice_is_seen_both_times() {
        let read = read(r#"{"a":1,"b":"x\"}","a":{"c":null},"a":3}"#).unwrap();
        assert_eq!(read.lost, Some(Lost::Twice("/a".to_owned())));
        assert_eq!(read.every, json!({ "a": [1, { "c": null }, 3], "b": "x\"}" }));
        assert!(super::read(r#"{"a":1"#).is_none() && super::read("").is_none());
    }

    #[test]
    fn a_member_that_is_given_a_hundred_thousand_times_is_read_as_fast_as_others() {
        let text = format!(r#"{{"a":[{}0]{}}}"#, r#""a","#.repeat(100_000), r#","a":0"#.repeat(100_000));
        let read = read(&text).unwrap();
        assert_eq!(read.every["a"].as_array().map(Vec::len), Some(100_001));
    }

    #[test]
    fn half_of_a_letter_is_replaced_and_nothing_else() {
        for (text, whole) in [
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            (r#""x\udc00\ud83dy\ud83d\ud83d\ude00""#, r#""x\ufffd\ufffdy\ufffd\ud83d\ude00""#),
            (r#""\ud83d\ude00 \\ud83d \n\u00e4""#, r#""\ud83d\ude00 \\ud83d \n\u00e4""#),
            (r#""\ud8"#, r#""\ud8"#),
            ("\\\u{e4}\\u\u{e4}", "\\\u{e4}\\u\u{e4}"),
        ] {
            assert_eq!(whole_letters(text), whole);
        }
        assert_eq!(kept(&whole_letters(r#"["\udfff"]"#)), Some(json!(["\u{fffd}"])));
    }

    #[test]
    fn a_part_is_found_as_it_was_written() {
        let text = r#"{"p":{"list":[{"x": 1 },{"x": {"n": 1e2}}]}}"#;
        assert_eq!(part(text, "p/list/1/x"), Some(r#"{"n": 1e2}"#));
        assert_eq!((part(text, "p/list/2/x"), part(text, "q")), (None, None));
    }

    #[test]
    fn an_integer_by_another_spelling_is_one() {
        let mut value = json!({ "a": [1e2, 1.0, -0.0, 1.5, 1e22], "b": 1e15 });
        whole_numbers(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[100,1,0,1.5,1e+22],"b":1000000000000000}"#);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,4}", inner), 0..4)
                    .prop_map(|list| Value::Object(list.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_a_value_writes_loses_nothing(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let read = read(&text).unwrap();
                prop_assert_eq!(&read.every, &value);
                prop_assert_eq!(read.lost, None);
            }
        }
    }

    #[test]
    fn a_nul_is_replaced_where_it_is_meant_and_not_where_its_escape_is_spelt() {
        for (json, without) in [
            (r#"{"a":"x\u0000y\u0000"}"#, r#"{"a":"x\ufffdy\ufffd"}"#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""u0000""#, r#""u0000""#),
            ("", ""),
        ] {
            assert_eq!(without_nul(json), without);
        }
    }
}

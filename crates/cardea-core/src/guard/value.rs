//! JSON as a text that detectors can read, and back.
//!
//! WHY: in the source text of JSON a line's end is `\n`, whose `n` touches the next word, and a placeholder in the place of
//! a number is no JSON. So each key and each text is written as it is, in quotes, and what is to be masked is put
//! back into the very part that it was found in.

use std::{collections::HashMap, ops::Range};

use serde_json::{Map, Value};

use super::{
    placeholder::Masks,
    sieve::{Mask, splice},
};

/// Texts up to this length have no quotes of their own in the reading, unless they look like JSON: a quote would end
/// the value that a key announces.
const SHORT: usize = 256;

/// A value, written down for detectors.
pub(super) struct Reading {
    pub(super) text: String,
    /// Where each key, text and number stands, in the order of the value.
    parts: Vec<Range<usize>>,
}

impl Reading {
    pub(super) fn of(value: &Value) -> Self {
        let mut reading = Self { text: String::new(), parts: Vec::new() };
        reading.write(value);
        reading
    }

    fn write(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.quote(text),
            Value::Number(number) => self.part(&number.to_string()),
            Value::Array(items) => {
                self.text.push('[');
                for (place, item) in items.iter().enumerate() {
                    self.comma(place);
                    self.write(item);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (place, (key, member)) in members.iter().enumerate() {
                    self.comma(place);
                    self.quote(key);
                    self.text.push(':');
                    self.write(member);
                }
                self.text.push('}');
            }
            Value::Null | Value::Bool(_) => self.text.push_str(&value.to_string()),
        }
    }

    fn comma(&mut self, place: usize) {
        if place > 0 {
            self.text.push(',');
        }
    }

    fn part(&mut self, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.parts.push(start..self.text.len());
    }

    fn quote(&mut self, text: &str) {
        self.text.push('"');
        let like_json = || text.contains("\":") || text.contains("\" :");
        if text.len() <= SHORT && text.contains('"') && !like_json() {
            self.part(&text.replace('"', "'"));
        } else {
            self.part(text);
        }
        self.text.push('"');
    }

    /// The value with placeholders in the places of these masks, which are in order and do not overlap. A number that
    /// is masked becomes a text.
    pub(super) fn masked(&self, value: Value, masks: &[Mask], names: &mut Masks) -> Value {
        Masking { parts: self.parts.iter(), masks, names }.value(value)
    }
}

struct Masking<'a> {
    parts: std::slice::Iter<'a, Range<usize>>,
    /// Those that do not end before the next part.
    masks: &'a [Mask],
    names: &'a mut Masks,
}

impl Masking<'_> {
    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Number(number) => {
                let text = number.to_string();
                let masked = self.text(text.clone());
                if masked == text { Value::Number(number) } else { Value::String(masked) }
            }
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let (mut masked, mut times) = (Map::new(), HashMap::<String, usize>::new());
                for (key, member) in members {
                    let (key, member) = (self.text(key), self.value(member));
                    let mut own = key.clone();
                    // Two keys may have the same value behind them; no member is lost for that.
                    while masked.contains_key(&own) {
                        let times = times.entry(key.clone()).or_insert(1);
                        *times += 1;
                        own = format!("{key}'{times}");
                    }
                    masked.insert(own, member);
                }
                Value::Object(masked)
            }
            other => other,
        }
    }

    /// The next part, with what is masked of it.
    fn text(&mut self, text: String) -> String {
        let Some(part) = self.parts.next() else { return text };
        let gone = self.masks.partition_point(|mask| mask.end <= part.start);
        self.masks = self.masks.get(gone..).unwrap_or_default();
        let here = self.masks.iter().take_while(|mask| mask.start < part.end);
        let here: Vec<Mask> = here.map(|mask| clipped(mask, part)).collect();
        if here.is_empty() {
            return text;
        }
        let mut out = String::with_capacity(text.len());
        splice(&text, part.start, &here, self.names, &mut out);
        out
    }
}

/// What of a mask lies in this part. A finding that covers several parts hides each of them.
fn clipped(mask: &Mask, part: &Range<usize>) -> Mask {
    let clip = |range: Range<usize>| range.start.max(part.start)..range.end.min(part.end);
    let (place, value) = (clip(mask.start..mask.end), clip(mask.value.clone()));
    let value = if value.is_empty() { place.clone() } else { value };
    Mask { start: place.start, end: place.end, value, label: mask.label.clone() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        super::{Engine, Profile, Surface},
        *,
    };

    fn screened(value: Value) -> Value {
        let engine = Engine::new(&Profile::built_in("standard").unwrap()).unwrap();
        let read = engine.scan_value_until(&value, Surface::ToolResult, &mut Masks::new(&[0; 32]), &|| false);
        read.unwrap().masked.unwrap_or(value)
    }

    #[test]
    fn what_begins_a_line_or_follows_a_tab_is_found() {
        let key = ["AKIA", "Q3EGRIVZ7ABCDEFG"].concat();
        for before in ["keys: ", "keys:\n", "keys:\t", "a\r\n", ""] {
            let told = screened(json!({ "text": format!("{before}{key}\nand 4111 1111 1111 1111") }));
            assert_eq!(told, json!({ "text": format!("{before}[SECRET_1]\nand [CARD_1]") }));
        }
    }

    #[test]
    fn a_number_that_is_masked_leaves_everything_else_behind_its_mask_and_in_its_place() {
        let told = screened(json!({
            "card": 4_111_111_111_111_111_u64, "password": "hunter2-Zebra!9", "ssn": "536228145", "amount": 12.50,
            "4111 1111 1111 1111": [1, true, null, "plain"],
        }));
        assert_eq!(
            told,
            json!({
                "card": "[CARD_1]", "password": "[PASSWORD_1]", "ssn": "[SSN_1]", "amount": 12.50,
                "[CARD_1]": [1, true, null, "plain"],
            })
        );
    }

    #[test]
    fn a_key_says_what_its_number_is() {
        assert_eq!(screened(json!({ "ssn": 536_228_145 })), json!({ "ssn": "[SSN_1]" }));
    }

    #[test]
    fn a_quote_in_a_password_does_not_end_it() {
        assert_eq!(
            screened(json!({ "password": "hun\"ter2-Zebra!9" })),
            json!({ "password": "[PASSWORD_1]" })
        );
        let inner = json!({ "password": "hunter2-Zebra!9" }).to_string();
        assert_eq!(screened(json!({ "body": inner })), json!({ "body": "{\"password\":\"[PASSWORD_1]\"}" }));
    }

    #[test]
    fn two_keys_with_the_same_value_behind_them_stay_two() {
        let told = screened(json!({ "4111 1111 1111 1111": 1, "4111-1111-1111-1111": 2, "[CARD_1]'2": 3 }));
        assert_eq!(told, json!({ "[CARD_1]": 1, "[CARD_1]'2": 2, "[CARD_1]'2'2": 3 }));
    }

    #[test]
    fn as_many_keys_as_a_request_holds_are_masked_alike() {
        let key = |n: usize| format!("{n} someone{n}@example.org");
        let members: Map<String, Value> = (0..50_000).map(|n| (key(n), json!(n))).collect();
        let reading = Reading::of(&Value::Object(members.clone()));
        let masks = reading.parts.iter().step_by(2).map(|part| Mask {
            start: part.start,
            end: part.end,
            value: part.clone(),
            label: "EMAIL".into(),
        });
        let masks: Vec<Mask> = masks.collect();
        let told = reading.masked(Value::Object(members), &masks, &mut Masks::new(&[0; 32]));
        assert_eq!(told.as_object().map(Map::len), Some(50_000));
    }

    proptest! {
        #[test]
        fn a_value_without_findings_is_given_back(keys in prop::collection::vec("[a-f\"\\\\\n]{0,6}", 0..6), n in 0..99_u32) {
            let members = keys.iter().enumerate().map(|(i, key)| (format!("{key}{i}"), json!([key, n, { "k": key }])));
            let value = Value::Object(members.collect());
            let reading = Reading::of(&value);
            prop_assert_eq!(reading.masked(value.clone(), &[], &mut Masks::new(&[0; 32])), value.clone());
            let digits = reading.parts.iter().filter(|part| reading.text.get((*part).clone()) == Some(&n.to_string())).count();
            prop_assert!(digits >= keys.len());
        }
    }
}

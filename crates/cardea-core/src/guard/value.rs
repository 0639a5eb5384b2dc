//! Converts JSON to text for the detectors, and maps masks back to the value.
//!
//! WHY: in JSON source, a line end is `\n`, whose `n` is adjacent to the next word, and a placeholder in place of a
//! number is not JSON. So keys and strings are written unescaped, in quotes, and each mask is applied to the part in
//! which it was found.

use std::{collections::HashMap, ops::Range};

use serde_json::{Map, Value};

use super::{
    placeholder::Masks,
    sieve::{Mask, splice},
};

/// Strings up to this length have no quotes in the text, unless they look like JSON: a quote would end the value that a
/// key labels.
const SHORT: usize = 256;

/// A value as text for the detectors.
pub(super) struct Reading {
    pub(super) text: String,
    /// Ranges of keys, strings and numbers, in the order of the value.
    pub(super) parts: Vec<Range<usize>>,
}

/// A value with the ranges of its parts in the text.
#[derive(Clone, Copy)]
pub(super) struct Parts<'v> {
    pub(super) text: &'v str,
    pub(super) value: &'v Value,
    pub(super) parts: &'v [Range<usize>],
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

    /// Returns the value with placeholders in place of these masks, which are ordered and do not overlap. A masked
    /// number becomes a string.
    pub(super) fn masked(&self, value: Value, masks: &[Mask], names: &mut Masks) -> Value {
        Masking { parts: self.parts.iter(), masks, names }.value(value)
    }
}

struct Masking<'a> {
    parts: std::slice::Iter<'a, Range<usize>>,
    /// The masks that do not end before the next part.
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
                    // Two keys may have equal placeholders; no member is lost.
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

    /// Returns the next part with its masks applied.
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

/// Returns the part of a mask that is inside this range. A finding that covers several parts masks each of them.
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
    fn a_result_that_is_a_table_or_holds_one_is_masked_as_the_text_of_it_is() {
        let engine = Engine::new(&Profile::built_in("standard").unwrap()).unwrap();
        let texts = [
            "user,password,role\nann,Anchor10xQ,admin\nbo,Harbor22yW,user\n",
            "user;Kennwort\nops;Anchor10xQ",
            "user\tpassword\nann\tAnchor10xQ",
            "\"Last Name\",\"IBAN\"\n\"Roy, A\",\"DE89 3704 0044 0532 0130 00\"",
            "| User | Password |\n|---|---|\n| ann | Anchor10xQ |\n| bo | Harbor22yW |\n",
            "Accounts:\nuser,password\nann,Anchor10xQ\nbo,Harbor22yW",
            "id;name;ssn\n1;Iara Moura;536-22-8145\n",
            "COPY p.users (id, password) FROM stdin;\n7\tAnchor10xQ\n\\.\n",
            "insert into t (id, name, password) values (8, 'Rui', 'Anchor10xQ'), (9, 'Bo', 'Harbor22yW');",
            "select 'Anchor10xQ' as password",
        ];
        for text in texts {
            let alone = engine.scan(text, Surface::ToolResult).text.into_owned();
            assert_ne!(alone, text);
            let long = "x ".repeat(40_000);
            for around in [
                |text: &str| json!(text),
                |text: &str| json!({ "csv": text }),
                |text: &str| json!([{ "type": "text", "text": text }]),
                |text: &str| json!({ "id": 1, "content": [text, 7], "more": { "next": null } }),
            ] {
                assert_eq!(screened(around(text)), around(&alone), "{text}");
                let told = screened(json!([long, around(text)]));
                assert_eq!(told, json!([long, around(&alone)]), "behind a long text");
            }
        }
    }

    #[test]
    fn rows_in_arrays_are_read_under_their_names_wherever_those_stand() {
        let (rows, masked) = (
            json!([["ann", "Anchor10xQ", 1], [null, 5, true], ["bo", "Harbor22yW", { "a": [1, "x"] }], ["short"]]),
            json!([["ann", "[PASSWORD_1]", 1], [null, 5, true], ["bo", "[PASSWORD_2]", { "a": [1, "x"] }], ["short"]]),
        );
        for around in [
            |rows: &Value| json!({ "columns": ["user", "Pass\u{200b}word", "n"], "rows": rows }),
            |rows: &Value| json!({ "types": ["a", "b", "c"], "columns": ["user", "password", "n"], "data": rows }),
            |rows: &Value| json!({ "data": rows, "names": ["user", "password", "n"], "total": 7 }),
            |rows: &Value| json!({ "fields": [{ "name": "user", "id": 1 }, { "id": 2, "name": "password" }, { "name": "n" }], "rows": rows }),
            |rows: &Value| json!({ "meta": { "rowType": [{ "name": "user" }, { "name": "PASSWORD" }, { "name": "n" }] }, "x": { "data": rows } }),
            |rows: &Value| json!([{ "columns": ["a", "b", "c"], "rows": [["u", "Anchor10xQ", 2]] }, { "columns": ["user", "password", "n"], "rows": rows }]),
        ] {
            assert_eq!(screened(around(&rows)), around(&masked));
        }
        assert_eq!(
            screened(json!([["user", "password"], ["ann", "Anchor10xQ"]])),
            json!([["user", "password"], ["ann", "[PASSWORD_1]"]])
        );
        for same in [
            json!({ "columns": ["sku", "token type"], "rows": [["A1", "Anchor10xQ"]] }),
            json!([["sku", "size"], ["A1", "Anchor10xQ"]]),
            json!({ "users": { "columns": ["user", "password"], "rows": [] }, "parts": { "columns": ["sku", "size"], "rows": [["A1", "Anchor10xQ"]] } }),
        ] {
            assert_eq!(screened(same.clone()), same);
        }
    }

    #[test]
    fn a_value_is_read_under_the_name_beside_it_in_whichever_order_they_stand() {
        for (told, masked) in [
            (
                json!({ "value": "Anchor10xQ", "name": "DB_PASSWORD" }),
                json!({ "value": "[PASSWORD_1]", "name": "DB_PASSWORD" }),
            ),
            (
                json!({ "Parameter": { "Name": "DB_PASSWORD", "Type": "SecureString", "Value": "Anchor10xQ" } }),
                json!({ "Parameter": { "Name": "DB_PASSWORD", "Type": "SecureString", "Value": "[PASSWORD_1]" } }),
            ),
            (
                json!([{ "key": "ssn", "note": "x", "value": 536_228_145 }]),
                json!([{ "key": "ssn", "note": "x", "value": "[SSN_1]" }]),
            ),
        ] {
            assert_eq!(screened(told), masked);
        }
        for same in [
            json!({ "name": "password_policy", "type": "x", "value": "Min8chars" }),
            json!({ "name": "SIZE", "type": "x", "value": "Anchor10xQ" }),
        ] {
            assert_eq!(screened(same.clone()), same);
        }
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

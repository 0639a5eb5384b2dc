//! Schemas of tools as providers take them: an object with its properties at the top, and no choice there.
//!
//! What is said so is for the model alone. Whether a call fits is seen by the tool's own schema, when it is made.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

/// What no provider takes at the top, though it is lawful there.
const NOT_AT_THE_TOP: [&str; 7] = ["$ref", "allOf", "anyOf", "oneOf", "enum", "const", "not"];

/// More branches of one schema are not looked at, whatever its references multiply to.
const BRANCHES: usize = 256;

/// Nor are branches deeper than this.
const DEPTH: usize = 16;

/// A hint of more than this helps nobody.
const HINT: usize = 400;

/// The schema itself if it can be sent, else one for an object that may have all its parts.
pub(super) fn object(schema: &Value) -> Cow<'_, Value> {
    let plain = schema.get("type").and_then(Value::as_str) == Some("object")
        && schema.get("properties").is_some_and(Value::is_object)
        && NOT_AT_THE_TOP.iter().all(|word| schema.get(word).is_none());
    if plain { Cow::Borrowed(schema) } else { Cow::Owned(flat(schema)) }
}

fn flat(schema: &Value) -> Value {
    let parts = Gathering { root: schema, left: BRANCHES }.parts(schema, DEPTH);
    let mut out = schema.as_object().cloned().unwrap_or_default();
    for word in NOT_AT_THE_TOP {
        out.remove(word);
    }
    if let Some(hint) = parts.hint.filter(|hint| hint.len() <= HINT) {
        let own = out.get("description").and_then(Value::as_str).map(|own| format!("{own} "));
        out.insert("description".into(), (own.unwrap_or_default() + &hint).into());
    }
    out.insert("type".into(), "object".into());
    out.insert("properties".into(), parts.properties.into());
    out.remove("required");
    if !parts.required.is_empty() {
        out.insert("required".into(), parts.required.into());
    }
    out.into()
}

/// What an object may have, and what it must have.
#[derive(Debug, Default)]
struct Parts {
    properties: Map<String, Value>,
    required: Vec<String>,
    /// Which parts go together, in words.
    hint: Option<String>,
}

impl Parts {
    /// Of a schema without its branches.
    fn own(schema: &Value) -> Self {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        Self {
            properties: schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default(),
            required: required.filter_map(Value::as_str).map(str::to_owned).collect(),
            hint: None,
        }
    }

    /// What has to fit both.
    fn and(mut self, other: Self) -> Self {
        self.take(other.properties, "allOf");
        self.required.extend(other.required);
        let mut seen = std::collections::BTreeSet::new();
        self.required.retain(|name| seen.insert(name.clone()));
        self.hint = self.hint.or(other.hint);
        self
    }

    /// What has to fit one of them.
    fn or(mut self, other: Self) -> Self {
        self.take(other.properties, "anyOf");
        self.required.retain(|name| other.required.contains(name));
        self.hint = None;
        self
    }

    /// More properties; one that stands in both places is joined by this word.
    fn take(&mut self, more: Map<String, Value>, word: &str) {
        for (name, schema) in more {
            let Some(own) = self.properties.get_mut(&name) else {
                self.properties.insert(name, schema);
                continue;
            };
            let joined = own.as_object().filter(|own| own.len() == 1).and_then(|own| own.get(word));
            let mut all = match joined.and_then(Value::as_array) {
                Some(all) => all.clone(),
                None => vec![own.clone()],
            };
            if !all.contains(&schema) {
                all.push(schema);
            }
            if all.len() > 1 {
                *own = json!({ word: all });
            }
        }
    }
}

struct Gathering<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Gathering<'a> {
    /// All that a schema says of an object, its branches and the place that it refers to included.
    fn parts(&mut self, schema: &'a Value, depth: usize) -> Parts {
        let mut parts = Parts::own(schema);
        if depth == 0 || self.left == 0 {
            return parts;
        }
        self.left -= 1;
        let place = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        if let Some(named) = place.and_then(|place| self.root.pointer(place)) {
            parts = parts.and(self.parts(named, depth - 1));
        }
        for branch in branches(schema, "allOf") {
            parts = parts.and(self.parts(branch, depth - 1));
        }
        for word in ["anyOf", "oneOf"] {
            let either: Vec<Parts> =
                branches(schema, word).map(|branch| self.parts(branch, depth - 1)).collect();
            let hint = hint(&either);
            if let Some(either) = either.into_iter().reduce(Parts::or) {
                parts = parts.and(Parts { hint, ..either });
            }
        }
        parts
    }
}

fn branches<'a>(schema: &'a Value, word: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    schema.get(word).and_then(Value::as_array).into_iter().flatten()
}

/// Which of the parts go together, where the branches ask for others.
fn hint(branches: &[Parts]) -> Option<String> {
    let mut sets: Vec<String> = branches.iter().map(|branch| branch.required.join(", ")).collect();
    sets.dedup();
    (sets.len() > 1 && sets.iter().all(|set| !set.is_empty()))
        .then(|| format!("Give one of these sets of arguments: ({}).", sets.join(") or (")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_every_provider_takes_stays_itself() {
        let plain =
            json!({ "type": "object", "properties": { "a": { "anyOf": [{}, {}] } }, "required": ["a"] });
        assert!(matches!(object(&plain), Cow::Borrowed(same) if *same == plain));
    }

    #[test]
    fn what_is_no_object_with_properties_becomes_one() {
        let empty = json!({ "type": "object", "properties": {} });
        for schema in
            [json!({ "type": "object" }), json!({}), json!(true), json!({ "type": ["object", "null"] })]
        {
            assert_eq!(*object(&schema), empty, "{schema}");
        }
        let closed = json!({ "type": "object", "additionalProperties": false });
        assert_eq!(object(&closed)["additionalProperties"], false);
    }

    #[test]
    fn branches_at_the_top_become_one_object_with_all_that_any_of_them_has() {
        let text = json!({ "type": "string" });
        let by = |name: &str| json!({ "properties": { name: text, "n": { "type": "integer" } }, "required": [name, "n"] });
        for word in ["anyOf", "oneOf"] {
            let told = object(
                &json!({ "type": "object", "description": "Finds one.", word: [by("id"), by("mail")] }),
            )
            .into_owned();
            let expected = json!({
                "type": "object",
                "description": "Finds one. Give one of these sets of arguments: (id, n) or (mail, n).",
                "properties": { "id": text, "n": { "type": "integer" }, "mail": text },
                "required": ["n"],
            });
            assert_eq!(told, expected);
        }
        let both = json!({ "properties": { "x": text }, "required": ["x"], "allOf": [by("id"), by("mail")], "not": {} });
        let told = object(&both).into_owned();
        assert_eq!(told["required"], json!(["x", "id", "n", "mail"]));
        assert_eq!((told.get("allOf"), told.get("not"), &told["type"]), (None, None, &json!("object")));
    }

    #[test]
    fn a_part_that_the_branches_describe_otherwise_may_be_any_of_them() {
        let one = |kind: &str| json!({ "properties": { "kind": { "const": kind } }, "required": ["kind"] });
        let told = object(&json!({ "oneOf": [one("a"), one("b"), one("a")] })).into_owned();
        assert_eq!(told["properties"]["kind"], json!({ "anyOf": [{ "const": "a" }, { "const": "b" }] }));
        assert_eq!((&told["required"], told.get("description")), (&json!(["kind"]), None));
    }

    #[test]
    fn references_are_followed_and_never_without_end() {
        let named = json!({
            "$ref": "#/$defs/Args",
            "$defs": { "Args": { "type": "object", "properties": { "a": {} }, "required": ["a"] } },
        });
        let told = object(&named).into_owned();
        assert_eq!((&told["required"], &told["$defs"]), (&json!(["a"]), &named["$defs"]));
        assert!(told["properties"]["a"].is_object() && told.get("$ref").is_none());
        let branch = json!({ "$ref": "#" });
        let ring = json!({ "anyOf": vec![branch; 50], "properties": { "a": {} } });
        assert_eq!(object(&ring)["properties"], json!({ "a": {} }));
    }
}

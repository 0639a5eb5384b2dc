//! Schemas of tools in the form that providers accept: at the top an object with its properties, without alternatives.
//!
//! This form is for the model alone. Calls are validated against the tool's own schema.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use cardea_core::effort::Places;
use serde_json::{Map, Value, json};

/// Keywords that no provider accepts at the top, although they are valid there.
const NOT_AT_THE_TOP: [&str; 7] = ["$ref", "allOf", "anyOf", "oneOf", "enum", "const", "not"];

/// Limit of branches of one schema that are visited, however many its references make.
const BRANCHES: usize = 256;

/// Depth limit of branches.
const DEPTH: usize = 16;

/// Length limit of a hint.
const HINT: usize = 400;

/// Returns the schema itself if it can be sent, else one for an object that may have all its parts.
pub(super) fn object(schema: &Value) -> Cow<'_, Value> {
    let plain = schema.get("type").and_then(Value::as_str) == Some("object")
        && schema.get("properties").is_some_and(Value::is_object)
        && NOT_AT_THE_TOP.iter().all(|word| schema.get(word).is_none());
    if plain { Cow::Borrowed(schema) } else { Cow::Owned(flat(schema)) }
}

fn flat(schema: &Value) -> Value {
    let places = Places::of(schema);
    let parts = Gathering { places: &places, left: BRANCHES }.parts(schema, DEPTH);
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
    let now = Value::from(out);
    Moved::between(schema, places, Places::of(&now)).follow(now.clone())
}

/// Allowed and required members of an object.
#[derive(Debug, Default)]
struct Parts {
    properties: Map<String, Value>,
    required: Vec<String>,
    /// Which members belong together, in words.
    hint: Option<String>,
}

impl Parts {
    /// Returns the parts of a schema without its branches.
    fn own(schema: &Value) -> Self {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        Self {
            properties: schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default(),
            required: required.filter_map(Value::as_str).map(str::to_owned).collect(),
            hint: None,
        }
    }

    /// Returns the parts of an object that must match both.
    fn and(mut self, other: Self) -> Self {
        self.take(other.properties, "allOf");
        self.required.extend(other.required);
        let mut seen = BTreeSet::new();
        self.required.retain(|name| seen.insert(name.clone()));
        self.hint = self.hint.or(other.hint);
        self
    }

    /// Returns the parts of an object that must match one of them.
    fn or(mut self, other: Self) -> Self {
        self.take(other.properties, "anyOf");
        self.required.retain(|name| other.required.contains(name));
        self.hint = None;
        self
    }

    /// Adds properties; one that is in both is joined with this keyword.
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
    places: &'a Places<'a>,
    left: usize,
}

impl<'a> Gathering<'a> {
    /// Returns everything a schema says about an object, including its branches and the target of its reference.
    fn parts(&mut self, schema: &'a Value, depth: usize) -> Parts {
        let mut parts = Parts::own(schema);
        if depth == 0 || self.left == 0 {
            return parts;
        }
        self.left -= 1;
        let named = schema.get("$ref").and_then(Value::as_str);
        if let Some(named) = named.and_then(|reference| self.places.meant(reference)) {
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

/// Describes which members belong together, if the branches differ in that.
fn hint(branches: &[Parts]) -> Option<String> {
    let mut sets: Vec<String> = branches.iter().map(|branch| branch.required.join(", ")).collect();
    sets.dedup();
    (sets.len() > 1 && sets.iter().all(|set| !set.is_empty()))
        .then(|| format!("Give one of these sets of arguments: ({}).", sets.join(") or (")))
}

/// Targets of references that have moved: they were in a branch, or were joined with a part of one. Each gets a new
/// name. WHY: a provider refuses a whole request for one reference without a target.
struct Moved<'a> {
    root: &'a Value,
    before: Places<'a>,
    now: Places<'a>,
    /// Names that are taken.
    taken: BTreeSet<String>,
    /// Results by reference.
    known: BTreeMap<String, Way>,
    copies: usize,
    /// Named, and not written yet.
    open: VecDeque<(String, &'a Value)>,
}

/// Target of a reference after the merge.
#[derive(Debug, Clone)]
enum Way {
    /// The same as before.
    Same,
    /// The copy with this name.
    Copy(String),
    /// None, or more copies than allowed.
    Nowhere,
}

impl<'a> Moved<'a> {
    fn between(root: &'a Value, before: Places<'a>, now: Places<'a>) -> Self {
        let defined = root.get("$defs").and_then(Value::as_object);
        Self {
            root,
            before,
            now,
            taken: defined.into_iter().flat_map(Map::keys).cloned().collect(),
            known: BTreeMap::new(),
            copies: 0,
            open: VecDeque::new(),
        }
    }

    /// Redirects the references of this schema to copies, which are added to it.
    fn follow(mut self, mut out: Value) -> Value {
        self.rename(&mut out);
        let mut copies = Map::new();
        while let Some((name, meant)) = self.open.pop_front() {
            let mut copy = meant.clone();
            unnamed(&mut copy);
            self.rename(&mut copy);
            copies.insert(name, copy);
        }
        if let (false, Some(out)) = (copies.is_empty(), out.as_object_mut()) {
            match out.get_mut("$defs").and_then(Value::as_object_mut) {
                Some(defined) => defined.extend(copies),
                None => drop(out.insert("$defs".into(), copies.into())),
            }
        }
        out
    }

    fn rename(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item)),
            Value::Object(fields) => {
                match fields.get("$ref").and_then(Value::as_str).map(|reference| self.way(reference)) {
                    Some(Way::Copy(name)) => {
                        drop(fields.insert("$ref".into(), format!("#/$defs/{name}").into()));
                    }
                    Some(Way::Nowhere) => drop(fields.remove("$ref")),
                    Some(Way::Same) | None => {}
                }
                fields.values_mut().for_each(|field| self.rename(field));
            }
            _ => {}
        }
    }

    fn way(&mut self, reference: &str) -> Way {
        if let Some(known) = self.known.get(reference) {
            return known.clone();
        }
        let way = self.found(reference);
        self.known.insert(reference.to_owned(), way.clone());
        way
    }

    fn found(&mut self, reference: &str) -> Way {
        let (before, now) = (self.before.meant(reference), self.now.meant(reference));
        // A reference to the root means the merged root.
        let stays = |before: &Value| std::ptr::eq(before, self.root) || now == Some(before);
        if !reference.starts_with('#') || now.is_some() && before.is_none_or(stays) {
            return Way::Same;
        }
        let Some(meant) = before.filter(|_| self.copies < BRANCHES) else { return Way::Nowhere };
        let mut free = (1_u32..).map(|number| format!("moved_{number}"));
        let name = free.find(|name| !self.taken.contains(name)).unwrap_or_default(); // one of them is free
        self.copies += 1;
        self.taken.insert(name.clone());
        self.open.push_back((name.clone(), meant));
        Way::Copy(name)
    }
}

/// Removes the anchors of a copy: references to them use the copy's name, or the original is still in place.
fn unnamed(copy: &mut Value) {
    match copy {
        Value::Array(items) => items.iter_mut().for_each(unnamed),
        Value::Object(fields) => {
            fields.retain(|key, name| {
                !(matches!(key.as_str(), "$anchor" | "$dynamicAnchor") && name.is_string())
            });
            fields.values_mut().for_each(unnamed);
        }
        _ => {}
    }
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

    /// Returns the references of a schema without a target in it, and the number of those with one.
    fn references(schema: &Value) -> (Vec<String>, usize) {
        fn look(root: &Places<'_>, value: &Value, nowhere: &mut Vec<String>, somewhere: &mut usize) {
            let place = value.get("$ref").and_then(Value::as_str);
            match place.map(|place| root.meant(place)) {
                Some(None) => nowhere.push(value.to_string()),
                Some(Some(_)) => *somewhere += 1,
                None => {}
            }
            match value {
                Value::Object(fields) => {
                    fields.values().for_each(|field| look(root, field, nowhere, somewhere))
                }
                Value::Array(items) => items.iter().for_each(|item| look(root, item, nowhere, somewhere)),
                _ => {}
            }
        }
        let (mut nowhere, mut somewhere) = (Vec::new(), 0);
        look(&Places::of(schema), schema, &mut nowhere, &mut somewhere);
        (nowhere, somewhere)
    }

    #[test]
    fn references_into_a_branch_are_kept_though_the_branch_is_gone() {
        let address = json!({ "type": "object", "properties": { "street": { "type": "string" } } });
        for word in ["anyOf", "oneOf", "allOf"] {
            let place = format!("#/{word}/0/properties/from");
            let schema = json!({ word: [
                { "properties": { "from": address, "to": { "$ref": place, "title": "to" } } },
                { "properties": { "all": { "items": { "$ref": place } }, "x": { "$ref": format!("{place}/properties/street") } } },
            ] });
            let told = object(&schema).into_owned();
            assert_eq!(references(&told), (Vec::new(), 3), "{told}");
            let to = &told["properties"]["to"];
            let named = to["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
            assert_eq!((told.pointer(named), &to["title"]), (Some(&address), &json!("to")), "{told}");
            assert_eq!(told["$defs"].as_object().unwrap().len(), 2, "one for each place: {told}");
        }
    }

    #[test]
    fn references_into_a_part_that_was_joined_with_another_are_kept() {
        let schema = json!({
            "properties": {
                "a": { "properties": { "b": { "type": "integer" } } },
                "c": { "$ref": "#/properties/a/properties/b" },
                "d": { "$ref": "#/properties/c" },
            },
            "allOf": [{ "properties": { "a": { "minProperties": 1 } } }],
        });
        let told = object(&schema).into_owned();
        assert_eq!(references(&told), (Vec::new(), 2), "{told}");
        assert_eq!(
            told["properties"]["d"]["$ref"], "#/properties/c",
            "what stays where it was is not touched"
        );
    }

    #[test]
    fn references_by_anchor_and_into_parts_with_odd_names_lead_where_they_led() {
        let text = json!({ "type": "string" });
        let named = json!({ "$anchor": "adr", "type": "string" });
        for (branches, own) in [
            (json!([{ "properties": { "x": named, "y": { "$ref": "#adr" } } }]), json!({})),
            (
                json!([{ "$anchor": "one", "type": "string" }, { "properties": { "n": { "$ref": "#one" } } }]),
                json!({}),
            ),
            (
                json!([{ "$anchor": "one", "type": "string" }, { "properties": { "n": { "$ref": "#/anyOf/0" } } }, { "properties": { "m": { "$ref": "#one" } } }]),
                json!({}),
            ),
            (
                json!([{ "properties": { "a/b": text, "c": { "$ref": "#/anyOf/0/properties/a~1b" } } }]),
                json!({}),
            ),
            (
                json!([{ "properties": { "a b": { "properties": { "s": text } } } }]),
                json!({ "a b": { "minProperties": 1, "x": text }, "c": { "$ref": "#/properties/a%20b/x" } }),
            ),
            (
                json!([{ "properties": { "a~b/c": { "minProperties": 1 } } }]),
                json!({ "a~b/c": { "x": text }, "c": { "$ref": "#/properties/a~0b~1c/x" } }),
            ),
        ] {
            let schema = json!({ "anyOf": branches, "properties": own });
            let told = object(&schema).into_owned();
            let (nowhere, somewhere) = references(&told);
            assert!(nowhere.is_empty() && somewhere > 0, "{nowhere:?} of {told}");
            let places = Places::of(&told);
            let last =
                told["properties"].as_object().unwrap().values().rfind(|value| value.get("$ref").is_some());
            let meant = places.meant(last.unwrap()["$ref"].as_str().unwrap()).unwrap();
            assert_eq!(meant["type"], "string", "{told}");
        }
        let itself = json!({ "$anchor": "me", "anyOf": [{ "properties": { "n": { "$ref": "#me" }, "m": { "$ref": "#" } } }] });
        let told = object(&itself).into_owned();
        assert_eq!((references(&told).1, told.get("$defs")), (2, None), "the root is where it was: {told}");
    }

    #[test]
    fn references_in_a_circle_end_and_so_do_too_many_of_them() {
        let node =
            json!({ "type": "object", "properties": { "next": { "$ref": "#/anyOf/0/properties/node" } } });
        let schema = json!({
            "$defs": { "list": { "$ref": "#/anyOf/0/properties/node" }, "moved_1": {} },
            "anyOf": [{ "properties": { "node": node } }, { "properties": { "gone": { "$ref": "#/anyOf/7" } } }],
        });
        let told = object(&schema).into_owned();
        assert_eq!(references(&told), (Vec::new(), 3), "{told}");
        assert_eq!((&told["$defs"]["moved_1"], &told["properties"]["gone"]), (&json!({}), &json!({})));

        let many: Map<String, Value> = (0..1_000)
            .map(|n| {
                (format!("p{n}"), json!({ "$ref": format!("#/anyOf/0/properties/p{}", (n + 1) % 1_000) }))
            })
            .collect();
        let told = object(&json!({ "anyOf": [{ "properties": many }] })).into_owned();
        assert_eq!(told["properties"].as_object().unwrap().len(), 1_000);
        let (nowhere, somewhere) = references(&told);
        assert!(nowhere.is_empty() && somewhere >= BRANCHES, "{somewhere}");
        assert_eq!(told["$defs"].as_object().unwrap().len(), BRANCHES);
    }
}

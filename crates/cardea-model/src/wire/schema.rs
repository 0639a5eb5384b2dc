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
mod tests;

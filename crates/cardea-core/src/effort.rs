//! Estimates how much work a JSON Schema causes for a value.
//!
//! WHY: a schema of a kilobyte can require more work than any computer can do. If each of thirty definitions is either
//! of two references to the next, the last one is checked a thousand million times. Schemas of tools come from servers
//! that may be hostile, and a running check cannot be stopped, so its steps are counted before.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Depth limit of values for which the steps of a schema with references are counted.
const DEEPEST: usize = 64;

/// Limit of schemas that refer to each other without descending in the value.
const CHAIN: usize = 256;

/// Limit of objects in a schema.
const LARGEST: usize = 10_000;

/// Number of steps of a schema for each depth of a value. A schema without `linked` has no more steps for deeper
/// values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effort {
    /// For one part of a value: the number of schemas checked against it and, along the most expensive path, against
    /// what is below it.
    by_depth: Vec<u64>,
    /// True if references can descend without end. The steps for a value deeper than counted are then unknown.
    linked: bool,
}

impl Effort {
    /// Counts the steps of a schema.
    #[must_use]
    pub fn of(schema: &Value) -> Self {
        let mut nodes = Vec::new();
        let (mut linked, mut moved, mut levels) = (false, false, 0);
        let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
        let id: &[&str] =
            if draft.contains("draft-04") || draft.contains("draft-03") { &["id", "$id"] } else { &["$id"] };
        collect(schema, 1, &mut |node, depth| {
            linked |= ["$ref", "$dynamicRef", "$recursiveRef"].iter().any(|key| node.contains_key(*key));
            // WHY: below an id of its own a reference means another place, which is not resolved here.
            moved |= !nodes.is_empty() && id.iter().any(|key| node.get(*key).is_some_and(Value::is_string));
            nodes.push(node);
            levels = levels.max(depth);
        });
        if nodes.len() > LARGEST || linked && moved {
            return Self { by_depth: vec![u64::MAX], linked: false };
        }
        let levels = if linked { DEEPEST } else { levels };
        let places = Places::of(schema);
        let mut below = HashMap::new();
        let mut by_depth = Vec::new();
        for _ in 0..=levels {
            let mut level = Level { places: &places, below: &below, here: HashMap::new(), chain: 0 };
            for node in &nodes {
                level.object(node);
            }
            by_depth.push(level.schema(schema));
            let here = level.here;
            below = here.into_iter().filter_map(|(node, steps)| Some((node, steps?))).collect();
        }
        Self { by_depth, linked }
    }

    /// Returns an upper bound of the steps to check this value with all of its parts.
    #[must_use]
    pub fn steps(&self, value: &Value) -> u64 {
        let (depth, parts) = measure(value);
        let each = match self.by_depth.get(depth) {
            Some(each) => *each,
            None if self.linked => u64::MAX,
            None => self.by_depth.last().copied().unwrap_or(u64::MAX),
        };
        each.saturating_mul(parts)
    }
}

/// Visits each object in a schema, with its depth.
fn collect<'s>(value: &'s Value, depth: usize, tell: &mut impl FnMut(&'s Map<String, Value>, usize)) {
    match value {
        Value::Object(members) => {
            tell(members, depth);
            members.values().for_each(|member| collect(member, depth.saturating_add(1), tell));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth, tell)),
        _ => {}
    }
}

/// Targets of references within a schema.
#[derive(Debug)]
pub struct Places<'s> {
    root: &'s Value,
    /// By anchor; `None` if several nodes have it: which of them is meant depends on the path to it.
    anchors: HashMap<&'s str, Option<&'s Value>>,
}

impl<'s> Places<'s> {
    /// Collects the anchors of a schema.
    #[must_use]
    pub fn of(root: &'s Value) -> Self {
        let mut anchors = HashMap::new();
        let mut left = vec![root];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(members) => left.extend(members.values()),
                Value::Array(items) => left.extend(items),
                _ => {}
            }
            for name in ["$anchor", "$dynamicAnchor"].into_iter().filter_map(|key| value.get(key)?.as_str()) {
                let place = anchors.entry(name).or_insert(Some(value));
                *place = place.filter(|place| std::ptr::eq(*place, value));
            }
        }
        Self { root, anchors }
    }

    /// Resolves a reference (RFC 6901 section 6, and anchors).
    #[must_use]
    pub fn meant(&self, reference: &str) -> Option<&'s Value> {
        let fragment = reference.strip_prefix('#')?;
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.root.pointer(&unescaped(fragment)?);
        }
        self.anchors.get(fragment).copied().flatten()
    }
}

/// Decodes the percent-encoding of a fragment (RFC 3986 section 2.1).
fn unescaped(fragment: &str) -> Option<String> {
    let mut parts = fragment.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Returns the depth of a value and the number of its parts.
fn measure(value: &Value) -> (usize, u64) {
    let inside = |all: &mut dyn Iterator<Item = &Value>| {
        all.map(measure).fold((0, 1), |(deep, parts), (depth, more)| (deep.max(depth + 1), parts + more))
    };
    match value {
        Value::Array(items) => inside(&mut items.iter()),
        Value::Object(members) => inside(&mut members.values()),
        _ => (0, 1),
    }
}

type Node = *const Map<String, Value>;

/// The steps of all schemas for values of one depth.
struct Level<'s> {
    places: &'s Places<'s>,
    /// Steps for values that are less deep by one.
    below: &'s HashMap<Node, u64>,
    /// Steps for values of this depth; `None` while being counted.
    here: HashMap<Node, Option<u64>>,
    chain: usize,
}

impl<'s> Level<'s> {
    fn schema(&mut self, schema: &'s Value) -> u64 {
        schema.as_object().map_or(1, |members| self.object(members))
    }

    fn object(&mut self, members: &'s Map<String, Value>) -> u64 {
        let node: Node = members;
        if let Some(known) = self.here.get(&node) {
            return known.unwrap_or(1); // it refers to itself without descending, and is checked once
        }
        if self.chain >= CHAIN {
            return u64::MAX;
        }
        self.here.insert(node, None);
        self.chain += 1;
        let steps =
            members.iter().fold(1_u64, |sum, (key, value)| sum.saturating_add(self.keyword(key, value)));
        self.chain -= 1;
        self.here.insert(node, Some(steps));
        steps
    }

    /// Returns the steps that one keyword causes.
    fn keyword(&mut self, key: &str, value: &'s Value) -> u64 {
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        match key {
            "$ref" | "$dynamicRef" | "$recursiveRef" => {
                let meant = value.as_str().and_then(|reference| self.places.meant(reference));
                meant.map_or(u64::MAX, |meant| self.schema(meant)) // the content of other documents is unknown
            }
            "allOf" | "anyOf" | "oneOf" => {
                list.iter().fold(0, |sum: u64, one| sum.saturating_add(self.schema(one)))
            }
            "not" | "if" | "then" | "else" => self.schema(value),
            "dependentSchemas" => {
                let all = value.as_object().into_iter().flat_map(Map::values);
                all.fold(0, |sum: u64, one| sum.saturating_add(self.schema(one)))
            }
            // Each of them applies to a part of its own.
            "properties" => {
                let all = value.as_object().into_iter().flat_map(Map::values);
                all.map(|one| self.child(one)).max().unwrap_or(0)
            }
            "prefixItems" => list.iter().map(|one| self.child(one)).max().unwrap_or(0),
            "items" if value.is_array() => list.iter().map(|one| self.child(one)).max().unwrap_or(0),
            "patternProperties" => {
                let all = value.as_object().into_iter().flat_map(Map::values);
                all.fold(0, |sum: u64, one| sum.saturating_add(self.child(one)))
            }
            "items"
            | "additionalItems"
            | "unevaluatedItems"
            | "contains"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "propertyNames" => self.child(value),
            _ => 0,
        }
    }

    /// Returns the steps of a schema for the parts below.
    fn child(&self, schema: &Value) -> u64 {
        let node = schema.as_object().map(|members| members as Node);
        node.and_then(|node| self.below.get(&node)).copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Builds definitions, each of which is either of two references to the next.
    fn doubling(times: usize) -> Value {
        let link = |n: usize| json!({ "$ref": format!("#/$defs/d{n}") });
        let mut defs: Map<String, Value> =
            (0..times).map(|n| (format!("d{n}"), json!({ "anyOf": [link(n + 1), link(n + 1)] }))).collect();
        defs.insert(format!("d{times}"), json!({ "type": "integer" }));
        json!({ "type": "object", "properties": { "city": link(0) }, "$defs": defs })
    }

    #[test]
    fn a_plain_schema_takes_a_step_for_each_schema_on_the_way_down() {
        let schema =
            json!({ "properties": { "a": { "type": "string" }, "b": { "properties": { "c": true } } } });
        let effort = Effort::of(&schema);
        assert_eq!(effort.steps(&json!({})), 2, "what could be below is counted with it");
        assert_eq!(effort.steps(&json!({ "a": "x" })), 2 * 3, "two parts");
        assert_eq!(
            effort.steps(&json!({ "a": "x", "b": { "c": [[[1]]] } })),
            7 * 3,
            "nothing is said of the rest"
        );
    }

    #[test]
    fn references_that_double_are_counted_and_not_followed() {
        let city = json!({ "city": "Bonn" });
        let steps = |times| Effort::of(&doubling(times)).steps(&city);
        assert!(steps(3) < 100);
        assert!(steps(20) > 1 << 20 && steps(20) < 1 << 24);
        assert_eq!(steps(100), u64::MAX);
        assert_eq!(steps(2 * CHAIN), u64::MAX, "a long chain is not followed to its end either");
    }

    #[test]
    fn a_schema_that_names_itself_costs_what_the_value_is_deep() {
        let tree = json!({
            "$defs": { "node": { "properties": { "name": { "type": "string" }, "children": { "items": { "$ref": "#/$defs/node" } } } } },
            "$ref": "#/$defs/node",
        });
        let effort = Effort::of(&tree);
        let deep = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({ "children": [inner] }));
        assert!(effort.steps(&deep(20)) < 41 * 200, "{}", effort.steps(&deep(20)));
        assert_eq!(effort.steps(&deep(40)), u64::MAX, "deeper than is counted");
        let twice = json!({ "anyOf": [{ "properties": { "a": { "$ref": "#" } } }, { "properties": { "a": { "$ref": "#" } } }] });
        let deep = (0..40).fold(json!({}), |inner, _| json!({ "a": inner }));
        assert!(Effort::of(&twice).steps(&deep) > 1 << 40);
        let itself = json!({ "anyOf": [{ "$ref": "#" }, { "type": "integer" }] });
        assert!(Effort::of(&itself).steps(&json!(1)) < 10);
    }

    #[test]
    fn a_reference_is_followed_however_it_is_written_or_counts_as_without_end() {
        let text = doubling(30).to_string();
        for (plain, other) in [("#/$defs/d", "#/%24defs/d"), ("#/$defs/d", "#/$de%66s/%64")] {
            let schema: Value = serde_json::from_str(&text.replace(plain, other)).unwrap();
            assert!(Effort::of(&schema).steps(&json!({ "city": "Bonn" })) > 1 << 30, "{other}");
        }
        let named = json!({ "$ref": "#tree", "$defs": { "any": { "$anchor": "tree", "type": "object" } } });
        assert!(Effort::of(&named).steps(&json!({})) < 10);
        for elsewhere in [
            json!({ "$ref": "https://example.org/schema" }),
            json!({ "$ref": "#/nowhere" }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$id": "other", "$ref": "#/$defs/b" } } }),
        ] {
            assert_eq!(Effort::of(&elsewhere).steps(&json!({})), u64::MAX, "{elsewhere}");
        }
    }

    #[test]
    fn many_references_by_anchor_cost_no_more_than_others() {
        let links: Vec<Value> = (0..2_000).map(|_| json!({ "$ref": "#a" })).collect();
        let schema = json!({ "anyOf": links, "$defs": { "a": { "$anchor": "a" } }, "enum": vec![0; 20_000] });
        let start = std::time::Instant::now();
        assert!(Effort::of(&schema).steps(&json!(1)) < 5_000);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}

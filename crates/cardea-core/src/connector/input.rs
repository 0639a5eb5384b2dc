//! The arguments of an operation as a JSON Schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Default length limit of a text.
const LONGEST: u64 = 10_000;

/// The arguments of an operation.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// An object schema that accepts no other members.
    pub(super) schema: Value,
    kinds: BTreeMap<String, (String, bool)>,
}

impl Input {
    /// Parses `input`; each mistake with its key.
    pub(super) fn parse(written: &BTreeMap<String, Value>) -> Result<Self, Vec<(String, String)>> {
        let (mut properties, mut required, mut kinds) = (Map::new(), Vec::new(), BTreeMap::new());
        let mut wrong = Vec::new();
        for (name, value) in written {
            match one(name, value) {
                Ok((schema, kind, needed)) => {
                    properties.insert(name.clone(), schema);
                    kinds.insert(name.clone(), (kind, needed));
                    required.extend(needed.then(|| name.clone()));
                }
                Err(why) => wrong.push((name.clone(), why)),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let schema = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        Ok(Self { schema, kinds })
    }

    /// Returns whether there is such an argument.
    pub(super) fn has(&self, name: &str) -> bool {
        self.kinds.contains_key(name)
    }

    /// Returns whether the argument is required.
    pub(super) fn needs(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(|(_, needed)| *needed)
    }

    /// Returns whether its values can be part of a text.
    pub(super) fn is_plain(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(|(kind, _)| !matches!(kind.as_str(), "object" | "array"))
    }

    /// Returns whether it is a list.
    pub(super) fn is_list(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(|(kind, _)| kind == "array")
    }

    /// Returns the names of all arguments.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// Returns the names of the required arguments.
    pub(super) fn needed(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().filter(|(_, (_, needed))| *needed).map(|(name, _)| name.as_str())
    }
}

fn one(name: &str, value: &Value) -> Result<(Value, String, bool), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err("is no name for an argument: small letters, digits and `_`".to_owned());
    }
    if matches!(name, "step" | "result") {
        return Err(format!("`{name}` has a meaning of its own and cannot name an argument"));
    }
    match value {
        Value::String(kind) => {
            let (kind, needed) = kind.strip_suffix('?').map_or((kind.as_str(), true), |kind| (kind, false));
            let schema = match kind {
                "string" => json!({ "type": "string", "maxLength": LONGEST }),
                "integer" | "number" | "boolean" => json!({ "type": kind }),
                other => {
                    return Err(format!(
                        "does not know the kind `{other}`: \"string\", \"integer\", \"number\", \"boolean\" or a table"
                    ));
                }
            };
            Ok((schema, kind.to_owned(), needed))
        }
        Value::Object(members) => {
            let mut members = members.clone();
            let optional = match members.remove("optional") {
                None => false,
                Some(Value::Bool(optional)) => optional,
                Some(_) => return Err("`optional` is true or false".to_owned()),
            };
            let kind = members.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            if !["string", "integer", "number", "boolean", "array", "object"].contains(&kind.as_str()) {
                return Err("needs a `type` that JSON Schema knows, such as \"integer\"".to_owned());
            }
            let schema = Value::Object(members);
            jsonschema::validator_for(&schema).map_err(|error| format!("is no JSON Schema: {error}"))?;
            Ok((schema, kind, !optional))
        }
        _ => Err("is neither a kind such as \"string\" nor a table".to_owned()),
    }
}

//! The expected form of a file, read from the JSON Schema of its type.
//!
//! Supports only what `schemars` generates for such types: tables, maps, lists, choices and plain values.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The schema of a type, with its doc comments and defaults.
#[derive(Debug, Clone)]
pub struct Schema(Value);

impl Schema {
    /// Returns the schema of `T` for reading it from a file.
    #[must_use]
    pub fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().for_deserialize();
        Self(settings.into_generator().into_root_schema_for::<T>().to_value())
    }

    /// Returns the shape of the whole type.
    #[must_use]
    pub fn top(&self) -> Shape<'_> {
        Shape { root: &self.0, here: &self.0, outer: &self.0 }
    }
}

/// A place in a schema.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'s> {
    root: &'s Value,
    /// The description of the value, behind references and `Option`.
    here: &'s Value,
    /// The description of the field itself: its own doc comment and default.
    outer: &'s Value,
}

/// The type of value that a [`Shape`] expects.
#[derive(Debug, Clone)]
pub enum Expects<'s> {
    /// A table with known keys.
    Table(Vec<(&'s str, Shape<'s>)>),
    /// A table whose keys are free names.
    Named(Shape<'s>),
    /// A list.
    List(Shape<'s>),
    /// One of these texts.
    Choice(Vec<&'s str>),
    /// A text; the format says which kind (`duration`, `size`, `rate`, `secret`, …).
    Text(Option<&'s str>),
    /// A whole number within bounds.
    Whole(Option<i64>, Option<i64>),
    /// Any number within bounds.
    Real(Option<f64>, Option<f64>),
    /// True or false.
    Truth,
    /// A value that fits one of these.
    Either(Vec<Shape<'s>>),
    /// Any value: the type itself checks it.
    Anything,
}

impl<'s> Shape<'s> {
    fn at(self, value: &'s Value) -> Self {
        let here = resolve(self.root, value);
        Self { root: self.root, here, outer: value }
    }

    /// Returns the doc comment of the field, or else of its type.
    #[must_use]
    pub fn about(self) -> Option<&'s str> {
        let text = |value: &'s Value| value.get("description")?.as_str();
        text(self.outer).or_else(|| text(self.here))
    }

    /// Returns the default value.
    #[must_use]
    pub fn default(self) -> Option<&'s Value> {
        self.outer.get("default").or_else(|| self.here.get("default"))
    }

    /// Returns whether the value must never be printed.
    #[must_use]
    pub fn is_secret(self) -> bool {
        self.here.get("format").and_then(Value::as_str) == Some("secret")
    }

    /// Returns the keys that a table must have.
    #[must_use]
    pub fn required(self) -> Vec<&'s str> {
        let list = self.here.get("required").and_then(Value::as_array);
        list.map(|names| names.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// Returns the shape under a key of a table.
    #[must_use]
    pub fn key(self, name: &str) -> Option<Self> {
        match self.expects() {
            Expects::Table(keys) => keys.into_iter().find(|(key, _)| *key == name).map(|(_, shape)| shape),
            Expects::Named(each) => Some(each),
            _ => None,
        }
    }

    /// Returns the expected type of value.
    #[must_use]
    pub fn expects(self) -> Expects<'s> {
        if let Some(choices) = choices(self.here) {
            return Expects::Choice(choices);
        }
        if let Some(all) = self.here.get("oneOf").or_else(|| self.here.get("anyOf")).and_then(Value::as_array)
        {
            return Expects::Either(all.iter().map(|each| self.at(each)).collect());
        }
        match type_of(self.here) {
            Some("object") => self.table(),
            Some("array") => {
                self.here.get("items").map_or(Expects::Anything, |each| Expects::List(self.at(each)))
            }
            Some("string") => Expects::Text(self.here.get("format").and_then(Value::as_str)),
            Some("integer") => Expects::Whole(whole(self.here, "minimum"), whole(self.here, "maximum")),
            Some("number") => Expects::Real(real(self.here, "minimum"), real(self.here, "maximum")),
            Some("boolean") => Expects::Truth,
            _ => Expects::Anything,
        }
    }

    fn table(self) -> Expects<'s> {
        match (self.here.get("properties").and_then(Value::as_object), self.here.get("additionalProperties"))
        {
            (Some(keys), _) => {
                Expects::Table(keys.iter().map(|(key, value)| (key.as_str(), self.at(value))).collect())
            }
            (None, Some(each)) if each.is_object() => Expects::Named(self.at(each)),
            (None, Some(Value::Bool(false))) => Expects::Table(Vec::new()),
            _ => Expects::Anything,
        }
    }

    /// Returns the fixed text under `key`, which tells variants of a table apart.
    pub(super) fn tag(self, key: &str) -> Option<&'s str> {
        self.here.get("properties")?.get(key)?.get("const")?.as_str()
    }

    /// Returns the keys that hold a fixed text.
    pub(super) fn tags(self) -> impl Iterator<Item = &'s str> {
        let keys = self.here.get("properties").and_then(Value::as_object).into_iter().flatten();
        keys.filter(|(_, value)| value.get("const").is_some()).map(|(key, _)| key.as_str())
    }
}

/// Follows `$ref` and looks through `Option`.
fn resolve<'s>(root: &'s Value, value: &'s Value) -> &'s Value {
    let mut here = value;
    // The derive cannot generate a schema that refers to itself without end; the bound is for safety.
    for _ in 0..16 {
        if let Some(target) = here.get("$ref").and_then(Value::as_str) {
            match target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
                Some(next) => here = next,
                None => return here,
            }
        } else if let Some(only) = behind_option(here) {
            here = only;
        } else {
            return here;
        }
    }
    here
}

/// Looks through `anyOf: [X, null]`, the form of an optional table.
fn behind_option(value: &Value) -> Option<&Value> {
    let all = value.get("anyOf")?.as_array()?;
    let mut real = all.iter().filter(|each| type_of(each) != Some("null"));
    match (real.next(), real.next(), all.len()) {
        (Some(only), None, 2) => Some(only),
        _ => None,
    }
}

/// Returns the type, ignoring `null`.
fn type_of(value: &Value) -> Option<&str> {
    match value.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// Returns the texts of an enum without data, in both of its forms.
fn choices(value: &Value) -> Option<Vec<&str>> {
    if let Some(all) = value.get("enum").and_then(Value::as_array) {
        return Some(all.iter().filter_map(Value::as_str).collect());
    }
    if let Some(only) = value.get("const").and_then(Value::as_str) {
        return Some(vec![only]);
    }
    let all = value.get("oneOf")?.as_array()?;
    let each: Option<Vec<Vec<&str>>> = all.iter().map(choices).collect();
    each.map(|lists| lists.concat())
}

fn whole(value: &Value, bound: &str) -> Option<i64> {
    value.get(bound).and_then(Value::as_i64)
}

fn real(value: &Value, bound: &str) -> Option<f64> {
    value.get(bound).and_then(Value::as_f64)
}

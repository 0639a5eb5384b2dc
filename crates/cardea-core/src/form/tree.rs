//! A TOML text as a tree in which each value knows its place.

use std::ops::Range;

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Problem;

/// Origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// These bytes of the file.
    File(Range<usize>),
    /// This environment variable.
    Variable(String),
    /// None: the value was not written anywhere.
    Nowhere,
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: Kind,
    /// Origin of the value.
    pub place: Place,
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Origin of the key.
    pub key_place: Place,
    /// The value.
    pub value: Node,
}

/// The content of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A string.
    Text(String),
    /// An integer.
    Whole(i64),
    /// A float.
    Real(f64),
    /// A boolean.
    Truth(bool),
    /// A date or time, as written.
    Date(String),
    /// An array.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<Entry>),
}

impl Kind {
    /// Returns the type in words, with its article.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(_) => "a whole number",
            Self::Real(number) if !number.is_finite() => "a number out of all bounds",
            Self::Real(_) => "a number with a fraction",
            Self::Truth(_) => "true or false",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// Returns an empty table without an origin.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kind: Kind::Table(Vec::new()), place: Place::Nowhere }
    }

    /// Returns a text with an origin.
    #[must_use]
    pub fn text(text: impl Into<String>, place: Place) -> Self {
        Self { kind: Kind::Text(text.into()), place }
    }

    /// Returns the entries, if this is a table.
    #[must_use]
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the value under a key of this table.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Returns the value under a key of this table; inserts an empty table if there is none.
    ///
    /// `None` if this is not a table.
    pub fn table_at(&mut self, key: &str) -> Option<&mut Self> {
        let Kind::Table(entries) = &mut self.kind else { return None };
        let at = match entries.iter().position(|entry| entry.key == key) {
            Some(at) => at,
            None => {
                entries.push(Entry { key: key.to_owned(), key_place: Place::Nowhere, value: Self::empty() });
                entries.len() - 1
            }
        };
        entries.get_mut(at).map(|entry| &mut entry.value)
    }

    /// Returns the value at a full key such as `upstreams.ops.url` or `tools[2]`; keys may contain dots.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Self> {
        if path.is_empty() || path == "." {
            return Some(self);
        }
        match &self.kind {
            Kind::Table(entries) => {
                entries.iter().find_map(|entry| entry.value.find(below(path, &entry.key)?))
            }
            Kind::List(items) => {
                items.iter().enumerate().find_map(|(i, item)| item.find(below(path, &format!("[{i}]"))?))
            }
            _ => None,
        }
    }

    /// Removes the value at a full key; returns whether there was one.
    pub fn remove(&mut self, path: &str) -> bool {
        match &mut self.kind {
            Kind::Table(entries) => {
                if let Some(at) = entries.iter().position(|e| below(path, &e.key).is_some_and(str::is_empty))
                {
                    entries.remove(at);
                    return true;
                }
                entries.iter_mut().any(|e| below(path, &e.key).is_some_and(|rest| e.value.remove(rest)))
            }
            Kind::List(items) => {
                let names: Vec<String> = (0..items.len()).map(|i| format!("[{i}]")).collect();
                if let Some(at) = names.iter().position(|n| below(path, n).is_some_and(str::is_empty)) {
                    items.remove(at);
                    return true;
                }
                let mut pairs = items.iter_mut().zip(&names);
                pairs.any(|(item, name)| below(path, name).is_some_and(|rest| item.remove(rest)))
            }
            _ => false,
        }
    }

    /// Converts to JSON; dates become texts.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Text(text) | Kind::Date(text) => Value::String(text.clone()),
            Kind::Whole(number) => Value::from(*number),
            Kind::Real(number) => Value::from(*number),
            Kind::Truth(truth) => Value::Bool(*truth),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Table(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
            }
        }
    }

    /// Calls `visit` with the full key of each value in the tree, tables and lists first.
    pub fn walk(&self, visit: &mut impl FnMut(&str, &Self)) {
        self.walk_from("", visit);
    }

    fn walk_from(&self, path: &str, visit: &mut impl FnMut(&str, &Self)) {
        visit(path, self);
        match &self.kind {
            Kind::Table(entries) => {
                entries.iter().for_each(|entry| entry.value.walk_from(&join(path, &entry.key), visit));
            }
            Kind::List(items) => {
                let each = items.iter().enumerate();
                each.for_each(|(i, item)| item.walk_from(&format!("{path}[{i}]"), visit));
            }
            _ => {}
        }
    }
}

/// Returns the rest of `path` below `key`; `None` if the path does not lead there.
fn below<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() || rest.starts_with('[') { Some(rest) } else { rest.strip_prefix('.') }
}

/// Appends a key to `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Parses a TOML text. If it is not TOML, returns all places where it is not.
///
/// # Errors
/// The syntax errors.
pub fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(Node { place: Place::File(table.span()), kind: from_table(table.get_ref()) });
    }
    let problem = |error: &toml::de::Error| {
        let place = error.span().map_or(Place::Nowhere, Place::File);
        Problem::new("", format!("not TOML: {}", error.message().replace('\n', ", ")), place)
    };
    Err(errors.iter().map(problem).collect())
}

fn from_table(table: &DeTable<'_>) -> Kind {
    let mut entries: Vec<Entry> = table.iter().map(|(key, value)| from_entry(key, value)).collect();
    // The parser sorts its keys; people expect messages in the order of their file.
    entries.sort_by_key(|entry| match &entry.key_place {
        Place::File(span) => span.start,
        _ => usize::MAX,
    });
    Kind::Table(entries)
}

fn from_entry(key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> Entry {
    Entry { key: key.get_ref().to_string(), key_place: Place::File(key.span()), value: from_value(value) }
}

fn from_value(value: &Spanned<DeValue<'_>>) -> Node {
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            // WHY: an integer beyond 64 bits is of no use to any key; it is refused as a value of the wrong type.
            i64::from_str_radix(&digits, number.radix()).map_or(Kind::Real(f64::INFINITY), Kind::Whole)
        }
        DeValue::Float(number) => {
            let digits = number.as_str().replace('_', "");
            digits.parse().map_or(Kind::Real(f64::NAN), Kind::Real)
        }
        DeValue::Boolean(truth) => Kind::Truth(*truth),
        DeValue::Datetime(date) => Kind::Date(date.to_string()),
        DeValue::Array(items) => Kind::List(items.iter().map(from_value).collect()),
        DeValue::Table(table) => from_table(table),
    };
    Node { kind, place: Place::File(value.span()) }
}

/// Line and column, both counted from one; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Returns the position of a byte in a text, for people.
#[must_use]
pub fn position(text: &str, byte: usize) -> Position {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Position { line, column }
}

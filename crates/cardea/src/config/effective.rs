//! The effective configuration: every value with its origin.

use std::fmt::Write as _;

use cardea_core::form::{Expects, Node, Place, Schema, Shape, position};
use serde_json::{Map, Value, json};

/// Every effective value with its origin. Holds no secret.
#[derive(Debug, Clone, Default)]
pub struct Effective {
    values: Vec<Setting>,
}

/// One value.
#[derive(Debug, Clone)]
struct Setting {
    key: Vec<String>,
    value: Option<Value>,
    origin: Origin,
    /// True for a value that is written on a line of its own below a section, not in its parent's list.
    secret: bool,
    /// Actual value of a default that was computed.
    settled: bool,
}

#[derive(Debug, Clone)]
enum Origin {
    Default,
    Line(String),
    Variable(String),
}

impl Effective {
    pub(super) fn new(schema: &Schema, root: &Node, name: &str, text: &str) -> Self {
        let mut values = Vec::new();
        collect(schema.top(), Some(root), &mut Vec::new(), &mut values, &|place| match place {
            Place::File(span) => Origin::Line(format!("{name}:{}", position(text, span.start).line)),
            Place::Variable(variable) => Origin::Variable(variable.clone()),
            Place::Nowhere => Origin::Default,
        });
        Self { values }
    }

    /// Records the actual value of a computed default.
    pub(super) fn settled(mut self, key: &str, value: &str) -> Self {
        let same = |setting: &&mut Setting| {
            setting.key.join(".") == key && matches!(setting.origin, Origin::Default)
        };
        if let Some(setting) = self.values.iter_mut().find(same) {
            (setting.value, setting.settled) = (Some(json!(value)), true);
        }
        self
    }

    /// Formats as TOML, with a comment on the origin of each value. Keys without a value become comments.
    #[must_use]
    pub fn toml(&self) -> String {
        let (mut text, mut section) = (String::new(), Vec::new());
        // Keys of no section first: below a section line they would belong to that section.
        let (top, rest): (Vec<_>, Vec<_>) = self.values.iter().partition(|setting| setting.key.len() == 1);
        for setting in top.into_iter().chain(rest) {
            let Some((last, table)) = setting.key.split_last() else { continue };
            if table != section {
                section = table.to_vec();
                let name: Vec<String> = section.iter().map(|part| bare(part)).collect();
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{}]", name.join("."));
            }
            let origin = match &setting.origin {
                Origin::Default => "default".to_owned(),
                Origin::Line(at) => at.clone(),
                Origin::Variable(name) => format!("environment {name}"),
            };
            let line = match &setting.value {
                Some(_) if setting.secret => format!("{} = \"***\"", bare(last)),
                Some(value) if setting.settled => format!("# {} comes to {}", bare(last), toml_value(value)),
                Some(value) => format!("{} = {}", bare(last), toml_value(value)),
                None => format!("# {} is not set", bare(last)),
            };
            let _ = writeln!(text, "{line:<48} # {origin}");
        }
        text
    }

    /// Formats as JSON: `{ "server.bind": { "value": …, "from": … } }`, secrets masked.
    #[must_use]
    pub fn json(&self) -> Value {
        let each = self.values.iter().map(|setting| {
            let value = match &setting.value {
                Some(_) if setting.secret => json!("***"),
                Some(value) => value.clone(),
                None => Value::Null,
            };
            let from = match &setting.origin {
                Origin::Default => json!("default"),
                Origin::Line(at) => json!(at),
                Origin::Variable(name) => json!(name),
            };
            (setting.key.join("."), json!({ "value": value, "from": from }))
        });
        Value::Object(each.collect::<Map<_, _>>())
    }
}

fn collect(
    shape: Shape<'_>,
    node: Option<&Node>,
    path: &mut Vec<String>,
    out: &mut Vec<Setting>,
    origin: &dyn Fn(&Place) -> Origin,
) {
    let inner: Vec<(String, Shape<'_>, Option<&Node>)> = match shape.expects() {
        Expects::Table(keys) => keys
            .into_iter()
            .map(|(key, inner)| (key.to_owned(), inner, node.and_then(|node| node.get(key))))
            .collect(),
        Expects::Named(each) if node.is_some() => {
            let entries = node.and_then(Node::entries).unwrap_or_default();
            entries.iter().map(|entry| (entry.key.clone(), each, Some(&entry.value))).collect()
        }
        _ => return out.push(setting(shape, node, path, origin)),
    };
    // Values first: below a `[section]` line TOML would assign them to that section.
    let (tables, values): (Vec<_>, Vec<_>) =
        inner.into_iter().partition(|(_, shape, node)| match shape.expects() {
            Expects::Table(_) => true,
            Expects::Named(_) => node.is_some(),
            _ => false,
        });
    for (key, shape, node) in values.into_iter().chain(tables) {
        path.push(key);
        collect(shape, node, path, out, origin);
        path.pop();
    }
}

fn setting(
    shape: Shape<'_>,
    node: Option<&Node>,
    path: &[String],
    origin: &dyn Fn(&Place) -> Origin,
) -> Setting {
    let value = match node {
        // WHY: the text of a secret is not even kept.
        Some(_) if holds_secrets(shape) => Some(Value::Null),
        Some(node) => Some(node.to_json()),
        None => shape.default().filter(|value| !value.is_null()).cloned(),
    };
    let secret = holds_secrets(shape) && node.is_some();
    let origin = node.map_or(Origin::Default, |node| origin(&node.place));
    Setting { key: path.to_vec(), value, origin, secret, settled: false }
}

/// Returns whether a value is a secret, or a list that contains one. Such a list is masked as a whole.
fn holds_secrets(shape: Shape<'_>) -> bool {
    shape.is_secret()
        || match shape.expects() {
            Expects::List(each) | Expects::Named(each) => holds_secrets(each),
            Expects::Table(keys) => keys.into_iter().any(|(_, inner)| holds_secrets(inner)),
            _ => false,
        }
}

fn bare(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { key.to_owned() } else { Value::from(key).to_string() }
}

pub(super) fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        Value::Object(keys) => {
            let each: Vec<String> =
                keys.iter().map(|(key, value)| format!("{} = {}", bare(key), toml_value(value))).collect();
            if each.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", each.join(", ")) }
        }
        other => other.to_string(),
    }
}

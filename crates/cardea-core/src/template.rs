//! Texts with slots: `/orders/{order}`. A value that fills a slot never becomes text of the file again, so a value
//! with braces, quotes or line ends in it is just a value.

use serde_json::{Map, Value};

/// Slot of the idempotency key.
pub(crate) const STEP: &str = "step";
/// Slot of what an operation returned.
pub(crate) const RESULT: &str = "result";

/// A slot: a name and the path into its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    path: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(Slot),
}

/// A parsed text with slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

/// A JSON value whose texts are templates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Text(Template),
    Plain(Value),
    List(Vec<Tree>),
    Members(Vec<(String, Tree)>),
}

/// Values of slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) arguments: &'a Map<String, Value>,
    pub(crate) step: &'a str,
    pub(crate) result: Option<&'a Value>,
}

impl Values<'_> {
    /// Returns the value of a slot; `None` if it was not given.
    fn get(&self, slot: &Slot) -> Option<Value> {
        if slot.name == STEP {
            return Some(Value::String(self.step.to_owned()));
        }
        let start = if slot.name == RESULT { self.result } else { self.arguments.get(&slot.name) };
        let inner = slot.path.iter().try_fold(start?, |value, part| match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            other => other.get(part),
        });
        inner.filter(|value| !value.is_null()).cloned()
    }
}

impl Template {
    /// Parses a text; `{{` and `}}` stand for braces.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
            plain.push_str(before);
            if let Some(tail) = after.strip_prefix("{{").or_else(|| after.strip_prefix("}}")) {
                plain.extend(after.chars().take(1));
                rest = tail;
            } else if let Some((name, tail)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}'))
            {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Slot(Slot::parse(name)?));
                rest = tail;
            } else {
                return Err("has a brace without its other half; write `{{` or `}}` for a brace".to_owned());
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().filter_map(|piece| if let Piece::Slot(slot) = piece { Some(slot) } else { None })
    }

    /// Returns the fixed parts, for checks of what a file may contain.
    pub(crate) fn fixed(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None })
    }

    /// Returns the slot that is the whole text, if it is.
    fn only(&self) -> Option<&Slot> {
        match self.0.as_slice() {
            [Piece::Slot(slot)] => Some(slot),
            _ => None,
        }
    }

    /// Fills the text; `None` if a slot was not given.
    pub(crate) fn text(&self, values: &Values<'_>) -> Result<Option<String>, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Slot(slot) => match values.get(slot) {
                    Some(value) => text.push_str(&plain(&value).ok_or_else(|| not_plain(slot))?),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(text))
    }

    /// Works like [`Template::text`], but a list that fills the whole text gives one text for each of its items.
    pub(crate) fn texts(&self, values: &Values<'_>) -> Result<Vec<String>, String> {
        if let Some(slot) = self.only()
            && let Some(Value::Array(items)) = values.get(slot)
        {
            return items.iter().map(|item| plain(item).ok_or_else(|| not_plain(slot))).collect();
        }
        Ok(self.text(values)?.into_iter().collect())
    }

    /// Fills the value: with the type of the slot's value if the slot is the whole text, else as a text.
    fn value(&self, values: &Values<'_>) -> Result<Option<Value>, String> {
        match self.only() {
            Some(slot) => Ok(values.get(slot)),
            None => Ok(self.text(values)?.map(Value::String)),
        }
    }
}

impl Slot {
    fn parse(name: &str) -> Result<Self, String> {
        let mut parts = name.split('.').map(str::to_owned);
        let good = |part: &String| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        if !name.split('.').all(|part| good(&part.to_owned())) {
            return Err(format!("has the slot `{{{name}}}`, which is no name"));
        }
        let name = parts.next().unwrap_or_default();
        Ok(Self { name, path: parts.collect() })
    }
}

impl Tree {
    /// Parses a value of a file; the error names the place inside it.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text)?),
            Value::Array(items) => Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let each = members.iter().map(|(key, value)| Ok((key.clone(), Self::parse(value)?)));
                Self::Members(each.collect::<Result<_, String>>()?)
            }
            plain => Self::Plain(plain.clone()),
        })
    }

    /// Returns all templates in it.
    pub(crate) fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(template) => vec![template],
            Self::Plain(_) => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::templates).collect(),
            Self::Members(members) => members.iter().flat_map(|(_, value)| value.templates()).collect(),
        }
    }

    /// Fills the value. A member or item whose slot was not given is left out.
    pub(crate) fn value(&self, values: &Values<'_>) -> Result<Option<Value>, String> {
        Ok(match self {
            Self::Text(template) => template.value(values)?,
            Self::Plain(value) => Some(value.clone()),
            Self::List(items) => {
                let filled: Result<Vec<_>, String> = items.iter().map(|item| item.value(values)).collect();
                Some(filled?.into_iter().flatten().collect())
            }
            Self::Members(members) => {
                let mut filled = Map::new();
                for (key, tree) in members {
                    if let Some(value) = tree.value(values)? {
                        filled.insert(key.clone(), value);
                    }
                }
                Some(Value::Object(filled))
            }
        })
    }
}

/// Formats a value that can be part of a text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn not_plain(slot: &Slot) -> String {
    format!("`{}` is neither a text nor a number", slot.name)
}

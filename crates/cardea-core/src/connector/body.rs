//! Parses the body of an answer.

use serde_json::Value;

use crate::written;

/// The body of an answer.
pub(super) enum Body {
    /// Empty.
    Nothing,
    /// JSON.
    Json(Value),
    /// Another text.
    Text(String),
}

impl Body {
    /// Parses a body. `None` if it is neither JSON nor text.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Some(Self::Nothing);
        }
        let text = std::str::from_utf8(body).ok()?;
        let whole = written::whole_letters(text);
        // Nothing is rounded: a number of many digits may be an id.
        Some(written::kept(&whole).map_or_else(|| Self::Text(text.to_owned()), Self::Json))
    }

    /// Returns the value, if it is JSON; an empty body is null.
    pub(super) fn json(self) -> Option<Value> {
        match self {
            Self::Nothing => Some(Value::Null),
            Self::Json(value) => Some(value),
            Self::Text(_) => None,
        }
    }
}

/// Keeps only these members, of an object or of each object of a list. Returns false if there is something else in it,
/// which the file does not allow to keep.
pub(super) fn keep(value: &mut Value, names: &[String]) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter_mut().all(|item| keep(item, names)),
        Value::Object(members) => {
            members.retain(|key, _| names.contains(key));
            true
        }
        _ => false,
    }
}

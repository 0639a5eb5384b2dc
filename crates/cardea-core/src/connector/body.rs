//! From the bytes of an answer to a value.

use serde_json::Value;

use crate::written;

/// What the body of an answer says.
pub(super) enum Body {
    /// Nothing at all.
    Nothing,
    /// JSON.
    Json(Value),
    /// Some other text.
    Text(String),
}

impl Body {
    /// Reads a body. `None` if it is neither JSON nor text.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Some(Self::Nothing);
        }
        let text = std::str::from_utf8(body).ok()?;
        let whole = written::whole_letters(text);
        // Nothing is rounded: an id of many digits is the name of something.
        Some(written::kept(&whole).map_or_else(|| Self::Text(text.to_owned()), Self::Json))
    }

    /// The value, if it is JSON; nothing is null.
    pub(super) fn json(self) -> Option<Value> {
        match self {
            Self::Nothing => Some(Value::Null),
            Self::Json(value) => Some(value),
            Self::Text(_) => None,
        }
    }
}

/// Keeps only these members, of an object or of each object of a list. False if there is something else in it, of which
/// nobody says that it may be kept.
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

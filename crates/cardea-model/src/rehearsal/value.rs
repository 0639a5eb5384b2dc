//! Formats single values of a result for people.

use serde_json::{Map, Value};

use super::words::name_words;

/// Limit of list items that are shown.
const ITEMS: usize = 5;

/// Returns a field's name as people say it.
///
/// `placed_at` is `placed`, `amount_cents` is an `amount`, `is_enabled` is `enabled`.
pub(super) fn label(name: &str) -> String {
    let words = name_words(name);
    let words = match words.as_slice() {
        [first, rest @ ..] if first == "is" && !rest.is_empty() => rest,
        all => all,
    };
    let words = match words {
        [rest @ .., last] if matches!(last.as_str(), "cents" | "minor" | "at") && !rest.is_empty() => rest,
        all => all,
    };
    words.join(" ")
}

/// Formats a field's value.
pub(super) fn field(name: &str, value: &Value, currency: &str) -> String {
    let words = name_words(name);
    let cents = words.iter().any(|word| matches!(word.as_str(), "cents" | "minor"));
    let sum = words.iter().any(|word| {
        matches!(word.as_str(), "total" | "amount" | "price" | "balance" | "revenue" | "refunded")
    });
    match value.as_f64() {
        Some(amount) if cents => format!("{:.2} {currency}", amount / 100.0).trim_end().to_owned(),
        Some(amount) if sum && value.is_f64() => format!("{amount:.2} {currency}").trim_end().to_owned(),
        Some(_) if sum => format!("{} {currency}", scalar(value)).trim_end().to_owned(),
        _ => compact(value),
    }
}

/// Formats a scalar value.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => day_and_minute(text),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => {
                format!("{float:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Shortens `2026-05-01T12:30:00.000Z` to `2026-05-01 12:30`.
fn day_and_minute(text: &str) -> String {
    let stamp = text.len() >= 19
        && text.is_ascii()
        && text.get(4..5) == Some("-")
        && text.get(10..11) == Some("T")
        && text.get(13..14) == Some(":");
    match (stamp, text.get(..10), text.get(11..16)) {
        (true, Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => text.to_owned(),
    }
}

/// Formats a nested value in a few words.
pub(super) fn compact(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().take(ITEMS).map(compact).collect();
            let more = if items.len() > ITEMS {
                format!(" and {} more", items.len() - ITEMS)
            } else {
                String::new()
            };
            format!("{}{more}", parts.join("; "))
        }
        Value::Object(fields) => said_by(fields).unwrap_or_else(|| {
            let parts = fields.iter().filter(|(_, value)| !value.is_null() && *value != "").take(4);
            parts
                .map(|(name, value)| format!("{} {}", label(name), scalar(value)))
                .collect::<Vec<_>>()
                .join(", ")
        }),
        one => scalar(one),
    }
}

/// Formats a comment or a message: author, text and time.
fn said_by(fields: &Map<String, Value>) -> Option<String> {
    let find = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str());
    let text = find(&["text", "body", "comment", "note", "message"])?;
    let who = find(&["author", "agent", "who", "actor", "from", "by"])?;
    let when = find(&["at", "created_at", "time", "date"]).map(|when| format!(" ({})", day_and_minute(when)));
    Some(format!("{who}{}: {text}", when.unwrap_or_default()))
}

/// Words an action: `process refund` is `process the refund`; a name without a verb is something to get, or to use if
/// it changes things.
pub(super) fn action(words: &[String], verbs: &[&str], changes: bool) -> String {
    match words {
        [verb, rest @ ..] if verbs.contains(&verb.as_str()) && !rest.is_empty() => {
            format!("{verb} the {}", rest.join(" "))
        }
        words => format!("{} the {}", if changes { "use" } else { "get" }, words.join(" ")),
    }
}

/// Words a completed action: `process refund` becomes `the refund is processed`.
pub(super) fn done(words: &[String], verbs: &[&str]) -> String {
    match words {
        [verb, rest @ ..] if verbs.contains(&verb.as_str()) && !rest.is_empty() => {
            format!("the {} is {}", rest.join(" "), past(verb))
        }
        words => words.join(" "),
    }
}

/// Returns the participle of the verbs that begin tool names.
fn past(verb: &str) -> String {
    match verb {
        "set" | "put" | "cut" => verb.to_owned(),
        "send" => "sent".to_owned(),
        "cancel" => "cancelled".to_owned(),
        "run" => "run".to_owned(),
        _ if verb.ends_with('e') => format!("{verb}d"),
        _ if verb.ends_with('y') => format!("{}ied", verb.trim_end_matches('y')),
        _ => format!("{verb}ed"),
    }
}

/// Capitalises the text.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

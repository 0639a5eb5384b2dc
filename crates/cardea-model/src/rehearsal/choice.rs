//! Chooses among given values (enums, booleans) by the words of a message.

use serde_json::Value;

use super::{
    said::Said,
    schema::Property,
    words::{alike, name_words, stem},
};

/// Words with the same meaning as values for states, priorities and times.
const MEANS: &[(&str, &[&str])] = &[
    ("urgent", &["critical", "asap", "emergency", "immediately"]),
    ("critical", &["urgent", "asap", "emergency"]),
    ("high", &["urgent", "important", "asap", "critical", "top"]),
    ("low", &["minor", "unimportant", "whenever"]),
    ("medium", &["normal", "moderate", "average"]),
    ("normal", &["medium", "regular", "standard"]),
    ("open", &["unresolved", "active", "outstanding", "unsolved", "pending"]),
    ("pending", &["waiting", "unprocessed", "outstanding", "open"]),
    ("closed", &["done", "finished", "solved"]),
    ("resolved", &["fixed", "solved", "done"]),
    ("cancelled", &["canceled", "aborted"]),
    ("delivered", &["arrived", "received"]),
    ("shipped", &["sent", "dispatched"]),
    ("week", &["weekly", "7"]),
    ("month", &["monthly", "30"]),
    ("quarter", &["quarterly", "90"]),
    ("year", &["yearly", "annual", "annually"]),
    ("day", &["daily", "today", "24"]),
];

/// Returns the value that the message names.
pub(super) fn of(values: &[Value], property: &Property, said: &Said<'_>) -> Option<Value> {
    let spoken: Vec<String> = said.words.iter().map(|word| word.text.to_lowercase()).collect();
    let mut best: Option<(f64, &Value)> = None;
    for value in values {
        let label = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let score = named(&name_words(&label), &spoken).max(meant(&label, &spoken));
        if score > best.map_or(0.0, |(score, _)| score) {
            best = Some((score, value));
        }
    }
    let (score, value) = best?;
    // A value that is merely similar must not fill an optional argument.
    (score >= 1.0 || property.required).then(|| value.clone())
}

/// Returns how clearly the words of a label occur in the message, in their order.
fn named(label: &[String], spoken: &[String]) -> f64 {
    if label.is_empty() {
        return 0.0;
    }
    let score = |window: &[String]| {
        let exact = window.iter().zip(label).all(|(said, word)| said == word);
        let stems = window.iter().zip(label).all(|(said, word)| stem(said) == stem(word));
        let close = window.iter().zip(label).all(|(said, word)| alike(said, word));
        let length = label.iter().map(String::len).sum::<usize>().min(100);
        let base = if exact {
            3.0
        } else if stems {
            2.0
        } else if close {
            1.5
        } else {
            0.0
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 100")]
        if base > 0.0 { base + length as f64 / 1_000.0 } else { 0.0 }
    };
    spoken.windows(label.len()).map(score).fold(0.0, f64::max)
}

fn meant(label: &str, spoken: &[String]) -> f64 {
    let label = label.to_lowercase();
    let last = label.rsplit(['_', '-', ' ']).next().unwrap_or(&label);
    let others = MEANS
        .iter()
        .filter(|(word, _)| *word == label || stem(word) == stem(last))
        .flat_map(|(_, others)| *others);
    if others.into_iter().any(|other| spoken.iter().any(|word| word == other)) { 1.0 } else { 0.0 }
}

const ON: &[&str] = &[
    "enable",
    "enabled",
    "activate",
    "activated",
    "on",
    "start",
    "launch",
    "yes",
    "true",
    "allow",
    "enabling",
];
const OFF: &[&str] = &[
    "disable",
    "disabled",
    "deactivate",
    "deactivated",
    "off",
    "stop",
    "kill",
    "no",
    "false",
    "forbid",
    "disabling",
];

/// Returns yes or no, if the message says so.
pub(super) fn truth(property: &Property, said: &Said<'_>) -> Option<Value> {
    let is_switch = property.words.iter().any(|word| {
        matches!(
            word.as_str(),
            "enabled" | "enable" | "active" | "on" | "state" | "activate" | "value" | "status"
        )
    });
    if is_switch {
        return match (said.has(OFF), said.has(ON)) {
            (true, _) => Some(false.into()),
            (false, true) => Some(true.into()),
            _ => None,
        };
    }
    let word = property
        .words
        .iter()
        .find(|word| !matches!(word.as_str(), "is" | "only" | "include" | "as" | "with"))?;
    let wanted = stem(word);
    let place = said
        .words
        .iter()
        .position(|spoken| spoken.stem == wanted || alike(&spoken.text.to_lowercase(), word));
    if let Some(place) = place {
        let before: Vec<String> =
            said.words.iter().take(place).rev().take(2).map(|word| word.text.to_lowercase()).collect();
        let denied =
            before.iter().any(|word| matches!(word.as_str(), "not" | "no" | "without" | "never" | "non"));
        return Some((!denied).into());
    }
    let opposite = match word.as_str() {
        "internal" | "private" => said.has(&["public", "publicly", "visible"]),
        "public" => said.has(&["internal", "private", "privately"]),
        _ => false,
    };
    opposite.then(|| false.into())
}

//! Mood of a message: whether it asks for information or for an action.

use cardea_core::tool::ToolSpec;

use super::{said::Said, schema::looks, words::LOOKING};

/// Mood of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// A question with a question word: it must not change anything.
    Asks,
    /// A request to see something.
    Looks,
    /// A request that begins with a verb of doing.
    Orders,
    Unclear,
}

const ASKING: &[&str] = &[
    "what", "where", "when", "who", "which", "how", "is", "are", "does", "do", "did", "has", "have", "why",
    "whats", "was", "were", "any",
];
const ORDERING: &[&str] = &[
    "add",
    "leave",
    "put",
    "set",
    "change",
    "update",
    "create",
    "make",
    "file",
    "cancel",
    "delete",
    "remove",
    "erase",
    "refund",
    "reimburse",
    "give",
    "assign",
    "hand",
    "close",
    "escalate",
    "push",
    "switch",
    "turn",
    "enable",
    "disable",
    "mark",
    "tell",
    "reply",
    "comment",
    "remember",
    "note",
    "jot",
    "write",
    "issue",
    "apply",
    "use",
    "send",
    "move",
    "bump",
    "stop",
    "abort",
    "raise",
    "log",
    "correct",
    "edit",
    "inform",
    "answer",
    "activate",
    "deactivate",
    "process",
];

/// Returns whether the word is an imperative.
pub(super) fn orders(word: &str) -> bool {
    ORDERING.contains(&word)
}

/// Words that forbid, at the start of a message: a forbidden action is named as if it were requested.
const FORBIDDING: &[&[&str]] = &[
    &["do", "not"],
    &["don", "t"],
    &["dont"],
    &["never"],
    &["you", "should", "not"],
    &["you", "shouldn", "t"],
    &["you", "must", "not"],
];

impl Mood {
    /// Returns the mood, from the first words.
    pub(super) fn of(said: &Said<'_>) -> Self {
        let mut words: Vec<String> = said.words.iter().take(9).map(|word| word.text.to_lowercase()).collect();
        let begins = words.iter().position(|word| word != "please").unwrap_or_default();
        if let Some(no) = FORBIDDING.iter().find(|no| {
            let own = words.get(begins..).unwrap_or_default();
            own.len() > no.len() && own.iter().zip(**no).all(|(word, no)| word == no)
        }) {
            words.drain(..begins.saturating_add(no.len()));
        }
        let polite = [
            "please", "can", "could", "would", "will", "you", "hey", "hi", "hello", "kindly", "i", "d",
            "like", "want", "need", "to", "ok", "now", "then", "and",
        ];
        let mut rest = words.iter().map(String::as_str).skip_while(|word| polite.contains(word));
        let (first, second) = (rest.next().unwrap_or_default(), rest.next().unwrap_or_default());
        let to_us = matches!(second, "me" | "us");
        if ASKING.contains(&first) {
            Self::Asks
        } else if LOOKING.contains(&first) || to_us {
            Self::Looks
        } else if ORDERING.contains(&first) {
            Self::Orders
        } else if said.text.trim_end().ends_with('?')
            && words.first().is_none_or(|word| !polite.contains(&word.as_str()))
        {
            Self::Looks
        } else {
            Self::Unclear
        }
    }

    /// Returns the score that the mood adds to a tool.
    pub(super) fn speaks_for(self, tool: &ToolSpec) -> f64 {
        match (self, looks(tool)) {
            (Self::Asks, false) => -0.3,
            (Self::Looks, false) => -0.2,
            (Self::Orders, true) => -0.25,
            _ => 0.0,
        }
    }
}

/// Returns whether the word asks to see something.
pub(super) fn shows(word: &str) -> bool {
    LOOKING.contains(&word)
}

/// Returns whether the word only concerns how or when something is asked.
pub(super) fn is_plain(word: &str) -> bool {
    ASKING.contains(&word)
        || matches!(
            word,
            "last"
                | "latest"
                | "newest"
                | "recent"
                | "next"
                | "past"
                | "previous"
                | "current"
                | "every"
                | "many"
                | "number"
                | "only"
                | "ones"
                | "top"
                | "everything"
                | "got"
                | "existing"
                | "day"
                | "days"
                | "week"
                | "month"
                | "quarter"
                | "year"
                | "today"
                | "yesterday"
                | "okay"
                | "kindly"
                | "there"
                | "exist"
        )
}

//! Manner of a question: whether it asks for a person, a time, a place or a reason; its tense; its modality.

use super::{reading::Reading, word::Word};

/// Kind of thing that an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Person,
    Time,
    Place,
    Reason,
    Frequency,
    Amount,
    Age,
    Distance,
    Way,
}

/// After `how`.
const MEASURES: &[(&str, Asks)] = &[
    ("many", Asks::Amount),
    ("much", Asks::Amount),
    ("long", Asks::Time),
    ("soon", Asks::Time),
    ("late", Asks::Time),
    ("early", Asks::Time),
    ("often", Asks::Frequency),
    ("frequently", Asks::Frequency),
    ("old", Asks::Age),
    ("far", Asks::Distance),
    ("come", Asks::Reason),
];
/// After `what` or `which`.
const NAMED: &[(&str, Asks)] = &[
    ("time", Asks::Time),
    ("date", Asks::Time),
    ("day", Asks::Time),
    ("hour", Asks::Time),
    ("place", Asks::Place),
    ("reason", Asks::Reason),
    ("person", Asks::Person),
    ("people", Asks::Person),
    ("amount", Asks::Amount),
    ("number", Asks::Amount),
    ("age", Asks::Age),
    ("way", Asks::Way),
    ("steps", Asks::Way),
];

/// Words of past, future, necessity and possibility.
const PAST: &[&str] = &["did", "didn't", "was", "wasn't", "were", "weren't", "had", "yesterday", "ago"];
const COMING: &[&str] = &["will", "won't", "shall", "gonna", "tomorrow", "upcoming"];
const DUTY: &[&str] = &["must", "required", "mandatory", "obligatory", "obliged", "compulsory"];
const LEAVE: &[&str] = &[
    "may",
    "can",
    "could",
    "allowed",
    "permitted",
    "able",
    "possible",
    "optional",
    "forbidden",
    "prohibited",
];

/// Words of certainty and of doubt.
const SURE: &[&str] = &["certain", "certainly", "sure", "surely", "definitely", "guaranteed"];
const DOUBTFUL: &[&str] = &["possible", "possibly", "perhaps", "maybe", "might", "likely", "probably"];

/// Returns whether a text is about the past.
pub(super) fn tells_past(reading: &Reading) -> bool {
    has(reading, PAST)
}

/// Returns whether a word expresses possibility or necessity.
pub(super) fn tells_mood(word: &str) -> bool {
    DUTY.contains(&word) || LEAVE.contains(&word)
}

/// Returns whether a word gives a time without a preposition.
pub(super) fn plain_time(word: &str) -> bool {
    matches!(word, "today" | "tomorrow" | "yesterday" | "tonight" | "now")
        || NAMED.iter().any(|(name, asks)| *asks == Asks::Time && *name == word)
}

fn asks(words: &[Word]) -> Option<Asks> {
    let low = |at: usize| words.get(at).map(|word| word.low.as_str()).unwrap_or_default();
    let named = |table: &[(&str, Asks)], word: &str| {
        table.iter().find(|(name, _)| *name == word).map(|(_, asks)| *asks)
    };
    (0..words.len()).find_map(|at| match low(at) {
        "who" | "who's" | "whom" | "whose" => Some(Asks::Person),
        "when" => Some(Asks::Time),
        "where" | "where's" => Some(Asks::Place),
        "why" => Some(Asks::Reason),
        "how" => Some(named(MEASURES, low(at + 1)).unwrap_or(Asks::Way)),
        "what" | "which" => named(NAMED, low(at + 1)),
        _ => None,
    })
}

fn has(reading: &Reading, list: &[&str]) -> bool {
    reading.words.iter().any(|word| list.contains(&word.low.as_str()))
}

/// Returns whether the texts ask for different kinds of things, such as a person and a time.
pub(super) fn asks_other(a: &Reading, b: &Reading) -> bool {
    match (asks(&a.words), asks(&b.words)) {
        (Some(Asks::Way), _) | (_, Some(Asks::Way)) => false,
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

/// Returns whether one text is about the past and the other about the future.
pub(super) fn other_time(a: &Reading, b: &Reading) -> bool {
    let times = |reading: &Reading| (has(reading, PAST), has(reading, COMING));
    matches!((times(a), times(b)), ((true, false), (false, true)) | ((false, true), (true, false)))
}

/// Returns whether one text expresses necessity and the other possibility, or certainty and doubt.
pub(super) fn other_mood(a: &Reading, b: &Reading) -> bool {
    let obliged = |reading: &Reading| {
        let pairs = reading.words.iter().zip(reading.words.iter().skip(1));
        has(reading, DUTY)
            || pairs
                .into_iter()
                .any(|(one, next)| matches!(one.low.as_str(), "have" | "has") && next.low == "to")
    };
    let moods = |reading: &Reading| (obliged(reading), has(reading, LEAVE));
    let plain = |reading: &Reading| !reading.words.iter().any(Word::negates);
    let doubts = |reading: &Reading| (has(reading, SURE) && plain(reading), has(reading, DOUBTFUL));
    let apart = |one: (bool, bool), other: (bool, bool)| {
        matches!((one, other), ((true, false), (false, true)) | ((false, true), (true, false)))
    };
    apart(moods(a), moods(b)) || apart(doubts(a), doubts(b))
}

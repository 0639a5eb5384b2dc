//! Decides whether a number in a message is the intended amount: only if nothing beside it changes its meaning.

use super::{
    mention::{Kind, Mention},
    said::{Nouns, Said},
};

/// Words before an amount that make it vague.
const VAGUE: &[&str] = &[
    "about",
    "around",
    "roughly",
    "approximately",
    "approx",
    "circa",
    "ca",
    "up",
    "most",
    "least",
    "maximum",
    "minimum",
    "max",
    "min",
    "over",
    "under",
    "more",
    "less",
    "than",
    "nearly",
    "almost",
    "between",
    "below",
    "above",
];
/// Words after an amount that change it.
const SCALING: &[&str] = &[
    "each", "apiece", "per", "hundred", "thousand", "million", "k", "dozen", "times", "x", "percent", "plus",
    "minus", "or", "more", "less",
];
const FRACTIONS: &[&str] = &["half", "third", "quarter", "double", "twice", "triple"];
const JOINING: &[&str] =
    &["to", "-", "–", "—", "x", "×", "*", "times", "+", "plus", "minus", "or", "and", "/", "until", "bis"];

/// Returns whether this is the only amount of the message, and nothing beside it changes its meaning.
pub(super) fn is_plain(mention: &Mention, said: &Said<'_>, nouns: &Nouns) -> bool {
    let before = said.text.get(..mention.start).unwrap_or_default().trim_end().to_lowercase();
    let after = said.text.get(mention.end..).unwrap_or_default().trim_start().to_lowercase();
    let mut lead = before.split_whitespace().rev();
    let (near, next) = (lead.next().unwrap_or_default(), lead.next().unwrap_or_default());
    let numeric = |word: &str| word.ends_with(|c: char| c.is_ascii_digit());
    let joined = JOINING.contains(&near) && numeric(next);
    let glued = before.ends_with(['-', '–', '—', '−', '+', '*', '×', '/', '~', '<', '>'])
        || said.text.get(..mention.start).is_some_and(|head| head.ends_with(['.', ',']));
    let vague = [near, next].iter().any(|word| VAGUE.contains(word)) || near == "minus";
    let follower = after.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '!' | '?')).next();
    let scaled = follower.is_some_and(|word| {
        SCALING.contains(&word.trim_end_matches('.'))
            || word.starts_with(|c: char| c.is_ascii_digit() || c == '+')
    });
    let shares =
        said.has(FRACTIONS) || said.mentions.iter().any(|other| matches!(other.kind, Kind::Percent(_)));
    !joined && !glued && !vague && !scaled && !shares && is_only(mention, said, nouns)
}

/// Returns whether the message has no other amount and, for a bare number, no other bare number.
fn is_only(mention: &Mention, said: &Said<'_>, nouns: &Nouns) -> bool {
    let money = |other: &&Mention| matches!(other.kind, Kind::Money { .. });
    let others = said.mentions.iter().filter(|other| other.start != mention.start);
    if money(&mention) {
        return !others.clone().any(|other| money(&other) && other.text != mention.text);
    }
    let bare = |other: &&Mention| {
        matches!(other.kind, Kind::Number { .. })
            && said.noun_of(other, nouns).is_none()
            && !said.counts_rows(other, nouns)
    };
    !others.clone().any(|other| bare(&other) || money(&other))
}

/// Returns a text of the message that looks like an amount but could not be taken as one.
pub(super) fn unclear(said: &Said<'_>) -> Option<String> {
    let money = said.mentions.iter().filter(|mention| matches!(mention.kind, Kind::Money { .. }));
    let all: Vec<String> = money.map(|mention| format!("`{}`", mention.text)).collect();
    let bare = said
        .mentions
        .iter()
        .find(|mention| matches!(mention.kind, Kind::Number { .. }) && mention.text.contains(['.', ',']));
    match all.as_slice() {
        [] => bare.map(|mention| format!("`{}`", mention.text)),
        all => Some(all.join(" and ")),
    }
}

//! Amounts of money: read only where there is one way to read them.

use super::{
    find::{Kind, Mention},
    said::{Nouns, Said},
};

/// A number as people write it, if it can be read in one way: `1,250.50`, `1.250,50`, `12,50`. `1.000` may be one or a
/// thousand.
pub(super) fn sum(text: &str) -> Option<f64> {
    let parts: Vec<&str> = text.split(['.', ',']).collect();
    let marks: Vec<char> = text.chars().filter(|c| matches!(c, '.' | ',')).collect();
    let (last, head) = parts.split_last()?;
    let decimal = |head: &[&str]| format!("{}.{last}", head.concat()).parse().ok();
    let (end, others) = match marks.split_last() {
        None => return text.parse().ok(),
        Some((end, others)) => (*end, others),
    };
    let same = others.iter().all(|mark| *mark == end);
    let cents = (1..=2).contains(&last.len());
    match others {
        [] if cents => decimal(head),
        [] if end == ',' && in_thousands(&parts) => parts.concat().parse().ok(),
        [_, ..] if same && in_thousands(&parts) => parts.concat().parse().ok(),
        [first, rest @ ..]
            if !same && rest.iter().all(|mark| mark == first) && cents && in_thousands(head) =>
        {
            decimal(head)
        }
        _ => None,
    }
}

fn in_thousands(parts: &[&str]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return false };
    (1..=3).contains(&first.len()) && !first.starts_with('0') && rest.iter().all(|part| part.len() == 3)
}

/// The currencies that a text names.
pub(super) fn currencies(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let word = |wanted: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
    let all: [(&str, &[&str], &str); 4] = [
        ("eur", &["eur", "euro", "euros"], "€"),
        ("usd", &["usd", "dollar", "dollars", "bucks", "buck"], "$"),
        ("gbp", &["gbp", "pound", "pounds"], "£"),
        ("chf", &["chf", "franc", "francs"], "₣"),
    ];
    let named =
        all.into_iter().filter(|(_, words, sign)| text.contains(sign) || words.iter().any(|name| word(name)));
    named.map(|(code, _, _)| code).collect()
}

/// Words before an amount that make it no amount.
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
/// Words after it that make it another one.
const SCALING: &[&str] = &[
    "each", "apiece", "per", "hundred", "thousand", "million", "k", "dozen", "times", "x", "percent", "plus",
    "minus", "or", "more", "less",
];
const FRACTIONS: &[&str] = &["half", "third", "quarter", "double", "twice", "triple"];
const JOINING: &[&str] =
    &["to", "-", "–", "—", "x", "×", "*", "times", "+", "plus", "minus", "or", "and", "/", "until", "bis"];

/// True if this is the only amount of the message, and nothing beside it makes it another one.
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

/// True if no other amount, and for a bare number no other bare number, stands in the message.
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

/// What looks like an amount in a message and could not be taken as one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_can_be_read_in_two_ways_is_not_read() {
        for (text, value) in [
            ("5", 5.0),
            ("12.5", 12.5),
            ("12,50", 12.5),
            ("1,000", 1000.0),
            ("1,250.50", 1250.5),
            ("1.250,50", 1250.5),
            ("1.000.000", 1_000_000.0),
            ("1,000,000.5", 1_000_000.5),
        ] {
            assert_eq!(sum(text), Some(value), "{text}");
        }
        for text in [
            "1.000",
            "0.001",
            "0,001",
            "1,50,0",
            "1.2.3",
            "1,000.000",
            "12,345.6789",
            "1000,000.50",
            "10.000,5.5",
        ] {
            assert_eq!(sum(text), None, "{text}");
        }
    }

    #[test]
    fn currencies_are_words_or_signs() {
        assert_eq!(currencies("How much to pay back, in euros: 25 or 12.50."), ["eur"]);
        assert_eq!(currencies("in USD or £"), ["usd", "gbp"]);
        assert!(currencies("Amount in the order's currency, as European shops have it.").is_empty());
    }
}

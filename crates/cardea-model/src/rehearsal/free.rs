//! Extracts free text from a message: reasons, notes, subjects, names, switches.

use serde_json::Value;

use super::{
    mention::Kind,
    mood,
    said::{Nouns, Said},
    schema::{Property, Role, Want},
    words::{is_stop, stem},
};

/// Length limit of an extracted text.
const LONGEST: usize = 500;

/// Returns the text for this property, if the message has a fitting one.
pub(super) fn words_for(
    property: &Property,
    role: Role,
    said: &Said<'_>,
    nouns: &Nouns,
    used: &[bool],
) -> Option<String> {
    let found = named(property, said, nouns).or_else(|| match role {
        Role::Reason => after(said, &["because", "since", "due to", "reason:", "reason is", "reason"])
            .or_else(|| aside(said))
            .or_else(|| why(said)),
        Role::Note => after(
            said,
            &["saying that", "saying", "says", "note that", "noting that", "noting", ":", "that", "to say"],
        )
        .or_else(|| aside(said)),
        Role::Subject => after(
            said,
            &[":", "because", "saying that", "saying", "that", "about", "titled", "regarding", "concerning"],
        )
        .or_else(|| aside(said)),
        Role::Search if !property.required => name_of(said, nouns),
        Role::Search => search(said, nouns),
        Role::Person => person(said, nouns),
        // Any name could be a place; an optional one must be marked as such.
        Role::Place if property.required => place(said, nouns),
        Role::Place => None,
        Role::Flag => flag(said),
        Role::Period => period(said),
        Role::Other => None,
    })?;
    let found = clean(&found);
    let worth = found.split_whitespace().any(|word| !is_stop(&word.to_lowercase()));
    // An optional text is extracted only if the message marks it; a bare id is not a text.
    let only_used = said.mentions.iter().zip(used).any(|(mention, used)| *used && mention.text == found);
    (worth && !only_used).then_some(found)
}

fn clean(text: &str) -> String {
    let text = text
        .trim()
        .trim_end_matches(['.', ',', ';', '!', '?'])
        .trim_start_matches([':', ',', '-', '–', '—', ' ']);
    let text = text.trim_matches(['"', '“', '”', '«', '»']).trim();
    let text = text.strip_suffix(" please").unwrap_or(text);
    text.chars().take(LONGEST).collect()
}

/// Returns what follows the first of these markers. A marker of letters must be a word of its own.
fn after(said: &Said<'_>, markers: &[&str]) -> Option<String> {
    let lower = said.text.to_ascii_lowercase();
    for marker in markers {
        let place = lower.match_indices(marker).find(|(place, _)| {
            let end = place.saturating_add(marker.len());
            let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let word = marker.ends_with(char::is_alphanumeric);
            let whole = !letter(lower.get(..*place).and_then(|head| head.chars().next_back()))
                && !letter(lower.get(end..).and_then(|tail| tail.chars().next()));
            // `that order` points at an order; `that the client …` begins a text.
            let pointing = *marker == "that" && points(lower.get(end..).unwrap_or_default());
            (!word || whole) && !pointing
        });
        if let Some((place, _)) = place {
            let rest = said.text.get(place.saturating_add(marker.len())..).unwrap_or_default();
            // What was said later, in answer to a question, is not part of it.
            let rest = rest.trim().lines().next().unwrap_or_default().trim();
            if rest.chars().filter(|c| c.is_alphanumeric()).count() > 1 {
                return Some(rest.to_owned());
            }
        }
    }
    None
}

fn points(rest: &str) -> bool {
    let mut words = rest.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let noun = ["order", "ticket", "case", "customer", "client", "invoice", "refund", "one", "account"];
    let third = words.next();
    // `that order, please` as opposed to `that customer 6 prefers mail`.
    noun.contains(&first.trim_end_matches([',', '.', '?', '!']))
        && (second.is_none() || third.is_none() || first.ends_with(','))
}

/// Returns a second part after a comma, a dash or a full stop: `refund order 17, it arrived broken`.
fn aside(said: &Said<'_>) -> Option<String> {
    let cut = [", ", "; ", " - ", " – ", " — ", ". "]
        .iter()
        .filter_map(|mark| said.text.find(mark).map(|at| (at, mark.len())))
        .min()?;
    let rest = said.text.get(cut.0.saturating_add(cut.1)..)?.lines().next()?;
    let bare = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        is_stop(&word) || word.contains(|c: char| c.is_ascii_digit()) || THINGS.contains(&word.as_str())
    };
    // `32 and 33` and `4 euros` are not reasons.
    let words = rest.split_whitespace().filter(|word| !bare(word)).count();
    let first = rest.split_whitespace().next().unwrap_or_default().to_lowercase();
    // A second order is not a reason for the first.
    (words >= 1 && rest.split_whitespace().count() >= 2 && !ORDERS.contains(&first.as_str()))
        .then(|| rest.to_owned())
}

const THINGS: &[&str] = &[
    "customer", "client", "order", "ticket", "case", "invoice", "euro", "euros", "dollar", "dollars", "eur",
    "usd",
];

/// Words that begin another request, or are mere politeness.
const ORDERS: &[&str] = &[
    "please", "thanks", "thank", "and", "mark", "send", "close", "set", "make", "put", "move", "give",
    "escalate", "cancel", "refund", "do", "check", "let", "tell", "show", "can", "could", "what", "which",
    "where", "when", "how", "who", "then", "open", "assign", "list", "is",
];

/// Matches `for late delivery`, but not `for order 17`.
fn why(said: &Said<'_>) -> Option<String> {
    let lower = said.text.to_ascii_lowercase();
    let (place, _) = lower.match_indices(" for ").last()?;
    let rest = said.text.get(place.saturating_add(5)..)?;
    let start = place.saturating_add(5);
    let has_mention = said.mentions.iter().any(|mention| mention.start >= start);
    let mut words = rest.split_whitespace().map(str::to_lowercase);
    let first = words.find(|word| !matches!(word.as_str(), "the" | "this" | "that" | "same"))?;
    (!has_mention
        && !matches!(
            first.as_str(),
            "customer"
                | "client"
                | "order"
                | "ticket"
                | "invoice"
                | "me"
                | "us"
                | "it"
                | "him"
                | "her"
                | "them"
                | "everyone"
                | "one"
                | "first"
                | "last"
        ))
    .then(|| rest.to_owned())
}

/// Returns a name that the message marks as one, or that can only be one.
fn name_of(said: &Said<'_>, nouns: &Nouns) -> Option<String> {
    let named = after(said, &["named", "called", "by the name of", "name is"]);
    let named = named.map(|rest| rest.split([',', ';', '.']).next().unwrap_or_default().to_owned());
    named.or_else(|| said.proper_names(nouns).first().map(|name| (*name).to_owned()))
}

/// Returns a search text: quoted words, a proper name, or what follows a word of searching.
fn search(said: &Said<'_>, nouns: &Nouns) -> Option<String> {
    let quoted = said.mentions.iter().find_map(|mention| match &mention.kind {
        Kind::Quoted(text) => Some(text.clone()),
        _ => None,
    });
    if quoted.is_some() {
        return quoted;
    }
    let names = said.proper_names(nouns);
    if let Some(name) = names.first() {
        return Some((*name).to_owned());
    }
    let rest = after(
        said,
        &[
            "named",
            "called",
            "by the name of",
            "name is",
            "matching",
            "search for",
            "searching for",
            "look for",
            "look up",
            "find",
            "search",
            "who is",
            "for",
        ],
    )?;
    let kept: Vec<&str> = rest
        .split_whitespace()
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | '.' | '+' | '-' | '_'))
        })
        .filter(|word| !word.is_empty())
        .skip_while(|word| skipped(word, nouns))
        .collect();
    (!kept.is_empty()).then(|| kept.join(" "))
}

fn skipped(word: &str, nouns: &Nouns) -> bool {
    let lower = word.to_lowercase();
    is_stop(&lower)
        || nouns.known(&stem(&lower)).is_some()
        || matches!(
            lower.as_str(),
            "customers"
                | "named"
                | "called"
                | "name"
                | "phone"
                | "email"
                | "record"
                | "records"
                | "belonging"
                | "every"
                | "whose"
                | "people"
                | "someone"
                | "somebody"
        )
}

/// Matches `to Maria`, `agent Maria`, `to agent maria.k`.
fn person(said: &Said<'_>, nouns: &Nouns) -> Option<String> {
    if let Some(name) = said.proper_names(nouns).first() {
        return Some((*name).to_owned());
    }
    let code = said.mentions.iter().find(|mention| {
        let before = said.word_before(mention.start);
        mention.kind == Kind::Code
            && before.is_some_and(|word| matches!(word.as_str(), "to" | "agent" | "assignee" | "colleague"))
    });
    if let Some(code) = code {
        return Some(code.text.clone());
    }
    let giving = said.has(&["assign", "give", "hand", "transfer", "reassign", "pass", "assignee", "agent"]);
    let rest = after(
        said,
        if giving {
            &["to agent", "agent", "assignee", "assigned to", "to"]
        } else {
            &["assigned to", "owned by", "by"]
        },
    )?;
    let word = rest.split_whitespace().next()?.trim_matches(|c: char| !c.is_alphanumeric());
    let fits =
        !is_stop(&word.to_lowercase()) && !word.chars().any(|c| c.is_ascii_digit()) && !skipped(word, nouns);
    let state = matches!(
        word.to_lowercase().as_str(),
        "high" | "low" | "medium" | "urgent" | "critical" | "open" | "closed" | "tier"
    );
    (fits && !state).then(|| word.to_owned())
}

/// Matches `in Riga`, `for Paris, France`, `in new york`: a name after a word of place, or else any name.
fn place(said: &Said<'_>, nouns: &Nouns) -> Option<String> {
    let names = said.proper_names(nouns);
    let placed = |name: &&&str| {
        let before = said.text.find(**name).and_then(|at| said.word_before(at));
        before.is_some_and(|word| PLACING.contains(&word.as_str()))
    };
    if let Some(name) = names.iter().find(placed).or(names.first()) {
        let (_, rest) = said.text.split_once(*name)?;
        let wider =
            rest.strip_prefix(", ").and_then(|rest| names.iter().find(|other| rest.starts_with(**other)));
        return Some(wider.map_or_else(|| (*name).to_owned(), |wider| format!("{name}, {wider}")));
    }
    let rest = after(said, &["in", "near", "around", "at", "for"])?;
    let words = rest.split(|c: char| !c.is_alphanumeric() && !matches!(c, ' ' | '-' | '\'')).next()?;
    let kept: Vec<&str> = words
        .split_whitespace()
        .take_while(|word| !is_stop(&word.to_lowercase()) && !TIMES.contains(&word.to_lowercase().as_str()))
        .take(3)
        .collect();
    (!kept.is_empty()).then(|| kept.join(" "))
}

/// Words before the name of a place.
const PLACING: &[&str] = &["in", "at", "for", "near", "around", "from", "to", "of"];

/// Words of time after it.
const TIMES: &[&str] = &[
    "today",
    "tonight",
    "tomorrow",
    "yesterday",
    "now",
    "currently",
    "next",
    "morning",
    "evening",
    "week",
    "weekend",
    "month",
    "year",
    "right",
];

/// Returns the name of a switch: the words between the verb and `for`, `feature`, `flag`, joined as such names are.
fn flag(said: &Said<'_>) -> Option<String> {
    let verbs = [
        "turn on",
        "turn off",
        "switch on",
        "switch off",
        "enable",
        "disable",
        "activate",
        "deactivate",
        "toggle",
        "kill",
        "launch",
        "flip",
    ];
    let rest = after(said, &verbs)
        .or_else(|| after(said, &["feature flag", "flag", "feature", "turn", "switch"]))?;
    let end = [
        "for",
        "flag",
        "feature",
        "toggle",
        "please",
        "now",
        "on",
        "off",
        "again",
        "in",
        "until",
        "to",
        "because",
        "everywhere",
        "switch",
    ];
    let words = rest
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '.' | '!' | '?' | '"'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .skip_while(|word| {
            matches!(word.as_str(), "the" | "a" | "our" | "feature" | "flag" | "on" | "off" | "this" | "that")
        })
        .take_while(|word| !end.contains(&word.as_str()));
    let words: Vec<String> = words.take(4).collect();
    (!words.is_empty()).then(|| words.join("_"))
}

/// Returns a period in words: `last quarter`, `this month`, `2026-Q3`.
fn period(said: &Said<'_>) -> Option<String> {
    let units = ["day", "week", "month", "quarter", "year"];
    let place = said.words.iter().position(|word| units.contains(&word.stem.as_str()))?;
    let unit = said.words.get(place)?.text.to_lowercase();
    let before = place.checked_sub(1).and_then(|at| said.words.get(at)).map(|word| word.text.to_lowercase());
    match before.as_deref() {
        Some(word @ ("last" | "this" | "next" | "past" | "previous" | "current")) => {
            Some(format!("{word} {unit}"))
        }
        _ => Some(unit),
    }
}

/// Matches `name: value`, `name to value`, `name is value` for a property that the message names.
pub(super) fn named(property: &Property, said: &Said<'_>, nouns: &Nouns) -> Option<String> {
    let phrase = property.words.join(" ");
    let lower = said.text.to_ascii_lowercase();
    let (place, _) = lower.match_indices(&phrase).next()?;
    let rest = said.text.get(place.saturating_add(phrase.len())..)?;
    // A note is taken whole; a city ends where the next thing begins.
    let long = matches!(property.want, Want::Free(Role::Note | Role::Subject | Role::Reason));
    let close = if long { rest.lines().next()? } else { next_part(rest.split([',', ';']).next()?) };
    for mark in [": ", " to ", " is ", " = ", "=", " as "] {
        let Some((between, value)) = close.split_once(mark) else { continue };
        // Between the name and its value may be at most its owner: `phone for customer 9 to …`.
        let near = between.split_whitespace().count() <= 4;
        let first = value.split_whitespace().next().unwrap_or_default().to_lowercase();
        // `a note to customer 5` says where the note goes, not what it says.
        let target = nouns.known(&stem(&first)).is_some()
            || matches!(
                first.as_str(),
                "the" | "this" | "that" | "my" | "her" | "his" | "their" | "it" | "them"
            );
        if near && !value.trim().is_empty() && !(target && mark == " to ") {
            return Some(clean(value));
        }
    }
    None
}

/// Returns the text up to an `and` after which something else is named or requested: `Rome and email to a@b.example`.
fn next_part(text: &str) -> &str {
    let more = |(place, _): &(usize, &str)| {
        let rest = text.get(place.saturating_add(5)..).unwrap_or_default();
        let first = rest.split_whitespace().next().unwrap_or_default().to_lowercase();
        [" to ", " is ", ": ", " = ", " as "].iter().any(|mark| rest.contains(mark)) || mood::orders(&first)
    };
    let end = text.match_indices(" and ").find(more).map_or(text.len(), |(place, _)| place);
    text.get(..end).unwrap_or(text)
}

/// Returns a word in capitals, as vouchers are written.
pub(super) fn shouted(said: &Said<'_>) -> Option<Value> {
    let shouted = |text: &str| {
        text.len() >= 4
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && text.bytes().any(|b| b.is_ascii_uppercase())
    };
    said.words.iter().find(|word| shouted(word.text)).map(|word| word.text.into())
}

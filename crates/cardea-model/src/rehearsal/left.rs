//! What a message asked for beside the one thing that was done: it is mentioned, not ignored.

use cardea_core::tool::{ToolCall, ToolSpec};
use serde_json::Value;

use super::{
    choose,
    fill::id_value,
    instruct::instruction,
    mood,
    said::{Nouns, Said},
    schema::{Property, Want, tool_nouns},
    value::scalar,
    words::{content, is_stop, name_words, stem},
};

/// Facts about the one call that was made.
pub(super) struct Made<'a> {
    pub(super) tool: &'a ToolSpec,
    pub(super) properties: &'a [Property],
    pub(super) call: &'a ToolCall,
    pub(super) nouns: &'a Nouns,
}

/// Returns what was not done of this message, in a sentence per kind.
pub(super) fn over(said: &Said<'_>, made: &Made<'_>) -> Option<String> {
    let others = other_ids(said, made);
    let wishes = other_wishes(said, made);
    let mut told = Vec::new();
    if !others.is_empty() {
        told.push(format!("I do one thing at a time: nothing was done about {}.", listed(&others)));
    }
    if !wishes.is_empty() {
        let wishes: Vec<String> = wishes.iter().map(|wish| format!("“{wish}”")).collect();
        told.push(format!("I do one thing at a time, and did not do the rest: {}.", listed(&wishes)));
    }
    let filters = if choose::lists(made.tool) { unheard(said, made) } else { Vec::new() };
    if !filters.is_empty() {
        let words: Vec<String> = filters.iter().map(|word| format!("“{word}”")).collect();
        told.push(format!(
            "This is not narrowed down by {}: I did not find how to ask for it.",
            listed(&words)
        ));
    }
    (!told.is_empty()).then(|| told.join(" "))
}

fn listed(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// Matches `tickets 32 and 33`, after ticket 31 was handled.
fn other_ids(said: &Said<'_>, made: &Made<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for property in made.properties {
        let Want::Id(id) = &property.want else { continue };
        let Some((noun, used)) = id.noun.as_deref().zip(made.call.arguments.get(&property.name)) else {
            continue;
        };
        for mention in &said.mentions {
            let same = said.noun_of(mention, made.nouns).as_deref() == made.nouns.known(noun);
            let value = id_value(id, &mention.text).filter(|value| same && value != used);
            if value.is_some() && !said.counts_rows(mention, made.nouns) && !is_used(&mention.text, made.call)
            {
                out.push(format!("{noun} {}", mention.text.trim_start_matches('#')));
            }
        }
    }
    out.dedup();
    out
}

/// Returns whether an argument contains this text.
fn is_used(text: &str, call: &ToolCall) -> bool {
    call.arguments.values().any(|value| match value {
        Value::String(own) => own.to_lowercase().contains(&text.to_lowercase()),
        other => scalar(other) == text,
    })
}

/// Returns the parts of the message that begin with a verb of doing or looking, except the one that was done.
fn other_wishes(said: &Said<'_>, made: &Made<'_>) -> Vec<String> {
    let text = instruction(said.text, made.tool, made.properties, made.nouns);
    let marked = [", then ", " and then ", ", and ", " and ", "; ", ". ", "\n", ", "]
        .iter()
        .fold(text, |text, mark| text.replace(mark, "\u{1}"));
    let parts: Vec<&str> = marked.split('\u{1}').map(str::trim).filter(|part| is_wish(part)).collect();
    let verbs = tool_nouns(made.tool);
    let fits = |part: &&str| {
        let words = words_of(part);
        let verb = words.first().is_some_and(|word| verbs.iter().any(|verb| choose::same(word, verb)));
        let named = words.iter().filter(|word| verbs.contains(&stem(word))).count();
        (u8::from(verb), named)
    };
    // The first of the best, in the order of the message.
    let done = parts.iter().enumerate().rev().max_by_key(|(_, part)| fits(part)).map(|(at, _)| at);
    let rest = parts.iter().enumerate().filter(|(at, _)| Some(*at) != done).map(|(_, part)| *part);
    let heard = |part: &&str| {
        let last = part.rsplit(' ').next().unwrap_or_default().trim_matches(|c: char| !c.is_alphanumeric());
        made.call.arguments.values().any(|value| scalar(value).eq_ignore_ascii_case(last))
    };
    rest.filter(|part| !heard(part)).map(|part| part.trim_end_matches(['.', '!', '?']).to_owned()).collect()
}

fn words_of(part: &str) -> Vec<String> {
    let words = part.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(str::to_lowercase)
        .skip_while(|word| matches!(word.as_str(), "please" | "also" | "then"))
        .collect()
}

fn is_wish(part: &str) -> bool {
    let words = words_of(part);
    let to_us = words.get(1).is_some_and(|word| matches!(word.as_str(), "me" | "us"));
    let (first, shows) = match words.first() {
        Some(first) => (first.as_str(), mood::shows(first)),
        None => return false,
    };
    words.len() >= 2 && (shows || (mood::orders(first) && !to_us))
}

/// Returns content words that match neither the tool nor its call.
fn unheard(said: &Said<'_>, made: &Made<'_>) -> Vec<String> {
    let mut known = choose::words_of(made.tool);
    for property in made.properties {
        known.extend(property.words.iter().map(|word| stem(word)));
        known.extend(content(&property.about));
    }
    for value in made.call.arguments.values() {
        known.extend(content(&scalar(value)));
        known.extend(name_words(&scalar(value)));
    }
    let mentioned =
        |start: usize| said.mentions.iter().any(|mention| mention.start <= start && start < mention.end);
    let heard = |word: &super::words::Word<'_>| {
        let lower = word.text.to_lowercase();
        is_stop(&lower)
            || mentioned(word.start)
            || lower.chars().count() < 3
            || known.iter().any(|known| *known == word.stem || choose::same(&lower, known))
            || made.nouns.known(&word.stem).is_some()
            || mood::orders(&lower)
            || mood::shows(&lower)
            || mood::is_plain(&lower)
    };
    let mut out: Vec<String> =
        said.words.iter().filter(|word| !heard(word)).map(|word| word.text.to_owned()).collect();
    out.dedup();
    // A whole sentence without a match is not a filter.
    out.truncate(4);
    out
}

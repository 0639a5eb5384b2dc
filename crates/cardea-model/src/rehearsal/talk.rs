//! Questions to the user, greetings and help.

use cardea_core::tool::ToolSpec;

use super::{
    history::Turn,
    said::Said,
    schema::{Id, Property, Role, Want},
};

/// Said when a request is withdrawn before it was done.
pub(super) const DROPPED: &str = "All right, nothing was done.";

/// Describes some of the tools in their own words.
pub(super) fn abilities(tools: &[ToolSpec]) -> String {
    let some: Vec<String> = tools
        .iter()
        .take(6)
        .map(|tool| {
            let about = tool.description.split(['.', '\n']).next().unwrap_or_default().trim();
            format!("- {}: {about}", tool.name)
        })
        .collect();
    let more = tools.len().saturating_sub(some.len());
    let more = if more > 0 { format!("\n… and {more} more.") } else { String::new() };
    format!("I can try these:\n{}{more}", some.join("\n"))
}

/// Lists all tools by name, and says that these may not be all.
fn all_abilities(tools: &[ToolSpec]) -> String {
    let names: Vec<String> = tools.iter().map(|tool| format!("`{}`", tool.name)).collect();
    match names.len() {
        0 => "I was given no tools.".to_owned(),
        _ => format!(
            "For this message I was given {}. Others may be there: say what you need.",
            names.join(", ")
        ),
    }
}

/// Asks for one argument, in plain words.
pub(super) fn ask(property: &Property, unclear: Option<String>, open: usize) -> String {
    let name = property.words.join(" ");
    let about = property.about.trim().trim_end_matches('.');
    let about = if about.is_empty() { String::new() } else { format!(" ({})", first_sentence(about)) };
    let question = match &property.want {
        Want::Choice(values) => {
            let values: Vec<String> = values
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            format!("Which {name}{about}? It can be {}.", values.join(", "))
        }
        Want::Truth => format!("Should `{}` be on or off{about}?", property.name),
        Want::Id(Id { noun: Some(_), .. }) => format!("Which one do you mean? I need the {name}{about}."),
        Want::Amount { .. } => {
            let unclear = unclear.map(|text| format!(" I am not sure what {text} is.")).unwrap_or_default();
            format!("How much?{unclear} I need the {name}{about}.")
        }
        Want::Date { .. } | Want::Span(_) => format!("For which time? I need the {name}{about}."),
        Want::Free(Role::Reason) => format!("Why? I need a {name}{about}."),
        _ => format!("I need the {name}{about}. What should it be?"),
    };
    let more = if open > 1 { format!(" After that I need {} more.", open - 1) } else { String::new() };
    question + &more
}

/// Returns the text up to the first full stop that ends a sentence, which that of `e.g.` does not.
fn first_sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    let ends = |(place, _): &(usize, &str)| {
        let head = line.get(..*place).unwrap_or_default();
        !["e.g", "i.e", "etc"].iter().any(|short| head.ends_with(short))
    };
    let end = line.match_indices(". ").find(ends).map_or(line.len(), |(place, _)| place);
    line.get(..end).unwrap_or(line)
}

/// Answers greetings, thanks and second thoughts, which need no tool.
pub(super) fn small_talk(turn: &Turn<'_>, said: &Said<'_>, tools: &[ToolSpec]) -> Option<String> {
    let words: Vec<String> = said.words.iter().map(|word| word.text.to_lowercase()).collect();
    let short = words.len() <= 5 && said.mentions.is_empty();
    let all =
        |allowed: &[&str]| !words.is_empty() && words.iter().all(|word| allowed.contains(&word.as_str()));
    let about_us = || {
        format!(
            "I am the rehearsal model: I choose a tool, fill in what you said and word what it returns. I understand \
             English, and one thing at a time. {}",
            all_abilities(tools)
        )
    };
    if words.is_empty() && said.text.trim() == "?" {
        return Some(about_us());
    }
    if words.is_empty() {
        return Some("I did not find a word in that.".into());
    }
    if turn.waits_for().is_none()
        && short
        && all(&["yes", "yeah", "yep", "no", "nope", "sure", "please", "do", "it"])
    {
        return Some("I asked nothing that this answers. Say what you want in full.".into());
    }
    if turn.waits_for().is_some()
        && short
        && said.has(&["nevermind", "never", "forget", "no", "nothing", "stop", "cancel"])
        && said.words.len() <= 3
    {
        return Some(DROPPED.into());
    }
    if short
        && all(&[
            "hi",
            "hello",
            "hey",
            "good",
            "morning",
            "afternoon",
            "evening",
            "there",
            "moin",
            "greetings",
            "day",
        ])
    {
        return Some(format!(
            "Hello. {}",
            if tools.is_empty() { "I was given no tools.".to_owned() } else { abilities(tools) }
        ));
    }
    if short
        && all(&[
            "thanks", "thank", "you", "very", "much", "great", "ok", "okay", "cool", "perfect", "cheers",
            "so", "a", "lot", "bye", "goodbye",
        ])
    {
        return Some("You are welcome.".into());
    }
    let help = said.text.to_lowercase();
    if short && all(&["help", "please", "menu", "commands"])
        || ["what can you do", "help me", "who are you", "what are you"]
            .iter()
            .any(|words| help.contains(words))
            && words.len() <= 6
    {
        return Some(about_us());
    }
    None
}

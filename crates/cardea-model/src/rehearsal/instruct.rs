//! A message as an instruction: its sentences and parts, without text that is only to be written down.

use cardea_core::tool::ToolSpec;

use super::{
    mood,
    said::Nouns,
    schema::{Property, Role, Want, tool_nouns},
    signs::OPENERS,
    words::stem,
};

/// Returns the words of a tool's name except what it is about.
pub(super) fn verbs_of(tool: &ToolSpec, nouns: &Nouns) -> Vec<String> {
    let mut verbs = tool_nouns(tool);
    verbs.retain(|word| nouns.known(word).is_none());
    verbs
}

/// Returns the sentences, each with its end mark.
pub(super) fn sentences(text: &str) -> Vec<(String, char)> {
    let mut out = vec![(String::new(), ' ')];
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let gap = letters.peek().is_none_or(|next| next.is_whitespace());
        let short = out.last().is_some_and(|(last, _)| {
            let word = last.rsplit(' ').next().unwrap_or_default().to_lowercase();
            matches!(word.as_str(), "no" | "nr" | "e.g" | "approx" | "mr" | "mrs" | "dr")
        });
        let ends = match c {
            '?' | '!' | '\n' | ';' => true,
            '.' => gap && !short,
            _ => false,
        };
        match out.last_mut() {
            Some(last) if !ends => last.0.push(c),
            Some(last) => {
                last.1 = c;
                out.push((String::new(), ' '));
            }
            None => {}
        }
    }
    out
}

/// Returns the parts of a sentence.
pub(super) fn parts(sentence: &str) -> Vec<String> {
    let text = [" - ", " – ", " — ", ": ", " but "].iter().fold(sentence.to_owned(), |text, mark| {
        text.replace(mark, if *mark == " but " { ", but " } else { ", " })
    });
    text.split(", ").map(str::to_owned).collect()
}

/// Returns the words of a text, lower case, with their apostrophes.
pub(super) fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(['’', '`', '´'], "'");
    // The parts of an address carry no meaning.
    let plain = text.split_whitespace().filter(|word| !word.contains('@') && !word.contains("://"));
    let words = plain.flat_map(|word| word.split(|c: char| !c.is_alphanumeric() && c != '\''));
    words.map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Returns the text without what is only to be written down: quoted words, reasons, and the content of a note or a
/// comment.
pub(super) fn instruction(text: &str, tool: &ToolSpec, properties: &[Property], nouns: &Nouns) -> String {
    let verbs = verbs_of(tool, nouns);
    let long = |property: &&Property| {
        matches!(
            property.want,
            Want::Free(Role::Note | Role::Subject | Role::Reason | Role::Other | Role::Search)
        )
    };
    if !properties.iter().any(|property| long(&property)) {
        return text.to_owned();
    }
    let unquoted = without_quoted(text);
    let mut text = if words(&unquoted).is_empty() { text.to_owned() } else { unquoted };
    let written = |property: &Property| {
        property.required && matches!(property.want, Want::Free(Role::Note | Role::Subject))
    };
    if properties.iter().any(written) {
        let lower = text.to_ascii_lowercase();
        let marks = [": ", " that says ", " saying ", " says ", " that ", ":\n"];
        let first = marks.iter().filter_map(|mark| lower.find(mark)).min();
        let head = first.and_then(|at| text.get(..at)).filter(|head| asks_to_write(head, &verbs));
        if let Some(head) = head.map(str::to_owned) {
            text = head;
        }
    }
    without_reasons(&text)
}

fn asks_to_write(head: &str, verbs: &[String]) -> bool {
    let words = words(head);
    let lead = words.iter().find(|word| !OPENERS.contains(&word.as_str()));
    let named = |word: &String| {
        matches!(word.as_str(), "new" | "note" | "comment" | "reply" | "complaint")
            || verbs.contains(&stem(word))
    };
    lead.is_some_and(|word| mood::orders(word)) || words.iter().any(named)
}

fn without_quoted(text: &str) -> String {
    let mut out = String::new();
    let mut end = None;
    for c in text.chars() {
        match (end, c) {
            (None, '"') => end = Some('"'),
            (None, '“') => end = Some('”'),
            (None, '«') => end = Some('»'),
            (None, c) => out.push(c),
            (Some(mark), c) if c == mark => end = None,
            (Some(_), _) => {}
        }
    }
    // An open quotation mark hides nothing.
    if end.is_some() { text.to_owned() } else { out }
}

/// Removes `because …` up to the end of the sentence or a `but`.
fn without_reasons(text: &str) -> String {
    let mut out = String::new();
    for (sentence, end) in sentences(text) {
        let lower = sentence.to_ascii_lowercase();
        let start = [" because ", " since ", " due to "].iter().filter_map(|mark| lower.find(mark)).min();
        match start {
            Some(start) => {
                out.push_str(sentence.get(..start).unwrap_or_default());
                let rest = lower.get(start..).unwrap_or_default();
                let more = rest.find(", ").or_else(|| rest.find(" but "));
                out.push_str(
                    more.and_then(|at| sentence.get(start.saturating_add(at)..)).unwrap_or_default(),
                );
            }
            None => out.push_str(&sentence),
        }
        out.push(end);
    }
    out
}

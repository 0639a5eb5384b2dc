//! Which tools a model is offered: of those that the caller may call, the ones that the text is about.
//!
//! Promises: never more than `max` tools beside those that must stay (always-on ones, those of the last turns); the
//! same input gives the same choice. Refuses to decide about rights: the caller passes in only what policy lets
//! through, so a forbidden tool has no influence, not even on the scores of others. A choice can miss, so the model
//! is always offered [`find_tools`] as well when something was left out.
//!
//! ```
//! use cardea_core::select::{Index, Limits, Wish};
//! use cardea_core::tool::ToolSpec;
//! # let tool = |name: &str, about: &str| ToolSpec {
//! #     name: name.into(), description: about.to_owned(), input_schema: serde_json::json!({"type": "object"}),
//! #     effect: Default::default(), idempotent: false, sends_outside: false, examples: vec![], cache: None,
//! #     clears: vec![],
//! # };
//! let tools = [tool("refund", "Give money back for one order."), tool("weather", "Forecast for a city.")];
//! let index = Index::new(&tools);                      // once for each catalogue version
//! let cosines = [0.61, 0.12];                          // from the encoder: question against `tool_text`, by tool
//! let wish = Wish { text: "I want my money back", cosines: Some(&cosines), glances: None, keep: &[] };
//! let chosen = index.choose(&[0, 1], &wish, Limits { max: 1, ..Limits::default() });
//! assert_eq!(chosen.tools, [0]);
//! assert!(chosen.left_out);                            // so `find_tools` is offered too
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::tool::{Effect, ToolSpec};

/// Name of the tool that finds other tools.
pub const FIND_TOOLS: &str = "find_tools";
/// BM25: how fast a repeated word stops to count, and how much long texts are held back.
const REPEAT: f32 = 1.2;
const LENGTH: f32 = 0.6;
/// Shares of encoder, table of words and BM25 in the score; those of what is missing are left out.
const MEANING: f32 = 0.5;
const GLANCE: f32 = 0.25;
const WORDS: f32 = 0.25;
/// Without the encoder the table says more than the words do.
const GLANCE_ALONE: f32 = 0.375;
/// What a piece of a word counts by where it stands.
const IN_NAME: f32 = 2.0;
const IN_TEXT: f32 = 1.0;
const IN_ARGUMENT: f32 = 0.5;
/// Letters in a piece of a word.
const PIECES: [usize; 2] = [3, 5];

/// How much is offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The most tools that are chosen by score.
    pub max: usize,
    /// Tools whose score lies this far (in standard deviations) below the best are left out even if there is room.
    pub drop: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max: 8, drop: 4.0 }
    }
}

/// What the choice is made for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// What the user wrote.
    pub text: &'a str,
    /// Cosine of the text with each tool's [`tool_text`], by the tool's place in the index; a tool with example
    /// utterances takes its best. `None` if the encoder has no time: then the others decide.
    pub cosines: Option<&'a [f32]>,
    /// The same from a table of words (`cardea_embed::Table`), which always has time.
    pub glances: Option<&'a [f32]>,
    /// Tools that must stay, in this order: always-on ones and those of the last turns.
    pub keep: &'a [usize],
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// Places in the index: first what must stay, then by score.
    pub tools: Vec<usize>,
    /// True if an allowed tool was left out: offer [`find_tools`] too.
    pub left_out: bool,
}

/// The words of a catalogue in pieces, counted once for each version of it.
#[derive(Debug, Clone)]
pub struct Index {
    words: Vec<BTreeMap<String, f32>>,
    lengths: Vec<f32>,
}

/// What the encoder reads of a tool: its name in words and its description.
#[must_use]
pub fn tool_text(tool: &ToolSpec) -> String {
    format!("{}: {}", spaced(tool.name.as_str()), tool.description)
}

/// A name as words: `get_orderStatus` becomes `get order Status`.
fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for character in name.chars() {
        if character.is_uppercase() && before.is_lowercase() {
            words.push(' ');
        }
        words.push(if character.is_alphanumeric() { character } else { ' ' });
        before = character;
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Index {
    /// Counts the pieces of name, description, arguments and example utterances.
    #[must_use]
    pub fn new(tools: &[ToolSpec]) -> Self {
        let words: Vec<BTreeMap<String, f32>> = tools
            .iter()
            .map(|tool| {
                let mut counts = BTreeMap::new();
                let mut count = |text: &str, weight: f32| {
                    pieces(text).into_iter().for_each(|piece| *counts.entry(piece).or_insert(0.0) += weight);
                };
                count(tool.name.as_str(), IN_NAME);
                count(&tool.description, IN_TEXT);
                tool.examples.iter().for_each(|example| count(example, IN_TEXT));
                let arguments = tool.input_schema.get("properties").and_then(|all| all.as_object());
                arguments.into_iter().flat_map(|all| all.keys()).for_each(|name| count(name, IN_ARGUMENT));
                counts
            })
            .collect();
        let lengths = words.iter().map(|counts| counts.values().sum()).collect();
        Self { words, lengths }
    }

    /// Scores the allowed tools: z-scored sum of encoder, table and BM25, by the order of `allowed`.
    ///
    /// Word frequencies are counted over the allowed tools only.
    #[must_use]
    pub fn scores(&self, allowed: &[usize], wish: &Wish<'_>) -> Vec<f32> {
        let glance = if wish.cosines.is_some() { GLANCE } else { GLANCE_ALONE };
        let voices = [(wish.cosines, MEANING), (wish.glances, glance)];
        let words = standard(&self.bm25(allowed, wish.text));
        let mut scores: Vec<f32> = words.iter().map(|word| WORDS * word).collect();
        let mut whole = WORDS;
        for (cosines, share) in voices {
            let Some(cosines) = cosines else { continue };
            let near = allowed.iter().map(|tool| cosines.get(*tool).copied().unwrap_or(-1.0));
            let near = standard(&near.collect::<Vec<f32>>());
            scores.iter_mut().zip(near).for_each(|(score, near)| *score += share * near);
            whole += share;
        }
        scores.iter_mut().for_each(|score| *score /= whole);
        scores
    }

    /// Chooses among the allowed tools. Places that the index does not have are ignored.
    #[must_use]
    pub fn choose(&self, allowed: &[usize], wish: &Wish<'_>, limits: Limits) -> Chosen {
        let allowed: Vec<usize> = allowed.iter().copied().filter(|tool| *tool < self.words.len()).collect();
        let open: BTreeSet<usize> = allowed.iter().copied().collect();
        let mut tools: Vec<usize> = Vec::new();
        for tool in wish.keep.iter().copied().filter(|tool| open.contains(tool)) {
            if !tools.contains(&tool) {
                tools.push(tool);
            }
        }
        let kept = tools.len();
        let scores = self.scores(&allowed, wish);
        let mut ranked: Vec<(usize, f32)> = allowed.iter().copied().zip(scores).collect();
        ranked.sort_by(|(a, high), (b, higher)| higher.total_cmp(high).then(a.cmp(b)));
        let best = ranked.first().map_or(0.0, |(_, score)| *score);
        for (tool, score) in ranked {
            if tools.len() >= kept + limits.max || score < best - limits.drop {
                break;
            }
            if !tools.contains(&tool) {
                tools.push(tool);
            }
        }
        let left_out = tools.len() < open.len();
        Chosen { tools, left_out }
    }

    fn bm25(&self, allowed: &[usize], text: &str) -> Vec<f32> {
        let count = allowed.len().max(1) as f32;
        let lengths = allowed.iter().filter_map(|tool| self.lengths.get(*tool));
        let usual = (lengths.sum::<f32>() / count).max(1.0);
        let asked: BTreeSet<String> = pieces(text).into_iter().collect();
        let mut scores = vec![0.0; allowed.len()];
        for piece in &asked {
            let has = |tool: &usize| self.words.get(*tool).and_then(|words| words.get(piece)).copied();
            let holders: Vec<(usize, f32)> =
                allowed.iter().enumerate().filter_map(|(at, tool)| Some((at, has(tool)?))).collect();
            let held = holders.len() as f32;
            let rare = ((count - held + 0.5) / (held + 0.5)).ln_1p();
            for (at, times) in holders {
                let length = allowed.get(at).and_then(|tool| self.lengths.get(*tool)).copied();
                if let (Some(score), Some(length)) = (scores.get_mut(at), length) {
                    let damped = REPEAT * (1.0 - LENGTH + LENGTH * length / usual);
                    *score += rare * times * (REPEAT + 1.0) / (times + damped);
                }
            }
        }
        scores
    }
}

/// The words of a text in pieces of three and of five letters, ends marked: `order` and `orders` share most of theirs,
/// and so do `schedule` and `rescheduling`.
fn pieces(text: &str) -> Vec<String> {
    let words = spaced(text).to_lowercase();
    let mut pieces = Vec::new();
    for word in words.split(' ').filter(|word| !word.is_empty() && !COMMON.contains(word)) {
        let letters: Vec<char> =
            std::iter::once('^').chain(word.chars()).chain(std::iter::once('$')).collect();
        for size in PIECES {
            pieces.extend(
                letters.windows(size.min(letters.len())).map(|piece| piece.iter().collect::<String>()),
            );
        }
    }
    pieces
}

/// Words that say nothing about a tool.
const COMMON: &[&str] = &[
    "an", "the", "of", "for", "to", "in", "on", "at", "is", "are", "be", "by", "or", "and", "with", "me",
    "my", "you", "your", "it", "its", "this", "that", "can", "could", "please", "what", "how", "do", "does",
    "we", "our", "as", "from", "if", "want", "would", "like", "need", "have", "has", "about", "any", "some",
    "there",
];

/// Values with mean zero and deviation one; all zero if they do not differ.
fn standard(values: &[f32]) -> Vec<f32> {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let spread = (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count).sqrt();
    values.iter().map(|value| if spread > 1e-6 { (value - mean) / spread } else { 0.0 }).collect()
}

/// The way out of a miss: a tool that the model calls when none of the offered tools fits.
///
/// The caller answers it from the allowed tools with [`Index::choose`] and offers what it found.
#[must_use]
pub fn find_tools() -> ToolSpec {
    ToolSpec {
        name: FIND_TOOLS.into(),
        description: "Find more tools. Call this when none of the tools that you have does what is needed."
            .to_owned(),
        input_schema: json!({
            "type": "object",
            "properties": {"need": {"type": "string", "maxLength": 500, "description": "What the tool must do."}},
            "required": ["need"],
            "additionalProperties": false,
        }),
        effect: Effect::Read,
        idempotent: true,
        sends_outside: false,
        examples: Vec::new(),
        cache: None,
        clears: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, about: &str, examples: &[&str]) -> ToolSpec {
        let examples = examples.iter().map(|example| (*example).to_owned()).collect();
        ToolSpec { name: name.into(), description: about.to_owned(), examples, ..find_tools() }
    }

    fn shop() -> Index {
        Index::new(&[
            tool("refund_order", "Give money back.", &["I want a refund"]),
            tool("track_parcel", "Where a parcel is.", &[]),
            tool("close_account", "Delete the account for ever.", &[]),
            tool("forecast", "Weather of a city.", &[]),
        ])
    }

    fn wish(text: &str) -> Wish<'_> {
        Wish { text, cosines: None, glances: None, keep: &[] }
    }

    #[test]
    fn the_nearest_tools_are_offered_and_the_rest_can_be_found() {
        let chosen = shop().choose(&[0, 1, 2, 3], &wish("where is my parcel"), Limits { max: 1, drop: 3.0 });
        assert_eq!((chosen.tools, chosen.left_out), (vec![1], true));
        let all = shop().choose(&[0, 1, 2, 3], &wish("where is my parcel"), Limits { max: 8, drop: 99.0 });
        assert_eq!((all.tools.len(), all.left_out), (4, false));
        assert!(find_tools().input_schema.get("properties").is_some());
    }

    #[test]
    fn a_tool_that_the_caller_may_not_call_is_never_offered() {
        for keep in [&[][..], &[2, 9][..]] {
            let asked = Wish { keep, ..wish("delete my account for ever") };
            let chosen = shop().choose(&[0, 1, 3, 9], &asked, Limits::default());
            assert!(!chosen.tools.contains(&2) && !chosen.tools.contains(&9), "{:?}", chosen.tools);
        }
        let asked = wish("delete my account");
        let seen = shop().scores(&[0, 1], &asked);
        let mut other = shop();
        other.words[2].clear();
        assert_eq!(seen, other.scores(&[0, 1], &asked), "a forbidden tool has no say");
    }

    #[test]
    fn what_must_stay_stays_and_takes_no_place_from_the_others() {
        let asked = Wish { keep: &[3, 3, 0], ..wish("where is my parcel") };
        let chosen = shop().choose(&[0, 1, 2, 3], &asked, Limits { max: 1, drop: 9.0 });
        assert_eq!(chosen.tools, [3, 0, 1]);
    }

    #[test]
    fn meaning_helps_where_words_do_not() {
        let cosines = [0.1, 0.2, 0.1, 0.7];
        let asked = Wish { cosines: Some(&cosines), ..wish("do I need an umbrella") };
        assert_eq!(shop().choose(&[0, 1, 2, 3], &asked, Limits { max: 1, drop: 9.0 }).tools, [3]);
        let hurried = Wish { glances: Some(&cosines), ..wish("do I need an umbrella") };
        assert_eq!(shop().choose(&[0, 1, 2, 3], &hurried, Limits { max: 1, drop: 9.0 }).tools, [3]);
        let examples = shop().choose(&[0, 1, 2, 3], &wish("refund"), Limits { max: 1, drop: 9.0 });
        assert_eq!(examples.tools, [0]);
    }

    proptest::proptest! {
        #[test]
        fn a_choice_is_bounded_allowed_and_without_doubles(
            text in "\\PC{0,40}",
            allowed in proptest::collection::vec(0_usize..6, 0..8),
            keep in proptest::collection::vec(0_usize..6, 0..4),
            cosines in proptest::collection::vec(proptest::num::f32::ANY, 0..5),
            max in 0_usize..4,
        ) {
            let asked = Wish { text: &text, cosines: Some(&cosines), glances: Some(&cosines), keep: &keep };
            let chosen = shop().choose(&allowed, &asked, Limits { max, drop: 2.0 });
            let unique: BTreeSet<_> = chosen.tools.iter().collect();
            proptest::prop_assert_eq!(unique.len(), chosen.tools.len());
            proptest::prop_assert!(chosen.tools.len() <= max + keep.len());
            proptest::prop_assert!(chosen.tools.iter().all(|tool| allowed.contains(tool) && *tool < 4));
        }
    }
}

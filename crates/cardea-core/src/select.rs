//! Tool selection: which of the tools that the caller may call are offered to the model for a text.
//!
//! Promises: never more than `max` tools beside those that must stay (always-on tools, and those of the last turns);
//! the same input gives the same choice. Refuses to decide about rights: the caller passes in only what policy lets
//! through, so a forbidden tool has no influence, not even on the scores of others. A choice can miss, so the model is
//! always offered [`find_tools`] as well when something was left out.
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
//! let wish = Wish { cosines: Some(&cosines), ..Wish::new("I want my money back") };
//! let chosen = index.choose(&[0, 1], &wish, Limits { max: 1, ..Limits::default() });
//! assert_eq!(chosen.tools, [0]);
//! assert!(chosen.left_out);                            // so `find_tools` is offered too
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use serde_json::json;

use crate::tool::{Effect, ToolSpec};

/// Name of the tool that finds other tools.
pub const FIND_TOOLS: &str = "find_tools";
/// BM25 parameters: how fast repetitions of a word lose weight, and how much long texts are discounted.
const REPEAT: f32 = 1.2;
const LENGTH: f32 = 0.6;
/// Weights of the signals; missing signals are left out.
const FIRST: Shares = Shares { meaning: 0.5, glance: 0.25, words: 0.25 };
/// Without the encoder the table gets more weight than the words.
const HURRIED: Shares = Shares { glance: 0.375, ..FIRST };
/// Weights among the tools that were compared closely, where the tokens weigh most.
const CLOSE: Shares = Shares { meaning: 0.1, glance: 0.2, words: 0.2 };
/// Weights of how well the wish covers the tool's tokens, and how well the tool covers the wish's.
const COVERED: [f32; 2] = [0.4, 0.1];
/// Limit of tools that are compared closely, and the least score distance of the others behind the last of them.
const NEAR: usize = 64;
const BEHIND: f32 = 0.01;
/// Weight of a word piece by its position.
const IN_NAME: f32 = 2.0;
const IN_TEXT: f32 = 1.0;
const IN_ARGUMENT: f32 = 0.5;
/// Lengths of word pieces in letters.
const PIECES: [usize; 2] = [3, 5];

/// Limits of a choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Limit of tools chosen by score.
    pub max: usize,
    /// Distance from the best score, in standard deviations, beyond which tools are left out even if there is room.
    pub drop: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max: 8, drop: 4.0 }
    }
}

/// The text for which tools are chosen, with its signals.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Text of the user.
    pub text: &'a str,
    /// Cosine of the text with each tool's [`tool_text`], by index; a tool with example utterances uses its best one.
    /// `None` if the encoder has no time; the other signals then decide.
    pub cosines: Option<&'a [f32]>,
    /// Cosines from a word table (`cardea_embed::Table`), which is always available.
    pub glances: Option<&'a [f32]>,
    /// Close comparison, if available.
    pub closely: Option<Closely<'a>>,
    /// Tools that must stay, in this order: always-on tools and those of the last turns.
    pub keep: &'a [usize],
}

impl<'a> Wish<'a> {
    /// Creates a wish of which only the text is known.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, cosines: None, glances: None, closely: None, keep: &[] }
    }
}

/// Compares the wish with a few tools token by token, in the given order: how well the wish covers the tool's tokens,
/// and how well the tool covers the wish's (`cardea_embed::Pieces`).
#[derive(Clone, Copy)]
pub struct Closely<'a>(pub &'a dyn Fn(&[usize]) -> Vec<[f32; 2]>);

impl fmt::Debug for Closely<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closely")
    }
}

/// Weights of the signals.
#[derive(Debug, Clone, Copy)]
struct Shares {
    meaning: f32,
    glance: f32,
    words: f32,
}

/// The signals for the allowed tools, in their order, each with mean zero and deviation one.
struct Voices {
    meaning: Option<Vec<f32>>,
    glance: Option<Vec<f32>>,
    words: Vec<f32>,
}

impl Voices {
    fn sum(&self, shares: Shares) -> Vec<f32> {
        let mut scores: Vec<f32> = self.words.iter().map(|word| shares.words * word).collect();
        let mut whole = shares.words;
        for (said, share) in [(&self.meaning, shares.meaning), (&self.glance, shares.glance)] {
            let Some(said) = said else { continue };
            scores.iter_mut().zip(said).for_each(|(score, said)| *score += share * said);
            whole += share;
        }
        scores.iter_mut().for_each(|score| *score /= whole);
        scores
    }
}

/// Result of a choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// Indices: first the tools that must stay, then by score.
    pub tools: Vec<usize>,
    /// Whether an allowed tool was left out; if so, offer [`find_tools`] too.
    pub left_out: bool,
}

/// The word pieces of a catalogue, counted once per version.
#[derive(Debug, Clone)]
pub struct Index {
    /// For each piece, the tools that contain it, and how often.
    holders: HashMap<String, Vec<(usize, f32)>>,
    lengths: Vec<f32>,
}

/// Returns the text of a tool for the encoder: its name in words and its description.
#[must_use]
pub fn tool_text(tool: &ToolSpec) -> String {
    format!("{}: {}", spaced(tool.name.as_str()), tool.description)
}

/// Splits a name into words: `get_orderStatus` becomes `get order Status`.
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
        let (mut holders, mut lengths) = (HashMap::<String, Vec<(usize, f32)>>::new(), Vec::new());
        for (at, tool) in tools.iter().enumerate() {
            let mut counts = BTreeMap::<String, f32>::new();
            let mut count = |text: &str, weight: f32| {
                pieces(text).into_iter().for_each(|piece| *counts.entry(piece).or_insert(0.0) += weight);
            };
            count(tool.name.as_str(), IN_NAME);
            count(&tool.description, IN_TEXT);
            tool.examples.iter().for_each(|example| count(example, IN_TEXT));
            let arguments = tool.input_schema.get("properties").and_then(|all| all.as_object());
            arguments.into_iter().flat_map(|all| all.keys()).for_each(|name| count(name, IN_ARGUMENT));
            lengths.push(counts.values().sum());
            counts.into_iter().for_each(|(piece, times)| holders.entry(piece).or_default().push((at, times)));
        }
        Self { holders, lengths }
    }

    /// Scores the allowed tools, in the order of `allowed`: the z-scored sum of encoder, table and BM25 and, for the
    /// nearest tools, how well they fit in a close comparison. Those rank before the others.
    ///
    /// Word frequencies are counted over the allowed tools only.
    #[must_use]
    pub fn scores(&self, allowed: &[usize], wish: &Wish<'_>) -> Vec<f32> {
        let near = |all: Option<&[f32]>| {
            let near = allowed.iter().map(|tool| all?.get(*tool).copied()).map(|near| near.unwrap_or(-1.0));
            all.map(|_| standard(&near.collect::<Vec<f32>>()))
        };
        let voices = Voices {
            meaning: near(wish.cosines),
            glance: near(wish.glances),
            words: standard(&self.bm25(allowed, wish.text)),
        };
        let mut scores = voices.sum(if wish.cosines.is_some() { FIRST } else { HURRIED });
        let Some(Closely(compare)) = wish.closely else { return scores };
        let mut nearest: Vec<usize> = (0..allowed.len()).collect();
        nearest.sort_by(|a, b| best_first(scores.get(*a), scores.get(*b)).then(a.cmp(b)));
        let (nearest, rest) = nearest.split_at(nearest.len().min(NEAR));
        let tools: Vec<usize> = nearest.iter().filter_map(|at| allowed.get(*at).copied()).collect();
        let fits = compare(&tools);
        let side = |side: fn(&[f32; 2]) -> f32| standard(&fits.iter().map(side).collect::<Vec<f32>>());
        let covered = side(|fit| fit[0]).into_iter().zip(side(|fit| fit[1]));
        let said = voices.sum(CLOSE);
        let voiced = CLOSE.meaning + CLOSE.glance + CLOSE.words;
        let mut least = f32::INFINITY;
        for (at, (tool, wish)) in nearest.iter().zip(covered) {
            if let (Some(score), Some(said)) = (scores.get_mut(*at), said.get(*at)) {
                *score = voiced * said + COVERED[0] * tool + COVERED[1] * wish;
                least = least.min(*score);
            }
        }
        let ahead =
            rest.first().and_then(|at| scores.get(*at)).map_or(0.0, |best| (best - least + BEHIND).max(0.0));
        rest.iter().for_each(|at| {
            if let Some(score) = scores.get_mut(*at) {
                *score -= ahead;
            }
        });
        scores
    }

    /// Chooses among the allowed tools. Indices beyond the catalogue are ignored.
    #[must_use]
    pub fn choose(&self, allowed: &[usize], wish: &Wish<'_>, limits: Limits) -> Chosen {
        let allowed: Vec<usize> = allowed.iter().copied().filter(|tool| *tool < self.lengths.len()).collect();
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
        let mut places: Vec<Option<usize>> = vec![None; self.lengths.len()];
        for (at, tool) in allowed.iter().enumerate() {
            if let Some(place) = places.get_mut(*tool) {
                *place = Some(at);
            }
        }
        let asked: BTreeSet<String> = pieces(text).into_iter().collect();
        let mut scores = vec![0.0; allowed.len()];
        for piece in asked.iter().filter_map(|piece| self.holders.get(piece)) {
            let allowed = |tool: &usize| places.get(*tool).copied().flatten();
            let held = piece.iter().filter(|(tool, _)| allowed(tool).is_some()).count() as f32;
            let rare = ((count - held + 0.5) / (held + 0.5)).ln_1p();
            for (tool, times) in piece {
                let score = allowed(tool).and_then(|at| scores.get_mut(at));
                if let (Some(score), Some(length)) = (score, self.lengths.get(*tool)) {
                    let damped = REPEAT * (1.0 - LENGTH + LENGTH * length / usual);
                    *score += rare * times * (REPEAT + 1.0) / (times + damped);
                }
            }
        }
        scores
    }
}

/// Orders scores, highest first.
fn best_first(one: Option<&f32>, other: Option<&f32>) -> std::cmp::Ordering {
    let number = |score: Option<&f32>| score.copied().unwrap_or(f32::NEG_INFINITY);
    number(other).total_cmp(&number(one))
}

/// Splits the words of a text into pieces of three and of five letters, with ends marked: `order` and `orders` share
/// most of theirs, and so do `schedule` and `rescheduling`.
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

/// Words that carry no information about a tool.
const COMMON: &[&str] = &[
    "an", "the", "of", "for", "to", "in", "on", "at", "is", "are", "be", "by", "or", "and", "with", "me",
    "my", "you", "your", "it", "its", "this", "that", "can", "could", "please", "what", "how", "do", "does",
    "we", "our", "as", "from", "if", "want", "would", "like", "need", "have", "has", "about", "any", "some",
    "there",
];

/// Standardises values to mean zero and deviation one; all zero if they do not differ.
fn standard(values: &[f32]) -> Vec<f32> {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let spread = (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count).sqrt();
    values.iter().map(|value| if spread > 1e-6 { (value - mean) / spread } else { 0.0 }).collect()
}

/// Returns the tool that makes up for a missed choice: the model calls it if none of the offered tools fits.
///
/// The caller answers it from the allowed tools with [`Index::choose`] and offers the result.
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
mod tests;

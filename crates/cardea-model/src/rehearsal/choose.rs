//! Chooses the tool that a message asks for.
//!
//! Three signals: the encoder (meaning), the words (with a small list of everyday synonyms), and the mentions (an
//! order number counts for a tool that needs one). Without an encoder the other two decide alone.

use std::collections::BTreeSet;

use cardea_core::tool::ToolSpec;

use super::{
    mood::Mood,
    said::{Nouns, Said},
    schema::{looks, tool_nouns},
    words::{content, stem, words},
};

/// A tool with its scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Its index among the offered tools.
    pub(super) place: usize,
    /// Similarity of its texts to the message, 0 to about 1: below [`RELEVANT`] it is about something else.
    pub(super) relevance: f64,
    /// The relevance, with the score of the mentions.
    pub(super) score: f64,
    /// True if it only reads, and the message names all that it needs: `is INV-0007 paid?`.
    pub(super) named: bool,
}

/// Least relevance of a tool that is worth calling.
pub(super) const RELEVANT: f64 = 0.30;

/// Result of filling the arguments of a tool.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fit {
    /// As [`super::fill::Filled::fit`].
    pub(super) fit: f64,
    /// Required arguments that were not mentioned.
    pub(super) missing: usize,
}

/// Everyday synonyms, first the word that tools use.
const SAME: &[&[&str]] = &[
    &["cancel", "stop", "abort", "revoke", "withdraw"],
    &["delete", "erase", "remove", "wipe", "purge", "forget", "rid"],
    &["create", "open", "log", "file", "raise", "report", "new", "add"],
    &["update", "change", "edit", "set", "modify", "bump", "correct", "rename"],
    &["assign", "give", "hand", "reassign", "transfer"],
    &["close", "resolve", "finish", "done", "fixed", "solved", "mark"],
    &["escalate", "tier", "level"],
    &["note", "jot", "write", "remember", "record", "memo", "leave"],
    &["refund", "reimburse", "money", "back", "repay", "compensate"],
    &["track", "where", "arrive", "location", "shipment", "package", "parcel", "delivery", "tracking"],
    &["search", "find", "belonging", "named", "look"],
    &["discount", "promo", "coupon", "voucher", "code"],
    &["history", "past", "interaction", "talk", "spoke", "speak", "contacted", "previous", "earlier"],
    &["revenue", "sales", "income", "earn", "money", "turnover", "made", "sold", "financially", "finances"],
    &["health", "up", "running", "down", "outage", "alive", "online", "healthy"],
    &["toggle", "turn", "switch", "enable", "disable", "flag", "feature", "activate"],
    &["audit", "log", "changed", "who", "entries"],
    &["segment", "group", "cohort", "audience"],
    &["risk", "churn", "leave", "leaving", "lose", "losing"],
    &["value", "worth", "lifetime", "ltv", "clv"],
    &["metric", "performance", "fast", "statistic", "stats", "doing", "kpi"],
    &["payment", "card", "cards", "pay"],
    &["profile", "who", "details", "record"],
    &["comment", "reply", "respond", "answer", "inform"],
    &["list", "all", "any", "every"],
    &["invoice", "bill"],
    &["order", "purchase", "bought"],
    &["customer", "client", "account", "person", "user"],
    &["ticket", "case", "issue", "incident"],
    &["status", "state", "progress"],
];

/// The words of one tool.
struct Texts {
    name: BTreeSet<String>,
    about: BTreeSet<String>,
    examples: Vec<BTreeSet<String>>,
}

impl Texts {
    fn of(tool: &ToolSpec) -> Self {
        Self {
            name: tool_nouns(tool).into_iter().collect(),
            about: content(&tool.description).into_iter().collect(),
            examples: tool.examples.iter().map(|text| example_words(text)).collect(),
        }
    }

    fn holds(&self, stem: &str) -> f64 {
        if self.name.contains(stem) {
            1.0
        } else if self.examples.iter().any(|example| example.contains(stem)) {
            0.9
        } else if self.about.contains(stem) {
            0.8
        } else {
            0.0
        }
    }
}

/// Returns the meaningful words of an example: no ids, and no names of people, which mean no one in particular.
fn example_words(text: &str) -> BTreeSet<String> {
    let names: BTreeSet<String> = words(text)
        .into_iter()
        .skip(1)
        .filter(|word| word.text.chars().next().is_some_and(char::is_uppercase))
        .map(|word| word.stem)
        .collect();
    content(text).into_iter().filter(|word| is_word(word) && !names.contains(word)).collect()
}

fn is_word(stem: &str) -> bool {
    !stem.chars().any(|c| c.is_ascii_digit())
}

/// Orders the tools, best first. `cosine` holds the encoder's similarity for each tool, if there is an encoder.
pub(super) fn order(
    tools: &[ToolSpec],
    said: &Said<'_>,
    nouns: &Nouns,
    fits: &[Fit],
    cosine: Option<&[f64]>,
) -> Vec<Candidate> {
    let texts: Vec<Texts> = tools.iter().map(Texts::of).collect();
    let spoken = Spoken::of(said, &texts, nouns);
    let mood = Mood::of(said);
    let mut found: Vec<Candidate> = tools
        .iter()
        .zip(&texts)
        .enumerate()
        .map(|(place, (tool, texts))| {
            let lexical = spoken.coverage(texts);
            let example = spoken.example(texts);
            let meaning = cosine.and_then(|all| all.get(place)).copied();
            let relevance = match meaning {
                // Words alone do not count for a tool with another meaning: `write me a poem` is not a note.
                Some(cosine) if cosine < 0.3 && lexical < 0.5 => {
                    0.6 * (0.6 * cosine.max(0.0) + 0.3 * lexical + 0.3 * example)
                }
                Some(cosine) => 0.6 * cosine + 0.3 * lexical + 0.3 * example,
                None => 0.6 * lexical + 0.5 * example,
            };
            let fit = fits.get(place).copied().unwrap_or_default();
            let mentions =
                0.22 * fit.fit.min(1.5) - 0.07 * f64::from(u8::try_from(fit.missing.min(3)).unwrap_or(3));
            let effect = mood.speaks_for(tool);
            let several = if is_list(texts) && spoken.several.iter().any(|noun| texts.name.contains(noun)) {
                0.08
            } else {
                0.0
            };
            let named = fit.fit >= 1.0 && fit.missing == 0 && looks(tool);
            Candidate {
                place,
                relevance,
                score: relevance + mentions + effect + several + spoken.lead(texts),
                named,
            }
        })
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.place.cmp(&b.place)));
    found
}

/// Returns whether the word and this stem of a tool's name are synonyms.
pub(super) fn same(word: &str, verb: &str) -> bool {
    let own = stem(word);
    own == verb
        || SAME.iter().any(|group| {
            let has = |wanted: &str| group.iter().any(|other| stem(other) == wanted);
            has(&own) && has(verb)
        })
}

/// Returns whether the tool lists or searches, and so returns rows.
fn is_list(texts: &Texts) -> bool {
    texts.name.contains("list") || texts.name.contains("search")
}

/// The words of a message with their weights: words that are rare among the tools weigh more.
struct Spoken {
    words: Vec<(String, f64)>,
    others: Vec<(Vec<String>, f64)>,
    plain: BTreeSet<String>,
    /// The first content word: what is to be done, in most requests.
    first: Option<String>,
    /// Things that are mentioned in the plural.
    several: Vec<String>,
}

impl Spoken {
    fn of(said: &Said<'_>, tools: &[Texts], nouns: &Nouns) -> Self {
        let mentioned =
            |start: usize| said.mentions.iter().any(|mention| mention.start <= start && start < mention.end);
        let free = said.words.iter().filter(|word| !mentioned(word.start));
        let stems: BTreeSet<String> = free.map(|word| word.text.to_lowercase()).collect();
        let names: BTreeSet<String> = said.proper_names(nouns).into_iter().flat_map(content).collect();
        let plain: BTreeSet<String> =
            content(said.text).into_iter().filter(|word| is_word(word) && !names.contains(word)).collect();
        let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let weight = |word: &str| {
            let holders = tools.iter().filter(|tool| tool.holds(word) > 0.0).count();
            (1.0 + count(tools.len()) / count(holders.max(1))).ln()
        };
        let words = plain.iter().map(|word| {
            let known = tools.iter().any(|tool| tool.holds(word) > 0.0);
            (word.clone(), if known { weight(word) } else { 0.7 })
        });
        let others = stems.iter().flat_map(|word| {
            let stem_of = stem(word);
            let groups = SAME
                .iter()
                .filter(move |group| group.iter().any(|other| *other == word || stem(other) == stem_of));
            groups.map(|group| group.iter().map(|word| stem(word)).collect::<Vec<_>>())
        });
        let others =
            others.filter(|group| group.iter().any(|word| tools.iter().any(|tool| tool.holds(word) > 0.0)));
        let others = others.map(|group| {
            let rarest = group
                .iter()
                .filter(|word| tools.iter().any(|tool| tool.name.contains(*word)))
                .map(|word| weight(word))
                .fold(0.0, f64::max);
            (group, rarest)
        });
        let first = content(said.text).into_iter().next();
        let several = said
            .words
            .iter()
            .filter(|word| word.text.ends_with('s'))
            .filter_map(|word| nouns.known(&word.stem))
            .map(str::to_owned)
            .collect();
        Self { words: words.collect(), others: others.collect(), plain: plain.clone(), first, several }
    }

    /// Returns the score of the first word for a tool.
    fn lead(&self, tool: &Texts) -> f64 {
        let Some(first) = &self.first else { return 0.0 };
        let same = || {
            SAME.iter().any(|group| {
                group.iter().any(|word| stem(word) == *first)
                    && group.first().is_some_and(|word| tool.name.contains(&stem(word)))
            })
        };
        if tool.name.contains(first) {
            0.1
        } else if same() {
            0.05
        } else {
            0.0
        }
    }

    /// Returns the share of the message that this tool's texts cover, by weight.
    fn coverage(&self, tool: &Texts) -> f64 {
        let (mut covered, mut all) = (0.0, 0.4);
        for (word, weight) in &self.words {
            let direct = tool.holds(word);
            covered += weight * direct;
            all += weight;
        }
        let alike = self.others.iter().filter(|(group, _)| group.iter().any(|word| tool.name.contains(word)));
        let alike: f64 = alike
            .map(|(group, weight)| {
                if group.iter().any(|word| self.plain.contains(word) && tool.name.contains(word)) {
                    0.0
                } else {
                    0.7 * weight
                }
            })
            .sum();
        ((covered + alike) / all).min(1.3)
    }

    /// Returns the similarity of the message to the nearest example of this tool (Dice).
    fn example(&self, tool: &Texts) -> f64 {
        let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let one = |example: &BTreeSet<String>| {
            let common = example.intersection(&self.plain).count();
            2.0 * count(common) / count((example.len() + self.plain.len()).max(1))
        };
        tool.examples.iter().map(one).fold(0.0, f64::max)
    }
}

/// Returns whether the tool returns rows.
pub(super) fn lists(tool: &ToolSpec) -> bool {
    !tool.effect.changes_things() && is_list(&Texts::of(tool))
}

/// Returns the stems of all words in a tool's definition.
pub(super) fn words_of(tool: &ToolSpec) -> Vec<String> {
    let texts = Texts::of(tool);
    let own = texts.name.into_iter().chain(texts.about);
    own.chain(texts.examples.into_iter().flatten()).collect()
}

/// Returns the texts of a tool that an encoder compares with the message.
pub(super) fn encoded_texts(tool: &ToolSpec) -> Vec<String> {
    let name = tool_nouns(tool).join(" ");
    let mut texts = vec![format!("{name}: {}", tool.description.chars().take(300).collect::<String>())];
    texts.extend(tool.examples.iter().take(8).map(|example| example.chars().take(200).collect()));
    texts
}

/// Returns whether the tool searches by words.
pub(super) fn searches(tool: &ToolSpec) -> bool {
    let searching = |word: &String| matches!(word.as_str(), "search" | "find" | "lookup" | "query");
    !tool.effect.changes_things() && tool_nouns(tool).iter().any(searching)
}

/// Returns whether the tool can find the id of a thing by a name or an address.
pub(super) fn finds(tool: &ToolSpec, noun: &str, nouns: &Nouns) -> bool {
    searches(tool) && tool_nouns(tool).iter().any(|word| nouns.known(word) == nouns.known(noun))
}

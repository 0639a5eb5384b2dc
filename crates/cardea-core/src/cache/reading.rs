//! A parsed text: words, numbers, names, quotations, negations.
//!
//! Pure string work, once per text, however many others it is compared with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use super::{
    lexicon::{ROLES, SIGNS},
    negation::Denied,
    sign::{is_sign, minus},
    tongue::Tongue,
    word::{Word, amounts, others},
};

/// A text that was parsed once, to be compared with many.
#[derive(Debug, Clone)]
pub struct Reading {
    pub(super) words: Vec<Word>,
    pub(super) quoted: BTreeSet<String>,
    /// Technical names: `get_order`, `std::fs`, `docs/readme.md`, `config.toml`.
    pub(super) codes: BTreeSet<String>,
    /// Characters with a meaning of their own, in their order: `<`, `≥`, `¥`, a flag.
    pub(super) signs: Vec<char>,
    pub(super) denied: Denied,
    /// Language; determined only if everything else agrees.
    tongue: OnceLock<Option<&'static Tongue>>,
}

impl Reading {
    /// Parses a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let shouted = !text.chars().any(char::is_lowercase);
        let (rest, quoted) = quotations(&minus(text));
        let (mut words, mut signs) = (Vec::new(), Vec::new());
        let mut fresh = true;
        for raw in
            rest.split(|c: char| c.is_whitespace() || matches!(c, '/' | '—' | '–' | '(' | ')' | '[' | ']'))
        {
            let core = raw.trim_matches(|c: char| {
                !c.is_alphanumeric() && !matches!(c, '$' | '€' | '£' | '%' | '+' | '#' | '-')
            });
            let core = core.trim_start_matches('#').trim_end_matches('-');
            if !core.is_empty() && core.chars().any(char::is_alphanumeric) {
                let ends = raw.ends_with([',', ';', ':', '.', '!', '?', '，', '、']);
                words.push(Word { ends, ..Word::new(core, fresh || shouted) });
                // `~100`, `>5`; inside a word such characters belong to it.
                let before = raw.split_once(char::is_alphanumeric).map_or("", |(before, _)| before);
                let compares = |c: &char| matches!(c, '<' | '>' | '=' | '~') && core.starts_with(is_digit);
                signs.extend(before.chars().filter(compares));
                signs.extend(raw.chars().filter(|c| is_sign(*c)));
            } else {
                signs.extend(raw.chars().filter(|c| SIGNS.contains(c) || *c == '%' || is_sign(*c)));
            }
            fresh = raw.ends_with(['.', '!', '?', ':']);
        }
        let denied = Denied::of(&words);
        amounts(&mut words);
        others(&mut words);
        Self { words, quoted, codes: codes(&rest), signs, denied, tongue: OnceLock::new() }
    }

    /// Returns the language, if its words are known here.
    pub(super) fn tongue(&self) -> Option<&'static Tongue> {
        *self.tongue.get_or_init(|| Tongue::known(&self.words))
    }

    /// Returns all words in lower case.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| word.low.as_str())
    }

    /// Returns the stems of the content words.
    pub fn content(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter(|word| !word.stop).map(|word| word.stem.as_str())
    }

    /// Returns numbers and codes, sorted.
    #[must_use]
    pub fn numbers(&self) -> Vec<&str> {
        let mut numbers: Vec<&str> = self.words.iter().filter_map(|word| word.number.as_deref()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Counts names that the other text does not have in any spelling.
    pub(super) fn foreign_names(&self, other: &Self) -> usize {
        let known =
            |word: &Word| other.words.iter().any(|with| with.low == word.low || with.stem == word.stem);
        self.words.iter().filter(|word| word.name && word.number.is_none() && !known(word)).count()
    }

    /// Returns content words that the other text lacks.
    pub(super) fn unmatched<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let known = |word: &Word| other.words.iter().any(|with| with.stem == word.stem);
        self.words.iter().filter(move |word| !known(word)).map(|word| word.low.as_str())
    }

    pub(super) const fn negations(&self) -> usize {
        self.denied.count
    }

    /// Returns whether one text negates more than the other, or something else that both name.
    pub(super) fn denies_other(&self, other: &Self) -> bool {
        let alone = |a: &Self, b: &Self| a.denied.beyond(&b.denied, &b.words);
        self.negations() != other.negations() || alone(self, other) && alone(other, self)
    }

    /// Returns numbers with what each counts (`12 of my coins`), in the order of the text.
    pub(super) fn counted(&self) -> Vec<(&str, Option<&Word>)> {
        let linking = |word: &&Word| matches!(word.low.as_str(), "of" | "my" | "the" | "our" | "your");
        let plain = |word: &&Word| !word.stop && word.number.is_none();
        let after = |at: usize| self.words.iter().skip(at + 1).find(|word| !linking(word)).filter(plain);
        let numbers = self.words.iter().enumerate();
        numbers.filter_map(|(at, word)| Some((word.number.as_deref()?, after(at)))).collect()
    }

    /// Returns what follows each word that gives a role: `to` → Rome.
    pub(super) fn roles(&self) -> BTreeMap<u8, BTreeSet<&str>> {
        let mut roles: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
        let mut role: Option<(usize, u8)> = None;
        for (at, word) in self.words.iter().enumerate() {
            if let Some((_, found)) = ROLES.iter().find(|(name, _)| *name == word.low) {
                role = Some((at, *found));
            } else if !word.stop
                && let Some((_, found)) = role.take().filter(|(from, _)| at - from <= 3)
            {
                roles.entry(found).or_default().insert(&word.stem);
            }
        }
        roles
    }

    pub(super) fn has(&self, stem: &str) -> bool {
        self.words.iter().any(|word| word.stem == stem)
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '$' | '€' | '£' | '-')
}

/// Removes quoted parts from a text and returns both.
fn quotations(text: &str) -> (String, BTreeSet<String>) {
    let (mut rest, mut quoted) = (String::new(), BTreeSet::new());
    let mut inside: Option<String> = None;
    for character in text.chars() {
        match (character, inside.take()) {
            ('"' | '“' | '”' | '„' | '`', None) => inside = Some(String::new()),
            ('"' | '“' | '”' | '„' | '`', Some(part)) => {
                quoted.insert(part.trim().to_lowercase());
                rest.push(' ');
            }
            (_, Some(mut part)) => {
                part.push(character);
                inside = Some(part);
            }
            (_, None) => rest.push(character),
        }
    }
    rest.push_str(inside.as_deref().unwrap_or_default());
    (rest, quoted)
}

/// Returns the technical names in a text: words with `_`, `::`, `/` or `.` inside. Numbers are compared as numbers,
/// and `e.g.` is not a name.
fn codes(text: &str) -> BTreeSet<String> {
    let parts =
        text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | ',' | ';' | '—' | '–'));
    let cores = parts.map(|part| {
        let core = part.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '/');
        core.trim_end_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
    });
    let code = |core: &String| {
        let dotted = || core.contains('.') && core.split('.').any(|part| part.chars().count() > 1);
        core.contains(char::is_alphabetic) && (core.contains(['_', '/']) || core.contains("::") || dotted())
    };
    cores.filter(code).collect()
}

//! A text taken apart: words, numbers, names, quotations, negations.
//!
//! Pure string work, once for each text, however many others it is compared with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use super::{
    lexicon::{CURRENCIES, NEGATIONS, NUMBERS, ROLES, SIGNS, STOP},
    negation::Denied,
    tongue::Tongue,
};

/// One word of a request.
#[derive(Debug, Clone)]
pub(super) struct Word {
    /// Lower case, without punctuation at its ends.
    pub(super) low: String,
    pub(super) stem: String,
    /// A name: written with a capital where a plain word would not be.
    pub(super) name: bool,
    /// A number or code in one spelling.
    pub(super) number: Option<String>,
    pub(super) stop: bool,
    /// Whose: `Ann's`.
    pub(super) owns: bool,
    /// A comma or another mark follows, so that the next word begins something else.
    pub(super) ends: bool,
}

impl Word {
    /// True if it does not say what is asked: `can`, `won't`.
    pub(super) fn light(&self) -> bool {
        self.stop || self.negates()
    }

    pub(super) fn negates(&self) -> bool {
        NEGATIONS.contains(&self.low.as_str()) || self.low.ends_with("n't")
    }
}

/// A text taken apart once, to be compared with many.
#[derive(Debug, Clone)]
pub struct Reading {
    pub(super) words: Vec<Word>,
    pub(super) quoted: BTreeSet<String>,
    /// Names that programs know: `get_order`, `std::fs`, `docs/readme.md`, `config.toml`.
    pub(super) codes: BTreeSet<String>,
    /// Marks that say something by themselves, in their order: `<`, `≥`.
    pub(super) signs: Vec<char>,
    pub(super) denied: Denied,
    /// Asked for where all else agrees.
    tongue: OnceLock<Option<&'static Tongue>>,
}

impl Reading {
    /// Takes a text apart.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let shouted = !text.chars().any(char::is_lowercase);
        let (rest, quoted) = quotations(text);
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
                words.push(Word { ends, ..word(core, fresh || shouted) });
            } else {
                signs.extend(raw.chars().filter(|c| SIGNS.contains(c)));
            }
            fresh = raw.ends_with(['.', '!', '?', ':']);
        }
        let denied = Denied::of(&words);
        amounts(&mut words);
        others(&mut words);
        Self { words, quoted, codes: codes(&rest), signs, denied, tongue: OnceLock::new() }
    }

    /// The language, if its words are known here.
    pub(super) fn tongue(&self) -> Option<&'static Tongue> {
        *self.tongue.get_or_init(|| Tongue::known(self))
    }

    /// All words in lower case.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| word.low.as_str())
    }

    /// The stems of the words that carry meaning.
    pub fn content(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter(|word| !word.stop).map(|word| word.stem.as_str())
    }

    /// Numbers and codes, sorted.
    #[must_use]
    pub fn numbers(&self) -> Vec<&str> {
        let mut numbers: Vec<&str> = self.words.iter().filter_map(|word| word.number.as_deref()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Names that the other text does not have in any spelling.
    pub(super) fn foreign_names(&self, other: &Self) -> usize {
        let known =
            |word: &Word| other.words.iter().any(|with| with.low == word.low || with.stem == word.stem);
        self.words.iter().filter(|word| word.name && word.number.is_none() && !known(word)).count()
    }

    /// Words that carry meaning and are not in the other text.
    pub(super) fn unmatched<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let known = |word: &Word| other.words.iter().any(|with| with.stem == word.stem);
        self.words.iter().filter(move |word| !known(word)).map(|word| word.low.as_str())
    }

    pub(super) const fn negations(&self) -> usize {
        self.denied.count
    }

    /// Numbers with what each counts (`12 of my coins`), in the order of the text.
    pub(super) fn counted(&self) -> Vec<(&str, Option<&Word>)> {
        let linking = |word: &&Word| matches!(word.low.as_str(), "of" | "my" | "the" | "our" | "your");
        let plain = |word: &&Word| !word.stop && word.number.is_none();
        let after = |at: usize| self.words.iter().skip(at + 1).find(|word| !linking(word)).filter(plain);
        let numbers = self.words.iter().enumerate();
        numbers.filter_map(|(at, word)| Some((word.number.as_deref()?, after(at)))).collect()
    }

    /// What follows each word that gives a role: `to` → Rome.
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

/// Gives a number the sign of the currency whose name follows it.
fn amounts(words: &mut [Word]) {
    for at in 1..words.len() {
        let (before, after) = words.split_at_mut(at);
        let (Some(amount), Some(unit)) = (before.last_mut(), after.first()) else { continue };
        let sign = CURRENCIES.iter().find(|(name, _)| *name == unit.low).map(|(_, sign)| *sign);
        if let (Some(number), Some(sign)) = (&mut amount.number, sign)
            && number.starts_with(|c: char| c.is_ascii_digit())
        {
            number.insert(0, sign);
        }
    }
}

/// `Every other` is a number: it says how often.
fn others(words: &mut [Word]) {
    for at in 1..words.len() {
        let (before, after) = words.split_at_mut(at);
        if let (Some(every), Some(other)) = (before.last(), after.first_mut())
            && every.low == "every"
            && other.low == "other"
        {
            other.number = Some("2nd".to_owned());
        }
    }
}

/// Takes quoted parts out of a text.
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

/// The names in a text that programs know by their letters: what has `_`, `::`, `/` or `.` inside. Numbers are compared as
/// numbers, and `e.g.` is no name.
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

fn word(core: &str, fresh: bool) -> Word {
    let low = core.to_lowercase().replace(['’', '‘', 'ʼ', '´', '＇'], "'");
    let (low, owns) = low.strip_suffix("'s").map_or((low.as_str(), false), |owner| (owner, true));
    let low = low.to_owned();
    let upper = core.chars().filter(|c| c.is_uppercase()).count();
    let first = core.chars().next().is_some_and(char::is_uppercase);
    let inner = upper > usize::from(first);
    // `Is A cheaper than B`.
    let label = first && low.len() == 1 && low != "i" && !fresh;
    let stop = STOP.contains(&low.as_str()) && !label;
    let name = !stop && (low.len() > 1 || label) && (first || inner) && !fresh;
    let number = number(&low);
    Word { stem: stem(&low), number, name, stop, owns: owns && !stop, ends: false, low }
}

/// One spelling for a number, amount, code, address or number word.
fn number(low: &str) -> Option<String> {
    if let Some((_, digits)) = NUMBERS.iter().find(|(name, _)| *name == low) {
        return Some((*digits).to_owned());
    }
    if low.contains('@') || low.contains("://") || low.starts_with("www.") {
        return Some(low.to_owned());
    }
    if !low.contains(|c: char| c.is_numeric()) {
        return None;
    }
    let (sign, plain) = (low.contains(['$', '€', '£']), low.replace(['$', '€', '£', '+'], ""));
    let (whole, part) = plain.split_once('.').unwrap_or((&plain, ""));
    let grouped =
        whole.split(',').skip(1).all(|part| part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit()));
    let whole = if grouped { whole.replace(',', "") } else { whole.to_owned() };
    let plain = if part.bytes().all(|b| b == b'0') { whole } else { format!("{whole}.{part}") };
    // WHY: the sign itself tells the currency; `5 dollars` against `$5` is left to a model call.
    let symbol = low.chars().find(|c| sign && matches!(c, '$' | '€' | '£'));
    Some(symbol.into_iter().collect::<String>() + &plain)
}

/// Takes common English endings off. Only for comparing two words with each other.
pub(super) fn stem(low: &str) -> String {
    let cut =
        |ending: &str, least: usize| low.strip_suffix(ending).filter(|rest| rest.chars().count() >= least);
    let rest = cut("ies", 3).map(|rest| format!("{rest}y"));
    let rest =
        rest.or_else(|| cut("ing", 4).or_else(|| cut("ed", 4)).or_else(|| cut("es", 4)).map(str::to_owned));
    let rest = rest.or_else(|| cut("s", 3).filter(|rest| !rest.ends_with('s')).map(str::to_owned));
    let mut rest = rest.unwrap_or_else(|| low.to_owned());
    let mut ends = rest.chars().rev();
    if let (Some(last), Some(before)) = (ends.next(), ends.next())
        && (last == 'e' || last == before && !matches!(last, 'a' | 'e' | 'i' | 'o' | 'u' | 's'))
        && rest.chars().count() > 3
    {
        rest.pop();
    }
    rest
}

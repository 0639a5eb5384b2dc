//! Slots of a request: what may not differ between two texts that get the same answer.
//!
//! Pure string work, a few microseconds for two short texts. It errs towards a veto: that costs a model call.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use super::lexicon::{
    ALL, CLASSES, CURRENCIES, NEGATIONS, NUMBERS, PREFIXES, ROLES, SHIFTS, STOP, WONDERING,
};

/// Why two texts must not share an answer, however near they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Veto {
    /// A number, code, amount or address differs.
    Number,
    /// A name differs.
    Entity,
    /// One is negated, the other is not.
    Negation,
    /// An opposite, or another member of a closed class: day, unit, direction, language, role.
    Opposite,
    /// The same parts play other roles: from and to, who and whom.
    Order,
    /// A quoted text differs.
    Quoted,
}

/// One word of a request.
#[derive(Debug, Clone)]
struct Word {
    /// Lower case, without punctuation at its ends.
    low: String,
    stem: String,
    /// A name: written with a capital where a plain word would not be.
    name: bool,
    /// A number or code in one spelling.
    number: Option<String>,
    stop: bool,
}

/// A text taken apart once, to be compared with many.
#[derive(Debug, Clone)]
pub struct Reading {
    words: Vec<Word>,
    quoted: BTreeSet<String>,
    negations: usize,
}

/// Word to (class, meaning inside the class) for each class it belongs to.
static CLASS_OF: LazyLock<HashMap<String, Vec<(usize, usize)>>> = LazyLock::new(|| {
    let mut classes: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for (class, line) in CLASSES.iter().enumerate() {
        for (meaning, same) in line.split(' ').enumerate() {
            for word in same.split('=') {
                classes.entry(word.to_owned()).or_default().push((class, meaning));
                let stem = stem(word);
                if stem != word {
                    classes.entry(stem).or_default().push((class, meaning));
                }
            }
        }
    }
    classes
});

impl Reading {
    /// Takes a text apart.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let shouted = !text.chars().any(char::is_lowercase);
        let (rest, quoted) = quotations(text);
        let mut words = Vec::new();
        let mut fresh = true;
        for raw in
            rest.split(|c: char| c.is_whitespace() || matches!(c, '/' | '—' | '–' | '(' | ')' | '[' | ']'))
        {
            let core = raw.trim_matches(|c: char| {
                !c.is_alphanumeric() && !matches!(c, '$' | '€' | '£' | '%' | '+' | '#' | '-')
            });
            let core = core.trim_matches(|c: char| c == '#').trim_end_matches('-');
            if !core.is_empty() && core.chars().any(char::is_alphanumeric) {
                words.push(word(core, fresh || shouted));
            }
            fresh = raw.ends_with(['.', '!', '?', ':']);
        }
        let negations = words.iter().enumerate().filter(|(at, _)| negates(&words, *at)).count();
        amounts(&mut words);
        Self { words, quoted, negations }
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
        self.negations
    }

    /// What follows each word that gives a role: `to` → Rome.
    fn roles(&self) -> BTreeMap<u8, BTreeSet<&str>> {
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

    fn has(&self, stem: &str) -> bool {
        self.words.iter().any(|word| word.stem == stem)
    }
}

/// True if the word at this place turns the sentence round.
fn negates(words: &[Word], at: usize) -> bool {
    let low = |at: usize| words.get(at).map(|word| word.low.as_str()).unwrap_or_default();
    let word = low(at);
    if word == "but" {
        return at > 0 && ALL.contains(&low(at - 1));
    }
    (NEGATIONS.contains(&word) || word.ends_with("n't")) && !WONDERING.contains(&low(at + 1))
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

fn word(core: &str, fresh: bool) -> Word {
    let low = core.to_lowercase().replace('’', "'");
    let low = low.strip_suffix("'s").unwrap_or(&low).to_owned();
    let upper = core.chars().filter(|c| c.is_uppercase()).count();
    let first = core.chars().next().is_some_and(char::is_uppercase);
    let inner = upper > usize::from(first);
    let stop = STOP.contains(&low.as_str());
    let name = !stop && low.len() > 1 && (first || inner) && !fresh;
    let number = number(&low);
    Word { stem: stem(&low), number, name, stop, low }
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
fn stem(low: &str) -> String {
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

/// The first reason why the two texts must not share an answer; `None` if nothing was found.
#[must_use]
pub fn veto(a: &Reading, b: &Reading) -> Option<Veto> {
    if a.quoted != b.quoted {
        return Some(Veto::Quoted);
    }
    if a.numbers() != b.numbers() {
        return Some(Veto::Number);
    }
    if a.foreign_names(b) > 0 && b.foreign_names(a) > 0 {
        return Some(Veto::Entity);
    }
    if a.negations % 2 != b.negations % 2 {
        return Some(Veto::Negation);
    }
    if opposed(a, b) {
        return Some(Veto::Opposite);
    }
    if turned(a, b) {
        return Some(Veto::Order);
    }
    None
}

/// True if one text has a word of a closed class where the other has another one, or a word and its negation.
pub(super) fn opposed(a: &Reading, b: &Reading) -> bool {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (a.unmatched(b).collect(), b.unmatched(a).collect());
    let class = |word: &str| {
        CLASS_OF.get(word).or_else(|| CLASS_OF.get(&stem(word))).map(Vec::as_slice).unwrap_or_default()
    };
    let clash = |one: &str, other: &str| {
        class(one).iter().any(|(kind, meaning)| class(other).iter().any(|(k, m)| k == kind && m != meaning))
    };
    let turned = |one: &str, other: &str| {
        one.len() > 3
            && PREFIXES
                .iter()
                .any(|prefix| other.strip_prefix(prefix).is_some_and(|rest| stem(rest) == stem(one)))
    };
    let shifts = |words: &[&str]| words.iter().any(|word| SHIFTS.contains(word));
    if shifts(&ours) != shifts(&theirs) {
        return true;
    }
    ours.iter()
        .any(|one| theirs.iter().any(|other| clash(one, other) || turned(one, other) || turned(other, one)))
}

/// True if the same parts stand in other roles: what follows `to` in one text stands elsewhere in the other and the
/// other way round, or two names change places where no such word tells their roles.
pub(super) fn turned(a: &Reading, b: &Reading) -> bool {
    let (ours, theirs) = (a.roles(), b.roles());
    let moved = ours.iter().any(|(role, parts)| {
        let Some(others) = theirs.get(role) else { return false };
        parts.is_disjoint(others)
            && parts.iter().any(|part| b.has(part))
            && others.iter().any(|part| a.has(part))
    });
    let names = |reading: &Reading| -> Vec<String> {
        let names = reading.words.iter().filter(|word| word.name && word.number.is_none());
        names.map(|word| word.low.clone()).collect()
    };
    let (first, second) = (names(a), names(b));
    let swapped = first.len() > 1 && first != second && sorted(&first) == sorted(&second);
    moved || swapped && (ours.is_empty() || theirs.is_empty())
}

/// True if both have the same words that carry meaning, in another order.
pub(super) fn reordered(a: &Reading, b: &Reading) -> bool {
    let content = |reading: &Reading| reading.content().map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (content(a), content(b));
    first != second && first.len() > 1 && sorted(&first) == sorted(&second)
}

fn sorted(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    words.sort_unstable();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(a: &str, b: &str) -> Option<Veto> {
        veto(&Reading::new(a), &Reading::new(b))
    }

    #[test]
    fn a_changed_slot_is_seen() {
        let pairs = [
            ("Where is order 12345?", "Where is order 12346?", Veto::Number),
            ("Pay $5 to Ann", "Pay €5 to Ann", Veto::Number),
            ("remind me in two hours", "remind me in three hours", Veto::Number),
            ("write to ann@example.com", "write to bob@example.com", Veto::Number),
            ("weather in Paris", "weather in Berlin", Veto::Entity),
            ("May I bring pets?", "May I not bring pets?", Veto::Negation),
            ("Why doesn't it start", "Why does it start", Veto::Negation),
            ("how do I enable roaming", "how do I disable roaming", Veto::Opposite),
            ("meeting on monday", "meeting on tuesday", Veto::Opposite),
            ("is the plan limited", "is the plan unlimited", Veto::Opposite),
            ("flights from Oslo to Rome", "flights from Rome to Oslo", Veto::Order),
            ("does Ann owe Bob", "does Bob owe Ann", Veto::Order),
            ("convert 50 yen to krona", "convert 50 krona to yen", Veto::Order),
            ("give it to Ann", "give it to anyone but Ann", Veto::Negation),
            ("sales on monday", "sales last monday", Veto::Opposite),
            ("translate \"cat\"", "translate \"dog\"", Veto::Quoted),
        ];
        for (a, b, why) in pairs {
            assert_eq!(between(a, b), Some(why), "{a} / {b}");
            assert_eq!(between(b, a), Some(why), "{b} / {a}");
        }
    }

    #[test]
    fn other_words_for_the_same_are_let_through() {
        let pairs = [
            ("Where is order #12345?", "what's the status of order 12345"),
            ("Refund $15 for order 17", "I want 15 dollars back for order 17"),
            ("I don't know how to pay", "how do I pay"),
            ("It costs $1,000.00", "it costs $1000"),
            ("flights from Oslo to Rome", "I want to fly to Rome from Oslo"),
            ("How do I reset my password?", "I forgot my password, how can I reset it?"),
            ("weather in Paris", "weather in paris please"),
            ("CANCEL MY ORDER", "cancel my order"),
        ];
        for (a, b) in pairs {
            assert_eq!(between(a, b), None, "{a} / {b}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_text_never_vetoes_itself_and_the_order_does_not_matter(a in "[ a-zA-Z0-9'\"?$.]{0,40}", b in "\\PC{0,30}") {
            proptest::prop_assert_eq!(between(&a, &a), None);
            proptest::prop_assert_eq!(between(&b, &b), None);
            proptest::prop_assert_eq!(between(&a, &b).is_some(), between(&b, &a).is_some());
        }
    }
}

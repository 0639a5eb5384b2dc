//! Negations of a text: their number, and what they negate.
//!
//! Two negations do not cancel out: `not safe and not approved` is the opposite of `safe and approved`.

use super::{
    alike::same_word,
    lexicon::{ALL, BETWEEN, PERSONS, STOP, WONDERING},
    word::Word,
};

/// The negations of a text.
#[derive(Debug, Clone, Default)]
pub(super) struct Denied {
    pub(super) count: usize,
    /// The negated words, as far as they are known.
    what: Vec<Word>,
}

impl Denied {
    pub(super) fn of(words: &[Word]) -> Self {
        let found = || (0..words.len()).filter(|at| negates(words, *at));
        Self { count: found().count(), what: found().filter_map(|at| denied(words, at)).collect() }
    }

    /// Returns whether this negates something that the other text, with these words, says without negating it.
    pub(super) fn beyond(&self, other: &Self, words: &[Word]) -> bool {
        let said = |words: &[Word], what| words.iter().any(|word| same_word(word, what));
        self.what.iter().any(|what| !said(&other.what, what) && said(words, what))
    }
}

fn low(words: &[Word], at: usize) -> &str {
    words.get(at).map(|word| word.low.as_str()).unwrap_or_default()
}

/// Returns whether the word at this position negates the sentence.
fn negates(words: &[Word], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| low(words, at)).unwrap_or_default();
    let (word, next) = (low(words, at), low(words, at + 1));
    match word {
        "but" => return ALL.contains(&before),
        "yet" => return next == "to" && matches!(before, "have" | "has" | "had" | "is" | "are" | "i've"),
        "fail" | "fails" | "failed" | "failing" | "refuse" | "refuses" => return next == "to",
        "miss" | "misses" | "missing" => return misses(words, at),
        "instead" => return next == "of",
        "free" => {
            return matches!(next, "of" | "from")
                && !matches!(low(words, at + 2), "charge" | "charges" | "cost");
        }
        "far" => {
            return next == "from"
                && is(before)
                && words.get(at + 2).is_some_and(|word| !word.light() && !word.name);
        }
        "rather" | "other" => return next == "than",
        _ => {}
    }
    let exempt = matches!(next, "only" | "just") || WONDERING.contains(&next) && wonders(words, at);
    words.get(at).is_some_and(Word::negates) && !exempt
}

/// Matches `which customers are missing an invoice`, but not `my parcel is missing` or `a missing parcel`.
fn misses(words: &[Word], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| low(words, at)).unwrap_or_default();
    let thing = words.get(at + 1).is_some_and(|word| !word.light());
    matches!(low(words, at + 1), "a" | "an" | "the" | "any" | "their" | "its") || is(before) && thing
}

fn is(word: &str) -> bool {
    matches!(word, "is" | "are" | "was" | "were" | "be" | "am" | "i'm")
}

/// Returns whether the speaker does not know: `I do not know`, `not sure how`.
fn wonders(words: &[Word], at: usize) -> bool {
    let speaker = |word: &str| matches!(word, "i" | "we" | "i'm" | "we're" | "im");
    let aside =
        |word: &&str| !matches!(*word, "still" | "really" | "simply" | "just" | "also" | "absolutely");
    let said: Vec<&str> = words.get(..at).unwrap_or_default().iter().map(|word| word.low.as_str()).collect();
    let asked = || said.iter().any(|word| matches!(*word, "who" | "which" | "what" | "whose" | "whom"));
    if low(words, at + 1) == "find" && !asked() {
        return true;
    }
    let mut before = said.iter().rev().copied().filter(aside);
    let (last, earlier) = (before.next().unwrap_or("but"), before.next().unwrap_or("but"));
    // `I want to pay but do not know how`.
    let goes_on = |word: &str| {
        matches!(word, "but" | "and") && !asked() && (said.len() < 2 || said.iter().any(|word| speaker(word)))
    };
    let by_speaker = |word: &str| speaker(word) || goes_on(word);
    let auxiliary = |word: &str| {
        matches!(word, "do" | "did" | "can" | "could" | "am" | "are" | "was" | "were" | "have" | "will")
    };
    if low(words, at) != "not" {
        return by_speaker(last);
    }
    matches!(last, "i'm" | "we're" | "im") || goes_on(last) || auxiliary(last) && by_speaker(earlier)
}

/// Returns what the negation at this position negates: the next content word. `None` if the whole sentence is negated:
/// `isn't my card`, `can't get my card to work`.
fn denied(words: &[Word], at: usize) -> Option<Word> {
    let word = low(words, at);
    let whole = word.ends_with("nt") || word.ends_with("n't") || matches!(word, "not" | "cannot");
    let about = |word: &Word| {
        PERSONS.contains(&word.low.as_str())
            || matches!(word.low.as_str(), "my" | "your" | "our" | "the" | "this")
    };
    if whole && words.get(at + 1).is_some_and(|next| next.name) {
        return None;
    }
    let idle = |word: &&Word| STOP.contains(&word.low.as_str()) || BETWEEN.contains(&word.low.as_str());
    let next = words.iter().skip(at + 1).find(|word| whole && about(word) || !idle(word));
    next.filter(|word| !(whole && about(word))).cloned()
}

#[cfg(test)]
mod tests {
    use crate::cache::Reading;

    fn denies(a: &str, b: &str) -> bool {
        let (a, b) = (Reading::new(a), Reading::new(b));
        assert_eq!(a.denies_other(&b), b.denies_other(&a));
        a.denies_other(&b)
    }

    #[test]
    fn two_negations_are_not_none() {
        for (a, b) in [
            ("Which drugs are safe and approved?", "Which drugs are not safe and not approved?"),
            ("May I read and write?", "May I neither read nor write?"),
            ("Who can approve refunds?", "Who is unable to approve refunds?"),
            ("Which orders have arrived?", "Which orders have yet to arrive?"),
            ("Which customers have mail?", "Which customers are missing mail?"),
            ("Who fails to pay?", "Who pays?"),
            ("Who can't find the exit?", "Who can find the exit?"),
            ("Which shops do not know it?", "Which shops know it?"),
            ("Pay by card or cash", "Pay by card instead of cash"),
            ("Which parts are free of nickel?", "Which parts are of nickel?"),
        ] {
            assert!(denies(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn the_same_number_of_negations_may_deny_something_else() {
        for (a, b) in [
            ("What is safe but not approved?", "What is not safe but approved?"),
            ("Who has a card and no mail?", "Who has no card and mail?"),
            ("Who paid without signing?", "Who signed without paying?"),
        ] {
            assert!(denies(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn a_negation_may_stand_elsewhere() {
        for (a, b) in [
            ("Why is my card not working?", "Why isn't my card working?"),
            ("Why won't my card work?", "My card doesn't work"),
            ("I can't get my card to work.", "My card doesn't work."),
            ("Why didn`t my payment go through", "Why would my payment not go through?"),
            ("I do not know how to pay", "How do I pay?"),
            ("I want to pay but don't know how", "How can I pay?"),
            ("not sure how to pay", "I'm really not sure how to pay"),
            ("I'm unable to log in", "I can't log in"),
            ("How do I prevent fraud?", "How do I avoid fraud?"),
            ("Is delivery free of charge?", "Is delivery free?"),
            ("my parcel is missing", "I lost my parcel"),
            ("where do I find it, I can't find it", "where do I find it"),
            ("how far from Rome is it", "how far is it from Rome"),
        ] {
            assert!(!denies(a, b), "{a} / {b}");
        }
    }
}

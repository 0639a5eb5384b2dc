//! Finds personal data and credentials: one pass over all keywords, then only the regexes that were woken.
//!
//! INVARIANT: whether something is found at a place depends only on the [`BEFORE`] bytes before it and on the bytes
//! up to the reach of its row after it. So a piece of text with enough around it gives the same findings as the whole,
//! each woken regex reads at most [`REACH`] bytes, and the work is bounded by the number of keywords in the text.

use std::{ops::Range, sync::Arc};

use regex::bytes::Regex;

use super::{
    bytes::Bytes,
    catalogue::{Catalogue, KindId},
    injection::Turn,
    label::{Label, Near, Says},
    normalize::View,
    scan::Scan,
    seen::{Pace, Seen},
    table::{self, Pattern},
    verdict::Family,
    words::{Use, Wakes, Waking, Word, Words, is_hump, is_word},
};
use crate::Result;

/// How far back a label may stand, and how much context a piece of a stream keeps.
pub(super) const BEFORE: usize = 192;

/// The most that a regex gets to read.
pub(super) const REACH: usize = 256;

/// A longer stretch without a break is cut, so that nothing depends on text without end.
pub(super) const LONGEST_RUN: usize = 8192;

/// How far before a value a word may end that makes it something else.
pub(super) const UNLESS_GAP: usize = 14;

/// So far from a word its rows are asked for the bytes that they need before they are woken.
pub(super) const NEAR: usize = 384;

/// Bytes after which it asks whether it is late.
const ASK_EVERY: usize = 16 * 1024;

/// Who reads a text that nobody has decoded.
pub(super) const WRITTEN: &str = "pattern";

/// The compiled table with its keyword automaton.
pub(super) struct Leaks {
    pub(super) patterns: Vec<Pattern>,
    pub(super) joint: Regex,
    pub(super) kinds: Vec<KindId>,
    pub(super) rules: Vec<Arc<str>>,
    words: Words,
    /// What each row says of the words that wake it.
    pub(super) waking: Vec<Option<Waking>>,
    /// What stands near a word that wakes a row for a reason: the different answers, and for each row which is its own.
    pub(super) asks: Vec<Vec<Bytes>>,
    pub(super) asked: Vec<u8>,
    /// Rows that words wake without a label.
    pub(super) alone: Wakes,
    /// Families with rows that words wake.
    by_word: Vec<Family>,
}

/// One piece of text under examination.
pub(super) struct Piece<'v> {
    pub(super) view: &'v View<'v>,
    /// Whether more text may follow (what it could change is left open), and who says that it is late.
    pub(super) pace: Pace<'v>,
    pub(super) detector: &'static str,
    /// The text may come from somebody who is not trusted: all rows speak.
    pub(super) untrusted: bool,
    /// Only rows of this family speak.
    pub(super) only: Option<Family>,
}

impl Piece<'_> {
    /// True if the text stands as it was written: in a decoded one a sign may be made of a number (`MaxTokens=4096`).
    pub(super) fn is_written(&self) -> bool {
        self.detector == WRITTEN
    }
}

/// What is known of a piece after its examination.
pub(super) struct Read {
    /// The first place (in the view) at which more text could still change something.
    pub(super) open: usize,
    /// How the text may have been turned.
    pub(super) turns: Vec<Turn>,
}

impl Leaks {
    pub(super) fn build(catalogue: &mut Catalogue) -> Result<Self> {
        let patterns = table::load()?;
        let (mut kinds, mut rules, mut waking) = (Vec::new(), Vec::new(), Vec::new());
        let (mut alone, mut by_word) = (Vec::new(), Vec::new());
        for (number, pattern) in patterns.iter().enumerate() {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            let row = &pattern.row;
            kinds.push(catalogue.add(&row.kind, pattern.family, &row.label));
            rules.push(Arc::from(row.id.as_str()));
            waking.push(row.tokens.as_ref().map(Waking::new));
            let Some(tokens) = &row.tokens else { continue };
            by_word.push(pattern.family);
            if row.alone > 0.0 {
                alone.push((number, Waking::new(tokens)));
            }
        }
        by_word.dedup();
        let words = Words::build(&patterns)?;
        let (joint, alone) = (table::joint()?, Wakes::new(&alone)?);
        let (mut asks, mut asked) = (vec![Vec::new()], Vec::new());
        for pattern in &patterns {
            let near = (1..=NEAR).contains(&pattern.row.reach);
            let own = if near { pattern.asks() } else { Vec::new() };
            let place = asks.iter().position(|known| *known == own).unwrap_or_else(|| {
                asks.push(own);
                asks.len() - 1
            });
            asked.push(u8::try_from(place).ok().filter(|place| u32::from(*place) < u64::BITS).unwrap_or(0));
        }
        Ok(Self { patterns, joint, kinds, rules, words, waking, asks, asked, alone, by_word })
    }

    /// The rows, for documents and tests.
    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Examines a piece. Gives nothing if it was told that it is late.
    pub(super) fn find(&self, piece: &Piece<'_>, seen: &mut Vec<Seen>) -> Option<Read> {
        let bytes = piece.view.bytes();
        let mut scan = Scan::new(self, piece, seen);
        let (mut labels, mut turns, mut asked) =
            (Vec::<Label>::with_capacity(bytes.len() / 8), Vec::new(), 0);
        for (Range { start, end }, uses) in self.words.of(bytes) {
            if is_late(piece.pace, end, &mut asked) {
                return None;
            }
            let (whole, again) = (is_word(bytes, start, end), scan.again(uses, start));
            for meaning in uses {
                let (row, says, gap) = match *meaning {
                    Use::Wake(row) => {
                        if !again && scan.may_wake(row, start..end) {
                            scan.woken(row, start..end, &labels);
                        }
                        continue;
                    }
                    Use::Tells(turn) => {
                        if !turns.contains(&turn) {
                            turns.push(turn);
                        }
                        continue;
                    }
                    Use::Behind(row) => {
                        if whole {
                            scan.behind.push((start..end, row));
                        }
                        continue;
                    }
                    Use::Label(row, gap) if whole => (row, Says::For, u16::from(gap)),
                    Use::Beside(row, gap) if whole => (row, Says::Beside, u16::from(gap)),
                    Use::Unless(row) if whole || is_hump(bytes, end) => {
                        (row, Says::Against, UNLESS_GAP as u16)
                    }
                    Use::Label(..) | Use::Beside(..) | Use::Unless(_) => continue,
                };
                let asked = says == Says::For
                    && self.patterns.get(usize::from(row)).is_some_and(|pattern| pattern.row.alone == 0.0);
                labels.push(Label { end, row, says, gap, asked });
            }
            scan.remember(uses, start);
        }
        if piece.only.is_some_and(|only| !self.by_word.contains(&only)) {
            return Some(Read { open: scan.open, turns });
        }
        let (mut place, mut near) = (0, Near::new(&labels, self.patterns.len()));
        asked = 0;
        while let Some(word) = Word::next(bytes, &mut place) {
            if is_late(piece.pace, word.end(), &mut asked) {
                return None;
            }
            near.go_to(word.start);
            scan.word(&word, &near);
        }
        Some(Read { open: scan.open, turns })
    }
}

/// Asks, every few kilobytes, whether it is late.
fn is_late(pace: Pace<'_>, place: usize, asked: &mut usize) -> bool {
    let due = place >= *asked + ASK_EVERY;
    if due {
        *asked = place;
    }
    due && (pace.late)()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{normalize::fold, verdict::Action},
        *,
    };

    fn found(text: &str) -> Vec<String> {
        let leaks = Leaks::build(&mut Catalogue::default()).unwrap();
        let (view, pace) = (fold(text), Pace::patient(false));
        let piece = Piece { view: &view, pace, detector: WRITTEN, untrusted: true, only: None };
        let mut seen = Vec::new();
        leaks.find(&piece, &mut seen).unwrap();
        seen.iter().map(|one| one.rule.to_string()).collect()
    }

    #[test]
    fn labels_of_many_words_are_known_however_a_field_spells_them() {
        for (text, rule) in [
            (r#"{"account_number": "73920185"}"#, "bank_account"),
            (r#"{"accountNumber":"73920185"}"#, "bank_account"),
            ("account-number=73920185", "bank_account"),
            (r#""dateOfBirth" : "1946-05-19""#, "birth_date"),
            ("passportNumber: 553920817", "passport"),
            ("holder.passport_number = 553920817", "passport"),
            ("social_security_number=536829401", "us_ssn"),
            ("sort_code,20-45-77", "bank_sort_code"),
            (r#"{"phoneNumber": "020 7946 0018"}"#, "phone_labelled"),
            (r#"{"clientIp": "10.0.0.7"}"#, "ip_address"),
            (r#"{"customerName":"Thandeka Mkhwanazi"}"#, "person_field"),
        ] {
            assert!(found(text).iter().any(|one| one == rule), "{rule} {text}");
        }
        for text in ["an iPhone 0207 946 0018", "className: \"Garden Hose\"", "neLe 12.03.1980"] {
            assert!(found(text).is_empty(), "{text} {:?}", found(text));
        }
    }

    #[test]
    fn a_key_longer_than_its_row_expects_is_found_to_its_end() {
        let leaks = Leaks::build(&mut Catalogue::default()).unwrap();
        let key = "Q7o9OGIsAbvdndWn1FcHYNXC/3bQZJSSo87Ke8vss".repeat(9);
        let text = format!("gh secret set AWS_SESSION_TOKEN --body \"{key}\" --repo acme/shop");
        let (view, pace) = (fold(&text), Pace::patient(false));
        let piece = Piece { view: &view, pace, detector: WRITTEN, untrusted: true, only: None };
        let mut seen = Vec::new();
        leaks.find(&piece, &mut seen).unwrap();
        let end = text.find(&key).unwrap() + key.len();
        assert!(!seen.is_empty() && seen.iter().all(|one| one.span.end == end), "{seen:?}");
    }

    #[test]
    fn a_row_that_cannot_look_refuses_what_wakes_it() {
        let mut leaks = Leaks::build(&mut Catalogue::default()).unwrap();
        for pattern in &mut leaks.patterns {
            pattern.row.regex = "(".to_owned();
        }
        let (view, pace) = (fold("my password: hunter2"), Pace::patient(false));
        let piece = Piece { view: &view, pace, detector: WRITTEN, untrusted: true, only: None };
        let mut seen = Vec::new();
        assert!(leaks.find(&piece, &mut seen).is_some());
        assert!(seen.iter().any(|one| one.forced == Some(Action::Refuse)), "{seen:?}");
    }
}

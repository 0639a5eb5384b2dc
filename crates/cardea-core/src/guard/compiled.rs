//! The table as the walk over a text reads it: compiled once, with the automaton of its keywords. And what the walk is
//! given and gives back.

use std::sync::Arc;

use regex::bytes::Regex;

use super::{
    bounds::NEAR,
    bytes::Bytes,
    catalogue::{Catalogue, KindId},
    injection::Turn,
    normalize::View,
    seen::Pace,
    table::{self, Pattern},
    verdict::Family,
    words::{Wakes, Waking, Words},
};
use crate::Result;

/// Who reads a text that nobody has decoded.
pub(super) const WRITTEN: &str = "pattern";

/// The compiled table with its keyword automaton.
pub(super) struct Leaks {
    pub(super) patterns: Vec<Pattern>,
    pub(super) joint: Regex,
    pub(super) kinds: Vec<KindId>,
    pub(super) rules: Vec<Arc<str>>,
    pub(super) words: Words,
    /// What each row says of the words that wake it.
    pub(super) waking: Vec<Option<Waking>>,
    /// What stands near a word that wakes a row for a reason: the different answers, and for each row which is its own.
    pub(super) asks: Vec<Vec<Bytes>>,
    pub(super) asked: Vec<u8>,
    /// Rows that words wake without a label.
    pub(super) alone: Wakes,
    /// Families with rows that words wake.
    pub(super) by_word: Vec<Family>,
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
}

/// One piece of text under examination.
pub(super) struct Piece<'v> {
    pub(super) view: &'v View<'v>,
    /// Whether more text may follow (what it could change is left open), and who says that it is late.
    pub(super) pace: Pace<'v>,
    pub(super) detector: &'static str,
    /// The text may come from somebody who is not trusted: all rows speak.
    pub(super) untrusted: bool,
    /// Only rows of these families speak; all, if none is named.
    pub(super) only: &'static [Family],
}

impl Piece<'_> {
    /// True if rows of the family speak.
    pub(super) fn has(&self, family: Family) -> bool {
        self.only.is_empty() || self.only.contains(&family)
    }

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

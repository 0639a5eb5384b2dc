//! The compiled pattern table with the automaton of its keywords, and the input and output of the scan loop.

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

/// Detector name for findings in text that was not decoded.
pub(super) const WRITTEN: &str = "pattern";

/// The compiled table with its keyword automaton.
pub(super) struct Leaks {
    pub(super) patterns: Vec<Pattern>,
    pub(super) joint: Regex,
    pub(super) kinds: Vec<KindId>,
    pub(super) rules: Vec<Arc<str>>,
    pub(super) words: Words,
    /// Conditions of each row on the words that wake it.
    pub(super) waking: Vec<Option<Waking>>,
    /// Byte sets that must occur near a word that wakes a row: the different lists, and the index of each row's list.
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

    /// Returns the rows, for documents and tests.
    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }
}

/// A piece of text to examine.
pub(super) struct Piece<'v> {
    pub(super) view: &'v View<'v>,
    /// Whether more text may follow (what it can affect is left undecided), and the deadline.
    pub(super) pace: Pace<'v>,
    pub(super) detector: &'static str,
    /// Whether the text may be of untrusted origin; then all rows apply.
    pub(super) untrusted: bool,
    /// Families of the rows that apply; all if empty.
    pub(super) only: &'static [Family],
}

impl Piece<'_> {
    /// Returns whether rows of the family apply.
    pub(super) fn has(&self, family: Family) -> bool {
        self.only.is_empty() || self.only.contains(&family)
    }

    /// Returns whether the text was not decoded. In decoded text, a sign may result from a number (`MaxTokens=4096`).
    pub(super) fn is_written(&self) -> bool {
        self.detector == WRITTEN
    }
}

/// Result of the examination of a piece.
pub(super) struct Read {
    /// First offset (in the view) at which more text could still change something.
    pub(super) open: usize,
    /// Possible rearrangements of the text.
    pub(super) turns: Vec<Turn>,
}

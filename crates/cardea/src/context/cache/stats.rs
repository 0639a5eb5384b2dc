//! Cache statistics since the start, by tenant, agent and layer.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use cardea_core::id::TenantId;
use serde::Serialize;

/// Limit of tenant and agent pairs counted separately; further pairs are counted in the meters only.
const PAIRS: usize = 10_000;

/// Counts of one layer for one agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Answers given again.
    pub hits: u64,
    /// Questions without a similar one.
    pub misses: u64,
    /// Questions with a similar one that was not used.
    pub vetoes: u64,
    /// Entries that could not be opened: changed, or not made by this installation.
    pub forged: u64,
    /// Hits that were checked.
    pub checks: u64,
    /// Undecided checks.
    pub doubts: u64,
    /// Checks that proved an error.
    pub errors: u64,
    /// Tokens saved.
    pub saved_tokens: u64,
    /// Money saved, in millionths of a US dollar.
    pub saved_micros: u64,
}

/// One line of the statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The agent; for tool results the agent whose turn made the call.
    pub agent: String,
    /// `exact`, `semantic` or `tool`.
    pub layer: &'static str,
    /// Counts of the layer.
    #[serde(flatten)]
    pub tally: Tally,
}

type Pair = (TenantId, String);

#[derive(Debug, Default)]
pub(super) struct Stats(Mutex<BTreeMap<Pair, BTreeMap<&'static str, Tally>>>);

impl Stats {
    pub(super) fn count(
        &self,
        tenant: &TenantId,
        agent: &str,
        layer: &'static str,
        add: impl FnOnce(&mut Tally),
    ) {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (tenant.clone(), agent.to_owned());
        if pairs.len() < PAIRS || pairs.contains_key(&pair) {
            add(pairs.entry(pair).or_default().entry(layer).or_default());
        }
    }

    pub(super) fn of(&self, tenant: &TenantId) -> Vec<Line> {
        let pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = pairs.iter().filter(|((of, _), _)| of == tenant);
        own.flat_map(|((_, agent), layers)| {
            layers.iter().map(|(layer, tally)| Line { agent: agent.clone(), layer, tally: *tally })
        })
        .collect()
    }
}

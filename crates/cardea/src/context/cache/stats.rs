//! What the caches have done since the start, by tenant, agent and layer.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use cardea_core::id::TenantId;
use serde::Serialize;

/// Tenant and agent pairs that are counted apart; what comes after is counted in the meters only.
const PAIRS: usize = 10_000;

/// What one layer did for one agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Answers given again.
    pub hits: u64,
    /// Questions without anything like them.
    pub misses: u64,
    /// Questions with something near that was not taken.
    pub vetoes: u64,
    /// Entries that did not open: changed, or not ours.
    pub forged: u64,
    /// Hits that were answered anew and compared.
    pub checks: u64,
    /// Of those, what nobody can say.
    pub doubts: u64,
    /// Of those, proven errors.
    pub errors: u64,
    /// Tokens that need not be paid again.
    pub saved_tokens: u64,
    /// Money that need not be paid again, in millionths.
    pub saved_micros: u64,
}

/// One line of the statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The agent; for tool results the agent whose turn called.
    pub agent: String,
    /// `exact`, `semantic` or `tool`.
    pub layer: &'static str,
    /// Its counts.
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

//! Lookup: first the same question, then a reworded one.

use std::{collections::BTreeSet, sync::Arc};

use cardea_core::{
    cache::{Candidate, Question, Verdict, judge},
    id::TenantId,
    policy::taint::SUSPICIOUS,
};
use cardea_embed::Vector;
use cardea_model::embedder::Embedding;
use cardea_store::shared::cache::{Key, Record};

use super::{Cache, Hit, Layer, Query, entry::Entry, query::Address};
use crate::observe::CacheResult;

/// Number of neighbours that a semantic decision considers.
const NEIGHBOURS: usize = 12;

impl Cache {
    pub(super) fn tell(&self, tenant: &TenantId, agent: &str, layer: &'static str, result: CacheResult) {
        self.0.observe.cache(layer, agent, result);
        self.0.stats.count(tenant, agent, layer, |tally| match result {
            CacheResult::Hit => tally.hits += 1,
            CacheResult::Miss => tally.misses += 1,
            CacheResult::Rejected => tally.vetoes += 1,
            CacheResult::Forged => tally.forged += 1,
        });
    }

    /// Returns the content of a record, if it was made by this installation for this place and key and has not
    /// expired.
    pub(super) fn open(&self, tenant: &TenantId, agent: &str, at: Address, record: &Record) -> Option<Entry> {
        let opened = self.0.seal.open(&at.place, &at.key, record);
        if opened.is_none() {
            self.tell(tenant, agent, "store", CacheResult::Forged);
            tracing::warn!(
                agent.name = agent,
                "a cached entry does not open: it was changed, or is not ours"
            );
        }
        opened.filter(|_| record.until > self.0.clock.now())
    }

    pub(super) fn hit(&self, query: &Query, key: Key, kept: Entry, layer: Layer) -> Option<Hit> {
        let Entry::Answer { text, finish, tokens, micros, taint, .. } = kept else { return None };
        // WHY: the sources of older entries are unknown.
        let taint = taint.unwrap_or_else(|| BTreeSet::from([SUSPICIOUS.to_owned()]));
        self.0.observe.cache_saved(layer.name(), &query.agent, tokens, micros);
        self.0.stats.count(&query.tenant, &query.agent, layer.name(), |tally| {
            tally.saved_tokens += tokens;
            tally.saved_micros += micros;
        });
        Some(Hit { text, finish, layer, taint, key, micros })
    }

    pub(super) async fn exact(&self, query: &Query) -> Option<Hit> {
        let at = query.home.as_ref()?.at;
        let found = self.0.store.get(&at.place, &at.key).await.ok()?;
        let kept = found.and_then(|record| self.open(&query.tenant, &query.agent, at, &record));
        let result = if kept.is_some() { CacheResult::Hit } else { CacheResult::Miss };
        self.tell(&query.tenant, &query.agent, "exact", result);
        self.hit(query, at.key, kept?, Layer::Exact)
    }

    pub(super) async fn semantic(&self, query: &Query) -> Option<Hit> {
        let at = query.home.as_ref()?.at;
        let mode = query.semantic?;
        let vector = self.vector(query).await?;
        let found = self.0.store.near(&at.place, &vector, NEIGHBOURS).await.ok()?;
        let answer = |(key, record): (Key, Record)| {
            let kept = self.open(&query.tenant, &query.agent, Address { key, ..at }, &record)?;
            if !matches!(kept, Entry::Answer { .. }) {
                return None;
            }
            // The vector is under the seal, so the distance is computed here and not taken from the store.
            let own = record.vector?;
            let near = Near {
                cosine: own.cosine(&vector),
                crowd: self.0.surroundings.of(&at.place, &own, Some(&key)),
            };
            Some((key, near, kept))
        };
        let mut near: Vec<(Key, Near, Entry)> = found.into_iter().filter_map(answer).collect();
        let candidates: Vec<Candidate<'_>> = near.iter().filter_map(candidate).collect();
        let mode = self.0.budgets.tightened(&query.scope(), mode);
        let crowd = self.0.surroundings.of(&at.place, &vector, None);
        let chosen = match judge(Question { text: &query.text, crowd }, &candidates, mode) {
            Verdict::Hit { index, .. } => Some(index),
            Verdict::Miss(_) => None,
        };
        let result = match (chosen, candidates.is_empty()) {
            (Some(_), _) => CacheResult::Hit,
            (None, true) => CacheResult::Miss,
            (None, false) => CacheResult::Rejected,
        };
        self.tell(&query.tenant, &query.agent, "semantic", result);
        self.0.budgets.looked_up(&query.scope(), chosen.is_some());
        let chosen = chosen.filter(|index| *index < near.len())?;
        let (key, _, kept) = near.swap_remove(chosen);
        self.hit(query, key, kept, Layer::Semantic)
    }

    /// Returns the vector of the question, computed once. `None` without an encoder, or if the question is too long or
    /// the encoder too busy; then only exact repeats count.
    pub(super) async fn vector(&self, query: &Query) -> Option<Arc<Vector>> {
        if let Some(known) = query.vector.get() {
            return known.clone();
        }
        let made = match &self.0.embedder {
            Some(embedder) => {
                embedder.embed(vec![query.text.clone()], self.0.settings.patience).await.ok().and_then(one)
            }
            None => None,
        };
        query.vector.get_or_init(|| made).clone()
    }
}

/// Similarity of a kept question, and how crowded its surroundings are.
struct Near {
    cosine: f32,
    crowd: f32,
}

fn candidate((_, near, kept): &(Key, Near, Entry)) -> Option<Candidate<'_>> {
    match kept {
        Entry::Answer { question, .. } => {
            Some(Candidate { text: question, cosine: near.cosine, crowd: near.crowd })
        }
        Entry::Result(_) => None,
    }
}

/// Returns the single requested vector. A text that was cut is not compared, since the vector ignores its rest.
fn one(made: Vec<Embedding>) -> Option<Arc<Vector>> {
    made.into_iter().next().filter(|made| !made.truncated).map(|made| made.vector)
}

//! Results that may be served again.
//!
//! Only tools that read and say how long a result stays good are cached. An entry belongs to its user (the
//! [`crate::Context::owner`]), or to the tenant if the tool says that the answer does not depend on who asks. A write
//! clears the tags that it names, for its tenant; tags are counters in a fixed table, so clearing cannot be forgotten by
//! eviction (two tags that share a counter merely clear each other).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use cardea_core::tool::Sharing;
use moka::sync::Cache;
use rmcp::model::CallToolResult;
use serde_json::Value;

use crate::call::Call;

const COUNTERS: usize = 4096;

/// A cache of results, bounded in bytes.
pub struct ResponseCache {
    entries: Cache<String, Entry>,
    counters: Box<[AtomicU64]>,
}

#[derive(Clone)]
struct Entry {
    result: CallToolResult,
    size: u32,
    until: Instant,
    marks: Vec<(usize, u64)>,
}

/// Where a result would be kept, and what was true before the call began.
pub(crate) struct Place {
    key: String,
    ttl: Duration,
    marks: Vec<(usize, u64)>,
}

/// What the cache says about a call.
pub(crate) enum Look {
    /// Here is its result.
    Kept(Box<CallToolResult>),
    /// Not here; its result may be kept.
    Keep(Place),
    /// Not a call to cache.
    Pass,
}

impl ResponseCache {
    /// Room for this many bytes of results.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &String, entry: &Entry| {
                entry.size.saturating_add(u32::try_from(key.len()).unwrap_or(u32::MAX))
            })
            .build();
        Self { entries, counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The kept result, or the place for a new one. Neither if the call is not to be cached.
    pub(crate) fn look(&self, call: &Call) -> Look {
        let facts = call.facts();
        let (Some(hint), false) = (&facts.cache, facts.effect.changes_things()) else { return Look::Pass };
        let owner = match hint.sharing {
            // WHY: one name at two issuers behind Cardea is two people.
            Sharing::User => call.context().owner().unwrap_or_default(),
            Sharing::Tenant => tenant(call).to_owned(),
        };
        let key = format!("{}|{}:{owner}|{}", call.tool(), owner.len(), call.arguments());
        if let Some(entry) = self.entries.get(&key) {
            let fresh = entry.until > Instant::now();
            if fresh && entry.marks.iter().all(|(at, mark)| self.mark(*at) == *mark) {
                return Look::Kept(Box::new(entry.result));
            }
        }
        let marks = hint.tags.iter().map(|tag| place(tenant(call), &fill(tag, call.arguments())));
        let marks = marks.map(|at| (at, self.mark(at))).collect();
        Look::Keep(Place { key, ttl: Duration::from_millis(hint.ttl_ms), marks })
    }

    pub(crate) fn keep(&self, place: Place, result: &CallToolResult) {
        let size = serde_json::to_vec(result)
            .map_or(u32::MAX, |bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let entry =
            Entry { result: result.clone(), size, until: Instant::now() + place.ttl, marks: place.marks };
        self.entries.insert(place.key, entry);
    }

    /// Clears what a write says it changes. Called before and after the write, so that a read in between is not kept.
    pub(crate) fn clear(&self, call: &Call) {
        for tag in &call.facts().clears {
            let at = place(tenant(call), &fill(tag, call.arguments()));
            if let Some(counter) = self.counters.get(at) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn mark(&self, at: usize) -> u64 {
        self.counters.get(at).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }
}

fn tenant(call: &Call) -> &str {
    call.context().caller().map_or("", |caller| caller.tenant.as_str())
}

fn place(tenant: &str, tag: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    (tenant, tag).hash(&mut hasher);
    usize::try_from(hasher.finish() % COUNTERS as u64).unwrap_or(0)
}

/// Fills `{name}` in a tag from the arguments. A name that is missing stays empty.
fn fill(template: &str, arguments: &Value) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match arguments.get(name) {
            Some(Value::String(text)) => filled.push_str(text),
            Some(value) => filled.push_str(&value.to_string()),
            None => {}
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_filled_from_the_arguments() {
        let arguments = serde_json::json!({ "order_id": 17, "who": "ann" });
        assert_eq!(fill("order:{order_id}", &arguments), "order:17");
        assert_eq!(fill("{who}/{none}/{", &arguments), "ann//{");
    }
}

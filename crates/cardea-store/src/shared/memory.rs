//! Shared state of a single node: in memory, bounded by keys.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cardea_core::time::{Millis, SharedClock, Timestamp};
use futures::{FutureExt, future::BoxFuture, future::ready};
use serde::Deserialize;
use tokio::sync::watch;

use super::{Listener, Rate, Shared, Taken};

const SHARDS: usize = 16;

/// The bounds of [`Memory`].
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Limit of token buckets.
    pub buckets: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { buckets: 100_000 }
    }
}

/// [`Shared`] for one node.
pub struct Memory {
    clock: SharedClock,
    hasher: RandomState,
    buckets: [Mutex<Buckets>; SHARDS],
    topics: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("buckets", &self.buckets()).finish_non_exhaustive()
    }
}

impl Memory {
    /// Creates empty shared state.
    #[must_use]
    pub fn new(config: MemoryConfig, clock: SharedClock) -> Self {
        let bucket =
            |_| Mutex::new(Buckets { limit: config.buckets.div_ceil(SHARDS).max(1), held: HashMap::new() });
        Self {
            clock,
            hasher: RandomState::new(),
            buckets: std::array::from_fn(bucket),
            topics: Mutex::default(),
        }
    }

    /// Returns the number of token buckets.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.buckets.iter().map(|buckets| lock(buckets).held.len()).sum()
    }

    fn place(&self, key: &str) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// -- token buckets ---------------------------------------------------------------------------------------------

/// Tokens are counted in parts of one millisecond's refill, so that nothing is lost to rounding.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    parts: u128,
    at: Timestamp,
    rate: Rate,
}

impl Bucket {
    fn full(rate: Rate, at: Timestamp) -> Self {
        Self { parts: Self::size(rate), at, rate }
    }

    fn size(rate: Rate) -> u128 {
        u128::from(rate.burst) * u128::from(rate.per.0.max(1))
    }

    /// Returns the bucket in its present state. A clock that was set back neither adds nor removes tokens.
    fn at(mut self, rate: Rate, now: Timestamp) -> Self {
        if self.rate != rate {
            // A changed limit applies at once: saved tokens are cut to the new size.
            let tokens = self.parts / u128::from(self.rate.per.0.max(1));
            self = Self { parts: tokens * u128::from(rate.per.0.max(1)), at: self.at, rate };
        }
        let gained = u128::from(now.since(self.at).0) * u128::from(rate.refill);
        self.parts = (self.parts + gained).min(Self::size(rate));
        self.at = now;
        self
    }
}

#[derive(Debug)]
struct Buckets {
    held: HashMap<Box<str>, Bucket>,
    limit: usize,
}

impl Buckets {
    fn take(&mut self, key: &str, rate: Rate, tokens: u64, now: Timestamp) -> Taken {
        let one = u128::from(rate.per.0.max(1));
        let known = self.held.get(key).copied();
        let mut bucket = known.map_or_else(|| Bucket::full(rate, now), |bucket| bucket.at(rate, now));
        let wanted = u128::from(tokens) * one;
        let answer = if wanted <= bucket.parts {
            bucket.parts -= wanted;
            Taken::Yes { left: u64::try_from(bucket.parts / one).unwrap_or(u64::MAX) }
        } else if tokens > rate.burst || rate.refill == 0 {
            Taken::No { after: None }
        } else {
            let wait = (wanted - bucket.parts).div_ceil(u128::from(rate.refill));
            Taken::No { after: Some(Millis(u64::try_from(wait).unwrap_or(u64::MAX))) }
        };
        if known.is_none() {
            self.make_room(now);
        }
        self.held.insert(key.into(), bucket);
        answer
    }

    /// Drops buckets. Full ones go first, since a new one would be the same; then the fullest. A flood of new keys can
    /// thus regain only what was nearly full already.
    fn make_room(&mut self, now: Timestamp) {
        if self.held.len() < self.limit {
            return;
        }
        self.held.retain(|_, bucket| {
            let bucket = bucket.at(bucket.rate, now);
            bucket.parts < Bucket::size(bucket.rate)
        });
        let missing = |bucket: &Bucket| {
            let size = Bucket::size(bucket.rate).max(1);
            (size - bucket.at(bucket.rate, now).parts.min(size)) * 1_000_000 / size
        };
        // WHY: a sixteenth at once, so that a flood does not cost a scan for every key.
        let excess = (self.held.len() + 1).saturating_sub(self.limit - self.limit / 16);
        if self.held.len() >= self.limit {
            let mut by_fill: Vec<(u128, Box<str>)> =
                self.held.iter().map(|(key, bucket)| (missing(bucket), key.clone())).collect();
            by_fill.sort_unstable();
            for (_, key) in by_fill.into_iter().take(excess) {
                self.held.remove(&key);
            }
        }
    }

    fn give_back(&mut self, key: &str, rate: Rate, tokens: u64, now: Timestamp) {
        if let Some(bucket) = self.held.get_mut(key) {
            let mut current = bucket.at(rate, now);
            let back = u128::from(tokens) * u128::from(rate.per.0.max(1));
            current.parts = (current.parts + back).min(Bucket::size(rate));
            *bucket = current;
        }
    }
}

// -- the trait -------------------------------------------------------------------------------------------------

impl Shared for Memory {
    fn take<'a>(&'a self, bucket: &'a str, rate: Rate, tokens: u64) -> BoxFuture<'a, Taken> {
        let now = self.clock.now();
        let buckets = self.buckets.get(self.place(bucket));
        let taken = buckets.map(|buckets| lock(buckets).take(bucket, rate, tokens, now));
        ready(taken.unwrap_or(Taken::No { after: None })).boxed()
    }

    fn give_back<'a>(&'a self, bucket: &'a str, rate: Rate, tokens: u64) -> BoxFuture<'a, ()> {
        let now = self.clock.now();
        if let Some(buckets) = self.buckets.get(self.place(bucket)) {
            lock(buckets).give_back(bucket, rate, tokens, now);
        }
        ready(()).boxed()
    }

    fn wake<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, ()> {
        if let Some(sender) = lock(&self.topics).get(topic) {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
        ready(()).boxed()
    }

    fn listen(&self, topic: &str) -> Listener {
        let mut topics = lock(&self.topics);
        if let Some(sender) = topics.get(topic) {
            return Listener(sender.subscribe());
        }
        // Topics without a listener are removed when the next one is added, so that the map stays as small as its use.
        topics.retain(|_, sender| sender.receiver_count() > 0);
        let (sender, receiver) = watch::channel(0);
        topics.insert(topic.to_owned(), sender);
        Listener(receiver)
    }
}

#[cfg(test)]
mod tests;

//! Room `shared`: state that makes Cardea fast, and may be lost at any time.
//!
//! Promises bounds: a [`cache`] never holds more bytes than it was given, buckets never more keys, and waiting for a
//! wake-up never misses one that came after the wait was asked for. Refuses to be trusted: nothing that exists only
//! here decides whether an action happens twice or who owns a row; losing all of it costs speed, not truth. Called by:
//! `control` (token buckets), `context` (caches), `turn` and `control` (wake-ups).

pub mod cache;
mod memory;

use std::{fmt, sync::Arc};

use cardea_core::{time::Millis, units};
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use memory::{Memory, MemoryConfig};

/// Content of a cache entry: bytes that are shared, not copied.
pub type Bytes = Arc<[u8]>;

/// Size and refill rate of a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Limit of tokens that can be saved up.
    pub burst: u64,
    /// Tokens that are added in each `per`.
    pub refill: u64,
    /// Time in which `refill` tokens are added.
    pub per: Millis,
}

impl From<units::Rate> for Rate {
    /// Converts: the count at once, and as many again in each window.
    fn from(rate: units::Rate) -> Self {
        let count = u64::from(rate.count);
        Self { burst: count, refill: count, per: rate.per.millis() }
    }
}

/// Result of taking tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The tokens were taken.
    Yes {
        /// Tokens left.
        left: u64,
    },
    /// There were too few; nothing was taken.
    No {
        /// Time until there are enough; `None` if the bucket can never hold so many.
        after: Option<Millis>,
    },
}

/// State that nodes share: in memory for one node, elsewhere for many. Every implementation passes one test suite.
pub trait Shared: Send + Sync + fmt::Debug {
    /// Takes tokens from the bucket with this key, all or none.
    fn take<'a>(&'a self, bucket: &'a str, rate: Rate, tokens: u64) -> BoxFuture<'a, Taken>;

    /// Returns tokens that were taken and not used.
    fn give_back<'a>(&'a self, bucket: &'a str, rate: Rate, tokens: u64) -> BoxFuture<'a, ()>;

    /// Wakes all listeners of the topic.
    fn wake<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, ()>;

    /// Starts to listen. Wake-ups may be lost across nodes, so listeners also poll now and then.
    fn listen(&self, topic: &str) -> Listener;
}

/// Receives the wake-ups of one topic, from its creation on.
#[derive(Debug)]
pub struct Listener(pub(crate) watch::Receiver<u64>);

impl Listener {
    /// Waits for a wake-up since the last one reported.
    pub async fn heard(&mut self) {
        if self.0.changed().await.is_err() {
            // The sender is gone: there will never be a wake-up.
            std::future::pending::<()>().await;
        }
    }
}

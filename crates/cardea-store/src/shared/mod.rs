//! Room `shared`: what makes Cardea fast, and may be lost at any time.
//!
//! It promises bounds: a [`cache`] never holds more bytes than it was given, buckets never more keys, and waiting for
//! a wake-up never misses one that came after the wait was asked for. It refuses to be trusted: nothing that is only
//! here decides whether an action happens twice or who owns a row; losing all of it costs speed, not truth.
//! Callers: `control` (token buckets), `context` (caches), `turn` and `control` (wake-ups).

pub mod cache;
mod memory;

use std::{fmt, sync::Arc};

use cardea_core::{time::Millis, units};
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use memory::{Memory, MemoryConfig};

/// What is kept in a cache: bytes that are shared, not copied.
pub type Bytes = Arc<[u8]>;

/// The size and the refill of a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Most tokens that can be saved up.
    pub burst: u64,
    /// Tokens that come back in each `per`.
    pub refill: u64,
    /// The time in which `refill` tokens come back.
    pub per: Millis,
}

impl From<units::Rate> for Rate {
    /// So many at once, and as many again in each window.
    fn from(rate: units::Rate) -> Self {
        let count = u64::from(rate.count);
        Self { burst: count, refill: count, per: rate.per.millis() }
    }
}

/// Whether the tokens were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Yes; this many are left.
    Yes {
        /// What is left.
        left: u64,
    },
    /// No, and nothing was taken.
    No {
        /// When they will be there; `None` if the bucket can never hold so many.
        after: Option<Millis>,
    },
}

/// State that nodes share: in memory for one node, elsewhere for many. Every implementation passes one suite.
pub trait Shared: Send + Sync + fmt::Debug {
    /// Takes tokens from the bucket with this key, all or none.
    fn take<'a>(&'a self, bucket: &'a str, rate: Rate, tokens: u64) -> BoxFuture<'a, Taken>;

    /// Gives tokens back that were taken and not used.
    fn give_back<'a>(&'a self, bucket: &'a str, rate: Rate, tokens: u64) -> BoxFuture<'a, ()>;

    /// Wakes everybody who listens to the topic.
    fn wake<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, ()>;

    /// Starts to listen. Wake-ups may be lost across nodes, so listeners also look now and then.
    fn listen(&self, topic: &str) -> Listener;
}

/// Hears the wake-ups of one topic from the moment it was made.
#[derive(Debug)]
pub struct Listener(pub(crate) watch::Receiver<u64>);

impl Listener {
    /// Waits for a wake-up that came since the last one it told of.
    pub async fn heard(&mut self) {
        if self.0.changed().await.is_err() {
            // The other end is gone: nobody will ever call.
            std::future::pending::<()>().await;
        }
    }
}

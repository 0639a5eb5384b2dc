//! Stores of cached answers: in this process, in Redis or Valkey, or in PostgreSQL.
//!
//! A [`CacheStore`] promises: a record is found only at the very place and key it was put to. A record that has
//! expired, or one of whose tags was cleared after its question was asked, is not found, even if it was put later. Any
//! trouble with a remote server is [`Away`], reported within [`PATIENCE`], and then at once for a while. It refuses to
//! understand records: their bodies are bytes, sealed by the caller if others could reach them. All implementations
//! pass one test suite. Called by `context`.

mod address;
mod codec;
mod memory;
mod postgres;
mod redis;
mod wire;

use std::{fmt, time::Duration};

use cardea_core::{
    canonical::hex,
    time::{Millis, Timestamp},
};
use cardea_embed::Vector;
use futures::future::BoxFuture;

pub use self::{
    memory::{Gone, MemoryCache},
    postgres::PostgresCache,
    redis::RedisCache,
};
use super::Bytes;

/// Limit of a record's lifetime; after it, a cleared tag need not be remembered.
pub const LONGEST: Millis = Millis::from_secs(7 * 24 * 3_600);

/// Size limit of a record, head and body. A larger one is not kept.
pub const LARGEST: usize = 1 << 20;

/// Time limit of a server before it counts as unavailable.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// The owner and circumstances of entries. Entries of two places never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub [u8; 32]);

/// A question within a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

/// The digest of a tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 16]);

macro_rules! shown_as_hex {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex(&self.0))
            }
        }
    )*};
}
shown_as_hex!(Place, Key, Tag);

/// A stored record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Count of clearings when its question was asked.
    pub asked_at: u64,
    /// Expiry.
    pub until: Timestamp,
    /// Tags, each of which clears it.
    pub tags: Vec<Tag>,
    /// Vector of its question; `None` if it is found by its key only.
    pub vector: Option<Vector>,
    /// The caller's bytes.
    pub body: Bytes,
}

/// Content of a store, as far as it can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Number of records.
    pub entries: u64,
    /// Bytes, overhead included.
    pub bytes: u64,
    /// Records evicted since the start; zero if the server does not tell.
    pub evicted: u64,
}

/// Error for an unavailable store. Never an error for a user: an unavailable cache is a miss.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cache is away: {0}")]
pub struct Away(pub String);

/// Result type of every method.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Away>>;

/// Keeps records for a while. See the contract above; `tests/it/caches.rs` is its test suite.
pub trait CacheStore: Send + Sync + fmt::Debug {
    /// Returns the name in the configuration: `memory`, `redis`, `postgres`.
    fn name(&self) -> &'static str;

    /// Returns the present count of clearings. It is read before anything is done for the answer to a question.
    fn clearings(&self) -> Answer<'_, u64>;

    /// Returns the record of this key, if there is a fresh one.
    fn get<'a>(&'a self, place: &'a Place, key: &'a Key) -> Answer<'a, Option<Record>>;

    /// Returns the fresh records of a place whose vectors are nearest, nearest first. Stale records may take their
    /// place.
    fn near<'a>(&'a self, place: &'a Place, to: &'a Vector, count: usize) -> Answer<'a, Vec<(Key, Record)>>;

    /// Stores a record, and replaces the one of this key. Best effort: it may be gone at once.
    fn put<'a>(&'a self, place: &'a Place, key: &'a Key, record: Record) -> Answer<'a, ()>;

    /// Clears tags. A record that has one of them, and whose question was asked before this call, is not found any
    /// more.
    fn clear<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()>;

    /// Clears a tag and removes its records from the store now. Visits every record.
    fn purge<'a>(&'a self, tag: &'a Tag) -> Answer<'a, ()>;

    /// Returns what the store holds; `None` if that cannot be determined cheaply.
    fn held(&self) -> Answer<'_, Option<Held>>;
}

//! Where cached answers lie: in this process, in Redis or Valkey, or in PostgreSQL.
//!
//! A [`CacheStore`] promises: a record is found only at the very place and key it was put to; one whose time is over,
//! or one of whose tags was cleared after its question was asked, is not found, also if it was put later; whatever is
//! wrong with a server on the other side is [`Away`], told within [`PATIENCE`], and then at once for a while.
//! It refuses to understand records: their bodies are bytes, sealed by the caller where others could reach them.
//! All implementations pass one suite. Called by `context`.

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

/// The longest that a record may be kept: after it, a cleared tag need not be remembered.
pub const LONGEST: Millis = Millis::from_secs(7 * 24 * 3_600);

/// The largest record, head and body. A larger one is not kept.
pub const LARGEST: usize = 1 << 20;

/// How long a server may take before it counts as away.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Whose answers, under which circumstances: entries of two places never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub [u8; 32]);

/// One question of a place.
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

/// What is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The count of clearings when its question was asked.
    pub asked_at: u64,
    /// It is gone after this.
    pub until: Timestamp,
    /// Clearing any of these clears it.
    pub tags: Vec<Tag>,
    /// Where its question lies among others of its place; `None`: it is found by its key only.
    pub vector: Option<Vector>,
    /// The caller's bytes.
    pub body: Bytes,
}

/// What a store holds, as far as it can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Records.
    pub entries: u64,
    /// Bytes, book-keeping included.
    pub bytes: u64,
    /// Records that had to go for others since the start; zero where the server does not tell.
    pub evicted: u64,
}

/// The store cannot be asked. Never an error for a user: a cache that is away is a miss.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cache is away: {0}")]
pub struct Away(pub String);

/// What every method gives.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Away>>;

/// Keeps records for a while. See the contract above; `tests/it/caches.rs` is its suite.
pub trait CacheStore: Send + Sync + fmt::Debug {
    /// The word for it in the configuration: `memory`, `redis`, `postgres`.
    fn name(&self) -> &'static str;

    /// The count of clearings at this moment: a question notes it before anything is done for its answer.
    fn clearings(&self) -> Answer<'_, u64>;

    /// The record of this key, if there is a fresh one.
    fn get<'a>(&'a self, place: &'a Place, key: &'a Key) -> Answer<'a, Option<Record>>;

    /// The fresh records of a place whose vectors are nearest, nearest first. What is stale may take their room.
    fn near<'a>(&'a self, place: &'a Place, to: &'a Vector, count: usize) -> Answer<'a, Vec<(Key, Record)>>;

    /// Keeps a record instead of the one that this key has. Best effort: it may be gone at once.
    fn put<'a>(&'a self, place: &'a Place, key: &'a Key, record: Record) -> Answer<'a, ()>;

    /// Clears tags: what carries one of them, and whose question was asked before this call, is not found any more.
    fn clear<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()>;

    /// Clears a tag and takes what carries it out of the store, now. Looks at every record.
    fn purge<'a>(&'a self, tag: &'a Tag) -> Answer<'a, ()>;

    /// What it holds; `None` if that cannot be told cheaply.
    fn held(&self) -> Answer<'_, Option<Held>>;
}

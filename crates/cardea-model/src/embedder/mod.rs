//! Texts to vectors, for caches, tool selection and the rehearsal model.
//!
//! An [`Embedder`] promises vectors of one encoder, one for each text and in their order, or [`NotNow`] within the
//! caller's deadline: callers degrade (a cache to exact matches, selection to words) and never wait for it. Every vector
//! carries the [`EncoderId`] that made it, and [`Embedding::cosine`] refuses to compare those of different encoders.

mod local;
mod lru;
mod remote;

use std::{fmt, sync::Arc, time::Duration};

use cardea_embed::{Pieces, Vector};
use futures::{FutureExt, future::BoxFuture};

pub use local::{LocalConfig, LocalEmbedder, Stats};
pub use remote::{RemoteConfig, RemoteEmbedder};

/// Name and fingerprint of an encoder: vectors of different encoders have nothing to do with one another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncoderId(Arc<str>);

impl EncoderId {
    /// Takes the id as the encoder gives it.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id, for a store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EncoderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a text lies, and who says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Who made the vector.
    pub encoder: EncoderId,
    /// The vector; shared, since the same text comes again.
    pub vector: Arc<Vector>,
    /// True if the text was longer than the encoder reads: what follows its cut had no say.
    pub truncated: bool,
}

impl Embedding {
    /// How alike two texts are, −1 to 1; `None` if different encoders read them.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> Option<f32> {
        (self.encoder == other.encoder).then(|| self.vector.cosine(&other.vector))
    }
}

/// A text as a vector and, where the encoder tells, token by token.
#[derive(Debug, Clone)]
pub struct Close {
    /// The vector.
    pub embedding: Embedding,
    /// Its tokens. To be compared with those of the same encoder alone.
    pub pieces: Option<Arc<Pieces>>,
}

/// Why there is no vector now. Never an error for a user: whoever asked goes on without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// More texts are waiting than may wait.
    #[error("too many texts are waiting for the encoder")]
    Busy,
    /// The deadline passed.
    #[error("the encoder did not answer in time")]
    Late,
    /// The encoder is away, or answered nonsense.
    #[error("the encoder cannot be used: {0}")]
    Away(String),
}

/// Turns texts into vectors.
///
/// The contract: `Ok` holds exactly one embedding for each text, in order, all of [`Embedder::encoder`]; the same
/// text gives the same vector; the future ends within the given time; dropping it is harmless.
pub trait Embedder: Send + Sync {
    /// Whose vectors these are.
    fn encoder(&self) -> &EncoderId;

    /// A vector at once and without the queue, of a table of words: less to be trusted, and of another id, so that the
    /// two never meet. `None` if there is no such table.
    fn glance(&self, text: &str) -> Option<Embedding> {
        let _ = text;
        None
    }

    /// The vectors of these texts, if they can be had within this time.
    fn embed(&self, texts: Vec<String>, within: Duration) -> BoxFuture<'_, Result<Vec<Embedding>, NotNow>>;

    /// The same with the tokens of each text, for whoever compares a few texts closely.
    fn read(&self, texts: Vec<String>, within: Duration) -> BoxFuture<'_, Result<Vec<Close>, NotNow>> {
        let made = self.embed(texts, within);
        let close = |embedding| Close { embedding, pieces: None };
        async move { Ok(made.await?.into_iter().map(close).collect()) }.boxed()
    }
}

//! Encoding of texts as vectors, for caches, tool selection and the rehearsal model.
//!
//! An [`Embedder`] returns vectors of one encoder, one per text and in order, or [`NotNow`] within the caller's
//! deadline. Callers degrade (a cache to exact matches, selection to words) and never wait for it. Every vector
//! carries the [`EncoderId`] that made it, and [`Embedding::cosine`] refuses to compare vectors of different encoders.

mod local;
mod lru;
mod remote;

use std::{fmt, sync::Arc, time::Duration};

use cardea_embed::{Pieces, Vector};
use futures::{FutureExt, future::BoxFuture};

pub use local::{LocalConfig, LocalEmbedder, Stats};
pub use remote::{RemoteConfig, RemoteEmbedder};

/// Name and fingerprint of an encoder. Vectors of different encoders are unrelated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncoderId(Arc<str>);

impl EncoderId {
    /// Wraps the id as given by the encoder.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// Returns the id, for a store.
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

/// The vector of a text, with its encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The encoder.
    pub encoder: EncoderId,
    /// The vector; shared, since the same texts come again.
    pub vector: Arc<Vector>,
    /// True if the text was longer than the encoder reads: the rest is ignored.
    pub truncated: bool,
}

impl Embedding {
    /// Returns the similarity of two texts, −1 to 1; `None` if different encoders read them.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> Option<f32> {
        (self.encoder == other.encoder).then(|| self.vector.cosine(&other.vector))
    }
}

/// A text as a vector and, if the encoder provides them, as tokens.
#[derive(Debug, Clone)]
pub struct Close {
    /// The vector.
    pub embedding: Embedding,
    /// Its tokens. Comparable only with those of the same encoder.
    pub pieces: Option<Arc<Pieces>>,
}

/// Reason why there is no vector now. Never an error for a user: callers continue without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// Too many texts are waiting.
    #[error("too many texts are waiting for the encoder")]
    Busy,
    /// The deadline has passed.
    #[error("the encoder did not answer in time")]
    Late,
    /// The encoder is unavailable, or its answer is invalid.
    #[error("the encoder cannot be used: {0}")]
    Away(String),
}

/// Encodes texts as vectors.
///
/// The contract: `Ok` holds exactly one embedding per text, in order, all of [`Embedder::encoder`]; the same text
/// gives the same vector; the future ends within the given time; dropping it is harmless.
pub trait Embedder: Send + Sync {
    /// Returns the id of the encoder.
    fn encoder(&self) -> &EncoderId;

    /// Returns a vector at once and without the queue, from a word table. It is less reliable, and has another id, so
    /// that the two are never compared. `None` if there is no such table.
    fn glance(&self, text: &str) -> Option<Embedding> {
        let _ = text;
        None
    }

    /// Returns the vectors of these texts, if they are available within this time.
    fn embed(&self, texts: Vec<String>, within: Duration) -> BoxFuture<'_, Result<Vec<Embedding>, NotNow>>;

    /// Does the same with the tokens of each text, for close comparisons of a few texts.
    fn read(&self, texts: Vec<String>, within: Duration) -> BoxFuture<'_, Result<Vec<Close>, NotNow>> {
        let made = self.embed(texts, within);
        let close = |embedding| Close { embedding, pieces: None };
        async move { Ok(made.await?.into_iter().map(close).collect()) }.boxed()
    }
}

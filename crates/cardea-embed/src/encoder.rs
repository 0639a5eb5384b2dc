//! The encoder: tokenizer and forward pass behind one cheap handle.

mod layers;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    cpu::Cpu,
    forward::{self, Scratch},
    pieces::Pieces,
    vector::{DIMS, Vector},
    weights::{BadWeights, Data, Weights},
    wordpiece,
};

/// Number of work buffers kept for further texts: one for each thread that usually encodes.
const SPARE: usize = 2;

/// Result of encoding a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoding {
    /// The vector.
    pub vector: Vector,
    /// True if the text was longer than the encoder reads: the rest is ignored.
    pub truncated: bool,
    /// Number of tokens read, with the two marks around them.
    pub tokens: usize,
}

/// Encodes texts as vectors. Clones share the weights; every call runs on the caller's thread.
#[derive(Clone)]
pub struct Encoder {
    inner: Arc<Inner>,
    cpu: Cpu,
    limit: usize,
}

struct Inner {
    weights: Weights,
    scratch: Mutex<Vec<Scratch>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("id", &self.id()).field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

/// The embedded file, aligned to a cache line.
#[cfg(feature = "bundled")]
#[repr(C, align(64))]
struct Bundle<B: ?Sized>(B);

#[cfg(feature = "bundled")]
static BUNDLE: &Bundle<[u8]> = &Bundle(*include_bytes!("../../../models/minilm/minilm-l6-v2.int8"));

impl Encoder {
    /// Returns the encoder with the weights embedded in this program, which are used in place.
    ///
    /// # Errors
    /// [`BadWeights`] if the program was built with a damaged file; tests show that it was not.
    #[cfg(feature = "bundled")]
    pub fn bundled() -> Result<Self, BadWeights> {
        Self::open(Data::Static(&BUNDLE.0))
    }

    /// Loads an encoder with other weights of the same widths, as written by `models/minilm/make.py`.
    ///
    /// # Errors
    /// [`BadWeights`] if the file cannot be read or its parts do not fit together.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, BadWeights> {
        Self::open(Data::read(path.as_ref())?)
    }

    /// Creates an encoder with weights that are in memory already.
    ///
    /// # Errors
    /// [`BadWeights`] if the parts of the file do not fit together.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BadWeights> {
        Self::open(Data::Heap(bytes, 0))
    }

    pub(crate) fn open(data: Data) -> Result<Self, BadWeights> {
        let weights = Weights::open(data)?;
        let limit = weights.positions;
        let inner = Inner { weights, scratch: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), cpu: Cpu::best(), limit })
    }

    /// Restricts the encoder to the given instructions: vectors stay the same.
    #[must_use]
    pub fn on(mut self, cpu: Cpu) -> Self {
        self.cpu = cpu;
        self
    }

    /// Limits the number of tokens read of each text (3 up to what the weights allow).
    #[must_use]
    pub fn with_limit(mut self, tokens: usize) -> Self {
        self.limit = tokens.clamp(3, self.inner.weights.positions);
        self
    }

    /// Returns name and fingerprint of the weights. Vectors of different ids must never be compared.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.weights.id
    }

    /// Encodes a text.
    #[must_use]
    pub fn encode(&self, text: &str) -> Encoding {
        let (vector, truncated, tokens) = self.forward(text, |floats, _, _| Vector::from_floats(floats));
        Encoding { vector, truncated, tokens }
    }

    /// Encodes a text and each of its tokens: hardly more expensive than [`Encoder::encode`].
    #[must_use]
    pub fn read(&self, text: &str) -> (Encoding, Pieces) {
        let ((vector, pieces), truncated, tokens) = self.forward(text, |floats, numbers, states| {
            (Vector::from_floats(floats), Pieces::new(self.cpu, numbers, states))
        });
        (Encoding { vector, truncated, tokens }, pieces)
    }

    /// Returns the vector before it is rounded to bytes, of length one: for measurements and other stores.
    #[must_use]
    pub fn encode_floats(&self, text: &str) -> [f32; DIMS] {
        self.forward(text, |floats, _, _| *floats).0
    }

    /// Returns the token numbers of a text, marks included: what the encoder reads of it.
    #[must_use]
    pub fn tokens(&self, text: &str) -> Vec<u16> {
        wordpiece::tokens(&self.inner.weights, text, self.limit).numbers
    }

    /// Returns the fingerprint of the vocabulary.
    pub(crate) fn vocabulary(&self) -> u32 {
        self.inner.weights.print()
    }

    /// Runs one pass; passes on the vector, the token numbers and the state of each token.
    fn forward<T>(
        &self,
        text: &str,
        take: impl FnOnce(&[f32; DIMS], &[u16], &[f32]) -> T,
    ) -> (T, bool, usize) {
        self.watched(text, &mut |_, _| {}, take)
    }

    /// Works like [`Encoder::forward`], with an observer of each layer.
    fn watched<T>(
        &self,
        text: &str,
        watch: &mut forward::Watch<'_>,
        take: impl FnOnce(&[f32; DIMS], &[u16], &[f32]) -> T,
    ) -> (T, bool, usize) {
        let tokens = wordpiece::tokens(&self.inner.weights, text, self.limit);
        let spare = self.inner.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = spare.unwrap_or_default();
        let floats = forward::embed(self.cpu, &self.inner.weights, &tokens.numbers, &mut scratch, watch);
        let taken = take(&floats, &tokens.numbers, scratch.states());
        let mut kept = self.inner.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < SPARE {
            kept.push(scratch);
        }
        (taken, tokens.truncated, tokens.numbers.len())
    }
}

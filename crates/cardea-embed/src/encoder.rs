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

/// Work memory kept for the next text: one piece for each thread that usually encodes.
const SPARE: usize = 2;

/// What became of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoding {
    /// Where the text lies.
    pub vector: Vector,
    /// True if the text was longer than the encoder reads: what follows its cut had no say.
    pub truncated: bool,
    /// Tokens that were read, with the two marks around them.
    pub tokens: usize,
}

/// Turns texts into vectors. Cloning shares the weights; every call runs on the caller's thread.
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

/// The embedded file, beginning on a cache line.
#[cfg(feature = "bundled")]
#[repr(C, align(64))]
struct Bundle<B: ?Sized>(B);

#[cfg(feature = "bundled")]
static BUNDLE: &Bundle<[u8]> = &Bundle(*include_bytes!("../../../models/minilm/minilm-l6-v2.int8"));

impl Encoder {
    /// The encoder with the weights in this program, which are used where they lie.
    ///
    /// # Errors
    /// [`BadWeights`] if the program was built with a damaged file; tests show that it was not.
    #[cfg(feature = "bundled")]
    pub fn bundled() -> Result<Self, BadWeights> {
        Self::open(Data::Static(&BUNDLE.0))
    }

    /// The encoder with other weights of the same widths, as `models/minilm/make.py` writes them.
    ///
    /// # Errors
    /// [`BadWeights`] if the file cannot be read or its parts do not fit together.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, BadWeights> {
        Self::open(Data::read(path.as_ref())?)
    }

    /// The encoder with weights that are in memory already.
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

    /// The same encoder, using only the given instructions: vectors stay the same.
    #[must_use]
    pub fn on(mut self, cpu: Cpu) -> Self {
        self.cpu = cpu;
        self
    }

    /// The same encoder, reading at most so many tokens of each text (3 up to what the weights allow).
    #[must_use]
    pub fn with_limit(mut self, tokens: usize) -> Self {
        self.limit = tokens.clamp(3, self.inner.weights.positions);
        self
    }

    /// Name and fingerprint of the weights. Vectors of different ids must never be compared.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.weights.id
    }

    /// Reads a text.
    #[must_use]
    pub fn encode(&self, text: &str) -> Encoding {
        let (vector, truncated, tokens) = self.forward(text, |floats, _, _| Vector::from_floats(floats));
        Encoding { vector, truncated, tokens }
    }

    /// Reads a text, and tells where each of its tokens lies as well: hardly dearer than [`Encoder::encode`].
    #[must_use]
    pub fn read(&self, text: &str) -> (Encoding, Pieces) {
        let ((vector, pieces), truncated, tokens) = self.forward(text, |floats, numbers, states| {
            (Vector::from_floats(floats), Pieces::new(self.cpu, numbers, states))
        });
        (Encoding { vector, truncated, tokens }, pieces)
    }

    /// The vector before it is rounded to bytes, of length one: for measurements and other stores.
    #[must_use]
    pub fn encode_floats(&self, text: &str) -> [f32; DIMS] {
        self.forward(text, |floats, _, _| *floats).0
    }

    /// The token numbers of a text, marks included: what the encoder reads of it.
    #[must_use]
    pub fn tokens(&self, text: &str) -> Vec<u16> {
        wordpiece::tokens(&self.inner.weights, text, self.limit).numbers
    }

    /// Tells by which vocabulary it cuts.
    pub(crate) fn vocabulary(&self) -> u32 {
        self.inner.weights.print()
    }

    /// One pass; hands over the vector, the numbers of the tokens and what became of each.
    fn forward<T>(
        &self,
        text: &str,
        take: impl FnOnce(&[f32; DIMS], &[u16], &[f32]) -> T,
    ) -> (T, bool, usize) {
        self.watched(text, &mut |_, _| {}, take)
    }

    /// As [`Encoder::forward`], while somebody looks on from layer to layer.
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

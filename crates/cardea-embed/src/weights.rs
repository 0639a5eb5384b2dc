//! The weight file, as written by `models/minilm/make.py`, used in place.
//!
//! Small arrays (scales, biases, norms) are copied when it is loaded. The codes, which are nearly all of the file, are
//! read in place, so opening touches few pages and start-up does not depend on the size of the file.

use std::{io::Read, ops::Range};

use crate::kernel::{BLOCK, COLUMNS};

/// Width of a token's state.
pub(crate) const HIDDEN: usize = 384;
/// Width inside the feed-forward part.
pub(crate) const INNER: usize = 1536;
/// Attention heads, each [`HEAD`] wide.
pub(crate) const HEADS: usize = 12;
/// Width of one head.
pub(crate) const HEAD: usize = HIDDEN / HEADS;

/// Limit of tokens that a weight file may allow.
pub(crate) const LONGEST: usize = 512;

const MAGIC: &[u8] = b"CARDEMB1";
const ALIGN: usize = 64;
const SLOTS: usize = 65536;
/// The special words that every file must contain at these indices.
const SPECIAL: [(u16, &[u8]); 3] = [(UNKNOWN, b"[UNK]"), (START, b"[CLS]"), (END, b"[SEP]")];
pub(crate) const UNKNOWN: u16 = 100;
pub(crate) const START: u16 = 101;
pub(crate) const END: u16 = 102;

/// Reason why a weight file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadWeights {
    /// The file could not be read.
    #[error("the weight file cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// The file does not begin like a weight file of this version.
    #[error("this is no weight file of the form `CARDEMB1`")]
    Foreign,
    /// The file is too short or too long for its shape.
    #[error("the weight file is cut off or its parts do not fit its header")]
    Misshapen,
    /// The vocabulary is damaged, or lacks a special word at its index.
    #[error("the vocabulary of the weight file is damaged")]
    Vocabulary,
}

/// The bytes of a weight file, in the program or on the heap.
pub(crate) enum Data {
    /// Embedded in the binary.
    #[cfg(feature = "bundled")]
    Static(&'static [u8]),
    /// On the heap, at an offset that aligns rows to cache lines.
    Heap(Vec<u8>, usize),
}

impl Data {
    pub(crate) fn read(path: &std::path::Path) -> Result<Self, BadWeights> {
        let mut file = std::fs::File::open(path)?;
        let size = usize::try_from(file.metadata()?.len()).map_err(|_| BadWeights::Misshapen)?;
        let mut bytes = Vec::<u8>::with_capacity(size + ALIGN);
        let shift = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        bytes.resize(shift, 0);
        file.read_to_end(&mut bytes)?;
        Ok(Self::Heap(bytes, shift))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            #[cfg(feature = "bundled")]
            Self::Static(bytes) => bytes,
            Self::Heap(bytes, shift) => bytes.get(*shift..).unwrap_or_default(),
        }
    }
}

/// A dense layer: the position of its codes, and the factors that convert their sums.
pub(crate) struct Matrix {
    codes: Range<usize>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) scale: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// Sum of the codes of each output, which removes the zero point from the integer sums.
    pub(crate) sums: Vec<i32>,
}

/// Gain and shift of a layer normalisation.
pub(crate) struct Norm {
    pub(crate) gain: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

/// One transformer layer.
pub(crate) struct Layer {
    pub(crate) attend: Matrix,
    pub(crate) join: Matrix,
    pub(crate) join_norm: Norm,
    pub(crate) widen: Matrix,
    pub(crate) narrow: Matrix,
    pub(crate) narrow_norm: Norm,
}

/// The content of a weight file.
pub(crate) struct Weights {
    data: Data,
    /// Name and fingerprint of the file, which decides which vectors may be compared.
    pub(crate) id: String,
    /// Limit of tokens of one text, with the two marks around it.
    pub(crate) positions: usize,
    vocabulary: usize,
    words: Range<usize>,
    word_scale: Range<usize>,
    position: Range<usize>,
    pub(crate) first_norm: Norm,
    pub(crate) layers: Vec<Layer>,
    offsets: Range<usize>,
    slots: Range<usize>,
    blob: Range<usize>,
    classes: Range<usize>,
}

/// What the tokenizer must know of a character beyond ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Plain,
    Dropped,
    Accent,
    Punctuation,
}

impl Weights {
    pub(crate) fn open(data: Data) -> Result<Self, BadWeights> {
        let mut parts = Parts { bytes: data.bytes(), at: 0 };
        if parts.take(MAGIC.len())? != (0..MAGIC.len()) || !data.bytes().starts_with(MAGIC) {
            return Err(BadWeights::Foreign);
        }
        let name = parts.slice(32)?.to_vec();
        let print = parts.slice(8)?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let name = String::from_utf8(name).map_err(|_| BadWeights::Foreign)?;
        let id = format!("{}@{print}", name.trim_end_matches('\0'));
        let mut numbers = parts.numbers(5)?.into_iter().map(|n| n as usize);
        let mut number = || numbers.next().ok_or(BadWeights::Misshapen);
        let (layers, positions, vocabulary) = (number()?, number()?, number()?);
        let (blob, classes) = (number()?, number()?);
        let sane = (1..=48).contains(&layers) && (3..=LONGEST).contains(&positions);
        if !sane || !(103..SLOTS - 1).contains(&vocabulary) || blob > 1 << 24 || classes > 1 << 16 {
            return Err(BadWeights::Misshapen);
        }
        parts.at = 128;
        let weights = Self {
            id,
            positions,
            vocabulary,
            words: parts.array(vocabulary * HIDDEN)?,
            word_scale: parts.array(vocabulary * 4)?,
            position: parts.array(positions * HIDDEN * 4)?,
            first_norm: parts.norm()?,
            layers: (0..layers).map(|_| parts.layer()).collect::<Result<_, _>>()?,
            offsets: parts.array((vocabulary + 1) * 4)?,
            slots: parts.array(SLOTS * 2)?,
            blob: parts.array(blob)?,
            classes: parts.array(classes * 12)?,
            data: Data::Heap(Vec::new(), 0),
        };
        if parts.at != data.bytes().len() {
            return Err(BadWeights::Misshapen);
        }
        let weights = Self { data, ..weights };
        for (number, word) in SPECIAL {
            if weights.word(word) != Some(number) {
                return Err(BadWeights::Vocabulary);
            }
        }
        Ok(weights)
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.data.bytes().get(range.clone()).unwrap_or_default()
    }

    /// Returns the codes of a layer's matrix.
    pub(crate) fn codes(&self, matrix: &Matrix) -> &[u8] {
        self.part(&matrix.codes)
    }

    /// Writes the sum of a word's and a position's vector.
    pub(crate) fn embed(&self, word: u16, position: usize, out: &mut [f32]) {
        let word = usize::from(word);
        let scale = f32_at(self.part(&self.word_scale), word);
        let codes = self.part(&self.words).get(word * HIDDEN..).unwrap_or_default();
        let place = self.part(&self.position).get(position * HIDDEN * 4..).unwrap_or_default();
        for ((out, code), place) in out.iter_mut().zip(codes).zip(place.as_chunks::<4>().0) {
            *out = f32::from(code.cast_signed()) * scale + f32::from_le_bytes(*place);
        }
    }

    /// Returns the fingerprint of the vocabulary.
    pub(crate) fn print(&self) -> u32 {
        fnv1a(self.part(&self.blob))
    }

    /// Returns the number of a word piece. A damaged table gives `None` or a wrong number below the vocabulary's size.
    pub(crate) fn word(&self, text: &[u8]) -> Option<u16> {
        let slots = self.part(&self.slots).as_chunks::<2>().0;
        let first = fnv1a(text) as usize % SLOTS;
        for slot in (first..SLOTS).chain(0..first) {
            let number = u16::from_le_bytes(*slots.get(slot)?).checked_sub(1)?;
            if self.spelling(usize::from(number))? == text {
                return Some(number);
            }
        }
        None
    }

    fn spelling(&self, number: usize) -> Option<&[u8]> {
        if number >= self.vocabulary {
            return None;
        }
        let offsets = self.part(&self.offsets).as_chunks::<4>().0;
        let at = |index: usize| offsets.get(index).map(|bytes| u32::from_le_bytes(*bytes) as usize);
        self.part(&self.blob).get(at(number)?..at(number + 1)?)
    }

    /// Returns the class of a character that is not ASCII.
    pub(crate) fn class(&self, character: char) -> Class {
        let ranges = self.part(&self.classes).as_chunks::<12>().0;
        let number = |range: &[u8; 12], at: usize| {
            range.as_chunks::<4>().0.get(at).map_or(0, |b| u32::from_le_bytes(*b))
        };
        let code = u32::from(character);
        let after = ranges.partition_point(|range| number(range, 0) <= code);
        match after.checked_sub(1).and_then(|at| ranges.get(at)) {
            Some(range) if code <= number(range, 1) => match number(range, 2) {
                1 => Class::Dropped,
                2 => Class::Accent,
                3 => Class::Punctuation,
                _ => Class::Plain,
            },
            _ => Class::Plain,
        }
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |state, byte| (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn f32_at(bytes: &[u8], index: usize) -> f32 {
    bytes.as_chunks::<4>().0.get(index).map_or(0.0, |four| f32::from_le_bytes(*four))
}

/// Parses the file; every step checks that the part exists.
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parts<'a> {
    fn take(&mut self, size: usize) -> Result<Range<usize>, BadWeights> {
        let end =
            self.at.checked_add(size).filter(|end| *end <= self.bytes.len()).ok_or(BadWeights::Misshapen)?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    fn array(&mut self, size: usize) -> Result<Range<usize>, BadWeights> {
        self.at = self.at.next_multiple_of(ALIGN);
        self.take(size)
    }

    fn slice(&mut self, size: usize) -> Result<&'a [u8], BadWeights> {
        let range = self.take(size)?;
        self.bytes.get(range).ok_or(BadWeights::Misshapen)
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<u32>, BadWeights> {
        Ok(self.slice(count * 4)?.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).collect())
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, BadWeights> {
        let range = self.array(count * 4)?;
        let bytes = self.bytes.get(range).ok_or(BadWeights::Misshapen)?;
        let floats: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        if floats.iter().all(|float| float.is_finite()) { Ok(floats) } else { Err(BadWeights::Misshapen) }
    }

    fn norm(&mut self) -> Result<Norm, BadWeights> {
        Ok(Norm { gain: self.floats(HIDDEN)?, shift: self.floats(HIDDEN)? })
    }

    fn matrix(&mut self, inputs: usize, outputs: usize) -> Result<Matrix, BadWeights> {
        debug_assert!(
            inputs.is_multiple_of(4) && outputs.is_multiple_of(COLUMNS) && COLUMNS.is_multiple_of(BLOCK)
        );
        let codes = self.array(inputs * outputs)?;
        let (scale, bias) = (self.floats(outputs)?, self.floats(outputs)?);
        self.at = self.at.next_multiple_of(ALIGN);
        let sums: Vec<i32> = self.numbers(outputs)?.into_iter().map(u32::cast_signed).collect();
        // INVARIANT: no sum is larger than its codes allow, so that products with it stay integers of 32 bits.
        if sums.iter().any(|sum| sum.unsigned_abs() as usize > 128 * inputs) {
            return Err(BadWeights::Misshapen);
        }
        Ok(Matrix { codes, inputs, outputs, scale, bias, sums })
    }

    fn layer(&mut self) -> Result<Layer, BadWeights> {
        Ok(Layer {
            attend: self.matrix(HIDDEN, 3 * HIDDEN)?,
            join: self.matrix(HIDDEN, HIDDEN)?,
            join_norm: self.norm()?,
            widen: self.matrix(HIDDEN, INNER)?,
            narrow: self.matrix(INNER, HIDDEN)?,
            narrow_norm: self.norm()?,
        })
    }
}

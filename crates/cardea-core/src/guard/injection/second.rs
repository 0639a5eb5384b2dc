//! The second look: what the classifier is unsure of, read by a sentence encoder.
//!
//! The encoder is not here: the caller brings one along ([`SecondReader`]), since it takes milliseconds and megabytes. What
//! is here is the small head that says what the encoder's states mean: `models/injection/second.bin`, two layers, made by
//! the same script as the classifier's weights. It is added to the classifier's margin, never put in its place.

use super::super::verdict::Surface;
use super::score::crc32;
use crate::{Code, Error, Result};

/// Numbers in a vector.
pub const DIMS: usize = 384;

/// Letters that are read: of a longer text one half from its beginning and one half from its end.
const LETTERS: usize = 600;

/// The encoder's layers (counted from one) whose states a second look goes by.
pub const LAYERS: std::ops::RangeInclusive<usize> = 2..=4;

/// Numbers that a second look goes by: a vector, and a mean for each of [`LAYERS`].
const WIDE: usize = 4 * DIMS;

const MAGIC: &[u8; 4] = b"CGS2";

/// Turns a text into a vector, as the encoder of `cardea-embed` does.
pub trait SecondReader: Send + Sync {
    /// Where the text lies, in a vector of length one; `None` if no answer can be had in time.
    fn read(&self, text: &str) -> Option<[f32; DIMS]>;

    /// The same vector, and the means of the states of all tokens after the encoder's [`LAYERS`]: what the text is about,
    /// and how it speaks. An answer with another number of means counts as none.
    fn look(&self, text: &str) -> Option<Look>;
}

/// What an encoder sees at a second look.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The vector of the text.
    pub vector: [f32; DIMS],
    /// A mean for each of [`LAYERS`], in their order.
    pub layers: Vec<[f32; DIMS]>,
}

/// The heads of prompts and of records.
pub(super) struct Second {
    prompts: Head,
    records: Head,
}

/// One hidden layer, and the margins between which it is asked.
struct Head {
    /// What is usual for each number, and what it is multiplied by after that is taken away.
    usual: Vec<(f32, f32)>,
    hidden: Vec<Unit>,
    bias: f32,
    /// Below the first the text is harmless, above the second it is not; in between is the look.
    unsure: [f32; 2],
    /// Margins after the look that 5 %, 1 % and 0.1 % of unseen harmless texts reach.
    pub(super) lines: [f32; 3],
}

struct Unit {
    weights: Vec<i8>,
    scale: f32,
    bias: f32,
    out: f32,
}

/// Reads little-endian numbers one after the other.
struct Cursor<'b>(&'b [u8]);

impl Cursor<'_> {
    fn float(&mut self) -> Option<f32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(f32::from_le_bytes(*head))
    }

    fn floats<const N: usize>(&mut self) -> Option<[f32; N]> {
        let mut made = [0.0; N];
        for one in &mut made {
            *one = self.float()?;
        }
        Some(made)
    }

    fn bytes(&mut self, length: usize) -> Option<Vec<i8>> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head.iter().map(|byte| i8::from_le_bytes([*byte])).collect())
    }

    fn head(&mut self) -> Option<Head> {
        let (count, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        let (bias, unsure, lines) = (self.float()?, self.floats()?, self.floats()?);
        let mut usual = Vec::new();
        for _ in 0..WIDE {
            usual.push(self.floats::<2>()?.into());
        }
        let mut hidden = Vec::new();
        for _ in 0..u32::from_le_bytes(*count).min(1024) {
            let [scale, bias, out] = self.floats()?;
            hidden.push(Unit { weights: self.bytes(WIDE)?, scale, bias, out });
        }
        Some(Head { usual, hidden, bias, unsure, lines })
    }
}

impl Second {
    /// Reads the file that the training script writes.
    pub(super) fn parse(file: &[u8]) -> Result<Self> {
        let read = || {
            let (body, sum) = file.split_last_chunk::<4>()?;
            let rest = body.strip_prefix(MAGIC).filter(|_| crc32(body).to_le_bytes() == *sum)?;
            let mut cursor = Cursor(rest);
            Some(Self { prompts: cursor.head()?, records: cursor.head()? })
        };
        read().ok_or_else(|| Error::new(Code::Internal).detail("The weights of the second look are damaged."))
    }

    const fn head(&self, surface: Surface) -> &Head {
        if surface.is_untrusted() { &self.records } else { &self.prompts }
    }

    /// True if the classifier is unsure at this margin.
    pub(super) fn wants(&self, margin: f32, surface: Surface) -> bool {
        let [low, high] = self.head(surface).unsure;
        low < margin && margin < high
    }

    /// What a look adds to the margin.
    pub(super) fn adds(&self, look: &Look, surface: Surface) -> Option<f32> {
        let head = self.head(surface);
        let seen = look.vector.iter().chain(look.layers.as_flattened());
        if seen.clone().count() != WIDE {
            return None;
        }
        let seen: Vec<f32> =
            seen.zip(&head.usual).map(|(value, (usual, scale))| (value - usual) * scale).collect();
        let unit = |unit: &Unit| {
            let sum: f32 =
                unit.weights.iter().zip(&seen).map(|(weight, value)| f32::from(*weight) * value).sum();
            (sum * unit.scale + unit.bias).max(0.0) * unit.out
        };
        Some(head.bias + head.hidden.iter().map(unit).sum::<f32>())
    }

    /// The lines of the margin after the look.
    pub(super) const fn lines(&self, surface: Surface) -> [f32; 3] {
        self.head(surface).lines
    }
}

/// What of a text the encoder is given.
pub(super) fn extract(text: &str) -> std::borrow::Cow<'_, str> {
    let Some((cut, _)) = text.char_indices().nth(LETTERS) else { return text.into() };
    let half = text.char_indices().nth(LETTERS / 2).map_or(cut, |(place, _)| place);
    let tail = text.char_indices().rev().nth(LETTERS / 2 - 1).map_or(cut, |(place, _)| place);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    format!("{} {}", part(0..half), part(tail..text.len())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_the_beginning_and_the_end_are_read() {
        assert_eq!(extract("short"), "short");
        let long = format!("{}{}{}", "a".repeat(300), "é".repeat(5000), "b".repeat(300));
        assert_eq!(extract(&long), format!("{} {}", "a".repeat(300), "b".repeat(300)));
        let just = "x".repeat(LETTERS);
        assert_eq!(extract(&just), just);
    }
}

//! A vector for each word piece: a text is the sum of its pieces.
//!
//! It takes some microseconds per text and needs no queue, but is less reliable than the encoder, since it ignores
//! order and context. For use when the encoder has no time, and as one signal among others. Its vectors are in a space
//! of their own.

use std::{ops::Range, path::Path};

use crate::{
    encoder::Encoder,
    vector::{DIMS, Vector},
    weights::{BadWeights, Data},
};

const MAGIC: &[u8] = b"CARDEWD1";
/// Size of the header before the first array.
const HEAD: usize = 32;
/// Numbers per piece; the rest of a [`Vector`] stays zero.
const WIDTH: usize = 256;
/// The row of a piece that has none.
const NONE: u16 = u16::MAX;

#[cfg(feature = "bundled")]
static BUNDLE: &[u8] = include_bytes!("../../../models/words/words.int8");

/// Word pieces and their vectors, as written by `models/words/make.py`.
pub struct Table {
    data: Data,
    id: String,
    /// Fingerprint of its vocabulary.
    print: u32,
    rows: Range<usize>,
    scales: Vec<f32>,
    codes: Range<usize>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Table {
    /// Returns the table embedded in this program, which is used in place. `None` if the encoder uses another
    /// vocabulary.
    ///
    /// # Errors
    /// [`BadWeights`] if the program was built with a damaged file; tests show that it was not.
    #[cfg(feature = "bundled")]
    pub fn bundled(encoder: &Encoder) -> Result<Option<Self>, BadWeights> {
        let table = Self::open(Data::Static(BUNDLE))?;
        Ok(Some(table).filter(|table| table.print == encoder.vocabulary()))
    }

    /// Loads a table from a file.
    ///
    /// # Errors
    /// [`BadWeights`] if the file cannot be read, its parts do not fit together, or it is for another vocabulary.
    pub fn from_file(path: impl AsRef<Path>, encoder: &Encoder) -> Result<Self, BadWeights> {
        let table = Self::open(Data::read(path.as_ref())?)?;
        if table.print == encoder.vocabulary() { Ok(table) } else { Err(BadWeights::Vocabulary) }
    }

    fn open(data: Data) -> Result<Self, BadWeights> {
        let bytes = data.bytes();
        let (head, _) = bytes.split_at_checked(HEAD).ok_or(BadWeights::Foreign)?;
        let (magic, facts) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(BadWeights::Foreign);
        }
        let mut facts = facts.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four));
        let mut fact = || facts.next().ok_or(BadWeights::Misshapen);
        let (low, high, print) = (fact()?, fact()?, fact()?);
        let [words, kept, width] = [fact()?, fact()?, fact()?].map(|number| number as usize);
        let rows = HEAD..HEAD + words.min(1 << 16) * 2;
        let scales = rows.end..rows.end + kept.min(1 << 16) * 4;
        let codes = scales.end..scales.end + kept.min(1 << 16) * WIDTH;
        if width != WIDTH || kept >= usize::from(NONE) || words > 1 << 16 || codes.end != bytes.len() {
            return Err(BadWeights::Misshapen);
        }
        let scales = bytes.get(scales).unwrap_or_default().as_chunks::<4>().0;
        let scales: Vec<f32> = scales.iter().map(|four| f32::from_le_bytes(*four)).collect();
        if !scales.iter().all(|scale| scale.is_finite()) {
            return Err(BadWeights::Misshapen);
        }
        let id = format!("words-256-int8@{:016x}", u64::from(high) << 32 | u64::from(low));
        Ok(Self { id, print, rows, scales, codes, data })
    }

    /// Returns name and fingerprint. Its vectors must never be compared with those of another id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the direction of the sum of all pieces; no direction if it has none of them. The encoder only
    /// tokenises.
    #[must_use]
    pub fn vector(&self, encoder: &Encoder, text: &str) -> Vector {
        let bytes = self.data.bytes();
        let rows = bytes.get(self.rows.clone()).unwrap_or_default().as_chunks::<2>().0;
        let codes = bytes.get(self.codes.clone()).unwrap_or_default().as_chunks::<WIDTH>().0;
        let mut sums = [0.0_f32; DIMS];
        for token in encoder.tokens(text) {
            let row = rows.get(usize::from(token)).map_or(NONE, |row| u16::from_le_bytes(*row));
            let (Some(scale), Some(codes)) = (self.scales.get(usize::from(row)), codes.get(usize::from(row)))
            else {
                continue;
            };
            for (sum, code) in sums.iter_mut().zip(codes) {
                *sum += f32::from(code.cast_signed()) * scale;
            }
        }
        Vector::from_floats(&sums)
    }
}

#[cfg(all(test, feature = "bundled"))]
mod tests {
    use super::*;

    #[test]
    fn a_text_lies_near_one_that_says_the_same_and_far_from_another() {
        let encoder = Encoder::bundled().unwrap();
        let table = Table::bundled(&encoder).unwrap().expect("the same vocabulary");
        let at = |text: &str| table.vector(&encoder, text);
        let asked = at("I want my money back");
        assert!(asked.cosine(&at("refund the payment")) > asked.cosine(&at("weather forecast for a city")));
        assert!((asked.cosine(&at("money back I want my")) - 1.0).abs() < 1e-3, "it knows no order");
        assert!(at("").cosine(&asked).abs() < 1e-6 && at("東京").cosine(&asked).abs() < 1e-6);
        assert_ne!(table.id(), encoder.id());
    }

    #[test]
    fn a_damaged_table_is_refused_and_never_read_past_its_end() {
        let open = |bytes: Vec<u8>| Table::open(Data::Heap(bytes, 0)).err();
        assert!(matches!(open(BUNDLE[..20].to_vec()), Some(BadWeights::Foreign)));
        assert!(matches!(open(vec![b'x'; 4096]), Some(BadWeights::Foreign)));
        for cut in [HEAD, HEAD + 100, BUNDLE.len() - 1] {
            assert!(matches!(open(BUNDLE[..cut].to_vec()), Some(BadWeights::Misshapen)), "{cut}");
        }
        for at in 20..HEAD {
            let mut bytes = BUNDLE[..HEAD + 4096].to_vec();
            bytes[at] ^= 0xFF;
            assert!(matches!(open(bytes), Some(BadWeights::Misshapen)), "{at}");
        }
    }
}

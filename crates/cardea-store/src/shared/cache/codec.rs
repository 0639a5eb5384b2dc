//! Encoding of records, for stores outside this process.

use cardea_core::time::Timestamp;
use cardea_embed::{DIMS, Vector};

use super::{LARGEST, Record, Tag};

/// Version of the encoding; records of other versions are not read.
const FORMAT: u8 = 1;
const TAG: usize = 16;

impl Record {
    /// Returns everything except the body. A seal of the body must cover it, so that nothing of it can be changed
    /// alone.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.asked_at.to_be_bytes());
        bytes.extend_from_slice(&self.until.0.to_be_bytes());
        let tags = u16::try_from(self.tags.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&tags.to_be_bytes());
        self.tags.iter().take(usize::from(tags)).for_each(|tag| bytes.extend_from_slice(&tag.0));
        bytes.push(u8::from(self.vector.is_some()));
        if let Some(vector) = &self.vector {
            bytes.extend_from_slice(&vector.to_bytes());
        }
        bytes
    }

    /// Encodes the whole record; `None` if it is larger than [`LARGEST`] or has too many tags.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.body);
        (bytes.len() <= LARGEST && self.tags.len() < usize::from(u16::MAX)).then_some(bytes)
    }

    /// Decodes the output of [`Record::to_bytes`]; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LARGEST {
            return None;
        }
        let mut rest = bytes;
        let mut take = |count: usize| {
            let (piece, after) = rest.split_at_checked(count)?;
            rest = after;
            Some(piece)
        };
        if take(1)? != [FORMAT] {
            return None;
        }
        let asked_at = u64::from_be_bytes(take(8)?.try_into().ok()?);
        let until = Timestamp(i64::from_be_bytes(take(8)?.try_into().ok()?));
        let count = usize::from(u16::from_be_bytes(take(2)?.try_into().ok()?));
        let tags = take(count * TAG)?.chunks_exact(TAG);
        let tags = tags.map(|tag| tag.try_into().ok().map(Tag)).collect::<Option<Vec<_>>>()?;
        let vector = match take(1)? {
            [0] => None,
            [1] => Some(Vector::from_bytes(take(DIMS)?)?),
            _ => return None,
        };
        Some(Self { asked_at, until, tags, vector, body: rest.into() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let tags = proptest::collection::vec(any::<[u8; 16]>().prop_map(Tag), 0..5);
        let body = proptest::collection::vec(any::<u8>(), 0..200);
        (any::<u64>(), any::<i64>(), tags, any::<Option<[i8; 3]>>(), body).prop_map(
            |(asked_at, until, tags, seed, body)| {
                let vector = seed.map(|seed| {
                    let mut floats = [0.25; DIMS];
                    seed.iter().zip(&mut floats).for_each(|(code, float)| *float = f32::from(*code));
                    Vector::from_floats(&floats)
                });
                Record { asked_at, until: Timestamp(until), tags, vector, body: body.into() }
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(record in any_record()) {
            let bytes = record.to_bytes().unwrap();
            prop_assert_eq!(Record::from_bytes(&bytes), Some(record));
        }

        #[test]
        fn a_record_that_was_cut_or_that_never_was_one_is_not_read_as_another(
            record in any_record(), cut in 0_usize..40, noise in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let head = record.head();
            let cut = cut.min(head.len());
            prop_assert!(Record::from_bytes(head.get(..head.len() - cut).unwrap()).is_none() || cut == 0);
            if let Some(read) = Record::from_bytes(&noise) {
                prop_assert_eq!(read.to_bytes(), Some(noise));
            }
        }
    }

    #[test]
    fn a_huge_record_is_not_written_and_not_read() {
        let mut record = Record {
            asked_at: 1,
            until: Timestamp(2),
            tags: vec![],
            vector: None,
            body: vec![7; LARGEST].into(),
        };
        assert_eq!(record.to_bytes(), None);
        assert_eq!(Record::from_bytes(&vec![FORMAT; LARGEST + 1]), None);
        record.body = Vec::new().into();
        record.tags = vec![Tag([0; 16]); 70_000];
        assert_eq!(record.to_bytes(), None);
    }
}

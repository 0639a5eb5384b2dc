//! The hash chain that makes an append-only log tamper-evident.
//!
//! Every entry carries `link = HMAC-SHA-256(key, sequence ‖ previous link ‖ SHA-256(body))`, with the sequence as
//! eight bytes, big-endian. Editing, deleting, inserting, duplicating or moving an entry breaks the first link at or
//! after the change. Cutting off the end breaks nothing by itself: compare with a [`Head`] kept elsewhere.

use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq;

/// Key of a chain. Its holder can write entries, so it stays with the writer.
#[derive(Clone)]
pub struct ChainKey(hmac::Key);

impl ChainKey {
    /// Creates a key from 32 secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey(***)")
    }
}

/// Head of a chain: the sequence number and link of its last entry. The default is the empty chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last entry; the first entry has number 1, the empty chain 0.
    pub sequence: u64,
    /// Link of the last entry; zeros for the empty chain.
    pub link: [u8; 32],
}

impl Head {
    /// Returns the head after one more entry with this body.
    #[must_use]
    pub fn append(&self, key: &ChainKey, body: &[u8]) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut mac = hmac::Context::with_key(&key.0);
        mac.update(&sequence.to_be_bytes());
        mac.update(&self.link);
        mac.update(digest::digest(&digest::SHA256, body).as_ref());
        let mut link = [0_u8; 32];
        link.copy_from_slice(mac.sign().as_ref());
        Self { sequence, link }
    }
}

/// The first entry at which a chain does not hold, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The entry with this number is missing, or another one is in its place.
    #[error("entry {expected} is missing: entry {found} stands in its place")]
    Gap {
        /// Expected number.
        expected: u64,
        /// Number found.
        found: u64,
    },
    /// The content of this entry, or of the preceding one, is not what was written.
    #[error("entry {0} does not match its link: it was changed, or something before it was")]
    Link(u64),
    /// The log ends before the entry that a checkpoint has recorded.
    #[error("the log ends at entry {found}, but a checkpoint has seen entry {expected}: the end was cut off")]
    Truncated {
        /// Last entry of the checkpoint.
        expected: u64,
        /// Last existing entry.
        found: u64,
    },
    /// The log continues beyond the checkpoint, but with a different entry at its number.
    #[error("entry {0} is not the one that the checkpoint has seen: the chain was written anew")]
    Rewritten(u64),
}

/// Verifies a log from its first entry to its last.
#[derive(Debug, Clone)]
pub struct Verifier {
    key: ChainKey,
    head: Head,
    checkpoint: Option<Head>,
}

impl Verifier {
    /// Creates a verifier at the start of the chain, with the newest checkpoint if there is one.
    #[must_use]
    pub fn new(key: ChainKey, checkpoint: Option<Head>) -> Self {
        Self { key, head: Head::default(), checkpoint }
    }

    /// Checks the next entry.
    ///
    /// # Errors
    /// [`Broken`] names the first entry that does not hold. The verifier must not be used after that.
    pub fn push(&mut self, sequence: u64, body: &[u8], link: &[u8]) -> Result<(), Broken> {
        let expected = self.head.sequence.saturating_add(1);
        if sequence != expected {
            return Err(Broken::Gap { expected, found: sequence });
        }
        let next = self.head.append(&self.key, body);
        if !bool::from(next.link.as_slice().ct_eq(link)) {
            return Err(Broken::Link(sequence));
        }
        if self.checkpoint.is_some_and(|point| point.sequence == sequence && point.link != next.link) {
            return Err(Broken::Rewritten(sequence));
        }
        self.head = next;
        Ok(())
    }

    /// Ends the verification and returns the head of the chain.
    ///
    /// # Errors
    /// [`Broken::Truncated`] if the checkpoint has recorded more.
    pub fn finish(self) -> Result<Head, Broken> {
        match self.checkpoint {
            Some(point) if point.sequence > self.head.sequence => {
                Err(Broken::Truncated { expected: point.sequence, found: self.head.sequence })
            }
            _ => Ok(self.head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (u64, Vec<u8>, [u8; 32]);

    fn key() -> ChainKey {
        ChainKey::new(&[7; 32])
    }

    fn written(bodies: usize) -> Vec<Entry> {
        let mut head = Head::default();
        (0..bodies)
            .map(|n| {
                let body = format!("entry {n}").into_bytes();
                head = head.append(&key(), &body);
                (head.sequence, body, head.link)
            })
            .collect()
    }

    fn verify(log: &[Entry], checkpoint: Option<Head>) -> Result<Head, Broken> {
        let mut verifier = Verifier::new(key(), checkpoint);
        for (sequence, body, link) in log {
            verifier.push(*sequence, body, link)?;
        }
        verifier.finish()
    }

    #[test]
    fn every_way_to_tamper_is_found_at_its_first_entry() {
        let log = written(10);
        let head = verify(&log, None).unwrap();
        assert_eq!(head.sequence, 10);

        let mut edited = log.clone();
        edited[4].1[0] ^= 1;
        assert_eq!(verify(&edited, None), Err(Broken::Link(5)));

        let mut deleted = log.clone();
        deleted.remove(4);
        assert_eq!(verify(&deleted, None), Err(Broken::Gap { expected: 5, found: 6 }));

        let mut swapped = log.clone();
        swapped.swap(4, 5);
        assert_eq!(verify(&swapped, None), Err(Broken::Gap { expected: 5, found: 6 }));

        let mut doubled = log.clone();
        doubled.insert(4, log[4].clone());
        assert_eq!(verify(&doubled, None), Err(Broken::Gap { expected: 6, found: 5 }));

        assert_eq!(verify(&log[..8], Some(head)), Err(Broken::Truncated { expected: 10, found: 8 }));
    }

    #[test]
    fn a_chain_rewritten_by_its_key_holder_fails_against_the_checkpoint() {
        let seen = verify(&written(10), None).unwrap();
        let mut head = Head::default();
        let forged: Vec<Entry> = (0..12)
            .map(|n| {
                let body = format!("other {n}").into_bytes();
                head = head.append(&key(), &body);
                (head.sequence, body, head.link)
            })
            .collect();
        assert_eq!(verify(&forged, Some(seen)), Err(Broken::Rewritten(10)));
    }

    #[test]
    fn an_early_entry_that_the_key_holder_writes_anew_changes_every_later_link() {
        let log = written(10);
        let seen = verify(&log, None).unwrap();
        let mut head = Head::default();
        let forged: Vec<Entry> = log
            .iter()
            .map(|(sequence, body, _)| {
                let body = if *sequence == 2 { b"another past".to_vec() } else { body.clone() };
                head = head.append(&key(), &body);
                (head.sequence, body, head.link)
            })
            .collect();
        assert!(forged.iter().zip(&log).skip(1).all(|(forged, honest)| forged.2 != honest.2));
        assert_eq!(verify(&forged, Some(seen)), Err(Broken::Rewritten(10)));
    }
}

//! The placeholders of one conversation: `[CARD_1]` means the same card in every turn of it, also after a restart.
//!
//! The numbers and the values behind them leave memory only as bytes for a vault. A value comes back only through
//! [`Placeholders::restore`], for the labels that the caller allows.

use std::sync::{Arc, Mutex, PoisonError};

use cardea_core::{
    Code, Error, Result,
    guard::{Masks, Originals, Placeholders as Numbering},
    id::random_bits,
};
use zeroize::Zeroizing;

use crate::vault::{Kept, LARGEST};

const KEY: usize = 32;

/// Length of the prefix that holds the length of the numbers.
const LENGTH: usize = 4;

// INVARIANT: everything that is masked can be kept. A value that could not would get a second number later.
const _: () = assert!(KEY + LENGTH + Masks::MOST_BYTES <= LARGEST);

/// The placeholders of one conversation. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Placeholders(Arc<Mutex<State>>);

struct State {
    key: Zeroizing<[u8; KEY]>,
    masks: Masks,
    /// Number of values when they were last kept. The number only grows.
    saved: usize,
    kept: Option<Kept>,
    /// Number of findings since the placeholders were opened.
    found: u64,
}

impl std::fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Placeholders")
    }
}

impl Default for Placeholders {
    /// Creates the placeholders of a new conversation.
    fn default() -> Self {
        let mut key = Zeroizing::new([0; KEY]);
        for half in key.chunks_mut(16) {
            half.copy_from_slice(&random_bits().to_be_bytes());
        }
        let masks = Masks::new(&key);
        Self(Arc::new(Mutex::new(State { key, masks, saved: 0, kept: None, found: 0 })))
    }
}

fn corrupt() -> Error {
    Error::new(Code::Internal).because("the placeholders of a conversation cannot be read")
}

impl Placeholders {
    /// Restores the output of [`Placeholders::unsaved`], as opened by the vault.
    ///
    /// # Errors
    /// `internal` for any other bytes.
    pub fn open(bytes: &[u8], kept: Kept) -> Result<Self> {
        let read = || {
            let (key, rest) = bytes.split_first_chunk::<KEY>()?;
            let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (names, originals) = rest.split_at_checked(length)?;
            let names = Numbering::load(key, std::str::from_utf8(names).ok()?).ok()?;
            let originals = Originals::from_bytes(originals).ok()?;
            let saved = originals.len();
            let key = Zeroizing::new(*key);
            Some(State { key, masks: Masks::of(names, originals), saved, kept: Some(kept), found: 0 })
        };
        read().map(|state| Self(Arc::new(Mutex::new(state)))).ok_or_else(corrupt)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a scan that may add placeholders.
    pub(in crate::control) fn scan<T>(&self, scan: impl FnOnce(&mut Masks) -> T) -> T {
        self.with(|state| scan(&mut state.masks))
    }

    /// Counts the findings in one text.
    pub(in crate::control) fn finds(&self, count: usize) {
        if count > 0 {
            self.with(|state| state.found = state.found.saturating_add(count as u64));
        }
    }

    /// Returns the number of findings in all texts screened with these placeholders since they were opened.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.with(|state| state.found)
    }

    /// Returns whether there is any placeholder. An answer that contains one has a meaning in this conversation only.
    #[must_use]
    pub fn any(&self) -> bool {
        self.with(|state| state.masks.any())
    }

    /// Returns the state as bytes for a vault, with the entry to replace, if something was added since it was last
    /// kept.
    #[must_use]
    pub fn unsaved(&self) -> Option<(Zeroizing<Vec<u8>>, Option<Kept>)> {
        self.with(|state| {
            let originals = state.masks.originals().to_bytes();
            if state.masks.originals().len() == state.saved {
                return None;
            }
            let names = state.masks.names().store();
            let length = u32::try_from(names.len()).ok()?;
            let mut bytes = Zeroizing::new(state.key.to_vec());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(names.as_bytes());
            bytes.extend_from_slice(&originals);
            Some((bytes, state.kept))
        })
    }

    /// Returns the version in the vault that the state was read from or kept as; 0 if there is none.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.with(|state| state.kept.map_or(0, Kept::version))
    }

    /// Records that the present state is in a commit.
    pub fn saved(&self, kept: Kept) {
        self.with(|state| (state.saved, state.kept) = (state.masks.originals().len(), Some(kept)));
    }

    /// Replaces placeholders of these labels by their values.
    #[must_use]
    pub fn restore(&self, text: &str, labels: &[String]) -> String {
        self.with(|state| {
            state.masks.originals().restore(text, |label| labels.iter().any(|may| may == label))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_to_be_kept_and_comes_back_for_its_label_only() {
        let names = Placeholders::default();
        assert!(names.unsaved().is_none() && !names.any());
        let placeholder = names.scan(|masks| masks.put("CARD", "4111"));
        let (bytes, before) = names.unsaved().expect("something was added");
        assert!(before.is_none() && names.any());
        assert_eq!(names.restore(&placeholder, &["CARD".to_owned()]), "4111");
        assert_eq!(names.restore(&placeholder, &["EMAIL".to_owned()]), placeholder);
        assert!(bytes.len() > KEY);
    }
}

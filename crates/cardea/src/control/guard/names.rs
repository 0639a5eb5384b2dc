//! The placeholders of one conversation: `[CARD_1]` means the same card in every turn of it, also after a restart.
//!
//! The numbers and the values behind them leave memory only as bytes for a vault. A value comes back only through
//! [`Names::restore`], for the labels that its caller allows.

use std::sync::{Arc, Mutex, PoisonError};

use cardea_core::{
    Code, Error, Result,
    guard::{Masks, Originals, Placeholders},
    id::random_bits,
};
use zeroize::Zeroizing;

use crate::vault::Kept;

const KEY: usize = 32;

/// The placeholders of one conversation. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Names(Arc<Mutex<State>>);

struct State {
    key: Zeroizing<[u8; KEY]>,
    masks: Masks,
    /// How many values were there when it was last kept. They only get more.
    saved: usize,
    kept: Option<Kept>,
    /// What guardrails have found since it was opened.
    found: u64,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Default for Names {
    /// Those of a new conversation.
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

impl Names {
    /// Takes up what [`Names::unsaved`] gave, as the vault opened it.
    ///
    /// # Errors
    /// `internal` if these are other bytes.
    pub fn open(bytes: &[u8], kept: Kept) -> Result<Self> {
        let read = || {
            let (key, rest) = bytes.split_first_chunk::<KEY>()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (names, originals) = rest.split_at_checked(length)?;
            let names = Placeholders::load(key, std::str::from_utf8(names).ok()?).ok()?;
            let originals = Originals::from_bytes(originals).ok()?;
            let saved = originals.len();
            let key = Zeroizing::new(*key);
            Some(State { key, masks: Masks { names, originals }, saved, kept: Some(kept), found: 0 })
        };
        read().map(|state| Self(Arc::new(Mutex::new(state)))).ok_or_else(corrupt)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a scan that may find more.
    pub(in crate::control) fn scan<T>(&self, scan: impl FnOnce(&mut Masks) -> T) -> T {
        self.with(|state| scan(&mut state.masks))
    }

    /// Counts what was found in one text.
    pub(in crate::control) fn finds(&self, count: usize) {
        if count > 0 {
            self.with(|state| state.found = state.found.saturating_add(count as u64));
        }
    }

    /// How much guardrails have found in the texts that were screened with these, since they were opened.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.with(|state| state.found)
    }

    /// True if there is any placeholder. An answer that speaks of one means something in this conversation only.
    #[must_use]
    pub fn any(&self) -> bool {
        self.with(|state| !state.masks.originals.is_empty())
    }

    /// The whole as bytes for a vault, with what they replace, if something was added since they were last kept.
    #[must_use]
    pub fn unsaved(&self) -> Option<(Zeroizing<Vec<u8>>, Option<Kept>)> {
        self.with(|state| {
            let originals = state.masks.originals.to_bytes();
            if state.masks.originals.len() == state.saved {
                return None;
            }
            let names = state.masks.names.store();
            let length = u32::try_from(names.len()).ok()?;
            let mut bytes = Zeroizing::new(state.key.to_vec());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(names.as_bytes());
            bytes.extend_from_slice(&originals);
            Some((bytes, state.kept))
        })
    }

    /// Notes that everything so far is in a commit.
    pub fn saved(&self, kept: Kept) {
        self.with(|state| (state.saved, state.kept) = (state.masks.originals.len(), Some(kept)));
    }

    /// Puts the values back that stand behind placeholders of these labels.
    #[must_use]
    pub fn restore(&self, text: &str, labels: &[String]) -> String {
        self.with(|state| state.masks.originals.restore(text, |label| labels.iter().any(|may| may == label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_to_be_kept_and_comes_back_for_its_label_only() {
        let names = Names::default();
        assert!(names.unsaved().is_none() && !names.any());
        let placeholder = names.scan(|masks| {
            let name = masks.names.name("CARD", "4111");
            masks.originals.keep(&name, "4111");
            name
        });
        let (bytes, before) = names.unsaved().expect("something was added");
        assert!(before.is_none() && names.any());
        assert_eq!(names.restore(&placeholder, &["CARD".to_owned()]), "4111");
        assert_eq!(names.restore(&placeholder, &["EMAIL".to_owned()]), placeholder);
        assert!(bytes.len() > KEY);
    }
}

//! The stored form of an answer or a result: bytes that only this installation can read and make.

use std::{collections::BTreeSet, sync::Arc};

use cardea_core::message::Finish;
use cardea_store::shared::cache::{Key, Place, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::vault::Sealer;

/// Body of a record. Field names are short, since they are stored with every entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// An answer to a question.
    #[serde(rename = "a")]
    Answer {
        /// The question, normalised.
        #[serde(rename = "q")]
        question: String,
        #[serde(rename = "t")]
        text: String,
        #[serde(rename = "f")]
        finish: Finish,
        /// Tokens that generating it took.
        #[serde(rename = "n")]
        tokens: u64,
        #[serde(rename = "m")]
        micros: u64,
        /// Sources of untrusted text in the turn that generated it. Absent in older entries, for which they are
        /// unknown.
        #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
        taint: Option<BTreeSet<String>>,
    },
    /// Result of a reading tool.
    #[serde(rename = "r")]
    Result(Value),
}

/// Protection of bodies.
#[derive(Debug)]
pub enum Seal {
    /// None: entries never leave this process.
    Own,
    /// Sealed, since others could read and change what is in the store.
    Sealed(Arc<Sealer>),
}

/// Returns what the seal covers beside the body: the key, and everything else of the record.
fn beside(key: &Key, record: &Record) -> Vec<u8> {
    [key.0.as_slice(), &record.head()].concat()
}

impl Seal {
    /// Puts the body into its record. `None` if it cannot be protected and so must not be kept.
    pub(super) fn close(&self, place: &Place, key: &Key, mut record: Record, body: &Entry) -> Option<Record> {
        let plain = serde_json::to_vec(body).ok()?;
        record.body = match self {
            Self::Own => plain.into(),
            Self::Sealed(sealer) => sealer.seal(&place.0, &beside(key, &record), &plain)?.into(),
        };
        Some(record)
    }

    /// Returns the body of a record found at this place. `None` if this installation has not made it for that place.
    pub(super) fn open(&self, place: &Place, key: &Key, record: &Record) -> Option<Entry> {
        match self {
            Self::Own => serde_json::from_slice(&record.body).ok(),
            Self::Sealed(sealer) => {
                let plain = sealer.open(&place.0, &beside(key, record), &record.body)?;
                serde_json::from_slice(&plain).ok()
            }
        }
    }
}

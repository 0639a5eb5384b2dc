//! What is kept of an answer or a result, as bytes that only this installation can read and make.

use std::{collections::BTreeSet, sync::Arc};

use cardea_core::message::Finish;
use cardea_store::shared::cache::{Key, Place, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::vault::Sealer;

/// The body of a record. Short names, since each is kept with every entry.
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
        /// What it had cost to make.
        #[serde(rename = "n")]
        tokens: u64,
        #[serde(rename = "m")]
        micros: u64,
        /// Where untrusted text came into the turn that made it. Absent: an entry of before, of which nobody knows.
        #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
        taint: Option<BTreeSet<String>>,
    },
    /// What a reading tool returned.
    #[serde(rename = "r")]
    Result(Value),
}

/// How bodies are protected.
#[derive(Debug)]
pub enum Seal {
    /// Not at all: they never leave this process.
    Own,
    /// Sealed, since others could read and change what lies in the store.
    Sealed(Arc<Sealer>),
}

/// What the seal covers beside the body: the key, and everything else of the record.
fn beside(key: &Key, record: &Record) -> Vec<u8> {
    [key.0.as_slice(), &record.head()].concat()
}

impl Seal {
    /// Puts the body into its record. `None`: it cannot be protected, so it must not be kept.
    pub(super) fn close(&self, place: &Place, key: &Key, mut record: Record, body: &Entry) -> Option<Record> {
        let plain = serde_json::to_vec(body).ok()?;
        record.body = match self {
            Self::Own => plain.into(),
            Self::Sealed(sealer) => sealer.seal(&place.0, &beside(key, &record), &plain)?.into(),
        };
        Some(record)
    }

    /// The body of a record that was found there. `None`: nobody of us has made it so.
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

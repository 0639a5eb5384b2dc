//! Secrets whose refusal the audit log has recorded, so that each is recorded once and not at each attempt.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Above this number all are forgotten, and recorded again.
const MOST: usize = 10_000;

/// Secrets that could not be opened at the last attempt of this process, by id.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Cause>>);

/// Refused version of a secret, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) version: i64,
    /// The key of its person is missing; otherwise the row does not open.
    pub(super) keyless: bool,
}

impl Refusals {
    /// Notes a refusal; `None` if the audit log has it already.
    pub(super) fn news(&self, id: &str, cause: Cause) -> Option<News<'_>> {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        (known.insert(id.to_owned(), cause) != Some(cause)).then(|| News {
            refusals: self,
            id: id.to_owned(),
            written: false,
        })
    }

    /// Notes that a secret opens: its next refusal is recorded again.
    pub(super) fn opened(&self, id: &str) {
        self.known().remove(id);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Cause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refusal that the audit log must record. INVARIANT: one that is dropped before it is written is recorded at the next
/// attempt.
#[must_use]
pub(super) struct News<'a> {
    refusals: &'a Refusals,
    id: String,
    written: bool,
}

impl News<'_> {
    pub(super) fn written(mut self) {
        self.written = true;
    }
}

impl Drop for News<'_> {
    fn drop(&mut self) {
        if !self.written {
            self.refusals.opened(&self.id);
        }
    }
}

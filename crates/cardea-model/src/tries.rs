//! The provider calls that one answer took, each with its own model, duration and result.

use cardea_core::{message::Usage, time::Millis};
use tokio::time::Instant;

/// The calls for one answer. Filled in as they happen, so that it is also correct for work that was given up.
#[derive(Debug, Default)]
pub struct Tries<'m> {
    /// Failed calls, in order.
    pub failed: Vec<Tried<'m>>,
    /// The call that gives the answer, or that was in progress when the waiting ended.
    pub now: Option<Trying<'m>>,
}

/// A failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried<'m> {
    /// Name of the model at its provider.
    pub model: &'m str,
    /// Name of the trouble, or of a code.
    pub outcome: &'static str,
    /// Duration.
    pub took: Millis,
    /// Tokens that the provider has read and written all the same.
    pub spent: Usage,
}

/// A call in progress.
#[derive(Debug, Clone, Copy)]
pub struct Trying<'m> {
    /// Name of the model at its provider.
    pub model: &'m str,
    /// Time to the first piece of its answer, once that is available.
    pub first: Option<Millis>,
    /// Bytes written that are not visible yet: thoughts, and pieces of calls.
    pub unseen: usize,
    since: Instant,
}

impl Trying<'_> {
    /// Returns the duration so far.
    #[must_use]
    pub fn so_far(&self) -> Millis {
        Millis::from(self.since.elapsed())
    }
}

impl<'m> Tries<'m> {
    pub(crate) fn begins(&mut self, model: &'m str) {
        self.now = Some(Trying { model, first: None, unseen: 0, since: Instant::now() });
    }

    pub(crate) fn answers(&mut self) {
        if let Some(trying) = &mut self.now {
            trying.first = Some(trying.so_far());
        }
    }

    pub(crate) fn unseen(&mut self, bytes: usize) {
        if let Some(trying) = &mut self.now {
            trying.unseen = trying.unseen.saturating_add(bytes);
        }
    }

    pub(crate) fn failed(&mut self, outcome: &'static str, spent: Usage) {
        if let Some(trying) = self.now.take() {
            self.failed.push(Tried { model: trying.model, outcome, took: trying.so_far(), spent });
        }
    }
}

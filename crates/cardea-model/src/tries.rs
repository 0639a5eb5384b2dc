//! The calls of providers that one answer took: each is told with its own model, its own time and how it ended.

use cardea_core::{message::Usage, time::Millis};
use tokio::time::Instant;

/// What was asked for one answer. Filled in as it happens, so that it tells the truth also of work that was given up.
#[derive(Debug, Default)]
pub struct Tries<'m> {
    /// Those that came to nothing, in order.
    pub failed: Vec<Tried<'m>>,
    /// The one that gives the answer, or that was under way when the waiting ended.
    pub now: Option<Trying<'m>>,
}

/// One call that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried<'m> {
    /// The model as its provider calls it.
    pub model: &'m str,
    /// The trouble's name, or a code's.
    pub outcome: &'static str,
    /// How long it took.
    pub took: Millis,
    /// What the provider has read and written for it all the same.
    pub spent: Usage,
}

/// One call on its way.
#[derive(Debug, Clone, Copy)]
pub struct Trying<'m> {
    /// The model as its provider calls it.
    pub model: &'m str,
    /// How long the first piece of its answer took, once that is there.
    pub first: Option<Millis>,
    /// Bytes that it has written and of which nobody has seen anything: thoughts, and pieces of calls.
    pub unseen: usize,
    since: Instant,
}

impl Trying<'_> {
    /// How long it has taken so far.
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

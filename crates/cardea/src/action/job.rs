//! One piece of work for an executor.

use cardea_core::{
    saga::Way,
    time::Millis,
    tool::{Attempt, Effect, Outcome, ToolCall},
    trace::Along,
};

/// A call that is to be made now.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The tool and its arguments.
    pub call: &'a ToolCall,
    /// The idempotency key: the same each time that this work is tried.
    pub key: &'a str,
    /// What the permit calls this call.
    pub digest: &'a str,
    /// True if an earlier try may have reached the service: it was on its way when its process ended.
    pub again: bool,
    /// How long it may take.
    pub within: Within,
    /// The span from which it is called. Whoever is called is told of it.
    pub trace: Option<Along<'a>>,
}

impl Job<'_> {
    /// This try of it, by a tool with this effect.
    pub(super) const fn attempt(&self, effect: Effect) -> Attempt {
        Attempt { effect, again: self.again }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Acted {
    /// As far as it is known, and as much of the answer as may go on.
    pub outcome: Outcome,
    /// What takes it back, if it is done and its author says what does. It is made from the whole answer, before anything
    /// of it is left out.
    pub way: Option<Way>,
}

impl From<Outcome> for Acted {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, way: None }
    }
}

/// A limit of time, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// How long.
    pub time: Millis,
    /// Whose limit it is, in words for people.
    pub whose: &'static str,
}

impl Within {
    /// The shorter of two limits.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if other.time < self.time { other } else { self }
    }

    /// What is said of a service that took longer.
    #[must_use]
    pub fn passed(self) -> String {
        format!("did not answer within {}, which is {}", self.time, self.whose)
    }
}

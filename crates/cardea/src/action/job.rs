//! The call that an executor is given, and what it returns.

use cardea_core::{
    saga::Way,
    time::Millis,
    tool::{Attempt, Effect, Outcome, ToolCall},
    trace::Along,
};

/// A call to make now.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The tool and its arguments.
    pub call: &'a ToolCall,
    /// The idempotency key: the same for every try of this work.
    pub key: &'a str,
    /// The digest by which the permit identifies this call.
    pub digest: &'a str,
    /// True if an earlier try may have reached the service: it was in flight when its process ended.
    pub again: bool,
    /// How long it may take.
    pub within: Within,
    /// The span from which it is called, which is passed on to the service.
    pub trace: Option<Along<'a>>,
}

impl Job<'_> {
    /// Returns this try, by a tool with this effect.
    pub(super) const fn attempt(&self, effect: Effect) -> Attempt {
        Attempt { effect, again: self.again }
    }
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Acted {
    /// The outcome as far as it is known, with as much of the answer as may be passed on.
    pub outcome: Outcome,
    /// The undo, if the call succeeded and its author declares one. It is built from the whole answer, before anything
    /// is cut.
    pub way: Option<Way>,
}

impl From<Outcome> for Acted {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, way: None }
    }
}

/// A time limit, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// The limit.
    pub time: Millis,
    /// Whose limit it is, in words for people.
    pub whose: &'static str,
}

impl Within {
    /// Returns the shorter of two limits.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if other.time < self.time { other } else { self }
    }

    /// Returns the text about a service that took longer.
    #[must_use]
    pub fn passed(self) -> String {
        format!("did not answer within {}, which is {}", self.time, self.whose)
    }
}

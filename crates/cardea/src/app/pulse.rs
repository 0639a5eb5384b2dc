//! Whether this node keeps up its periodic duties: renewing its lease, and learning of revocations.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Time without a written heartbeat after which this node reports that it is not ready, before other nodes take its
/// turns over.
const WRITTEN: Duration = Duration::from_secs(8);

/// Time without news of revocations after which it does so too, long before it refuses all tokens.
const LEARNT: Duration = Duration::from_secs(5);

/// Times of the last successes. No trouble is reported if the upkeep does not run at all.
#[derive(Debug, Default)]
pub struct Pulse {
    written: Mutex<Option<Instant>>,
    learnt: Mutex<Option<Instant>>,
    leaving: AtomicBool,
}

impl Pulse {
    /// Records that a heartbeat was written.
    pub fn written(&self) {
        beat(&self.written);
    }

    /// Records that revocations were learnt.
    pub fn learnt(&self) {
        beat(&self.learnt);
    }

    /// Records that this node will stop soon.
    pub fn leaves(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Returns whether this node will stop soon.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Returns the duty that is overdue.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        if is_older(&self.written, WRITTEN) {
            return Some("nothing can be written to the database");
        }
        is_older(&self.learnt, LEARNT).then_some("what was revoked on other nodes is not known")
    }
}

fn beat(last: &Mutex<Option<Instant>>) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

fn is_older(last: &Mutex<Option<Instant>>, than: Duration) -> bool {
    last.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() > than)
}

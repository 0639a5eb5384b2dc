//! Whether this node still does what it must do all the time: show that it lives, and learn what was revoked.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Without a written heartbeat for so long this node says that it is not ready: before others take its turns over.
const WRITTEN: Duration = Duration::from_secs(8);

/// Without news of revocations for so long it says so as well: long before it refuses all tokens.
const LEARNT: Duration = Duration::from_secs(5);

/// When each was last done. Nothing is said of an installation whose upkeep does not run.
#[derive(Debug, Default)]
pub struct Pulse {
    written: Mutex<Option<Instant>>,
    learnt: Mutex<Option<Instant>>,
    leaving: AtomicBool,
}

impl Pulse {
    /// A heartbeat was written.
    pub fn written(&self) {
        beat(&self.written);
    }

    /// It is known what was revoked.
    pub fn learnt(&self) {
        beat(&self.learnt);
    }

    /// This node will stop soon.
    pub fn leaves(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// True if it said so.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// What has not been done for too long.
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

//! Keeps answers for a client that disconnected and asks again without an idempotency key.
//!
//! WHY: OpenAI's client libraries disconnect at their timeout and send the request again by themselves, without an
//! idempotency key. The second try gets the answer of the first one, and the turn runs once. An answer that was
//! delivered is not kept: the same question asked twice on purpose is two turns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cardea_core::{
    Result,
    time::{Millis, SharedClock, Timestamp},
};
use tokio::sync::oneshot;

use super::Receipt;

/// A pending answer.
pub type Coming = oneshot::Receiver<Result<Receipt>>;

/// How long an answer is kept after its client has disconnected. The libraries retry within seconds.
const LIFE: Millis = Millis::from_secs(60);

/// Limit of kept answers; answers of further clients are not kept.
const MOST: usize = 1_024;

/// The kept answers, each under a name made from its request. They belong to this process; other nodes do
/// not know them.
#[derive(Clone)]
pub struct Unheard {
    clock: SharedClock,
    kept: Arc<Mutex<Vec<Kept>>>,
}

struct Kept {
    name: String,
    since: Timestamp,
    answer: Coming,
}

impl Unheard {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, kept: Arc::default() }
    }

    /// Waits for an answer; `None` if its turn ended without one. If the caller is dropped while waiting, the answer
    /// is kept under `name`.
    pub async fn hear(&self, name: Option<String>, answer: Coming) -> Option<Result<Receipt>> {
        let mut waiting = Waiting { unheard: self, name, answer: Some(answer) };
        let heard = waiting.answer.as_mut()?.await;
        waiting.answer = None;
        heard.ok()
    }

    /// Returns the oldest kept answer under this name that has not expired.
    #[must_use]
    pub fn take(&self, name: &str) -> Option<Coming> {
        let mut kept = self.fresh();
        let at = kept.iter().position(|one| one.name == name)?;
        Some(kept.remove(at).answer)
    }

    /// Returns the number of kept answers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.fresh().len()
    }

    fn keep(&self, name: String, answer: Coming) {
        let mut kept = self.fresh();
        if kept.len() < MOST {
            kept.push(Kept { name, since: self.clock.now(), answer });
        }
    }

    /// Removes expired answers and returns the rest.
    fn fresh(&self) -> MutexGuard<'_, Vec<Kept>> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| now.since(one.since) <= LIFE);
        kept
    }
}

/// A client that waits, until dropped.
struct Waiting<'u> {
    unheard: &'u Unheard,
    name: Option<String>,
    answer: Option<Coming>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let (Some(name), Some(answer)) = (self.name.take(), self.answer.take()) {
            self.unheard.keep(name, answer);
        }
    }
}

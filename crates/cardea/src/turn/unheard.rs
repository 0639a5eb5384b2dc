//! Answers kept for a client that hung up and asks again without an idempotency key.
//!
//! WHY: OpenAI's client libraries hang up when their time is over and send the request again by themselves, without an
//! idempotency key. The second try takes over the answer that the first one has not heard, and the turn runs once. What
//! was heard is not kept: the same question asked twice on purpose is two turns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cardea_core::{
    Result,
    time::{Millis, SharedClock, Timestamp},
};
use tokio::sync::oneshot;

use super::Receipt;

/// An answer on its way.
pub type Coming = oneshot::Receiver<Result<Receipt>>;

/// How long after the client has gone it may come again for its answer. The libraries do so within seconds.
const LIFE: Millis = Millis::from_secs(60);

/// Most answers that are kept; those of further clients are not.
const MOST: usize = 1_024;

/// The answers, each under what the request was. They are this process's own: another node does not know of them.
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

    /// Waits for an answer; `None` if its turn ended without a word. If the waiting is given up, the answer is kept under
    /// `name`.
    pub async fn hear(&self, name: Option<String>, answer: Coming) -> Option<Result<Receipt>> {
        let mut waiting = Waiting { unheard: self, name, answer: Some(answer) };
        let heard = waiting.answer.as_mut()?.await;
        waiting.answer = None;
        heard.ok()
    }

    /// The oldest answer under this name, if one is kept and its time is not over.
    #[must_use]
    pub fn take(&self, name: &str) -> Option<Coming> {
        let mut kept = self.fresh();
        let at = kept.iter().position(|one| one.name == name)?;
        Some(kept.remove(at).answer)
    }

    /// How many are kept.
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

    /// Those whose time is not over.
    fn fresh(&self) -> MutexGuard<'_, Vec<Kept>> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| now.since(one.since) <= LIFE);
        kept
    }
}

/// Somebody who waits, until dropped.
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

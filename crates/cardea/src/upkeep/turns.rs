//! Takes up turns that nobody works on: after a crash, after a person's decision, or from a node that is gone.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cardea_core::{Code, Error, Result, Retry, id::TurnId};
use futures::FutureExt as _;
use tokio::time::Instant;

use crate::{app::App, flow::resume_one};

/// The most turns taken up in one round.
const ROUND: u32 = 64;

/// How often to look for free turns when no decision announces one.
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// The first pause after a turn could not be taken up. It doubles each time, up to [`RARELY`].
const AGAIN: Duration = Duration::from_secs(2);

/// The longest pause.
const RARELY: Duration = Duration::from_secs(60);

/// The longest pause when the trouble may soon be over: a server returns, or a place becomes free.
const SOON: Duration = Duration::from_secs(10);

/// Turns that are in hand, and turns that could not be taken up or broke off.
#[derive(Clone, Default)]
struct LeftAlone(Arc<Mutex<HashMap<TurnId, Pause>>>);

/// How long one turn is left alone.
struct Pause {
    /// `None` while it is in hand.
    until: Option<Instant>,
    /// The length of the last pause; zero if there was none.
    length: Duration,
}

impl LeftAlone {
    fn lock(&self) -> MutexGuard<'_, HashMap<TurnId, Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many there are, for a query that must see beyond them.
    fn count(&self) -> u32 {
        u32::try_from(self.lock().len()).unwrap_or(u32::MAX)
    }

    /// Takes a turn in hand, until its result is noted. Returns false if it is to be left alone.
    fn take(&self, id: TurnId) -> bool {
        let mut all = self.lock();
        let pause = all.entry(id).or_insert(Pause { until: Some(Instant::now()), length: Duration::ZERO });
        let is_over = pause.until.is_some_and(|until| Instant::now() >= until);
        if is_over {
            pause.until = None;
        }
        is_over
    }

    fn note(&self, id: TurnId, error: Option<&Error>) {
        let mut all = self.lock();
        let before = all.remove(&id).map_or(Duration::ZERO, |pause| pause.length);
        all.retain(|_, pause| pause.until.is_none_or(|until| until.elapsed() <= pause.length * 2)); // ended elsewhere
        let Some(error) = error else { return };
        let most = if error.code().retry() == Retry::Never { RARELY } else { SOON };
        let length = (before * 2).clamp(AGAIN, most);
        all.insert(id, Pause { until: Some(Instant::now() + length), length });
    }
}

/// Takes up free turns, for as long as this runs.
pub(super) async fn watch(app: App) {
    let (mut decided, alone) = (app.control.decided(), LeftAlone::default());
    loop {
        let mut found = app.turns.free(ROUND.saturating_add(alone.count())).await.unwrap_or_default();
        found.retain(|free| alone.take(free.id));
        let none = found.is_empty();
        if !none {
            // WHY: a dead node's share of a budget must not block others until the next heartbeat.
            drop(app.control.forget_dead_nodes().await);
        }
        for free in found {
            let (app, alone) = (app.clone(), alone.clone());
            app.jobs.clone().spawn("resume", async move {
                let resumed = caught(resume_one(&app, &free)).await;
                alone.note(free.id, resumed.as_ref().err());
                if let Err(error) = resumed {
                    tracing::warn!(turn.id = %free.id, error.code = error.code().name(), cause = error.cause_line(), "not resumed");
                }
            });
        }
        if !none {
            // The same rows must not be found again before their new owners have claimed them.
            tokio::task::yield_now().await;
        }
        tokio::select! {
            () = decided.heard() => {}
            () = tokio::time::sleep(ROUND_PAUSE) => {}
        }
    }
}

/// Returns the result of one turn, even if its task panicked.
async fn caught(resumed: impl Future<Output = Result<()>>) -> Result<()> {
    let panicked = |_| Err(Error::new(Code::Internal).because("it panicked"));
    AssertUnwindSafe(resumed).catch_unwind().await.unwrap_or_else(panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_that_cannot_be_taken_up_is_left_alone_for_longer_each_time() {
        let (alone, id) = (LeftAlone::default(), TurnId::random());
        let (broken, soon) = (Error::new(Code::Internal), Error::new(Code::UpstreamSilent));
        let pause = || alone.lock().get(&id).map(|pause| pause.length.as_secs());
        let pauses = |error: &Error| {
            [(); 7].map(|()| {
                alone.note(id, Some(error));
                assert!(!alone.take(id));
                pause().unwrap()
            })
        };
        assert_eq!(pauses(&soon), [2, 4, 8, 10, 10, 10, 10], "its server may be back in a moment");
        alone.note(id, None);
        assert_eq!(pauses(&broken), [2, 4, 8, 16, 32, 60, 60]);
        alone.note(id, None);
        assert_eq!(alone.count(), 0);
        assert!(alone.take(id));
    }

    #[tokio::test(start_paused = true)]
    async fn the_pauses_grow_however_long_it_takes_to_find_out_that_a_turn_cannot_be_taken_up() {
        let (alone, id) = (LeftAlone::default(), TurnId::random());
        let silent = Error::new(Code::StoreUnavailable);
        for wanted in [2, 4, 8, 10, 10] {
            assert!(alone.take(id), "its pause is over");
            tokio::time::advance(Duration::from_secs(30)).await;
            assert!(!alone.take(id), "it is in hand");
            alone.note(TurnId::random(), None); // another one is done meanwhile
            alone.note(id, Some(&silent));
            tokio::time::advance(Duration::from_secs(wanted) - Duration::from_millis(1)).await;
            assert!(!alone.take(id), "{wanted} s");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_turn_whose_task_panics_is_left_alone_as_well() {
        let broke_off = caught(async { panic!("poison") }).await.unwrap_err();
        assert_eq!((broke_off.code(), broke_off.code().retry()), (Code::Internal, Retry::Never));
    }
}

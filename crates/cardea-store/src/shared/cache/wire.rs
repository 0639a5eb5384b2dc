//! Shared by remote stores: time limits, and a pause after a failure.

use std::{
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Away;

/// How long an unavailable store is not asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Remembers that a store is unavailable.
#[derive(Debug)]
pub(super) struct Wire {
    patience: Duration,
    away_until: Mutex<Option<Instant>>,
    told: AtomicBool,
    silent: AtomicBool,
    full: AtomicBool,
}

impl Wire {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            away_until: Mutex::new(None),
            told: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }

    /// Returns how long a question waits.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Returns whether a question was given up since the last call: its connection may be dead.
    pub(super) fn fell_silent(&self) -> bool {
        self.silent.swap(false, Ordering::Relaxed)
    }

    /// Logs once that a store is available but accepts no writes, and once that it does again.
    pub(super) fn took(&self, answer: &Result<(), Away>) {
        match answer {
            Err(why) if !self.full.swap(true, Ordering::Relaxed) => {
                tracing::warn!(error.cause = %why, "the cache's server takes no new answers; those it has are still given");
            }
            Ok(()) if self.full.swap(false, Ordering::Relaxed) => {
                tracing::info!("the cache's server takes new answers again");
            }
            _ => {}
        }
    }

    /// Asks, unless the store was just found to be unavailable.
    pub(super) async fn ask<T>(&self, work: impl Future<Output = Result<T, Away>>) -> Result<T, Away> {
        let away_until = *self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        if away_until.is_some_and(|until| Instant::now() < until) {
            return Err(Away("it did not answer a moment ago".to_owned()));
        }
        self.insist(work).await
    }

    /// Asks in any case.
    pub(super) async fn insist<T>(&self, work: impl Future<Output = Result<T, Away>>) -> Result<T, Away> {
        self.insist_for(self.patience, work).await
    }

    /// Asks in any case, with this time limit.
    pub(super) async fn insist_for<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, Away>>,
    ) -> Result<T, Away> {
        let answer = tokio::time::timeout(patience, work).await;
        let answer = answer.unwrap_or_else(|_| {
            self.silent.store(true, Ordering::Relaxed);
            Err(Away("it did not answer in time".to_owned()))
        });
        let mut away_until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Ok(_) => {
                *away_until = None;
                if self.told.swap(false, Ordering::Relaxed) {
                    tracing::info!("the cache's server answers again");
                }
            }
            Err(away) => {
                *away_until = Some(Instant::now() + PAUSE);
                // Once per outage, not per question.
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error.cause = %away, "answers are not cached until the server is back");
                }
            }
        }
        answer
    }
}

//! Single flight: a hundred equal questions at once make one model call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use tokio::sync::watch;

/// How long a question waits for an equal one before it.
const WAIT: Duration = Duration::from_secs(10);
/// How long a question is remembered whose answer was not kept. Such questions do not wait.
const ALONE: Duration = Duration::from_secs(60);
/// Number of such questions that are remembered.
const ALONE_MOST: u64 = 10_000;

/// Questions that are being answered now.
#[derive(Debug, Clone)]
pub(super) struct Flights(Arc<Air>);

#[derive(Debug)]
struct Air {
    /// For each question, whether its answer is kept already.
    ahead: Mutex<HashMap<String, watch::Sender<bool>>>,
    alone: Cache<String, ()>,
}

/// Who answers a question.
#[derive(Debug)]
pub(super) enum Lead {
    /// The caller: no one else is answering it, and others wait for the caller.
    First(Flight),
    /// No one: another request has answered it, and the answer is kept. Look again.
    Entry,
    /// The caller, for itself only: the answer is of no use to others.
    Alone,
}

/// The right to answer a question while others wait. Dropping it releases them.
#[derive(Debug)]
pub struct Flight {
    flights: Flights,
    key: String,
}

impl Flights {
    pub(super) fn new() -> Self {
        let alone = Cache::builder().max_capacity(ALONE_MOST).time_to_live(ALONE).build();
        Self(Arc::new(Air { ahead: Mutex::default(), alone }))
    }

    fn ahead(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<bool>>> {
        self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a request that is answering this question already, if that can help.
    pub(super) async fn lead(&self, key: &str) -> Lead {
        if self.0.alone.contains_key(key) {
            return Lead::Alone;
        }
        let mut landed = {
            let mut ahead = self.ahead();
            match ahead.get(key) {
                Some(first) => first.subscribe(),
                None => {
                    ahead.insert(key.to_owned(), watch::Sender::new(false));
                    return Lead::First(Flight { flights: self.clone(), key: key.to_owned() });
                }
            }
        };
        // Ends with an error if the flight ends and nothing was kept.
        match tokio::time::timeout(WAIT, landed.wait_for(|kept| *kept)).await {
            Ok(Ok(_)) => Lead::Entry,
            _ => Lead::Alone,
        }
    }

    /// Announces that the answer to this question is kept.
    pub(super) fn kept(&self, key: &str) {
        if let Some(first) = self.ahead().get(key) {
            first.send_replace(true);
        }
        self.0.alone.invalidate(key);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let kept = self.flights.ahead().remove(&self.key).is_some_and(|landed| *landed.borrow());
        if !kept {
            self.flights.0.alone.insert(self.key.clone(), ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_until_the_answer_of_the_first_is_kept() {
        let flights = Flights::new();
        let Lead::First(first) = flights.lead("q").await else { panic!("nobody is ahead") };
        assert!(matches!(flights.lead("other").await, Lead::First(_)), "another question does not wait");
        let second = flights.lead("q");
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        flights.kept("q");
        assert!(matches!(second.await, Lead::Entry));
        drop(first);
        assert!(matches!(flights.lead("q").await, Lead::First(_)), "the next one leads again");
    }

    #[tokio::test]
    async fn nobody_waits_for_an_answer_that_is_not_kept_and_the_next_do_not_either() {
        let flights = Flights::new();
        let Lead::First(first) = flights.lead("q").await else { panic!("nobody is ahead") };
        let (second, third) = (flights.lead("q"), flights.lead("q"));
        tokio::pin!(second, third);
        assert!(futures::poll!(&mut second).is_pending() && futures::poll!(&mut third).is_pending());
        drop(first);
        assert!(matches!((second.await, third.await), (Lead::Alone, Lead::Alone)), "all go at once");
        assert!(matches!(flights.lead("q").await, Lead::Alone), "it is remembered");
        flights.kept("q");
        assert!(matches!(flights.lead("q").await, Lead::First(_)), "until an answer is kept");
    }
}

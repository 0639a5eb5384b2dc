//! Single flight: a hundred equal questions at once make one model call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// How long a question waits for an equal one that came before it.
const WAIT: Duration = Duration::from_secs(10);

type Waiters = Arc<Mutex<HashMap<String, watch::Receiver<()>>>>;

/// Questions that somebody is answering now.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights(Waiters);

/// The right to answer a question alone. Dropping it lets the others look again.
#[derive(Debug)]
pub struct Flight {
    flights: Flights,
    key: String,
    _landed: watch::Sender<()>,
}

impl Flights {
    /// The right to answer, or `None` once the one who had it is done.
    pub(super) async fn lead(&self, key: &str) -> Option<Flight> {
        let mut ahead = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(key) {
                Some(ahead) => ahead.clone(),
                None => {
                    let (landed, waiters) = watch::channel(());
                    flights.insert(key.to_owned(), waiters);
                    return Some(Flight { flights: self.clone(), key: key.to_owned(), _landed: landed });
                }
            }
        };
        // Ends with an error as soon as the sender is dropped: that is the landing.
        drop(tokio::time::timeout(WAIT, ahead.changed()).await);
        None
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_until_the_first_has_landed() {
        let flights = Flights::default();
        let first = flights.lead("q").await.expect("nobody is ahead");
        assert!(flights.lead("other").await.is_some(), "another question does not wait");
        let second = flights.lead("q");
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.is_none());
        assert!(flights.lead("q").await.is_some(), "the next one leads again");
    }
}

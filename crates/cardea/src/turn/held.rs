//! The turns that this process is working on.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cardea_core::id::TurnId;
use tokio_util::sync::CancellationToken;

/// The turns that this process is working on, each with its stop token. A turn is in the set from its creation until
/// its value is dropped, in whatever way.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<TurnId, CancellationToken>>>);

/// An entry of the set, removed when dropped.
#[derive(Debug, Default)]
pub(super) struct Hold(Option<(Held, TurnId, CancellationToken)>);

impl Held {
    /// Adds a turn to the set; `None` if it is in it already.
    pub(super) fn hold(&self, turn: TurnId) -> Option<Hold> {
        match self.lock().entry(turn) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                let stop = place.insert(CancellationToken::new()).clone();
                Some(Hold(Some((self.clone(), turn, stop))))
            }
        }
    }

    /// Requests that a turn stops, if this process is working on it.
    pub(super) fn stop(&self, turn: TurnId) {
        if let Some(stop) = self.lock().get(&turn) {
            stop.cancel();
        }
    }

    /// Returns whether this process is working on the turn.
    pub(super) fn has(&self, turn: TurnId) -> bool {
        self.lock().contains_key(&turn)
    }

    /// Returns whether this process is working on no turn.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TurnId, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Returns a token that fires once the turn is to stop.
    pub(super) fn stop(&self) -> CancellationToken {
        self.0.as_ref().map(|(.., stop)| stop.clone()).unwrap_or_default()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((held, turn, _)) = self.0.take() {
            held.lock().remove(&turn);
        }
    }
}

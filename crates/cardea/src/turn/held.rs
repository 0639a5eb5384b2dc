//! Which turns this process has in hand.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cardea_core::id::TurnId;
use tokio_util::sync::CancellationToken;

/// The turns in hand, and whether their end was wished for. A turn is among them from its first moment until its value
/// is dropped, in whatever way.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<TurnId, CancellationToken>>>);

/// A place among them, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Hold(Option<(Held, TurnId, CancellationToken)>);

impl Held {
    /// Takes a turn in hand; `None` if somebody has it.
    pub(super) fn hold(&self, turn: TurnId) -> Option<Hold> {
        match self.lock().entry(turn) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                let stop = place.insert(CancellationToken::new()).clone();
                Some(Hold(Some((self.clone(), turn, stop))))
            }
        }
    }

    /// Wishes the end of a turn, if somebody in this process has it in hand.
    pub(super) fn stop(&self, turn: TurnId) {
        if let Some(stop) = self.lock().get(&turn) {
            stop.cancel();
        }
    }

    /// True if somebody in this process has it in hand.
    pub(super) fn has(&self, turn: TurnId) -> bool {
        self.lock().contains_key(&turn)
    }

    /// True if nobody has anything in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TurnId, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Fires once the end of its turn is wished for.
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

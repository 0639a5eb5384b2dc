//! Which turns this process has in hand.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cardea_core::id::TurnId;

/// The turns in hand, and whether their end was wished for here. A turn is among them from its first moment until its value
/// is dropped, in whatever way.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<TurnId, bool>>>);

/// A place among them, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Hold(Option<(Held, TurnId)>);

impl Held {
    /// Takes a turn in hand; `None` if somebody has it.
    pub(super) fn hold(&self, turn: TurnId) -> Option<Hold> {
        match self.lock().entry(turn) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(false);
                Some(Hold(Some((self.clone(), turn))))
            }
        }
    }

    /// Wishes the end of a turn, if somebody in this process has it in hand.
    pub(super) fn stop(&self, turn: TurnId) {
        self.lock().entry(turn).and_modify(|stopped| *stopped = true);
    }

    /// True if its end was wished for in this process.
    pub(super) fn is_stopped(&self, turn: TurnId) -> bool {
        self.lock().get(&turn).copied().unwrap_or(false)
    }

    /// True if somebody in this process has it in hand.
    pub(super) fn has(&self, turn: TurnId) -> bool {
        self.lock().contains_key(&turn)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TurnId, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((held, turn)) = self.0.take() {
            held.lock().remove(&turn);
        }
    }
}

//! Which turns this process has in hand.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use cardea_core::id::TurnId;

/// The set of turns in hand. A turn is in it from its first moment until its value is dropped, in whatever way.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashSet<TurnId>>>);

/// A place in the set, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Hold(Option<(Held, TurnId)>);

impl Held {
    /// Takes a turn in hand; `None` if somebody has it.
    pub(super) fn hold(&self, turn: TurnId) -> Option<Hold> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(turn);
        fresh.then(|| Hold(Some((self.clone(), turn))))
    }

    /// True if somebody in this process has it in hand.
    pub(super) fn has(&self, turn: TurnId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&turn)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((held, turn)) = self.0.take() {
            held.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&turn);
        }
    }
}

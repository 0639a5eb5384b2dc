//! Waits for the end of a turn that another node has taken over, on behalf of a client at this node.

use std::time::Duration;

use cardea_core::{
    Code, Error, Result,
    id::{ConversationId, TurnId},
    journal::TurnState,
    principal::Principal,
    time::Millis,
};

use super::{Receipt, Turn, Turns};

/// Longest pause between two queries for the end, in case the upkeep task that notifies of it is not running.
const LOOK: Duration = Duration::from_secs(5);

/// Data of a turn that is kept while it is worked on, to find it again after a takeover.
#[derive(Debug, Clone)]
pub struct Trail {
    id: TurnId,
    conversation: Option<ConversationId>,
    principal: Principal,
    /// Longest time that its new owner may work on it.
    time: Millis,
}

impl Turn {
    /// Returns the data to find the turn again.
    #[must_use]
    pub fn trail(&self) -> Trail {
        let (conversation, principal) = (self.asked.conversation, self.asked.principal.clone());
        Trail { id: self.id, conversation, principal, time: self.asked.limits.time }
    }
}

impl Trail {
    /// Returns the longest time that its new owner may work on the turn.
    #[must_use]
    pub fn time(&self) -> Millis {
        self.time
    }

    /// Returns the error for a client that cannot be told the end.
    fn lost(&self) -> Error {
        let Self { id, conversation, .. } = self;
        let talk = conversation.map(|talk| format!(" of the conversation `{talk}`")).unwrap_or_default();
        Error::new(Code::TakenOver).detail(format!(
            "It is the turn `{id}`{talk}, which goes on there: look at `/api/v1/turns/{id}`. Asked again without its \
             idempotency key, it would be done twice."
        ))
        .of_turn(*id, *conversation)
    }
}

impl Turns {
    /// Waits until the turn's new owner has ended or suspended it, and returns the new owner's receipt.
    ///
    /// # Errors
    /// `taken_over` after `patience`, and at once if the turn's conversation was deleted.
    pub async fn ended_elsewhere(&self, trail: &Trail, patience: Millis) -> Result<Receipt> {
        let mut following = self.follow(trail.id);
        let waiting = async {
            loop {
                // A database that is unavailable for a moment is asked again.
                if let Ok(found) = self.find(&trail.principal, trail.id).await
                    && found.status != TurnState::Running
                {
                    return found.receipt;
                }
                // Ends with a notification or after the pause.
                drop(tokio::time::timeout(LOOK, following.changed()).await);
            }
        };
        let found = tokio::time::timeout(patience.duration(), waiting).await;
        found.ok().flatten().ok_or_else(|| trail.lost())
    }
}

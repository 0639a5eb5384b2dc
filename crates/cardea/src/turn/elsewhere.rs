//! The end of a turn that another node has taken over, for whoever still waits for it here.

use std::time::Duration;

use cardea_core::{
    Code, Error, Result,
    id::{ConversationId, TurnId},
    journal::TurnState,
    principal::Principal,
    time::Millis,
};

use super::{Receipt, Turn, Turns};

/// How often to look for the end at least, also where the upkeep does not run that looks for all.
const LOOK: Duration = Duration::from_secs(5);

/// What is remembered of a turn while it is worked on, to find it again when it was taken over.
#[derive(Debug, Clone)]
pub struct Trail {
    id: TurnId,
    conversation: Option<ConversationId>,
    principal: Principal,
    /// How long its new owner may work on it at most.
    time: Millis,
}

impl Turn {
    /// How to find it again.
    #[must_use]
    pub fn trail(&self) -> Trail {
        let (conversation, principal) = (self.asked.conversation, self.asked.principal.clone());
        Trail { id: self.id, conversation, principal, time: self.asked.limits.time }
    }
}

impl Trail {
    /// How long its new owner may work on it at most.
    #[must_use]
    pub fn time(&self) -> Millis {
        self.time
    }

    /// The error for a client who is not told the end.
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
    /// Waits until the turn's new owner has ended it or laid it down, and gives that one's receipt.
    ///
    /// # Errors
    /// `taken_over` after this time, and at once if the turn's conversation was deleted.
    pub async fn ended_elsewhere(&self, trail: &Trail, patience: Millis) -> Result<Receipt> {
        let mut following = self.follow(trail.id);
        let waiting = async {
            loop {
                // A database that is away for a moment is asked again.
                if let Ok(found) = self.find(&trail.principal, trail.id).await
                    && found.status != TurnState::Running
                {
                    return found.receipt;
                }
                // Told at the next look, or looked for anyway.
                drop(tokio::time::timeout(LOOK, following.changed()).await);
            }
        };
        let found = tokio::time::timeout(patience.duration(), waiting).await;
        found.ok().flatten().ok_or_else(|| trail.lost())
    }
}

//! Stopping turns. A stop request is recorded in the turn's row; the owner of the turn interrupts its model and ends
//! the turn before the next step.

use cardea_core::{
    Code, Error, Result,
    id::{AgentName, ConversationId, RequestId, TurnId},
    journal::{StepState, TurnState},
    principal::Principal,
    time::Millis,
};
use cardea_store::{Commit, CommitError, Value, args};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Failure, Free, Turn, Turns};
use crate::observe::Entry;

/// Age below which a turn is not checked for stop requests from other nodes.
const YOUNG: Millis = Millis::from_secs(1);

/// Result of a stop request.
#[derive(Debug)]
pub enum Cancelled {
    /// The turn had ended before, or its steps were already being undone.
    Over,
    /// An owner is working on the turn and ends it before the next step.
    Soon,
    /// The turn waits for an approval and can be ended now.
    Now(Free),
}

/// Selects a set of open turns.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// The turns of a conversation.
    Talk(ConversationId),
    /// The turns of a person, by the key of the owner.
    Owner(&'a str),
}

impl Turn {
    /// Returns a token that fires once the turn is to stop.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.writing.held.stop()
    }

    /// Marks the turn as a check that sends words of this conversation to a model without belonging to it. The check
    /// stops when the conversation is deleted.
    #[must_use]
    pub fn checking(mut self, conversation: Option<ConversationId>) -> Self {
        self.checks = conversation;
        self
    }

    /// Returns whether a stop was requested.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.code == Code::Cancelled.name())
    }

    /// Returns whether its steps were being undone when its last owner stopped working on it.
    #[must_use]
    pub fn is_unwinding(&self) -> bool {
        let taken_back = |step: &super::Step| step.state == StepState::Compensated;
        self.failure.is_some() && (!self.is_cancelled() || self.steps.iter().any(taken_back))
    }
}

impl Turns {
    /// Requests that the caller's turn stops. Its completed steps are undone or reported, as at the end of a failed
    /// turn.
    ///
    /// # Errors
    /// `not_found`, or a store error.
    pub async fn cancel(&self, caller: &Principal, id: TurnId, request: RequestId) -> Result<Cancelled> {
        let found = self.find(caller, id).await?;
        if found.status.is_final() {
            return Ok(Cancelled::Over);
        }
        let saved = wish()?;
        let mut commit = Commit::new().guard(
            "turn",
            "UPDATE turns SET failure = $3 WHERE id = $1 AND owner = $2 AND ended_at IS NULL AND failure IS NULL",
            args![id, caller.key(), saved],
        );
        let detail = json!({ "status": found.status.name() });
        let entry = Entry {
            principal: caller,
            event: "turn.cancelled",
            turn: Some(id),
            step: None,
            tool: None,
            request: Some(request),
            detail,
        };
        self.inner.observe.audit(&mut commit, entry);
        match self.inner.db.commit(commit).await {
            Err(CommitError::Conflict("turn")) => return Ok(Cancelled::Over),
            other => other?,
        }
        self.inner.held.stop(id);
        let sql = "SELECT agent FROM turns WHERE id = $1 AND state = 'waiting'";
        let waits: Option<(AgentName,)> = self.inner.db.row(sql, args![id]).await?;
        Ok(waits.map_or(Cancelled::Soon, |(agent,)| Cancelled::Now(Free { id, agent })))
    }

    /// Returns rows that request these turns to stop, for the commit that deletes their messages.
    ///
    /// # Errors
    /// None is expected.
    pub fn stopping(&self, whose: Whose<'_>) -> Result<Commit> {
        let sql = match whose {
            Whose::Talk(_) => {
                "UPDATE turns SET failure = $1 WHERE conversation = $2 AND ended_at IS NULL AND failure IS NULL"
            }
            Whose::Owner(_) => {
                "UPDATE turns SET failure = $1 WHERE owner = $2 AND ended_at IS NULL AND failure IS NULL"
            }
        };
        let args = args![wish()?].into_iter().chain(whose.args()).collect();
        Ok(Commit::new().run(sql, args))
    }

    /// Completes [`Turns::stopping`] once its rows are written: stops the turns that this process is working on, and
    /// returns the unowned ones that can be ended now.
    ///
    /// # Errors
    /// Store errors.
    pub async fn stopped(&self, whose: Whose<'_>) -> Result<Vec<Free>> {
        let sql = match whose {
            Whose::Talk(_) => {
                "SELECT id, agent, state FROM turns WHERE conversation = $1 AND ended_at IS NULL"
            }
            Whose::Owner(_) => "SELECT id, agent, state FROM turns WHERE owner = $1 AND ended_at IS NULL",
        };
        let open: Vec<(TurnId, AgentName, String)> = self.inner.db.rows(sql, whose.args()).await?;
        open.iter().for_each(|(id, ..)| self.inner.held.stop(*id));
        let waits = |(_, _, state): &(TurnId, AgentName, String)| state == TurnState::Waiting.name();
        Ok(open.into_iter().filter(waits).map(|(id, agent, _)| Free { id, agent }).collect())
    }

    /// Stops turns of this process whose stop was requested at another node, with one query for all of them.
    ///
    /// # Errors
    /// Store errors.
    pub async fn heed_others(&self) -> Result<()> {
        if self.inner.held.is_empty() {
            return Ok(());
        }
        let sql = "SELECT id FROM turns WHERE node = $1 AND ended_at IS NULL AND state = 'running' \
                   AND failure IS NOT NULL";
        let stopped: Vec<(TurnId,)> = self.inner.db.rows(sql, args![&self.inner.node.name]).await?;
        stopped.into_iter().for_each(|(id,)| self.inner.held.stop(id));
        Ok(())
    }

    /// Refuses to continue a turn whose stop was requested (at this node: at once; at another node: after the turn's
    /// first second), or a check whose conversation was deleted.
    ///
    /// # Errors
    /// `cancelled`, or a store error.
    pub async fn still_wanted(&self, turn: &Turn) -> Result<()> {
        if turn.stop().is_cancelled() {
            return Err(Error::new(Code::Cancelled));
        }
        if let Some(conversation) = turn.checks {
            let sql = "SELECT id FROM conversations WHERE id = $1 AND deleted_at IS NULL";
            if self.inner.db.row::<(ConversationId,)>(sql, args![conversation]).await?.is_none() {
                return Err(Error::new(Code::Cancelled));
            }
        }
        // WHY: most turns have ended by then, and this query costs as much as all the rest of a read-only tool call.
        if self.now() < turn.started_at().plus(YOUNG) {
            return Ok(());
        }
        let sql = "SELECT failure FROM turns WHERE id = $1 AND failure IS NOT NULL";
        match self.inner.db.row::<(String,)>(sql, args![turn.id]).await? {
            Some(_) => Err(Error::new(Code::Cancelled)),
            None => Ok(()),
        }
    }
}

impl Whose<'_> {
    fn args(self) -> Vec<Value> {
        match self {
            Self::Talk(id) => args![id],
            Self::Owner(owner) => args![owner],
        }
    }
}

/// Returns the value in the row of a turn whose stop was requested.
fn wish() -> Result<String> {
    let failure = Failure::of(&Error::new(Code::Cancelled));
    serde_json::to_string(&failure).map_err(|error| Error::new(Code::Internal).because(error))
}

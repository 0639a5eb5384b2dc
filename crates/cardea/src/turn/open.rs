//! Takes over open turns: after a crash, after an approval, or from a node that is gone.

use cardea_core::{
    Result,
    id::{ApprovalId, DecisionId, StepId, ToolName, TurnId},
    journal::{Repeatable, StepState},
    tool::{Effect, ToolCall},
};
use cardea_store::{Commit, CommitError, FromRow, Row, RowError, args};
use serde_json::json;

use super::{
    Limits, Step, Turn, Turns,
    row::{TURN, TurnRow, corrupt, read_json},
};
use crate::{control::Screened, observe::Entry};

/// An open turn that this process has reserved but does not own: it can be read, but not written.
#[derive(Debug)]
pub struct Unclaimed {
    turn: Turn,
    /// True if the turn was running at another node or in an earlier process, whose owner stopped half way.
    taken_over: bool,
}

impl Unclaimed {
    /// Returns the turn in its present state.
    #[must_use]
    pub fn turn(&self) -> &Turn {
        &self.turn
    }
}

impl Turns {
    /// Reserves an open turn to see whether it can continue. The turn is not changed.
    ///
    /// `None` if it has ended, or if this process is already working on it.
    ///
    /// # Errors
    /// Store errors; `internal` if the row cannot be read.
    pub async fn look(&self, id: TurnId, limits: Limits) -> Result<Option<Unclaimed>> {
        // WHY: a turn that this process is working on is not free. A turn of this process that is in no task's hands
        // was dropped half way (the store was away, a task was cut off) and would otherwise wait for ever.
        let Some(held) = self.inner.held.hold(id) else { return Ok(None) };
        let node = &self.inner.node;
        let found = self.inner.db.row::<TurnRow>(TURN, args![id, &node.name, node.fence]).await?;
        let Some(row) = found else { return Ok(None) };
        let taken_over = row.taken_over;
        let mut turn = row.read(limits, held)?;
        let steps: Vec<StepRow> = self.inner.db.rows(STEPS, args![id]).await?;
        turn.steps = steps.into_iter().map(StepRow::read).collect::<Result<_>>()?;
        Ok(Some(Unclaimed { turn, taken_over }))
    }

    /// Makes this process the owner: the fencing number grows, and the former owner can no longer write.
    ///
    /// `None` if the turn has ended, has a living owner, or was taken by another process first.
    ///
    /// # Errors
    /// Store errors.
    pub async fn take(&self, open: Unclaimed) -> Result<Option<Turn>> {
        let Unclaimed { mut turn, taken_over } = open;
        let before = turn.writing.fence;
        turn.writing.fence += 1;
        turn.writing.tries += 1;
        turn.deadline = self.now().plus(turn.asked.limits.time);
        let mut commit = Commit::new().guard(
            "turn",
            "UPDATE turns SET state = 'running', waiting_for = NULL, receipt = NULL, node = $3, node_fence = $4, fence = fence + 1, \
             tries = tries + 1, updated_at = $5, deadline_at = $6 WHERE id = $1 AND fence = $2 AND (state = 'waiting' OR \
             (state = 'running' AND ((node = $3 AND node_fence <= $4) OR (node <> $3 AND NOT EXISTS \
             (SELECT 1 FROM leases WHERE name = 'node/' || turns.node AND fence = turns.node_fence AND expires_at > $5)))))",
            args![
                turn.id,
                before,
                &self.inner.node.name,
                self.inner.node.fence,
                self.now().0,
                turn.deadline.0
            ],
        );
        if taken_over {
            // The former owner is gone. Whatever it had asked a model, and not recorded, is unknown.
            let entry = Entry {
                principal: &turn.asked.principal,
                event: "turn.taken_over",
                turn: Some(turn.id),
                step: None,
                tool: None,
                request: Some(turn.asked.request),
                detail: json!({ "node": self.inner.node.name, "fence": turn.writing.fence }),
            };
            self.inner.observe.audit(&mut commit, entry);
        }
        match self.inner.db.commit(commit).await {
            Ok(()) => Ok(Some(turn)),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(CommitError::Unknown(_)) if self.arrived(&turn).await => Ok(Some(turn)),
            Err(error) => Err(error.into()),
        }
    }

    /// Combines [`Turns::look`] and [`Turns::take`].
    #[cfg(test)]
    pub(super) async fn claim(&self, id: TurnId, limits: Limits) -> Result<Option<Turn>> {
        match self.look(id, limits).await? {
            Some(open) => self.take(open).await,
            None => Ok(None),
        }
    }
}

/// The steps of a turn. [`StepRow`] reads these columns in this order.
const STEPS: &str = "SELECT id, number, call_id, tool, effect, safety, state, args, args_digest, approval, outcome, \
                     decision, undo, answer, said, thoughts FROM steps WHERE turn = $1 ORDER BY number";

struct StepRow {
    id: StepId,
    number: i64,
    call_id: String,
    tool: ToolName,
    effect: String,
    safety: String,
    state: String,
    arguments: String,
    digest: String,
    approval: Option<ApprovalId>,
    outcome: Option<String>,
    decision: Option<DecisionId>,
    undo: Option<String>,
    answer: u32,
    said: Option<String>,
    thoughts: Option<String>,
}

impl FromRow for StepRow {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        let mut row = row.in_order();
        Ok(Self {
            id: row.take()?,
            number: row.take()?,
            call_id: row.take()?,
            tool: row.take()?,
            effect: row.take()?,
            safety: row.take()?,
            state: row.take()?,
            arguments: row.take()?,
            digest: row.take()?,
            approval: row.take()?,
            outcome: row.take()?,
            decision: row.take()?,
            undo: row.take()?,
            answer: row.take()?,
            said: row.take()?,
            thoughts: row.take()?,
        })
    }
}

impl StepRow {
    fn read(self) -> Result<Step> {
        let arguments = serde_json::from_str(&self.arguments).map_err(|_| corrupt("args"))?;
        Ok(Step {
            id: self.id,
            number: self.number,
            call: ToolCall { id: self.call_id, name: self.tool.to_string(), arguments, written: None },
            tool: self.tool,
            effect: Effect::parse(&self.effect).ok_or_else(|| corrupt("effect"))?,
            repeatable: Repeatable::parse(&self.safety).ok_or_else(|| corrupt("safety"))?,
            state: StepState::parse(&self.state).ok_or_else(|| corrupt("step state"))?,
            digest: self.digest,
            approval: self.approval,
            outcome: read_json(self.outcome, "outcome")?.map(Screened::from_journal),
            durable: true,
            decision: self.decision,
            ruled: None,
            again: false,
            answer: self.answer,
            said: self.said,
            thoughts: read_json(self.thoughts, "thoughts")?,
            way: read_json(self.undo, "undo")?,
        })
    }
}

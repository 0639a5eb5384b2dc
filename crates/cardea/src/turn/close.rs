//! The last commit of a turn, and its suspension while it waits for an approval.

use cardea_core::{
    Code, Error, Result,
    id::{ApprovalId, MessageId},
    journal::{StepState, TurnState},
    message::{Finish, Message, estimate_tokens},
    tool::Outcome,
};
use cardea_store::args;
use serde_json::json;

use crate::{
    context::{Kept, Told},
    control::Screened,
};

use super::{Failure, Kind, Receipt, Start, Turn, Turns, lost, step::new_step};

/// How a turn ends.
#[derive(Debug)]
pub enum Ending {
    /// With an answer.
    Answer {
        /// The text.
        text: Screened<String>,
        /// Reason why the model stopped.
        finish: Finish,
    },
    /// With an error. Effects of its steps, if there were any, remain at least in part.
    Failed(Error),
    /// With an error, after its effects were undone.
    Unwound(Error),
    /// With an error, and an effect whose outcome is unknown.
    Unknown(Error),
}

impl Turns {
    /// Ends the turn: answer, cost, audit entry and receipt, in one commit.
    ///
    /// # Errors
    /// `taken_over` if another node owns the turn; store errors.
    pub async fn close(&self, mut turn: Turn, ending: Ending) -> Result<Receipt> {
        let (status, answer, finish, error) = match ending {
            Ending::Answer { text, finish } => {
                (TurnState::Answered, Some(text.into_inner()), Some(finish), None)
            }
            Ending::Failed(error) if !turn.has_effects() => (TurnState::Failed, None, None, Some(error)),
            // WHY hopeless: a repeat would do the work again, even if it was undone.
            Ending::Failed(error) => (TurnState::Failed, None, None, Some(error.hopeless())),
            Ending::Unwound(error) => (TurnState::Unwound, None, None, Some(error.hopeless())),
            Ending::Unknown(error) => (TurnState::Unknown, None, None, Some(error.hopeless())),
        };
        if let Some(error) = &error {
            self.give_up_waiting(&mut turn, error);
        }
        let said = answer.clone().or_else(|| error.as_ref().map(Error::public));
        let is_blank = said.as_deref().is_none_or(|said| said.trim().is_empty());
        let told = Told {
            error: error.as_ref().map(|error| error.code().name().to_owned()),
            finish: finish.filter(|finish| *finish != Finish::Stop || is_blank),
        };
        let mut receipt = self.receipt(&turn, status);
        receipt.answer = answer.filter(|_| turn.asked.kind != Kind::Check);
        receipt.finish = finish;
        receipt.error = error.as_ref().map(Failure::of);
        if turn.asked.kind == Kind::Check {
            // WHY: a service's words about a failure belong to the conversation too.
            receipt.tools.iter_mut().for_each(|used| (used.reason, used.not_undone) = (None, None));
            receipt.error = error.as_ref().map(|error| Failure::of(&Error::new(error.code())));
        }
        self.write_answer(&mut turn, said.as_deref(), told);
        let detail = json!({ "status": status.name(), "code": receipt.error.as_ref().map(|error| &error.code),
                             "cache": turn.cache.name(), "steps": turn.steps.len(), "tokens": turn.spending.usage.total(),
                             "cost_micros": turn.spending.cost_micros });
        self.audit(&mut turn, "turn.ended", None, detail);
        turn.writing.events += 1; // the end event, which the turn's row holds
        forget_if_deleted(&mut turn);
        let row = self.last_row(&turn, &receipt)?;
        self.commit(&mut turn, row).await.map_err(lost)?;
        self.count(&turn, &receipt);
        Ok(receipt)
    }

    /// Refuses the calls that still waited for an approval when the turn ended, and withdraws the approvals.
    fn give_up_waiting(&self, turn: &mut Turn, error: &Error) {
        let reason = match error.code() {
            Code::Cancelled => "It was stopped before it was decided.".to_owned(),
            _ => error.public(),
        };
        let waits = |step: &&super::Step| step.state == StepState::Waiting;
        let waiting: Vec<super::Step> = turn.steps.iter().filter(waits).cloned().collect();
        if waiting.is_empty() {
            return;
        }
        turn.run("UPDATE approvals SET state = 'expired' WHERE turn = $1 AND state = 'open'", args![turn.id]);
        for mut step in waiting {
            step.go(StepState::Refused);
            step.outcome = Some(Screened::own_words(Outcome::failed(&reason)));
            self.write_step(turn, &mut step, None);
            let detail = json!({ "code": error.code().name(), "reason_digest": self.digest(&reason),
                                 "args_digest": step.digest, "approval": step.approval });
            self.audit(turn, "step.refused", Some(&step), detail);
            self.put(turn, step);
        }
    }

    /// Suspends the turn until the approval is decided. The row of the step names the approval.
    ///
    /// # Errors
    /// As [`Turns::close`].
    pub async fn sleep(&self, mut turn: Turn, start: Start<'_>, approval: ApprovalId) -> Result<Receipt> {
        let known = turn
            .steps
            .iter()
            .position(|step| step.state == StepState::Waiting && step.digest == start.digest);
        let mut step = match known.map(|at| turn.steps.remove(at)) {
            Some(known) => known,
            None => new_step(&mut turn, &start),
        };
        step.go(StepState::Waiting);
        step.approval = Some(approval);
        step.rule(start.decision);
        let decision = step.decision;
        self.write_step(&mut turn, &mut step, decision);
        self.put(&mut turn, step.clone());
        let mut receipt = self.receipt(&turn, TurnState::Waiting);
        receipt.approval = Some(approval);
        let reason = start.decision.map(|ruled| ruled.reason.as_str());
        let detail = json!({ "approval": approval, "args_digest": step.digest, "decision": start.decision,
                             "reason": reason, "roles": turn.asked.principal.roles });
        self.audit(&mut turn, "step.waits", Some(&step), detail);
        self.event(
            &mut turn,
            "turn.waiting",
            &json!({ "approval": approval, "step": step.id, "tool": step.tool }),
        );
        let saved = serde_json::to_string(&receipt).unwrap_or_default();
        let (tokens, events) = (turn.spending.usage.total(), turn.writing.events);
        let values = args![turn.id, approval, saved, events, tokens, turn.spending.cost_micros];
        turn.run(
            "UPDATE turns SET state = 'waiting', waiting_for = $2, receipt = $3, events = $4, paid_tokens = $5, \
             paid_micros = $6 WHERE id = $1",
            values,
        );
        self.flush(&mut turn).await?;
        self.count(&turn, &receipt);
        Ok(receipt)
    }

    /// Updates the metrics. Bare calls are counted as calls, and checks of the cache by the cache.
    fn count(&self, turn: &Turn, receipt: &Receipt) {
        if turn.asked.kind == Kind::Chat {
            self.inner.observe.turn(receipt);
        }
    }

    pub(super) fn receipt(&self, turn: &Turn, status: TurnState) -> Receipt {
        Receipt {
            turn: turn.id,
            conversation: turn.asked.conversation,
            agent: turn.asked.agent.clone(),
            status,
            answer: None,
            finish: None,
            approval: None,
            error: None,
            cache: turn.cache,
            tools: turn.steps.iter().map(super::Step::used).collect(),
            usage: turn.spending.usage,
            cost_micros: turn.spending.cost_micros,
            took_ms: self.now().since(turn.asked.started),
        }
    }

    fn write_answer(&self, turn: &mut Turn, said: Option<&str>, told: Told) {
        let Some(conversation) = turn.asked.conversation else { return };
        let (now, id) = (self.now().0, conversation.to_string());
        let Some(said) = said else { return };
        let message = Message::Assistant { text: said.to_owned(), calls: Vec::new(), thoughts: None };
        let body = Kept { message, told };
        // A conversation deleted meanwhile keeps nothing: the update touches no row, and neither does the insert.
        turn.run(
            "UPDATE conversations SET open_turn = NULL, next_seq = next_seq + 1, updated_at = $3 \
             WHERE id = $1 AND open_turn = $2 AND deleted_at IS NULL",
            args![id.clone(), turn.id, now],
        );
        turn.run(
            "INSERT INTO messages (conversation, seq, id, tenant, turn, role, body, tokens, at) \
             SELECT id, next_seq - 1, $2, tenant, $3, 'assistant', $4, $5, $6 FROM conversations \
             WHERE id = $1 AND deleted_at IS NULL",
            args![
                id,
                MessageId::random(),
                turn.id,
                serde_json::to_string(&body).unwrap_or_default(),
                estimate_tokens(said),
                now
            ],
        );
    }
}

/// Wipes the texts of a turn whose conversation was deleted while it ran. The deletion itself wiped all turns that had
/// ended before.
fn forget_if_deleted(turn: &mut Turn) {
    let Some(conversation) = turn.asked.conversation else { return };
    let deleted = args![turn.id, conversation];
    turn.run(
        "DELETE FROM events WHERE turn = $1 AND EXISTS \
         (SELECT 1 FROM conversations WHERE id = $2 AND deleted_at IS NOT NULL)",
        deleted.clone(),
    );
    turn.run(
        "UPDATE turns SET prompt = '', receipt = NULL, failure = NULL WHERE id = $1 AND EXISTS \
         (SELECT 1 FROM conversations WHERE id = $2 AND deleted_at IS NOT NULL)",
        deleted.clone(),
    );
    if turn.steps.iter().any(|step| step.approval.is_some()) {
        turn.run(
            "UPDATE approvals SET state = CASE WHEN state = 'open' THEN 'expired' ELSE state END, args = '{}', \
             reason = '', comment = NULL WHERE turn = $1 AND EXISTS \
             (SELECT 1 FROM conversations WHERE id = $2 AND deleted_at IS NOT NULL)",
            deleted.clone(),
        );
    }
    if !turn.steps.is_empty() {
        turn.run(
            "UPDATE steps SET args = '{}', outcome = NULL, undo = NULL, said = NULL, thoughts = NULL WHERE turn = $1 AND EXISTS \
             (SELECT 1 FROM conversations WHERE id = $2 AND deleted_at IS NOT NULL)",
            deleted,
        );
    }
}

//! Steps: the intent is recorded before an effect, the outcome after it.

use cardea_core::{
    Code, Result,
    id::{ApprovalId, DecisionId, KeyId, StepId, ToolName},
    journal::{Repeatable, StepState},
    message::Thoughts,
    principal::Proof,
    saga::Way,
    tool::{Effect, Outcome, ToolCall},
};
use cardea_store::{args, crash};
use serde_json::json;

use super::{Begins, Kind, ToolUse, Turn, Turns};
use crate::{
    control::Screened,
    observe::{Ruled, Seen},
};

/// A call that is about to be made.
#[derive(Debug)]
pub struct Start<'a> {
    /// The call, with checked arguments.
    pub call: &'a ToolCall,
    /// Name of the tool in the catalogue.
    pub tool: &'a ToolName,
    /// Effect of the tool.
    pub effect: Effect,
    /// Consequence of a repeat.
    pub repeatable: Repeatable,
    /// Digest of the arguments, as in the permit and the approval.
    pub digest: String,
    /// The policy decision.
    pub decision: Option<&'a Ruled>,
}

/// One tool call of a turn.
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) id: StepId,
    pub(super) number: i64,
    pub(super) call: ToolCall,
    pub(super) tool: ToolName,
    pub(super) effect: Effect,
    pub(super) repeatable: Repeatable,
    pub(super) state: StepState,
    pub(super) outcome: Option<Screened<Outcome>>,
    pub(super) approval: Option<ApprovalId>,
    pub(super) digest: String,
    pub(super) durable: bool,
    pub(super) decision: Option<DecisionId>,
    /// The policy decision as repeated in the audit log, for a step that this process has begun.
    pub(super) ruled: Option<Ruled>,
    /// True if an earlier owner had started it, so that it is unknown whether the call arrived.
    pub(super) again: bool,
    pub(super) way: Option<Way>,
    /// Number of the model's answer that asked for it; 0 if none did.
    pub(super) answer: u32,
    /// Text of the model before the call, screened.
    pub(super) said: Option<String>,
    /// Thoughts of the model before that text.
    pub(super) thoughts: Option<Thoughts>,
}

impl Step {
    /// Returns the id. Together with the turn it is the idempotency key towards the provider.
    #[must_use]
    pub fn id(&self) -> StepId {
        self.id
    }

    /// Returns the call.
    #[must_use]
    pub fn call(&self) -> &ToolCall {
        &self.call
    }

    /// Returns the tool.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// Returns the digest of caller, tool and arguments, by which permits and approvals identify the call.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> StepState {
        self.state
    }

    /// Returns the effect of the tool.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Returns the consequence of a repeat.
    #[must_use]
    pub fn repeatable(&self) -> Repeatable {
        self.repeatable
    }

    /// Returns the outcome, once the step has ended.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_deref()
    }

    /// Returns the outcome as told to the client.
    #[must_use]
    pub fn told(&self) -> Option<Screened<String>> {
        self.outcome.as_ref().map(Screened::words)
    }

    /// Returns the approval that the step waits for.
    #[must_use]
    pub fn approval(&self) -> Option<ApprovalId> {
        self.approval
    }

    /// Returns whether the same answer of the model asked for both.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.answer > 0 && self.answer == other.answer
    }

    /// Returns the model's text before the call, screened.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// Returns the model's thoughts before the call, screened.
    #[must_use]
    pub fn thoughts(&self) -> Option<&Thoughts> {
        self.thoughts.as_ref()
    }

    /// Returns the number in the turn, from 1.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Returns whether its undo has begun.
    #[must_use]
    pub fn is_undoing(&self) -> bool {
        self.state == StepState::Compensating
    }

    /// Returns whether an earlier owner had started it.
    #[must_use]
    pub fn again(&self) -> bool {
        self.again
    }

    /// Returns whether the step has not ended: it waits for an approval, or its outcome is not recorded.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, StepState::Waiting | StepState::Started)
    }

    /// Returns whether this is a write that was sent and whose outcome is not recorded.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.state == StepState::Started && self.effect.changes_things()
    }

    /// Returns whether its effect has happened, or may have happened, and was not undone.
    #[must_use]
    pub fn touched_the_world(&self) -> bool {
        self.effect.changes_things()
            && matches!(
                self.state,
                StepState::Started | StepState::Done | StepState::Unknown | StepState::Compensating
            )
    }

    /// Records the policy decision; without a new one the last one stays.
    pub(super) fn rule(&mut self, decision: Option<&Ruled>) {
        if let Some(ruled) = decision {
            (self.decision, self.ruled) = (Some(ruled.id), Some(ruled.clone()));
        }
    }

    pub(super) fn used(&self) -> ToolUse {
        let closed = match &self.way {
            Some(Way::Closed(why)) => Some(why.clone()),
            _ => None,
        };
        let (reason, not_undone) = match self.outcome() {
            Some(Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. }) => {
                (Some(reason.clone()), None)
            }
            _ if self.state == StepState::Unknown => (closed, None), // it is unknown whether the undo happened
            _ => (None, closed),
        };
        ToolUse { step: self.id, tool: self.tool.to_string(), state: self.state, reason, not_undone }
    }

    /// Moves to the next state. A state that was written may change only as the journal's table allows.
    pub(super) fn go(&mut self, next: StepState) {
        let may = !self.durable || self.state == next || self.state.may_become(next);
        debug_assert!(may, "a step goes from {:?} to {next:?}", self.state);
        self.state = next;
    }
}

impl<'a> From<&'a Step> for Seen<'a> {
    fn from(step: &'a Step) -> Self {
        Self { name: step.tool.as_str(), status: step.state.name(), code: None }
    }
}

impl Turns {
    /// Records what is about to be done and returns the step.
    ///
    /// A step with an effect is durable, with its audit entry, when this returns; a read is written together with its
    /// outcome. A step that waited for an approval keeps its number and id, so that the idempotency key towards the
    /// provider stays the same.
    ///
    /// # Errors
    /// `taken_over` if another node owns the turn; store errors.
    pub async fn start(&self, turn: &mut Turn, start: Start<'_>) -> Result<Step> {
        let waiting = turn.steps.iter().position(|step| {
            matches!(step.state, StepState::Waiting | StepState::Started)
                && step.digest == start.digest
                && step.tool == *start.tool
        });
        let known = waiting.map(|at| turn.steps.remove(at));
        let mut step = known.clone().unwrap_or_else(|| new_step(turn, &start));
        step.again = step.state == StepState::Started && step.durable;
        step.rule(start.decision);
        step.go(StepState::Started);
        if step.effect.changes_things() {
            let (told, noted) = (turn.writing.events, turn.writing.pending.clone());
            self.write_start(turn, &mut step);
            guard_key(turn);
            if let Err(error) = self.flush(turn).await {
                // Nothing was started. The policy decision is written with the next commit.
                (turn.writing.events, turn.writing.pending) = (told, noted);
                known.into_iter().for_each(|known| self.put(turn, known)); // unchanged
                return Err(error);
            }
            crash::point("effect.ready");
        }
        if !step.effect.changes_things() && turn.asked.kind == Kind::Chat {
            self.inner.followed.begins(turn.id, Begins { step: step.id, tool: step.tool.clone() });
        }
        turn.steps.push(step.clone());
        Ok(step)
    }

    fn write_start(&self, turn: &mut Turn, step: &mut Step) {
        self.write_step(turn, step, step.decision);
        let detail = json!({ "effect": step.effect.name(), "args_digest": step.digest, "decision": step.ruled,
                             "roles": turn.asked.principal.roles, "approval": step.approval });
        self.audit(turn, "step.started", Some(step), detail);
        self.event(turn, "step.started", &json!({ "step": step.id, "tool": step.tool }));
    }

    /// Inserts the row, or updates it to the step's state.
    pub(super) fn write_step(&self, turn: &mut Turn, step: &mut Step, decision: Option<DecisionId>) {
        let now = self.now().0;
        let ended =
            (!matches!(step.state, StepState::Waiting | StepState::Started | StepState::Compensating))
                .then_some(now);
        // A check belongs to no conversation, and what it reads must not outlive the conversation of its question.
        let kept = turn.asked.kind != Kind::Check;
        let outcome = step.outcome().filter(|_| kept);
        let outcome = outcome.and_then(|outcome| serde_json::to_string(outcome).ok());
        let undo = step.way.as_ref().filter(|_| kept).and_then(|way| serde_json::to_string(way).ok());
        let thoughts = step.thoughts.as_ref().filter(|_| kept);
        let thoughts = thoughts.and_then(|thoughts| serde_json::to_string(thoughts).ok());
        if step.durable {
            turn.guard(
                "step",
                "UPDATE steps SET state = $3, outcome = $4, ended_at = $5, attempts = attempts + 1, \
                 decision = COALESCE($6, decision), undo = $7, approval = COALESCE($8, approval) \
                 WHERE turn = $1 AND number = $2",
                args![turn.id, step.number, step.state.name(), outcome, ended, decision, undo, step.approval],
            );
            return;
        }
        step.durable = true;
        let args = if kept { step.call.arguments.clone() } else { serde_json::Map::new() };
        turn.run(
            "INSERT INTO steps (turn, number, id, tenant, call_id, tool, effect, safety, state, args, args_digest, \
             approval, decision, outcome, attempts, started_at, ended_at, undo, answer, said, thoughts) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
            args![
                turn.id,
                step.number,
                step.id,
                &turn.asked.principal.tenant,
                &step.call.id,
                &step.tool,
                step.effect.name(),
                step.repeatable.name(),
                step.state.name(),
                serde_json::Value::Object(args).to_string(),
                &step.digest,
                step.approval,
                decision.or(step.decision),
                outcome,
                1_i64,
                now,
                ended,
                undo,
                step.answer,
                step.said.as_deref().filter(|_| kept),
                thoughts
            ],
        );
    }

    /// Records the outcome of a step. The source of its text taints the turn.
    ///
    /// # Errors
    /// `taken_over` if another node owns the turn; store errors. The caller must not tell anybody of an outcome that
    /// could not be recorded.
    pub async fn record(&self, turn: &mut Turn, step: Step, outcome: Screened<Outcome>) -> Result<Step> {
        if step.effect.changes_things() {
            crash::point("effect.happened");
        }
        turn.taint_with_all(outcome.taint());
        let mut step = step;
        step.go(match &*outcome {
            Outcome::Done { .. } => StepState::Done,
            Outcome::Failed { .. } => StepState::Failed,
            Outcome::Unknown { .. } => StepState::Unknown,
        });
        step.outcome = Some(outcome);
        self.write_step(turn, &mut step, None);
        let mut detail =
            json!({ "outcome": step.state.name(), "effect": step.effect.name(), "args_digest": step.digest });
        if let Some(object) = detail.as_object_mut() {
            if let Some(Outcome::Failed { reason, status } | Outcome::Unknown { reason, status }) =
                step.outcome()
            {
                object.insert("status".into(), json!(status));
                object.insert("reason_digest".into(), json!(self.digest(reason)));
            }
            // A step with an effect recorded the decision when it began.
            if !step.effect.changes_things() && step.ruled.is_some() {
                object.insert("decision".into(), json!(step.ruled));
                object.insert("roles".into(), json!(turn.asked.principal.roles));
            }
        }
        self.audit(turn, "step.ended", Some(&step), detail);
        self.event(turn, "step.ended", &json!({ "step": step.id, "tool": step.tool, "state": step.state }));
        self.put(turn, step.clone());
        if turn.asked.kind == Kind::Chat || step.effect.changes_things() {
            self.flush(turn).await?;
        }
        Ok(step)
    }

    /// Records that a call was refused, for the model and for the audit log. The reason is a sentence of Cardea or of
    /// a policy.
    ///
    /// # Errors
    /// As [`Turns::record`].
    pub async fn refuse(&self, turn: &mut Turn, start: Start<'_>, code: Code, reason: &str) -> Result<Step> {
        let waiting = turn.steps.iter().position(|step| {
            step.state == StepState::Waiting && step.digest == start.digest && step.tool == *start.tool
        });
        let mut step = match waiting.map(|at| turn.steps.remove(at)) {
            Some(known) => known,
            None => new_step(turn, &start),
        };
        step.go(StepState::Refused);
        step.rule(start.decision);
        step.outcome = Some(Screened::own_words(Outcome::failed(reason)));
        self.write_step(turn, &mut step, start.decision.map(|ruled| ruled.id));
        // WHY a digest: texts of policies and guardrails belong to the operator and to Cardea; all others are wiped
        // with their conversation.
        let ruled = start.decision.map(|ruled| ruled.reason.as_str());
        let own = ruled.or_else(|| (code == Code::GuardRefused).then_some(reason));
        let detail = json!({ "code": code.name(), "reason": own, "reason_digest": self.digest(reason),
                             "args_digest": start.digest, "decision": start.decision,
                             "roles": turn.asked.principal.roles, "approval": step.approval });
        self.audit(turn, "step.refused", Some(&step), detail);
        self.event(turn, "step.refused", &json!({ "step": step.id, "tool": step.tool, "reason": reason }));
        self.put(turn, step.clone());
        if turn.asked.kind == Kind::Chat {
            self.flush(turn).await?;
        }
        Ok(step)
    }

    /// Inserts the step by its number.
    pub(super) fn put(&self, turn: &mut Turn, step: Step) {
        turn.steps.retain(|known| known.number != step.number);
        let at = turn.steps.partition_point(|known| known.number < step.number);
        turn.steps.insert(at, step);
    }
}

/// Voids the commit if the API key of the turn was revoked: nothing may start once the revocation is durable.
fn guard_key(turn: &mut Turn) {
    let client = turn.asked.principal.client.as_ref().filter(|_| turn.asked.principal.proof == Proof::ApiKey);
    // A key of another directory has a different form of name, and is guarded there.
    let Some(key) = client.and_then(|client| client.as_str().parse::<KeyId>().ok()) else { return };
    let sql = "SELECT id FROM api_keys WHERE id = $1 AND revoked_at IS NULL";
    turn.guard("key", sql, args![key]);
}

pub(super) fn new_step(turn: &mut Turn, start: &Start<'_>) -> Step {
    Step {
        id: StepId::random(),
        number: turn.next_step(),
        call: start.call.clone(),
        tool: start.tool.clone(),
        effect: start.effect,
        repeatable: start.repeatable,
        state: StepState::Started,
        outcome: None,
        approval: None,
        digest: start.digest.clone(),
        durable: false,
        decision: start.decision.map(|ruled| ruled.id),
        ruled: start.decision.cloned(),
        again: false,
        way: None,
        answer: turn.spending.model_calls,
        said: turn.speech.words.take(),
        thoughts: turn.speech.thoughts.take(),
    }
}

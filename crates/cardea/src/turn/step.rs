//! Steps: the intent before an effect, the outcome after it.

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

/// What is about to be called.
#[derive(Debug)]
pub struct Start<'a> {
    /// The call, its arguments checked.
    pub call: &'a ToolCall,
    /// The tool as the catalogue names it.
    pub tool: &'a ToolName,
    /// What it does to the world.
    pub effect: Effect,
    /// What a repeat would do.
    pub repeatable: Repeatable,
    /// Digest of the arguments, as the permit and the approval know it.
    pub digest: String,
    /// The decision about it.
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
    /// The same as the audit log repeats it, of a step that this process has begun.
    pub(super) ruled: Option<Ruled>,
    /// An earlier owner had started it: nobody knows whether its call arrived.
    pub(super) again: bool,
    pub(super) way: Option<Way>,
    /// Which answer of the turn's model asked for it; 0 if none did.
    pub(super) answer: u32,
    /// What the model said before it, screened.
    pub(super) said: Option<String>,
    /// What the model thought before that.
    pub(super) thoughts: Option<Thoughts>,
}

impl Step {
    /// Its id; with the turn it is the idempotency key towards the provider.
    #[must_use]
    pub fn id(&self) -> StepId {
        self.id
    }

    /// The call.
    #[must_use]
    pub fn call(&self) -> &ToolCall {
        &self.call
    }

    /// The tool.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// Digest of caller, tool and arguments: what permits and approvals mean by the same call.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> StepState {
        self.state
    }

    /// What it does to the world.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// What a repeat would do.
    #[must_use]
    pub fn repeatable(&self) -> Repeatable {
        self.repeatable
    }

    /// What came of it, once it has ended.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_deref()
    }

    /// What its client is told of that.
    #[must_use]
    pub fn told(&self) -> Option<Screened<String>> {
        self.outcome.as_ref().map(Screened::words)
    }

    /// What it waits for.
    #[must_use]
    pub fn approval(&self) -> Option<ApprovalId> {
        self.approval
    }

    /// True if the same answer of the model asked for both.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.answer > 0 && self.answer == other.answer
    }

    /// What the model said before it, screened.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// What the model thought before it, screened.
    #[must_use]
    pub fn thoughts(&self) -> Option<&Thoughts> {
        self.thoughts.as_ref()
    }

    /// Its place in the turn, from 1.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// True if its taking back has begun.
    #[must_use]
    pub fn is_undoing(&self) -> bool {
        self.state == StepState::Compensating
    }

    /// True if an earlier owner had started it.
    #[must_use]
    pub fn again(&self) -> bool {
        self.again
    }

    /// True if it has not ended: it waits for a person, or nobody has said what came of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, StepState::Waiting | StepState::Started)
    }

    /// True of a write that was sent, and nobody has said what came of it.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.state == StepState::Started && self.effect.changes_things()
    }

    /// True if its effect has, or may have, happened and was not taken back.
    #[must_use]
    pub fn touched_the_world(&self) -> bool {
        self.effect.changes_things()
            && matches!(
                self.state,
                StepState::Started | StepState::Done | StepState::Unknown | StepState::Compensating
            )
    }

    /// Notes what policy said of it; without a new word the last one stays.
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
            _ if self.state == StepState::Unknown => (closed, None), // nobody knows whether it was taken back
            _ => (None, closed),
        };
        ToolUse { step: self.id, tool: self.tool.to_string(), state: self.state, reason, not_undone }
    }

    /// Moves it to its next state; what its row has said goes on only as the journal's table allows.
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
    /// Writes down what is about to be done and gives the step.
    ///
    /// A step with an effect is durable, with its audit entry, when this returns; a read is written with its
    /// outcome. A step that waited for an approval goes on under its own number and id, so that the provider's
    /// idempotency key stays the same.
    ///
    /// # Errors
    /// `taken_over` if another node owns the turn; what the store says.
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
                // Nothing was; what policy said of it is written with what comes next.
                (turn.writing.events, turn.writing.pending) = (told, noted);
                known.into_iter().for_each(|known| self.put(turn, known)); // it is as it was
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

    /// Inserts the row, or moves it to the step's state.
    pub(super) fn write_step(&self, turn: &mut Turn, step: &mut Step, decision: Option<DecisionId>) {
        let now = self.now().0;
        let ended =
            (!matches!(step.state, StepState::Waiting | StepState::Started | StepState::Compensating))
                .then_some(now);
        // A check belongs to no conversation: what it reads must not outlive the ones that its question comes from.
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

    /// Writes down what came of a step. Where its words come from taints the turn.
    ///
    /// # Errors
    /// `taken_over` if another node owns the turn; what the store says. The caller must not tell anybody of an
    /// outcome that could not be recorded.
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
            // What changes something has told of that when it began.
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

    /// Writes down that a call was not allowed, so that the model can be told and the audit log knows. The reason is a sentence
    /// of Cardea's own, or of a policy.
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
        // WHY a digest: policy's words and a guardrail's are the operator's and Cardea's own, all others go with their
        // conversation.
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

    /// Puts the step in its place by number.
    pub(super) fn put(&self, turn: &mut Turn, step: Step) {
        turn.steps.retain(|known| known.number != step.number);
        let at = turn.steps.partition_point(|known| known.number < step.number);
        turn.steps.insert(at, step);
    }
}

/// Voids the commit if the API key that the turn came with was withdrawn: what is durable after that starts nothing.
fn guard_key(turn: &mut Turn) {
    let client = turn.asked.principal.client.as_ref().filter(|_| turn.asked.principal.proof == Proof::ApiKey);
    // A key of somebody else's directory is known by another name, and guarded there.
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

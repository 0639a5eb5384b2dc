//! Undo, in the journal. The failure of the turn is recorded before the first step is undone, and each step before and
//! after its undo. A new owner continues from there.

use cardea_core::{
    Code, Error, Result,
    journal::StepState,
    saga::{self, Effected, Unwound, Way},
    tool::Outcome,
};
use cardea_store::{args, crash};
use serde_json::json;

use super::{Failure, Step, Turn, Turns};
use crate::control::Screened;

impl Step {
    /// Returns how the step can be undone, once it is done.
    #[must_use]
    pub fn way(&self) -> Option<&Way> {
        self.way.as_ref()
    }

    /// Sets how the step can be undone.
    #[must_use]
    pub fn taken_back_by(mut self, way: Option<Way>) -> Self {
        self.way = way;
        self
    }

    fn effected(&self) -> Effected {
        // WHY: wrong arguments are reported to the model, which can correct them; a decision is final.
        let final_word = self.state != StepState::Refused || self.decision.is_some();
        Effected {
            state: self.state,
            changes: self.effect.changes_things() && final_word,
            undoable: self.way.as_ref().is_some_and(Way::is_open),
            declared: self.way.is_some(),
        }
    }
}

impl Turn {
    fn effects(&self) -> Vec<Effected> {
        self.steps.iter().map(Step::effected).collect()
    }

    /// Refuses to continue once a step failed for good after one that can be undone: all or nothing.
    ///
    /// # Errors
    /// `denied` if policy or a person refused the step, else `upstream_failed`; both name it.
    pub fn whole(&self) -> Result<()> {
        if !saga::broken(&self.effects()) {
            return Ok(());
        }
        let failed = |step: &&Step| {
            matches!(step.state, StepState::Failed | StepState::Refused) && step.effected().changes
        };
        let step = self.steps.iter().rev().find(failed);
        let (tool, why) = step.map_or(("a step", String::new()), |step| {
            (step.tool.as_str(), step.used().reason.unwrap_or_default())
        });
        let why = why.trim_end_matches('.');
        let refused = step.is_some_and(|step| step.state == StepState::Refused);
        let code = if refused { Code::Denied } else { Code::UpstreamFailed };
        Err(Error::new(code).detail(format!("`{tool}`: {why}.")))
    }

    /// Returns why the turn is being undone, if it is.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Returns the step to undo next.
    #[must_use]
    pub fn next_undo(&self) -> Option<Step> {
        saga::next(&self.effects()).and_then(|at| self.steps.get(at).cloned())
    }

    /// Returns how the turn ends with its steps in their present state, and what its user must be told about them.
    #[must_use]
    pub fn unwound(&self) -> (Unwound, String) {
        let named = |states: &[StepState]| {
            let of = |step: &&Step| step.effect.changes_things() && states.contains(&step.state);
            let name = |step: &Step| match &step.way {
                Some(Way::Closed(why)) => format!("`{}` ({why})", step.tool),
                _ => format!("`{}`", step.tool),
            };
            self.steps.iter().filter(of).map(name).collect::<Vec<_>>().join(", ")
        };
        let parts = [
            ("Taken back", named(&[StepState::Compensated])),
            ("Done, and not taken back", named(&[StepState::Done])),
            ("Not known", named(&[StepState::Unknown, StepState::Started, StepState::Compensating])),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {names}."))
            .collect();
        (saga::ending(&self.effects()), told.join(" "))
    }
}

impl Turns {
    /// Records that the turn has failed and is being undone. From here on nothing else is done for it.
    ///
    /// # Errors
    /// As [`Turns::record`].
    pub async fn unwinding(&self, turn: &mut Turn, error: &Error) -> Result<()> {
        if turn.failure.is_some() {
            return Ok(());
        }
        let failure = Failure::of(error);
        let saved =
            serde_json::to_string(&failure).map_err(|error| Error::new(Code::Internal).because(error))?;
        turn.run("UPDATE turns SET failure = $2 WHERE id = $1", args![turn.id, saved]);
        self.audit(turn, "turn.unwinding", None, json!({ "code": failure.code }));
        self.event(turn, "turn.unwinding", &json!({ "code": failure.code, "message": failure.message }));
        turn.failure = Some(failure);
        self.flush(turn).await
    }

    /// Records that a step is about to be undone.
    ///
    /// # Errors
    /// As [`Turns::record`].
    pub async fn undoing(&self, turn: &mut Turn, step: Step) -> Result<Step> {
        if step.state == StepState::Compensating {
            self.flush(turn).await?; // its undo was running when the process ended: repeated under the same key
            return Ok(step);
        }
        let next = Move { to: StepState::Compensating, event: "step.undoing", why: None, status: None };
        let step = self.move_to(turn, step, next).await?;
        crash::point("undo.ready");
        Ok(step)
    }

    /// Records the outcome of an undo. Done: nothing is left of the step. Failed: its effect remains. Unknown: it may
    /// remain.
    ///
    /// # Errors
    /// As [`Turns::record`].
    pub async fn undone(&self, turn: &mut Turn, step: Step, outcome: Screened<Outcome>) -> Result<Step> {
        let status = outcome.status();
        let next = match outcome.into_inner() {
            Outcome::Done { .. } => {
                crash::point("undo.happened");
                Move { to: StepState::Compensated, event: "step.undone", why: None, status }
            }
            Outcome::Failed { reason, .. } => {
                Move { to: StepState::Done, event: "step.not_undone", why: Some(reason), status }
            }
            Outcome::Unknown { reason, .. } => {
                Move { to: StepState::Unknown, event: "step.undo_unknown", why: Some(reason), status }
            }
        };
        self.move_to(turn, step, next).await
    }

    async fn move_to(&self, turn: &mut Turn, mut step: Step, next: Move) -> Result<Step> {
        let Move { to: state, event, why, status } = next;
        step.go(state);
        let detail = json!({ "state": state.name(), "args_digest": step.digest,
                             "status": status,
                             "reason_digest": why.as_deref().map(|why| self.digest(why)) });
        if let Some(why) = why {
            step.way = Some(Way::Closed(why));
        }
        self.write_step(turn, &mut step, None);
        self.audit(turn, event, Some(&step), detail);
        self.event(turn, event, &json!({ "step": step.id, "tool": step.tool, "state": state }));
        self.put(turn, step.clone());
        self.flush(turn).await?;
        Ok(step)
    }
}

/// The next state of a step, the event that reports it, and the reason.
struct Move {
    to: StepState,
    event: &'static str,
    why: Option<String>,
    /// Status that the service answered with.
    status: Option<u16>,
}

//! Undo of a failed turn: which step is next, and how the turn ends.
//!
//! An operation may declare how it is undone. Once such a step is done, its turn is all or nothing: if a later step
//! that changes something fails for good, the steps are undone, the last one first. A step whose undo had begun is
//! undone again, under the same idempotency key, so an undo must be repeatable. Nothing is undone while the outcome of
//! any step is unknown: a person must look first.
//!
//! Promises: the call that undoes a step is fixed when the step is done, from its declaration, its arguments and its
//! recorded result. No text of a tool can request an undo or choose another tool for it. Called by `flow`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::ToolName,
    journal::StepState,
    template::{RESULT, STEP, Tree, Values},
    tool::ToolCall,
};

/// How an operation is undone, as declared by its author.
#[derive(Debug, Clone, PartialEq)]
pub struct Undo {
    tool: ToolName,
    with: Tree,
}

impl Undo {
    /// Creates an undo from the tool to call and templates of its arguments: `{order}`, `{result.id}`.
    ///
    /// # Errors
    /// What is wrong with a template.
    pub fn new(tool: ToolName, with: &BTreeMap<String, Value>) -> Result<Self, String> {
        let with = Value::Object(with.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
        let undo = Self { tool, with: Tree::parse(&with)? };
        match undo.slots().iter().find(|slot| *slot == STEP) {
            Some(_) => Err("cannot use `{step}`: an undo has a key of its own".to_owned()),
            None => Ok(undo),
        }
    }

    /// Returns the tool that undoes the operation.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// Returns the names of the slots in its arguments; `result` is what the operation returned.
    #[must_use]
    pub fn slots(&self) -> Vec<String> {
        self.with
            .templates()
            .iter()
            .flat_map(|template| template.slots())
            .map(|slot| slot.name.clone())
            .collect()
    }

    /// Returns whether this is the slot of what the operation returned.
    #[must_use]
    pub fn is_result(slot: &str) -> bool {
        slot == RESULT
    }

    /// Returns the call that undoes a call with these arguments and this result. `None` if the result lacks something.
    #[must_use]
    pub fn call(&self, arguments: &Map<String, Value>, result: &Value) -> Option<Way> {
        let values = Values { arguments, step: "", result: Some(result) };
        let whole =
            self.with.templates().iter().all(|template| matches!(template.text(&values), Ok(Some(_))));
        match self.with.value(&values) {
            Ok(Some(Value::Object(arguments))) if whole => {
                Some(Way::Call { tool: self.tool.clone(), arguments })
            }
            _ => None,
        }
    }

    /// Returns how a call with these arguments and this result can be undone. An undo that cannot be made is closed:
    /// the turn must know that there should have been one.
    #[must_use]
    pub fn way(&self, arguments: &Map<String, Value>, result: &Value) -> Way {
        let closed = || Way::Closed("its result does not say what to take back".to_owned());
        self.call(arguments, result).unwrap_or_else(closed)
    }
}

/// How a completed step can be undone; kept with the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By this call.
    Call {
        /// The tool.
        tool: ToolName,
        /// Its arguments.
        arguments: Map<String, Value>,
    },
    /// Not at all, for this reason.
    Closed(String),
}

impl Way {
    /// Returns the call, as a model would make it; `id` is unique in the turn.
    #[must_use]
    pub fn as_call(&self, id: String) -> Option<ToolCall> {
        match self {
            Self::Call { tool, arguments } => {
                Some(ToolCall { id, name: tool.to_string(), arguments: arguments.clone(), written: None })
            }
            Self::Closed(_) => None,
        }
    }

    /// Returns whether there is a call.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Call { .. })
    }
}

/// The facts about a step that the decision needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effected {
    /// State of the step.
    pub state: StepState,
    /// Whether it changes something.
    pub changes: bool,
    /// Whether a call is known that undoes it.
    pub undoable: bool,
    /// Whether its author declares an undo, even if the call cannot be made.
    pub declared: bool,
}

/// Returns whether a step that changes something failed or was refused after a completed step with a declared undo,
/// even one that cannot be made: what remains must be reported.
#[must_use]
pub fn broken(steps: &[Effected]) -> bool {
    let failed = |step: &Effected| matches!(step.state, StepState::Failed | StepState::Refused);
    let first = steps.iter().position(|step| step.state == StepState::Done && step.declared);
    first.is_some_and(|first| steps.iter().skip(first).any(|step| step.changes && failed(step)))
}

/// Returns the index of the step to undo next; `None` if nothing is left to do.
#[must_use]
pub fn next(steps: &[Effected]) -> Option<usize> {
    if steps.iter().any(|step| matches!(step.state, StepState::Unknown | StepState::Started)) {
        return None;
    }
    let due =
        |step: &Effected| step.undoable && matches!(step.state, StepState::Compensating | StepState::Done);
    steps.iter().rposition(due)
}

/// How a turn ends after its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwound {
    /// All effects were undone.
    Whole,
    /// Some effect remains.
    Partly,
    /// For some step it is unknown whether it was done, or undone.
    Unknown,
}

/// Returns how the turn ends with its steps in their present state.
#[must_use]
pub fn ending(steps: &[Effected]) -> Unwound {
    let any = |states: &[StepState]| steps.iter().any(|step| step.changes && states.contains(&step.state));
    if any(&[StepState::Unknown, StepState::Started, StepState::Compensating]) {
        Unwound::Unknown
    } else if any(&[StepState::Done]) {
        Unwound::Partly
    } else {
        Unwound::Whole
    }
}

#[cfg(test)]
mod tests;

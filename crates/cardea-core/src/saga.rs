//! Taking back what a failed turn has done: which step is next, and how the turn then ends.
//!
//! An operation may declare what takes it back. From the moment such a step is done, its turn is all or nothing: if a
//! later step that changes something fails for good, the steps are taken back, the last one first. A step whose
//! undoing had begun is undone again, under the same idempotency key, so it must not matter how often that happens.
//! Nothing is undone while nobody knows whether some step was done: a person must look first.
//!
//! Promises: which call takes a step back is settled when the step is done, from its declaration, its arguments and
//! its recorded result. No text of a tool can ask for an undo or choose another tool for it. Called by `flow`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::ToolName,
    journal::StepState,
    template::{RESULT, STEP, Tree, Values},
    tool::ToolCall,
};

/// What takes an operation back, as its author declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Undo {
    tool: ToolName,
    with: Tree,
}

impl Undo {
    /// The tool that is called, and its arguments as templates: `{order}`, `{result.id}`.
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

    /// The tool that takes it back.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// The names of the slots in its arguments; `result` is what the operation returned.
    #[must_use]
    pub fn slots(&self) -> Vec<String> {
        self.with
            .templates()
            .iter()
            .flat_map(|template| template.slots())
            .map(|slot| slot.name.clone())
            .collect()
    }

    /// True for the slot of what the operation returned.
    #[must_use]
    pub fn is_result(slot: &str) -> bool {
        slot == RESULT
    }

    /// The call that takes back a call with these arguments and this result. `None` if the result lacks something.
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

    /// How a call with these arguments and this result can be taken back. An undo that cannot be made is said to be
    /// closed: the turn must know that there should have been one.
    #[must_use]
    pub fn way(&self, arguments: &Map<String, Value>, result: &Value) -> Way {
        let closed = || Way::Closed("its result does not say what to take back".to_owned());
        self.call(arguments, result).unwrap_or_else(closed)
    }
}

/// How a step that is done can be taken back; kept with the step.
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
    /// Not: this is why.
    Closed(String),
}

impl Way {
    /// The call, as a model would ask for it; `id` is unique in the turn.
    #[must_use]
    pub fn as_call(&self, id: String) -> Option<ToolCall> {
        match self {
            Self::Call { tool, arguments } => {
                Some(ToolCall { id, name: tool.to_string(), arguments: arguments.clone(), written: None })
            }
            Self::Closed(_) => None,
        }
    }

    /// True if there is a call.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Call { .. })
    }
}

/// What must be known of a step to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effected {
    /// Where it stands.
    pub state: StepState,
    /// True if it changes things.
    pub changes: bool,
    /// True if a call is known that takes it back.
    pub undoable: bool,
    /// True if its author says what takes it back, whether that call could be made or not.
    pub declared: bool,
}

/// True if a step that changes something failed, or was refused, after one was done that can be taken back, or that
/// should be and cannot: what is left of it must be told.
#[must_use]
pub fn broken(steps: &[Effected]) -> bool {
    let failed = |step: &Effected| matches!(step.state, StepState::Failed | StepState::Refused);
    let first = steps.iter().position(|step| step.state == StepState::Done && step.declared);
    first.is_some_and(|first| steps.iter().skip(first).any(|step| step.changes && failed(step)))
}

/// The place of the step to take back next; `None` if nothing is left to do.
#[must_use]
pub fn next(steps: &[Effected]) -> Option<usize> {
    if steps.iter().any(|step| matches!(step.state, StepState::Unknown | StepState::Started)) {
        return None;
    }
    let due =
        |step: &Effected| step.undoable && matches!(step.state, StepState::Compensating | StepState::Done);
    steps.iter().rposition(due)
}

/// How a turn ends after its unwinding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwound {
    /// Everything that was done is taken back.
    Whole,
    /// Something that was done stays.
    Partly,
    /// Nobody knows of something whether it was done, or taken back.
    Unknown,
}

/// How the turn ends with its steps as they stand.
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

//! The receipt that a client gets for a turn, and gets again for the same idempotency key.

use cardea_core::{
    Code, Error, Retry,
    id::{AgentName, ApprovalId, ConversationId, StepId, TurnId},
    journal::{StepState, TurnState},
    message::{Finish, Usage},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use crate::observe::{Seen, Told};

/// The cache that an answer came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// None: the answer was generated for this turn.
    #[default]
    None,
    /// The same question under the same circumstances.
    Exact,
    /// A reworded question.
    Semantic,
}

impl CacheUse {
    /// Returns the name used in answers, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Exact => "exact",
            Self::Semantic => "semantic",
        }
    }
}

/// Reason why a turn failed, as told to the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Wire name of the code.
    pub code: String,
    /// Text for the user.
    pub message: String,
    /// Delay before a retry. Absent if a retry would fail again, or would do the work again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<Millis>,
}

impl Failure {
    /// Converts from the error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let again = error.retry() == Retry::After;
        Self {
            code: error.code().name().to_owned(),
            message: error.public(),
            retry_after_ms: error.retry_hint().filter(|_| again),
        }
    }

    fn code(&self) -> Code {
        Code::parse(&self.code).unwrap_or(Code::Internal)
    }

    /// Converts back to the error.
    #[must_use]
    pub fn error(&self) -> Error {
        let code = self.code();
        let detail = self.message.strip_prefix(code.sentence()).unwrap_or(&self.message).trim();
        let error = if detail.is_empty() { Error::new(code) } else { Error::new(code).detail(detail) };
        match self.retry_after_ms {
            Some(after) => error.retry_after(after),
            None => error.hopeless(),
        }
    }
}

impl Receipt {
    /// Creates the receipt of a turn that has just begun.
    #[must_use]
    pub fn begun(turn: TurnId, conversation: Option<ConversationId>, agent: AgentName) -> Self {
        Self {
            turn,
            conversation,
            agent,
            status: TurnState::Running,
            answer: None,
            finish: None,
            approval: None,
            error: None,
            cache: CacheUse::None,
            tools: Vec::new(),
            usage: Usage::default(),
            cost_micros: 0,
            took_ms: Millis(0),
        }
    }

    /// Returns the error that ended the turn, for interfaces that can only report an error.
    #[must_use]
    pub fn failed(&self) -> Option<Error> {
        Some(self.error.as_ref()?.error().of_turn(self.turn, self.conversation))
    }

    /// Returns the code of that error.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.error.as_ref().map(Failure::code)
    }
}

/// A tool call of a turn, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// The step.
    pub step: StepId,
    /// The tool.
    pub tool: String,
    /// How it ended.
    pub state: StepState,
    /// Reason why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Reason why its effect cannot be undone, or was not undone although it should have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_undone: Option<String>,
}

/// The result of a turn, or its state while it waits for an approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The turn.
    pub turn: TurnId,
    /// Its conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The agent that answered.
    pub agent: AgentName,
    /// State of the turn.
    pub status: TurnState,
    /// The answer, screened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Reason why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// Approval that the turn waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// Reason why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Cache that the answer came from.
    pub cache: CacheUse,
    /// Its tool calls.
    pub tools: Vec<ToolUse>,
    /// Tokens used.
    pub usage: Usage,
    /// Cost in millionths of a US dollar.
    pub cost_micros: u64,
    /// Time from begin to end.
    pub took_ms: Millis,
}

impl<'a> From<&'a Receipt> for Seen<'a> {
    fn from(receipt: &'a Receipt) -> Self {
        Self { name: receipt.agent.as_str(), status: receipt.status.name(), code: receipt.code() }
    }
}

impl<'a> From<&'a Receipt> for Told<'a> {
    fn from(receipt: &'a Receipt) -> Self {
        Self {
            agent: receipt.agent.as_str(),
            turn: receipt.turn,
            ending: receipt.status.name(),
            code: receipt.code(),
            cache: receipt.cache.name(),
        }
    }
}

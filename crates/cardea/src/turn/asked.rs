//! The request of a turn: what was asked, by whom, and of which agent. It never changes.

use cardea_core::{
    id::{AgentName, ConversationId, RequestId},
    principal::Principal,
    time::Timestamp,
    trace::TraceContext,
};

use super::{Kind, Limits, Turn};
use crate::control::Screened;

/// The immutable request data of a turn.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: RequestId,
    /// Trace context of that request.
    pub(super) place: Option<TraceContext>,
    pub(super) principal: Principal,
    pub(super) kind: Kind,
    pub(super) agent: AgentName,
    pub(super) conversation: Option<ConversationId>,
    /// True if the conversation was created by this question and has no earlier messages.
    pub(super) first: bool,
    pub(super) prompt: Screened<String>,
    pub(super) limits: Limits,
    pub(super) started: Timestamp,
}

impl Turn {
    /// Returns the id of the request that began the turn.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.asked.request
    }

    /// Returns the trace context of that request, if known.
    #[must_use]
    pub fn asked_in(&self) -> Option<TraceContext> {
        self.asked.place
    }

    /// Returns the caller.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.asked.principal
    }

    /// Returns the kind of request that the turn serves.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.asked.kind
    }

    /// Returns when the turn began.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.asked.started
    }

    /// Returns the agent that answers.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.asked.agent
    }

    /// Returns the conversation; a bare tool call has none.
    #[must_use]
    pub fn conversation(&self) -> Option<ConversationId> {
        self.asked.conversation
    }

    /// Returns whether the conversation has no earlier messages.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.asked.first
    }

    /// Returns the question.
    #[must_use]
    pub fn prompt(&self) -> &Screened<String> {
        &self.asked.prompt
    }
}

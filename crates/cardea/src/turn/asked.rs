//! What was asked, by whom and of whom. It never changes.

use cardea_core::{
    id::{AgentName, ConversationId, RequestId},
    principal::Principal,
    time::Timestamp,
    trace::TraceContext,
};

use super::{Kind, Limits, Turn};
use crate::control::Screened;

/// A question as its turn keeps it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: RequestId,
    /// The place in a trace of that request.
    pub(super) place: Option<TraceContext>,
    pub(super) principal: Principal,
    pub(super) kind: Kind,
    pub(super) agent: AgentName,
    pub(super) conversation: Option<ConversationId>,
    /// True if its conversation was made with it: nothing was said there before.
    pub(super) first: bool,
    pub(super) prompt: Screened<String>,
    pub(super) limits: Limits,
    pub(super) started: Timestamp,
}

impl Turn {
    /// The request it came with.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.asked.request
    }

    /// The place in a trace of that request, if it is known.
    #[must_use]
    pub fn asked_in(&self) -> Option<TraceContext> {
        self.asked.place
    }

    /// Who asked, as facts.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.asked.principal
    }

    /// What it serves.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.asked.kind
    }

    /// When it was asked.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.asked.started
    }

    /// The agent that answers.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.asked.agent
    }

    /// The conversation it belongs to; a bare tool call has none.
    #[must_use]
    pub fn conversation(&self) -> Option<ConversationId> {
        self.asked.conversation
    }

    /// True if nothing was said in its conversation before.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.asked.first
    }

    /// What was asked.
    #[must_use]
    pub fn prompt(&self) -> &Screened<String> {
        &self.asked.prompt
    }
}

//! Who asks, in which request, and what of an agent.

use cardea_auth::Caller;
use cardea_core::{
    id::{AgentName, ConversationId, RequestId},
    message::Sampling,
};
use serde_json::json;

use crate::{app::History, context::cache::Reuse, observe::Trace};

/// A request of somebody who came in by [`super::enter`], or for whom an embedding program vouches.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// The request's trace.
    pub trace: Trace,
}

impl Request {
    /// Its id, for the audit log.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.trace.request()
    }
}

/// What is said, to whom, and where.
#[derive(Debug)]
pub struct ChatRequest {
    /// The agent that shall answer.
    pub agent: AgentName,
    /// The conversation to go on with; a new one if absent.
    pub conversation: Option<ConversationId>,
    /// The text.
    pub text: String,
    /// Whatever else the client sent: two requests with one key are told apart by it, and nothing else is done with it.
    pub rest: String,
    /// The client's idempotency key.
    pub key: Option<String>,
    /// How it should be answered, over what the agent's file says.
    pub sampling: Sampling,
    /// What of answers that were given before.
    pub reuse: Reuse,
}

impl ChatRequest {
    /// Whether the conversation may have messages; the store is not asked.
    pub(super) fn history(&self) -> History {
        if self.conversation.is_some() { History::Some } else { History::None }
    }

    /// Everything that must be the same in a repeat under the same key.
    pub(super) fn whole(&self) -> String {
        json!([self.text, self.sampling, self.rest]).to_string()
    }
}

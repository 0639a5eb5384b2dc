//! The inputs of the request paths: who asks, in which request, and what they ask an agent.

use cardea_auth::Caller;
use cardea_core::{
    id::{AgentName, ConversationId, RequestId},
    message::Sampling,
};
use serde_json::json;

use crate::{app::History, context::cache::Reuse, observe::Trace};

/// A request whose caller was authenticated by [`super::enter`] or is vouched for by an embedding program.
#[derive(Debug)]
pub struct Request {
    /// The caller.
    pub caller: Caller,
    /// The request's trace.
    pub trace: Trace,
}

impl Request {
    /// Returns the id of the request, for the audit log.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.trace.request()
    }
}

/// A message to an agent.
#[derive(Debug)]
pub struct ChatRequest {
    /// The agent that is to answer.
    pub agent: AgentName,
    /// The conversation to continue; a new one if absent.
    pub conversation: Option<ConversationId>,
    /// The text.
    pub text: String,
    /// Whatever else the client sent. It only distinguishes two requests with the same key.
    pub rest: String,
    /// The client's idempotency key.
    pub key: Option<String>,
    /// Sampling that overrides the agent's file.
    pub sampling: Sampling,
    /// Which cached answers may be used.
    pub reuse: Reuse,
}

impl ChatRequest {
    /// Returns whether the conversation may have messages; the store is not asked.
    pub(super) fn history(&self) -> History {
        if self.conversation.is_some() { History::Some } else { History::None }
    }

    /// Returns everything that must be the same in a repeat under the same key.
    pub(super) fn whole(&self) -> String {
        json!([self.text, self.sampling, self.rest]).to_string()
    }
}

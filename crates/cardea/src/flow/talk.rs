//! Cardea inside another program: an agent, a caller made from verified claims, and the same checks.

use cardea_auth::Caller;
use cardea_core::{
    Result,
    id::{AgentName, ConversationId, RequestId},
    message::Sampling,
};

use super::{Message, Stream, chat};
use crate::{app::App, context::cache::Reuse, observe::RequestEvent, turn::Receipt};

/// An agent to talk to from inside a program.
#[derive(Debug, Clone)]
pub struct Talk {
    app: App,
    agent: AgentName,
}

impl App {
    /// The agent with this name, to talk to. One that does not exist says so when it is asked.
    #[must_use]
    pub fn agent(&self, agent: &str) -> Talk {
        Talk { app: self.clone(), agent: AgentName::from(agent) }
    }
}

impl Talk {
    /// Says something and waits for the end of the turn, or for its pause.
    ///
    /// # Errors
    /// As [`chat`].
    pub async fn chat(
        &self,
        caller: &Caller,
        conversation: Option<ConversationId>,
        text: &str,
    ) -> Result<Receipt> {
        chat(&self.app, caller, self.message(caller, conversation, text), None).await
    }

    /// The same, with the events of the turn on the way.
    ///
    /// # Errors
    /// As [`chat`].
    pub async fn stream(
        &self,
        caller: &Caller,
        conversation: Option<ConversationId>,
        text: &str,
        events: Stream,
    ) -> Result<Receipt> {
        chat(&self.app, caller, self.message(caller, conversation, text), Some(events)).await
    }

    fn message(&self, caller: &Caller, conversation: Option<ConversationId>, text: &str) -> Message {
        let mut event = RequestEvent::new(RequestId::random(), "none", "embedded");
        event.asked_by(caller);
        Message {
            agent: self.agent.clone(),
            conversation,
            text: text.to_owned(),
            key: None,
            sampling: Sampling::default(),
            reuse: Reuse::Allowed,
            trace: self.app.observe.trace(event, None),
        }
    }
}

//! Runs Cardea inside another program: an agent, a caller made from verified claims, and the same checks.

use cardea_auth::Caller;
use cardea_core::{
    Result,
    id::{AgentName, ConversationId, RequestId},
    message::Sampling,
};

use super::{ChatRequest, Request, Stream, chat, detached};
use crate::{app::App, context::cache::Reuse, observe::RequestEvent, once::sound_key, turn::Receipt};

/// An agent to talk to from inside a program.
#[derive(Debug, Clone)]
pub struct Talk {
    app: App,
    agent: AgentName,
    key: Option<String>,
}

impl App {
    /// Returns the agent with this name. Whether it exists is checked when it is first asked.
    #[must_use]
    pub fn agent(&self, agent: &str) -> Talk {
        Talk { app: self.clone(), agent: AgentName::from(agent), key: None }
    }
}

impl Talk {
    /// Sets the idempotency key for one message: 1 to 255 ASCII characters. A repeat within a day returns the same
    /// receipt, and the work is done once.
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sends a message and waits until the turn ends or pauses. Dropping the future stops only the waiting: the turn
    /// runs to its end, and [`App::stop`] waits for it.
    ///
    /// # Errors
    /// As [`chat`]; `bad_request` for an invalid key; `draining` once the installation stops.
    pub async fn chat(
        &self,
        caller: &Caller,
        conversation: Option<ConversationId>,
        text: &str,
    ) -> Result<Receipt> {
        self.say(caller, self.message(conversation, text)?, None).await
    }

    /// As [`Talk::chat`], and sends the turn's events as they happen.
    ///
    /// # Errors
    /// As [`Talk::chat`].
    pub async fn stream(
        &self,
        caller: &Caller,
        conversation: Option<ConversationId>,
        text: &str,
        events: Stream,
    ) -> Result<Receipt> {
        self.say(caller, self.message(conversation, text)?, Some(events)).await
    }

    /// Runs the message in a task of its own, as over HTTP.
    ///
    /// WHY: a dropped future must not stop an action half way, and a stopping installation waits only for its own
    /// tasks.
    async fn say(&self, caller: &Caller, message: ChatRequest, events: Option<Stream>) -> Result<Receipt> {
        let mut event = RequestEvent::new(RequestId::random(), "none", "embedded");
        event.asked_by(caller);
        let request = Request { caller: caller.clone(), trace: self.app.observe.trace(event, None, None) };
        detached(&self.app, "chat", |app| async move {
            let ended = chat(&app, &request, message, events).await;
            request.trace.note(|event| event.status = status(&ended)); // for logs and metrics
            ended
        })
        .await
    }

    fn message(&self, conversation: Option<ConversationId>, text: &str) -> Result<ChatRequest> {
        let key = self.key.as_deref().map(|key| sound_key(Some(key), "The idempotency key"));
        Ok(ChatRequest {
            agent: self.agent.clone(),
            conversation,
            text: text.to_owned(),
            rest: String::new(),
            key: key.transpose()?,
            sampling: Sampling::default(),
            reuse: Reuse::Allowed,
        })
    }
}

/// Returns the status that the same answer would have over HTTP.
fn status(ended: &Result<Receipt>) -> u16 {
    match ended {
        Ok(receipt) if receipt.approval.is_some() => 202,
        Ok(_) => 200,
        Err(error) => error.code().status(),
    }
}

//! Sends text to the client, only through the guard window and without waiting for a client that has disconnected.

use std::time::Duration;

use cardea_core::{
    Code, Error, Result,
    id::{ConversationId, TurnId},
    message::{Finish, ModelEvent, Usage, tokens_of},
    tool::ToolCall,
};
use cardea_model::ModelStream;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    control::{OutputWindow, Screened},
    turn::{Receipt, Turn},
};

/// Where a turn's events go while it runs. A client that disconnects does not stop the turn.
pub type Stream = mpsc::Sender<ReplyEvent>;

/// What a client sees of a turn while it runs.
#[derive(Debug, Clone)]
pub enum ReplyEvent {
    /// The turn is durable.
    Begun {
        /// Its id.
        turn: TurnId,
        /// Its conversation.
        conversation: Option<ConversationId>,
    },
    /// More of the answer, screened.
    Text(String),
    /// More of a bare completion's refusal to answer, screened.
    Refusal(String),
    /// The turn has ended, or waits for a person.
    Ended(Box<Receipt>),
}

/// The end of one model answer, with what the model wants next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) calls: Vec<ToolCall>,
    /// The text of this answer, not screened.
    pub(super) words: String,
    /// Its thoughts before the calls, not screened.
    pub(super) thoughts: String,
    pub(super) finish: Finish,
    /// True if the text is a refusal to answer.
    pub(super) refused: bool,
}

/// Where a turn's text goes.
#[derive(Debug)]
pub struct Outlet {
    window: OutputWindow,
    client: Option<Stream>,
    /// True once a client has failed to take all of it.
    cut: bool,
    /// Stops the model when the client stops reading.
    only_read: bool,
    /// Fires when the turn is to stop.
    stop: CancellationToken,
    /// The model began with a refusal, so all of its text is one.
    refused: bool,
    /// The number of line feeds at the end of the earlier text, if there was any.
    ends: Option<usize>,
}

impl Outlet {
    /// Makes the outlet of one turn.
    #[must_use]
    pub fn new(window: OutputWindow, client: Option<Stream>) -> Self {
        let window = if client.is_none() { window.unhurried() } else { window };
        Self {
            window,
            client,
            cut: false,
            only_read: false,
            stop: CancellationToken::new(),
            refused: false,
            ends: None,
        }
    }

    /// Makes the answer end when its client stops reading. For bare completions, which have no action that this could
    /// stop half way.
    #[must_use]
    pub(super) fn only_read(self) -> Self {
        Self { only_read: true, ..self }
    }

    /// Sets the token that interrupts the model.
    pub(super) fn heed(&mut self, stop: CancellationToken) {
        self.stop = stop;
    }

    /// Returns once nobody reads any more or the turn is stopped. Waits for ever if neither happens.
    pub(super) async fn unwanted(&self) -> Error {
        let unread = async {
            match &self.client {
                Some(client) if self.only_read => client.closed().await,
                None if self.only_read && self.cut => {}
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = unread => {}
        }
        Error::new(Code::Cancelled)
    }

    async fn send(&mut self, event: ReplyEvent) {
        let Some(client) = &self.client else { return };
        // WHY: a client that has disconnected, or reads nothing for a while, must not delay an action half way.
        let sent = tokio::time::timeout(Duration::from_secs(5), client.send(event)).await;
        if !matches!(sent, Ok(Ok(()))) {
            (self.client, self.cut) = (None, true);
        }
    }

    /// True if a client did not take everything that was sent to it.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) async fn begun(&mut self, turn: &Turn) {
        self.send(ReplyEvent::Begun { turn: turn.id(), conversation: turn.conversation() }).await;
    }

    pub(super) async fn ended(&mut self, receipt: &Receipt) {
        self.send(ReplyEvent::Ended(Box::new(receipt.clone()))).await;
    }

    async fn say(&mut self, text: String) {
        if !text.is_empty() {
            // WHY: whatever an agent's model says is the turn's answer.
            let refusal = self.refused && self.only_read;
            let event = if refusal { ReplyEvent::Refusal(text) } else { ReplyEvent::Text(text) };
            self.send(event).await;
        }
    }

    /// Copies a model's answer to the client through the guard window, and collects what else the model wants.
    ///
    /// `used` is kept up to date with the usage so far, so that it holds even on an error. It is our own count until
    /// the provider reports one.
    ///
    /// # Errors
    /// `guard_refused`; `cancelled` if nobody reads any more or the turn was stopped; `model_failed` for a stream that
    /// was cut off; errors of the model.
    pub(super) async fn relay(&mut self, mut events: ModelStream, used: &mut Usage) -> Result<Next> {
        let (mut calls, mut words, mut thoughts) = (Vec::new(), String::new(), String::new());
        let mut unseen = 0_usize;
        loop {
            let event = tokio::select! {
                biased;
                // Returning drops the stream, which tells the provider.
                unwanted = self.unwanted() => return Err(unwanted),
                event = events.next() => event,
            };
            let Some(event) = event else { break };
            let event = event?;
            self.refused |= words.is_empty() && matches!(event, ModelEvent::Refusal(_));
            match event {
                ModelEvent::Text(text) | ModelEvent::Refusal(text) => {
                    let apart = if words.is_empty() { self.apart(&text) } else { "" };
                    words.push_str(&text);
                    used.output = tokens_of(words.len().saturating_add(unseen));
                    let shown = if apart.is_empty() {
                        self.window.push(&text)?
                    } else {
                        self.window.push(&format!("{apart}{text}"))?
                    };
                    self.say(shown).await;
                }
                ModelEvent::Unseen(bytes) => {
                    unseen = unseen.saturating_add(bytes);
                    used.output = tokens_of(words.len().saturating_add(unseen));
                }
                ModelEvent::Call(call) => calls.push(call),
                ModelEvent::Thoughts(text) => thoughts = text,
                ModelEvent::Spent(usage) => *used = usage, // and the error follows
                ModelEvent::End { finish, usage } => {
                    *used = usage;
                    if !words.trim().is_empty() {
                        self.ends = Some(words.len() - words.trim_end_matches('\n').len());
                    }
                    return Ok(Next { calls, words, thoughts, finish, refused: self.refused });
                }
            }
        }
        Err(Error::new(Code::ModelFailed).detail("Its answer was cut off."))
    }

    /// Returns what is missing of a blank line between the text before the calls and the text after them.
    fn apart(&self, next: &str) -> &'static str {
        let begins = next.len() - next.trim_start_matches('\n').len();
        match self.ends.map(|ends| ends + begins) {
            Some(0) => "\n\n",
            Some(1) => "\n",
            _ => "",
        }
    }

    /// Sends an answer that has already passed today's guardrails.
    pub(super) async fn replay(&mut self, text: &Screened<String>) {
        self.window.pass(text);
        self.say(text.to_string()).await;
    }

    /// Sends what is missing of an answer that another node has written and screened: the rest, if the answer continues
    /// what was sent here, otherwise all of it, after what was sent.
    pub(super) async fn catch_up(&mut self, answer: &Screened<String>) {
        let missing = match answer.strip_prefix(self.window.left()) {
            Some(rest) => rest.to_owned(),
            None if answer.is_empty() => String::new(),
            None => format!("\n\n{}", **answer),
        };
        self.say(missing).await;
    }

    /// Ends the window and returns everything that was said.
    ///
    /// # Errors
    /// `guard_refused` if the finding was at the end of the text.
    pub(super) async fn finish(&mut self) -> Result<Screened<String>> {
        let (last, answer) = self.window.finish()?;
        self.say(last).await;
        Ok(answer)
    }
}

//! Who works for whom, and by which way in.

use std::sync::Arc;

use cardea_auth::Caller;
use cardea_core::{
    agent::Agent,
    id::{RequestId, TurnId},
    policy::Via,
};

use crate::{app::App, control::Requester, turn::Turn};

/// An agent at work for a caller: what each step of a turn is decided and done with.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// The installation.
    pub(super) app: &'a App,
    /// For whom, with the rights that they have now.
    pub(super) caller: &'a Caller,
    /// What works.
    pub(super) agent: &'a Arc<Agent>,
    /// The way in, as policies and the log of decisions call it: `chat` or `mcp`.
    pub(super) via: Via,
}

impl<'a> Run<'a> {
    /// An agent that answers in words.
    pub(crate) const fn chat(app: &'a App, caller: &'a Caller, agent: &'a Arc<Agent>) -> Self {
        Self { app, caller, agent, via: Via::Chat }
    }

    /// A client that brings its own model and calls tools by itself.
    pub(super) const fn mcp(app: &'a App, caller: &'a Caller, agent: &'a Arc<Agent>) -> Self {
        Self { app, caller, agent, via: Via::Mcp }
    }

    /// The agent's guardrail profile; none is the installation's.
    pub(crate) fn guard(&self) -> Option<&'a str> {
        self.agent.spec.guard.as_deref()
    }

    /// Who asks, in a turn.
    pub(super) fn requester(&self, turn: &Turn) -> Requester<'a> {
        self.requester_of(turn.request(), Some(turn.id()))
    }

    /// Who asks, in a request that has no turn yet.
    pub(super) fn requester_before(&self, request: RequestId) -> Requester<'a> {
        self.requester_of(request, None)
    }

    fn requester_of(&self, request: RequestId, turn: Option<TurnId>) -> Requester<'a> {
        Requester { caller: self.caller, agent: &self.agent.name, via: self.via, request, turn }
    }
}

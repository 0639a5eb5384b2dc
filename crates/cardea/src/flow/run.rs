//! The context of a turn's steps: caller, agent and entry point.

use std::sync::Arc;

use cardea_auth::Caller;
use cardea_core::{
    agent::Agent,
    id::{RequestId, TurnId},
    policy::Via,
};

use crate::{
    app::App,
    control::{Placeholders, Requester, Screen},
    turn::Turn,
};

/// An agent at work for a caller. Each step of a turn is decided and run with it.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// The installation.
    pub(super) app: &'a App,
    /// The caller, with their present rights.
    pub(super) caller: &'a Caller,
    /// The agent.
    pub(super) agent: &'a Arc<Agent>,
    /// The entry point, as policies and the decision log call it: `chat` or `mcp`.
    pub(super) via: Via,
}

impl<'a> Run<'a> {
    /// A run of an agent that answers in text.
    pub(crate) const fn chat(app: &'a App, caller: &'a Caller, agent: &'a Arc<Agent>) -> Self {
        Self { app, caller, agent, via: Via::Chat }
    }

    /// A run for a client that brings its own model and calls tools directly.
    pub(super) const fn mcp(app: &'a App, caller: &'a Caller, agent: &'a Arc<Agent>) -> Self {
        Self { app, caller, agent, via: Via::Mcp }
    }

    /// Returns the agent's guardrail profile. `None` stands for the installation's.
    pub(crate) fn guard(&self) -> Option<&'a str> {
        self.agent.spec.guard.as_deref()
    }

    /// Returns the agent's guardrails, with these placeholders.
    pub(super) fn screen(&self, names: &'a Placeholders) -> Screen<'a> {
        self.app.control.screen(self.guard(), names)
    }

    /// Returns the requester in a turn.
    pub(super) fn requester(&self, turn: &Turn) -> Requester<'a> {
        self.requester_of(turn.request(), Some(turn.id()))
    }

    /// Returns the requester in a request that has no turn yet.
    pub(super) fn requester_before(&self, request: RequestId) -> Requester<'a> {
        self.requester_of(request, None)
    }

    fn requester_of(&self, request: RequestId, turn: Option<TurnId>) -> Requester<'a> {
        Requester { caller: self.caller, agent: &self.agent.name, via: self.via, request, turn }
    }
}

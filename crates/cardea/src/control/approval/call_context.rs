//! What is around a call that somebody wants to make.

use std::collections::BTreeSet;

use cardea_core::{
    id::{AgentName, ApprovalId, RequestId, TurnId},
    policy::Via,
};

/// Around a call: which turn, on whose behalf, with what in it.
#[derive(Debug)]
pub struct CallContext<'a> {
    /// The turn.
    pub turn: TurnId,
    /// The step of the turn that the call is, from 1.
    pub step: i64,
    /// The request.
    pub request: RequestId,
    /// The agent that asks.
    pub agent: &'a AgentName,
    /// The way in.
    pub via: Via,
    /// Where untrusted text came into the turn.
    pub taint: &'a BTreeSet<String>,
    /// The approval that the step waited for.
    pub approval: Option<ApprovalId>,
}

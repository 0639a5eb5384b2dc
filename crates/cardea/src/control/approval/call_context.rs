//! Context of a call about which policy is asked.

use std::collections::BTreeSet;

use cardea_core::{
    id::{AgentName, ApprovalId, RequestId, TurnId},
    policy::Via,
};

/// Context of a call: its turn, its origin and its taint.
#[derive(Debug)]
pub struct CallContext<'a> {
    /// The turn.
    pub turn: TurnId,
    /// Number of the call's step in the turn, from 1.
    pub step: i64,
    /// The request.
    pub request: RequestId,
    /// The agent that makes the call.
    pub agent: &'a AgentName,
    /// The interface through which the request came.
    pub via: Via,
    /// Sources of untrusted text in the turn.
    pub taint: &'a BTreeSet<String>,
    /// The approval that the step waited for.
    pub approval: Option<ApprovalId>,
}

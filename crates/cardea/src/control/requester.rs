//! The requester of a policy decision outside a turn, as the logs name it.

use cardea_auth::Caller;
use cardea_core::{
    id::{AgentName, RequestId, TurnId},
    policy::Via,
};

use crate::observe::Entry;

/// A caller and the interface used.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// The agent.
    pub agent: &'a AgentName,
    /// The interface.
    pub via: Via,
    /// The request.
    pub request: RequestId,
    /// The turn, if there is one.
    pub turn: Option<TurnId>,
}

impl<'a> Requester<'a> {
    /// Creates an audit entry about this request.
    pub(super) fn entry(&self, event: &'static str) -> Entry<'a> {
        Entry { turn: self.turn, request: Some(self.request), ..Entry::new(self.caller, event) }
    }
}

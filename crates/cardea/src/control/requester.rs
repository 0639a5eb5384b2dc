//! Who asks policy outside of a turn, as the logs name them.

use cardea_auth::Caller;
use cardea_core::{
    id::{AgentName, RequestId, TurnId},
    policy::Via,
};

use crate::observe::Entry;

/// Who asked through what.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// The agent.
    pub agent: &'a AgentName,
    /// The way in.
    pub via: Via,
    /// The request.
    pub request: RequestId,
    /// The turn, if there is one.
    pub turn: Option<TurnId>,
}

impl<'a> Requester<'a> {
    /// An entry of the audit log about what they asked.
    pub(super) fn entry(&self, event: &'static str) -> Entry<'a> {
        Entry { turn: self.turn, request: Some(self.request), ..Entry::new(self.caller, event) }
    }
}

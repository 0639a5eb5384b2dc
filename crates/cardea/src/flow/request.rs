//! Who asks, and in which request.

use cardea_auth::Caller;
use cardea_core::id::RequestId;

use crate::observe::Trace;

/// A request of somebody who came in by [`super::enter`], or for whom an embedding program vouches.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// The request's trace.
    pub trace: Trace,
}

impl Request {
    /// Its id, for the audit log.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.trace.request()
    }
}

//! Who asks, and in which request.

use cardea_auth::Caller;
use cardea_core::id::RequestId;

use crate::observe::Trace;

/// A request of somebody who came in.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The request's trace.
    pub trace: &'a Trace,
}

impl Request<'_> {
    /// Its id, for the audit log.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.trace.request()
    }
}

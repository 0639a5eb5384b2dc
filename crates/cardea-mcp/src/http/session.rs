//! Whose a protocol session is (only on wires before 2026-07-28).
//!
//! Knowing a session id is not being its owner: a request that names a session of somebody else gets the same
//! answer as for a session that never was.

use std::time::Duration;

use cardea_core::{Code, Error, Result};
use http::{Response, request::Parts};
use moka::sync::Cache;

use crate::identity::{Identity, Who};

const HEADER: &str = "mcp-session-id";

pub(super) struct Owners(Cache<String, String>);

impl Default for Owners {
    fn default() -> Self {
        // WHY: longer than rmcp keeps an idle session, so that a live one is never forgotten here.
        Self(Cache::builder().max_capacity(100_000).time_to_idle(Duration::from_secs(3_600)).build())
    }
}

impl Owners {
    pub(super) fn check(&self, request: &Parts, identity: &Identity) -> Result<()> {
        let Some(id) = request.headers.get(HEADER) else { return Ok(()) };
        let known = id.to_str().ok().and_then(|id| self.0.get(id));
        if known.as_deref() == Some(owner(identity).as_str()) {
            Ok(())
        } else {
            Err(Error::new(Code::NotFound))
        }
    }

    pub(super) fn note<B>(&self, response: &Response<B>, identity: &Identity) {
        if let Some(id) = response.headers().get(HEADER).and_then(|id| id.to_str().ok()) {
            self.0.insert(id.to_owned(), owner(identity));
        }
    }
}

fn owner(identity: &Identity) -> String {
    identity.who.as_ref().map(Who::key).unwrap_or_default()
}

//! Whose a protocol session is (only on wires before 2026-07-28).
//!
//! Knowing a session id is not being its owner: a request that names a session of somebody else gets the same
//! answer as for a session that never was.

use std::{net::IpAddr, time::Duration};

use cardea_core::{Code, Error, Result, time::Millis};
use cardea_net::counted_as;
use http::{Response, request::Parts};
use moka::sync::Cache;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

use crate::identity::{Identity, Who};

const HEADER: &str = "mcp-session-id";

/// Sessions that one caller may have at a time. Each lasts for minutes after its last request.
const MOST_OF_ONE: usize = 100;
/// Sessions that all callers together may have at a time.
const MOST: usize = 10_000;
/// After this time some may be gone.
const LATER: Millis = Millis::from_secs(60);

/// Whose a session is; of somebody who has not signed in, as which address they count.
#[derive(Clone, PartialEq, Eq)]
struct Owner {
    key: String,
    address: Option<IpAddr>,
}

impl Owner {
    fn of(identity: &Identity) -> Self {
        let address = identity.address.filter(|_| identity.who.is_none()).map(counted_as);
        Self { key: identity.who.as_ref().map(Who::key).unwrap_or_default(), address }
    }

    /// False if it may be anybody.
    fn is_somebody(&self) -> bool {
        !self.key.is_empty() || self.address.is_some()
    }
}

pub(super) struct Owners(Cache<String, Owner>);

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
        if known.is_some_and(|owner| owner.key == Owner::of(identity).key) {
            Ok(())
        } else {
            Err(Error::new(Code::NotFound))
        }
    }

    pub(super) fn note<B>(&self, response: &Response<B>, identity: &Identity) {
        if let Some(id) = response.headers().get(HEADER).and_then(|id| id.to_str().ok()) {
            self.0.insert(id.to_owned(), Owner::of(identity));
        }
    }

    /// Whether there is room for one more session of this caller.
    pub(super) async fn room(&self, sessions: &LocalSessionManager, identity: &Identity) -> Result<()> {
        let live = sessions.sessions.read().await;
        if live.len() >= MOST {
            return Err(Error::new(Code::Overloaded).retry_after(LATER));
        }
        let owner = Owner::of(identity);
        let own = live.keys().filter(|id| self.0.get(&***id).as_ref() == Some(&owner));
        if owner.is_somebody() && own.count() >= MOST_OF_ONE {
            let detail = format!("You have {MOST_OF_ONE} sessions; end some of them.");
            return Err(Error::new(Code::RateLimited).detail(detail).retry_after(LATER));
        }
        Ok(())
    }
}

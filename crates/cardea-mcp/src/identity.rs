//! Who a request comes from, as the gate has found out.

use std::{fmt::Write as _, net::IpAddr, ops::Deref, sync::Arc};

use cardea_auth::Caller;
use cardea_core::{id::RequestId, principal::Principal};
use serde_json::Value;

use crate::Extras;

/// What travels with a request from the gate to the pipeline. Only this crate can make one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) who: Option<Who>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request: Option<RequestId>,
    pub(crate) extras: Extras,
}

/// Somebody, and why we believe it.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// A credential was checked.
    Proved(Caller),
    /// The program that holds the server says so: over stdio, or in a test.
    Vouched(Arc<Principal>),
}

impl Who {
    /// Tells callers apart: `Principal::key`, and for a token of Cardea whoever vouched for the user there. The same name
    /// at two issuers is two people, though Cardea speaks for both.
    pub(crate) fn key(&self) -> String {
        let mut key = Principal::key(self);
        if let Self::Proved(caller) = self
            && let Some(idp) = caller.claims().get("idp").and_then(Value::as_str)
            && !caller.actors.is_empty()
        {
            // A string takes whatever is written.
            let _ = write!(key, "{}:{idp};", idp.len());
        }
        key
    }
}

impl Deref for Who {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        match self {
            Self::Proved(caller) => caller,
            Self::Vouched(principal) => principal,
        }
    }
}

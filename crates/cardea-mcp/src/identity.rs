//! The origin of a request, as determined by the gate.

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

/// A caller, and how the identity is known.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// A credential was verified.
    Proved(Caller),
    /// The program that runs the server vouches for the caller: over stdio, or in a test.
    Vouched(Arc<Principal>),
}

impl Who {
    /// Returns a key that tells callers apart: `Principal::key`, and for a token of Cardea the issuer that vouched for
    /// the user there. The same name at two issuers is two people, although Cardea vouches for both.
    pub(crate) fn key(&self) -> String {
        let mut key = Principal::key(self);
        if let Self::Proved(caller) = self
            && let Some(idp) = caller.claims().get("idp").and_then(Value::as_str)
            && !caller.actors.is_empty()
        {
            // Writing to a string does not fail.
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

//! Cached answers and tool results of a tenant are forgotten on request.

use std::slice;

use cardea_core::{Code, Error, Result};
use serde_json::{Value, json};

use super::Request;
use crate::{
    app::App,
    context::cache::{Cleared, Purged},
    control::Right,
};

/// What is forgotten.
#[derive(Debug)]
pub enum Clear {
    /// What bears this tag.
    Tag(String),
    /// What everybody of this name was given.
    User(String),
    /// Everything of the tenant.
    All,
    /// What the caller was given.
    Own,
}

impl Clear {
    /// For the audit log, unless it is the caller's own.
    fn of_others(&self) -> Option<Value> {
        let (tag, user) = match self {
            Self::Tag(tag) => (Some(tag), None),
            Self::User(user) => (None, Some(user)),
            Self::All => (None, None),
            Self::Own => return None,
        };
        Some(json!({ "tag": tag, "user": user, "all": matches!(self, Self::All) }))
    }
}

/// Forgets it. True if nothing of it is held any more, false if the store must still be told.
///
/// # Errors
/// `rate_limited`; `denied` for what is not the caller's own, unless the caller is an administrator; `store_unavailable` if it
/// would be served again after a restart.
pub async fn clear_cache(app: &App, request: &Request, what: &Clear) -> Result<bool> {
    let caller = &request.caller;
    app.control.count(caller).await?; // rate: everybody's entries are looked through
    if let Some(detail) = what.of_others() {
        app.control.require(caller, Right::CacheClear, request.id()).await?; // may they
        app.control.write_down(caller, "cache.cleared", detail, request.id()).await?; // audit, before it is done
    }
    let (cache, tenant) = (app.context.cache(), &caller.tenant);
    match what {
        Clear::Tag(tag) => kept(cache.clear_tags(tenant, slice::from_ref(tag)).await),
        Clear::User(user) => taken_out(cache.purge(tenant, user).await),
        Clear::All => kept(cache.clear_tenant(tenant).await),
        Clear::Own => taken_out(cache.purge_owner(tenant, &caller.key()).await),
    }
}

/// Refuses to say that something was cleared which would be served again after a restart.
fn kept(cleared: Cleared) -> Result<bool> {
    match cleared {
        Cleared::Surely => Ok(true),
        Cleared::ForNow => {
            Err(Error::new(Code::StoreUnavailable)
                .because("a clearing is neither delivered nor written down"))
        }
    }
}

/// The same of what is to be taken out; true if it is out already.
fn taken_out(purged: Purged) -> Result<bool> {
    match purged {
        Purged::Out => Ok(true),
        Purged::Owed => Ok(false),
        Purged::ForNow => kept(Cleared::ForNow),
    }
}

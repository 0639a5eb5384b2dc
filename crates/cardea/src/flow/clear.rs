//! Clears cached answers and tool results of a tenant.

use std::slice;

use cardea_core::{Code, Error, Result};
use serde_json::{Value, json};

use super::Request;
use crate::{
    app::App,
    context::cache::{Cleared, Purged},
    control::Right,
};

/// What to clear.
#[derive(Debug)]
pub enum Clear {
    /// Entries with this tag.
    Tag(String),
    /// Entries that belong to any user of this name.
    User(String),
    /// All entries of the tenant.
    All,
    /// The caller's own entries.
    Own,
}

impl Clear {
    /// Returns what to write into the audit log. `None` if only the caller's own entries are cleared.
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

/// Clears cache entries. Returns true if none of them is held any more, and false if the cache's store must still be
/// told.
///
/// # Errors
/// `rate_limited`; `denied` if the entries are not the caller's own and the caller is not an administrator;
/// `store_unavailable` if they would be served again after a restart.
pub async fn clear_cache(app: &App, request: &Request, what: &Clear) -> Result<bool> {
    let caller = &request.caller;
    app.control.count(caller).await?; // rate: this scans the entries of all users
    if let Some(detail) = what.of_others() {
        app.control.require(caller, Right::CacheClear, request.id()).await?; // may they
        app.control.write_down(caller, "cache.cleared", detail, request.id()).await?; // audit, before the clearing
    }
    let (cache, tenant) = (app.context.cache(), &caller.tenant);
    match what {
        Clear::Tag(tag) => kept(cache.clear_tags(tenant, slice::from_ref(tag)).await),
        Clear::User(user) => taken_out(cache.purge(tenant, user).await),
        Clear::All => kept(cache.clear_tenant(tenant).await),
        Clear::Own => taken_out(cache.purge_owner(tenant, &caller.key()).await),
    }
}

/// Returns an error for a clearing that a restart would undo.
fn kept(cleared: Cleared) -> Result<bool> {
    match cleared {
        Cleared::Surely => Ok(true),
        Cleared::ForNow => {
            Err(Error::new(Code::StoreUnavailable)
                .because("a clearing is neither delivered nor written down"))
        }
    }
}

/// As [`kept`], for a purge. True if the entries are already out.
fn taken_out(purged: Purged) -> Result<bool> {
    match purged {
        Purged::Out => Ok(true),
        Purged::Owed => Ok(false),
        Purged::ForNow => kept(Cleared::ForNow),
    }
}

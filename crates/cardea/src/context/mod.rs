//! Room `context`: what an answer may build on, which is the conversation, its window, and cached answers.
//!
//! Promises: no one gets a conversation, a history or a cached answer of another person; the id of another person's
//! conversation is answered like one that never existed. An unavailable cache is a miss, never an error. Called by
//! `flow`; it knows nothing of tools beyond the tags of their results.

pub mod cache;
mod conversation;
mod erase;
mod originals;

use std::{ops::Deref, sync::Arc};

use cardea_auth::Caller;
use cardea_core::{id::RequestId, principal::Principal, time::SharedClock};
use cardea_store::Db;

pub use self::{
    conversation::{Conversation, Kept, Said, Told},
    erase::Whom,
};
use crate::{
    observe::{Entry, Observe},
    vault::Vault,
};

/// Proof that a row belongs to the caller's tenant and to the caller. Only this room makes it.
///
/// ```compile_fail,E0451
/// # use cardea::context::Owned;
/// fn forged(mine: Owned<u32>, theirs: u32) -> Owned<u32> {
///     Owned { value: theirs, ..mine }
/// }
/// ```
#[derive(Debug)]
pub struct Owned<T> {
    value: T,
    owner: Principal,
}

impl<T> Owned<T> {
    fn new(value: T, caller: &Caller) -> Self {
        Self { value, owner: Principal::clone(caller) }
    }

    /// Returns the owner.
    #[must_use]
    pub fn owner(&self) -> &Principal {
        &self.owner
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    observe: Observe,
    clock: SharedClock,
    cache: cache::Cache,
    vault: Vault,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// Creates the room on this database and this cache. The vault seals the values behind placeholders.
    #[must_use]
    pub fn new(db: Db, observe: Observe, clock: SharedClock, cache: cache::Cache, vault: Vault) -> Self {
        Self { inner: Arc::new(Inner { db, observe, clock, cache, vault }) }
    }

    /// Returns the cache of answers and tool results.
    #[must_use]
    pub fn cache(&self) -> &cache::Cache {
        &self.inner.cache
    }
}

/// Creates an audit entry for an action of this request.
fn entry<'a>(
    principal: &'a Principal,
    event: &'static str,
    request: Option<RequestId>,
    detail: serde_json::Value,
) -> Entry<'a> {
    Entry { request, detail, ..Entry::new(principal, event) }
}

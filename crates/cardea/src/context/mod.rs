//! What an answer may build on: the conversation, its window, and answers given before.
//!
//! Promises: nobody gets a conversation, a history or a cached answer that is not theirs; an id of somebody else's is
//! answered as one that never was. A cache that cannot be reached is a miss, never an error. `flow` calls it; it
//! knows nothing of tools beyond the tags of their results.

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

/// Proof that a row belongs to the caller's tenant and is the caller's own. Only this room makes it.
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

    /// Whose it is.
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
    /// A room over this database and this cache; what stands behind placeholders is sealed by this vault.
    #[must_use]
    pub fn new(db: Db, observe: Observe, clock: SharedClock, cache: cache::Cache, vault: Vault) -> Self {
        Self { inner: Arc::new(Inner { db, observe, clock, cache, vault }) }
    }

    /// Answers and tool results given before.
    #[must_use]
    pub fn cache(&self) -> &cache::Cache {
        &self.inner.cache
    }
}

/// What somebody did, with this request.
fn entry<'a>(
    principal: &'a Principal,
    event: &'static str,
    request: Option<RequestId>,
    detail: serde_json::Value,
) -> Entry<'a> {
    Entry { request, detail, ..Entry::new(principal, event) }
}

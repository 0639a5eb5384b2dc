//! What was taken back: single tokens, and all tokens that a user was issued until some moment.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use cardea_core::{
    id::{TenantId, UserId},
    time::Timestamp,
};

use crate::caller::Caller;

/// After this long without news of what was revoked elsewhere nobody knows what a token is worth.
const STALE: Duration = Duration::from_secs(30);

/// Something that is no longer accepted, in one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One token.
    Token {
        /// The tenant.
        tenant: TenantId,
        /// Its [`Caller::token_id`].
        id: String,
        /// When it ends by itself, if that is known.
        until: Option<Timestamp>,
    },
    /// All tokens that a user was issued until a moment. A token that does not tell when it was issued may be older.
    User {
        /// The tenant.
        tenant: TenantId,
        /// The issuer that vouches for the user; absent: whichever.
        issuer: Option<String>,
        /// The user.
        user: UserId,
        /// The moment.
        at: Timestamp,
    },
}

#[derive(Default)]
struct Tenant {
    tokens: HashMap<String, Option<Timestamp>>,
    /// User to issuer (empty: any) to the moment until which tokens are refused.
    users: HashMap<String, HashMap<String, Timestamp>>,
}

impl Tenant {
    fn holds(&self, caller: &Caller) -> bool {
        if caller.token_id().is_some_and(|id| self.tokens.contains_key(id)) {
            return true;
        }
        let Some(issuers) = self.users.get(caller.user.as_str()) else { return false };
        // WHY: a token that does not tell when it was issued may be from before.
        let before = |at: &Timestamp| caller.issued_at().is_none_or(|issued| issued <= *at);
        [issuers.get(""), issuers.get(&caller.issuer)].into_iter().flatten().any(before)
    }
}

/// Everything that was taken back, as far as this node knows.
#[derive(Default)]
pub(crate) struct Revoked {
    tenants: RwLock<HashMap<String, Tenant>>,
    heard: Mutex<Option<Instant>>,
}

impl Revoked {
    pub(crate) fn add(&self, revocation: &Revocation, now: Timestamp) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        match revocation {
            Revocation::Token { tenant, id, until } => {
                let tenant = tenants.entry(tenant.to_string()).or_default();
                tenant.tokens.retain(|_, until| until.is_none_or(|until| now < until));
                tenant.tokens.insert(id.clone(), *until);
            }
            Revocation::User { tenant, issuer, user, at } => {
                let tenant = tenants.entry(tenant.to_string()).or_default();
                let issuers = tenant.users.entry(user.to_string()).or_default();
                let last = issuers.entry(issuer.clone().unwrap_or_default()).or_insert(*at);
                *last = (*last).max(*at);
            }
        }
    }

    pub(crate) fn holds(&self, caller: &Caller) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(caller.tenant.as_str()).is_some_and(|tenant| tenant.holds(caller))
    }

    /// Notes that everything that was revoked anywhere until now has been added.
    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// True if somebody tells this node what was revoked elsewhere, and has not done so for too long.
    pub(crate) fn is_stale(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|at| at.elapsed() > STALE)
    }
}

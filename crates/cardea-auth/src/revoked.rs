//! What was taken back: single tokens, and all tokens that a user was issued until some moment.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use cardea_core::{
    id::{TenantId, UserId},
    time::{Millis, Timestamp},
};

use crate::{caller::Caller, reason::Reason};

/// How long a token that was taken back is remembered after its own end: longer than any leeway that can be configured,
/// now or later, and than the clocks of nodes are apart.
pub const REMEMBERED_AFTER_END: Millis = Millis::from_secs(5 * 60);

/// After this long without news of what was revoked elsewhere nobody knows what a token is worth.
const STALE: Duration = Duration::from_secs(30);

/// Something that is no longer accepted, in one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One token.
    Token {
        /// The tenant.
        tenant: TenantId,
        /// The issuer that gave it that id; absent: whichever.
        issuer: Option<String>,
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
    /// Id to issuer (empty: any) to the end of the token, if that is known.
    tokens: HashMap<String, HashMap<String, Option<Timestamp>>>,
    /// User to issuer (empty: any) to the moment until which tokens are refused.
    users: HashMap<String, HashMap<String, Timestamp>>,
}

impl Tenant {
    fn check(&self, caller: &Caller, leeway: Millis) -> Result<(), Reason> {
        let named = caller.token_id().and_then(|id| self.tokens.get(id));
        if named.is_some_and(|issuers| issuers.contains_key("") || issuers.contains_key(&caller.issuer)) {
            return Err(Reason::Revoked);
        }
        let Some(issuers) = self.users.get(caller.user.as_str()) else { return Ok(()) };
        let Some(out) = [issuers.get(""), issuers.get(&caller.issuer)].into_iter().flatten().max() else {
            return Ok(());
        };
        match (caller.began_at(), caller.issued_at()) {
            // By the clock of this installation, which the moment is told by as well.
            (Some(began), _) if began > *out => Ok(()),
            (Some(_), _) => Err(Reason::Revoked),
            (None, Some(issued)) if issued > out.plus(leeway) => Ok(()),
            // WHY: an issuer's clock may be ahead by as much as is allowed on the way in, so this may be from before.
            (None, Some(issued)) if issued > *out => Err(Reason::TooSoon),
            // WHY: a token that does not tell when it was issued may be from before.
            (None, _) => Err(Reason::Revoked),
        }
    }
}

/// Everything that was taken back, as far as this node knows.
pub(crate) struct Revoked {
    tenants: RwLock<HashMap<String, Tenant>>,
    heard: Mutex<Option<Instant>>,
    /// How far an issuer's clock may be ahead.
    leeway: Millis,
}

impl Revoked {
    pub(crate) fn new(leeway: Millis) -> Self {
        Self { tenants: RwLock::default(), heard: Mutex::default(), leeway }
    }

    pub(crate) fn add(&self, revocation: &Revocation, now: Timestamp) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        match revocation {
            Revocation::Token { tenant, issuer, id, until } => {
                let tenant = tenants.entry(tenant.to_string()).or_default();
                tenant.tokens.retain(|_, issuers| {
                    issuers.retain(|_, until| until.is_none_or(|end| now < end.plus(REMEMBERED_AFTER_END)));
                    !issuers.is_empty()
                });
                let issuers = tenant.tokens.entry(id.clone()).or_default();
                issuers.insert(issuer.clone().unwrap_or_default(), *until);
            }
            Revocation::User { tenant, issuer, user, at } => {
                let tenant = tenants.entry(tenant.to_string()).or_default();
                let issuers = tenant.users.entry(user.to_string()).or_default();
                let last = issuers.entry(issuer.clone().unwrap_or_default()).or_insert(*at);
                *last = (*last).max(*at);
            }
        }
    }

    pub(crate) fn check(&self, caller: &Caller) -> Result<(), Reason> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(caller.tenant.as_str()).map_or(Ok(()), |tenant| tenant.check(caller, self.leeway))
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

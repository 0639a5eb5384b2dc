//! Revocations: single tokens, and all tokens issued to a user before some time.

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

/// How long a revoked token is remembered after its own expiry: longer than any leeway that can be configured, now or
/// later, and than the clock difference of nodes.
pub const REMEMBERED_AFTER_END: Millis = Millis::from_secs(5 * 60);

/// Number of tokens of a tenant that may stay without a sweep, expired or not.
const FEW: usize = 64;

/// Time without news of revocations after which no token can be trusted.
const STALE: Duration = Duration::from_secs(30);

/// A revocation in one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One token.
    Token {
        /// The tenant.
        tenant: TenantId,
        /// Issuer of the token; absent: any.
        issuer: Option<String>,
        /// Its [`Caller::token_id`].
        id: String,
        /// Its expiry, if known.
        until: Option<Timestamp>,
    },
    /// All tokens issued to a user before some time. A token that does not say when it was issued may be older.
    User {
        /// The tenant.
        tenant: TenantId,
        /// Issuer that vouches for the user; absent: any.
        issuer: Option<String>,
        /// The user.
        user: UserId,
        /// The time.
        at: Timestamp,
    },
}

#[derive(Default)]
struct Tenant {
    /// Id to issuer (empty: any) to the expiry of the token, if known.
    tokens: HashMap<String, HashMap<String, Option<Timestamp>>>,
    /// Number of tokens left after the last sweep.
    swept: usize,
    /// User to issuer (empty: any) to the time up to which tokens are refused.
    users: HashMap<String, HashMap<String, Timestamp>>,
}

impl Tenant {
    /// Removes expired tokens.
    fn sweep(&mut self, now: Timestamp) {
        // WHY: only when the number has doubled; a sweep for each one makes reading many of them at the start
        // quadratic.
        if self.tokens.len() < self.swept.saturating_mul(2).max(FEW) {
            return;
        }
        self.tokens.retain(|_, issuers| {
            issuers.retain(|_, until| until.is_none_or(|end| now < end.plus(REMEMBERED_AFTER_END)));
            !issuers.is_empty()
        });
        self.swept = self.tokens.len();
    }

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
            // By the clock of this installation, as is the time of the revocation.
            (Some(began), _) if began > *out => Ok(()),
            (Some(_), _) => Err(Reason::Revoked),
            (None, Some(issued)) if issued > out.plus(leeway) => Ok(()),
            // WHY: an issuer's clock may be ahead by as much as the leeway allows, so this token may be older.
            (None, Some(issued)) if issued > *out => Err(Reason::TooSoon),
            // WHY: a token that does not say when it was issued may be older.
            (None, _) => Err(Reason::Revoked),
        }
    }
}

/// All revocations that this node knows.
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
                tenant.sweep(now);
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

    /// Records that all revocations up to now have been added.
    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns whether this node is informed of revocations elsewhere, and has not been for too long.
    pub(crate) fn is_stale(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|at| at.elapsed() > STALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tokens_are_added_with_few_walks_and_those_that_ended_do_not_pile_up() {
        let revoked = Revoked::new(Millis(0));
        let (acme, mut now) = (TenantId::from("acme"), Timestamp(1_800_000_000_000));
        let take = |n: u32, until, now| {
            let (tenant, id) = (acme.clone(), n.to_string());
            revoked.add(&Revocation::Token { tenant, issuer: None, id, until }, now);
            let tenants = revoked.tenants.read().unwrap();
            (tenants["acme"].tokens.len(), tenants["acme"].swept)
        };
        let (mut walks, mut last) = (0, 0);
        for n in 0..100_000 {
            let (kept, swept) = take(n, Some(now.plus(Millis::from_secs(60))), now);
            assert_eq!(kept, usize::try_from(n).unwrap() + 1, "none is forgotten before its end");
            (walks, last) = (walks + usize::from(swept != last), swept);
        }
        assert!(walks < 20, "{walks}");
        now = now.plus(Millis::from_secs(3_600));
        for n in 0..100_000 {
            let until = now.plus(Millis(u64::from(n)));
            now = now.plus(Millis(10));
            let (kept, _) = take(200_000 + n, Some(until), now);
            assert!(n < 99_000 || kept < 100_000, "{kept} after {n}");
        }
    }
}

//! Tokens that were verified a moment ago, and those that were taken back.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use cardea_core::time::{Millis, Timestamp};
use moka::sync::Cache;

use crate::caller::Caller;

const MOST_TOKENS: u64 = 20_000;

/// Revocations of users are kept for as long as a token of theirs could still be valid.
const LONGEST_TOKEN: Millis = Millis::from_secs(24 * 3_600);

/// SHA-256 of a token: what is remembered cannot be used to sign in.
pub(crate) type Fingerprint = [u8; 32];

pub(crate) fn fingerprint(token: &str) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

#[derive(Default)]
struct Revoked {
    tokens: HashMap<Fingerprint, Timestamp>,
    /// (issuer, user) to the moment of revocation: tokens from before it are refused.
    users: HashMap<(String, String), Timestamp>,
}

pub(crate) struct Remembered {
    verified: Cache<Fingerprint, Caller>,
    revoked: RwLock<Revoked>,
}

impl Remembered {
    pub(crate) fn new(remember: Millis) -> Self {
        let verified = Cache::builder()
            .max_capacity(MOST_TOKENS)
            .time_to_live(remember.duration().max(Duration::from_millis(1)))
            .build();
        Self { verified, revoked: RwLock::default() }
    }

    /// A caller that was verified before, if its token has not ended since.
    pub(crate) fn get(&self, token: &Fingerprint, now: Timestamp) -> Option<Caller> {
        let caller = self.verified.get(token)?;
        if caller.expires_at().is_some_and(|at| now < at) {
            return Some(caller);
        }
        self.verified.invalidate(token);
        None
    }

    pub(crate) fn keep(&self, token: Fingerprint, caller: Caller) {
        self.verified.insert(token, caller);
    }

    /// True if the token, or its user since it was issued, was revoked.
    pub(crate) fn is_revoked(&self, token: &Fingerprint, caller: &Caller) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        if revoked.tokens.is_empty() && revoked.users.is_empty() {
            return false;
        }
        let user = (caller.issuer.clone(), caller.user.to_string());
        let issued_at = crate::claims::time(caller.claims(), "iat").ok().flatten();
        // WHY: a token that does not tell when it was issued may be from before.
        let before = |at: &Timestamp| issued_at.is_none_or(|issued| issued <= *at);
        revoked.tokens.contains_key(token) || revoked.users.get(&user).is_some_and(before)
    }

    /// True if this user was revoked at or after that moment.
    pub(crate) fn user_revoked_since(&self, issuer: &str, user: &str, since: Timestamp) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        revoked.users.get(&(issuer.to_owned(), user.to_owned())).is_some_and(|at| *at >= since)
    }

    pub(crate) fn revoke_token(&self, token: Fingerprint, until: Timestamp, now: Timestamp) {
        self.change(now, |revoked| revoked.tokens.insert(token, until));
    }

    pub(crate) fn revoke_user(&self, issuer: &str, user: &str, now: Timestamp) {
        self.change(now, |revoked| revoked.users.insert((issuer.to_owned(), user.to_owned()), now));
    }

    fn change<T>(&self, now: Timestamp, change: impl FnOnce(&mut Revoked) -> T) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        revoked.tokens.retain(|_, until| now < *until);
        revoked.users.retain(|_, at| now.since(*at) <= LONGEST_TOKEN);
        change(&mut revoked);
    }
}

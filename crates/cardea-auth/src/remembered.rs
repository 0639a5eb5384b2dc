//! A cache of tokens that were verified recently.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use cardea_core::time::{Millis, Timestamp};
use moka::sync::Cache;

use crate::caller::Caller;

const MOST_TOKENS: u64 = 20_000;

/// SHA-256 of a token. It cannot be used to sign in.
pub(crate) type Fingerprint = [u8; 32];

pub(crate) fn fingerprint(token: &str) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

pub(crate) struct Remembered {
    verified: Cache<Fingerprint, Caller>,
}

impl Remembered {
    pub(crate) fn new(remember: Millis) -> Self {
        let verified = Cache::builder()
            .max_capacity(MOST_TOKENS)
            .time_to_live(remember.duration().max(Duration::from_millis(1)))
            .build();
        Self { verified }
    }

    /// Returns the caller of a remembered token that has not expired.
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
}

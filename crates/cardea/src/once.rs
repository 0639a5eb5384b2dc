//! Room `once`: idempotency keys. A request that is made twice under one key is done once, and answered alike.
//!
//! Promises: a key is claimed in the commit of what it is for, so of two requests at once one finds it taken. The same key
//! with another request is refused. A key is remembered for 24 hours, as Stripe promises at least, and
//! never forgotten before its turn has ended as long ago: one that waits for a person may take days.
//!
//! Refuses: to know what was done under a key. It keeps which turn it was, or the answer itself.
//!
//! Called by: `identity` (new API keys), `turn` (questions and calls), the upkeep.

use cardea_core::{
    Code, Error, Result,
    canonical::hex,
    id::{TenantId, TurnId},
    time::{Millis, Timestamp},
};
use cardea_store::{Commit, Db, args};

/// How long a key is remembered, from its making and from the end of its turn.
const LIFE: Millis = Millis::from_secs(24 * 3_600);

/// The name of the guard that finds a key taken.
pub const TAKEN: &str = "idempotency key";

/// One request under its key.
#[derive(Debug, Clone, Copy)]
pub struct Once<'a> {
    /// Whose key it is: `Principal::key`. Two callers' keys have nothing to do with each other.
    pub owner: &'a str,
    /// The tenant of the owner.
    pub tenant: &'a TenantId,
    /// What kind of request it is: the same key may be used once for each.
    pub route: &'static str,
    /// The client's key, 1 to 255 characters of ASCII.
    pub key: &'a str,
    /// A digest of the request ([`fingerprint`]): two requests with the same one are the same.
    pub fingerprint: &'a str,
}

/// What was made under a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// The turn.
    pub turn: Option<TurnId>,
    /// The answer, where it is no turn's.
    pub answer: Option<String>,
}

/// A digest of the parts of a request.
#[must_use]
pub fn fingerprint<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(hash.finish().as_ref())
}

/// A key as a client sent it.
///
/// WHY: one that is not understood must not count as none: the client believes that a repeat is safe.
///
/// # Errors
/// `bad_request` unless it is a text of 1 to 255 characters of ASCII.
pub fn sound_key(key: Option<&str>, name: &str) -> Result<String> {
    match key {
        Some(key) if (1..=255).contains(&key.len()) && key.is_ascii() => Ok(key.to_owned()),
        _ => {
            let detail = format!("{name} must be given once, with 1 to 255 characters of ASCII.");
            Err(Error::new(Code::BadRequest).detail(detail))
        }
    }
}

impl Once<'_> {
    /// What was made before under this key.
    ///
    /// # Errors
    /// `idempotency_key_reused` if it was for another request; what the store says.
    pub async fn made(&self, db: &Db, now: Timestamp) -> Result<Option<Made>> {
        let sql = "SELECT fingerprint, turn, receipt FROM idempotency \
                   WHERE owner = $1 AND route = $2 AND key = $3 AND (expires_at > $4 OR EXISTS (SELECT 1 FROM turns \
                   WHERE turns.id = turn AND (ended_at IS NULL OR ended_at > $5)))";
        let args = args![self.owner, self.route, self.key, now, before(now)];
        let found: Option<(String, Option<TurnId>, Option<String>)> = db.row(sql, args).await?;
        match found {
            Some((before, ..)) if before != self.fingerprint => Err(Error::new(Code::KeyReused)),
            found => Ok(found.map(|(_, turn, answer)| Made { turn, answer })),
        }
    }

    /// Claims the key for what this commit does. If somebody else has it, the commit fails with a conflict called [`TAKEN`].
    pub fn claim(&self, made: Made, now: Timestamp) -> Commit {
        Commit::new()
            .run(
                "DELETE FROM idempotency WHERE owner = $1 AND route = $2 AND key = $3 AND expires_at <= $4 AND NOT EXISTS \
                 (SELECT 1 FROM turns WHERE turns.id = turn AND (ended_at IS NULL OR ended_at > $5))",
                args![self.owner, self.route, self.key, now, before(now)],
            )
            .guard(
                TAKEN,
                "INSERT INTO idempotency (owner, route, key, tenant, fingerprint, turn, receipt, created_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
                args![
                    self.owner,
                    self.route,
                    self.key,
                    self.tenant,
                    self.fingerprint,
                    made.turn,
                    made.answer,
                    now,
                    now.plus(LIFE)
                ],
            )
    }

    /// Gives the key free again, unless it was claimed anew since that turn.
    pub fn free(&self, turn: TurnId) -> Commit {
        let sql = "DELETE FROM idempotency WHERE owner = $1 AND route = $2 AND key = $3 AND turn = $4";
        Commit::new().run(sql, args![self.owner, self.route, self.key, turn])
    }
}

/// A turn that has ended after this keeps its key.
fn before(now: Timestamp) -> Timestamp {
    now.minus(LIFE)
}

/// Forgets the keys whose time is over.
pub fn forget_old(now: Timestamp) -> Commit {
    let sql = "DELETE FROM idempotency WHERE expires_at <= $1 AND NOT EXISTS \
               (SELECT 1 FROM turns WHERE turns.id = turn AND (ended_at IS NULL OR ended_at > $2))";
    Commit::new().run(sql, args![now, before(now)])
}

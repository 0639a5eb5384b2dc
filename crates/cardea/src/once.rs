//! Room `once`: idempotency keys. A request that is made twice under one key is done once, and gets the same answer.
//!
//! Promises: a key is claimed in the commit of its request, so of two concurrent requests one finds it taken. The same
//! key with a different request is refused. A key is remembered for at least 24 hours, as Stripe promises, and never
//! forgotten before its turn has been over for as long: a turn that waits for an approval may take days.
//!
//! Refuses: to know what was done under a key. It keeps the id of the turn, or the answer itself.
//!
//! Called by: `identity` (new API keys), `turn` (questions and calls), the upkeep.

use cardea_core::{
    Code, Error, Result,
    canonical::hex,
    id::{TenantId, TurnId},
    time::{Millis, Timestamp},
};
use cardea_store::{Commit, Db, args};

/// How long a key is remembered after its creation, and after the end of its turn.
const LIFE: Millis = Millis::from_secs(24 * 3_600);

/// Number of keys deleted in one commit, which takes some milliseconds.
const PORTION: i64 = 500;

/// Name of the guard that fails if a key is taken.
pub const TAKEN: &str = "idempotency key";

/// A request with its idempotency key.
#[derive(Debug, Clone, Copy)]
pub struct Once<'a> {
    /// Owner of the key: `Principal::key`. Keys of different callers are unrelated.
    pub owner: &'a str,
    /// The tenant of the owner.
    pub tenant: &'a TenantId,
    /// Kind of request. The same key may be used once for each kind.
    pub route: &'static str,
    /// The client's key: 1 to 255 ASCII characters.
    pub key: &'a str,
    /// Digest of the request ([`fingerprint`]): requests with the same digest are the same.
    pub fingerprint: &'a str,
}

/// Result of a request with a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// The turn.
    pub turn: Option<TurnId>,
    /// The answer of a request without a turn.
    pub answer: Option<String>,
}

/// Returns a digest of the parts of a request.
#[must_use]
pub fn fingerprint<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(hash.finish().as_ref())
}

/// Checks a key as sent by a client.
///
/// WHY: an invalid key must not count as none, since the client believes that a repeat is safe.
///
/// # Errors
/// `bad_request` unless it is a text of 1 to 255 ASCII characters.
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
    /// Returns the result of an earlier request with this key.
    ///
    /// # Errors
    /// `idempotency_key_reused` if it was for another request; a store error.
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

    /// Claims the key for what this commit does. If it is taken, the commit fails with a conflict called [`TAKEN`].
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

    /// Releases the key, unless it was claimed again since that turn.
    pub fn free(&self, turn: TurnId) -> Commit {
        let sql = "DELETE FROM idempotency WHERE owner = $1 AND route = $2 AND key = $3 AND turn = $4";
        Commit::new().run(sql, args![self.owner, self.route, self.key, turn])
    }
}

/// Returns the time limit: a turn that has ended after it keeps its key.
fn before(now: Timestamp) -> Timestamp {
    now.minus(LIFE)
}

/// Deletes the next portion of expired keys, among those that ended after `from`. Returns how far it came; `None` at
/// the end.
///
/// WHY in portions: each key costs a lookup of its turn, and no other task can write meanwhile. Keys that are kept for
/// their turn are skipped, not visited again.
///
/// # Errors
/// Store errors.
pub async fn forget_old(db: &Db, from: Timestamp, now: Timestamp) -> Result<Option<Timestamp>> {
    let sql = "SELECT MAX(expires_at) FROM (SELECT expires_at FROM idempotency WHERE expires_at > $1 AND expires_at <= $2 \
               ORDER BY expires_at LIMIT $3) AS portion";
    let (upto,): (Option<Timestamp>,) = db.row(sql, args![from, now, PORTION]).await?.unwrap_or_default();
    let Some(upto) = upto else { return Ok(None) };
    let sql = "DELETE FROM idempotency WHERE expires_at > $1 AND expires_at <= $2 AND NOT EXISTS \
               (SELECT 1 FROM turns WHERE turns.id = turn AND (ended_at IS NULL OR ended_at > $3))";
    db.commit(Commit::new().run(sql, args![from, upto, before(now)])).await?;
    Ok(Some(upto))
}

#[cfg(test)]
mod tests {
    use cardea_core::log::ChainKey;
    use cardea_store::DbConfig;

    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    async fn keys(db: &Db) -> i64 {
        db.row::<(i64,)>("SELECT COUNT(*) FROM idempotency", args![]).await.unwrap().unwrap().0
    }

    #[tokio::test]
    async fn a_day_of_keys_is_forgotten_in_portions_and_those_of_open_turns_hold_up_none() {
        let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&[7; 32])).await.unwrap();
        db.migrate().await.unwrap();
        let open = TurnId::random();
        let tenant = TenantId::from("acme");
        let turn = "INSERT INTO turns (id, tenant, owner, user_id, principal, kind, agent, state, node, node_fence, fence, \
                    started_at, updated_at, deadline_at) VALUES ($1, 'acme', 'o', 'u', '{}', 'chat', 'a', 'waiting', 'n', 0, \
                    0, 0, 0, 0)";
        let mut rows = Commit::new().run(turn, args![open]);
        // The oldest are kept for a turn that waits, the newest have not expired.
        for n in 1..=1_800 {
            let key = format!("{n}");
            let once = Once { owner: "o", tenant: &tenant, route: "r", key: &key, fingerprint: "" };
            let made = Made { turn: (n <= 600).then_some(open), answer: None };
            rows = rows.and(once.claim(made, Timestamp(if n <= 1_700 { n } else { DAY })));
        }
        db.commit(rows).await.unwrap();
        let (now, mut from, mut left) = (Timestamp(DAY + 10_000), Timestamp(0), vec![keys(&db).await]);
        while let Some(upto) = forget_old(&db, from, now).await.unwrap() {
            from = upto;
            left.push(keys(&db).await);
        }
        assert_eq!(left, [1_800, 1_800, 1_400, 900, 700]);
        db.commit(Commit::new().run("UPDATE turns SET ended_at = 0", args![])).await.unwrap();
        assert_eq!(forget_old(&db, Timestamp(0), now).await.unwrap(), Some(Timestamp(DAY + 500)));
        assert_eq!(keys(&db).await, 200);
    }
}

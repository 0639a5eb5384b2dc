//! Revocations: recorded once, learnt by every node.

use std::sync::atomic::Ordering;

use cardea_auth::{Auth, REMEMBERED_AFTER_END, Revocation};
use cardea_core::{
    Code, Error, Result,
    id::{TenantId, UserId},
    principal::Principal,
    time::Timestamp,
};
use cardea_store::{Commit, args};
use serde::Serialize;
use serde_json::json;

use super::{
    Identity,
    keys::{LONGEST_NAME, operator},
};

/// Number of rows read at once.
const ROWS: usize = 1_000;

/// Returns whether the text may be the name of a user, an issuer, a token or a tenant. Names given by issuers may
/// contain spaces.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// What to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoke {
    /// One token.
    Token {
        /// Its id: `jti`, or the digest that stands for it.
        id: String,
        /// Issuer of the token; absent: any.
        issuer: Option<String>,
        /// Its expiry, if known.
        until: Option<Timestamp>,
    },
    /// All tokens issued to a user so far.
    User {
        /// The user.
        user: UserId,
        /// Issuer that vouches for the user; absent: any.
        issuer: Option<String>,
        /// Also the API keys of this user.
        keys: bool,
    },
}

/// A revocation, as in lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// Its number.
    pub seq: i64,
    /// The token, if it was a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The user, if it was all of the user's tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Issuer of the user, if only that one was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Time of the revocation.
    pub at: Timestamp,
    /// Who revoked.
    pub by: String,
}

/// Columns: seq, tenant, token, user_id, issuer, at, ends_at.
type Row = (i64, TenantId, Option<String>, Option<String>, Option<String>, Timestamp, Option<Timestamp>);

fn read((_, tenant, token, user, issuer, at, until): Row) -> Option<Revocation> {
    match (token, user) {
        (Some(id), _) => Some(Revocation::Token { tenant, issuer, id, until }),
        (None, Some(user)) => Some(Revocation::User { tenant, issuer, user: user.as_str().into(), at }),
        (None, None) => None,
    }
}

impl Identity {
    /// Revokes in the tenant of `by`, and returns what `auth` must know of it. The caller of this function decides who
    /// may do so.
    ///
    /// # Errors
    /// Store errors.
    pub async fn revoke_tokens(&self, by: &Principal, what: Revoke) -> Result<Revocation> {
        let now = self.0.clock.now();
        let (token, user, issuer, until, keys) = match &what {
            Revoke::Token { id, issuer, until } => (Some(id.clone()), None, issuer.clone(), *until, false),
            Revoke::User { user, issuer, keys } => {
                (None, Some(user.to_string()), issuer.clone(), None, *keys)
            }
        };
        // WHY: the row stays locked until the end of the commit, so a higher number never becomes visible before a
        // lower one.
        let mut commit = Commit::new()
            .guard(
                "revocations",
                "UPDATE versions SET version = version + 1, updated_at = $1 WHERE name = 'revocations'",
                args![now],
            )
            .run(
                "INSERT INTO revocations (seq, tenant, token, user_id, issuer, at, ends_at, made_by) \
                 SELECT version, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), \
                 CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS TEXT) FROM versions WHERE name = 'revocations'",
                args![&by.tenant, token.clone(), user.clone(), issuer.clone(), now, until, &by.user],
            )
            // WHY: an expired token is still accepted within the leeway.
            .run("DELETE FROM revocations WHERE ends_at < $1", args![now.minus(REMEMBERED_AFTER_END)]);
        if let Some(user) = &user {
            // The new revocation covers the earlier ones.
            commit = commit.run(
                "DELETE FROM revocations WHERE tenant = $1 AND user_id = $2 AND COALESCE(issuer, '') = $3 \
                 AND at <= $4 AND seq < (SELECT version FROM versions WHERE name = 'revocations')",
                args![&by.tenant, user.as_str(), issuer.clone().unwrap_or_default(), now],
            );
        }
        if keys {
            commit = commit.run(
                // WHY: a key that was created with one of these is in the same hands.
                "WITH RECURSIVE taken(id) AS (SELECT id FROM api_keys WHERE tenant = $2 AND user_id = $3 \
                 UNION SELECT made.id FROM api_keys made JOIN taken ON made.created_by LIKE '% (' || taken.id || ')' \
                 WHERE made.tenant = $2) \
                 UPDATE api_keys SET revoked_at = $1 WHERE id IN (SELECT id FROM taken) AND revoked_at IS NULL",
                args![now, &by.tenant, user.clone()],
            );
        }
        let detail = json!({ "token": token, "user": user, "issuer": issuer, "keys": keys });
        let written = self.0.db.commit(self.told(commit, by, "token.revoked", detail)).await;
        // WHY: also after an error, since the commit may have arrived.
        if keys {
            self.forget_records(|record| record.tenant == by.tenant);
        }
        written?;
        let tenant = by.tenant.clone();
        Ok(match what {
            Revoke::Token { id, issuer, until } => Revocation::Token { tenant, issuer, id, until },
            Revoke::User { user, issuer, .. } => Revocation::User { tenant, issuer, user, at: now },
        })
    }

    /// Does the same as [`Self::revoke_tokens`] for the operator at the machine. Servers learn of it within two
    /// seconds.
    ///
    /// # Errors
    /// `bad_request` for impossible names; store errors.
    pub async fn operator_revoke_tokens(&self, tenant: &TenantId, what: Revoke) -> Result<()> {
        let user = match &what {
            Revoke::User { user, .. } => user.as_str(),
            Revoke::Token { id, .. } => id.as_str(),
        };
        let (Revoke::User { issuer, .. } | Revoke::Token { issuer, .. }) = &what;
        if ![tenant.as_str(), user].into_iter().chain(issuer.as_deref()).all(is_name) {
            let detail =
                "Names of users, issuers, tokens and tenants have 1 to 256 bytes and no control characters.";
            return Err(Error::new(Code::BadRequest).detail(detail));
        }
        self.revoke_tokens(&operator(tenant), what).await.map(drop)
    }

    /// Returns the revocations of a tenant, newest first.
    ///
    /// # Errors
    /// Store errors.
    pub async fn revocations(&self, tenant: &TenantId) -> Result<Vec<Revoked>> {
        let sql = "SELECT seq, token, user_id, issuer, at, made_by FROM revocations WHERE tenant = $1 \
                   ORDER BY seq DESC LIMIT 1000";
        type Shown = (i64, Option<String>, Option<String>, Option<String>, Timestamp, String);
        let rows: Vec<Shown> = self.0.db.rows(sql, args![tenant]).await?;
        let shown =
            |(seq, token_id, user, issuer, at, by): Shown| Revoked { seq, token_id, user, issuer, at, by };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Tells `auth` of all revocations since the last call, made here or at another node.
    ///
    /// # Errors
    /// Store errors.
    pub async fn learn_revocations(&self, auth: &Auth) -> Result<()> {
        let sql = "SELECT seq, tenant, token, user_id, issuer, at, ends_at FROM revocations WHERE seq > $1 \
                   ORDER BY seq LIMIT 1000";
        loop {
            let known = self.0.learnt.load(Ordering::Acquire);
            let rows: Vec<Row> = self.0.db.rows(sql, args![known]).await?;
            let (count, last) = (rows.len(), rows.last().map_or(known, |row| row.0));
            rows.into_iter().filter_map(read).for_each(|revocation| auth.revoke(&revocation));
            self.0.learnt.fetch_max(last, Ordering::AcqRel);
            if count < ROWS {
                return Ok(());
            }
        }
    }
}

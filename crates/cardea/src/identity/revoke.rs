//! Tokens that are taken back: written down once, learnt by every node.

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

/// How many rows are read at once.
const ROWS: usize = 1_000;

/// True for what may be the name of a user, an issuer, a token or a tenant. What an issuer calls them may have spaces in it.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// What to take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoke {
    /// One token.
    Token {
        /// Its id: `jti`, or the digest that stands for it.
        id: String,
        /// The issuer that gave it that id; absent: whichever.
        issuer: Option<String>,
        /// When it ends by itself, if that is known.
        until: Option<Timestamp>,
    },
    /// Everything that a user was issued until now.
    User {
        /// The user.
        user: UserId,
        /// The issuer that vouches for the user; absent: whichever.
        issuer: Option<String>,
        /// Also the API keys that stand for this user.
        keys: bool,
    },
}

/// What was taken back, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// Its number.
    pub seq: i64,
    /// The token, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The user, if it was everything of theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The issuer of the user, if only that one was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// seq, tenant, token, user_id, issuer, at, ends_at
type Row = (i64, TenantId, Option<String>, Option<String>, Option<String>, Timestamp, Option<Timestamp>);

fn read((_, tenant, token, user, issuer, at, until): Row) -> Option<Revocation> {
    match (token, user) {
        (Some(id), _) => Some(Revocation::Token { tenant, issuer, id, until }),
        (None, Some(user)) => Some(Revocation::User { tenant, issuer, user: user.as_str().into(), at }),
        (None, None) => None,
    }
}

impl Identity {
    /// Takes something back in the tenant of whoever does so, and gives what `auth` must know of it. Who may is decided
    /// by the caller of this function.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke_tokens(&self, by: &Principal, what: Revoke) -> Result<Revocation> {
        let now = self.0.clock.now();
        let (token, user, issuer, until, keys) = match &what {
            Revoke::Token { id, issuer, until } => (Some(id.clone()), None, issuer.clone(), *until, false),
            Revoke::User { user, issuer, keys } => {
                (None, Some(user.to_string()), issuer.clone(), None, *keys)
            }
        };
        // WHY: the row is locked until the end of the commit, so a higher number never shows before a lower one.
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
            // WHY: a token that is over is still let in within the leeway.
            .run("DELETE FROM revocations WHERE ends_at < $1", args![now.minus(REMEMBERED_AFTER_END)]);
        if let Some(user) = &user {
            // What is taken back now holds what was taken back before.
            commit = commit.run(
                "DELETE FROM revocations WHERE tenant = $1 AND user_id = $2 AND COALESCE(issuer, '') = $3 \
                 AND at <= $4 AND seq < (SELECT version FROM versions WHERE name = 'revocations')",
                args![&by.tenant, user.as_str(), issuer.clone().unwrap_or_default(), now],
            );
        }
        if keys {
            commit = commit.run(
                // WHY: a key that was made with one of these is in the same hands.
                "WITH RECURSIVE taken(id) AS (SELECT id FROM api_keys WHERE tenant = $2 AND user_id = $3 \
                 UNION SELECT made.id FROM api_keys made JOIN taken ON made.created_by LIKE '% (' || taken.id || ')' \
                 WHERE made.tenant = $2) \
                 UPDATE api_keys SET revoked_at = $1 WHERE id IN (SELECT id FROM taken) AND revoked_at IS NULL",
                args![now, &by.tenant, user.clone()],
            );
        }
        let detail = json!({ "token": token, "user": user, "issuer": issuer, "keys": keys });
        let written = self.0.db.commit(self.told(commit, by, "token.revoked", detail)).await;
        // WHY: also after an error, since the commit may have come through.
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

    /// As [`Self::revoke_tokens`], for whoever sits at the machine: servers learn of it within two seconds.
    ///
    /// # Errors
    /// `bad_request` for names that nobody can have; those of the store.
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

    /// What was taken back in a tenant, the newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revocations(&self, tenant: &TenantId) -> Result<Vec<Revoked>> {
        let sql = "SELECT seq, token, user_id, issuer, at, made_by FROM revocations WHERE tenant = $1 \
                   ORDER BY seq DESC LIMIT 1000";
        type Shown = (i64, Option<String>, Option<String>, Option<String>, Timestamp, String);
        let rows: Vec<Shown> = self.0.db.rows(sql, args![tenant]).await?;
        let shown =
            |(seq, token_id, user, issuer, at, by): Shown| Revoked { seq, token_id, user, issuer, at, by };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Tells `auth` everything that was taken back, here or on another node, since it was last told.
    ///
    /// # Errors
    /// Those of the store.
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

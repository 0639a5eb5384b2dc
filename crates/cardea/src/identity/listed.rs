//! Lists of API keys, and their creators.

use cardea_core::{
    Result,
    id::{KeyId, TenantId, UserId},
    page::{Limit, Page, Place},
};
use cardea_store::{Db, args};

use super::{Identity, KeyInfo};

/// Limit of keys that were created with one another in a chain.
const LONGEST_CHAIN: usize = 64;

/// Selects the keys of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Keys that are valid.
    Living,
    /// Also revoked and expired keys.
    All,
}

impl Identity {
    /// Returns a page of the keys of a tenant, newest first.
    ///
    /// # Errors
    /// Store errors.
    pub async fn keys(
        &self,
        tenant: &TenantId,
        which: Which,
        after: &Place,
        limit: Limit,
    ) -> Result<Page<KeyInfo>> {
        let sql = "SELECT id, prefix, user_id, name, roles, scopes, created_by, created_at, expires_at, last_used_at, \
                   revoked_at FROM api_keys WHERE tenant = $1 AND created_at <= $2 AND (created_at < $2 OR id < $3) \
                   AND ($4 = 0 OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $5))) \
                   ORDER BY created_at DESC, id DESC LIMIT $6";
        let living = i64::from(which == Which::Living);
        let args = args![tenant, after.at, &after.id, living, self.0.clock.now(), i64::from(limit.get()) + 1];
        let found: Vec<KeyInfo> = self.0.db.rows(sql, args).await?;
        Ok(Page::of(found, limit, |key| Place { at: key.created_at, id: key.id.to_string() }))
    }

    /// Returns all keys of a tenant, newest first, for the operator at the machine.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub async fn operator_keys(&self, tenant: &TenantId) -> Result<Vec<KeyInfo>> {
        let (mut all, mut after) = (Vec::new(), Some(Place::END));
        while let Some(place) = after {
            let page = self.keys(tenant, Which::All, &place, Limit::MOST).await?;
            all.extend(page.entries);
            after = page.next;
        }
        Ok(all)
    }

    /// Returns valid keys of other users that this user created with a token (of this issuer, if one is given).
    /// Revoking the user's own credentials revokes none of them.
    ///
    /// # Errors
    /// Store errors.
    pub async fn keys_made_by(
        &self,
        tenant: &TenantId,
        user: &UserId,
        issuer: Option<&str>,
    ) -> Result<Vec<KeyId>> {
        let sql = "SELECT id, created_by FROM api_keys WHERE tenant = $1 AND user_id <> $2 AND revoked_at IS NULL \
                   AND (expires_at IS NULL OR expires_at > $3) AND substr(created_by, 1, $4) = $5 \
                   ORDER BY created_at DESC LIMIT 1000";
        let begins = format!("{user} (");
        let length = i64::try_from(begins.chars().count()).unwrap_or(i64::MAX);
        let args = args![tenant, user, self.0.clock.now(), length, &begins];
        let found: Vec<(KeyId, String)> = self.0.db.rows(sql, args).await?;
        let wanted = issuer.map(|issuer| format!("{begins}{issuer})"));
        let by = |made_by: &String| wanted.as_ref().is_none_or(|wanted| made_by == wanted);
        Ok(found.into_iter().filter(|(_, made_by)| by(made_by)).map(|(id, _)| id).collect())
    }
}

/// Returns the creator of this key, and of each key that it was created with, back to a person who signed in, all in
/// the form of [`KeyInfo::created_by`]. `None` if that is no longer known.
///
/// # Errors
/// Store errors.
pub async fn makers(db: &Db, tenant: &TenantId, key: &str) -> Result<Option<Vec<String>>> {
    let (mut next, mut makers) = (key.parse::<KeyId>().ok(), Vec::new());
    while let Some(id) = next {
        let sql = "SELECT created_by FROM api_keys WHERE id = $1 AND tenant = $2";
        let found: Option<(String,)> = db.row(sql, args![id, tenant]).await?;
        let Some((made_by,)) = found.filter(|_| makers.len() < LONGEST_CHAIN) else { return Ok(None) };
        let with = made_by.strip_suffix(')').and_then(|text| text.rsplit_once(" (")).map(|(_, with)| with);
        next = with.and_then(|with| with.parse().ok());
        makers.push(made_by);
    }
    Ok(Some(makers).filter(|makers| !makers.is_empty()))
}

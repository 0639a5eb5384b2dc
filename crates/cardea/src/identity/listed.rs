//! API keys as lists show them, and who made them.

use cardea_core::{
    Result,
    id::{KeyId, TenantId, UserId},
    page::{Limit, Page, Place},
};
use cardea_store::{Db, args};

use super::{Identity, KeyInfo};

/// So many keys may one have been made with another.
const LONGEST_CHAIN: usize = 64;

/// Which keys a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that work.
    Living,
    /// Also those that are revoked or over.
    All,
}

impl Identity {
    /// A page of the keys of a tenant, the newest first.
    ///
    /// # Errors
    /// Those of the store.
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

    /// All keys of a tenant, the newest first, for whoever sits at the machine.
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

    /// Keys that still work, stand for somebody else, and were made by this user with a token (of this issuer, if one is
    /// said): revoking what the user has takes none of them away.
    ///
    /// # Errors
    /// Those of the store.
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

/// Who made this key, and each key that it was made with, back to somebody who signed in: all as [`KeyInfo::created_by`]
/// has it. `None` if that cannot be told any more.
///
/// # Errors
/// Those of the store.
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

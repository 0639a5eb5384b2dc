//! Who made API keys.

use cardea_core::{
    Result,
    id::{KeyId, TenantId},
};
use cardea_store::{Db, args};

#[cfg(doc)]
use super::KeyInfo;

/// So many keys may one have been made with another.
const LONGEST_CHAIN: usize = 64;

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

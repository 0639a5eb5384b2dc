//! The directory of API keys for the room `auth`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, atomic::Ordering},
};

use cardea_auth::{KeyDirectory, KeyRecord};
use cardea_core::{Result, id::KeyId, time::Timestamp};
use cardea_store::{Commit, FromRow, Row, RowError, Value, args};
use futures::future::BoxFuture;

use super::{Identity, keys::names};

struct Found(KeyRecord);

impl FromRow for Found {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        // WHY: a hash of another length was not made here; zeros are the hash of no key.
        let hash = <[u8; 32]>::try_from(row.get::<Vec<u8>>(2)?.as_slice()).unwrap_or_default();
        Ok(Self(KeyRecord {
            id: row.get(0)?,
            prefix: row.get(1)?,
            hash,
            tenant: row.get(3)?,
            user: row.get::<String>(4)?.as_str().into(),
            client: None,
            roles: names(&row.get::<String>(5)?),
            scopes: names(&row.get::<String>(6)?),
            expires_at: row.get(7)?,
            revoked_at: row.get(8)?,
        }))
    }
}

/// Returns the rows that record uses, in the order of the keys.
///
/// WHY ordered: two nodes that write the same keys in different orders would wait for each other.
fn last_uses(used: &HashMap<KeyId, Timestamp>) -> Commit {
    let used: BTreeMap<_, _> = used.iter().collect();
    used.into_iter().fold(Commit::new(), |commit, (id, at)| {
        commit.run(
            "UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND COALESCE(last_used_at, 0) < $1",
            args![*at, *id],
        )
    })
}

impl KeyDirectory for Identity {
    fn find<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>>> {
        Box::pin(async move {
            if let Some(record) = self.0.records.get(prefix) {
                return Ok(Some(record));
            }
            let sql = "SELECT id, prefix, hash, tenant, user_id, roles, scopes, expires_at, revoked_at
                       FROM api_keys WHERE prefix = $1";
            let before = self.0.forgotten.load(Ordering::SeqCst);
            let found = self.record(sql, args![prefix]).await?;
            if let Some(record) = &found {
                self.remember(prefix, record, before);
            }
            Ok(found)
        })
    }

    fn find_by_id(&self, id: KeyId) -> BoxFuture<'_, Result<Option<Arc<KeyRecord>>>> {
        Box::pin(async move {
            let sql = "SELECT id, prefix, hash, tenant, user_id, roles, scopes, expires_at, revoked_at
                       FROM api_keys WHERE id = $1";
            self.record(sql, args![id]).await
        })
    }

    fn used(&self, id: KeyId, at: Timestamp) {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner).insert(id, at);
    }
}

impl Identity {
    async fn record(&self, sql: &'static str, args: Vec<Value>) -> Result<Option<Arc<KeyRecord>>> {
        let found: Option<Found> = self.0.db.row(sql, args).await?;
        Ok(found.map(|Found(record)| Arc::new(record)))
    }

    /// Remembers a record, unless records were forgotten since that count.
    ///
    /// WHY checked twice: a concurrent invalidation between the check and the insert would not find the record.
    pub(super) fn remember(&self, prefix: &str, record: &Arc<KeyRecord>, before: u64) {
        let is_same = || self.0.forgotten.load(Ordering::SeqCst) == before;
        if is_same() {
            self.0.records.insert(prefix.to_owned(), Arc::clone(record));
            if !is_same() {
                self.0.records.invalidate(prefix);
            }
        }
    }

    pub(super) fn forget_records(&self, which: impl Fn(&KeyRecord) -> bool) {
        // INVARIANT: counted before the search, so that a record that is being read now is not remembered after it.
        self.0.forgotten.fetch_add(1, Ordering::SeqCst);
        let remembered: Vec<Arc<String>> =
            self.0.records.iter().filter(|(_, record)| which(record)).map(|(prefix, _)| prefix).collect();
        for prefix in remembered {
            self.0.records.invalidate(prefix.as_str());
        }
    }

    /// Records when keys were last used.
    ///
    /// # Errors
    /// Store errors. Uses that were not recorded are tried again with the next flush.
    pub async fn flush_last_use(&self) -> Result<()> {
        let used = std::mem::take(&mut *self.0.used.lock().unwrap_or_else(PoisonError::into_inner));
        let written = self.0.db.commit(last_uses(&used)).await;
        if written.is_err() {
            let mut newer = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, at) in used {
                newer.entry(id).or_insert(at);
            }
        }
        Ok(written?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_of_keys_are_written_in_the_order_of_the_keys() {
        let used = (0..100).map(|n| (KeyId::random(), Timestamp(n))).collect();
        let rows = last_uses(&used);
        let ids: Vec<String> = rows.statements().map(|(_, args)| format!("{:?}", args[1])).collect();
        assert!(ids.len() == 100 && ids.is_sorted(), "{ids:?}");
    }
}

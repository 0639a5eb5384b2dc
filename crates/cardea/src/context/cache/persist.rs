//! A copy of the memory store in the database, so that the cache survives a restart.
//!
//! Entries are written a moment later, sealed. Clearings are written at once, before they count in memory
//! (`marks.rs`), so that nothing that was cleared comes back with a restart.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cardea_core::{Result, id::TenantId, time::Timestamp};
use cardea_store::{
    Commit, Db, args,
    shared::cache::{CacheStore as _, Gone, Key, MemoryCache, Place, Record},
};
use tokio::sync::Mutex as AsyncMutex;

use super::{Cache, Seal, entry::Entry, marks::Marks, query::Address};

/// Limit of entries that wait to be written; beyond it the oldest are not persisted.
const WAITING: usize = 4_096;
/// Entries in one commit.
const GROUP: usize = 200;

/// Parts of the copy.
#[derive(Debug)]
pub struct Persisted {
    /// The store that is copied.
    pub store: Arc<MemoryCache>,
    /// Protection of entries in the database.
    pub seal: Seal,
}

#[derive(Debug, Clone)]
struct Row {
    tenant: TenantId,
    place: Place,
    key: Key,
    until: Timestamp,
    record: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Persist {
    store: Arc<MemoryCache>,
    seal: Seal,
    db: Db,
    waiting: Mutex<Vec<Row>>,
    /// Entries whose rows are to be deleted.
    gone: Mutex<Vec<Gone>>,
    /// Held while the copy is written.
    writing: AsyncMutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the rows that delete these entries, in the order of their keys.
///
/// WHY ordered: two nodes that write the same rows in different orders would wait for each other.
fn deleted(gone: &[Gone]) -> Commit {
    let keys: BTreeSet<(Place, Key)> = gone.iter().map(|gone| (gone.place, gone.key)).collect();
    let sql = "DELETE FROM cache_records WHERE place = $1 AND key = $2";
    keys.iter()
        .fold(Commit::new(), |commit, (place, key)| commit.run(sql, args![place.0.to_vec(), key.0.to_vec()]))
}

/// Returns the rows that keep these entries, in the same order; of one key only the later.
fn kept(mut rows: Vec<&Row>) -> Commit {
    rows.sort_by_key(|row| (row.place, row.key));
    rows.into_iter().fold(Commit::new(), |commit, row| {
        commit.run(
            "INSERT INTO cache_records (place, key, tenant, until, record) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (place, key) DO UPDATE SET until = excluded.until, record = excluded.record",
            args![row.place.0.to_vec(), row.key.0.to_vec(), &row.tenant, row.until, row.record.clone()],
        )
    })
}

impl Persist {
    pub(super) fn new(persisted: Persisted, db: Db) -> Self {
        let Persisted { store, seal } = persisted;
        store.note_gone();
        Self {
            store,
            seal,
            db,
            waiting: Mutex::default(),
            gone: Mutex::default(),
            writing: AsyncMutex::new(()),
        }
    }

    /// Notes an entry to be written, with the count of clearings as in the database.
    pub(super) fn note(&self, tenant: &TenantId, at: Address, record: Record, kept: &Entry) {
        let Address { place, key } = at;
        let until = record.until;
        let closed = self.seal.close(&place, &key, record, kept);
        let Some(bytes) = closed.and_then(|record| record.to_bytes()) else { return };
        let row = Row { tenant: tenant.clone(), place, key, until, record: bytes };
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= WAITING {
            waiting.remove(0);
        }
        waiting.push(row);
    }

    /// Writes what waits. Entries that cannot be written now stay.
    async fn flush(&self) -> Result<()> {
        // INVARIANT: one at a time. Each run removes from the front of `gone` what it has written, so an interrupted
        // run leaves the rest for the next.
        let _one = self.writing.lock().await;
        lock(&self.gone).extend(self.store.gone());
        loop {
            let gone: Vec<Gone> = lock(&self.gone).iter().take(GROUP).cloned().collect();
            if gone.is_empty() {
                break;
            }
            self.db.commit(deleted(&gone)).await?;
            lock(&self.gone).drain(..gone.len());
        }
        loop {
            let rows: Vec<Row> = lock(&self.waiting).iter().take(GROUP).cloned().collect();
            if rows.is_empty() {
                break;
            }
            // Entries that have left the store meanwhile must not come back with a restart.
            let held = rows.iter().filter(|row| self.store.holds(&row.place, &row.key));
            self.db.commit(kept(held.collect())).await?;
            let written = |one: &Row| rows.iter().any(|row| row.record == one.record);
            lock(&self.waiting).retain(|row| !written(row));
        }
        Ok(())
    }

    async fn load(&self, cache: &Cache, marks: &Marks) -> Result<()> {
        let now = cache.0.clock.now();
        let tidy = Commit::new().run("DELETE FROM cache_records WHERE until <= $1", args![now]);
        self.db.commit(tidy).await?;
        marks.tidy(now).await?;
        self.store.resume(0, marks.read().await?);
        let mut last = (Vec::new(), Vec::new());
        loop {
            let sql = "SELECT place, key, record FROM cache_records WHERE (place, key) > ($1, $2) \
                       ORDER BY place, key LIMIT 500";
            let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> =
                self.db.rows(sql, args![last.0.clone(), last.1.clone()]).await?;
            let Some((place, key, _)) = rows.last() else { return marks.take_out().await };
            last = (place.clone(), key.clone());
            for (place, key, bytes) in rows {
                let (Ok(place), Ok(key)) = (place.try_into().map(Place), key.try_into().map(Key)) else {
                    continue;
                };
                let Some(record) = Record::from_bytes(&bytes) else { continue };
                let Some(kept) = self.seal.open(&place, &key, &record) else { continue };
                self.store.resume(record.asked_at, []);
                if let Some(record) = cache.0.seal.close(&place, &key, record, &kept) {
                    drop(self.store.put(&place, &key, record).await);
                }
            }
        }
    }
}

impl Cache {
    pub(super) async fn load_entries(&self) -> Result<()> {
        let Some(marks) = &self.0.marks else { return Ok(()) };
        marks.resume().await?;
        match &self.0.persist {
            Some(persist) => persist.load(self, marks).await,
            None => Ok(()),
        }
    }

    /// Writes to the database what was kept since the last call, if entries are persisted.
    pub async fn persist(&self) {
        let (Some(persist), Some(marks)) = (&self.0.persist, &self.0.marks) else { return };
        let written = match marks.settle(self.0.clock.now()).await {
            Ok(()) => persist.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(error.code = error.code().name(), "cached answers were not written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_written_and_deleted_in_the_order_of_their_keys_and_the_later_last() {
        let row = |place, key, record| Row {
            tenant: TenantId::from("acme"),
            place: Place([place; 32]),
            key: Key([key; 32]),
            until: Timestamp(0),
            record: vec![record],
        };
        let rows = [row(2, 1, 1), row(1, 9, 2), row(2, 1, 3), row(1, 8, 4)];
        let records: Vec<_> =
            kept(rows.iter().collect()).statements().map(|(_, args)| args[4].clone()).collect();
        assert_eq!(records, [4_u8, 2, 1, 3].map(|record| cardea_store::Value::Blob(vec![record])));
        let gone: Vec<Gone> = rows.iter().map(|row| Gone { place: row.place, key: row.key }).collect();
        let places: Vec<_> = deleted(&gone).statements().map(|(_, args)| format!("{args:?}")).collect();
        assert!(places.len() == 3 && places.is_sorted(), "{places:?}");
    }
}

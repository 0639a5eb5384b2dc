//! A copy of the memory store in the database, so that a restart begins with what was known.
//!
//! Entries are written a moment later, sealed; clearings at once and before they count in memory, so that nothing
//! that was cleared comes back with a restart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cardea_core::{
    Result,
    id::TenantId,
    time::{Millis, Timestamp},
};
use cardea_store::{
    Commit, Db, args,
    shared::cache::{Away, CacheStore as _, Gone, Key, LONGEST, MemoryCache, Place, Record, Tag},
};
use tokio::sync::Mutex as AsyncMutex;

use super::{Cache, Seal, kept::Kept};

/// Entries that may wait to be written; beyond it the oldest are not persisted.
const WAITING: usize = 4_096;
/// Entries of one commit.
const GROUP: usize = 200;

/// What the copy is made of.
#[derive(Debug)]
pub struct Persisted {
    /// The store whose copy it is.
    pub store: Arc<MemoryCache>,
    /// How entries are protected in the database.
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
    /// Clearings that could not be written down.
    unwritten: Mutex<Vec<(TenantId, Tag, u64)>>,
    /// Held while one clearing draws its number and writes it.
    clearing: AsyncMutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn mark(commit: Commit, (tenant, tag, at): &(TenantId, Tag, u64), now: Timestamp) -> Commit {
    commit.run(
        "INSERT INTO cache_marks (tag, tenant, at, since) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tag) DO UPDATE SET at = excluded.at, since = excluded.since WHERE excluded.at > cache_marks.at",
        args![tag.0.to_vec(), tenant, *at, now],
    )
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
            unwritten: Mutex::default(),
            clearing: AsyncMutex::new(()),
        }
    }

    /// Notes an entry that is to be written.
    pub(super) fn note(&self, tenant: &TenantId, (place, key): (&Place, &Key), record: &Record, kept: &Kept) {
        let closed = self.seal.close(place, key, record.clone(), kept);
        let Some(bytes) = closed.and_then(|record| record.to_bytes()) else { return };
        let row =
            Row { tenant: tenant.clone(), place: *place, key: *key, until: record.until, record: bytes };
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= WAITING {
            waiting.remove(0);
        }
        waiting.push(row);
    }

    /// Clears tags, in the database first.
    pub(super) async fn clear(&self, tenant: &TenantId, tags: &[Tag], now: Timestamp) -> Result<(), Away> {
        let _one = self.clearing.lock().await;
        let at = self.store.clearings().await?.saturating_add(1);
        let marks: Vec<_> = tags.iter().map(|tag| (tenant.clone(), *tag, at)).collect();
        let commit = marks.iter().fold(Commit::new(), |commit, one| mark(commit, one, now));
        if let Err(error) = self.db.commit(commit).await {
            tracing::error!(error.cause = %error, "a clearing of the cache is not written down yet");
            lock(&self.unwritten).extend(marks);
        }
        self.store.clear(tags).await
    }

    /// Takes what carries the tag out of memory; its rows go with the next flush.
    pub(super) async fn purge(&self, tag: &Tag) -> Result<(), Away> {
        let _one = self.clearing.lock().await;
        self.store.purge(tag).await
    }

    /// Writes what waits. What cannot be written now waits on.
    async fn flush(&self, now: Timestamp) -> Result<()> {
        let unwritten = std::mem::take(&mut *lock(&self.unwritten));
        if !unwritten.is_empty() {
            let commit = unwritten.iter().fold(Commit::new(), |commit, one| mark(commit, one, now));
            if let Err(error) = self.db.commit(commit).await {
                lock(&self.unwritten).extend(unwritten);
                return Err(error.into());
            }
        }
        lock(&self.gone).extend(self.store.gone());
        loop {
            let gone: Vec<Gone> = lock(&self.gone).iter().take(GROUP).cloned().collect();
            if gone.is_empty() {
                break;
            }
            let delete = |commit: Commit, gone: &Gone| {
                let sql = "DELETE FROM cache_records WHERE place = $1 AND key = $2";
                commit.run(sql, args![gone.place.0.to_vec(), gone.key.0.to_vec()])
            };
            self.db.commit(gone.iter().fold(Commit::new(), delete)).await?;
            lock(&self.gone).drain(..gone.len());
        }
        loop {
            let rows: Vec<Row> = lock(&self.waiting).iter().take(GROUP).cloned().collect();
            if rows.is_empty() {
                break;
            }
            // What has left meanwhile must not come back with a restart.
            let held = rows.iter().filter(|row| self.store.holds(&row.place, &row.key));
            let insert = |commit: Commit, row: &Row| {
                commit.run(
                    "INSERT INTO cache_records (place, key, tenant, until, record) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (place, key) DO UPDATE SET until = excluded.until, record = excluded.record",
                    args![row.place.0.to_vec(), row.key.0.to_vec(), &row.tenant, row.until, row.record.clone()],
                )
            };
            self.db.commit(held.fold(Commit::new(), insert)).await?;
            let written = |one: &Row| rows.iter().any(|row| row.record == one.record);
            lock(&self.waiting).retain(|row| !written(row));
        }
        Ok(())
    }

    async fn load(&self, cache: &Cache) -> Result<()> {
        let now = cache.0.clock.now();
        let old = Timestamp(now.0.saturating_sub(Millis::from_secs(LONGEST.0 / 1_000).0 as i64));
        let tidy = Commit::new()
            .run("DELETE FROM cache_records WHERE until <= $1", args![now])
            .run("DELETE FROM cache_marks WHERE since < $1", args![old]);
        self.db.commit(tidy).await?;
        let marks: Vec<(Vec<u8>, i64)> = self.db.rows("SELECT tag, at FROM cache_marks", args![]).await?;
        let marks = marks
            .into_iter()
            .filter_map(|(tag, at)| Some((Tag(tag.try_into().ok()?), u64::try_from(at).ok()?)));
        let marks: Vec<(Tag, u64)> = marks.collect();
        self.store.resume(marks.iter().map(|(_, at)| *at).max().unwrap_or(1), marks);
        let mut last = (Vec::new(), Vec::new());
        loop {
            let sql = "SELECT place, key, record FROM cache_records WHERE (place, key) > ($1, $2) \
                       ORDER BY place, key LIMIT 500";
            let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> =
                self.db.rows(sql, args![last.0.clone(), last.1.clone()]).await?;
            let Some((place, key, _)) = rows.last() else { return Ok(()) };
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
        match &self.0.persist {
            Some(persist) => persist.load(self).await,
            None => Ok(()),
        }
    }

    /// Writes to the database what was kept since the last time, where entries are persisted.
    pub async fn persist(&self) {
        let Some(persist) = &self.0.persist else { return };
        if let Err(error) = persist.flush(self.0.clock.now()).await {
            tracing::warn!(error.code = error.code().name(), "cached answers were not written down");
        }
    }
}

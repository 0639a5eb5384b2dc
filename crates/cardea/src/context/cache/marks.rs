//! Clearings recorded in the database, for other nodes and for the next start of this one.
//!
//! Each clearing has a number, drawn under the lock of one row, so that a higher number never becomes visible before a
//! lower one. The last number read is this node's count of clearings: an answer whose question was asked at count 7
//! knows clearing 7, and clearing 8 makes it stale, whichever node has drawn it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use cardea_core::{
    Result,
    id::TenantId,
    time::{Millis, Timestamp},
};
use cardea_store::{
    Commit, Db, Engine, args,
    shared::cache::{Away, CacheStore as _, LONGEST, MemoryCache, Tag},
};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    Cache,
    clearing::{Cleared, How},
};

/// Limit of tags under one number: fewer than the rows of a page, so that a page ends between two numbers.
const GROUP: usize = 500;
/// Rows of one page.
const ROWS: usize = 1_000;

#[derive(Debug)]
struct Owed {
    tenant: TenantId,
    tags: Vec<Tag>,
    how: How,
}

#[derive(Debug)]
pub(super) struct Marks {
    store: Arc<MemoryCache>,
    db: Db,
    /// Number of the last clearing that the store was told.
    known: AtomicU64,
    /// Clearings that could not be recorded yet.
    unwritten: Mutex<Vec<Arc<Owed>>>,
    /// Held while clearings are read, so that each counts once.
    learning: AsyncMutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn mark(one: &Owed, now: Timestamp) -> Commit {
    let drawn = Commit::new().guard(
        "cache",
        "UPDATE versions SET version = version + 1, updated_at = $1 WHERE name = 'cache'",
        args![now],
    );
    let out = i64::from(one.how == How::Out);
    one.tags.iter().fold(drawn, |commit, tag| {
        commit.run(
            "INSERT INTO cache_marks (tag, tenant, at, since, purged) \
             VALUES ($1, $2, (SELECT version FROM versions WHERE name = 'cache'), $3, \
             (SELECT version * CAST($4 AS BIGINT) FROM versions WHERE name = 'cache')) \
             ON CONFLICT (tag) DO UPDATE SET at = excluded.at, since = excluded.since, \
             purged = CASE WHEN excluded.purged > 0 THEN excluded.purged ELSE cache_marks.purged END",
            args![tag.0.to_vec(), &one.tenant, now, out],
        )
    })
}

impl Marks {
    pub(super) fn new(store: Arc<MemoryCache>, db: Db) -> Self {
        Self {
            store,
            db,
            known: AtomicU64::new(0),
            unwritten: Mutex::default(),
            learning: AsyncMutex::new(()),
        }
    }

    /// Returns whether other nodes may clear entries of this one.
    pub(super) fn are_shared(&self) -> bool {
        self.db.engine() == Engine::Postgres
    }

    /// Clears tags, in the database first. If that is unavailable they are cleared in memory only, for now: neither
    /// other nodes nor the copy of the entries in the database are told.
    ///
    /// # Errors
    /// Store errors.
    pub(super) async fn clear(
        &self,
        tenant: &TenantId,
        tags: &[Tag],
        how: How,
        now: Timestamp,
    ) -> Result<Cleared, Away> {
        let mut missed = false;
        for tags in tags.chunks(GROUP) {
            let one = Owed { tenant: tenant.clone(), tags: tags.to_vec(), how };
            if let Err(error) = self.db.commit(mark(&one, now)).await {
                tracing::error!(error.cause = %error, "a clearing of the cache is not written down yet");
                lock(&self.unwritten).push(Arc::new(one));
                missed = true;
            }
        }
        if !missed && self.learn().await.is_ok() {
            return Ok(Cleared::Surely);
        }
        self.store.clear(tags).await?;
        if how == How::Out {
            tags.iter().for_each(|tag| self.store.take_out(tag));
        }
        Ok(if missed { Cleared::ForNow } else { Cleared::Surely })
    }

    /// Records clearings that could not be recorded before.
    pub(super) async fn settle(&self, now: Timestamp) -> Result<()> {
        loop {
            let Some(one) = lock(&self.unwritten).first().cloned() else { return Ok(()) };
            self.db.commit(mark(&one, now)).await?;
            lock(&self.unwritten).retain(|other| !Arc::ptr_eq(other, &one));
        }
    }

    /// Tells the store of everything that was cleared, here or at another node, since the last call.
    pub(super) async fn learn(&self) -> Result<()> {
        let sql = "SELECT at, tag, purged FROM cache_marks WHERE at > $1 ORDER BY at LIMIT 1000";
        let _one = self.learning.lock().await;
        loop {
            let known = self.known.load(Ordering::Acquire);
            let mut rows: Vec<(u64, Vec<u8>, u64)> = self.db.rows(sql, args![known]).await?;
            let Some(last) = rows.last().map(|row| row.0) else { return Ok(()) };
            let is_full = rows.len() == ROWS;
            if is_full {
                rows.retain(|row| row.0 < last); // the rest of the last number may be on the next page
            }
            for group in rows.chunk_by(|one, next| one.0 == next.0) {
                let (mut cleared, mut out, mut number) = (Vec::new(), Vec::new(), known);
                for (at, tag, purged) in group {
                    number = *at;
                    let Ok(tag) = <[u8; 16]>::try_from(tag.as_slice()).map(Tag) else { continue };
                    cleared.push(tag);
                    out.extend((*purged > known).then_some(tag));
                }
                self.store.learn(number, &cleared);
                out.iter().for_each(|tag| self.store.take_out(tag));
                self.known.fetch_max(number, Ordering::AcqRel);
            }
            if !is_full {
                return Ok(());
            }
        }
    }

    /// Returns by how much the count in memory is ahead of the numbers in the database, because of clearings that
    /// could not be recorded.
    pub(super) async fn ahead(&self) -> u64 {
        let known = self.known.load(Ordering::Acquire);
        self.store.clearings().await.map_or(u64::MAX, |count| count.saturating_sub(known))
    }

    /// Continues from the number of an earlier process. Older clearings only concern a store that holds entries of
    /// that time.
    pub(super) async fn resume(&self) -> Result<()> {
        let sql = "SELECT version FROM versions WHERE name = 'cache'";
        let number = self.db.row::<(u64,)>(sql, args![]).await?.map_or(1, |row| row.0);
        self.store.resume(number, []);
        self.known.store(number, Ordering::Release);
        Ok(())
    }

    /// Reads earlier clearings.
    pub(super) async fn read(&self) -> Result<Vec<(Tag, u64)>> {
        let rows: Vec<(Vec<u8>, u64)> = self.db.rows("SELECT tag, at FROM cache_marks", args![]).await?;
        let marks = rows.into_iter().filter_map(|(tag, at)| Some((Tag(tag.try_into().ok()?), at)));
        Ok(marks.collect())
    }

    /// Removes entries that others removed while the copy lay in the database.
    pub(super) async fn take_out(&self) -> Result<()> {
        let sql = "SELECT tag FROM cache_marks WHERE purged > 0";
        let rows: Vec<(Vec<u8>,)> = self.db.rows(sql, args![]).await?;
        let tags = rows.into_iter().filter_map(|(tag,)| tag.try_into().ok().map(Tag));
        tags.for_each(|tag| self.store.take_out(&tag));
        Ok(())
    }

    /// Deletes clearings that no entry can be older than.
    pub(super) async fn tidy(&self, now: Timestamp) -> Result<()> {
        let old = now.minus(Millis(LONGEST.0));
        let commit = Commit::new().run("DELETE FROM cache_marks WHERE since < $1", args![old]);
        Ok(self.db.commit(commit).await?)
    }
}

impl Cache {
    /// Returns whether other nodes record clearings in the database, so that it must be polled.
    #[must_use]
    pub fn follows_others(&self) -> bool {
        self.0.marks.as_ref().is_some_and(Marks::are_shared)
    }

    /// Applies the clearings of other nodes, and publishes those of this node that could not be recorded before.
    ///
    /// # Errors
    /// Database errors.
    pub async fn follow_others(&self) -> Result<()> {
        let Some(marks) = &self.0.marks else { return Ok(()) };
        marks.learn().await?;
        marks.settle(self.0.clock.now()).await
    }

    /// Deletes clearings from the database that no remaining entry is older than.
    ///
    /// # Errors
    /// Database errors.
    pub async fn forget_clearings(&self) -> Result<()> {
        let now = self.0.clock.now();
        self.0.owed.tidy(now).await?;
        match &self.0.marks {
            Some(marks) => marks.tidy(now).await,
            None => Ok(()),
        }
    }
}

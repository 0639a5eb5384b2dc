//! Clearings that stand in the database: other nodes over it and the next start of this one read them there.
//!
//! Each has a number, drawn under the lock of one row, so that a higher one never shows before a lower one. The last
//! number that was learnt is this node's count of clearings: an answer whose question was asked at count 7 has seen
//! clearing 7, and clearing 8 makes it stale, whoever has drawn that.

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

/// Tags under one number at most: fewer than rows of one page, so that a page ends between two numbers.
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
    /// The number of the last clearing that the store was told.
    known: AtomicU64,
    /// Clearings that could not be written down.
    unwritten: Mutex<Vec<Arc<Owed>>>,
    /// Held while clearings are learnt, so that each counts once.
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

    /// True if other nodes may clear what this one has.
    pub(super) fn are_shared(&self) -> bool {
        self.db.engine() == Engine::Postgres
    }

    /// Clears tags, in the database first, and in memory also if that is away: for now then, since neither other nodes nor a
    /// copy of the entries in the database are told.
    ///
    /// # Errors
    /// What the store says.
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

    /// Writes down what is owed.
    pub(super) async fn settle(&self, now: Timestamp) -> Result<()> {
        loop {
            let Some(one) = lock(&self.unwritten).first().cloned() else { return Ok(()) };
            self.db.commit(mark(&one, now)).await?;
            lock(&self.unwritten).retain(|other| !Arc::ptr_eq(other, &one));
        }
    }

    /// Tells the store what was cleared, here or on another node, since it was last told.
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

    /// By how much the count in memory is ahead of the numbers in the database: by clearings that could not be written.
    pub(super) async fn ahead(&self) -> u64 {
        let known = self.known.load(Ordering::Acquire);
        self.store.clearings().await.map_or(u64::MAX, |count| count.saturating_sub(known))
    }

    /// Goes on where an earlier process stopped. What it cleared is only of interest to a store that has its entries.
    pub(super) async fn resume(&self) -> Result<()> {
        let sql = "SELECT version FROM versions WHERE name = 'cache'";
        let number = self.db.row::<(u64,)>(sql, args![]).await?.map_or(1, |row| row.0);
        self.store.resume(number, []);
        self.known.store(number, Ordering::Release);
        Ok(())
    }

    /// What was cleared before.
    pub(super) async fn read(&self) -> Result<Vec<(Tag, u64)>> {
        let rows: Vec<(Vec<u8>, u64)> = self.db.rows("SELECT tag, at FROM cache_marks", args![]).await?;
        let marks = rows.into_iter().filter_map(|(tag, at)| Some((Tag(tag.try_into().ok()?), at)));
        Ok(marks.collect())
    }

    /// Takes out what others took out while the entries lay in the database.
    pub(super) async fn take_out(&self) -> Result<()> {
        let sql = "SELECT tag FROM cache_marks WHERE purged > 0";
        let rows: Vec<(Vec<u8>,)> = self.db.rows(sql, args![]).await?;
        let tags = rows.into_iter().filter_map(|(tag,)| tag.try_into().ok().map(Tag));
        tags.for_each(|tag| self.store.take_out(&tag));
        Ok(())
    }

    /// Forgets clearings that nothing can be older than.
    pub(super) async fn tidy(&self, now: Timestamp) -> Result<()> {
        let old = now.minus(Millis(LONGEST.0));
        let commit = Commit::new().run("DELETE FROM cache_marks WHERE since < $1", args![old]);
        Ok(self.db.commit(commit).await?)
    }
}

impl Cache {
    /// True if other nodes tell of their clearings in the database, so that it must be read again and again.
    #[must_use]
    pub fn follows_others(&self) -> bool {
        self.0.marks.as_ref().is_some_and(Marks::are_shared)
    }

    /// Clears what other nodes have cleared, and tells them what they were not told yet.
    ///
    /// # Errors
    /// What the database says.
    pub async fn follow_others(&self) -> Result<()> {
        let Some(marks) = &self.0.marks else { return Ok(()) };
        marks.learn().await?;
        marks.settle(self.0.clock.now()).await
    }

    /// Forgets in the database what was cleared so long ago that nothing of before is left.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_clearings(&self) -> Result<()> {
        let now = self.0.clock.now();
        self.0.owed.tidy(now).await?;
        match &self.0.marks {
            Some(marks) => marks.tidy(now).await,
            None => Ok(()),
        }
    }
}

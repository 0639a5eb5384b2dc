//! Clearings that a remote store has not received.
//!
//! They are recorded in the database as well, so that they survive a restart, and so that a node that reaches the
//! store can deliver what another one owes. Until a clearing is delivered, a node that knows of it serves nothing from
//! the store.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cardea_core::{
    Result,
    id::TenantId,
    time::{Millis, Timestamp},
};
use cardea_store::{
    Commit, Db, args,
    shared::cache::{LONGEST, Tag},
};

use super::{
    Cache,
    clearing::{Cleared, How},
    tags::tenant_tag,
};

/// Limit of clearings that are owed one by one; beyond it the whole tenant is cleared instead.
pub(super) const OWED: usize = 4_096;
/// Rows written or deleted in one commit.
const GROUP: usize = 200;

/// Clearings that the store has not received.
#[derive(Debug)]
pub(super) struct Owed {
    db: Db,
    /// How often each was requested.
    tags: Mutex<BTreeMap<Tag, u64>>,
    /// Clearings that are not recorded in the database yet.
    unwritten: Mutex<BTreeMap<Tag, (TenantId, How)>>,
}

/// A recorded clearing.
struct Row {
    tag: Tag,
    how: How,
    times: u64,
    since: Timestamp,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Owed {
    pub(super) fn new(db: Db) -> Self {
        Self { db, tags: Mutex::default(), unwritten: Mutex::default() }
    }

    pub(super) fn tags(&self) -> MutexGuard<'_, BTreeMap<Tag, u64>> {
        lock(&self.tags)
    }

    /// Notes clearings that the store could not be told, here and in the database.
    async fn note(&self, tenant: &TenantId, tags: &[Tag], how: How, now: Timestamp) -> Cleared {
        let all = [tenant_tag(tenant)];
        {
            let mut owed = self.tags();
            // What must be removed is one tag of one user, which no other tag covers.
            let too_many = how == How::Stale && owed.len() + tags.len() > OWED;
            let tags = if too_many { &all } else { tags };
            let mut unwritten = lock(&self.unwritten);
            for tag in tags {
                *owed.entry(*tag).or_default() += 1;
                let kept = unwritten.entry(*tag).or_insert_with(|| (tenant.clone(), how));
                if how == How::Out {
                    kept.1 = how;
                }
            }
        }
        match self.write(now).await {
            Ok(()) => Cleared::Surely,
            Err(error) => {
                tracing::error!(
                    error.code = error.code().name(),
                    "a clearing that the cache's server was not told is not written down yet"
                );
                Cleared::ForNow
            }
        }
    }

    /// Records the clearings that are not recorded yet.
    async fn write(&self, now: Timestamp) -> Result<()> {
        loop {
            let some: Vec<(Tag, (TenantId, How))> =
                lock(&self.unwritten).iter().take(GROUP).map(|(tag, one)| (*tag, one.clone())).collect();
            if some.is_empty() {
                return Ok(());
            }
            let insert = |commit: Commit, (tag, (tenant, how)): &(Tag, (TenantId, How))| {
                commit.run(
                    "INSERT INTO cache_owed (tag, tenant, purge, times, since) VALUES ($1, $2, $3, 1, $4) \
                     ON CONFLICT (tag) DO UPDATE SET times = cache_owed.times + 1, since = excluded.since, \
                     purge = CASE WHEN excluded.purge > 0 THEN excluded.purge ELSE cache_owed.purge END",
                    args![tag.0.to_vec(), tenant, i64::from(*how == How::Out), now],
                )
            };
            self.db.commit(some.iter().fold(Commit::new(), insert)).await?;
            let mut unwritten = lock(&self.unwritten);
            for (tag, written) in some {
                if unwritten.get(&tag) == Some(&written) {
                    unwritten.remove(&tag);
                }
            }
        }
    }

    async fn read(&self) -> Result<Vec<Row>> {
        let sql = "SELECT tag, purge, times, since FROM cache_owed";
        let rows: Vec<(Vec<u8>, i64, u64, Timestamp)> = self.db.rows(sql, args![]).await?;
        let row = |(tag, purge, times, since): (Vec<u8>, i64, u64, Timestamp)| {
            let how = if purge > 0 { How::Out } else { How::Stale };
            Some(Row { tag: Tag(tag.try_into().ok()?), how, times, since })
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    /// Loads the recorded clearings. Nothing is served until they are delivered.
    async fn take_up(&self) -> Result<Vec<Row>> {
        let rows = self.read().await?;
        let mut owed = self.tags();
        rows.iter().for_each(|row| *owed.entry(row.tag).or_default() += 1);
        drop(owed);
        Ok(rows)
    }

    async fn strike(&self, paid: &[Row]) -> Result<()> {
        for rows in paid.chunks(GROUP) {
            // WHY: a clearing that was owed again meanwhile has another count and stays; or another time, if another
            // node has deleted it and the count began anew.
            let delete = |commit: Commit, row: &Row| {
                let sql = "DELETE FROM cache_owed WHERE tag = $1 AND times = $2 AND since = $3";
                commit.run(sql, args![row.tag.0.to_vec(), row.times, row.since])
            };
            self.db.commit(rows.iter().fold(Commit::new(), delete)).await?;
        }
        Ok(())
    }

    /// Deletes clearings that no entry can be older than.
    pub(super) async fn tidy(&self, now: Timestamp) -> Result<()> {
        let old = now.minus(Millis(LONGEST.0));
        let sql = "DELETE FROM cache_owed WHERE purge = 0 AND since < $1";
        Ok(self.db.commit(Commit::new().run(sql, args![old])).await?)
    }
}

impl Cache {
    /// Returns whether the store is remote; only then can clearings be owed.
    fn owes(&self) -> bool {
        self.backend() != "memory"
    }

    pub(super) async fn owe(&self, tenant: &TenantId, tags: &[Tag], how: How) -> Cleared {
        self.0.owed.note(tenant, tags, how, self.0.clock.now()).await
    }

    /// Loads what an earlier process or another node owes to a remote store.
    pub(super) async fn load_owed(&self) -> Result<()> {
        match self.owes() {
            true => self.0.owed.take_up().await.map(drop),
            false => Ok(()),
        }
    }

    /// Delivers to a remote store the clearings it has not received, of this node or another one, from now or from
    /// before a restart. What cannot be delivered stays owed.
    ///
    /// # Errors
    /// Database errors.
    pub async fn settle(&self) -> Result<()> {
        if !self.owes() {
            return Ok(());
        }
        let owed = &self.0.owed;
        owed.write(self.0.clock.now()).await?;
        let rows = owed.take_up().await?;
        // WHY: clearings that were just delivered here are delivered once more; only then may their rows go.
        if rows.is_empty() || self.ready().await.is_none() {
            return Ok(());
        }
        let mut paid = Vec::new();
        for row in rows {
            if row.how == How::Stale || self.0.store.purge(&row.tag).await.is_ok() {
                paid.push(row);
            }
        }
        owed.strike(&paid).await
    }
}

#[cfg(test)]
mod tests {
    use cardea_core::log::ChainKey;
    use cardea_store::DbConfig;

    use super::*;

    #[tokio::test]
    async fn what_was_owed_anew_meanwhile_is_not_struck_out_with_what_was_paid() {
        let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&[7; 32])).await.unwrap();
        db.migrate().await.unwrap();
        let (owed, acme, tags) = (Owed::new(db), TenantId::from("acme"), [Tag([7; 16])]);
        let note = async |at: i64| {
            let noted = owed.note(&acme, &tags, How::Stale, Timestamp(at)).await;
            assert_eq!(noted, Cleared::Surely);
        };
        note(1).await;
        // Two nodes deliver it. Before the slower one deletes it, a third one owes the same again.
        let (quick, slow) = (owed.read().await.unwrap(), owed.read().await.unwrap());
        owed.strike(&quick).await.unwrap();
        note(2).await;
        owed.strike(&slow).await.unwrap();
        let left = owed.read().await.unwrap();
        assert_eq!(left.len(), 1, "nobody has paid that");
        owed.strike(&left).await.unwrap();
        assert!(owed.read().await.unwrap().is_empty());
    }
}

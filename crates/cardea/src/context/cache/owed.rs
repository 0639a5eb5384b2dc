//! Clearings that a store on the other side of a wire could not be told of.
//!
//! They stand in the database as well, so that a restart does not forget them, and so that a node which reaches the
//! store pays what another one owes. Until a clearing is paid, whoever knows of it serves nothing from the store.

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

/// Clearings that may be owed one by one; beyond it everything of the tenant is cleared instead.
pub(super) const OWED: usize = 4_096;
/// Rows that are written or deleted in one commit.
const GROUP: usize = 200;

/// What the store was not told.
#[derive(Debug)]
pub(super) struct Owed {
    db: Db,
    /// With how often each was asked for.
    tags: Mutex<BTreeMap<Tag, u64>>,
    /// What does not stand in the database yet.
    unwritten: Mutex<BTreeMap<Tag, (TenantId, How)>>,
}

/// One that stands in the database.
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

    /// Notes what the store could not be told, here and in the database.
    async fn note(&self, tenant: &TenantId, tags: &[Tag], how: How, now: Timestamp) -> Cleared {
        let all = [tenant_tag(tenant)];
        {
            let mut owed = self.tags();
            // What must be taken out is one tag of one user, and no other tag does it.
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

    /// Writes down what is not.
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

    /// Takes up what stands in the database: until it is paid, nothing is served.
    async fn take_up(&self) -> Result<Vec<Row>> {
        let rows = self.read().await?;
        let mut owed = self.tags();
        rows.iter().for_each(|row| *owed.entry(row.tag).or_default() += 1);
        drop(owed);
        Ok(rows)
    }

    async fn strike(&self, paid: &[Row]) -> Result<()> {
        for rows in paid.chunks(GROUP) {
            // WHY: one that was owed anew meanwhile has another number, and stays; or another time, if somebody else has struck
            // it out and the number began again.
            let delete = |commit: Commit, row: &Row| {
                let sql = "DELETE FROM cache_owed WHERE tag = $1 AND times = $2 AND since = $3";
                commit.run(sql, args![row.tag.0.to_vec(), row.times, row.since])
            };
            self.db.commit(rows.iter().fold(Commit::new(), delete)).await?;
        }
        Ok(())
    }

    /// Forgets clearings that nothing can be older than.
    pub(super) async fn tidy(&self, now: Timestamp) -> Result<()> {
        let old = now.minus(Millis(LONGEST.0));
        let sql = "DELETE FROM cache_owed WHERE purge = 0 AND since < $1";
        Ok(self.db.commit(Commit::new().run(sql, args![old])).await?)
    }
}

impl Cache {
    /// True if the store lies on the other side of a wire. What is owed is owed to such a one.
    fn owes(&self) -> bool {
        self.backend() != "memory"
    }

    pub(super) async fn owe(&self, tenant: &TenantId, tags: &[Tag], how: How) -> Cleared {
        self.0.owed.note(tenant, tags, how, self.0.clock.now()).await
    }

    /// Takes up what an earlier process or another node owes to a store on the other side of a wire.
    pub(super) async fn load_owed(&self) -> Result<()> {
        match self.owes() {
            true => self.0.owed.take_up().await.map(drop),
            false => Ok(()),
        }
    }

    /// Tells a store on the other side of a wire what it was not told, by this node or another one, now or before a
    /// restart. What cannot be paid stays owed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle(&self) -> Result<()> {
        if !self.owes() {
            return Ok(());
        }
        let owed = &self.0.owed;
        owed.write(self.0.clock.now()).await?;
        let rows = owed.take_up().await?;
        // WHY: also what was just paid here is told once more; only then may its row go.
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
        // Two nodes pay it. Before the slower one strikes it out a third one owes the same again.
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

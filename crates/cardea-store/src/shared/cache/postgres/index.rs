//! Builds the index of a large place, and tries again where that failed.

use cardea_core::time::{Millis, Timestamp};

use super::Place;
use crate::db::postgres::{Fault, Session};

/// Pause after a build of an index that left none, doubled after each, up to [`RARELY`].
const AGAIN: Millis = Millis::from_secs(600);
const RARELY: Millis = Millis::from_secs(24 * 3_600);

/// When the index of a large place may be built, and the pause after that.
pub(super) struct Tries {
    next: Timestamp,
    pause: Millis,
}

impl Tries {
    pub(super) const NONE: Self = Self { next: Timestamp(0), pause: AGAIN };

    /// Returns whether the index may be built now, and notes that it is.
    pub(super) fn begin(&mut self, now: Timestamp) -> bool {
        let due = now >= self.next;
        if due {
            let pause = Millis(self.pause.0.saturating_mul(2).min(RARELY.0));
            *self = Self { next: now.plus(self.pause), pause };
        }
        due
    }
}

/// Builds the index of a place, unless an index is being built already. An invalid index is dropped first.
pub(super) async fn make(session: &Session, name: &str, place: &Place) -> Result<(), Fault> {
    session.script("SET statement_timeout = 0").await?;
    // WHY try: a statement that waits for a lock holds a snapshot, and building an index waits for all older snapshots.
    let alone = session.query("SELECT pg_try_advisory_lock(7230116)", &[]).await?;
    if !alone.first().is_some_and(|row| row.get(0)) {
        return Ok(());
    }
    // INVARIANT: while the lock is held, an invalid index is not being built: building it was interrupted.
    let cut = "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
        WHERE i.indrelid = 'cardea_cache'::regclass AND c.relname = $1 AND NOT i.indisvalid";
    if !session.query(cut, &[&name]).await?.is_empty() {
        session.script(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")).await?;
    }
    // WHY concurrently, and so as a statement of its own: otherwise no one could write until it is built.
    let make = format!(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON cardea_cache USING hnsw (vec vector_cosine_ops) \
         WHERE place = '\\x{place}'::bytea"
    );
    session.script(&make).await
}

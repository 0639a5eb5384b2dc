//! Watchers of turns in this process. They are notified at once of each commit made here, and within a second of
//! commits made by other nodes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cardea_core::{
    Result,
    id::{StepId, ToolName, TurnId},
};
use cardea_store::{Engine, args};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::Turns;

/// The turns that are watched in this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed(Arc<Mutex<HashMap<TurnId, Watched>>>);

#[derive(Debug)]
struct Watched {
    news: watch::Sender<News>,
    /// Number of watchers. INVARIANT: counted under the lock alone; the channel's own count falls only after the lock
    /// is released.
    ears: usize,
    /// Fence and commit count at the last poll.
    seen: Option<(i64, i64)>,
}

/// Notification for watchers.
#[derive(Debug, Clone, Default)]
struct News {
    times: u64,
    begins: Option<Begins>,
}

/// A read that begins. Its row is written together with its outcome, so only watchers at this node see it before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Begins {
    /// The step.
    pub step: StepId,
    /// The tool.
    pub tool: ToolName,
}

/// A watcher of a turn's journal, registered until it is dropped.
#[derive(Debug)]
pub struct Following {
    id: TurnId,
    news: watch::Receiver<News>,
    followed: Followed,
}

impl Followed {
    fn lock(&self) -> MutexGuard<'_, HashMap<TurnId, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the watchers of this turn. Usually there are none.
    pub(super) fn tell(&self, turn: TurnId) {
        if let Some(watched) = self.lock().get(&turn) {
            watched.news.send_modify(|news| *news = News { times: news.times + 1, begins: None });
        }
    }

    fn watch(&self, id: TurnId) -> Following {
        let mut all = self.lock();
        let watched = all.entry(id).or_insert_with(|| Watched {
            news: watch::Sender::new(News::default()),
            ears: 0,
            seen: None,
        });
        watched.ears += 1;
        let news = watched.news.subscribe();
        drop(all);
        Following { id, news, followed: self.clone() }
    }

    /// Tells the watchers of this turn that it begins a read.
    pub(super) fn begins(&self, turn: TurnId, read: Begins) {
        if let Some(watched) = self.lock().get(&turn) {
            watched.news.send_modify(|news| *news = News { times: news.times + 1, begins: Some(read) });
        }
    }
}

impl Following {
    /// Returns the read in progress, if there is one.
    #[must_use]
    pub fn begins(&self) -> Option<Begins> {
        self.news.borrow().begins.clone()
    }

    /// Waits until the journal has grown since the last call; may also return early.
    pub async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            // The sender is gone: there will never be a notification.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut all = self.followed.lock();
        let Some(watched) = all.get_mut(&self.id) else { return };
        watched.ears = watched.ears.saturating_sub(1);
        if watched.ears == 0 {
            all.remove(&self.id);
        }
    }
}

impl Turns {
    /// Watches a turn from now on.
    #[must_use]
    pub fn follow(&self, id: TurnId) -> Following {
        self.inner.followed.watch(id)
    }

    /// Polls what other nodes have written of the turns watched or worked on here, with one query for all of them.
    ///
    /// # Errors
    /// Store errors.
    pub async fn look_elsewhere(&self) -> Result<()> {
        self.heed_others().await?;
        let ids: Vec<TurnId> = self.inner.followed.lock().keys().copied().collect();
        if ids.is_empty() {
            return Ok(());
        }
        // WHY: two texts, since no list value is understood by both engines.
        let sql = match self.inner.db.engine() {
            Engine::Sqlite => {
                "SELECT id, fence, commits FROM turns WHERE id IN (SELECT value FROM json_each($1))"
            }
            Engine::Postgres => {
                "SELECT id, fence, commits FROM turns \
                 WHERE id IN (SELECT json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)))"
            }
        };
        let rows: Vec<(TurnId, i64, i64)> = self.inner.db.rows(sql, args![json!(ids).to_string()]).await?;
        let mut all = self.inner.followed.lock();
        for (id, fence, commits) in rows {
            let Some(watched) = all.get_mut(&id) else { continue };
            if watched.seen.replace((fence, commits)) != Some((fence, commits)) {
                watched.news.send_modify(|news| news.times += 1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_who_stop_watching_at_once_leave_nothing_behind() {
        let (followed, id) = (Followed::default(), TurnId::random());
        let (first, second) = (followed.watch(id), followed.watch(id));
        // The first watcher gives up the lock and holds its end of the channel a moment longer.
        let in_hand = first.news.clone();
        drop(first);
        assert_eq!(followed.lock().len(), 1, "the second hears still");
        drop(second);
        assert!(followed.lock().is_empty(), "looked up for ever");
        drop(in_hand);
    }
}

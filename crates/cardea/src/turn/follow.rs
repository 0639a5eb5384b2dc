//! Who watches which turn here: told of each commit of theirs at once, and of what other nodes write within a second.

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
    /// How many hear of it. INVARIANT: counted under the lock alone; a channel's own count goes down only after it.
    ears: usize,
    /// Fence and commits as they were at the last look.
    seen: Option<(i64, i64)>,
}

/// What is told to who watches.
#[derive(Debug, Clone, Default)]
struct News {
    times: u64,
    begins: Option<Begins>,
}

/// A read that begins. Its row is written with its outcome, so that nobody but who watches at this node hears of it before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Begins {
    /// The step.
    pub step: StepId,
    /// The tool.
    pub tool: ToolName,
}

/// Hears that a turn's journal has grown, until it is dropped.
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

    /// Wakes who watches this turn. Nobody is the usual case.
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

    /// Tells who watches this turn that it begins to read.
    pub(super) fn begins(&self, turn: TurnId, read: Begins) {
        if let Some(watched) = self.lock().get(&turn) {
            watched.news.send_modify(|news| *news = News { times: news.times + 1, begins: Some(read) });
        }
    }
}

impl Following {
    /// The read that is under way, if one is.
    #[must_use]
    pub fn begins(&self) -> Option<Begins> {
        self.news.borrow().begins.clone()
    }

    /// Waits until the journal has grown since the last time; now and then it has not.
    pub async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            // The other end is gone: nobody will ever tell.
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

    /// Looks what other nodes have written of the turns that are watched or worked on here: one query for all of them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn look_elsewhere(&self) -> Result<()> {
        self.heed_others().await?;
        let ids: Vec<TurnId> = self.inner.followed.lock().keys().copied().collect();
        if ids.is_empty() {
            return Ok(());
        }
        // WHY: not one text for both. A list is no value that both engines know.
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
        // The first lets go of the lock, and has its end of the channel in hand for a moment more.
        let in_hand = first.news.clone();
        drop(first);
        assert_eq!(followed.lock().len(), 1, "the second hears still");
        drop(second);
        assert!(followed.lock().is_empty(), "looked up for ever");
        drop(in_hand);
    }
}

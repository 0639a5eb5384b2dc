//! Room `upkeep`: background work that runs beside requests for as long as a node lives.
//!
//! Promises: open turns are resumed; news from other nodes, upstreams and files is picked up; what is due is written
//! down. A trouble is logged once until it is over, and the work is tried again at the next round. Every task ends with
//! the node, in the order of `jobs`. Refuses: requests; it has no caller. Called by the binary and by programs that
//! embed Cardea: [`App::start`], [`App::leave`], [`App::stop`].

mod heartbeat;
mod lists;
mod policies;
mod told;
mod turns;
mod warm;

use std::time::Duration;

use cardea_core::{Code, Result, time::Timestamp};
use cardea_store::jobs::Stage;

use self::{policies::Looks, told::Told};
use crate::{app::App, once};

/// How often this node looks up what other nodes have done: revocations, cache clearings, and the turns that are
/// followed here. If this fails for half a minute, it refuses tokens.
const OTHERS: Duration = Duration::from_secs(1);

/// How often the head of the audit log is written outside the database.
const CHECKPOINTS: Duration = Duration::from_secs(5);

/// How often cached answers are written to the database, if they are persisted.
const COPIES: Duration = Duration::from_secs(2);

/// How often the last uses of API keys are written.
const USES: Duration = Duration::from_secs(10);

/// How often expired idempotency keys and clearings are deleted.
const OLD: Duration = Duration::from_secs(600);

/// The pause between two batches of deletions, which leaves the database's writer to others.
const BREATH: Duration = Duration::from_millis(20);

/// The largest difference between two clocks, in milliseconds, that is not reported. Leases of nodes last ten seconds.
const CLOCKS: i64 = 1_000;

/// The longest that a stop waits for writes that the next start could make as well.
const LAST_WORDS: Duration = Duration::from_secs(3);

impl App {
    /// Starts the upkeep and takes up turns that an earlier process left open.
    ///
    /// # Errors
    /// Store errors; `draining` if the installation is already stopping.
    pub async fn start(&self) -> Result<()> {
        self.control.forget_reservations().await?;
        let mut looks = Looks::default();
        let good = lists::refresh(self, &mut looks).await;
        if let Ok(Some(ahead)) = self.db.clock_ahead(self.clock.now()).await
            && ahead.abs() > CLOCKS
        {
            tracing::warn!(
                ahead_ms = ahead,
                "the clock of the database and that of this node differ: synchronise them"
            );
        }
        self.pulse.written(); // the lease was taken when the app was built
        self.pulse.learnt();
        keep(self, Stage::Upkeep, "heartbeat", heartbeat::heartbeat)?;
        keep(self, Stage::Upkeep, "catalogue", move |app| lists::follow(app, good, looks.clone()))?;
        keep(self, Stage::Upkeep, "policies", policies::follow)?;
        keep(self, Stage::Upkeep, "auth", |app| app.auth.clone().keep_fresh())?;
        keep(self, Stage::Upkeep, "vectors of tools", |app| app.action.clone().keep_learning())?;
        keep(self, Stage::Upkeep, "warm cache", warm::keep_warm)?;
        every(self, "revocations", OTHERS, "what was revoked elsewhere is not known", learn_revocations)?;
        every(self, "followed turns", OTHERS, "what other nodes do is not seen", look_elsewhere)?;
        if self.context.cache().follows_others() {
            let trouble = "what other nodes have cleared of the cache is not known";
            every(self, "cache clearings", OTHERS, trouble, follow_clearings)?;
        }
        let trouble = "what the cache's server was not told is not known, or not written down";
        every(self, "cache copy", COPIES, trouble, keep_cache)?;
        every(self, "checkpoints", CHECKPOINTS, "no checkpoint of the audit log can be written", checkpoint)?;
        every(self, "last use", USES, "the last use of API keys could not be written down", write_uses)?;
        every(self, "old keys", OLD, "old idempotency keys were not forgotten", forget_old_keys)?;
        every(self, "old clearings", OLD, "old clearings of the cache were not forgotten", forget_clearings)?;
        keep(self, Stage::Intake, "resume", turns::watch)
    }

    /// Reads all upstreams and fits the policies to their tools. False if something could not be read or does not fit.
    pub async fn refresh(&self) -> bool {
        lists::refresh(self, &mut Looks::default()).await
    }

    /// Reports at `/readyz` that this node will stop, and gives load balancers the time of `server.shutdown_delay` to
    /// notice. Everything continues meanwhile. Call [`App::stop`] afterwards.
    pub async fn leave(&self) {
        self.pulse.leaves();
        tokio::time::sleep(self.config.server.shutdown_delay.duration()).await;
    }

    /// Stops in order: no new work, then the work in hand, then the upkeep, and finally the database.
    pub async fn stop(&self) {
        let drained = self.jobs.drain(self.config.server.drain.duration()).await;
        if !drained.cut.is_empty() {
            tracing::warn!(tasks = ?drained.cut, "cut off at the deadline; open turns go on at the next start");
        }
        let last = async {
            self.context.cache().persist().await;
            drop(self.control.close_purses().await);
            drop(self.identity.flush_last_use().await);
            drop(self.observe.checkpoint(self.checkpoints()).await);
        };
        // WHY: the next start can do all of this as well, and a database that does not answer must not delay the stop.
        if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
            tracing::warn!("the database does not answer: the last words are not written");
        }
        self.db.close().await;
    }
}

/// Runs a task until its stage ends, and stops it wherever it is.
fn keep<F, T>(app: &App, stage: Stage, name: &'static str, task: F) -> Result<()>
where
    F: Fn(App) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let own = app.clone();
    let kept = app.jobs.keep(stage, name, move |stop| {
        let work = task(own.clone());
        async move { _ = stop.run_until_cancelled(work).await }
    });
    kept.map_err(|_| Code::Draining.into())
}

/// Repeats work with a pause in between, and logs each trouble once until it is over.
fn every<F, T>(app: &App, name: &'static str, pause: Duration, trouble: &'static str, work: F) -> Result<()>
where
    F: Fn(App) -> T + Copy + Send + 'static,
    T: Future<Output = Result<()>> + Send + 'static,
{
    keep(app, Stage::Upkeep, name, move |app| async move {
        let mut told = Told::default();
        loop {
            told.tell(trouble, &work(app.clone()).await);
            tokio::time::sleep(pause).await;
        }
    })
}

async fn learn_revocations(app: App) -> Result<()> {
    app.identity.learn_revocations(&app.auth).await?;
    app.auth.revocations_known();
    app.pulse.learnt();
    Ok(())
}

async fn look_elsewhere(app: App) -> Result<()> {
    app.turns.look_elsewhere().await
}

async fn follow_clearings(app: App) -> Result<()> {
    app.context.cache().follow_others().await
}

async fn keep_cache(app: App) -> Result<()> {
    app.context.cache().persist().await;
    app.context.cache().settle().await
}

async fn checkpoint(app: App) -> Result<()> {
    app.observe.checkpoint(app.checkpoints()).await
}

async fn write_uses(app: App) -> Result<()> {
    app.identity.flush_last_use().await
}

async fn forget_old_keys(app: App) -> Result<()> {
    let (now, mut from) = (app.clock.now(), Timestamp::default());
    while let Some(upto) = once::forget_old(&app.db, from, now).await? {
        from = upto;
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}

async fn forget_clearings(app: App) -> Result<()> {
    app.context.cache().forget_clearings().await
}

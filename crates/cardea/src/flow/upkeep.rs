//! What goes on beside requests: heartbeat, policies that change, upstreams that come back, checkpoints, open turns.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cardea_core::{Code, Error, Result, time::Timestamp};
use cardea_store::{Engine, jobs::Stage};
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use super::watch;
use crate::{
    app::App,
    control::{LeftOut, Watch},
    once,
};

/// After how many looks upstreams are asked for their tools again: a minute.
const LISTS: u32 = 60;

/// How often is looked whether upstreams must be asked again. One that is silent is asked each time, one that refuses more
/// and more rarely.
const LISTS_SOON: Duration = Duration::from_secs(1);

/// How often the head of the audit log is written down beside the database.
const CHECKPOINTS: Duration = Duration::from_secs(5);

/// How often cached answers are written to the database, where they are persisted.
const COPIES: Duration = Duration::from_secs(2);

/// How often this node asks what was revoked on others. It refuses tokens once it could not ask for half a minute.
const REVOCATIONS: Duration = Duration::from_secs(1);

/// How often this node asks what others have cleared of its cache.
const CLEARINGS: Duration = Duration::from_secs(1);

/// How often is looked what other nodes do with the turns whose events are followed here.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// By how many milliseconds the clocks of nodes may differ without a word. Their leases last ten seconds.
const CLOCKS: i64 = 1_000;

/// How often idempotency keys whose time is over are forgotten.
const OLD_KEYS: Duration = Duration::from_secs(600);

/// What others have of the writer between two portions of them.
const BREATH: Duration = Duration::from_millis(20);

/// How often the installation shows that it lives; well within `turn::NODE_LEASE`.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long an orderly end may take for what could be written at the next start as well.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Waits, unless told to stop; false if told to stop.
pub(super) async fn pause(stop: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// Detail and cause of an error, for the log: without the sentence that its code has for clients.
fn reason(error: &Error) -> String {
    let whole = error.public();
    let own = whole.strip_prefix(error.code().sentence()).map(str::trim).filter(|own| !own.is_empty());
    let own = own.unwrap_or(&whole);
    error.cause_line().map_or_else(|| own.to_owned(), |cause| format!("{own} ({cause})"))
}

/// What the log is told of policies that do not fit; empty if they do.
fn trouble(fitted: &Result<Option<LeftOut>>) -> String {
    match fitted {
        Ok(None) => String::new(),
        Ok(Some(LeftOut { server, trouble })) => {
            format!("nobody may call the tools of `{server}`, which the policies do not fit: {trouble}")
        }
        Err(error) => format!("the old policies stay: {}", reason(error)),
    }
}

/// Nodes that decide by other policies than this one.
#[derive(Default)]
struct Others {
    /// How often was looked.
    looks: u64,
    /// At the last look: node and version.
    seen: BTreeSet<(String, String)>,
    told: BTreeSet<(String, String)>,
}

impl App {
    /// Sets the upkeep going and takes up turns that an earlier process left open.
    ///
    /// # Errors
    /// What the store says.
    pub async fn start(&self) -> Result<()> {
        self.control.forget_reservations().await?;
        let mut told = String::new();
        let listed = self.refresh_and_tell(&mut told).await;
        if let Ok(Some(ahead)) = self.db.clock_ahead(self.clock.now()).await
            && ahead.abs() > CLOCKS
        {
            tracing::warn!(
                ahead_ms = ahead,
                "the clock of the database and that of this node differ: synchronise them"
            );
        }
        self.pulse.written(); // the lease was taken when this was built
        self.pulse.learnt();
        self.keep("auth", |app, _| app.auth.clone().keep_fresh());
        self.keep("revocations", Self::watch_revocations);
        self.keep("followed turns", Self::look_elsewhere);
        self.keep("last use", |app, _| app.identity.clone().keep_last_use());
        self.keep("heartbeat", Self::heartbeat);
        self.keep("catalogue", move |app, stop| app.watch_lists(stop, listed, told.clone()));
        self.keep("vectors of tools", |app, _| app.action.clone().keep_learning());
        self.keep("policies", Self::watch_policies);
        self.keep("checkpoints", Self::keep_checkpoints);
        self.keep("old keys", Self::forget_old_keys);
        self.keep("warm cache", Self::keep_warm);
        self.keep("cache copy", Self::keep_cache);
        if self.context.cache().follows_others() {
            self.keep("cache clearings", Self::watch_clearings);
        }
        let app = self.clone();
        let watching = self.jobs.keep(Stage::Intake, "resume", move |stop| watch(app.clone(), stop));
        watching.map_err(|_| Code::Draining.into())
    }

    fn keep<F, T>(&self, name: &'static str, task: F)
    where
        F: Fn(Self, CancellationToken) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let app = self.clone();
        // An installation that is stopping already needs no upkeep.
        let _stopping = self.jobs.keep(Stage::Upkeep, name, move |stop| {
            let ended = stop.clone();
            let work = task(app.clone(), stop);
            async move {
                tokio::select! {
                    () = work => {}
                    () = ended.cancelled() => {}
                }
            }
        });
    }

    /// Reads all upstreams and fits the policies to what they offer. False if something could not be read or does not fit.
    pub async fn refresh(&self) -> bool {
        self.refresh_and_tell(&mut String::new()).await
    }

    /// The same; tells of a trouble once, and not at each look.
    async fn refresh_and_tell(&self, told: &mut String) -> bool {
        let listed = self.action.refresh().await;
        self.fit_and_tell(told).await && listed.is_ok()
    }

    /// Fits the policies to what upstreams offer; false if they do not fit.
    async fn fit_and_tell(&self, told: &mut String) -> bool {
        let fitted = self.fit().await;
        self.record_policies().await;
        self.control.tell_warnings();
        let trouble = trouble(&fitted);
        if trouble != *told && !trouble.is_empty() {
            tracing::error!(error.code = Code::Misconfigured.name(), "{trouble}");
        }
        *told = trouble;
        fitted.is_ok()
    }

    /// Fits the policies to the tools of now.
    async fn fit(&self) -> Result<Option<LeftOut>> {
        let app = self.clone();
        // WHY: thousands of policies take longer to make than a request may wait for its thread.
        let fitting = tokio::task::spawn_blocking(move || app.control.fit(|| app.action.catalog().specs()));
        fitting.await.unwrap_or_else(|error| Err(Error::new(Code::Internal).because(error)))
    }

    /// Writes down the policies in force; tried again at the next look.
    async fn record_policies(&self) {
        if let Err(error) = self.control.record().await {
            tracing::error!(
                error.code = error.code().name(),
                "what policies are in force is not written down: {}",
                reason(&error)
            );
        }
    }

    /// Asks upstreams again after a while, or as soon as one of them says that its tools have changed, or as a person
    /// has accepted a change. One that is silent holds up nobody else.
    async fn watch_lists(self, stop: CancellationToken, mut good: bool, mut told: String) {
        let (mut rounds, mut accepted) = (0, self.action.accepted().await.ok());
        let (mut wanted, mut asked) = (BTreeSet::new(), BTreeSet::new());
        let mut answers = FuturesUnordered::new();
        loop {
            let waits = tokio::select! {
                Some(name) = answers.next() => {
                    asked.remove(name);
                    good = self.fit_and_tell(&mut told).await;
                    continue;
                }
                waits = pause(&stop, LISTS_SOON) => waits,
            };
            if !waits {
                return;
            }
            rounds += 1;
            let now = self.action.accepted().await.ok().or(accepted);
            wanted.extend(self.action.upstreams().filter(|name| self.action.was_told_of_changes(name)));
            if rounds >= LISTS || now != accepted {
                wanted.extend(self.action.upstreams()); // one that is being asked is asked once more: it may have begun before
                (rounds, accepted) = (0, now);
            }
            let is_next =
                |name: &&str| !asked.contains(name) && (wanted.contains(name) || self.action.is_due(name));
            for name in self.action.upstreams().filter(is_next).collect::<Vec<_>>() {
                wanted.remove(name);
                asked.insert(name);
                let list = self.action.list(name);
                answers.push(async move {
                    drop(list.await); // it was told of there
                    name
                });
            }
            if !good {
                good = self.fit_and_tell(&mut told).await;
            }
        }
    }

    async fn watch_policies(self, stop: CancellationToken) {
        let (mut told, mut watch) = (String::new(), Watch::default());
        while pause(&stop, self.config.policies.reload.duration()).await {
            let app = self.clone();
            // WHY: thousands of policies take longer to read than a request may wait for its thread.
            let look = tokio::task::spawn_blocking(move || {
                let looked = app.control.follow(&mut watch, || app.action.catalog().specs());
                (watch, looked)
            });
            let looked;
            (watch, looked) = look
                .await
                .unwrap_or_else(|error| (Watch::default(), Err(Error::new(Code::Internal).because(error))));
            let trouble = trouble(&looked);
            self.observe.policies_stale(!trouble.is_empty());
            // Once for each trouble, and not at each look.
            if trouble != told && !trouble.is_empty() {
                tracing::error!(error.code = Code::Misconfigured.name(), "{trouble}");
            }
            self.record_policies().await;
            self.control.tell_warnings();
            told = trouble;
        }
    }

    async fn watch_revocations(self, stop: CancellationToken) {
        while pause(&stop, REVOCATIONS).await {
            match self.identity.learn_revocations(&self.auth).await {
                Ok(()) => {
                    self.auth.revocations_known();
                    self.pulse.learnt();
                }
                Err(error) => {
                    tracing::warn!(
                        error.code = error.code().name(),
                        "what was revoked elsewhere is not known"
                    );
                }
            }
        }
    }

    async fn look_elsewhere(self, stop: CancellationToken) {
        while pause(&stop, ELSEWHERE).await {
            if let Err(error) = self.turns.look_elsewhere().await {
                tracing::debug!(error.code = error.code().name(), "what other nodes do is not seen");
            }
        }
    }

    async fn heartbeat(self, stop: CancellationToken) {
        let several = self.db.engine() == Engine::Postgres;
        let mut others = Others::default();
        // The others learn at once by what this node decides.
        while (several && others.looks == 0) || pause(&stop, HEARTBEAT).await {
            let policies = Arc::clone(self.control.policies().version());
            match self.turns.heartbeat(&policies).await {
                Err(error) if error.code() == Code::Conflict => {
                    tracing::error!("another process has taken the name of this node; set `db.node` apart");
                    self.jobs.token(Stage::Intake).cancel();
                    return;
                }
                Err(error) => tracing::warn!(error.code = error.code().name(), "no heartbeat"),
                Ok(()) => self.pulse.written(),
            }
            others.looks += 1;
            if several {
                self.compare_policies(&policies, &mut others).await;
            }
            if let Err(error) = self.control.forget_lost_reservations().await {
                tracing::warn!(error.code = error.code().name(), "lost reservations are not given back yet");
            }
            if let Err(error) = self.control.forget_dead_nodes().await {
                tracing::warn!(
                    error.code = error.code().name(),
                    "what dead nodes held is not given back yet"
                );
            }
        }
    }

    /// Tells of nodes that decide by other policies: once for each version, and not while files are just being changed.
    async fn compare_policies(&self, own: &str, others: &mut Others) {
        let Ok(now) = self.turns.deciding_otherwise(own).await else { return };
        for (node, theirs) in now.intersection(&others.seen).filter(|one| !others.told.contains(*one)) {
            tracing::warn!(
                "the node `{node}` decides by the policies {theirs}, this one by {own}: give all nodes the same files"
            );
        }
        others.told = now.intersection(&others.seen).cloned().collect();
        self.observe.policies_differ(others.told.len());
        others.seen = now;
    }

    async fn keep_cache(self, stop: CancellationToken) {
        while pause(&stop, COPIES).await {
            self.context.cache().persist().await;
            if let Err(error) = self.context.cache().settle().await {
                tracing::warn!(
                    error.code = error.code().name(),
                    "what the cache's server was not told is not known, or not written down"
                );
            }
        }
    }

    async fn watch_clearings(self, stop: CancellationToken) {
        while pause(&stop, CLEARINGS).await {
            if let Err(error) = self.context.cache().follow_others().await {
                tracing::warn!(
                    error.code = error.code().name(),
                    "what other nodes have cleared of the cache is not known"
                );
            }
        }
    }

    async fn keep_checkpoints(self, stop: CancellationToken) {
        let mut told = String::new();
        loop {
            let trouble = match self.observe.checkpoint(self.checkpoints()).await {
                Ok(()) => String::new(),
                Err(error) => reason(&error),
            };
            // Once for each trouble: a database that was set back stays so for days.
            if trouble != told && !trouble.is_empty() {
                tracing::warn!("no checkpoint of the audit log can be written: {trouble}");
            }
            told = trouble;
            if !pause(&stop, CHECKPOINTS).await {
                return;
            }
        }
    }

    async fn forget_old_keys(self, stop: CancellationToken) {
        loop {
            let (now, mut from) = (self.clock.now(), Timestamp::default());
            loop {
                match once::forget_old(&self.db, from, now).await {
                    Ok(Some(upto)) => from = upto,
                    Ok(None) => break,
                    Err(error) => {
                        let cause = reason(&error);
                        tracing::warn!(error.cause = cause, "old idempotency keys were not forgotten");
                        break;
                    }
                }
                if !pause(&stop, BREATH).await {
                    return;
                }
            }
            if let Err(error) = self.context.cache().forget_clearings().await {
                tracing::warn!(
                    error.code = error.code().name(),
                    "old clearings of the cache were not forgotten"
                );
            }
            if !pause(&stop, OLD_KEYS).await {
                return;
            }
        }
    }

    /// Says at `/readyz` that this node will stop, and leaves a load balancer the time of `server.shutdown_delay` to notice;
    /// everything goes on meanwhile. [`App::stop`] comes after it.
    pub async fn leave(&self) {
        self.pulse.leaves();
        tokio::time::sleep(self.config.server.shutdown_delay.duration()).await;
    }

    /// Stops in order: no new work, then the work in hand, then the upkeep; last the database.
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
        // WHY: all of it can be done at the next start as well, and a database that does not answer must not keep us.
        if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
            tracing::warn!("the database does not answer: the last words are not written");
        }
        self.db.close().await;
    }
}

//! Room `jobs`: every background task of Cardea is started here.
//!
//! A task has a name, belongs to a stage and gets a token that tells it to stop. [`Jobs::drain`] stops the stages in
//! order: first those that take new work, then the work in progress, then those that bring answers to waiting clients,
//! then the upkeep (outboxes, checkpoints). A task that has not ended at the deadline is aborted and named. A panic
//! ends only its own task, and is logged with the task's name.
//!
//! Refuses: to start anything in a stage that is already draining.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::{task::AbortHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Stage of a task. The stages are drained in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Takes new work: listeners, watchers, the resume watch.
    Intake,
    /// Does work in progress: turns, calls. The token means "finish soon"; the deadline aborts it.
    Work,
    /// Brings answers to waiting clients: connections. WHY: after the work. Clients whose work was aborted are told so,
    /// and do not ask for it again elsewhere.
    Answers,
    /// Serves the others: refreshers, outboxes, sinks, checkpoints.
    Upkeep,
}

const STAGES: [Stage; 4] = [Stage::Intake, Stage::Work, Stage::Answers, Stage::Upkeep];

/// Least time for answers, however late the work has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Pause before a task that panicked is restarted.
const BREATH: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Lane {
    token: CancellationToken,
    tracker: TaskTracker,
    running: Mutex<BTreeMap<u64, (&'static str, Option<AbortHandle>)>>,
}

#[derive(Debug, Default)]
struct Inner {
    intake: Lane,
    work: Lane,
    answers: Lane,
    upkeep: Lane,
    next: AtomicU64,
}

/// Starts and drains background tasks. Cheap to clone; all clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Jobs(Arc<Inner>);

/// Result of a drain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// Names of tasks that had to be aborted; empty if all ended by themselves.
    pub cut: Vec<&'static str>,
}

/// Error of a stage that takes no more tasks, because the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` was not started: this node is stopping")]
pub struct Stopping(pub &'static str);

impl Jobs {
    /// Creates a set without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lane(&self, stage: Stage) -> &Lane {
        match stage {
            Stage::Intake => &self.0.intake,
            Stage::Work => &self.0.work,
            Stage::Answers => &self.0.answers,
            Stage::Upkeep => &self.0.upkeep,
        }
    }

    /// Starts a task of the stage [`Stage::Work`] that ends by itself. Returns `false` if this node is stopping: the
    /// task was then dropped, and its callers see their channels close.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> bool {
        // WHY: boxed at once. The future of a request is large, and each layer below would copy it.
        let task = Box::pin(task);
        let started = self.spawn_in(Stage::Work, name, |_stop| task);
        if let Err(refused) = &started {
            tracing::debug!(job.name = name, "{refused}");
        }
        started.is_ok()
    }

    /// Starts a task in a stage. It should end soon after the token is cancelled.
    ///
    /// # Errors
    /// [`Stopping`] once the stage drains.
    #[expect(clippy::disallowed_methods, reason = "this is the place that the rule points to")]
    pub fn spawn_in<F, T>(&self, stage: Stage, name: &'static str, task: F) -> Result<(), Stopping>
    where
        F: FnOnce(CancellationToken) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let lane = self.lane(stage);
        // WHY: registered under the lock that `drain` takes to close, so that no task slips in after it.
        let mut running = lane.running.lock().unwrap_or_else(PoisonError::into_inner);
        if lane.tracker.is_closed() {
            return Err(Stopping(name));
        }
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let jobs = self.clone();
        let task = task(lane.token.clone());
        let leave = Leave { jobs, stage, id };
        running.insert(id, (name, None));
        let tracked = lane.tracker.track_future(async move {
            let _leave = leave;
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(job.name = name, "a background job panicked");
            }
        });
        // WHY not under the lock: a runtime that shuts down drops the task at once, which takes the lock to leave the list.
        drop(running);
        let handle = tokio::spawn(tracked).abort_handle();
        let mut running = lane.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(&id) {
            Some((_, place)) => *place = Some(handle),
            None => {
                drop(running);
                handle.abort(); // it has ended, or was cut off meanwhile
            }
        }
        Ok(())
    }

    /// Starts a task that runs as long as this process. If it panics, it is restarted after a pause, since its duty
    /// must not be neglected until the next start.
    ///
    /// # Errors
    /// [`Stopping`] once the stage drains.
    pub fn keep<F, T>(&self, stage: Stage, name: &'static str, task: F) -> Result<(), Stopping>
    where
        F: Fn(CancellationToken) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.spawn_in(stage, name, |stop| async move {
            while AssertUnwindSafe(task(stop.clone())).catch_unwind().await.is_err() {
                tracing::error!(job.name = name, "a background job panicked and is begun anew");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(BREATH) => {}
                }
            }
        })
    }

    /// Returns a token that is cancelled when this stage starts to drain, for work that runs inside a request.
    #[must_use]
    pub fn token(&self, stage: Stage) -> CancellationToken {
        self.lane(stage).token.clone()
    }

    /// Returns a token that is cancelled when this node begins to stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.token(Stage::Intake)
    }

    /// Returns whether draining has begun.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.0.intake.token.is_cancelled()
    }

    /// Returns the names of the running tasks, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = STAGES.iter().flat_map(|stage| self.names_of(*stage)).collect();
        names.sort_unstable();
        names
    }

    fn names_of(&self, stage: Stage) -> Vec<&'static str> {
        let running = self.lane(stage).running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().map(|(name, _)| *name).collect()
    }

    /// Stops everything, stage after stage, and waits. All stages share the deadline. The last one gets at least a
    /// tenth of it, so that the upkeep can record what the work left behind. Answers get at least a second, which may
    /// exceed the deadline.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let start = Instant::now();
        let mut drained = Drained::default();
        for stage in STAGES {
            let (now, early) = (Instant::now(), start + deadline.mul_f64(0.9));
            let until = match stage {
                Stage::Intake | Stage::Work => early,
                Stage::Answers => early.max(now + LAST_ANSWERS),
                Stage::Upkeep => (start + deadline).max(now + deadline.mul_f64(0.1)),
            };
            drained.cut.extend(self.stop(stage, until).await);
        }
        drained
    }

    async fn stop(&self, stage: Stage, until: Instant) -> Vec<&'static str> {
        let lane = self.lane(stage);
        {
            let _closing = lane.running.lock().unwrap_or_else(PoisonError::into_inner);
            lane.tracker.close();
        }
        lane.token.cancel();
        if tokio::time::timeout_at(until, lane.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let cut: Vec<_> = {
            let mut running = lane.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running).into_values().collect()
        };
        for (name, handle) in &cut {
            tracing::warn!(job.name = name, "a background job did not end in time and was cut off");
            handle.iter().for_each(AbortHandle::abort);
        }
        lane.tracker.wait().await;
        cut.into_iter().map(|(name, _)| name).collect()
    }
}

/// Removes a task from the list when it ends, in whatever way.
struct Leave {
    jobs: Jobs,
    stage: Stage,
    id: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut running = self.jobs.lane(self.stage).running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_are_drained_in_order() {
        let jobs = Jobs::new();
        let log = Arc::new(Mutex::new(Vec::new()));
        for (stage, name) in [
            (Stage::Upkeep, "sink"),
            (Stage::Answers, "connection"),
            (Stage::Work, "turn"),
            (Stage::Intake, "listener"),
        ] {
            let log = log.clone();
            jobs.spawn_in(stage, name, |stop| async move {
                stop.cancelled().await;
                log.lock().unwrap().push(name);
            })
            .unwrap();
        }
        assert_eq!(jobs.names(), ["connection", "listener", "sink", "turn"]);
        assert_eq!(jobs.drain(Duration::from_secs(60)).await, Drained::default());
        assert_eq!(*log.lock().unwrap(), ["listener", "turn", "connection", "sink"]);
        assert_eq!(jobs.names(), Vec::<&str>::new());
        assert_eq!(jobs.spawn_in(Stage::Intake, "late", |_| async {}), Err(Stopping("late")));
        assert!(!jobs.spawn("late", async {}) && jobs.stopping().is_cancelled());
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_cut_off_and_named() {
        let jobs = Jobs::new();
        jobs.spawn_in(Stage::Work, "stuck", |_stop| std::future::pending()).unwrap();
        assert_eq!(jobs.drain(Duration::from_millis(20)).await.cut, ["stuck"]);
        assert_eq!(jobs.names(), Vec::<&str>::new());
    }

    #[tokio::test]
    async fn who_waits_for_work_that_was_cut_off_has_time_to_say_so() {
        let jobs = Jobs::new();
        let (works, answer) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        jobs.spawn_in(Stage::Answers, "connection", |_stop| async move {
            tell.send(answer.await.is_err()).unwrap()
        })
        .unwrap();
        jobs.spawn("turn", async move {
            std::future::pending::<()>().await;
            works.send(()).unwrap();
        });
        assert_eq!(jobs.drain(Duration::from_millis(20)).await.cut, ["turn"]);
        assert_eq!(told.await, Ok(true));
    }

    #[tokio::test]
    async fn a_task_that_is_kept_is_begun_anew_after_a_panic() {
        let jobs = Jobs::new();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let times = AtomicU64::new(0);
        let task = move |stop: CancellationToken| {
            let (tell, time) = (tell.clone(), times.fetch_add(1, Ordering::SeqCst));
            async move {
                tell.send(time).unwrap();
                assert!(time > 0, "on purpose");
                stop.cancelled().await;
            }
        };
        jobs.keep(Stage::Upkeep, "cache copy", task).unwrap();
        assert_eq!((told.recv().await, told.recv().await), (Some(0), Some(1)));
        assert_eq!(jobs.names(), ["cache copy"]);
        assert_eq!(jobs.drain(Duration::from_secs(5)).await, Drained::default());
        assert_eq!(jobs.keep(Stage::Upkeep, "late", |_| async {}), Err(Stopping("late")));
    }

    #[test]
    fn a_runtime_that_ends_while_a_task_starts_its_last_one_does_not_hang() {
        struct Last(Jobs);
        impl Drop for Last {
            fn drop(&mut self) {
                self.0.spawn("last", async {});
            }
        }
        let (ended, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let jobs = Jobs::new();
            let last = Last(jobs.clone());
            runtime.block_on(async {
                jobs.spawn("turn", async move {
                    let _last = last;
                    std::future::pending().await
                });
                tokio::task::yield_now().await;
            });
            drop(runtime);
            ended.send(()).unwrap();
        });
        heard.recv_timeout(Duration::from_secs(10)).expect("it hangs");
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_task_only() {
        let jobs = Jobs::new();
        let (tell, told) = tokio::sync::oneshot::channel();
        jobs.spawn_in(Stage::Work, "bad", |_| async { panic!("on purpose") }).unwrap();
        jobs.spawn_in(Stage::Work, "good", |_| async move { tell.send(7).unwrap() }).unwrap();
        assert_eq!(told.await, Ok(7));
        assert_eq!(jobs.drain(Duration::from_secs(5)).await, Drained::default());
    }
}

//! Turns go on: after a crash, after a person's decision, from a node that is gone.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cardea_core::{
    Code, Error, Result, Retry,
    id::{ToolName, TurnId},
    saga::Way,
    time::Millis,
};
use futures::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Outlet,
    chat::{Open, settle},
    finish::finish,
    mcp,
    run::Run,
    tool_call::give_up_sent,
};
use crate::{
    app::App,
    context::cache::Reuse,
    control::Admission,
    observe::{RequestEvent, Work},
    turn::{Ending, Failure, Free, Kind, Limits, Step, Turn},
};

/// Most turns that are taken up in one round.
const ROUND: u32 = 64;

/// How long after its beginning a turn waits for the server of its call to come back.
const PATIENCE: Millis = Millis::from_secs(3 * 24 * 3_600);

/// How often to look for free turns where nobody says that there are some.
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// How long a turn that could not be taken up is left alone first; each time twice as long, up to [`RARELY`].
const AGAIN: Duration = Duration::from_secs(2);

/// The longest that a turn is left alone.
const RARELY: Duration = Duration::from_secs(60);

/// The same where a moment may change it: a server is back, somebody gives a place free.
const SOON: Duration = Duration::from_secs(10);

/// How often a turn is taken up of which nothing more is written.
const TRIES: i64 = 5;

/// Turns that could not be taken up, or broke off: until when and how long they are left alone.
#[derive(Clone, Default)]
struct LeftAlone(Arc<Mutex<HashMap<TurnId, (Instant, Duration)>>>);

impl LeftAlone {
    fn lock(&self) -> MutexGuard<'_, HashMap<TurnId, (Instant, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, for a round that must see beyond them.
    fn count(&self) -> u32 {
        u32::try_from(self.lock().len()).unwrap_or(u32::MAX)
    }

    fn has(&self, id: TurnId) -> bool {
        self.lock().get(&id).is_some_and(|(until, _)| Instant::now() < *until)
    }

    fn note(&self, id: TurnId, error: Option<&Error>) {
        let mut all = self.lock();
        all.retain(|_, (until, pause)| until.elapsed() <= *pause * 2); // others have ended it
        let before = all.remove(&id);
        let Some(error) = error else { return };
        let most = if error.code().retry() == Retry::Never { RARELY } else { SOON };
        let pause = before.map_or(AGAIN, |(_, pause)| (pause * 2).min(most));
        all.insert(id, (Instant::now() + pause, pause));
    }
}

/// Takes up free turns until told to stop.
pub async fn watch(app: App, stop: CancellationToken) {
    let (mut decided, alone) = (app.control.decided(), LeftAlone::default());
    loop {
        let mut found = app.turns.free(ROUND.saturating_add(alone.count())).await.unwrap_or_default();
        found.retain(|free| !alone.has(free.id));
        let none = found.is_empty();
        if !none {
            // WHY: what a dead node held of a budget must not stand in the way of others until the next heartbeat.
            drop(app.control.forget_dead_nodes().await);
        }
        for free in found {
            let (app, alone) = (app.clone(), alone.clone());
            app.jobs.clone().spawn("resume", async move {
                let resumed = caught(resume_one(&app, &free)).await;
                alone.note(free.id, resumed.as_ref().err());
                if let Err(error) = resumed {
                    tracing::warn!(turn.id = %free.id, error.code = error.code().name(), cause = error.cause_line(), "not resumed");
                }
            });
        }
        if !none {
            // The same rows must not be found again before their owners have claimed them.
            tokio::task::yield_now().await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = decided.heard() => {}
            () = tokio::time::sleep(ROUND_PAUSE) => {}
        }
    }
}

/// What came of one turn, also if its task broke off.
async fn caught(resumed: impl Future<Output = Result<()>>) -> Result<()> {
    let panicked = |_| Err(Error::new(Code::Internal).because("it panicked"));
    AssertUnwindSafe(resumed).catch_unwind().await.unwrap_or_else(panicked)
}

/// Claims one free turn and runs it to its end.
///
/// # Errors
/// What the store says. A turn that cannot go on is closed with its reason, not left open.
pub async fn resume_one(app: &App, free: &Free) -> Result<()> {
    let agent = match app.find_agent(&free.agent) {
        Err(_) if free.agent == app.direct().name => Ok(app.direct()), // a call that no agent made
        found => found,
    };
    let limits = agent.as_ref().map_or(Limits::NONE, |agent| Limits::of(agent));
    let Some(open) = app.turns.look(free.id, limits).await? else { return Ok(()) };
    // WHY before it is claimed: what may be over in a moment leaves the turn as it is, and is no try.
    let caller = match app.auth.resume(open.turn().principal().clone(), open.turn().started_at()).await {
        Err(error) if error.code().retry() == Retry::After => return Err(error), // nobody can say now
        caller => caller,
    };
    let works = agent.is_ok() && caller.is_ok() && does_more(open.turn());
    let patient = app.clock.now() < open.turn().started_at().plus(PATIENCE);
    if works && patient {
        if awaits_a_server(app, open.turn()) {
            return Err(Error::new(Code::UpstreamSilent)); // looked at again in a moment
        }
        match app.context.opens_for(open.turn().principal(), open.turn().conversation()).await {
            Err(error) if error.code().retry() == Retry::After => return Err(error), // as above
            _ => {}
        }
    }
    let admitted = app.control.admit_again(open.turn().principal()).await?; // the same if there is no room
    let Some(turn) = app.turns.take(open).await? else { return Ok(()) };
    let event = RequestEvent::after(turn.request(), Work::Resume);
    let trace = app.observe.trace(event, turn.asked_in(), None); // a part of the trace in which it was asked for
    trace.note(|event| {
        event.asked_by(turn.principal());
        (event.agent, event.turn) = (Some(turn.agent().to_string()), Some(turn.id()));
    });
    let mut turn = turn.traced(trace);
    let agent = match agent {
        Ok(agent) => agent,
        Err(error) => return end_as_it_stands(app, turn, admitted, agent_is_gone(error)).await,
    };
    // WHY not for ever: it would break off the same way again, and its model be paid each time.
    if turn.tries() > TRIES {
        if turn.failure().is_some() || turn.next_undo().is_none() {
            let (_, told) = turn.unwound();
            return end_as_it_stands(app, turn, admitted, comes_no_further(&told)).await;
        }
        app.turns.unwinding(&mut turn, &comes_no_further("")).await?; // no model is needed to take back what it did
    }
    if turn.kind() == Kind::Check {
        let error = Error::new(Code::Draining); // what it was compared with is gone
        return end_as_it_stands(app, turn, admitted, error).await;
    }
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return end_as_it_stands(app, turn, admitted, error).await, // revoked meanwhile
    };
    if let Some(error) = turn.failure().map(Failure::error).filter(|_| turn.kind() == Kind::Call) {
        return end_as_it_stands(app, turn, admitted, error).await; // stopped by who asked
    }
    if does_more(&turn) {
        let placeholders = app.context.placeholders_of(turn.principal(), turn.conversation()).await?;
        turn = turn.with_placeholders(placeholders);
    }
    if turn.kind() == Kind::Call {
        return mcp::go_on(Run::mcp(app, &caller, &agent), admitted, turn).await;
    }
    let mut outlet = Outlet::new(app.control.window(agent.spec.guard.as_deref(), turn.placeholders())?, None);
    let (outlet, reuse) = (&mut outlet, Reuse::Allowed); // what its client said of that has gone with its client
    settle(Run::chat(app, &caller, &agent), Open { turn, admitted, outlet, reuse }).await.map(drop)
}

/// False of a turn that only has to be closed: a check, and one that was stopped and has nothing to take back.
fn does_more(turn: &Turn) -> bool {
    turn.kind() != Kind::Check && (turn.failure().is_none() || turn.has_effects())
}

/// True of a turn whose tools are needed to go on or back, and whose server has not been there since this node started, or
/// not long enough for the policies to know them: those of a call that was begun or approved, and those of a step of a chat
/// that can be taken back, which binds the turn to do all or nothing.
fn awaits_a_server(app: &App, turn: &Turn) -> bool {
    let listed = |tool: &ToolName| app.action.catalog().get(tool.as_str()).is_some();
    let away = |tool: &ToolName| app.action.is_awaited(tool) || listed(tool) && !app.control.knows(tool);
    let is_saga = turn.kind() == Kind::Chat; // a call is never taken back
    let awaited = |step: &Step| match step.way() {
        Some(Way::Call { tool, .. }) if is_saga && step.touched_the_world() => {
            away(step.tool()) || away(tool)
        }
        _ => step.is_open() && !turn.is_cancelled() && away(step.tool()),
    };
    turn.steps().iter().any(awaited)
}

/// The end of a turn of which nothing was written however often it was taken up.
fn comes_no_further(told: &str) -> Error {
    let detail = format!("The turn was taken up {TRIES} times and came no further. {told}");
    Error::new(Code::Internal).detail(detail.trim_end())
}

fn agent_is_gone(error: Error) -> Error {
    let detail = "The agent of this turn is no longer configured.";
    Error::new(Code::Misconfigured).detail(detail).because(error)
}

/// Ends a turn that may not go on. What became of a write that was begun nobody knows, and so it is told.
async fn end_as_it_stands(app: &App, mut turn: Turn, admitted: Admission, error: Error) -> Result<()> {
    let unknown = give_up_sent(app, &mut turn).await?;
    let ending = if unknown { Ending::Unknown(error) } else { Ending::Failed(error) };
    finish(app, turn, admitted, ending).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_that_cannot_be_taken_up_is_left_alone_for_longer_each_time() {
        let (alone, id) = (LeftAlone::default(), TurnId::random());
        let (broken, soon) = (Error::new(Code::Internal), Error::new(Code::UpstreamSilent));
        let pause = || alone.lock().get(&id).map(|(_, pause)| pause.as_secs());
        let pauses = |error: &Error| {
            [(); 7].map(|()| {
                alone.note(id, Some(error));
                assert!(alone.has(id));
                pause().unwrap()
            })
        };
        assert_eq!(pauses(&soon), [2, 4, 8, 10, 10, 10, 10], "its server may be back in a moment");
        alone.note(id, None);
        assert_eq!(pauses(&broken), [2, 4, 8, 16, 32, 60, 60]);
        alone.note(id, None);
        assert!(!alone.has(id) && alone.count() == 0);
    }

    #[tokio::test]
    async fn a_turn_whose_task_panics_is_left_alone_as_well() {
        let broke_off = caught(async { panic!("poison") }).await.unwrap_err();
        assert_eq!((broke_off.code(), broke_off.code().retry()), (Code::Internal, Retry::Never));
    }
}

//! Turns go on: after a crash, after a person's decision, from a node that is gone.

use cardea_core::{Code, Error, Result, Retry, id::ToolName, saga::Way, time::Millis};

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

/// How long after its beginning a turn waits for the server of its call to come back.
const PATIENCE: Millis = Millis::from_secs(3 * 24 * 3_600);

/// How often a turn is taken up of which nothing more is written.
const TRIES: i64 = 5;

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

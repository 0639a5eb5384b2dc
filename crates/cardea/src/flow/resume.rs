//! Resumes turns: after a crash, after a person's decision, or from a node that is gone.

use cardea_core::{Code, Error, Result, Retry, id::ToolName, saga::Way, time::Timestamp};

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
    control::{Admission, PATIENCE},
    observe::{RequestEvent, Work},
    turn::{Ending, Failure, Free, Kind, Limits, Step, Turn},
};

/// How often a turn is taken up without any progress being written.
const TRIES: i64 = 5;

/// Claims one free turn and runs it to its end.
///
/// # Errors
/// Store errors; errors that may soon be over, such as those of an issuer or a server that does not answer. A turn that
/// cannot continue is closed with its reason, not left open.
pub async fn resume_one(app: &App, free: &Free) -> Result<()> {
    let agent = match app.find_agent(&free.agent) {
        Err(_) if free.agent == app.direct().name => Ok(app.direct()), // a call without an agent
        found => found,
    };
    let limits = agent.as_ref().map_or(Limits::NONE, |agent| Limits::of(agent));
    let Some(open) = app.turns.look(free.id, limits).await? else { return Ok(()) };
    // WHY before it is claimed: a trouble that may soon be over leaves the turn as it is and does not count as a try.
    let caller = match app.auth.resume(open.turn().principal().clone(), open.turn().started_at()).await {
        Err(error) if error.code().retry() == Retry::After => return Err(error), // not known at the moment
        caller => caller,
    };
    let works = agent.is_ok() && caller.is_ok() && does_more(open.turn());
    if works && is_patient(app, open.turn()).await? {
        if awaits_a_server(app, open.turn()) {
            return Err(Error::new(Code::UpstreamSilent)); // tried again soon
        }
        match app.context.opens_for(open.turn().principal(), open.turn().conversation()).await {
            Err(error) if error.code().retry() == Retry::After => return Err(error), // as above
            _ => {}
        }
    }
    let admitted = app.control.admit_again(open.turn().principal()).await?; // also tried again if there is no room
    let Some(turn) = app.turns.take(open).await? else { return Ok(()) };
    let event = RequestEvent::after(turn.request(), Work::Resume);
    let trace = app.observe.trace(event, turn.asked_in(), None); // continues the trace of the original request
    trace.note(|event| {
        event.asked_by(turn.principal());
        (event.agent, event.turn) = (Some(turn.agent().to_string()), Some(turn.id()));
    });
    let mut turn = turn.traced(trace);
    let agent = match agent {
        Ok(agent) => agent,
        Err(error) => return end_as_it_stands(app, turn, admitted, agent_is_gone(error)).await,
    };
    // WHY not for ever: it would stop at the same place again, and each time its model costs money.
    if turn.tries() > TRIES {
        if turn.failure().is_some() || turn.next_undo().is_none() {
            let (_, told) = turn.unwound();
            return end_as_it_stands(app, turn, admitted, comes_no_further(&told)).await;
        }
        app.turns.unwinding(&mut turn, &comes_no_further("")).await?; // compensation needs no model
    }
    if turn.kind() == Kind::Check {
        let error = Error::new(Code::Draining); // the answer to compare with is gone
        return end_as_it_stands(app, turn, admitted, error).await;
    }
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return end_as_it_stands(app, turn, admitted, error).await, // revoked meanwhile
    };
    if let Some(error) = turn.failure().map(Failure::error).filter(|_| turn.kind() == Kind::Call) {
        return end_as_it_stands(app, turn, admitted, error).await; // cancelled by its user
    }
    if does_more(&turn) {
        let placeholders = app.context.placeholders_of(turn.principal(), turn.conversation()).await?;
        turn = turn.with_placeholders(placeholders);
    }
    if turn.kind() == Kind::Call {
        return mcp::go_on(Run::mcp(app, &caller, &agent), admitted, turn).await;
    }
    let run = Run::chat(app, &caller, &agent);
    let mut outlet = Outlet::new(run.screen(turn.placeholders()).window()?, None);
    let (outlet, reuse) = (&mut outlet, Reuse::Allowed); // the client's own choice is not stored
    settle(run, Open { turn, admitted, outlet, reuse }).await.map(drop)
}

/// Returns whether the turn waits for what is away: not for ever, but anew after each decision of a person.
async fn is_patient(app: &App, turn: &Turn) -> Result<bool> {
    let recent = |at: Timestamp| app.clock.now() < at.plus(PATIENCE);
    Ok(recent(turn.started_at())
        || app.control.last_decision(turn.principal(), turn.id()).await?.is_some_and(recent))
}

/// Returns false for a turn that only has to be closed: a check, or a stopped turn with nothing to compensate.
fn does_more(turn: &Turn) -> bool {
    turn.kind() != Kind::Check && (turn.failure().is_none() || turn.has_effects())
}

/// Returns true if the turn needs a tool of a server that has not been seen since this node started, or not long enough
/// for the policies to know its tools.
///
/// Needed are the tools of calls that were started or approved. In a chat they include the tool and the undo of every
/// step that can be undone: such a step makes the turn all or nothing.
fn awaits_a_server(app: &App, turn: &Turn) -> bool {
    let listed = |tool: &ToolName| app.action.catalog().get(tool.as_str()).is_some();
    let away = |tool: &ToolName| app.action.is_awaited(tool) || listed(tool) && !app.control.knows(tool);
    let is_saga = turn.kind() == Kind::Chat; // a single call is never undone
    let awaited = |step: &Step| match step.way() {
        Some(Way::Call { tool, .. }) if is_saga && step.touched_the_world() => {
            away(step.tool()) || away(tool)
        }
        _ => step.is_open() && !turn.is_cancelled() && away(step.tool()),
    };
    turn.steps().iter().any(awaited)
}

/// Returns the error of a turn that made no progress however often it was taken up.
fn comes_no_further(told: &str) -> Error {
    let detail = format!("The turn was taken up {TRIES} times and came no further. {told}");
    Error::new(Code::Internal).detail(detail.trim_end())
}

fn agent_is_gone(error: Error) -> Error {
    let detail = "The agent of this turn is no longer configured.";
    Error::new(Code::Misconfigured).detail(detail).because(error)
}

/// Closes a turn that may not continue. A write that was started is recorded, and reported, as unknown.
async fn end_as_it_stands(app: &App, mut turn: Turn, admitted: Admission, error: Error) -> Result<()> {
    let unknown = give_up_sent(app, &mut turn).await?;
    let ending = if unknown { Ending::Unknown(error) } else { Ending::Failed(error) };
    finish(app, turn, admitted, ending).await.map(drop)
}

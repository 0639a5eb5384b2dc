//! Runs one chat turn, from a message to its receipt.

use std::sync::Arc;

use cardea_core::{
    Code, Error, Result, Retry,
    agent::Agent,
    id::{ConversationId, TurnId},
    message::Sampling,
    time::Millis,
};

use super::{
    ChatRequest, Outlet, Request, Stream,
    answer::answer,
    begin::begin_turn,
    converse::Thought,
    finish::{End, finish},
    run::Run,
    unwind::unwind,
};
use crate::{
    app::App,
    context::cache::Reuse,
    control::{Admission, Screened},
    observe::Trace,
    turn::{Begun, Ending, Failure, Receipt, Trail, Turn},
};

/// Answers one message. Start reading Cardea here.
///
/// # Errors
/// Any [`cardea_core::Code`] of the rooms on the way. A turn that has begun ends with a receipt, not with an error. If
/// its end cannot be written, the error names the turn (`Error::turn`), and the turn is resumed in the background.
pub async fn chat(
    app: &App,
    request: &Request,
    message: ChatRequest,
    client: Option<Stream>,
) -> Result<Receipt> {
    let done = ask(app, request, message, client).await;
    request.trace.note_error(&done); // even if the response's status was already sent
    done
}

/// The steps of a chat turn. Each one is a room.
async fn ask(app: &App, request: &Request, message: ChatRequest, client: Option<Stream>) -> Result<Receipt> {
    let Request { caller, trace } = request;
    let agent = tuned(app.find_agent(&message.agent)?, &message.sampling);
    let admitting = app.control.admit(caller, app.estimate(&agent, &message.text, message.history()));
    let admitted = trace.time("admit", admitting).await?; // rate, budget, load
    let run = Run::chat(app, caller, &agent);
    let turn = match begin_turn(run, trace, &message).await? {
        Begun::Fresh(turn) => turn, // screened, and durable from here on
        Begun::Again(receipt) => {
            trace.note(|event| event.replays(&receipt));
            return Ok(receipt); // same idempotency key, same answer, and no second conversation
        }
    };
    let (trail, trace) = (turn.trail(), turn.trace().clone());
    let window = run.screen(turn.placeholders()).window()?;
    let mut outlet = Outlet::new(window, client); // text leaves only through the guard window
    let open = Open { turn, admitted, outlet: &mut outlet, reuse: message.reuse };
    match settle(run, open).await {
        Err(error) if error.code() == Code::TakenOver => elsewhere(app, &trail, &trace, &mut outlet).await,
        ended => ended,
    }
}

/// Returns the agent with the sampling that the client asked for.
///
/// WHY: the sampling is set in the agent, so that the cache and rechecks see it just as they see the model. A turn
/// resumed after a crash or an approval uses the agent's file again.
fn tuned(mut agent: Arc<Agent>, wanted: &Sampling) -> Arc<Agent> {
    if *wanted != Sampling::default() {
        let sampling = wanted.clone().over(&agent.spec.sampling);
        Arc::make_mut(&mut agent).spec.sampling = sampling;
    }
    agent
}

/// An open turn with everything that is held for it.
pub(super) struct Open<'o> {
    pub(super) turn: Turn,
    pub(super) admitted: Admission,
    pub(super) outlet: &'o mut Outlet,
    pub(super) reuse: Reuse,
}

/// Runs an open turn until it is answered, waiting, failed or unwound. `resume` enters here as well.
///
/// # Errors
/// Store errors. The turn then stays open, is taken up again in the background, and the error names it.
pub(super) async fn settle(run: Run<'_>, open: Open<'_>) -> Result<Receipt> {
    let (turn, conversation) = (open.turn.id(), open.turn.conversation());
    work(run, open).await.map_err(|error| left_open(error, turn, conversation))
}

/// Returns the error of a turn whose end could not be written. It names the turn, because a client that retries without
/// an idempotency key starts a second turn beside it.
pub(super) fn left_open(error: Error, turn: TurnId, conversation: Option<ConversationId>) -> Error {
    let error = error.of_turn(turn, conversation);
    if error.retry() != Retry::After {
        return error;
    }
    error.begun().detail(format!("The turn `{turn}` has begun, and goes on by itself."))
}

async fn work(run: Run<'_>, open: Open<'_>) -> Result<Receipt> {
    let Run { app, agent, .. } = run;
    let Open { mut turn, admitted, outlet, reuse } = open;
    let span = turn.trace().stage("turn").invoke_agent(agent.name.as_str());
    // Every later span is a child of this one.
    let (trace, found) = (span.inside(), turn.placeholders().clone());
    trace.note(|event| {
        (event.agent, event.asked) = (Some(agent.name.to_string()), Some(agent.spec.model.clone()));
    });
    turn = turn.traced(trace.clone());
    outlet.heed(turn.stop());
    outlet.begun(&turn).await;
    let thought = match turn.failure().map(Failure::error) {
        Some(error) => Err(error), // cancelled, or being unwound by its last owner
        None => answer(run, &mut turn, outlet, reuse).await,
    };
    trace.note(|event| event.findings = found.found());
    trace.note_error(&thought); // the receipt does not contain the cause
    let thought = match thought {
        Err(error) if turn.has_effects() || turn.is_unwinding() => {
            Err(unwind(run, &mut turn, error).await?) // compensate what can be compensated
        }
        thought => thought.map_err(Ending::Failed),
    };
    let end = match thought {
        Ok(Thought::Answer { text, finish, .. }) => End::Over(Ending::Answer { text, finish }),
        Ok(Thought::Waiting(waiting)) => End::Waiting(waiting),
        Err(ending) => End::Over(ending),
    };
    let receipt = finish(app, turn, admitted, end).await?; // message, budget, cost, audit: one commit
    drop(span);
    outlet.ended(&receipt).await;
    Ok(receipt)
}

/// Waits for the end of a turn that another node has taken over, and gives it to the client that still waits here. If
/// this client were told to ask again, the work could be done twice.
async fn elsewhere(app: &App, trail: &Trail, trace: &Trace, outlet: &mut Outlet) -> Result<Receipt> {
    let receipt = ended_elsewhere(app, trail).await?;
    trace.note(|event| event.answered(&receipt));
    let answer = receipt.answer.clone().unwrap_or_default();
    outlet.catch_up(&Screened::from_journal(answer)).await;
    outlet.ended(&receipt).await;
    Ok(receipt)
}

/// Returns the receipt of a turn that another node has taken over. A node that is stopping does not wait for it.
pub(super) async fn ended_elsewhere(app: &App, trail: &Trail) -> Result<Receipt> {
    let stopping = app.jobs.stopping();
    tokio::select! {
        ended = app.turns.ended_elsewhere(trail, trail.time()) => ended,
        () = stopping.cancelled() => app.turns.ended_elsewhere(trail, Millis(0)).await,
    }
}

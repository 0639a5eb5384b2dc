//! Lists and calls tools for clients that bring their own model, through MCP or a similar protocol.

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    id::{ApprovalId, TurnId},
    journal::{Recovery, StepState, TurnState, after_crash},
    message::Finish,
    tool::{Outcome, ToolCall, ToolSpec},
};

use serde_json::json;

use super::{
    Request,
    chat::{ended_elsewhere, left_open},
    finish::{End, finish},
    run::Run,
    tool_call::{Called, cut_off, give_up_sent, tool_call},
    visible::{Named, find, visible},
};
use crate::{
    app::App,
    control::{Admission, Estimate},
    observe::RequestEvent,
    turn::{Asker, Begun, Ending, Kind, Question, Receipt, Turn},
};

/// A tool call from a client.
#[derive(Debug)]
pub struct CallRequest {
    /// The call.
    pub call: ToolCall,
    /// The client's idempotency key.
    pub key: Option<String>,
}

/// The result of a tool call.
#[derive(Debug, Clone)]
pub enum CallReply {
    /// It has ended.
    Ended(Outcome),
    /// A person must decide first. The call then runs in the background, and the turn's receipt contains its result.
    Waiting {
        /// The open approval.
        approval: ApprovalId,
        /// The turn whose receipt will contain the result.
        turn: TurnId,
    },
}

/// Returns the tools that this caller may call.
#[must_use]
pub fn tools(app: &App, caller: &Caller) -> Vec<ToolSpec> {
    let visible = visible(Run::mcp(app, caller, &app.direct())); // may they
    visible.tools.iter().map(|tool| tool.spec().clone()).collect()
}

/// Runs one tool call of a client, from arguments to outcome.
///
/// # Errors
/// Any [`Code`] of the rooms on the way.
pub async fn call(app: &App, request: &Request, wish: CallRequest) -> Result<CallReply> {
    let done = ask(app, request, wish).await;
    request.trace.note_error(&done); // a JSON-RPC status does not tell
    done
}

/// The steps of a call. Each one is a room.
async fn ask(app: &App, request: &Request, wish: CallRequest) -> Result<CallReply> {
    let (Request { caller, trace }, CallRequest { call, key }) = (request, wish);
    let agent = app.direct();
    let admitted = trace.time("admit", app.control.admit(caller, Estimate::default())).await?; // rate, load
    let run = Run::mcp(app, caller, &agent);
    let named = find(run, &call.name); // visible to this caller, or not found
    if let Named::Hidden(tool) = &named {
        app.control.refuse_unseen(run.requester_before(trace.request()), tool.spec(), &call).await?; // the log says why
    }
    let Named::Visible(tool) = named else {
        return Err(Error::new(Code::NotFound).detail("There is no such tool for you."));
    };
    let asker = Asker { principal: caller, agent: &agent, trace };
    let digest = || app.vault.digest(&json!([call.name, call.arguments]).to_string());
    let key = key.map(|key| asker.keyed(Kind::Call, None, &key, &digest()));
    let question = Question::call(asker, tool.name()).once(key.as_ref());
    let turn = match trace.time("begin", app.turns.begin(question)).await? {
        Begun::Fresh(turn) => turn,
        Begun::Again(receipt) => {
            trace.note(|event| {
                tell(event, &receipt, None);
                event.replayed = true;
            });
            return reply(&receipt);
        }
    };
    let trail = turn.trail();
    match make(run, admitted, turn, call).await {
        Err(error) if error.code() == Code::TakenOver => {
            let receipt = ended_elsewhere(app, &trail).await?;
            trace.note(|event| {
                let why = event.code;
                tell(event, &receipt, why);
            });
            reply(&receipt)
        }
        ended => ended,
    }
}

/// Continues the call of a turn that an earlier owner left open (ARCHITECTURE, section 7).
pub(super) async fn go_on(run: Run<'_>, admitted: Admission, mut turn: Turn) -> Result<()> {
    let app = run.app;
    let Some(step) = turn.steps().first().cloned() else {
        // WHY: a call's arguments are written with its step. Without a step nothing was done, and the arguments are
        // lost.
        let error = Error::new(Code::Draining).detail(
            "Cardea was stopped before the call was made; nothing was done. Ask again with a new key.",
        );
        return finish(app, turn, admitted, Ending::Failed(error)).await.map(drop);
    };
    match after_crash(step.state(), step.effect(), step.repeatable()) {
        Recovery::Call => {
            let call = step.call().clone();
            make(run, admitted, turn, call).await.map(drop)
        }
        Recovery::Stop => {
            let error = cut_off(app, &mut turn, step).await?;
            finish(app, turn, admitted, Ending::Unknown(error)).await.map(drop)
        }
        Recovery::Leave => end(app, turn, admitted, Ok(Called::Ended(Box::new(step)))).await.map(drop),
    }
}

/// Runs the one call of a turn to its end.
async fn make(run: Run<'_>, admitted: Admission, mut turn: Turn, call: ToolCall) -> Result<CallReply> {
    let called = tool_call(run, &mut turn, call, None).await;
    turn.trace().note(|event| event.findings = turn.placeholders().found());
    let begun = turn.is_durable().then(|| turn.id()); // a call that only reads may have written nothing
    end(run.app, turn, admitted, called).await.map_err(|error| match (error.turn(), begun) {
        (None, Some(turn)) => left_open(error, turn, None),
        _ => error, // the turn has ended with this error
    })
}

/// Closes the turn of a call, or puts it to sleep, depending on the result of the call.
async fn end(app: &App, mut turn: Turn, admitted: Admission, called: Result<Called>) -> Result<CallReply> {
    let (end, outcome) = match called {
        Ok(Called::Ended(step)) => {
            let (outcome, text) = (step.outcome().cloned(), step.told());
            let text = text.ok_or_else(|| Error::new(Code::Internal))?;
            (End::Over(Ending::Answer { text, finish: Finish::Stop }), outcome)
        }
        Ok(Called::Waiting(waiting)) => (End::Waiting(waiting), None),
        Err(error) => {
            let unknown = error.code() == Code::UpstreamUnknown || give_up_sent(app, &mut turn).await?;
            turn.trace().note(|event| event.failed(&error));
            (End::Over(if unknown { Ending::Unknown(error) } else { Ending::Failed(error) }), None)
        }
    };
    let (trace, mut why) = (turn.trace().clone(), None);
    trace.note(|event| why = event.code);
    let receipt = finish(app, turn, admitted, end).await?; // no model was called, so it costs nothing
    trace.note(|event| tell(event, &receipt, why));
    outcome.map_or_else(|| reply(&receipt), |outcome| Ok(CallReply::Ended(outcome)))
}

/// Records the result of a call in its request event, and why it was refused.
///
/// WHY: the turn counts as answered whatever the result, so the result is taken from the step.
fn tell(event: &mut RequestEvent, receipt: &Receipt, why: Option<Code>) {
    event.answered(receipt);
    let state = receipt.tools.first().map(|tool| tool.state).filter(|_| receipt.error.is_none());
    let code = match state {
        Some(StepState::Refused) => why.unwrap_or(Code::Denied),
        Some(StepState::Failed) => Code::UpstreamFailed,
        Some(StepState::Unknown) => Code::UpstreamUnknown,
        _ => return,
    };
    (event.ending, event.code) = (state.map(StepState::name), Some(code));
}

/// Returns the reply that the receipt of a call's turn contains: after a repeat under the same idempotency key, or when
/// another node has run the call.
fn reply(receipt: &Receipt) -> Result<CallReply> {
    match (&receipt.answer, &receipt.approval) {
        (Some(answer), _) => Ok(CallReply::Ended(match receipt.tools.first().map(|tool| tool.state) {
            Some(StepState::Failed | StepState::Refused) => Outcome::failed(answer),
            Some(StepState::Unknown) => Outcome::unknown(answer),
            _ => Outcome::Done {
                result: serde_json::from_str(answer).unwrap_or_else(|_| answer.as_str().into()),
            },
        })),
        (None, Some(approval)) => Ok(CallReply::Waiting { approval: *approval, turn: receipt.turn }),
        (None, None) => match &receipt.error {
            // The same outcome as in the first reply, where the model reads it.
            Some(error) if receipt.status == TurnState::Unknown => {
                Ok(CallReply::Ended(Outcome::unknown(&error.message)))
            }
            _ => Err(receipt.failed().unwrap_or_else(|| Error::new(Code::Internal))),
        },
    }
}

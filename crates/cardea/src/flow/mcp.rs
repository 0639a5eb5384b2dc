//! Tools for clients that bring their own model: MCP, and whatever speaks like it.

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

/// A tool call from outside.
#[derive(Debug)]
pub struct CallRequest {
    /// The call.
    pub call: ToolCall,
    /// The client's idempotency key.
    pub key: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum CallReply {
    /// It has ended.
    Ended(Outcome),
    /// A person must decide first. The call then runs by itself, and the turn's receipt tells what came of it.
    Waiting {
        /// What is waited for.
        approval: ApprovalId,
        /// Where the result will be.
        turn: TurnId,
    },
}

/// The tools that this caller may call.
#[must_use]
pub fn tools(app: &App, caller: &Caller) -> Vec<ToolSpec> {
    let visible = visible(Run::mcp(app, caller, &app.direct())); // may they
    visible.tools.iter().map(|tool| tool.spec().clone()).collect()
}

/// One tool call from outside, from arguments to outcome.
///
/// # Errors
/// Any [`Code`] of the rooms on the way.
pub async fn call(app: &App, request: &Request, wish: CallRequest) -> Result<CallReply> {
    let done = ask(app, request, wish).await;
    request.trace.note_error(&done); // JSON-RPC's own status says nothing
    done
}

/// The steps of it, each a room.
async fn ask(app: &App, request: &Request, wish: CallRequest) -> Result<CallReply> {
    let (Request { caller, trace }, CallRequest { call, key }) = (request, wish);
    let agent = app.direct();
    let admitted = trace.time("admit", app.control.admit(caller, Estimate::default())).await?; // rate, load
    let run = Run::mcp(app, caller, &agent);
    let named = find(run, &call.name); // visible to this caller, or unknown
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

/// Goes on with the call of a turn that an earlier owner left open (ARCHITECTURE, section 7).
pub(super) async fn go_on(run: Run<'_>, admitted: Admission, mut turn: Turn) -> Result<()> {
    let app = run.app;
    let Some(step) = turn.steps().first().cloned() else {
        // WHY: a call's arguments are written with its step. Without one nothing was done, and nobody knows any more
        // what was asked for.
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
    let begun = turn.is_durable().then(|| turn.id()); // a call that only reads may have left nothing
    end(run.app, turn, admitted, called).await.map_err(|error| match (error.turn(), begun) {
        (None, Some(turn)) => left_open(error, turn, None),
        _ => error, // it has ended with this
    })
}

/// Ends the turn of a call, or lays it down, as what came of the call says.
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
    let receipt = finish(app, turn, admitted, end).await?; // a call without a model costs nothing
    trace.note(|event| tell(event, &receipt, why));
    outcome.map_or_else(|| reply(&receipt), |outcome| Ok(CallReply::Ended(outcome)))
}

/// Notes what came of a call, and why it was refused. WHY: its turn is answered, whatever the answer; what came of the call is what its step says.
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

/// What a client is told of a call by the receipt of its turn: that of the same idempotency key, or of another node.
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
            // As it was told at first: the model reads it.
            Some(error) if receipt.status == TurnState::Unknown => {
                Ok(CallReply::Ended(Outcome::unknown(&error.message)))
            }
            _ => Err(receipt.failed().unwrap_or_else(|| Error::new(Code::Internal))),
        },
    }
}

//! A turn that failed takes back what it has done, the last effect first.

use std::collections::BTreeSet;

use cardea_core::{
    Error, Result,
    guard::Surface,
    policy::Via,
    saga::{Unwound, Way},
    time::Millis,
    tool::Outcome,
};

use serde_json::Value;

use super::{
    run::Run,
    tool_call::{called, give_up_sent},
};
use crate::{
    action::{Job, Within},
    control::{CallContext, Control, Permission, Placeholders, Ruling, Screened},
    turn::{Ending, Failure, Step, Turn},
};

/// Takes back what can be, and says how the turn ends. A turn that was taken over in the middle goes on here.
///
/// # Errors
/// What the journal or the store says. The turn then stays open and is taken up again.
pub(super) async fn unwind(run: Run<'_>, turn: &mut Turn, error: Error) -> Result<Ending> {
    let app = run.app;
    give_up_sent(app, turn).await?; // what was begun before a crash: nobody knows
    if turn.next_undo().is_some() {
        app.turns.unwinding(turn, &error).await?; // durable: from here on there is no way but back
    }
    while let Some(step) = turn.next_undo() {
        let end = undo(run, turn, step).await?;
        called(app, turn, &end); // in the log and the meters as any other call
    }
    let (unwound, told) = turn.unwound();
    let mut failure = Failure::of(&error);
    failure.message = format!("{} {told}", failure.message);
    let error = failure.error().because(error);
    Ok(match unwound {
        Unwound::Whole => Ending::Unwound(error),
        Unwound::Partly => Ending::Failed(error),
        Unwound::Unknown => Ending::Unknown(error),
    })
}

/// Takes one step back. Which call does so was settled when the step was done; policy decides about it as about any.
async fn undo(run: Run<'_>, turn: &mut Turn, step: Step) -> Result<Step> {
    let Run { app, caller, agent, .. } = run;
    let call = step.way().and_then(|way| Way::as_call(way, format!("undo_{}", step.number())));
    // WHY: an undo that was on its way when its process ended may have arrived.
    let kept = |why: String| {
        let unknown = step.is_undoing();
        Screened::own_words(if unknown { Outcome::unknown(why) } else { Outcome::failed(why) })
    };
    let known = call.and_then(|call| Some((app.action.catalog().get(&call.name).cloned()?, call)));
    let Some((tool, call)) = known else {
        let end = kept("what takes it back is gone".to_owned());
        return app.turns.undone(turn, step, end).await;
    };
    let guard = run.guard();
    let arguments = Value::Object(call.arguments.clone());
    let screening =
        || app.control.screen_json(guard, &Placeholders::default(), arguments, Surface::ToolArguments);
    if let Err(error) = tool.check(&call).and_then(|()| Ok(screening()?)) {
        let end = kept(error.public());
        return app.turns.undone(turn, step, end).await; // what would be masked goes on
    }
    // WHY: untrusted text has no say in an undo. Which tool is called is declared, and the service gets nothing but what
    // it was given or has said itself; so nothing can leak that way, and a tainted turn can be taken back.
    let untainted = BTreeSet::new();
    let context = CallContext {
        turn: turn.id(),
        step: step.number(),
        request: turn.request(),
        agent: &agent.name,
        via: Via::Undo,
        taint: &untainted,
        approval: None,
    };
    let Ruling { permission, rows, .. } = app.control.permit(caller, &context, tool.spec(), &call).await?; // policy
    let permit = match permission {
        Permission::Granted(permit) => permit,
        // WHY: nobody is there to wait for the person; the rows of the open question are not written.
        Permission::Waiting(_) | Permission::NotAsked(..) => {
            let why = format!("`{}` needs a person's approval", tool.name());
            let end = kept(why);
            return app.turns.undone(turn, step, end).await;
        }
        Permission::Refused(why) => {
            turn.note(rows);
            let end = kept(why);
            return app.turns.undone(turn, step, end).await;
        }
    };
    turn.note(rows);
    let again = step.is_undoing();
    let step = app.turns.undoing(turn, step).await?; // journal and audit intent
    let (key, digest) = (format!("undo.{}", step.id()), Control::digest(caller, &call));
    let span = turn.trace().stage("undo").execute_tool(tool.name().as_str(), &call.id);
    let (within, trace) = (within(turn.call_limit()), Some(span.along()));
    let job = Job { call: &call, key: &key, digest: &digest, again, within, trace };
    let outcome = app.action.execute(permit, caller, &tool, job).await.outcome; // broker, retries
    app.observe.tool_took(tool.name(), &outcome, span.so_far());
    drop(span);
    app.context.cache().clear_tags(&caller.tenant, &tool.clears(&call.arguments)).await; // what it makes old
    let outcome = app.control.screen_result(guard, turn.placeholders(), outcome); // its words go to user and log
    app.turns.undone(turn, step, outcome).await // journal, audit: even if it failed
}

/// The time of the turn may be up, but what was begun must be ended.
const fn within(time: Millis) -> Within {
    Within { time, whose: "the longest that one tool call may take (`limits.tool_timeout` of the agent)" }
}

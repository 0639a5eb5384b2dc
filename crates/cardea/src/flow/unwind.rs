//! Undoes the effects of a failed turn, the last one first.

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

/// Undoes what can be undone, and returns how the turn ends. Also continues an unwinding that an earlier owner began.
///
/// # Errors
/// Errors of the journal or the store. The turn then stays open and is taken up again.
pub(super) async fn unwind(run: Run<'_>, turn: &mut Turn, error: Error) -> Result<Ending> {
    let app = run.app;
    give_up_sent(app, turn).await?; // sent before a crash: outcome unknown
    if turn.next_undo().is_some() {
        app.turns.unwinding(turn, &error).await?; // durable: from here on the turn only goes back
    }
    while let Some(step) = turn.next_undo() {
        let end = undo(run, turn, step).await?;
        called(app, turn, &end); // logged and counted like any call
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

/// Undoes one step. Its undo call was fixed when the step was done; policy decides about it as about any call.
async fn undo(run: Run<'_>, turn: &mut Turn, step: Step) -> Result<Step> {
    let Run { app, caller, agent, .. } = run;
    let call = step.way().and_then(|way| Way::as_call(way, format!("undo_{}", step.number())));
    // WHY: an undo that was in flight when its process ended may have arrived.
    let kept = |why: String| {
        let unknown = step.is_undoing();
        Screened::own_words(if unknown { Outcome::unknown(why) } else { Outcome::failed(why) })
    };
    let known = call.and_then(|call| Some((app.action.catalog().get(&call.name).cloned()?, call)));
    let Some((tool, call)) = known else {
        let end = kept("what takes it back is gone".to_owned());
        return app.turns.undone(turn, step, end).await;
    };
    let (arguments, names) = (Value::Object(call.arguments.clone()), Placeholders::default());
    let screening = || run.screen(&names).json(arguments, Surface::ToolArguments);
    if let Err(error) = tool.check(&call).and_then(|()| Ok(screening()?)) {
        let end = kept(error.public());
        return app.turns.undone(turn, step, end).await; // masked values are sent as they are
    }
    // WHY: untrusted text has no influence on an undo. The undo tool is declared, and the service receives only what it
    // was sent or has returned itself. So nothing can leak this way, and a tainted turn can be undone.
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
        // WHY: nobody waits for the person's answer, so the rows of the approval are not written.
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
    app.context.cache().clear_tags(&caller.tenant, &tool.clears(&call.arguments)).await; // entries that it outdates
    let outcome = run.screen(turn.placeholders()).result(outcome); // users and the log see it
    app.turns.undone(turn, step, outcome).await // journal, audit: even if it failed
}

/// Returns the time limit of an undo call. It does not depend on the turn's time, which may be over: what was begun
/// must be ended.
const fn within(time: Millis) -> Within {
    Within { time, whose: "the longest that one tool call may take (`limits.tool_timeout` of the agent)" }
}

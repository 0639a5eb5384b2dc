//! Answers the questions of some cache hits again, to measure how many cached answers are wrong.
//!
//! A recheck takes the same path as any answer: a turn of its own in the journal and the audit log, the same caller
//! with their present rights, rate limits, load and budget, and policy for each call. It has only tools that read, and
//! its answer is shown to nobody.

use std::sync::Arc;

use cardea_core::{
    Code, Error, Result,
    agent::Agent,
    id::{ConversationId, RequestId},
    journal::StepState,
    message::Message,
    principal::Principal,
    time::Timestamp,
};

use super::{
    Outlet,
    converse::{Thought, converse},
    finish::finish,
    keep::keep,
    run::Run,
    visible::visible,
};
use crate::{
    app::{App, History},
    context::cache::{Due, Fresh, Hit, Query},
    control::Screened,
    observe::{RequestEvent, Work},
    turn::{Asker, Begun, Ending, Question, Turn},
};

/// A question whose cached answer is checked.
struct Check {
    due: Due,
    query: Query,
    history: Vec<Message>,
    principal: Principal,
    prompt: Screened<String>,
    taint: Vec<String>,
    conversation: Option<ConversationId>,
    since: Timestamp,
}

/// Answers the question of this turn again in the background, if its cache hit is selected for a check.
pub(super) fn recheck(run: Run<'_>, turn: &Turn, query: Query, hit: &Hit, history: Vec<Message>) {
    let Run { app, agent, .. } = run;
    let Some(due) = app.context.cache().due(&query, hit) else { return };
    let (principal, prompt) = (turn.principal().clone(), turn.prompt().clone());
    let taint = turn.taint().iter().cloned().collect();
    let (conversation, since) = (turn.conversation(), turn.started_at());
    let check = Check { due, query, history, principal, prompt, taint, conversation, since };
    let (app, agent) = (app.clone(), Arc::clone(agent));
    // A process that is stopping starts no checks.
    app.jobs.clone().spawn("cache check", async move {
        if let Err(error) = check_anew(&app, &agent, check).await {
            tracing::debug!(error.code = error.code().name(), "a cached answer could not be checked");
        }
    });
}

async fn check_anew(app: &App, agent: &Arc<Agent>, check: Check) -> Result<()> {
    let caller = app.auth.resume(check.principal, check.since).await?; // not revoked meanwhile
    // rate, budget, load
    let admitted = app.control.admit(&caller, app.estimate(agent, &check.prompt, History::Some)).await?;
    let trace = app.observe.trace(RequestEvent::after(RequestId::random(), Work::Check), None, None);
    trace.note(|event| event.asked_by(&caller));
    let asker = Asker { principal: &caller, agent, trace: &trace };
    let question = Question::check(asker, check.prompt, check.taint);
    let Begun::Fresh(turn) = app.turns.begin(question).await? else { return Ok(()) };
    let mut turn = turn.checking(check.conversation); // the conversation that its text belongs to
    let run = Run::chat(app, &caller, agent);
    let mut outlet = Outlet::new(run.screen(turn.placeholders()).window()?, None);
    let mut tools = visible(run);
    tools.tools.retain(|tool| !tool.effect().changes_things());
    let catalog = Arc::clone(&tools.catalog);
    let thought = converse(run, &mut turn, &mut outlet, tools, &check.history).await;
    let (cost, id) = (turn.cost_micros(), turn.id());
    // WHY: an answer that came after a refusal or failure, or from a stand-in model, proves nothing about the cached
    // one.
    let clean = turn.steps().iter().all(|step| step.state() == StepState::Done);
    let ending = match thought {
        Ok(Thought::Answer { text, finish, stand_in: false }) if clean => {
            app.context.cache().checked(check.due, Fresh { text: &text, micros: cost }, &caller, id).await;
            keep(app, &check.query, &turn, (&text, finish), &catalog).await;
            Ending::Answer { text, finish }
        }
        other => {
            check.due.abandon(cost);
            match other {
                Ok(Thought::Answer { text, finish, .. }) => Ending::Answer { text, finish },
                Ok(Thought::Waiting(_)) => Ending::Failed(Error::new(Code::Denied)),
                Err(error) => Ending::Failed(error),
            }
        }
    };
    // WHY: a node that ends this check in our place bills it by its row, and before its end only this flush writes that
    // row.
    if let Err(error) = app.turns.flush(&mut turn).await {
        if !turn.may_be_written() {
            app.control.settle(admitted, turn.usage(), cost);
        }
        return Err(error);
    }
    finish(app, turn, admitted, ending).await.map(drop)
}

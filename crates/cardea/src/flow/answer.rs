//! Answers the question of a turn: from the cache, or by asking the model.

use cardea_core::{
    Result,
    journal::{Recovery, StepState, after_crash},
    message::Message,
    policy::taint::CACHE,
};

use super::{
    Outlet,
    converse::{Thought, converse},
    keep::keep,
    recheck::recheck,
    run::Run,
    tool_call::{Called, cut_off, tool_call},
    visible::visible,
};
use crate::{
    context::cache::{Layer, Lookup, QueryContext, Reuse},
    turn::{CacheUse, Step, Turn},
};

/// Finds the answer of a turn in the cache, or has the model write it.
///
/// # Errors
/// The error of the limit, room or upstream that ended the turn. The caller closes the turn with it.
pub(super) async fn answer(
    run: Run<'_>,
    turn: &mut Turn,
    outlet: &mut Outlet,
    reuse: Reuse,
) -> Result<Thought> {
    let Run { app, caller, agent, .. } = run;
    let trace = turn.trace().clone();
    let before = async { tokio::try_join!(history(run, turn), app.turns.taint_before(turn)) };
    let (history, taint) = trace.time("history", before).await?; // earlier messages
    // WHY: text that tainted an earlier turn is still in the history, and is no more trustworthy now.
    taint.into_iter().for_each(|source| turn.taint_with(source));
    let (tools, policies) = (visible(run), app.control.policies());
    let query = app.context.cache().query(
        caller,
        agent,
        turn.prompt(),
        &QueryContext {
            conversation: turn.conversation(),
            history: &history,
            policy: policies.version(),
            by_person: policies.tells_persons_apart(),
            by_proof: policies.asks_for_proof(),
            tools: &tools.version,
            guard: run.guard().unwrap_or_default(),
            model: app.models.identity(&agent.spec.model),
            reuse,
        },
    );
    let looking = trace.stage("cache");
    let looked = if turn.steps().is_empty() && !turn.placeholders().any() {
        app.context.cache().look(&query).await
    } else {
        Lookup::Miss(None)
    };
    drop(looking);
    let _flight = match looked {
        Lookup::Hit(hit) => {
            turn.from_cache(layer(hit.layer)); // cache: exact, then semantic
            turn.taint_with(CACHE); // the cache is itself a source of taint
            hit.taint.iter().for_each(|source| turn.taint_with(source)); // and keeps the taint of the turn that made it
            let text = run.screen(turn.placeholders()).output(&hit.text)?; // today's guardrails
            turn.taint_with_all(text.taint());
            recheck(run, turn, query, &hit, history); // a sample, to measure errors
            outlet.replay(&text).await;
            return Ok(Thought::Answer { text, finish: hit.finish, stand_in: false });
        }
        // Of equal questions asked at the same time, only one reaches the model.
        Lookup::Miss(flight) => flight,
    };
    if let Some(waiting) = finish_open_steps(run, turn).await? {
        return Ok(waiting);
    }
    let thought = converse(run, turn, outlet, tools.clone(), &history).await?;
    if let Thought::Answer { text, finish, stand_in: false } = &thought {
        keep(app, &query, turn, (text, *finish), &tools.catalog).await; // cache store
    }
    Ok(thought)
}

const fn layer(layer: Layer) -> CacheUse {
    match layer {
        Layer::Exact => CacheUse::Exact,
        Layer::Semantic => CacheUse::Semantic,
    }
}

/// Returns the messages of the conversation before this turn, up to the agent's window.
async fn history(run: Run<'_>, turn: &Turn) -> Result<Vec<Message>> {
    let Run { app, agent, .. } = run;
    match turn.conversation().filter(|_| !turn.is_first()) {
        Some(id) => app.context.history(turn.principal(), id, turn.id(), &agent.spec.memory).await,
        None => Ok(Vec::new()),
    }
}

/// Continues the steps that an earlier owner of this turn left open (ARCHITECTURE, section 7).
async fn finish_open_steps(run: Run<'_>, turn: &mut Turn) -> Result<Option<Thought>> {
    let unsettled = |step: &&Step| step.is_open() || step.state() == StepState::Unknown;
    let open: Vec<_> = turn.steps().iter().filter(unsettled).cloned().collect();
    for step in open {
        match after_crash(step.state(), step.effect(), step.repeatable()) {
            Recovery::Call => {
                let called = tool_call(run, turn, step.call().clone(), None).await?;
                if let Called::Waiting(waiting) = called {
                    return Ok(Some(Thought::Waiting(waiting)));
                }
            }
            Recovery::Stop => return Err(cut_off(run.app, turn, step).await?),
            Recovery::Leave => {}
        }
    }
    Ok(None)
}

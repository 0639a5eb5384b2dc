//! Everything between the question and the answer.

use std::sync::Arc;

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    agent::Agent,
    cache::Finished,
    journal::{Recovery, StepState, after_crash},
    message::{Demands, Finish, Message, Prompt},
    select::FIND_TOOLS,
    tool::{Outcome, Sharing},
};

use super::{
    Outlet,
    chat::Thought,
    find::{find_tools, found},
    outlet::Next,
    recheck::recheck,
    think::{Thinking, think},
    tool_call::{Called, tool_call},
    visible::{Visible, visible},
};
use crate::{
    action::{Catalog, Selected},
    app::App,
    context::cache::{Answered, Around, Asked, Layer, Looked},
    turn::{CacheUse, Step, Turn},
};

/// Finds or makes the answer of a turn.
///
/// # Errors
/// The code of the limit, room or neighbour that ended it. The caller closes the turn with it.
pub(super) async fn answer(
    app: &App,
    caller: &Caller,
    agent: &Arc<Agent>,
    turn: &mut Turn,
    outlet: &mut Outlet,
) -> Result<Thought> {
    let trace = turn.trace().clone();
    let history = trace.time("history", history(app, agent, turn)).await?; // what was said before
    // WHY: what was read in an earlier turn stands in the history, and is no more to be trusted now.
    app.turns.taint_before(turn).await?.into_iter().for_each(|source| turn.taint_with(source));
    let tools = visible(app, caller, agent, "chat"); // allowed first,
    let asked = app.context.cache().asked(
        caller,
        agent,
        turn.prompt(),
        &Around {
            conversation: turn.conversation(),
            history: &history,
            policy: app.control.policies().version(),
            tools: &tools.version,
            guard: agent.spec.guard.as_deref().unwrap_or_default(),
        },
    );
    let looking = trace.stage("cache");
    let looked = if turn.steps().is_empty() && !turn.names().any() {
        app.context.cache().look(&asked).await
    } else {
        Looked::Miss(None)
    };
    drop(looking);
    let _flight = match looked {
        Looked::Hit(hit) => {
            turn.from_cache(layer(hit.layer)); // cache: exact, then semantic
            turn.taint_with("cache"); // nobody says any more what it was made of
            let text = app.control.screen_output(agent.spec.guard.as_deref(), turn.names(), &hit.text)?; // guardrails of now
            recheck(app, agent, turn, (asked, hit.clone(), history)); // a share of them, to find errors
            return outlet.replay(&text, hit.finish).await;
        }
        Looked::Miss(flight) => flight, // equal questions at once: one of them asks the model
    };
    if let Some(waiting) = finish_open_steps(app, caller, agent, turn).await? {
        return Ok(waiting);
    }
    let thought = converse(app, (caller, agent), turn, outlet, (tools.clone(), &history)).await?;
    if let Thought::Answer { text, finish } = &thought {
        keep(app, &asked, turn, (text, *finish), &tools.catalog).await; // cache store
    }
    Ok(thought)
}

/// Keeps an answer that a turn has made, if it may be given again.
pub(super) async fn keep(app: &App, asked: &Asked, turn: &Turn, answer: (&str, Finish), catalog: &Catalog) {
    // WHY: an answer about `[CARD_1]` means another card in another conversation.
    if turn.names().any() {
        return;
    }
    let (text, finish) = answer;
    let answered = Answered { text, finish, usage: turn.usage(), micros: turn.cost_micros() };
    let (finished, tags) = (finished(turn, catalog, (text, finish)), tags(turn, catalog));
    app.context.cache().keep(asked, answered, finished, tags).await;
}

/// Asks the model, and calls what it asks for, until it answers.
pub(super) async fn converse(
    app: &App,
    (caller, agent): (&Caller, &Arc<Agent>),
    turn: &mut Turn,
    outlet: &mut Outlet,
    (tools, history): (Visible, &[Message]),
) -> Result<Thought> {
    let trace = turn.trace().clone();
    let recent = recent(app, agent, turn, tools.tools.len()).await?; // tools of the last turns stay
    let selecting = trace.stage("select");
    let mut offered = app.action.select(agent, tools.tools, turn.prompt(), &recent).await; // then relevant
    drop(selecting);
    let mut first = true;
    loop {
        turn.whole()?; // all or nothing, since a step can be taken back
        turn.within_limits(app.clock.now())?; // reflections, time, tokens, money
        if offered.add(found(turn)) || first {
            // what the model asked for, or the first choice
            app.observe.offered(turn.id(), offered.names(), offered.tokens());
        }
        first = false;
        let (prompt, cut) = prompt(agent, history, turn, &offered)?;
        let left = turn.time_left(app.clock.now());
        let Thinking { next, model } = think(app, &trace, &prompt, outlet, left).await?; // model
        let Next { calls, finish, usage } = next;
        trace.note(|event| event.model = Some(model.clone()));
        turn.charge(usage, app.observe.cost(&model, usage));
        for call in &calls {
            if call.name == FIND_TOOLS && offered.has_more() {
                find_tools(app, caller, turn, &offered, call).await?;
                continue;
            }
            let called = tool_call(app, caller, agent, turn, call.clone()).await?;
            if let Called::Waiting(waiting) = called {
                return Ok(Thought::Waiting(waiting)); // an approval may take days
            }
        }
        if calls.is_empty() {
            if cut && finish == Finish::Length {
                return Err(turn.tokens_spent()); // cut by the turn's own limit
            }
            let text = outlet.finish().await?; // guard output
            return Ok(Thought::Answer { text, finish });
        }
    }
}

/// What the model is given next, and whether its answer is cut where the turn's tokens end.
fn prompt(agent: &Agent, history: &[Message], turn: &Turn, offered: &Selected) -> Result<(Prompt, bool)> {
    let messages = transcript(agent, history, turn);
    let reads = messages.iter().map(Message::tokens).sum::<u64>() + offered.tokens();
    let mut sampling = agent.spec.sampling.clone();
    let left = turn.tokens_left(reads)?;
    let cut = left.is_some_and(|left| sampling.max_tokens.is_none_or(|most| left < most));
    if cut {
        sampling.max_tokens = left;
    }
    let (model, tools) = (agent.spec.model.clone(), offered.specs());
    Ok((Prompt { model, messages, tools, sampling, demands: Demands::default() }, cut))
}

const fn layer(layer: Layer) -> CacheUse {
    match layer {
        Layer::Exact => CacheUse::Exact,
        Layer::Semantic => CacheUse::Semantic,
    }
}

/// What decides whether the answer may be given again.
fn finished(turn: &Turn, catalog: &Catalog, (text, finish): (&str, Finish)) -> Finished {
    let shared = |step: &Step| {
        let cache = catalog.get(step.tool().as_str()).and_then(|tool| tool.spec().cache.as_ref());
        step.tool().as_str() == FIND_TOOLS || cache.is_some_and(|cache| cache.sharing == Sharing::Tenant)
    };
    let any = |state: StepState| turn.steps().iter().any(|step| step.state() == state);
    Finished {
        had_effect: turn.steps().iter().any(|step| step.effect().changes_things()),
        approval: turn.steps().iter().any(|step| step.approval().is_some()),
        refused: any(StepState::Refused),
        failed: any(StepState::Failed) || any(StepState::Unknown),
        cut_short: finish != Finish::Stop,
        empty: text.trim().is_empty(),
        personal: !turn.steps().iter().all(shared),
    }
}

/// What the answer depends on: the tags of all results in it.
fn tags(turn: &Turn, catalog: &Catalog) -> Vec<String> {
    let of = |step: &Step| catalog.get(step.tool().as_str()).map(|tool| tool.tags(&step.call().arguments));
    turn.steps().iter().filter_map(of).flatten().collect()
}

/// The tools that the last turns of the conversation called, where not all of them can be offered.
async fn recent(app: &App, agent: &Agent, turn: &Turn, allowed: usize) -> Result<Vec<String>> {
    let crowded = allowed > usize::from(agent.spec.offered_tools);
    if crowded && !turn.is_first() { app.turns.tools_before(turn).await } else { Ok(Vec::new()) }
}

/// What was said in the conversation before this turn, as much as the agent's window holds.
async fn history(app: &App, agent: &Agent, turn: &Turn) -> Result<Vec<Message>> {
    match turn.conversation().filter(|_| !turn.is_first()) {
        Some(id) => app.context.history(turn.principal(), id, turn.id(), &agent.spec.memory).await,
        None => Ok(Vec::new()),
    }
}

/// What the model is given: instructions, history, question, and what came of its calls, each in its own place.
fn transcript(agent: &Agent, history: &[Message], turn: &Turn) -> Vec<Message> {
    let mut messages = vec![Message::System { text: agent.spec.instructions.clone() }];
    messages.extend_from_slice(history);
    messages.push(Message::User { text: turn.prompt().to_owned() });
    for step in turn.steps() {
        let (text, failed) = match step.outcome() {
            Some(Outcome::Done { result }) => (result.to_string(), false),
            Some(Outcome::Failed { reason } | Outcome::Unknown { reason }) => (reason.clone(), true),
            None => continue,
        };
        let call = step.call();
        messages.push(Message::Assistant { text: String::new(), calls: vec![call.clone()] });
        messages.push(Message::Tool { call_id: call.id.clone(), name: call.name.clone(), text, failed });
    }
    messages
}

/// Goes on with steps that an earlier owner of this turn left open (ARCHITECTURE, section 7).
async fn finish_open_steps(
    app: &App,
    caller: &Caller,
    agent: &Arc<Agent>,
    turn: &mut Turn,
) -> Result<Option<Thought>> {
    let unsettled = |step: &&Step| step.is_open() || step.state() == StepState::Unknown;
    let open: Vec<_> = turn.steps().iter().filter(unsettled).cloned().collect();
    for step in open {
        match after_crash(step.state(), step.effect(), step.repeatable()) {
            Recovery::GoOn | Recovery::Run | Recovery::Check => {
                let called = tool_call(app, caller, agent, turn, step.call().clone()).await?;
                if let Called::Waiting(waiting) = called {
                    return Ok(Some(Thought::Waiting(waiting)));
                }
            }
            Recovery::Stop => return Err(cut_off(app, turn, step).await?),
            Recovery::Take | Recovery::Compensate => {}
        }
    }
    Ok(None)
}

/// Writes down that nobody knows what became of a step, and gives the error that ends its turn.
pub(super) async fn cut_off(app: &App, turn: &mut Turn, step: Step) -> Result<Error> {
    let error = Error::new(Code::UpstreamUnknown).detail(format!("The call was `{}`.", step.tool()));
    if step.state() == StepState::Started {
        let reason = "Cardea was stopped while the service worked on it, and the service cannot be asked.";
        app.turns.record(turn, step, Outcome::Unknown { reason: reason.to_owned() }).await?;
    }
    Ok(error)
}

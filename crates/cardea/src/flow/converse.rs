//! The model and the tools in turn, until there is an answer.

use std::sync::Arc;

use cardea_auth::Caller;
use cardea_core::{
    Result,
    agent::Agent,
    message::{Demands, Finish, Message, Prompt},
    select::FIND_TOOLS,
    tool::Outcome,
};

use super::{
    Outlet,
    find::{find_tools, found},
    outlet::Next,
    think::{Thinking, think},
    tool_call::{Called, Waiting, tool_call},
    visible::Visible,
};
use crate::{action::Selected, app::App, turn::Turn};

/// What came of thinking.
pub(super) enum Thought {
    /// An answer, screened.
    Answer {
        /// The text.
        text: String,
        /// Why the model stopped.
        finish: Finish,
        /// A model that only stands in had a say in it.
        stand_in: bool,
    },
    /// A person must decide first; it may take days.
    Waiting(Box<Waiting>),
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
    let (mut first, mut stand_in) = (true, false);
    loop {
        turn.whole()?; // all or nothing, since a step can be taken back
        app.turns.still_wanted(turn).await?; // not stopped by who asked
        turn.within_limits(app.clock.now())?; // reflections, time, tokens, money
        if offered.add(found(turn)) || first {
            // what the model asked for, or the first choice
            app.observe.offered(turn.id(), offered.names(), offered.tokens());
        }
        first = false;
        let (prompt, cut) = prompt(agent, history, turn, &offered)?;
        let left = turn.time_left(app.clock.now());
        let thinking = think(app, &trace, &prompt, outlet, left).await; // model
        let Thinking { next, model, usage, cost_micros, .. } = thinking;
        stand_in |= thinking.stand_in;
        trace.note(|event| event.model = Some(model));
        turn.charge(usage, cost_micros); // also for an answer that broke off
        let Next { calls, finish, .. } = next?;
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
            app.turns.still_wanted(turn).await?; // nor meanwhile
            if cut && finish == Finish::Length {
                return Err(turn.tokens_spent()); // cut by the turn's own limit
            }
            let text = outlet.finish().await?; // guard output
            return Ok(Thought::Answer { text, finish, stand_in });
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

/// The tools that the last turns of the conversation called, where not all of them can be offered.
async fn recent(app: &App, agent: &Agent, turn: &Turn, allowed: usize) -> Result<Vec<String>> {
    let crowded = allowed > usize::from(agent.spec.offered_tools);
    if crowded && !turn.is_first() { app.turns.tools_before(turn).await } else { Ok(Vec::new()) }
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

//! The model and the tools in turn, until there is an answer.

use cardea_core::{
    Error, Result,
    agent::Agent,
    message::{Demands, Finish, Message, Prompt},
    policy::taint::{SUSPICIOUS, TOOL_DESCRIPTION},
    tool::Outcome,
};

use super::{
    Outlet,
    find::found,
    outlet::Next,
    run::Run,
    think::{Thinking, think},
    tool_call::{Called, Waiting, tool_call},
    visible::Visible,
};
use crate::{
    action::Selected,
    control::Screened,
    turn::{Step, Turn},
};

/// What came of thinking.
pub(super) enum Thought {
    /// An answer.
    Answer {
        /// The text.
        text: Screened<String>,
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
    run: Run<'_>,
    turn: &mut Turn,
    outlet: &mut Outlet,
    tools: Visible,
    history: &[Message],
) -> Result<Thought> {
    let Run { app, agent, .. } = run;
    let trace = turn.trace().clone();
    let recent = recent(run, turn, tools.tools.len()).await?; // tools of the last turns stay
    let selecting = trace.stage("select");
    let wish = wish(history, turn.prompt()); // an answer to a question of the model is about what was asked before
    let mut offered = app.action.select(agent, tools.tools, &wish, &recent).await; // then relevant
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
        if offered.is_warned() {
            turn.taint_with_all(&[TOOL_DESCRIPTION, SUSPICIOUS]); // a guardrail has warned of what a tool says of itself
        }
        let (prompt, cut) = prompt(run, turn, history, &offered)?;
        let left = turn.time_left(app.clock.now());
        let thinking = think(app, &trace, &prompt, outlet, left).await; // model
        let Thinking { next, model, usage, cost_micros, .. } = thinking;
        stand_in |= thinking.stand_in;
        turn.charge(&model, usage, cost_micros); // also for an answer that broke off
        let Next { calls, words, thoughts, finish, .. } = next?;
        let told = thinking.limit == prompt.room;
        if !told && prompt.room.is_some() {
            turn.has_paid()?; // the model does not know where the turn's own limits are
        }
        let cut = cut.filter(|_| told);
        if !calls.is_empty() && !words.trim().is_empty() {
            let words = app.control.screen_output(run.guard(), turn.placeholders(), &words)?;
            turn.says(words); // beside its calls it is shown its own words
        }
        // Some models want to see again what they thought. What the guardrails refuse of it nobody has said: it is dropped.
        if !thoughts.is_empty()
            && let Ok(thoughts) = app.control.screen_output(run.guard(), turn.placeholders(), &thoughts)
        {
            turn.thinks(model, thoughts);
        }
        for call in &calls {
            let called = tool_call(run, turn, call.clone(), Some(&offered)).await?;
            if let Called::Waiting(waiting) = called {
                return Ok(Thought::Waiting(waiting)); // an approval may take days
            }
        }
        if calls.is_empty() {
            app.turns.still_wanted(turn).await?; // nor meanwhile
            if let (Some(limit), Finish::Length) = (cut, finish) {
                return Err(limit); // cut by the turn's own
            }
            let text = outlet.finish().await?; // guard output
            turn.taint_with_all(text.taint());
            return Ok(Thought::Answer { text, finish, stand_in });
        }
    }
}

/// What the model is given next, and the limit of the turn by which its answer is cut, if one does so.
fn prompt(
    run: Run<'_>,
    turn: &Turn,
    history: &[Message],
    offered: &Selected,
) -> Result<(Prompt, Option<Error>)> {
    let Run { app, agent, .. } = run;
    let messages = transcript(agent, history, turn);
    let reads = messages.iter().map(Message::tokens).sum::<u64>() + offered.tokens();
    let sampling = agent.spec.sampling.clone();
    let (mut most, mut cut) = (sampling.max_tokens.unwrap_or(u32::MAX), None);
    if let Some(left) = turn.tokens_left(reads)?
        && left < most
    {
        (most, cut) = (left, Some(turn.tokens_spent()));
    }
    let paid = app.observe.room(app.models.behind(&agent.spec.model), reads, turn.micros_left());
    match u32::try_from(paid).unwrap_or(u32::MAX) {
        0 => return Err(turn.money_spent()), // not even what it reads, or no word more
        paid if paid < most => (most, cut) = (paid, Some(turn.money_spent())),
        _ => {}
    }
    let room = cut.is_some().then_some(most);
    let (model, tools) = (agent.spec.model.clone(), offered.specs());
    Ok((Prompt { model, messages, tools, sampling, demands: Demands::default(), room }, cut))
}

/// The tools that the last turns of the conversation called, where not all of them can be offered.
async fn recent(run: Run<'_>, turn: &Turn, allowed: usize) -> Result<Vec<String>> {
    let Run { app, agent, .. } = run;
    let crowded = allowed > usize::from(agent.spec.offered_tools);
    if crowded && !turn.is_first() { app.turns.tools_before(turn).await } else { Ok(Vec::new()) }
}

/// Messages of the user, at most, that one question after the other asked for.
const ASKED_BACK: usize = 4;

/// What the tools are chosen for: what the user says, and, where the model has just asked back, what it was asked about.
///
/// WHY: `8` is about no tool at all; together with `Close the ticket` it is.
fn wish(history: &[Message], prompt: &str) -> String {
    let mut said = vec![prompt];
    for pair in history.rchunks(2).take(ASKED_BACK) {
        match pair {
            [Message::User { text }, Message::Assistant { text: asked, .. }] if asked.contains('?') => {
                said.push(text);
            }
            _ => break,
        }
    }
    said.reverse();
    said.join("\n")
}

/// What the model is given: instructions, history, question, and what came of its calls, each in its own place.
fn transcript(agent: &Agent, history: &[Message], turn: &Turn) -> Vec<Message> {
    let mut messages = vec![Message::System { text: agent.spec.instructions.clone() }];
    messages.extend_from_slice(history);
    messages.push(Message::User { text: turn.prompt().to_string() });
    // Calls that one answer asked for go back as one.
    for beside in turn.steps().chunk_by(|one, next| one.is_beside(next)) {
        let results: Vec<Message> = beside.iter().filter_map(result).collect();
        if results.is_empty() {
            continue;
        }
        let ended = beside.iter().filter(|step| step.outcome().is_some());
        messages.push(Message::Assistant {
            text: beside.iter().find_map(Step::said).unwrap_or_default().to_owned(),
            calls: ended.map(|step| step.call().clone()).collect(),
            thoughts: beside.iter().find_map(Step::thoughts).cloned(),
        });
        messages.extend(results);
    }
    messages
}

/// What came of a step, once it has ended.
fn result(step: &Step) -> Option<Message> {
    let (text, failed) = match step.outcome()? {
        Outcome::Done { result } => (result.to_string(), false),
        Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. } => (reason.clone(), true),
    };
    let call = step.call();
    Some(Message::Tool { call_id: call.id.clone(), name: call.name.clone(), text, failed })
}

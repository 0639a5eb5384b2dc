//! Alternates between the model and its tools until there is an answer.

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

/// How a conversation with the model ended.
pub(super) enum Thought {
    /// An answer.
    Answer {
        /// The text.
        text: Screened<String>,
        /// Why the model stopped.
        finish: Finish,
        /// True if a stand-in model took part in it.
        stand_in: bool,
    },
    /// A person must decide first; it may take days.
    Waiting(Box<Waiting>),
}

/// Asks the model and runs the calls that it asks for, until it answers.
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
    // A reply to the model's question includes what the question was about.
    let wish = wish(history, turn.prompt());
    let mut offered = app.action.select(agent, tools.tools, &wish, &recent).await; // the relevant ones of those allowed
    drop(selecting);
    let (mut first, mut stand_in) = (true, false);
    loop {
        turn.whole()?; // all or nothing, once a step can be undone
        app.turns.still_wanted(turn).await?; // not cancelled
        turn.within_limits(app.clock.now())?; // reflections, time, tokens, money
        if offered.add(found(turn)) || first {
            // The first selection, or tools that the model searched for.
            app.observe.offered(turn.id(), offered.names(), offered.tokens());
        }
        first = false;
        if offered.is_warned() {
            // A guardrail warned about the description of an offered tool.
            turn.taint_with_all(&[TOOL_DESCRIPTION, SUSPICIOUS]);
        }
        let (prompt, cut) = prompt(run, turn, history, &offered)?;
        let left = turn.time_left(app.clock.now());
        let thinking = think(app, &trace, &prompt, outlet, left).await; // model
        let Thinking { next, model, usage, cost_micros, .. } = thinking;
        stand_in |= thinking.stand_in;
        turn.charge(&model, usage, cost_micros); // also if the answer broke off
        let Next { calls, words, thoughts, finish, .. } = next?;
        let told = thinking.limit == prompt.room;
        if !told && prompt.room.is_some() {
            turn.has_paid()?; // the model was not told the turn's limit
        }
        let cut = cut.filter(|_| told);
        if !calls.is_empty() && !words.trim().is_empty() {
            let words = run.screen(turn.placeholders()).output(&words)?;
            turn.says(words); // the model is shown them again beside its calls
        }
        // Some models need their own thoughts back. Thoughts that the guardrails refuse are dropped.
        if !thoughts.is_empty()
            && let Ok(thoughts) = run.screen(turn.placeholders()).output(&thoughts)
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
            app.turns.still_wanted(turn).await?; // not cancelled while the model wrote
            if let (Some(limit), Finish::Length) = (cut, finish) {
                return Err(limit); // it was cut by the turn's own limit
            }
            let text = outlet.finish().await?; // guard output
            turn.taint_with_all(text.taint());
            return Ok(Thought::Answer { text, finish, stand_in });
        }
    }
}

/// Returns the next prompt, and the error of the turn's limit that will cut the answer, if one will.
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
        0 => return Err(turn.money_spent()), // not enough for the prompt, or for one token of answer
        paid if paid < most => (most, cut) = (paid, Some(turn.money_spent())),
        _ => {}
    }
    let room = cut.is_some().then_some(most);
    let (model, tools) = (agent.spec.model.clone(), offered.specs());
    Ok((Prompt { model, messages, tools, sampling, demands: Demands::default(), room }, cut))
}

/// Returns the tools that recent turns of the conversation called. Empty if all allowed tools can be offered.
async fn recent(run: Run<'_>, turn: &Turn, allowed: usize) -> Result<Vec<String>> {
    let Run { app, agent, .. } = run;
    let crowded = allowed > usize::from(agent.spec.offered_tools);
    if crowded && !turn.is_first() { app.turns.tools_before(turn).await } else { Ok(Vec::new()) }
}

/// How many earlier user messages count when the model keeps asking back.
const ASKED_BACK: usize = 4;

/// Returns the text by which tools are selected: the user's message, preceded by the messages that the model's
/// questions were about.
///
/// WHY: `8` alone matches no tool; together with `Close the ticket` it does.
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

/// Returns the messages for the model: instructions, history, question, calls and their results, each with its own
/// role.
fn transcript(agent: &Agent, history: &[Message], turn: &Turn) -> Vec<Message> {
    let mut messages = vec![Message::System { text: agent.spec.instructions.clone() }];
    messages.extend_from_slice(history);
    messages.push(Message::User { text: turn.prompt().to_string() });
    // Calls from one answer of the model go back in one message.
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

/// Returns the message with the result of a step. `None` until the step has ended.
fn result(step: &Step) -> Option<Message> {
    let (text, failed) = match step.outcome()? {
        Outcome::Done { result } => (result.to_string(), false),
        Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. } => (reason.clone(), true),
    };
    let call = step.call();
    Some(Message::Tool { call_id: call.id.clone(), name: call.name.clone(), text, failed })
}

//! A bare completion: somebody else's transcript, with our identity, guardrails, cache and budget around it.

use std::collections::BTreeSet;

use cardea_core::{
    Code, Result,
    cache::Finished,
    guard::Surface,
    id::ToolName,
    message::{AnswerFormat, Finish, Message, Prompt, Thoughts, ToolChoice, Usage},
    policy::Via,
    tool::ToolCall,
    written,
};
use serde_json::Value;

use super::{
    Outlet, Request, Stream,
    outlet::Next,
    think::{Thinking, think},
};
use crate::{
    app::App,
    context::cache::{Lookup, NewAnswer, Reuse},
    control::{Placeholders, Refused, Requester, Screened},
    turn::CacheUse,
};

/// A completion that a client asks for.
#[derive(Debug)]
pub struct CompleteRequest {
    /// The model, the transcript and the client's own tools.
    pub prompt: Prompt,
    /// What of answers that were given before.
    pub reuse: Reuse,
}

/// A finished completion.
#[derive(Debug, Clone)]
pub struct Completed {
    /// The text, screened.
    pub text: String,
    /// Calls of the client's own tools.
    pub calls: Vec<ToolCall>,
    /// What the model thought before these calls, screened; to be sent back with them.
    pub thoughts: String,
    /// Why the model stopped.
    pub finish: Finish,
    /// What it used; zero for a cached answer.
    pub usage: Usage,
    /// Where it came from.
    pub cache: CacheUse,
    /// Money, in millionths.
    pub cost_micros: u64,
    /// The text says why the model does not answer.
    pub refused: bool,
    /// A client that reads as it comes has not taken all of it.
    pub cut: bool,
}

/// A bare completion, from a transcript to text.
///
/// # Errors
/// Any code of the rooms on the way.
pub async fn complete(
    app: &App,
    request: &Request,
    mut wish: CompleteRequest,
    client: Option<Stream>,
) -> Result<Completed> {
    let trace = &request.trace;
    let asked = app.models.behind(&wish.prompt.model).next().unwrap_or_default();
    for message in &mut wish.prompt.messages {
        if let Message::Assistant { thoughts: Some(thoughts), .. } = message {
            asked.clone_into(&mut thoughts.model); // the client brings back what it was told under this name
        }
    }
    let placeholders = Placeholders::default();
    let done = ask(app, request, wish, &placeholders, client).await;
    trace.note(|event| event.findings = placeholders.found());
    trace.note_error(&done); // also where the answer's status has gone before it
    done
}

/// The steps of it, each a room.
async fn ask(
    app: &App,
    request: &Request,
    wish: CompleteRequest,
    placeholders: &Placeholders,
    client: Option<Stream>,
) -> Result<Completed> {
    let (Request { caller, trace }, CompleteRequest { mut prompt, reuse }) = (request, wish);
    let admitting = app.control.admit(caller, app.estimate_prompt(&prompt));
    let admitted = trace.time("admit", admitting).await?; // rate, budget, load
    let agent = &app.direct().name;
    let who = Requester { caller, agent, via: Via::OpenAi, request: trace.request(), turn: None };
    let known = app.models.knows(&prompt.model);
    let decision = app.control.may_use_model(who, &prompt.model, known).await?; // policy
    trace.note(|event| {
        event.decision = decision;
        event.asked = known.then(|| prompt.model.clone()); // what a client makes up is told by no line of the log
        event.cache = Some(CacheUse::None.name());
    });
    // guard input, all of it: the whole transcript is the client's word
    let screening = app.control.audit_refusal(who, || {
        prompt.messages.iter_mut().try_for_each(|message| screen(app, placeholders, message))?;
        screen_words(app, placeholders, &mut prompt)?;
        screen_names(app, placeholders, &prompt)
    });
    trace.time("guard", screening).await?;
    let mut outlet = Outlet::new(app.control.window(None, placeholders)?, client).only_read(); // text leaves only through the guard window
    let model = app.models.identity(&prompt.model);
    let query = app.context.cache().query_bare(caller, &prompt, model, reuse);
    let _flight = match app.context.cache().look(&query).await {
        Lookup::Hit(hit) => {
            let text = app.control.screen_output(None, placeholders, &hit.text)?; // guardrails of now
            outlet.replay(&text).await;
            let usage = Usage::default();
            app.control.settle(admitted, usage, 0);
            trace.note(|event| (event.cache, event.ending) = (Some("exact"), Some(hit.finish.name())));
            return Ok(Completed {
                text: text.into_inner(),
                calls: Vec::new(),
                thoughts: String::new(),
                finish: hit.finish,
                usage,
                cache: CacheUse::Exact,
                cost_micros: 0,
                refused: false,
                cut: outlet.is_cut(),
            });
        }
        Lookup::Miss(flight) => flight, // equal questions at once: one of them asks the model
    };
    let thinking = think(app, trace, &prompt, &mut outlet, app.completion_time()).await; // model
    let Thinking { next, stand_in, usage, cost_micros, .. } = thinking;
    app.control.settle(admitted, usage, cost_micros); // the budget pays what was used, whatever comes of it
    let Next { mut calls, thoughts, finish, refused, .. } = next?;
    let text = outlet.finish().await?; // guard output; there is no turn to taint
    calls.iter_mut().try_for_each(|call| screen_asked(app, placeholders, &prompt, call))?; // and what it asks for
    // What the guardrails refuse of its thoughts is dropped: they are no part of the answer.
    let thoughts = app.control.screen_output(None, placeholders, &thoughts);
    let thoughts = thoughts.map(|screened| screened.into_inner()).unwrap_or_default();
    trace.note(|event| event.ending = Some(finish.name()));
    if calls.is_empty() && finish == Finish::Stop && !stand_in && !refused {
        let (micros, taint) = (cost_micros, &BTreeSet::new());
        let answer = NewAnswer { text: &text, finish, usage, micros, taint, good_for: None };
        let finished = Finished { empty: text.trim().is_empty(), ..Finished::default() };
        app.context.cache().keep(&query, answer, finished, Vec::new()).await; // best effort
    }
    let (cache, cut) = (CacheUse::None, outlet.is_cut());
    if cut {
        trace.note(|event| event.ending = None);
        trace.note_error::<()>(&Err(Code::Cancelled.into())); // its stream breaks off
    }
    let text = text.into_inner();
    Ok(Completed { text, calls, thoughts, finish, usage, cache, cost_micros, refused, cut })
}

/// Screens what the client says of its tools and of the answer's form: a model reads that like everything else.
fn screen_words(app: &App, placeholders: &Placeholders, prompt: &mut Prompt) -> Result<(), Refused> {
    let json = |value: &mut Value| {
        app.control
            .screen_json(None, placeholders, value.take(), Surface::ToolDescription)
            .map(|screened| *value = screened)
    };
    for tool in &mut prompt.tools {
        tool.description = app.control.screen_description(&tool.description)?.into_inner();
        json(&mut tool.input_schema)?;
    }
    for name in prompt.demands.names.values_mut() {
        *name = app.control.screen_input(None, placeholders, name)?.into_inner();
    }
    for stop in &mut prompt.sampling.stop {
        *stop = app.control.screen_input(None, placeholders, stop)?.into_inner();
    }
    match &mut prompt.demands.format {
        AnswerFormat::JsonSchema { schema, .. } => json(schema),
        AnswerFormat::Text | AnswerFormat::JsonObject => Ok(()),
    }
}

/// Screens what is found again by its letters and so cannot be masked: names of functions and forms, and ids of calls.
fn screen_names(app: &App, placeholders: &Placeholders, prompt: &Prompt) -> Result<(), Refused> {
    let mut all: BTreeSet<&str> = prompt.tools.iter().map(|tool| tool.name.as_str()).collect();
    all.extend(prompt.demands.strict.iter().map(ToolName::as_str));
    if let ToolChoice::Named(name) = &prompt.demands.tool_choice {
        all.insert(name.as_str());
    }
    if let AnswerFormat::JsonSchema { name, .. } = &prompt.demands.format {
        all.insert(name);
    }
    for message in &prompt.messages {
        match message {
            Message::Assistant { calls, .. } => {
                all.extend(calls.iter().flat_map(|call| [call.id.as_str(), call.name.as_str()]));
            }
            Message::Tool { call_id, name, .. } => all.extend([call_id.as_str(), name.as_str()]),
            Message::System { .. } | Message::User { .. } => {}
        }
    }
    all.into_iter().try_for_each(|name| app.control.screen_name(None, placeholders, name))
}

/// Screens a call that a model asks for: its arguments, and what else the model can have written. A name that the client
/// has offered was screened with the offer.
fn screen_asked(
    app: &App,
    placeholders: &Placeholders,
    prompt: &Prompt,
    call: &mut ToolCall,
) -> Result<(), Refused> {
    let said = |text: &str| app.control.screen_output(None, placeholders, text).map(Screened::into_inner);
    if !prompt.tools.iter().any(|tool| tool.name.as_str() == call.name) {
        call.name = said(&call.name)?;
    }
    call.id = said(&call.id)?;
    screen_call(app, placeholders, call, Surface::Output)
}

/// Screens the arguments of a call that a transcript holds or a model asks for. Where nothing is masked, they go on as
/// they were written.
fn screen_call(
    app: &App,
    placeholders: &Placeholders,
    call: &mut ToolCall,
    surface: Surface,
) -> Result<(), Refused> {
    if let Some(text) = call.written.take() {
        let every = written::read(&text).map_or_else(|| Value::from(text.as_str()), |written| written.every);
        let screened = app.control.screen_json(None, placeholders, every.clone(), surface)?;
        if screened == every {
            call.written = Some(text);
            return Ok(());
        }
        if let Value::String(screened) = screened {
            call.written = Some(screened); // no JSON
        }
    }
    let arguments = Value::Object(std::mem::take(&mut call.arguments));
    match app.control.screen_json(None, placeholders, arguments, surface)? {
        Value::Object(screened) => call.arguments = screened,
        other => drop(call.arguments.insert("withheld".to_owned(), other)),
    }
    Ok(())
}

/// Screens one message in place.
fn screen(app: &App, placeholders: &Placeholders, message: &mut Message) -> Result<(), Refused> {
    match message {
        Message::System { text } | Message::User { text } => {
            let screened = app.control.screen_input(None, placeholders, text)?.into_inner();
            *text = screened;
        }
        Message::Assistant { text, calls, thoughts } => {
            let screened = app.control.screen_output(None, placeholders, text)?.into_inner();
            *text = screened;
            if let Some(Thoughts { text, .. }) = thoughts {
                let screened = app.control.screen_output(None, placeholders, text)?.into_inner();
                *text = screened;
            }
            calls
                .iter_mut()
                .try_for_each(|call| screen_call(app, placeholders, call, Surface::ToolResult))?;
        }
        Message::Tool { text, .. } => {
            let screened = app.control.screen_tool_text(None, placeholders, text)?.into_inner();
            *text = screened;
        }
    }
    Ok(())
}

//! Answers a bare completion: the client's own transcript, with Cardea's authentication, guardrails, cache and budget
//! around it.

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
    control::{Placeholders, Refused, Requester, Screen, Screened},
    turn::CacheUse,
};

/// A request for a completion.
#[derive(Debug)]
pub struct CompleteRequest {
    /// The model, the transcript and the client's own tools.
    pub prompt: Prompt,
    /// Which cached answers may be used.
    pub reuse: Reuse,
}

/// A finished completion.
#[derive(Debug, Clone)]
pub struct Completed {
    /// The text, screened.
    pub text: String,
    /// Calls of the client's own tools.
    pub calls: Vec<ToolCall>,
    /// What the model thought before these calls, screened. The client sends it back with their results.
    pub thoughts: String,
    /// Why the model stopped.
    pub finish: Finish,
    /// The tokens used; zero for a cached answer.
    pub usage: Usage,
    /// Whether the answer came from the cache.
    pub cache: CacheUse,
    /// The cost, in millionths.
    pub cost_micros: u64,
    /// True if the text is the model's refusal to answer.
    pub refused: bool,
    /// True if a streaming client did not take all of it.
    pub cut: bool,
}

/// Answers a bare completion, from a transcript to text.
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
            // The client sends back thoughts that it received under this name.
            asked.clone_into(&mut thoughts.model);
        }
    }
    let placeholders = Placeholders::default();
    let screen = app.control.screen(None, &placeholders);
    let done = ask(app, request, wish, screen, client).await;
    trace.note(|event| event.findings = placeholders.found());
    trace.note_error(&done); // even if the response's status was already sent
    done
}

/// The steps of a completion. Each one is a room.
async fn ask(
    app: &App,
    request: &Request,
    wish: CompleteRequest,
    screen: Screen<'_>,
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
        // A made-up model name must not reach the log.
        event.asked = known.then(|| prompt.model.clone());
        event.cache = Some(CacheUse::None.name());
    });
    // Guard input, for the whole transcript: all of it comes from the client.
    let screening = app.control.audit_refusal(who, || {
        prompt.messages.iter_mut().try_for_each(|message| screen_message(screen, message))?;
        screen_words(app, screen, &mut prompt)?;
        screen_names(screen, &prompt)
    });
    trace.time("guard", screening).await?;
    // Text leaves only through the guard window.
    let mut outlet = Outlet::new(screen.window()?, client).only_read();
    let model = app.models.identity(&prompt.model);
    let query = app.context.cache().query_bare(caller, &prompt, model, reuse);
    let _flight = match app.context.cache().look(&query).await {
        Lookup::Hit(hit) => {
            let text = screen.output(&hit.text)?; // today's guardrails
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
        // Of equal questions asked at the same time, only one reaches the model.
        Lookup::Miss(flight) => flight,
    };
    let thinking = think(app, trace, &prompt, &mut outlet, app.completion_time()).await; // model
    let Thinking { next, stand_in, usage, cost_micros, .. } = thinking;
    app.control.settle(admitted, usage, cost_micros); // the budget pays for what was used, even on failure
    let Next { mut calls, thoughts, finish, refused, .. } = next?;
    let text = outlet.finish().await?; // guard output; there is no turn to taint
    calls.iter_mut().try_for_each(|call| screen_asked(screen, &prompt, call))?; // the calls it asks for, too
    // Thoughts that the guardrails refuse are dropped: they are no part of the answer.
    let thoughts = screen.output(&thoughts);
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
        trace.note_error::<()>(&Err(Code::Cancelled.into())); // the client's stream is cut short
    }
    let text = text.into_inner();
    Ok(Completed { text, calls, thoughts, finish, usage, cache, cost_micros, refused, cut })
}

/// Screens the client's tools, names, stop sequences and answer format: the model reads them like everything else.
fn screen_words(app: &App, screen: Screen<'_>, prompt: &mut Prompt) -> Result<(), Refused> {
    let json = |value: &mut Value| {
        screen.json(value.take(), Surface::ToolDescription).map(|screened| *value = screened)
    };
    for tool in &mut prompt.tools {
        tool.description = app.control.screen_description(&tool.description)?.into_inner();
        json(&mut tool.input_schema)?;
    }
    for name in prompt.demands.names.values_mut() {
        *name = screen.input(name)?.into_inner();
    }
    for stop in &mut prompt.sampling.stop {
        *stop = screen.input(stop)?.into_inner();
    }
    match &mut prompt.demands.format {
        AnswerFormat::JsonSchema { schema, .. } => json(schema),
        AnswerFormat::Text | AnswerFormat::JsonObject => Ok(()),
    }
}

/// Screens names of functions and formats, and ids of calls. They are matched by their exact text and so cannot be
/// masked.
fn screen_names(screen: Screen<'_>, prompt: &Prompt) -> Result<(), Refused> {
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
    all.into_iter().try_for_each(|name| screen.name(name))
}

/// Screens a call that the model asks for: its arguments, its id and its name. A name that the client offered was
/// screened with the offer.
fn screen_asked(screen: Screen<'_>, prompt: &Prompt, call: &mut ToolCall) -> Result<(), Refused> {
    let said = |text: &str| screen.output(text).map(Screened::into_inner);
    if !prompt.tools.iter().any(|tool| tool.name.as_str() == call.name) {
        call.name = said(&call.name)?;
    }
    call.id = said(&call.id)?;
    screen_call(screen, call, Surface::Output)
}

/// Screens the arguments of a call in a transcript or in the model's answer. If nothing is masked, the original text is
/// kept.
fn screen_call(screen: Screen<'_>, call: &mut ToolCall, surface: Surface) -> Result<(), Refused> {
    if let Some(text) = call.written.take() {
        let every = written::read(&text).map_or_else(|| Value::from(text.as_str()), |written| written.every);
        let screened = screen.json(every.clone(), surface)?;
        if screened == every {
            call.written = Some(text);
            return Ok(());
        }
        if let Value::String(screened) = screened {
            call.written = Some(screened); // it was not JSON
        }
    }
    let arguments = Value::Object(std::mem::take(&mut call.arguments));
    match screen.json(arguments, surface)? {
        Value::Object(screened) => call.arguments = screened,
        other => drop(call.arguments.insert("withheld".to_owned(), other)),
    }
    Ok(())
}

/// Screens one message in place.
fn screen_message(screen: Screen<'_>, message: &mut Message) -> Result<(), Refused> {
    match message {
        Message::System { text } | Message::User { text } => {
            let screened = screen.input(text)?.into_inner();
            *text = screened;
        }
        Message::Assistant { text, calls, thoughts } => {
            let screened = screen.output(text)?.into_inner();
            *text = screened;
            if let Some(Thoughts { text, .. }) = thoughts {
                let screened = screen.output(text)?.into_inner();
                *text = screened;
            }
            calls.iter_mut().try_for_each(|call| screen_call(screen, call, Surface::ToolResult))?;
        }
        Message::Tool { text, .. } => {
            let screened = screen.tool_text(text)?.into_inner();
            *text = screened;
        }
    }
    Ok(())
}

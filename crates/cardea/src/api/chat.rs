//! `POST /v1/chat/completions`: an agent's turn or a bare completion, in OpenAI's formats.

use std::{io, time::Duration};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response, Sse, sse::Event},
};
use cardea_auth::Caller;
use cardea_core::{
    Code, Error,
    id::{AgentName, ConversationId},
    message::{Finish, Prompt},
};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Problem,
    extract::{Inbound, Outside},
    headers::CONVERSATION,
    openai::{self, Answer, Completion, Envelope, Said},
    problem,
};
use crate::{
    app::App,
    flow::{self, ChatRequest, Coming, CompleteRequest, Completed, ReplyEvent},
    observe::Trace,
    once::fingerprint,
    turn::{CacheUse, Receipt},
};

/// The most pieces that wait for a slow client.
const PIECES: usize = 64;

pub(super) async fn completions(
    State(app): State<App>,
    inbound: Inbound<Completion>,
) -> Result<Response, Problem> {
    let Inbound { asked, outside, body, raw } = inbound;
    match body.agent() {
        Some(agent) => {
            let message = message(&outside, &body, &raw, agent)?;
            if body.stream {
                stream_turn(app, outside, &body, asked, message).await
            } else {
                let again = Again::read(&outside, &asked.caller, &raw);
                drop(raw);
                let (receipt, taken_over) = begin_or_hear(&app, asked, message, again).await;
                let receipt = receipt.map_err(|error| outside.problem(error))?;
                if taken_over {
                    // The usage of the first try is in that try's own event.
                    outside.trace.note(|event| event.replays(&receipt));
                }
                whole_turn(&app, &outside, &body, &receipt)
            }
        }
        None => {
            drop(raw);
            let wish = complete_request(&outside, &body)?;
            if body.stream {
                stream_completion(app, outside, &body, asked, wish).await
            } else {
                whole_completion(app, outside, &body, asked, wish).await
            }
        }
    }
}

fn message(outside: &Outside, body: &Completion, raw: &[u8], agent: &str) -> Result<ChatRequest, Problem> {
    let conversation: Option<ConversationId> = match outside.header(CONVERSATION) {
        None if outside.has(CONVERSATION) => return Err(outside.problem(Error::new(Code::NotFound))),
        None => None,
        // WHY: text that is not an id is answered like the id of another user's conversation.
        Some(id) => Some(id.parse().map_err(|_| outside.problem(Error::new(Code::NotFound)))?),
    };
    body.fits_an_agent().map_err(|error| outside.problem(error))?;
    let text = body.last_user_text().map_err(|error| outside.problem(error))?;
    let sampling = body.sampling().map_err(|error| outside.problem(error))?;
    let key = outside.idempotency_key()?;
    let rest = if key.is_some() { openai::rest(raw) } else { String::new() };
    let agent = AgentName::from(agent);
    Ok(ChatRequest { agent, conversation, text, rest, key, sampling, reuse: outside.reuse() })
}

/// The header in which client libraries count their tries of one request, from 0.
const RETRY_COUNT: &str = "x-stainless-retry-count";

/// A request of a client library that retries by itself and sends no idempotency key.
struct Again {
    /// A fingerprint that all tries have in common.
    name: String,
    /// True if this is not the first try.
    repeated: bool,
}

impl Again {
    fn read(outside: &Outside, caller: &Caller, raw: &[u8]) -> Option<Self> {
        let count: u32 = outside.header(RETRY_COUNT)?.parse().ok()?;
        if outside.has("idempotency-key") {
            return None; // its key finds the turn on every node
        }
        let talk = outside.header(CONVERSATION).unwrap_or_default();
        let name = fingerprint([caller.key().as_str(), talk, std::str::from_utf8(raw).ok()?]);
        Some(Self { name, repeated: count > 0 })
    }
}

fn complete_request(outside: &Outside, body: &Completion) -> Result<CompleteRequest, Problem> {
    let read = || -> cardea_core::Result<Prompt> {
        Ok(Prompt {
            model: body.model.clone(),
            messages: body.transcript()?,
            tools: body.client_tools(),
            sampling: body.sampling()?,
            demands: body.demands()?,
            room: None,
        })
    };
    let prompt = read().map_err(|error| outside.problem(error))?;
    Ok(CompleteRequest { prompt, reuse: outside.reuse() })
}

/// Adds the header that names the conversation.
fn stamp(mut response: Response, conversation: Option<ConversationId>) -> Response {
    let name = conversation.and_then(|conversation| HeaderValue::from_str(&conversation.to_string()).ok());
    if let Some(name) = name {
        response.headers_mut().insert(CONVERSATION, name);
    }
    response
}

/// Returns what Cardea adds to an agent's answer.
fn more(receipt: &Receipt) -> Value {
    json!({
        "turn": receipt.turn, "conversation": receipt.conversation, "status": receipt.status,
        "approval": receipt.approval, "cache": receipt.cache, "tools": receipt.tools,
        "cost_micros": receipt.cost_micros, "took_ms": receipt.took_ms,
    })
}

/// What Cardea adds to a bare completion.
#[derive(Debug, Serialize)]
struct More {
    cache: CacheUse,
    cost_micros: u64,
}

impl More {
    const fn of(completed: &Completed) -> Self {
        Self { cache: completed.cache, cost_micros: completed.cost_micros }
    }
}

/// Makes a response of text that is already JSON.
fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// Returns the text for a turn that did not end with an answer.
fn words(receipt: &Receipt) -> String {
    match (&receipt.answer, &receipt.approval) {
        (Some(answer), _) => answer.clone(),
        (None, Some(approval)) => format!(
            "This needs a person's approval first ({approval}). It goes on by itself once it is approved."
        ),
        (None, None) => String::new(),
    }
}

/// Begins a turn and returns its future end, or, for a repeated request, the end of the turn that its first try has
/// begun; true in that case.
async fn begin_or_hear(
    app: &App,
    asked: flow::Request,
    message: ChatRequest,
    again: Option<Again>,
) -> (cardea_core::Result<Receipt>, bool) {
    let unheard = app.turns.unheard();
    // A first try always begins a turn of its own.
    let known = again.as_ref().filter(|again| again.repeated).and_then(|again| unheard.take(&again.name));
    let taken_over = known.is_some();
    let answer = known.unwrap_or_else(|| {
        flow::begin(app, "chat", |app| async move { flow::chat(&app, &asked, message, None).await })
    });
    let heard = unheard.hear(again.map(|again| again.name), answer).await;
    (heard.unwrap_or_else(|| Err(flow::wordless(app))), taken_over)
}

fn whole_turn(
    app: &App,
    outside: &Outside,
    body: &Completion,
    receipt: &Receipt,
) -> Result<Response, Problem> {
    if let Some(error) = receipt.failed() {
        return Err(outside.problem(error));
    }
    let envelope = Envelope::new(&receipt.turn.to_string(), app.clock.now(), &body.model);
    let words = words(receipt);
    let answer = Answer {
        said: Said::Answer(&words),
        tools: &[],
        thoughts: "",
        finish: receipt.finish.unwrap_or(Finish::Stop),
        usage: receipt.usage,
    };
    Ok(stamp(json_text(envelope.whole(answer, more(receipt))), receipt.conversation))
}

/// One event of a stream. An error aborts the body, so that no client takes it for complete.
type Piece = Result<Event, io::Error>;

/// Returns the end of a stream whose reader did not take all of it (see `flow::Outlet`).
fn broken_off() -> Piece {
    Err(io::Error::other("the client was too slow to read"))
}

/// Makes a server-sent event with this object.
fn data(object: String) -> Piece {
    Ok(Event::default().data(object))
}

fn done() -> Piece {
    Ok(Event::default().data("[DONE]"))
}

fn sse(events: impl Stream<Item = Piece> + Send + 'static, conversation: Option<ConversationId>) -> Response {
    let keep_alive = axum::response::sse::KeepAlive::default();
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    stamp(response, conversation)
}

async fn stream_turn(
    app: App,
    outside: Outside,
    body: &Completion,
    asked: flow::Request,
    message: ChatRequest,
) -> Result<Response, Problem> {
    let (client, mut events) = mpsc::channel(PIECES);
    let chat = |app| async move { flow::chat(&app, &asked, message, Some(client)).await };
    let coming = flow::begin(&app, "chat", chat);
    // Nothing is sent before the turn is durable, so that a refusal still has a status of its own.
    let Some(ReplyEvent::Begun { turn, conversation }) = events.recv().await else {
        let receipt = flow::heard(&app, coming).await.map_err(|error| outside.problem(error))?;
        return Ok(replay(&app, &outside, body, &receipt));
    };
    let envelope = Envelope::new(&turn.to_string(), app.clock.now(), &body.model);
    let usage = body.stream_options.include_usage;
    let request_id = outside.request.to_string();
    let opening = stream::once(std::future::ready(data(envelope.opening())));
    let trace = outside.trace.clone();
    let rest = stream::unfold(Some((events, coming)), move |state| {
        let (envelope, request_id) = (envelope.clone(), request_id.clone());
        let (app, trace) = (app.clone(), trace.clone());
        async move {
            let (mut events, coming) = state?;
            let Some(event) = events.recv().await else {
                return Some((untold_end(&app, &trace, coming, &request_id).await, None));
            };
            let ended = matches!(event, ReplyEvent::Ended(_));
            Some((chunks(&envelope, event, usage, &request_id), (!ended).then_some((events, coming))))
        }
    });
    Ok(sse(opening.chain(rest.flat_map(stream::iter)), conversation))
}

/// How long to wait, after its last event, for a failed turn to report its error.
const SAYS_SO: Duration = Duration::from_secs(1);

/// Returns the end of a stream whose turn sent none: the error that it ended with, or that its reader was too slow.
async fn untold_end(app: &App, trace: &Trace, coming: Coming<Receipt>, request: &str) -> Vec<Piece> {
    let Ok(Err(error)) = tokio::time::timeout(SAYS_SO, flow::heard(app, coming)).await else {
        return vec![broken_off()];
    };
    trace.note(|event| event.failed(&error));
    vec![data(problem::envelope(&error, request).to_string()), done()]
}

/// Returns the chunks of one event.
fn chunks(envelope: &Envelope, event: ReplyEvent, usage: bool, request: &str) -> Vec<Piece> {
    match event {
        ReplyEvent::Begun { .. } => Vec::new(),
        ReplyEvent::Text(text) | ReplyEvent::Refusal(text) => vec![data(envelope.piece(&text))],
        ReplyEvent::Ended(receipt) => {
            if let Some(error) = receipt.failed() {
                // No `finish_reason` follows: none would be true.
                return vec![data(problem::envelope(&error, request).to_string()), done()];
            }
            let mut out = Vec::new();
            if receipt.answer.is_none() {
                out.push(data(envelope.piece(&words(&receipt))));
            }
            let finish = receipt.finish.unwrap_or(Finish::Stop);
            out.push(data(envelope.closing(finish, Some(more(&receipt)))));
            if usage {
                out.push(data(envelope.usage_chunk(receipt.usage)));
            }
            out.push(done());
            out
        }
    }
}

/// Returns the stream of a turn that has already ended, for a repeat of its idempotency key.
fn replay(app: &App, outside: &Outside, body: &Completion, receipt: &Receipt) -> Response {
    let envelope = Envelope::new(&receipt.turn.to_string(), app.clock.now(), &body.model);
    let mut events = vec![data(envelope.opening())];
    if let Some(answer) = &receipt.answer {
        events.push(data(envelope.piece(answer)));
    }
    let ended = ReplyEvent::Ended(Box::new(receipt.clone()));
    events.extend(chunks(&envelope, ended, body.stream_options.include_usage, &outside.request.to_string()));
    sse(stream::iter(events), receipt.conversation)
}

async fn whole_completion(
    app: App,
    outside: Outside,
    body: &Completion,
    asked: flow::Request,
    wish: CompleteRequest,
) -> Result<Response, Problem> {
    // WHY a task of its own: a client that disconnects still pays for what the model was asked.
    let complete = |app| async move { flow::complete(&app, &asked, wish, None).await };
    let completed = flow::detached(&app, "complete", complete);
    let completed = completed.await.map_err(|error| outside.problem(cut_off(error)))?;
    let envelope = Envelope::new(&outside.request.to_string(), app.clock.now(), &body.model);
    let more = More::of(&completed);
    let said = if completed.refused { Said::Refusal } else { Said::Answer };
    let answer = Answer {
        said: said(&completed.text),
        tools: &completed.calls,
        thoughts: &completed.thoughts,
        finish: completed.finish,
        usage: completed.usage,
    };
    Ok(json_text(envelope.whole(answer, more)))
}

/// Returns the error of a completion, without the mark of begun work if this node stopped. Unlike a turn, a completion
/// that was cut off is not resumed, so it may be asked for again.
fn cut_off(error: Error) -> Error {
    if error.code() == Code::Draining { Code::Draining.into() } else { error }
}

async fn stream_completion(
    app: App,
    outside: Outside,
    body: &Completion,
    asked: flow::Request,
    wish: CompleteRequest,
) -> Result<Response, Problem> {
    let (client, mut events) = mpsc::channel(PIECES);
    let complete = |app| async move { flow::complete(&app, &asked, wish, Some(client)).await };
    let coming = flow::begin(&app, "complete", complete);
    let envelope = Envelope::new(&outside.request.to_string(), app.clock.now(), &body.model);
    let first = events.recv().await;
    if first.is_none() {
        // No text at all: an error, or only tool calls.
        let completed = flow::heard(&app, coming).await.map_err(|error| outside.problem(cut_off(error)))?;
        let mut out = vec![data(envelope.opening())];
        out.extend(completion_end(&envelope, &Ok(completed), body.stream_options.include_usage, ""));
        return Ok(sse(stream::iter(out), None));
    }
    let (usage, request_id) = (body.stream_options.include_usage, outside.request.to_string());
    let opening = stream::once(std::future::ready(data(envelope.opening())));
    let closing_envelope = envelope.clone();
    let pieces = stream::iter(first)
        .chain(stream::unfold(events, |mut events| async move {
            events.recv().await.map(|event| (event, events))
        }))
        .filter_map(move |event| {
            let piece = match event {
                ReplyEvent::Text(text) => Some(data(envelope.piece(&text))),
                ReplyEvent::Refusal(text) => Some(data(envelope.refusal(&text))),
                ReplyEvent::Begun { .. } | ReplyEvent::Ended(_) => None,
            };
            std::future::ready(piece)
        });
    let trace = outside.trace.clone();
    let closing = stream::once(async move {
        let ended = flow::heard(&app, coming).await.map_err(cut_off);
        trace.note_error(&ended);
        stream::iter(completion_end(&closing_envelope, &ended, usage, &request_id))
    });
    Ok(sse(opening.chain(pieces).chain(closing.flatten()), None))
}

fn completion_end(
    envelope: &Envelope,
    ended: &cardea_core::Result<Completed>,
    usage: bool,
    request: &str,
) -> Vec<Piece> {
    let mut out = Vec::new();
    let (finish, used, more) = match ended {
        Ok(completed) if completed.cut => return vec![broken_off()],
        Ok(completed) => {
            if !completed.calls.is_empty() {
                out.push(data(envelope.tool_calls(&completed.calls, &completed.thoughts)));
            }
            (completed.finish, completed.usage, More::of(completed))
        }
        Err(error) if error.code() == Code::Cancelled => return vec![broken_off()],
        // No `finish_reason` follows: none would be true.
        Err(error) => return vec![data(problem::envelope(error, request).to_string()), done()],
    };
    out.push(data(envelope.closing(finish, Some(more))));
    if usage {
        out.push(data(envelope.usage_chunk(used)));
    }
    out.push(done());
    out
}

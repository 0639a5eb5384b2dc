//! A fake model provider that follows a script and misbehaves on demand.
//!
//! It speaks the three wire formats on their own paths, so one script serves them all. Each request takes the next
//! [`Act`] of the script; after the end of the script, the last act is repeated. Requests are kept for the test to
//! read. Dropping the server closes its port.
//!
//! This file stands alone on purpose: `cardea-model` includes it in its own tests, since the testkit as a whole
//! depends on it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::any,
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time};

/// Time for the text to be sent before a connection breaks; otherwise the server's library holds it back.
const LEAVES: Duration = Duration::from_millis(50);

/// The wire format of a request, recognised by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `/chat/completions`.
    OpenAi,
    /// `/messages`.
    Anthropic,
    /// `:streamGenerateContent`.
    Gemini,
}

impl Wire {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Gemini];

    /// Returns the value of `kind` in a configuration.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    fn of(path: &str) -> Option<Self> {
        if path.ends_with("/chat/completions") {
            Some(Self::OpenAi)
        } else if path.ends_with("/messages") {
            Some(Self::Anthropic)
        } else {
            path.contains(":streamGenerateContent").then_some(Self::Gemini)
        }
    }
}

/// Reaction of the server to one request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends this text, a word at a time.
    Say(String),
    /// Asks for these tools: name and arguments.
    Call(Vec<(String, Value)>),
    /// Sends this text one byte at a time, with a pause after each.
    Drip(String, Duration),
    /// Answers with this status, `Retry-After` and body.
    Status(u16, Option<String>, String),
    /// Accepts the request and never answers.
    Silent,
    /// Sends the head of an answer and nothing more.
    SilentAfterHead,
    /// Sends this text and then nothing, without an end.
    SilentAfter(String),
    /// Sends these thoughts and then nothing, without an end.
    SilentAfterThoughts(String),
    /// Sends comments for ever, and never an event.
    KeepAlive(Duration),
    /// Sends this text, and then loses the connection.
    LostAfter(String),
    /// Sends this text, and then ends the answer in good order, but without its end event.
    EndsEarly(String),
    /// Sends this text, and then these bytes.
    Then(String, Vec<u8>),
    /// Sends this text and announces more bytes than come.
    WrongLength(String),
    /// Sends this text and reports an error inside the stream.
    Reports(String),
    /// Sends this many bytes in one event.
    HugeEvent(usize),
    /// Sends this many bytes in many events.
    HugeAnswer(usize),
    /// Sends this document with this content type.
    Document(&'static str, String),
    /// Sends an empty answer.
    Empty,
}

impl Act {
    /// Sends this text.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    /// Asks for one tool.
    #[must_use]
    pub fn call(tool: &str, arguments: Value) -> Self {
        Self::Call(vec![(tool.to_owned(), arguments)])
    }

    /// Answers that there are too many requests.
    #[must_use]
    pub fn busy(retry_after: Option<&str>) -> Self {
        Self::Status(429, retry_after.map(str::to_owned), r#"{"error":{"message":"slow down"}}"#.to_owned())
    }
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, or null if it was not JSON.
    pub body: Value,
}

#[derive(Debug, Default)]
struct Script {
    acts: VecDeque<Act>,
    last: Option<Act>,
    rule: Option<fn(&Value) -> Act>,
    seen: Vec<Seen>,
}

/// The server.
#[derive(Debug)]
pub struct FakeModel {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _server: JoinSet<()>,
}

impl FakeModel {
    /// Starts on a free port of the loopback interface, with a script.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start(acts: impl IntoIterator<Item = Act>) -> io::Result<Self> {
        Self::serve(Script { acts: acts.into_iter().collect(), ..Script::default() }).await
    }

    /// Starts with a rule that derives the reaction from the body of a request.
    ///
    /// # Errors
    /// As [`FakeModel::start`].
    pub async fn ruled(rule: fn(&Value) -> Act) -> io::Result<Self> {
        Self::serve(Script { rule: Some(rule), ..Script::default() }).await
    }

    async fn serve(script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let script = Arc::new(Mutex::new(script));
        let app = Router::new().fallback(any(answer)).with_state(Arc::clone(&script));
        let mut server = JoinSet::new();
        server.spawn(async move {
            // A server that cannot continue shows in the test that waits for it.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, script, _server: server })
    }

    /// Returns the value for `base_url`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the entry for the allow list of the outbound client.
    #[must_use]
    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// Adds to the script.
    pub fn then(&self, act: Act) -> &Self {
        self.lock().acts.push_back(act);
        self
    }

    /// Returns the requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let Some(wire) = Wire::of(uri.path()) else {
        let list = uri.path().ends_with("/models");
        let status = if list { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return (status, axum::Json(json!({ "data": [] }))).into_response();
    };
    let act = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let ruled = script.rule.map(|rule| rule(&body));
        script.seen.push(Seen { path, headers, body });
        let next = ruled.or_else(|| script.acts.pop_front()).or_else(|| script.last.clone());
        script.last.clone_from(&next);
        next
    };
    play(wire, act.unwrap_or(Act::Empty)).await
}

async fn play(wire: Wire, act: Act) -> Response {
    let quiet = || stream::pending::<Result<Bytes, io::Error>>();
    match act {
        Act::Say(text) => events(now(&[said(wire, &text), ended(wire, false)].concat())),
        Act::Call(calls) => events(now(&[called(wire, &calls), ended(wire, true)].concat())),
        Act::Drip(text, pause) => {
            let whole = [said(wire, &text), ended(wire, false)].concat();
            let bytes = stream::iter(whole.into_bytes()).then(move |byte| async move {
                time::sleep(pause).await;
                Ok(Bytes::from(vec![byte]))
            });
            events(bytes)
        }
        Act::Status(status, retry_after, body) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
            if let Some(value) = retry_after.and_then(|text| text.parse().ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Act::Silent => std::future::pending().await,
        Act::SilentAfterHead => events(quiet()),
        Act::SilentAfter(text) => events(now(&said(wire, &text)).chain(quiet())),
        Act::SilentAfterThoughts(text) => events(now(&thought(wire, &text)).chain(quiet())),
        Act::KeepAlive(pause) => events(stream::unfold((), move |()| async move {
            time::sleep(pause).await;
            Some((Ok(Bytes::from_static(b": still here\n\n")), ()))
        })),
        Act::LostAfter(text) => {
            let lost = stream::once(async {
                time::sleep(LEAVES).await;
                Err(io::Error::other("the line was cut"))
            });
            events(now(&said(wire, &text)).chain(lost))
        }
        Act::EndsEarly(text) => events(now(&said(wire, &text))),
        Act::Then(text, bytes) => {
            let tail = stream::iter([Ok(Bytes::from(bytes)), Ok(Bytes::from_static(b"\n\n"))]);
            events(now(&said(wire, &text)).chain(tail))
        }
        Act::WrongLength(text) => {
            let body = said(wire, &text);
            let announced = body.len() + 1_000;
            let end = stream::once(async {
                time::sleep(LEAVES).await;
                Ok(Bytes::new())
            });
            let mut response = events(now(&body).chain(end));
            response.headers_mut().insert(header::CONTENT_LENGTH, announced.into());
            response
        }
        Act::Reports(text) => events(now(&[said(wire, &text), reported(wire)].concat())),
        Act::HugeEvent(bytes) => {
            events(now(&[said_whole(wire, &"x".repeat(bytes)), ended(wire, false)].concat()))
        }
        Act::HugeAnswer(bytes) => {
            let piece = Bytes::from(said_whole(wire, &"x".repeat(1_000)));
            let count = bytes / piece.len() + 1;
            events(stream::iter((0..count).map(move |_| Ok(piece.clone()))))
        }
        Act::Document(kind, text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Act::Empty => events(now("")),
    }
}

fn events(body: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

fn now(text: &str) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + use<> {
    let text = Bytes::from(text.to_owned());
    stream::once(std::future::ready(Ok::<_, Infallible>(text)))
        .map(|piece| piece.map_err(|never| match never {}))
}

/// Returns a text in the format's events, one word in each.
fn said(wire: Wire, text: &str) -> String {
    let start = if wire == Wire::Anthropic {
        let usage = json!({ "input_tokens": 11, "output_tokens": 1 });
        event(wire, &json!({ "type": "message_start", "message": { "usage": usage } }))
    } else {
        String::new()
    };
    let words: String = text.split_inclusive(' ').map(|word| said_whole(wire, word)).collect();
    start + &words
}

fn said_whole(wire: Wire, text: &str) -> String {
    let data = match wire {
        Wire::OpenAi => {
            json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] })
        }
        Wire::Anthropic => {
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
        }
        Wire::Gemini => {
            json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] } }] })
        }
    };
    event(wire, &data)
}

fn thought(wire: Wire, text: &str) -> String {
    let data = match wire {
        Wire::OpenAi => json!({ "choices": [{ "index": 0, "delta": { "reasoning_content": text } }] }),
        Wire::Anthropic => {
            let delta = json!({ "type": "thinking_delta", "thinking": text });
            json!({ "type": "content_block_delta", "index": 0, "delta": delta })
        }
        Wire::Gemini => {
            json!({ "candidates": [{ "content": { "parts": [{ "text": text, "thought": true }] } }] })
        }
    };
    event(wire, &data)
}

fn called(wire: Wire, calls: &[(String, Value)]) -> String {
    let one = |(index, (name, arguments)): (usize, &(String, Value))| {
        let id = format!("fake_{index}");
        let text = arguments.to_string();
        // In two pieces, as real providers cut them.
        let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(place, _)| place);
        let (head, tail) = text.split_at(half);
        match wire {
            Wire::OpenAi => {
                let piece = |id: Value, name: Value, text: &str| {
                    let call =
                        json!({ "index": index, "id": id, "function": { "name": name, "arguments": text } });
                    event(wire, &json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }))
                };
                piece(id.into(), name.as_str().into(), head) + &piece(Value::Null, Value::Null, tail)
            }
            Wire::Anthropic => {
                let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                let start = json!({ "type": "content_block_start", "index": index, "content_block": block });
                let piece = |text: &str| {
                    let delta = json!({ "type": "input_json_delta", "partial_json": text });
                    event(wire, &json!({ "type": "content_block_delta", "index": index, "delta": delta }))
                };
                event(wire, &start) + &piece(head) + &piece(tail)
            }
            Wire::Gemini => {
                let call = json!({ "functionCall": { "id": id, "name": name, "args": arguments } });
                event(wire, &json!({ "candidates": [{ "content": { "parts": [call] } }] }))
            }
        }
    };
    calls.iter().enumerate().map(one).collect()
}

fn ended(wire: Wire, calls: bool) -> String {
    match wire {
        Wire::OpenAi => {
            let finish = if calls { "tool_calls" } else { "stop" };
            let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": finish }] });
            let usage = json!({ "choices": [], "usage": { "prompt_tokens": 11, "completion_tokens": 5 } });
            event(wire, &last) + &event(wire, &usage) + "data: [DONE]\n\n"
        }
        Wire::Anthropic => {
            let reason = if calls { "tool_use" } else { "end_turn" };
            let delta = json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "input_tokens": 11, "output_tokens": 5 } });
            event(wire, &delta) + &event(wire, &json!({ "type": "message_stop" }))
        }
        Wire::Gemini => {
            let usage = json!({ "promptTokenCount": 11, "candidatesTokenCount": 5 });
            event(wire, &json!({ "candidates": [{ "finishReason": "STOP" }], "usageMetadata": usage }))
        }
    }
}

fn reported(wire: Wire) -> String {
    match wire {
        Wire::OpenAi => event(wire, &json!({ "error": { "type": "server_error", "message": "it broke" } })),
        Wire::Anthropic => {
            event(wire, &json!({ "type": "error", "error": { "type": "api_error", "message": "it broke" } }))
        }
        Wire::Gemini => event(wire, &json!({ "error": { "code": 500, "message": "it broke" } })),
    }
}

fn event(wire: Wire, data: &Value) -> String {
    match (wire, data.get("type").and_then(Value::as_str)) {
        (Wire::Anthropic, Some(kind)) => format!("event: {kind}\ndata: {data}\n\n"),
        _ => format!("data: {data}\n\n"),
    }
}

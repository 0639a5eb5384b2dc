//! `/api/v1/turns`: ask an agent, read a turn, cancel it, follow its events and continue after any of them.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response, Sse, sse::Event as SseEvent},
};
use cardea_auth::Caller;
use cardea_core::{
    Code, Error,
    id::{AgentName, ConversationId, StepId, TurnId},
    message::Sampling,
};
use futures::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Problem,
    extract::{ASYNC, Inbound, Known, Outside, Path},
    headers::APPLIED,
    trace::GoesOn,
};
use crate::{
    app::App,
    control::Listening,
    flow::{self, ChatRequest, ReplyEvent},
    turn::{Begins, Following, Receipt},
};

/// The body of `POST /api/v1/turns`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    agent: String,
    message: String,
    conversation: Option<String>,
}

pub(super) async fn ask(State(app): State<App>, inbound: Inbound<Ask>) -> Result<Response, Problem> {
    let Inbound { asked, outside, body, .. } = inbound;
    let conversation: Option<ConversationId> = match &body.conversation {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| outside.problem(Error::new(Code::NotFound)))?),
    };
    if body.message.trim().is_empty() {
        return Err(outside.problem(Error::new(Code::BadRequest).detail("`message` is empty.")));
    }
    let agent = AgentName::from(body.agent.as_str());
    let message = ChatRequest {
        agent: agent.clone(),
        conversation,
        text: body.message,
        rest: String::new(),
        key: outside.idempotency_key()?,
        sampling: Sampling::default(),
        reuse: outside.reuse(),
    };
    let (client, mut begun) = mpsc::channel(1);
    let client = outside.rather_not_waits().then_some(client);
    let chat = |app| async move { flow::chat(&app, &asked, message, client).await };
    let coming = flow::begin(&app, "chat", chat);
    // No event arrives if the client waits for the end, or if the answer is already there.
    if let Some(ReplyEvent::Begun { turn, conversation }) = begun.recv().await {
        let receipt = Receipt::begun(turn, conversation, agent);
        outside.trace.note(|event| {
            if event.ending.is_none() {
                event.answered(&receipt);
            }
        });
        return Ok(accepted(&app, &receipt));
    }
    let receipt = flow::heard(&app, coming).await.map_err(|error| outside.problem(error))?;
    let status = if receipt.approval.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(&receipt)).into_response())
}

/// Makes the answer to a client that does not wait: where to find the turn.
fn accepted(app: &App, receipt: &Receipt) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(receipt)).into_response();
    response.extensions_mut().insert(GoesOn);
    let headers = response.headers_mut();
    headers.insert(APPLIED, HeaderValue::from_static(ASYNC));
    if let Ok(place) = format!("{}/api/v1/turns/{}", app.public_path(), receipt.turn).parse() {
        headers.insert(header::LOCATION, place);
    }
    response
}

fn id(outside: &Outside, text: &str) -> Result<TurnId, Problem> {
    text.parse().map_err(|_| outside.problem(Error::new(Code::NotFound)))
}

pub(super) async fn get(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<Json<Value>, Problem> {
    let id = id(&known, &text)?;
    let found = app.turns.find(&known.asked.caller, id).await.map_err(|error| known.problem(error))?;
    Ok(Json(json!(found)))
}

/// How often a quiet stream checks whether its reader may still read.
const STILL: Duration = Duration::from_secs(2);

/// `POST /api/v1/turns/{id}/cancel`.
pub(super) async fn cancel(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<Response, Problem> {
    let id = id(&known, &text)?;
    let Known { asked, outside } = known;
    // WHY a task of its own: a client that disconnects must not stop the compensation half way.
    let found = flow::detached(&app, "cancel", |app| async move { flow::cancel(&app, &asked, id).await });
    let found = found.await.map_err(|error| outside.problem(error))?;
    let status = if found.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(json!(found))).into_response())
}

/// The event stream of one turn.
struct Follow {
    _place: Listening,
    app: App,
    caller: Caller,
    id: TurnId,
    seen: i64,
    /// The read whose start was last reported.
    told: Option<StepId>,
    following: Following,
    waiting: Vec<Result<SseEvent, Infallible>>,
    ended: bool,
}

pub(super) async fn events(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<Response, Problem> {
    let id = id(&known, &text)?;
    let seen = known.header("last-event-id").and_then(|last| last.parse().ok()).unwrap_or(0);
    // WHY: watching starts before the first read, so that nothing is missed in between.
    let following = app.turns.follow(id);
    let (rest, state) =
        app.turns.events(&known.asked.caller, id, seen).await.map_err(|error| known.problem(error))?;
    if rest.is_empty() && state.is_final() {
        // WHY: an `EventSource` reconnects after every end; only this status tells it that there is no more (WHATWG
        // HTML 9.2).
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = app.control.listen(&known.asked.caller).map_err(|error| known.problem(error))?;
    let follow = Follow {
        _place: place,
        app,
        caller: known.asked.caller,
        id,
        seen,
        told: None,
        following,
        waiting: Vec::new(),
        ended: false,
    };
    let mut response =
        Sse::new(stream_of(follow)).keep_alive(axum::response::sse::KeepAlive::default()).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn stream_of(follow: Follow) -> impl Stream<Item = Result<SseEvent, Infallible>> + Send {
    stream::unfold(follow, |mut follow| async move {
        loop {
            if let Some(event) = follow.waiting.pop() {
                return Some((event, follow));
            }
            if follow.ended {
                return None;
            }
            follow.read().await;
            if follow.waiting.is_empty() && !follow.ended {
                follow.wait().await;
            }
        }
    })
}

impl Follow {
    /// Returns true if the credential has expired or was revoked. Then nothing more is sent.
    async fn is_over(&self) -> bool {
        let over = self.caller.expires_at().is_some_and(|end| self.app.clock.now() > end);
        over || self.app.auth.still(&self.caller).await.is_err()
    }

    async fn read(&mut self) {
        if self.is_over().await {
            self.ended = true;
            return;
        }
        let Ok((events, state)) = self.app.turns.events(&self.caller, self.id, self.seen).await else {
            self.ended = true;
            return;
        };
        self.seen = events.last().map_or(self.seen, |event| event.seq);
        self.ended = state.is_final();
        let shown = |event: crate::turn::Event| {
            Ok(SseEvent::default().id(event.seq.to_string()).event(event.kind).data(event.body.to_string()))
        };
        let reads = self.following.begins().filter(|read| !self.ended && self.told != Some(read.step));
        let past =
            |read: &Begins| events.iter().any(|event| event.body.get("step") == Some(&json!(read.step)));
        let reads = reads.filter(|read| !past(read));
        // WHY no number: a stream that continues after some event must not miss one because of this.
        let begins = |read: &Begins| SseEvent::default().event("step.started").data(json!(read).to_string());
        self.told = reads.as_ref().map(|read| read.step).or(self.told);
        self.waiting = reads.iter().map(|read| Ok(begins(read))).collect();
        self.waiting.extend(events.into_iter().rev().map(shown));
    }

    async fn wait(&mut self) {
        let stop = self.app.jobs.stopping();
        loop {
            tokio::select! {
                () = self.following.changed() => return,
                () = tokio::time::sleep(STILL) => if self.is_over().await {
                    self.ended = true;
                    return;
                },
                () = stop.cancelled() => {
                    // The client is told to reconnect: the events are durable, and `Last-Event-ID` continues after any
                    // of them.
                    self.waiting.push(Ok(SseEvent::default().retry(Duration::from_secs(1)).comment("draining")));
                    self.ended = true;
                    return;
                }
            }
        }
    }
}

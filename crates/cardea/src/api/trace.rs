//! Opens the trace of each request, and records the answer in its event.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, BodyDataStream, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use cardea_core::{
    Code,
    id::RequestId,
    trace::{TraceContext, TraceState},
};
use futures::{Stream, StreamExt as _};
use serde_json::Value;

use super::{headers::REQUEST_ID, origin::pages, problem::Failed};
use crate::{
    app::App,
    observe::{HUNG_UP, RequestEvent, Trace},
};

/// Marks an answer to a client that does not wait for the end of the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct GoesOn;

/// A size that no problem reaches.
const LARGEST_PROBLEM: usize = 1024 * 1024;

/// Routes that are polled all the time and say nothing in the log.
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Routes whose answers hold private data, which no browser or proxy may store.
const PRIVATE: [&str; 2] = ["/v1/", "/api/v1/"];

const fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Returns the trace context that the client sent, if it sent one.
fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::parse(headers.get("traceparent")?.to_str().ok()?)
}

/// Returns the trace state of the systems before Cardea. Several headers are one list (W3C Trace Context, 3.3).
fn state(headers: &HeaderMap) -> Option<TraceState> {
    let mut all = headers.get_all("tracestate").iter();
    let (first, second) = (all.next()?.to_str().ok()?, all.next());
    if second.is_none() {
        return TraceState::parse(first);
    }
    let rest = second.into_iter().chain(all).map(|value| value.to_str().ok());
    let lists: Option<Vec<&str>> = std::iter::once(Some(first)).chain(rest).collect();
    TraceState::parse(&lists?.join(","))
}

/// Runs everything that surrounds a route, in one layer. WHY one: with each layer of a router, every request copies all
/// that the layer surrounds.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    cardea_serve::rest_of_body(request, |request| traced(app, request, next)).await
}

/// Opens the request's trace, and records the result of the request. The event is written once nothing works on the
/// request any more; for a stream, that is after its last byte. Nothing is decided here.
async fn traced(app: App, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    if QUIET.contains(&route.as_str()) {
        return pages(&app, request, next).await;
    }
    let private = PRIVATE.iter().any(|prefix| route.starts_with(prefix));
    let event = RequestEvent::new(RequestId::random(), method(request.method()), route);
    let parent = caller(request.headers());
    let trace = app.observe.trace(event, parent, parent.and_then(|_| state(request.headers())));
    request.extensions_mut().insert(trace.clone());
    let waiting = Waiting(Some(trace));
    let mut response = pages(&app, request, next).await;
    if private {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let trace = waiting.answered();
    let id = response.extensions().get::<Failed>().map_or(trace.request(), |failed| failed.request);
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    trace.note(|event| {
        event.status = response.status().as_u16();
        if let Some(failed) = response.extensions().get::<Failed>() {
            event.request = failed.request;
            // The error in a turn's receipt has no cause. The cause was recorded where the error arose.
            if event.code != Some(failed.code) || failed.cause.is_some() {
                (event.code, event.cause) = (Some(failed.code), failed.cause.clone());
            }
        }
    });
    if response.extensions().get::<GoesOn>().is_some() {
        trace.goes_on();
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind == Some("application/problem+json") && !app.public_path().is_empty() {
        return placed(response, app.public_path()).await;
    }
    if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return response;
    }
    response.map(|body| Body::from_stream(Streamed { body: body.into_data_stream(), trace, whole: false }))
}

/// A client that waits for the beginning of its answer. If it disconnects, this is dropped, and the work continues.
struct Waiting(Option<Trace>);

impl Waiting {
    fn answered(mut self) -> Trace {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(trace) = self.0.take() else { return };
        if std::thread::panicking() {
            trace.note(|event| (event.status, event.code) = (500, Some(Code::Internal)));
        } else {
            trace.left(HUNG_UP);
        }
    }
}

/// A stream that is being sent, which records whether it was read to its end.
struct Streamed {
    body: BodyDataStream,
    trace: Trace,
    /// True once the end was reached, or an error has aborted it.
    whole: bool,
}

impl Stream for Streamed {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.body.poll_next_unpin(context));
        self.whole = matches!(piece, None | Some(Err(_)));
        Poll::Ready(piece)
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if !self.whole {
            self.trace.note(|event| event.left = true);
        }
    }
}

/// Puts the path of the public address before the path of a problem's page. WHY: where problems are made, that address
/// is not known.
async fn placed(response: Response<Body>, before: &str) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, LARGEST_PROBLEM).await.unwrap_or_default();
    let mut problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match problem.get_mut("type") {
        Some(Value::String(page)) if page.starts_with('/') => page.insert_str(0, before),
        _ => return Response::from_parts(parts, Body::from(bytes)),
    }
    Response::from_parts(parts, Body::from(problem.to_string()))
}

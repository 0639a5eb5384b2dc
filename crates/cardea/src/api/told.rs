//! The trace of each request, and what its event tells of the answer.

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use cardea_core::{Code, id::RequestId, trace::TraceContext};
use futures::StreamExt as _;
use serde_json::Value;

use crate::{app::App, observe::RequestEvent};

/// What a handler leaves on its answer for the event. Clients do not see it.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    pub(crate) request: RequestId,
    pub(crate) cause: Option<String>,
}

/// Names the request on every answer, as the log and the errors name it.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// The header that names the conversation, in requests and answers.
pub(super) const CONVERSATION: &str = "x-cardea-conversation";

/// More than any problem has.
const LARGEST_PROBLEM: usize = 1024 * 1024;

/// Routes that are asked all the time and tell nothing.
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

const fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// The place in a trace that the client sent, if it sent one.
fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::parse(headers.get("traceparent")?.to_str().ok()?)
}

/// Opens the request's trace, and notes what came of the request. The event is told once nobody works on the request
/// any more, which for a stream is after its last byte. Nothing is decided here.
pub(crate) async fn told(State(app): State<App>, mut request: Request, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    if QUIET.contains(&route.as_str()) {
        return next.run(request).await;
    }
    let event = RequestEvent::new(RequestId::random(), method(request.method()), route);
    let trace = app.observe.trace(event, caller(request.headers()));
    request.extensions_mut().insert(trace.clone());
    let mut response = next.run(request).await;
    let id = response.extensions().get::<Failed>().map_or(trace.request(), |failed| failed.request);
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    trace.note(|event| {
        event.status = response.status().as_u16();
        if let Some(failed) = response.extensions().get::<Failed>() {
            (event.request, event.code, event.cause) =
                (failed.request, Some(failed.code), failed.cause.clone());
        }
    });
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind == Some("application/problem+json") && !app.public_path().is_empty() {
        return placed(response, app.public_path()).await;
    }
    if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _still_told = &trace;
        }))
    })
}

/// The same problem with its page under the path of the public address. WHY: a problem is worded where nobody knows that
/// address.
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

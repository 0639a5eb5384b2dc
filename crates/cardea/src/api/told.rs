//! One wide event for each request, told when its answer is ready to be sent.

use std::{net::SocketAddr, time::Instant};

use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::Response,
};
use cardea_auth::Credentials;
use cardea_core::{Code, id::RequestId, time::Millis};

use crate::{app::App, observe::RequestEvent, turn::Receipt};

/// What a handler leaves on its answer for the event. Clients do not see it.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    pub(crate) request: RequestId,
    pub(crate) cause: Option<String>,
}

/// The turn that an answer tells of.
#[derive(Debug, Clone)]
pub(crate) struct Answered(pub(crate) Box<Receipt>);

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

/// The trace id of a W3C `traceparent` header.
fn trace(headers: &HeaderMap) -> Option<String> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let id = parent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

/// Tells of the request once it has been answered. Who asked is looked up again in what `auth` has verified; nothing
/// is decided here.
pub(crate) async fn told(State(app): State<App>, request: Request, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    if QUIET.contains(&route.as_str()) {
        return next.run(request).await;
    }
    let started = Instant::now();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let credentials = Credentials::from_headers(request.headers(), peer);
    let (method, trace) = (method(request.method()), trace(request.headers()));
    let response = next.run(request).await;
    let failed = response.extensions().get::<Failed>().cloned();
    let id = failed.as_ref().map_or_else(RequestId::random, |failed| failed.request);
    let mut event = RequestEvent::new(id, method, route);
    event.trace = trace;
    event.status = response.status().as_u16();
    event.took = Millis::from(started.elapsed());
    if let Some(failed) = failed {
        (event.code, event.cause) = (Some(failed.code), failed.cause);
    }
    if let Ok(credentials) = credentials
        && !credentials.is_none()
        && let Ok(caller) = app.auth.authenticate(&credentials).await
    {
        event.asked_by(&caller);
    }
    if let Some(Answered(receipt)) = response.extensions().get::<Answered>() {
        event.agent = Some(receipt.agent.to_string());
        event.turn = Some(receipt.turn);
        event.cache = Some(receipt.cache.name());
        event.tools = receipt.tools.len() as u64;
        event.usage = receipt.usage;
        event.cost_micros = receipt.cost_micros;
    }
    app.observe.request(&event);
    response
}

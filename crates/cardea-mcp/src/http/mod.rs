//! Streamable HTTP: both wires at one address, behind one gate.
//!
//! Routes: `/mcp`, `/.well-known/oauth-protected-resource` (with and without `/mcp`), `/healthz`, `/readyz`, and
//! `/metrics` for callers on this machine. All of them check Host and Origin first.

mod gate;
mod lists;
mod pages;
mod peek;
mod serve;
mod session;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes, HttpBody as _},
    extract::State,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use cardea_auth::{Auth, ProtectedResource};
use cardea_core::{Code, Error, time::Millis};
use cardea_serve::{is_handed_on, peer, rest_of_body};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::{Value, value::RawValue};
use tokio_util::sync::CancellationToken;

pub(crate) use self::serve::serve;
use self::{lists::Lists, peek::Peek, session::Owners};
use crate::{Context, app::App, identity::Identity, pipeline, rpc::Rpc};

/// The resource that tokens must be meant for (RFC 9728).
pub(crate) struct Resource {
    pub(crate) url: Arc<str>,
    pub(crate) metadata_url: String,
    pub(crate) issuers: Vec<String>,
}

/// The HTTP side of a server.
pub(crate) struct Http {
    pub(crate) app: Arc<App>,
    pub(crate) auth: Option<Auth>,
    pub(crate) anonymous: bool,
    pub(crate) hosts: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) resource: Option<Resource>,
    pub(crate) max_body: usize,
    /// How long a head may take, and then a body, and how long a connection may be of no use.
    pub(crate) read_within: Millis,
    pub(crate) max_connections: usize,
    pub(crate) legacy_sessions: bool,
    pub(crate) stop: CancellationToken,
}

impl Http {
    /// Whether the scripts of pages of this origin may call the server.
    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
    }
}

struct Shared {
    http: Arc<Http>,
    sessions: Arc<LocalSessionManager>,
    mcp: StreamableHttpService<Rpc, LocalSessionManager>,
    owners: Owners,
    lists: Lists,
}

/// The routes of a server.
pub(crate) fn router(http: Arc<Http>) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(http.hosts.clone())
        .with_allowed_origins(http.origins.clone())
        .enforce_origin_validation()
        .with_legacy_session_mode(http.legacy_sessions)
        .with_json_response(true)
        .with_max_request_body_bytes(http.max_body)
        .with_cancellation_token(http.stop.clone());
    let (app, sessions) = (http.app.clone(), Arc::new(LocalSessionManager::default()));
    let mcp = StreamableHttpService::new(
        move || Ok(Rpc { app: app.clone(), vouched: None }),
        sessions.clone(),
        config,
    );
    let around = http.clone();
    let shared = Arc::new(Shared { http, sessions, mcp, owners: Owners::default(), lists: Lists::default() });
    Router::new()
        .route("/.well-known/oauth-protected-resource", get(metadata))
        .route("/.well-known/oauth-protected-resource/mcp", get(metadata))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), checked))
        // Checks for itself: every call comes this way, and the layer has its price.
        .route("/mcp", any(endpoint))
        .layer(axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
            let http = around.clone();
            rest_of_body(request, async move |request| {
                pages::told_to_browsers(&http, request, |request| next.run(request)).await
            })
        }))
        .with_state(shared)
}

async fn checked(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
    next: axum::middleware::Next,
) -> Response {
    match gate::addressed_to_us(&shared.http, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => gate::refusal(&shared.http, &error, &[]),
    }
}

async fn endpoint(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    match answered(&shared, request).await {
        Ok(response) => response,
        Err((error, scopes)) => gate::refusal(&shared.http, &error, &scopes),
    }
}

/// Is it meant for us, who is it, is it small enough, does it lack a scope, is its answer there; then rmcp.
async fn answered(shared: &Shared, request: Request<Body>) -> Result<Response, (Error, Vec<String>)> {
    let http = &shared.http;
    let plain = |error: Error| (error, Vec::new());
    gate::addressed_to_us(http, &request).map_err(plain)?;
    let (mut parts, body) = request.into_parts();
    let identity = gate::identify(http, &parts).await.map_err(plain)?;
    let identity = gate::enriched(http, identity).await.map_err(plain)?;
    shared.owners.check(&parts, &identity).map_err(plain)?;
    let body = read(body, http.max_body, http.read_within).await.map_err(plain)?;
    let mut place = None;
    if parts.method == Method::POST
        && let Some(peek) = Peek::at(&body)
    {
        if let Some(refused) = lacking(http, &peek, &identity).await {
            return Err(refused);
        }
        // WHY: a session takes room and lasts for minutes after its last request.
        if http.legacy_sessions && peek.begins() {
            pipeline::taken(&http.app, &bare(http, &identity, &peek.method), &peek.method).map_err(plain)?;
            shared.owners.room(&shared.sessions, &identity).await.map_err(plain)?;
        }
        if peek.lists() {
            let rights = http.app.rights(&bare(http, &identity, "")).await;
            place = Lists::place(&parts.headers, &body, &peek, &rights);
            parts.extensions.insert(rights);
        }
    }
    // WHY: with a session, an answer counts only while the session is there; rmcp knows that.
    let place = place.filter(|_| !http.legacy_sessions);
    if let Some(response) = place.as_ref().and_then(|place| shared.lists.get(place)) {
        return Ok(response);
    }
    // WHY: rmcp keeps the request's parts for the whole call; the credential has done its work.
    for name in [header::AUTHORIZATION, HeaderName::from_static("x-api-key"), HeaderName::from_static("dpop")]
    {
        parts.headers.remove(name);
    }
    // WHY: the gate has judged the origin, and knows the server's own; rmcp would refuse that one.
    parts.headers.remove(header::ORIGIN);
    parts.extensions.insert(identity.clone());
    let response = shared.mcp.handle(Request::from_parts(parts, Full::new(body))).await;
    shared.owners.note(&response, &identity);
    match place {
        Some(place) => Ok(shared.lists.keep(place, response).await),
        None => Ok(response.map(Body::new)),
    }
}

async fn read(body: Body, max: usize, within: Millis) -> Result<Bytes, Error> {
    let too_large = || Error::new(Code::TooLarge).detail(format!("A request may have {max} bytes."));
    // WHY: before the first look at it, which would give leave to send it (RFC 9110 section 10.1.1).
    if body.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match tokio::time::timeout(within.duration(), Limited::new(body, max).collect()).await {
        Err(_) => Err(Error::new(Code::BadRequest).detail(format!("The body did not come within {within}."))),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(why)) => Err(Error::new(Code::BadRequest).because(why)),
    }
}

/// A call that lacks a scope is refused by HTTP status, so that clients can step up; it is on record like any call.
async fn lacking(http: &Http, peek: &Peek<'_>, identity: &Identity) -> Option<(Error, Vec<String>)> {
    let called = peek.called()?;
    let route = http.app.routes.get(called.name.as_ref())?;
    let context = bare(http, identity, &route.name);
    let (refusal, scopes) = route.lacking(&context).await?;
    let arguments = called.arguments.map_or("null", RawValue::get);
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let app = http.app.clone();
    // WHY: not in the task of the request, which ends with its connection and would take the record with it.
    let told =
        http.app.calls.spawn(async move { pipeline::refused(&app, &context, &arguments, refusal).await });
    let refusal = told.await.unwrap_or_else(|why| Error::new(Code::Internal).because(why));
    Some((refusal, scopes))
}

/// What guards see of a request that rmcp has not read.
fn bare(http: &Http, identity: &Identity, tool: &str) -> Context {
    Rpc { app: http.app.clone(), vouched: None }.bare_context(identity, tool)
}

async fn metadata(State(shared): State<Arc<Shared>>) -> Response {
    let http = &shared.http;
    let Some(resource) = &http.resource else { return StatusCode::NOT_FOUND.into_response() };
    let mut document =
        ProtectedResource::new(&*resource.url, resource.issuers.clone()).scopes(http.app.scopes());
    if http.auth.is_some() {
        document = document.proofs();
    }
    document.resource_name = Some(http.app.name.clone());
    Json(document).into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.http.app.draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let here =
        peer(request.extensions()).is_none_or(|peer| peer.is_loopback()) && !is_handed_on(request.headers());
    match (shared.http.app.metrics(), here) {
        (Some(metrics), true) => (
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            metrics.text(),
        )
            .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

//! Routes for operators: is it alive, is it ready, what does it count, what was decided, what do errors mean.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use cardea_core::{Code, Error};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Known, Outside, Path, Query},
};
use crate::app::App;

/// The role that may read a tenant's audit log and decision log.
const AUDITOR: &str = "auditor";

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Ready to take work: not stopping, and the database answers.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.jobs.stopping().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    match app.db.ping().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

pub(super) async fn metrics(State(app): State<App>) -> Response {
    let mut headers = HeaderMap::new();
    let media =
        header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, media);
    (headers, app.observe.metrics_text()).into_response()
}

/// The page of an error code, as the `type` of a problem names it.
pub(super) async fn error_page(Path(name): Path, outside: Outside) -> Result<Response, Problem> {
    let code = Code::parse(&name).ok_or_else(|| outside.problem(Error::new(Code::NotFound)))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()).into_response())
}

/// RFC 9728: who issues tokens for this resource.
pub(super) async fn protected_resource(State(app): State<App>) -> Json<Value> {
    Json(app.protected_resource())
}

/// The public keys of the local issuer and of the tokens that upstreams get.
pub(super) async fn jwks(State(app): State<App>) -> Json<Value> {
    Json(app.identity.jwks())
}

/// A window of time.
#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    after: i64,
    limit: Option<u32>,
    turn: Option<String>,
}

pub(super) async fn audit(
    State(app): State<App>,
    known: Known,
    Query(search): Query<Search>,
) -> Result<Json<Value>, Problem> {
    if !known.caller.has_role(AUDITOR) {
        let error = Error::new(Code::Denied).detail("Only the role `auditor` reads the audit log.");
        return Err(known.problem(error));
    }
    let most = search.limit.unwrap_or(100).clamp(1, 1_000);
    let found = app.observe.search(&known.caller.tenant, search.after, search.turn.as_deref(), most).await;
    let entries = found.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "entries": entries })))
}

pub(super) async fn decisions(
    State(app): State<App>,
    known: Known,
    Query(search): Query<Search>,
) -> Result<Json<Value>, Problem> {
    let caller = &known.caller;
    let most = search.limit.unwrap_or(100).clamp(1, 1_000);
    let owner = (!caller.has_role(AUDITOR)).then(|| caller.principal());
    let found = app.observe.decisions(&caller.tenant, owner, search.after, most).await;
    let decisions = found.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "decisions": decisions })))
}

pub(super) async fn unknown_route(outside: Outside) -> Problem {
    outside.problem(Error::new(Code::NotFound).detail("There is no such route."))
}

pub(super) async fn wrong_method(outside: Outside) -> Problem {
    outside.problem(Error::new(Code::MethodNotAllowed))
}

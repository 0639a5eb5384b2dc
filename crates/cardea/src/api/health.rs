//! Routes for operators: liveness, readiness, metrics, keys and error pages.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use cardea_core::{
    Code, Error,
    secret::{ExposeSecret, SecretString},
};
use cardea_serve::{is_handed_on, peer};
use serde_json::Value;

use super::{
    Problem,
    extract::{Outside, Path},
    host::addressed_to_us,
};
use crate::app::App;

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// How long the readiness check waits for the database.
const ANSWER: Duration = Duration::from_secs(3);

/// Answers whether this node can take work: it is not stopping, the database answers and can be written to, and
/// revocations are known.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.pulse.is_leaving() || app.jobs.stopping().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let trouble = match tokio::time::timeout(ANSWER, app.db.ping()).await {
        Ok(Ok(())) => app.pulse.trouble(),
        Ok(Err(_)) | Err(_) => Some("the database does not answer"),
    };
    match trouble {
        None => "ready\n".into_response(),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")).into_response(),
    }
}

/// Returns all metrics to clients that send the token; if none is configured, only to this machine, because the metrics
/// contain names of tenants.
pub(super) async fn metrics(State(app): State<App>, parts: Parts) -> Result<Response, Problem> {
    let outside = Outside::read(&parts);
    let may = match &app.config.server.metrics_token {
        Some(token) => shows(&outside.headers, token),
        None => {
            // WHY: a request from a web page whose name was made to resolve here (DNS rebinding) comes from this
            // machine as well.
            addressed_to_us(&app, &parts).map_err(|error| outside.problem(error))?;
            peer(&parts.extensions).is_some_and(|peer| peer.is_loopback()) && !is_handed_on(&outside.headers)
        }
    };
    if !may {
        let detail = "Meters are read from the machine itself, or with the token of `server.metrics_token`.";
        return Err(outside.problem(Error::new(Code::Denied).detail(detail)));
    }
    let mut headers = HeaderMap::new();
    let media =
        header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, media);
    Ok((headers, app.observe.metrics_text()).into_response())
}

/// Returns true if the request carries this token as its bearer token.
fn shows(headers: &HeaderMap, token: &SecretString) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.split_once(' '));
    shown.is_some_and(|(scheme, shown)| {
        scheme.eq_ignore_ascii_case("bearer")
            && verify_slices_are_equal(shown.trim().as_bytes(), token.expose_secret().as_bytes()).is_ok()
    })
}

/// Returns the page of an error code, to which the `type` of a problem points.
pub(super) async fn error_page(Path(name): Path, outside: Outside) -> Result<Response, Problem> {
    let code = Code::parse(&name).ok_or_else(|| outside.problem(Error::new(Code::NotFound)))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()).into_response())
}

/// Returns the protected resource metadata (RFC 9728): who issues tokens for this resource.
pub(super) async fn protected_resource(State(app): State<App>) -> Json<Value> {
    Json(app.protected_resource())
}

/// Returns the public keys of the local issuer and of the tokens for upstreams.
pub(super) async fn jwks(State(app): State<App>) -> Json<Value> {
    Json(app.identity.jwks())
}

pub(super) async fn unknown_route(outside: Outside) -> Problem {
    outside.problem(Error::new(Code::NotFound).detail("There is no such route."))
}

pub(super) async fn wrong_method(outside: Outside) -> Problem {
    outside.problem(Error::new(Code::MethodNotAllowed))
}

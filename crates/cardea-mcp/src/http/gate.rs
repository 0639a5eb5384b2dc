//! The gate in front of every route: address checks, sign-in, challenges.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use cardea_auth::{Challenge, Credentials};
use cardea_core::{Code, Error, Result, id::RequestId};
use cardea_serve::{host, peer, without_port};
use http::{HeaderValue, Request, StatusCode, header, request::Parts};
use serde_json::json;

use super::Http;
use crate::identity::{Identity, Who};

/// Refuses requests that a browser was tricked into (DNS rebinding, foreign pages).
pub(super) fn addressed_to_us(http: &Http, request: &Request<Body>) -> Result<()> {
    let refused = || Error::new(Code::OriginRefused);
    let host = host(request.headers(), request.uri()).ok_or_else(refused)?;
    let name = without_port(&host);
    if !http.hosts.iter().any(|allowed| *allowed == host || *allowed == name) {
        return Err(refused());
    }
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(()),
        // A page that this server itself would serve; Host has just been checked.
        (Some(origin), None) if origin.to_str().is_ok_and(|origin| is_own(origin, &host)) => Ok(()),
        (Some(origin), None) if http.allows(origin) => Ok(()),
        _ => Err(refused()),
    }
}

/// Scheme, host and port are the ones under which the server was reached.
fn is_own(origin: &str, host: &str) -> bool {
    origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
        .is_some_and(|from| from.eq_ignore_ascii_case(host))
}

/// Finds out who asks. Anonymous only where the server was told so.
pub(super) async fn identify(http: &Http, parts: &Parts) -> Result<Identity> {
    if let Some(vouched) = parts.extensions.get::<Identity>() {
        return Ok(vouched.clone());
    }
    let address = peer(&parts.extensions);
    let mut identity = Identity { address, request: Some(RequestId::random()), ..Identity::default() };
    Credentials::none_in(&parts.uri)?;
    let Some(auth) = &http.auth else { return Ok(identity) };
    let credentials =
        Credentials::from_headers(&parts.headers, address)?.of_request(&parts.method, url(http, parts));
    if http.anonymous && credentials.is_none() {
        return Ok(identity);
    }
    identity.who = Some(Who::Proved(auth.authenticate(&credentials).await?));
    Ok(identity)
}

/// The address of this request as clients write it, for the proofs of bound tokens.
fn url(http: &Http, parts: &Parts) -> Arc<str> {
    match &http.resource {
        Some(resource) => resource.url.clone(),
        None => {
            let host =
                parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            format!("http://{host}{}", parts.uri.path()).into()
        }
    }
}

/// Adds what the author's hook knows about the caller.
pub(super) async fn enriched(http: &Http, mut identity: Identity) -> Result<Identity> {
    if let (Some(enrich), Some(who)) = (&http.app.enrich, &identity.who) {
        identity.extras = enrich(Arc::new((**who).clone()), http.app.state.clone()).await?;
    }
    Ok(identity)
}

/// An error as HTTP tells it, with the challenge that belongs to it.
pub(super) fn refusal(http: &Http, error: &Error, scopes: &[String]) -> Response {
    if let Some(cause) = error.cause_line() {
        tracing::info!(code = error.code().name(), cause, "request refused");
    }
    if let Some(metrics) = http.app.metrics() {
        metrics.refused(error.code().name());
    }
    let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({ "error": error.code().name(), "message": error.public() });
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    if let Some(challenge) = Challenge::for_error(error) {
        let challenge = challenge.scope(scopes);
        let challenge = match &http.resource {
            Some(resource) => challenge.resource_metadata(&resource.metadata_url),
            None => challenge,
        };
        headers.insert(header::WWW_AUTHENTICATE, challenge.header());
    }
    if let Some(after) = error.retry_hint() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.secs_up()));
    }
    response
}

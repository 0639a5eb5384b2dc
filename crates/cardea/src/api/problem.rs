//! Errors as clients receive them: problem+json (RFC 9457) on Cardea's own routes, OpenAI's envelope on OpenAI's
//! routes.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use cardea_core::{Code, Error, Retry, id::RequestId, time::Millis};
use serde_json::{Value, json};

use super::headers::{CONVERSATION, SHOULD_RETRY};

/// The format of errors on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `application/problem+json`.
    Problem,
    /// `{"error": {…}}`.
    OpenAi,
}

/// An error that a handler returns, in the format of its route.
#[derive(Debug)]
pub(crate) struct Problem {
    error: Error,
    request: RequestId,
    shape: Shape,
    keyed: bool,
    challenge: Option<HeaderValue>,
}

/// What a handler attaches to its answer for the request's event. Clients do not see it.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    pub(crate) request: RequestId,
    pub(crate) cause: Option<String>,
}

impl Problem {
    /// Makes the error of one request.
    #[must_use]
    pub(crate) fn new(error: Error, request: RequestId, shape: Shape) -> Self {
        Self { error, request, shape, keyed: false, challenge: None }
    }

    /// Records whether the request carried an idempotency key, by which begun work is found again.
    #[must_use]
    pub(crate) fn keyed(mut self, keyed: bool) -> Self {
        self.keyed = keyed;
        self
    }

    /// Returns true if the client may send the same request again.
    fn may_come_again(&self) -> bool {
        match self.error.retry() {
            Retry::Never => false,
            Retry::After => true,
            Retry::IfIdempotent => self.keyed,
        }
    }

    /// Adds `WWW-Authenticate` to a 401 or 403 (RFC 6750 section 3).
    #[must_use]
    pub(crate) fn challenge(mut self, value: HeaderValue) -> Self {
        if matches!(self.error.code().status(), 401 | 403) {
            self.challenge = Some(value);
        }
        self
    }

    /// Returns when the client may retry.
    fn after(&self) -> Option<Millis> {
        self.error.retry_hint().filter(|_| self.may_come_again())
    }

    fn body(&self) -> Value {
        match self.shape {
            Shape::Problem => problem(&self.error, self.request, self.after()),
            Shape::OpenAi => envelope(&self.error, &self.request.to_string()),
        }
    }
}

/// Returns the RFC 9457 object. Its `type` is the path of the code's page on this server.
#[must_use]
fn problem(error: &Error, request: RequestId, after: Option<Millis>) -> Value {
    let code = error.code();
    let mut object = json!({
        "type": format!("/docs/errors/{}", code.name()),
        "title": code.sentence(),
        "status": code.status(),
        "code": code.name(),
        "detail": error.public(),
        "request_id": request,
    });
    if let (Some(after), Some(object)) = (after, object.as_object_mut()) {
        object.insert("retry_after_s".into(), json!(after.secs_up()));
    }
    name_turn(&mut object, error);
    object
}

/// Returns the error envelope of OpenAI's API.
#[must_use]
pub(super) fn envelope(error: &Error, request: &str) -> Value {
    let kind = match error.code().status() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    let mut object = json!({
        "message": error.public(), "type": kind, "code": error.code().name(), "param": error.about(), "request_id": request,
    });
    name_turn(&mut object, error);
    json!({ "error": object })
}

/// Adds the turn that the error is about, so that the client can look it up and follow its events.
fn name_turn(object: &mut Value, error: &Error) {
    if let (Some((turn, conversation)), Some(object)) = (error.turn(), object.as_object_mut()) {
        object.insert("turn".into(), json!(turn));
        object.insert("conversation".into(), json!(conversation));
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let code = self.error.code();
        let media = match self.shape {
            Shape::Problem => "application/problem+json",
            Shape::OpenAi => "application/json",
        };
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() =
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if !self.may_come_again() {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        } else if let Some(after) = self.after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.secs_up()));
        }
        let talk = self.error.turn().and_then(|(_, conversation)| conversation);
        if let Some(talk) = talk.and_then(|talk| HeaderValue::from_str(&talk.to_string()).ok()) {
            headers.insert(CONVERSATION, talk);
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        // The cause is logged once, with the request's event. The client gets the code and the sentence.
        let failed = Failed { code, request: self.request, cause: self.error.cause_line() };
        response.extensions_mut().insert(failed);
        response
    }
}

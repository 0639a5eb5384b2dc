//! Errors as clients read them: problem+json (RFC 9457) on our own routes, OpenAI's envelope on its routes.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use cardea_core::{Code, Error, id::RequestId};
use serde_json::{Value, json};

/// Which shape an error takes on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `application/problem+json`.
    Problem,
    /// `{"error": {…}}`.
    OpenAi,
}

/// An error on its way out of a handler, in the shape of its route.
#[derive(Debug)]
pub struct Problem {
    error: Error,
    request: RequestId,
    shape: Shape,
    challenge: Option<HeaderValue>,
}

impl Problem {
    /// The error of one request.
    #[must_use]
    pub fn new(error: Error, request: RequestId, shape: Shape) -> Self {
        Self { error, request, shape, challenge: None }
    }

    /// Adds `WWW-Authenticate` to a 401 or 403 (RFC 6750 section 3).
    #[must_use]
    pub fn challenge(mut self, value: HeaderValue) -> Self {
        if matches!(self.error.code().status(), 401 | 403) {
            self.challenge = Some(value);
        }
        self
    }

    fn body(&self) -> Value {
        match self.shape {
            Shape::Problem => problem(&self.error, self.request),
            Shape::OpenAi => super::openai::error(&self.error, &self.request.to_string()),
        }
    }
}

/// The RFC 9457 object. `type` is the path of the code's page on this server.
#[must_use]
pub fn problem(error: &Error, request: RequestId) -> Value {
    let code = error.code();
    let mut object = json!({
        "type": format!("/docs/errors/{}", code.name()),
        "title": code.sentence(),
        "status": code.status(),
        "code": code.name(),
        "detail": error.public(),
        "request_id": request,
    });
    if let (Some(after), Some(object)) = (error.retry_hint(), object.as_object_mut()) {
        object.insert("retry_after_s".into(), json!(after.secs_up()));
    }
    object
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let code = self.error.code();
        // The cause is logged here and only here: this is where the error is handled.
        if code.status() >= 500 {
            tracing::error!(error.code = code.name(), request.id = %self.request, cause = self.error.cause_line());
        } else {
            tracing::debug!(error.code = code.name(), request.id = %self.request, cause = self.error.cause_line());
        }
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
        if let Some(after) = self.error.retry_hint() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.secs_up()));
        } else if matches!(code, Code::Overloaded | Code::Draining) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

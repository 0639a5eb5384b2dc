//! Errors as clients read them: problem+json (RFC 9457) on our own routes, OpenAI's envelope on its routes.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use cardea_core::{Code, Error, id::RequestId};
use serde_json::{Value, json};

use super::told::Failed;

/// Which shape an error takes on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `application/problem+json`.
    Problem,
    /// `{"error": {…}}`.
    OpenAi,
}

/// An error on its way out of a handler, in the shape of its route.
#[derive(Debug)]
pub(crate) struct Problem {
    error: Error,
    request: RequestId,
    shape: Shape,
    challenge: Option<HeaderValue>,
}

impl Problem {
    /// The error of one request.
    #[must_use]
    pub(crate) fn new(error: Error, request: RequestId, shape: Shape) -> Self {
        Self { error, request, shape, challenge: None }
    }

    /// Adds `WWW-Authenticate` to a 401 or 403 (RFC 6750 section 3).
    #[must_use]
    pub(crate) fn challenge(mut self, value: HeaderValue) -> Self {
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
pub(crate) fn problem(error: &Error, request: RequestId) -> Value {
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
        // The cause goes to the log once, with the request's event; the client gets the code and the sentence.
        let failed = Failed { code, request: self.request, cause: self.error.cause_line() };
        response.extensions_mut().insert(failed);
        response
    }
}

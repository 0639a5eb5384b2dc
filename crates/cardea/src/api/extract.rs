//! What every handler needs of a request: who shows what, which request it is, and a body that is JSON.

use std::net::SocketAddr;

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use cardea_auth::{Challenge, Credentials};
use cardea_core::{Code, Error, Result, id::RequestId};
use serde::de::DeserializeOwned;

use super::{Problem, Shape};
use crate::{app::App, observe::Trace};

/// The header in which clients may send, and always get, the request id.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// The outside of a request: its id, its headers, and the credentials in them.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The request, for logs and answers.
    pub request: RequestId,
    /// Its trace.
    pub trace: Trace,
    /// The credentials as they were shown, or why they cannot be read.
    credentials: Result<Credentials>,
    /// All headers.
    pub headers: HeaderMap,
    shape: Shape,
}

impl Outside {
    fn read(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let path = parts.uri.path();
        let trace = parts.extensions.get::<Trace>().cloned().unwrap_or_default();
        Self {
            request: trace.request(),
            trace,
            credentials: Credentials::from_headers(&parts.headers, peer),
            headers: parts.headers.clone(),
            shape: if path.starts_with("/v1/") { Shape::OpenAi } else { Shape::Problem },
        }
    }

    /// The credentials.
    ///
    /// # Errors
    /// If there are two, or they are malformed.
    pub(crate) fn credentials(&mut self) -> Result<Credentials, Problem> {
        std::mem::replace(&mut self.credentials, Err(Error::new(Code::NotSignedIn)))
            .map_err(|error| self.problem(error))
    }

    /// The error in the shape of this route.
    #[must_use]
    pub(crate) fn problem(&self, error: Error) -> Problem {
        let challenge = Challenge::for_error(&error).unwrap_or_default().header();
        Problem::new(error, self.request, self.shape).challenge(challenge)
    }

    /// A header as text.
    #[must_use]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The client's idempotency key.
    ///
    /// # Errors
    /// `bad_request` if it is empty or longer than 255 characters.
    pub(crate) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        match self.header("idempotency-key") {
            None => Ok(None),
            Some(key) if !key.is_empty() && key.len() <= 255 => Ok(Some(key.to_owned())),
            Some(_) => {
                let error =
                    Error::new(Code::BadRequest).detail("`Idempotency-Key` must have 1 to 255 characters.");
                Err(self.problem(error))
            }
        }
    }
}

impl FromRequestParts<App> for Outside {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Ok(Self::read(parts))
    }
}

/// The query of a request. One that cannot be read is a problem like any other.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, app).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => {
                let error = Error::new(Code::BadRequest).detail(format!("{}.", error.body_text()));
                Err(Outside::read(parts).problem(error))
            }
        }
    }
}

/// The name or id in the path. One that is not even text is as unknown as any other.
#[derive(Debug)]
pub(crate) struct Path(pub(crate) String);

impl FromRequestParts<App> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(text)) => Ok(Self(text)),
            Err(_) => Err(Outside::read(parts).problem(Error::new(Code::NotFound))),
        }
    }
}

/// A request with a JSON body.
#[derive(Debug)]
pub(crate) struct Inbound<T> {
    /// Everything around the body.
    pub outside: Outside,
    /// The body.
    pub body: T,
}

impl<T: DeserializeOwned> FromRequest<App> for Inbound<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let outside = Outside::read(&parts);
        let media = outside.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(outside.problem(Error::new(Code::UnsupportedMedia)));
        }
        let bytes = match Bytes::from_request(Request::from_parts(parts, body), app).await {
            Ok(bytes) => bytes,
            Err(error) => {
                let most = app.config.server.max_body;
                let code = if error.status().as_u16() == 413 { Code::TooLarge } else { Code::BadRequest };
                return Err(outside
                    .problem(Error::new(code).detail(format!("A body may have {most}.")).because(error)));
            }
        };
        match parse(&bytes, usize::from(app.config.server.max_depth)) {
            Ok(body) => Ok(Self { outside, body }),
            Err(error) => Err(outside.problem(error)),
        }
    }
}

/// Parses a body, bounded in depth before anything is built from it.
fn parse<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Result<T> {
    if depth(bytes) > most {
        return Err(Error::new(Code::BadRequest).detail(format!("The JSON is nested more than {most} deep.")));
    }
    serde_json::from_slice(bytes).map_err(|error| Error::new(Code::BadRequest).detail(format!("{error}.")))
}

/// The deepest nesting of brackets outside strings.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                now += 1;
                most = most.max(now);
            }
            (false, b']' | b'}') => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_and_not_the_ones_in_strings() {
        assert_eq!(depth(br#"{"a":[{"b":"[[[\"[["}]}"#), 3);
        assert_eq!(depth("[".repeat(100_000).as_bytes()), 100_000);
    }

    #[test]
    fn a_deep_body_is_refused_before_it_is_built() {
        let deep = "[".repeat(70) + &"]".repeat(70);
        let error = parse::<serde_json::Value>(deep.as_bytes(), 64).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest);
        assert!(error.public().contains("64 deep"), "{error}");
    }
}

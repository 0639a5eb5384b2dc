//! What every handler needs of a request: who asks, which request it is, and a body that is JSON.
//!
//! Here is the door: [`Known`] and [`Inbound`] ask `flow::enter` before anything else of the request is read.

use std::{borrow::Cow, ops::Deref, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequest, FromRequestParts, NestedPath, Request},
    http::{HeaderMap, header, request::Parts},
};
use cardea_auth::{Caller, Challenge, Credentials};
use cardea_core::{Code, Error, Result, id::RequestId, written::without_nul};
use cardea_serve::peer;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Problem, Shape};
use crate::{app::App, context::cache::Reuse, flow, observe::Trace, once::sound_key};

/// How a client would like to be answered (RFC 7240).
const PREFER: &str = "prefer";

/// It would rather not wait.
pub(super) const ASYNC: &str = "respond-async";

/// The outside of a request: its id, its trace and its headers.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The request, for logs and answers.
    pub request: RequestId,
    /// Its trace.
    pub trace: Trace,
    /// All headers.
    pub headers: HeaderMap,
    shape: Shape,
}

impl Outside {
    /// The outside of the request with these parts.
    #[must_use]
    pub(crate) fn read(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let trace = parts.extensions.get::<Trace>().cloned().unwrap_or_default();
        Self {
            request: trace.request(),
            trace,
            headers: parts.headers.clone(),
            shape: if path.starts_with("/v1/") { Shape::OpenAi } else { Shape::Problem },
        }
    }

    /// The error in the shape of this route.
    #[must_use]
    pub(crate) fn problem(&self, error: Error) -> Problem {
        let challenge = Challenge::for_error(&error).unwrap_or_default().header();
        Problem::new(error, self.request, self.shape).keyed(self.has("idempotency-key")).challenge(challenge)
    }

    /// A header as text.
    #[must_use]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// True if the header is there, also where it is no text.
    #[must_use]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// What `Cache-Control` says of answers that were given before.
    #[must_use]
    pub(crate) fn reuse(&self) -> Reuse {
        let values =
            self.headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        let words: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        let says = |word: &str| words.iter().any(|said| said.eq_ignore_ascii_case(word));
        match (says("no-store"), says("no-cache")) {
            (true, _) => Reuse::Never,
            (_, true) => Reuse::Fresh,
            _ => Reuse::Allowed,
        }
    }

    /// True if the client would rather be told at once that it has begun than wait for the end (RFC 7240, section 4.1).
    #[must_use]
    pub(crate) fn rather_not_waits(&self) -> bool {
        let values = self.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut named =
            values.flat_map(|value| value.split(',')).filter_map(|one| one.split([';', '=']).next());
        named.any(|name| name.trim().eq_ignore_ascii_case(ASYNC))
    }

    /// The client's idempotency key.
    ///
    /// # Errors
    /// `bad_request` if it is empty or longer than 255 characters.
    pub(crate) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        idempotency_key(&self.headers).map_err(|error| self.problem(error))
    }
}

/// The idempotency key of a request with these headers.
///
/// # Errors
/// `bad_request` if it is not given once, with 1 to 255 characters of ASCII.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let (Some(key), second) = (keys.next(), keys.next()) else { return Ok(None) };
    let only = key.to_str().ok().filter(|_| second.is_none());
    sound_key(only, "`Idempotency-Key`").map(Some)
}

impl FromRequestParts<App> for Outside {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Ok(Self::read(parts))
    }
}

/// The credentials of a request, with the address that proofs of bound tokens must name.
///
/// # Errors
/// If there are two, one stands in the address, or they are malformed.
pub(crate) fn credentials(app: &App, parts: &Parts) -> Result<Credentials> {
    Credentials::none_in(&parts.uri)?;
    // WHY: a nested route sees its path without the part that led there.
    let before = parts.extensions.get::<NestedPath>().map_or("", NestedPath::as_str);
    let url = format!("{}{before}{}", app.public_url(), parts.uri.path());
    Ok(Credentials::from_headers(&parts.headers, peer(&parts.extensions))?.of_request(&parts.method, url))
}

/// A request whose sender is known.
#[derive(Debug)]
pub(crate) struct Known {
    /// Who asks.
    pub asked: flow::Request,
    /// Everything around it.
    pub outside: Outside,
}

impl Known {
    async fn read(parts: &Parts, app: &App) -> Result<Self, Problem> {
        let outside = Outside::read(parts);
        let entered = match credentials(app, parts) {
            Ok(credentials) => flow::enter(app, &credentials, &outside.trace).await,
            Err(error) => Err(error),
        };
        match entered {
            Ok(caller) => Ok(Self { asked: flow::Request { caller, trace: outside.trace.clone() }, outside }),
            Err(error) => {
                let challenge = app.challenge(&error).header(); // where to sign in
                Err(outside.problem(error).challenge(challenge))
            }
        }
    }
}

impl Deref for Known {
    type Target = Outside;

    fn deref(&self) -> &Outside {
        &self.outside
    }
}

impl FromRequestParts<App> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Self::read(parts, app).await
    }
}

/// The query of a request. One that cannot be read is a problem like any other.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        // The one way to write U+0000 in a query.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Outside::read(parts).problem(nul("The query")));
        }
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
        match axum::extract::Path::<String>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(text)) if text.contains('\0') => {
                Err(Outside::read(parts).problem(nul("The path")))
            }
            Ok(axum::extract::Path(text)) => Ok(Self(text)),
            Err(_) => Err(Outside::read(parts).problem(Error::new(Code::NotFound))),
        }
    }
}

/// A request of somebody known with a JSON body. Nobody else's body is read.
#[derive(Debug)]
pub(crate) struct Inbound<T> {
    /// Who asks.
    pub asked: flow::Request,
    /// Everything around the body.
    pub outside: Outside,
    /// The body.
    pub body: T,
    /// The same as it came.
    pub raw: Bytes,
}

impl<T: DeserializeOwned> FromRequest<App> for Inbound<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let Known { asked, outside } = Known::read(&parts, app).await?;
        let bytes = read(Request::from_parts(parts, body), app, &asked.caller, &outside).await?;
        match parse(&bytes, usize::from(app.config.server.max_depth)) {
            Ok(body) => Ok(Self { asked, outside, body, raw: bytes }),
            Err(error) => Err(outside.problem(error)),
        }
    }
}

/// A body that came faster came with its head: nobody is asked a second time who sent it.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Reads a body that says that it is JSON, bounded in size and time.
///
/// # Errors
/// `unsupported_media`, `too_large`, `bad_request` if it does not come in time or not whole; what refuses a caller who was
/// revoked while it came.
pub(crate) async fn read(
    request: Request<Body>,
    app: &App,
    caller: &Caller,
    outside: &Outside,
) -> Result<Bytes, Problem> {
    let media = outside.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(outside.problem(Error::new(Code::UnsupportedMedia)));
    }
    if outside.has(header::CONTENT_ENCODING.as_str()) {
        let detail = "Send it as it is, without `Content-Encoding`.";
        return Err(outside.problem(Error::new(Code::UnsupportedMedia).detail(detail)));
    }
    let most = app.config.server.max_body;
    let too_large = |code: Code| Error::new(code).detail(format!("A body may have {most}."));
    // WHY: before the first look at it, which would give leave to send it (RFC 9110 section 10.1.1).
    if usize::try_from(request.body().size_hint().lower()).is_ok_and(|length| length > most.len()) {
        return Err(outside.problem(too_large(Code::TooLarge)));
    }
    let patience = app.config.server.header_timeout;
    let reading = Bytes::from_request(request, app);
    let began = Instant::now();
    let come = tokio::time::timeout(patience.duration(), reading).await;
    if began.elapsed() > AT_ONCE
        && let Err(error) = flow::still_in(app, caller).await
    {
        let challenge = app.challenge(&error).header();
        return Err(outside.problem(error).challenge(challenge));
    }
    match come {
        Err(_) => {
            let detail = format!("The body did not come within {patience}.");
            Err(outside.problem(Error::new(Code::BadRequest).detail(detail)))
        }
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let code = if error.status().as_u16() == 413 { Code::TooLarge } else { Code::BadRequest };
            Err(outside.problem(too_large(code).because(error)))
        }
    }
}

/// Refuses JSON that is nested deeper than this, or has U+0000 in a string, before anything is built from it.
///
/// # Errors
/// `bad_request`.
pub(crate) fn check(bytes: &[u8], most: usize) -> Result<()> {
    let refused = |detail: String| Err(Error::new(Code::BadRequest).detail(detail));
    if depth(bytes) > most {
        return refused(format!("The JSON is nested more than {most} deep."));
    }
    if std::str::from_utf8(bytes).is_ok_and(|json| matches!(without_nul(json), Cow::Owned(_))) {
        return Err(nul("A text"));
    }
    Ok(())
}

/// No database keeps it, and PostgreSQL fails at it.
fn nul(place: &str) -> Error {
    let detail = format!("{place} has the character U+0000, which cannot be kept; leave it out.");
    Error::new(Code::BadRequest).detail(detail)
}

/// Parses a body, checked before anything is built from it. All bodies are objects.
fn parse<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Result<T> {
    check(bytes, most)?;
    object(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| {
        // Read again, more slowly, to say where.
        let json = &mut serde_json::Deserializer::from_slice(bytes);
        let place = serde_path_to_error::deserialize::<_, T>(json).err();
        place.map_or_else(|| Error::new(Code::BadRequest).detail(format!("{error}.")), |error| wrong(&error))
    })
}

/// Refuses what is JSON and no object. WHY: a derived type is read from a list of its members as well, in an order that
/// nobody has written down.
fn object(bytes: &[u8]) -> Result<()> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let what = match first {
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => return Ok(()), // an object, or no JSON
    };
    Err(Error::new(Code::BadRequest).detail(format!("The body must be a JSON object, not {what}.")))
}

/// Names the member that is wrong, if it is one and not the whole.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let (path, why) = (error.path().to_string(), error.inner());
    match path.as_str() {
        "." | "" => Error::new(Code::BadRequest).detail(format!("{why}.")),
        _ => Error::new(Code::BadRequest).detail(format!("`{path}`: {why}.")).member(path),
    }
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
    fn a_wrong_type_is_named_by_its_place() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[expect(dead_code, reason = "only its type counts")]
            messages: Vec<u8>,
        }
        for (body, member) in [
            (r#"{"messages":[1,"x"]}"#, Some("messages[1]")),
            (r#"{"messages":7}"#, Some("messages")),
            (r"{}", None),
            (r#"{"messages":[]} x"#, None),
        ] {
            let error = parse::<Body>(body.as_bytes(), 64).unwrap_err();
            assert_eq!((error.code(), error.about()), (Code::BadRequest, member), "{body}: {error}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_by_its_type() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[expect(dead_code, reason = "only its type counts")]
            decision: String,
        }
        for (body, what) in [
            (" [\"reject\"]", "a list"),
            ("\"x\"", "a text"),
            ("-1", "a number"),
            ("true", "true"),
            ("null", "null"),
        ] {
            let error = parse::<Body>(body.as_bytes(), 64).unwrap_err();
            assert!(error.public().contains(&format!("not {what}")), "{body}: {error}");
        }
        assert!(parse::<Body>(b"\n{\"decision\":\"reject\"}", 64).is_ok());
    }

    #[test]
    fn a_deep_body_is_refused_before_it_is_built() {
        let deep = "[".repeat(70) + &"]".repeat(70);
        let error = parse::<serde_json::Value>(deep.as_bytes(), 64).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest);
        assert!(error.public().contains("64 deep"), "{error}");
    }
}

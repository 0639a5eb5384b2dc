//! Runs rmcp's client over Cardea's outbound HTTP, so that the address guard, limits and deadlines hold for upstreams
//! too.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cardea_core::{
    connector::{SecretPlace, scrub, scrub_body},
    secret::{ExposeSecret, SecretString},
    time::{Millis, SharedClock},
    written,
};
use cardea_net::{Egress, Net, Request, Streaming, Target};
use futures::{StreamExt, stream::BoxStream};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, RequestId, ServerJsonRpcMessage},
    transport::streamable_http_client::{SseError, StreamableHttpClient, StreamableHttpPostResponse},
};
use serde_json::Value;
use sse_stream::{Sse, SseStream};

use super::{
    challenge::challenge,
    fault::{Failure, Refusal, SAID, Spoken, WireError, after, is_refusal, is_silence},
    grant::Token,
};

/// The largest answer in bytes; a list of tools may be long.
const MOST_BODY: usize = 4 << 20;
const SESSION: &str = "mcp-session-id";
const LAST_EVENT: &str = "last-event-id";
const VERSION: &str = "mcp-protocol-version";
/// The shortest wait before a stream is requested again, in milliseconds, whatever its server asks for.
const SOONEST: u64 = 1_000;
const ACCEPT: &str = "application/json, text/event-stream";

/// The connection of one caller to one upstream.
#[derive(Clone)]
pub(super) struct Wire {
    net: Net,
    /// The only address that anything is sent to.
    target: Target,
    token: Token,
    egress: Egress,
    timeout: Millis,
    clock: SharedClock,
    ears: Ears,
    got: Arc<Mutex<Got>>,
    bound: Arc<AtomicBool>,
    sent: Arc<Mutex<Option<Sent>>>,
}

/// The credential that was sent last, with the forms in which it could come back. The next request usually sends the
/// same.
struct Sent {
    credential: SecretString,
    forms: Forms,
}

type Forms = Arc<[SecretString]>;

/// Whether a connection listens to messages that it did not ask for. Such a stream lasts as long as its session and
/// takes one of the host's places from calls, so a user's connection does not listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ears {
    /// It listens.
    Open,
    /// It does not listen.
    Closed,
}

/// What the newest message of a connection got.
///
/// WHY: rmcp describes a failed handshake only in words. A server that did not answer has a code of its own, and the
/// audit log records the status of one that did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Got {
    /// It was not sent, or its answer is not here yet.
    #[default]
    Nothing,
    /// The server did not answer.
    Silence,
    /// An answer with this status.
    Status(u16),
}

/// An answer, and the forms in which the credential of its request could appear in it.
struct Heard {
    answer: Streaming,
    secrets: Forms,
}

impl Wire {
    /// Makes a connection whose answers may take this long. It does not listen.
    pub(super) fn new(net: Net, target: Target, token: Token, timeout: Millis, clock: SharedClock) -> Self {
        // WHY: the operator wrote the address into the configuration, and redirects are not followed.
        let egress = Egress::any();
        Self {
            net,
            target,
            token,
            egress,
            timeout,
            clock,
            ears: Ears::Closed,
            got: Arc::default(),
            bound: Arc::default(),
            sent: Arc::default(),
        }
    }

    /// Sets whether it listens.
    pub(super) fn with_ears(self, ears: Ears) -> Self {
        Self { ears, ..self }
    }

    /// Returns a view of what the newest message of this connection got.
    pub(super) fn got(&self) -> impl Fn() -> Got + use<> {
        let got = Arc::clone(&self.got);
        move || *got.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, got: Got) {
        *self.got.lock().unwrap_or_else(PoisonError::into_inner) = got;
    }

    /// Returns a flag that is true once this connection uses a session, which the server may forget.
    pub(super) fn bound(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.bound)
    }

    fn forms(&self, credential: &SecretString) -> Forms {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sent.as_ref()
            && known.credential.expose_secret() == credential.expose_secret()
        {
            return Arc::clone(&known.forms);
        }
        let forms = Forms::from(SecretPlace::forms(credential));
        *sent = Some(Sent { credential: credential.clone(), forms: Arc::clone(&forms) });
        forms
    }

    async fn send(
        &self,
        method: Method,
        body: Vec<u8>,
        session: Option<&str>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Heard, Failure> {
        self.note(Got::Nothing);
        let is_asked = method == Method::POST;
        let request = Request::to(method, self.target.clone(), self.egress.clone());
        let token = self.token.get().await.map_err(|error| Failure::Client(WireError::Credential(error)))?;
        let mut request = request
            .header(header::ACCEPT, HeaderValue::from_static(ACCEPT))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .own_timeout(self.timeout.duration())
            .max_body(MOST_BODY)
            .body(body);
        if is_asked {
            // WHY: until the work is done, for as long as the upstream's limit allows, no data need arrive. A listening
            // stream gets a sign of life now and then.
            request = request.idle_timeout(self.timeout.duration());
        }
        let secrets = token.as_ref().map(|token| self.forms(token)).unwrap_or_default();
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
            let mut bearer = bearer.map_err(|_| {
                Failure::UnexpectedServerResponse(Cow::Borrowed("the credential is not a header value"))
            })?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(session) = session.and_then(|session| HeaderValue::from_str(session).ok()) {
            self.bound.store(true, Ordering::Relaxed);
            request = request.header(HeaderName::from_static(SESSION), session);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = self.net.stream(request).await;
        self.note(match &answer {
            Ok(answer) => Got::Status(answer.status.as_u16()),
            Err(error) if is_silence(error) => Got::Silence,
            Err(_) => Got::Nothing,
        });
        let answer = answer.map_err(|error| Failure::Client(error.into()))?;
        Ok(Heard { answer, secrets })
    }
}

/// Returns the events of an answer.
fn events(Heard { answer, secrets }: Heard) -> BoxStream<'static, Result<Sse, SseError>> {
    let pieces = answer.into_stream().map(|piece| piece.map_err(std::io::Error::other));
    let calm = move |mut event: Sse| {
        event.retry = event.retry.map(|wait| wait.max(SOONEST));
        event.data = event.data.map(|data| match read(data.as_bytes(), &secrets) {
            Some(value) => value.to_string(),
            None => String::from_utf8_lossy(&scrub_body(data.as_bytes(), &secrets)).into_owned(),
        });
        event
    };
    SseStream::from_bytes_stream(pieces).map(move |event| event.map(&calm)).boxed()
}

/// Parses a message. The credential that was sent is removed from it in whatever spelling, and no number of a result is
/// rounded. `None` if it is not JSON.
fn read(bytes: &[u8], secrets: &[SecretString]) -> Option<Value> {
    const RESULT: &str = "/result/structuredContent";
    let text = written::whole_letters(std::str::from_utf8(bytes).ok()?);
    let mut value: Value = serde_json::from_str(&text).ok()?;
    if let Some(result) = value.pointer_mut(RESULT)
        && let Some(exact) = written::part(&text, RESULT.trim_start_matches('/')).and_then(written::kept)
    {
        *result = exact;
    }
    scrub(&mut value, secrets);
    Some(value)
}

async fn whole(mut answer: Streaming) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| Failure::Client(error.into()))? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn is(answer: &Streaming, media: &str) -> bool {
    let kind =
        answer.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media)
}

/// Returns the id of the first request of the newer protocol, which servers of the older one do not know.
fn discovers(message: &ClientJsonRpcMessage) -> Option<RequestId> {
    let ClientJsonRpcMessage::Request(request) = message else { return None };
    matches!(request.request, ClientRequest::DiscoverRequest(_)).then(|| request.id.clone())
}

/// Returns true for a tool call. It must not be sent twice by code that does not know what the tool does.
const fn is_call(message: &ClientJsonRpcMessage) -> bool {
    let ClientJsonRpcMessage::Request(request) = message else { return false };
    matches!(request.request, ClientRequest::CallToolRequest(_))
}

/// Returns true for an answer with the id of this request. Some servers write a number as a string.
fn is_own(id: &RequestId, value: &Value) -> bool {
    match (value.get("id"), id) {
        (Some(Value::Number(found)), RequestId::Number(own)) => found.as_i64() == Some(*own),
        (Some(Value::String(found)), RequestId::Number(own)) => *found == own.to_string(),
        (Some(Value::String(found)), RequestId::String(own)) => **found == **own,
        _ => false,
    }
}

/// Reads the body of an HTTP answer as the answer to the request with this id.
///
/// WHY: it can belong to no other request. A server that could not read a request refuses it under no id or one of its
/// own; rmcp would drop that and wait for another answer.
fn told(id: &RequestId, mut value: Value) -> Result<ServerJsonRpcMessage, Failure> {
    let unusable = |why| Failure::Client(WireError::Unusable(why));
    if !is_own(id, &value) && value.get("error").is_none() {
        return Err(unusable("belongs to another call"));
    }
    let members = value.as_object_mut().ok_or_else(|| unusable("is no MCP"))?;
    members.insert("id".to_owned(), id.clone().into_json_value());
    serde_json::from_value(value).map_err(|_| unusable("is no MCP"))
}

/// The complete answer to a request.
struct Whole<'a> {
    id: &'a RequestId,
    is_call: bool,
    has_session: bool,
    spoken: Spoken,
    status: StatusCode,
    is_json: bool,
    bytes: &'a [u8],
    secrets: &'a [SecretString],
    after: Option<Duration>,
}

impl Whole<'_> {
    fn message(self) -> Result<ServerJsonRpcMessage, Failure> {
        let unusable = |why| Failure::Client(WireError::Unusable(why));
        let is_empty = self.bytes.iter().all(u8::is_ascii_whitespace);
        let value = read(self.bytes, self.secrets);
        if self.status.is_success() {
            return match value {
                Some(value) if self.is_json => told(self.id, value),
                _ if is_empty => Err(unusable("is empty")),
                Some(_) => Err(unusable("is of a kind that no answer has")),
                None => Err(unusable("is no JSON")),
            };
        }
        let own = value.as_ref().is_some_and(|value| is_own(self.id, value));
        let error = value.as_ref().and_then(|value| value.get("error"));
        let code = error.and_then(|error| error.get("code")?.as_i64());
        // An answer under this request's own id counts. But an error with a code of the server's own, under a status
        // that says that the request was not accepted, means only the status.
        let refusal = |code| is_refusal(ErrorCode(code), self.spoken);
        let speaks = error.is_none()
            || !self.is_call
            || !self.status.is_client_error()
            || code.and_then(|code| i32::try_from(code).ok()).is_some_and(refusal);
        let said = error.and_then(|error| error.get("message")?.as_str());
        let said = said.map(|said| said.chars().take(SAID).collect());
        let is_plain = is_empty || error.is_some();
        match value {
            Some(value) if own && speaks => told(self.id, value),
            _ => Err(Failure::Client(WireError::Status(Refusal {
                status: self.status.as_u16(),
                is_lost: self.has_session
                    && match self.status {
                        StatusCode::NOT_FOUND => true,
                        StatusCode::BAD_REQUEST => code.is_some() && !own,
                        _ => false,
                    },
                said,
                is_plain,
                after: self.after,
            }))),
        }
    }
}

/// Returns the refusal of that first request, under its own id. Servers of the older protocol answer with an id of
/// their own, or with no JSON at all, because to them it is a request without a session. The SDK then uses the older
/// handshake.
fn not_known(id: RequestId, status: StatusCode, body: &[u8]) -> ServerJsonRpcMessage {
    let error = match serde_json::from_slice(body) {
        Ok(ServerJsonRpcMessage::Error(answer)) => answer.error,
        _ => ErrorData::invalid_request(format!("HTTP status {}", status.as_u16()), None),
    };
    ServerJsonRpcMessage::error(error, Some(id))
}

impl StreamableHttpClient for Wire {
    type Error = WireError;

    async fn post_message(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let id = match &message {
            ClientJsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let (is_call, has_session) = (is_call(&message), session.is_some());
        let discovers = discovers(&message).filter(|_| !has_session);
        // WHY a `HeaderName`: the map cannot be searched by a string.
        let version = headers.get(&HeaderName::from_static(VERSION));
        let spoken = Spoken::of(version.and_then(|version| version.to_str().ok()));
        let body = serde_json::to_vec(&message).map_err(Failure::Deserialize)?;
        let heard = self.send(Method::POST, body, session.as_deref(), headers).await?;
        let (status, is_json) = (heard.answer.status, is(&heard.answer, "application/json"));
        let header = |name: HeaderName| heard.answer.headers.get(name)?.to_str().ok().map(str::to_owned);
        let new_session = header(HeaderName::from_static(SESSION));
        let after = header(header::RETRY_AFTER).and_then(|value| after(&value, self.clock.now()));
        if let Some(refused) = challenge(&heard.answer) {
            return Err(refused);
        }
        // WHY not for a call: rmcp would begin a new session and send the message again, and whether a call may be
        // repeated is not its decision.
        if status == StatusCode::NOT_FOUND && has_session && !is_call {
            return Err(Failure::SessionExpired);
        }
        if status.is_success() && is(&heard.answer, "text/event-stream") {
            return Ok(StreamableHttpPostResponse::Sse(events(heard), new_session));
        }
        if id.is_none() && status.is_success() {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let Heard { answer, secrets } = heard;
        let bytes = whole(answer).await?;
        if let Some(id) = discovers.filter(|_| status.is_client_error()) {
            return Ok(StreamableHttpPostResponse::Json(not_known(id, status, &bytes), None));
        }
        let Some(id) = &id else {
            let status = format!("HTTP status {}", status.as_u16());
            return Err(Failure::UnexpectedServerResponse(Cow::Owned(status)));
        };
        let (bytes, secrets) = (bytes.as_slice(), &*secrets);
        let answer = Whole { id, is_call, has_session, spoken, status, is_json, bytes, secrets, after };
        answer.message().map(|message| StreamableHttpPostResponse::Json(message, new_session))
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let Heard { answer, .. } = self.send(Method::DELETE, Vec::new(), Some(&session), headers).await?;
        match answer.status {
            status if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED => Ok(()),
            status => {
                Err(Failure::UnexpectedServerResponse(Cow::Owned(format!("HTTP status {}", status.as_u16()))))
            }
        }
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        _: Option<String>,
        mut headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        if last_event.is_none() && self.ears == Ears::Closed {
            return Err(Failure::ServerDoesNotSupportSse);
        }
        if let Some(last) = last_event.and_then(|last| HeaderValue::from_str(&last).ok()) {
            headers.insert(HeaderName::from_static(LAST_EVENT), last);
        }
        let heard = self.send(Method::GET, Vec::new(), session.as_deref(), headers).await?;
        let answer = &heard.answer;
        match answer.status {
            StatusCode::METHOD_NOT_ALLOWED => Err(Failure::ServerDoesNotSupportSse),
            status if status.is_success() && is(answer, "text/event-stream") => Ok(events(heard)),
            status => Err(challenge(answer).unwrap_or_else(|| {
                Failure::UnexpectedServerResponse(Cow::Owned(format!("HTTP status {}", status.as_u16())))
            })),
        }
    }
}

//! rmcp's client over our own outbound HTTP: address guard, limits and deadlines hold for upstreams as well.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cardea_core::{secret::ExposeSecret, time::Millis};
use cardea_net::{Egress, Net, NetError, Request, Streaming, Target};
use futures::{StreamExt, stream::BoxStream};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, ErrorData, RequestId, ServerJsonRpcMessage},
    service::ServiceError,
    transport::streamable_http_client::{
        AuthRequiredError, SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::{Sse, SseStream};

use super::grant::Token;

const SESSION: &str = "mcp-session-id";
const LAST_EVENT: &str = "last-event-id";
/// The shortest wait before a stream is asked for again, in milliseconds, whatever its server says.
const SOONEST: u64 = 1_000;
const ACCEPT: &str = "application/json, text/event-stream";

/// Why a message did not go through.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The network said so.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No credential could be made.
    #[error("no credential: {0}")]
    Credential(cardea_core::Error),
}

impl WireError {
    fn may_have_arrived(&self) -> bool {
        match self {
            Self::Net(error) => error.may_have_been_sent(),
            Self::Credential(_) => false,
        }
    }
}

/// Nobody answered: no connection, one that broke off, time that ran out, or a host that is left alone for a while.
const fn is_silence(error: &NetError) -> bool {
    matches!(error, NetError::NotSent { .. } | NetError::MaybeSent { .. } | NetError::Busy { .. })
}

/// True if the message may have reached the upstream before the error.
pub(super) fn may_have_arrived(error: &ServiceError) -> bool {
    let ServiceError::TransportSend(sent) = error else { return true };
    match sent.error.downcast_ref::<StreamableHttpError<WireError>>() {
        Some(StreamableHttpError::Client(error)) => error.may_have_arrived(),
        Some(StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_)) => false,
        _ => true,
    }
}

/// The connection of one caller to one upstream.
#[derive(Clone)]
pub(super) struct Wire {
    net: Net,
    /// The one place to which everything goes.
    target: Target,
    token: Token,
    egress: Egress,
    timeout: Millis,
    max_body: usize,
    /// WHY: rmcp tells of a failed handshake in words only, and whether anybody answered is another code.
    unanswered: Arc<AtomicBool>,
}

type Failure = StreamableHttpError<WireError>;

impl Wire {
    /// A connection whose answers may have this many bytes, and take this long.
    pub(super) fn new(
        (net, target): (Net, Target),
        token: Token,
        (timeout, max_body): (Millis, usize),
    ) -> Self {
        // WHY: the operator wrote the address into the configuration; redirects are not followed.
        Self { net, target, token, egress: Egress::any(), timeout, max_body, unanswered: Arc::default() }
    }

    /// True while the newest message of this connection got no answer.
    pub(super) fn unanswered(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.unanswered)
    }

    async fn send(
        &self,
        method: Method,
        body: Vec<u8>,
        session: Option<&str>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Streaming, Failure> {
        let request = Request::to(method, self.target.clone(), self.egress.clone());
        let token = self.token.get().await.map_err(|error| Failure::Client(WireError::Credential(error)))?;
        let mut request = request
            .header(header::ACCEPT, HeaderValue::from_static(ACCEPT))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(self.timeout.duration())
            .max_body(self.max_body)
            .body(body);
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
            let mut bearer = bearer.map_err(|_| {
                Failure::UnexpectedServerResponse(Cow::Borrowed("the credential is not a header value"))
            })?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(session) = session.and_then(|session| HeaderValue::from_str(session).ok()) {
            request = request.header(HeaderName::from_static(SESSION), session);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = self.net.stream(request).await;
        self.unanswered.store(answer.as_ref().is_err_and(is_silence), Ordering::Relaxed);
        answer.map_err(|error| Failure::Client(error.into()))
    }
}

/// The events of an answer.
fn events(answer: Streaming) -> BoxStream<'static, Result<Sse, SseError>> {
    let pieces = answer.into_stream().map(|piece| piece.map_err(std::io::Error::other));
    let calm = |mut event: Sse| {
        event.retry = event.retry.map(|wait| wait.max(SOONEST));
        event
    };
    SseStream::from_bytes_stream(pieces).map(move |event| event.map(calm)).boxed()
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

fn challenge(answer: &Streaming) -> Failure {
    let header = answer
        .headers
        .get(header::WWW_AUTHENTICATE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    StreamableHttpError::AuthRequired(AuthRequiredError::new(header.to_owned()))
}

/// The id of the first question of the newer wire, which servers of the older one do not know.
fn discovers(message: &ClientJsonRpcMessage) -> Option<RequestId> {
    let ClientJsonRpcMessage::Request(request) = message else { return None };
    matches!(request.request, ClientRequest::DiscoverRequest(_)).then(|| request.id.clone())
}

/// The refusal of that question, under its own id. Servers of the older wire answer with an id of theirs, or with no
/// JSON at all, since to them it is a request without a session; the SDK then goes on the older way.
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
        let is_request = matches!(message, ClientJsonRpcMessage::Request(_));
        let discovers = discovers(&message).filter(|_| session.is_none());
        let body = serde_json::to_vec(&message).map_err(Failure::Deserialize)?;
        let answer = self.send(Method::POST, body, session.as_deref(), headers).await?;
        let status = answer.status;
        let new_session =
            answer.headers.get(SESSION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(challenge(&answer));
        }
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(Failure::SessionExpired);
        }
        if status.is_success() && is(&answer, "text/event-stream") {
            return Ok(StreamableHttpPostResponse::Sse(events(answer), new_session));
        }
        if !is_request && status.is_success() {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let json = is(&answer, "application/json");
        let bytes = whole(answer).await?;
        if let Some(id) = discovers.filter(|_| status.is_client_error()) {
            return Ok(StreamableHttpPostResponse::Json(not_known(id, status, &bytes), None));
        }
        if !json {
            return Err(Failure::UnexpectedServerResponse(Cow::Owned(format!(
                "HTTP status {}",
                status.as_u16()
            ))));
        }
        let message: ServerJsonRpcMessage = serde_json::from_slice(&bytes)?;
        Ok(StreamableHttpPostResponse::Json(message, new_session))
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let answer = self.send(Method::DELETE, Vec::new(), Some(&session), headers).await?;
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
        if let Some(last) = last_event.and_then(|last| HeaderValue::from_str(&last).ok()) {
            headers.insert(HeaderName::from_static(LAST_EVENT), last);
        }
        let answer = self.send(Method::GET, Vec::new(), session.as_deref(), headers).await?;
        match answer.status {
            StatusCode::METHOD_NOT_ALLOWED => Err(Failure::ServerDoesNotSupportSse),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(challenge(&answer)),
            status if status.is_success() && is(&answer, "text/event-stream") => Ok(events(answer)),
            status => {
                Err(Failure::UnexpectedServerResponse(Cow::Owned(format!("HTTP status {}", status.as_u16()))))
            }
        }
    }
}

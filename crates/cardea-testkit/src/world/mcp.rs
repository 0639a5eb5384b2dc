//! rmcp's own client against `/mcp`; only the HTTP below it is the test's.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use cardea_net::{NetError, Streaming};
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use rmcp::{
    RoleClient,
    model::{ClientConfig, ClientJsonRpcMessage, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt as _, RunningService},
    transport::streamable_http_client::{
        AuthRequiredError, SseError, StreamableHttpClient, StreamableHttpClientTransport,
        StreamableHttpClientTransportConfig, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::Sse;

use super::wire::{Wire, headers};

/// A connected MCP client.
pub type McpClient = RunningService<RoleClient, ClientConfig>;

type Failure = StreamableHttpError<NetError>;

#[derive(Clone)]
struct Post {
    wire: Wire,
    token: Option<String>,
}

pub(super) async fn connect(wire: &Wire, token: Option<&str>, older: bool) -> Result<McpClient, String> {
    let post = Post { wire: wire.clone(), token: token.map(str::to_owned) };
    let config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", wire.base));
    let transport = StreamableHttpClientTransport::with_client(post, config);
    let lifecycle = if older {
        ClientLifecycleMode::Initialize
    } else {
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::LATEST] }
    };
    let connected = ClientConfig::default().serve_with_lifecycle(transport, lifecycle).await;
    connected.map_err(|error| format!("{error:?}"))
}

async fn whole(mut answer: Streaming) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(Failure::Client)? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

impl StreamableHttpClient for Post {
    type Error = NetError;

    async fn post_message(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        more: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        assert!(session.is_none(), "Cardea keeps no sessions");
        let is_request = matches!(message, ClientJsonRpcMessage::Request(_));
        let body = serde_json::to_vec(&message).map_err(Failure::Deserialize)?;
        let mut all: HeaderMap = headers(self.token.as_deref(), &[]);
        all.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        all.extend(more);
        let answer = self.wire.open(Method::POST, "/mcp", all, body).await.map_err(Failure::Client)?;
        if matches!(answer.status.as_u16(), 401 | 403) {
            let told = answer.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            return Err(Failure::AuthRequired(AuthRequiredError::new(told.unwrap_or_default().to_owned())));
        }
        let (status, bytes) = (answer.status, whole(answer).await?);
        if !is_request && status.is_success() {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let message = serde_json::from_slice(&bytes).map_err(|_| {
            let text = String::from_utf8_lossy(&bytes);
            Failure::UnexpectedServerResponse(Cow::Owned(format!("{status}: {text}")))
        })?;
        Ok(StreamableHttpPostResponse::Json(message, None))
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        _: Arc<str>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        Err(Failure::ServerDoesNotSupportSse)
    }
}

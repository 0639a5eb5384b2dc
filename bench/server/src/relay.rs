//! Tool calls handed on by the official MCP SDK alone, server to client: the least that a gateway made of it can cost.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use axum::Router;
use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::{
    ErrorData, RoleClient, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, ClientJsonRpcMessage, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::{RequestContext, RunningService},
    transport::{
        streamable_http_client::{
            SseError, StreamableHttpClient, StreamableHttpClientTransport,
            StreamableHttpClientTransportConfig, StreamableHttpError, StreamableHttpPostResponse,
        },
        streamable_http_server::{
            StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
        },
    },
};
use sse_stream::Sse;

use crate::Result;

/// `/mcp` before this tool server.
pub(crate) async fn routes(client: reqwest::Client, tools: &str) -> Result<Router> {
    let config = StreamableHttpClientTransportConfig::with_uri(tools);
    let upstream = ().serve(StreamableHttpClientTransport::with_client(Plain(client), config)).await?;
    let relay = Relay(Arc::new(upstream));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts();
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(relay.clone()), sessions, config);
    Ok(Router::new().nest_service("/mcp", service))
}

#[derive(Clone)]
struct Relay(Arc<RunningService<RoleClient, ()>>);

fn broken(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

impl ServerHandler for Relay {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        asked: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ListToolsResult, ErrorData> {
        self.0.list_tools(asked).await.map_err(broken)
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        self.0.call_tool_once(call).await.map_err(broken)
    }
}

/// The SDK's client over reqwest, as far as calls need it.
#[derive(Clone)]
struct Plain(reqwest::Client);

type Failure = StreamableHttpError<reqwest::Error>;

impl StreamableHttpClient for Plain {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> std::result::Result<StreamableHttpPostResponse, Failure> {
        let is_request = matches!(message, ClientJsonRpcMessage::Request(_));
        let mut request =
            self.0.post(&*uri).header("accept", "application/json, text/event-stream").json(&message);
        if let Some(session) = session {
            request = request.header("mcp-session-id", &*session);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(Failure::Client)?;
        if !is_request && answer.status().is_success() {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let session = answer.headers().get("mcp-session-id").and_then(|value| value.to_str().ok());
        let session = session.map(str::to_owned);
        let bytes = answer.bytes().await.map_err(Failure::Client)?;
        Ok(StreamableHttpPostResponse::Json(serde_json::from_slice(&bytes)?, session))
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        _: Arc<str>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> std::result::Result<(), Failure> {
        Ok(())
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> std::result::Result<BoxStream<'static, std::result::Result<Sse, SseError>>, Failure> {
        Err(Failure::UnexpectedServerResponse(Cow::Borrowed("calls need no stream")))
    }
}

//! An in-process client for tests that covers the whole path: gate, protocol, guards, layers, handler. Only the
//! network is left out. The test says who the caller is ([`TestClient::as_user`]), or sends a token or key that the
//! server must verify ([`TestClient::with_token`], [`TestClient::with_key`]).

use std::sync::Arc;

use axum::{Router, body::Body};
use cardea_core::{
    id::{ClientId, RequestId, TenantId},
    principal::{Principal, Proof},
    time::Millis,
};
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use rmcp::model::CallToolResult;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    ERROR_META, Server, Service, StartError,
    identity::{Identity, Who},
};

/// A client in the same process as the server.
#[derive(Clone)]
pub struct TestClient {
    service: Service,
    routes: Router,
    caller: Caller,
}

#[derive(Clone)]
enum Caller {
    Nobody,
    /// The test vouches for the caller.
    Vouched(Box<Principal>),
    /// The server verifies the credential: header and value.
    Shows(HeaderName, String),
}

/// Result of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Called {
    /// The tool's result.
    Done(CallToolResult),
    /// An error result of the tool, with its code and text.
    Failed {
        /// The code, or `tool_error` if the tool made the result by hand.
        code: String,
        /// What models and people read.
        text: String,
        /// Retry delay, if the error gives one.
        retry_after: Option<Millis>,
    },
    /// The request did not reach a tool: HTTP status and body.
    Refused {
        /// The status.
        status: StatusCode,
        /// The body, if it was JSON.
        body: Value,
    },
}

impl TestClient {
    /// Builds the server. The caller is anonymous.
    ///
    /// # Errors
    /// What would keep the server from starting.
    pub fn new(server: Server) -> Result<Self, StartError> {
        let service = server.build()?;
        Ok(Self { routes: service.routes(), service, caller: Caller::Nobody })
    }

    /// Sets the caller to this user of tenant `default`, without roles and scopes.
    #[must_use]
    pub fn as_user(self, user: &str) -> Self {
        self.as_principal(Principal::new("default", user, "test", Proof::Embedded))
    }

    /// Sets the caller to exactly this principal.
    #[must_use]
    pub fn as_principal(mut self, caller: Principal) -> Self {
        self.caller = Caller::Vouched(Box::new(caller));
        self
    }

    /// Sends this token (`Authorization: Bearer`), which the server verifies.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.caller = Caller::Shows(header::AUTHORIZATION, format!("Bearer {token}"));
        self
    }

    /// Sends this API key (`X-API-Key`), which the server verifies.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.caller = Caller::Shows(HeaderName::from_static("x-api-key"), key.to_owned());
        self
    }

    /// Changes the caller. Not possible with a token or key, which determines the caller.
    fn change(mut self, change: impl FnOnce(&mut Principal)) -> Self {
        if matches!(self.caller, Caller::Nobody) {
            self = self.as_user("somebody");
        }
        if let Caller::Vouched(caller) = &mut self.caller {
            change(caller);
        }
        self
    }

    /// Gives the caller a role.
    #[must_use]
    pub fn role(self, role: &str) -> Self {
        self.change(|caller| caller.roles.extend([role.to_owned()]))
    }

    /// Gives the caller a scope.
    #[must_use]
    pub fn scope(self, scope: &str) -> Self {
        self.change(|caller| caller.scopes.extend([scope.to_owned()]))
    }

    /// Moves the caller to a tenant.
    #[must_use]
    pub fn tenant(self, tenant: &str) -> Self {
        self.change(|caller| caller.tenant = TenantId::from(tenant))
    }

    /// Sets the client that the caller uses.
    #[must_use]
    pub fn client(self, client: &str) -> Self {
        self.change(|caller| caller.client = Some(ClientId::from(client)))
    }

    /// Returns the server.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Returns the names of the tools that the caller sees.
    pub async fn list(&self) -> Vec<String> {
        let (_, body) = self.post("tools/list", None, json!({})).await;
        let tools = body.pointer("/result/tools").and_then(Value::as_array).cloned().unwrap_or_default();
        tools.iter().filter_map(|tool| tool.get("name")?.as_str().map(str::to_owned)).collect()
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Called {
        let (status, body) =
            self.post("tools/call", Some(tool), json!({ "name": tool, "arguments": arguments })).await;
        let result = body
            .get("result")
            .cloned()
            .and_then(|result| serde_json::from_value::<CallToolResult>(result).ok());
        match result {
            Some(result) if result.is_error == Some(true) => failed(&result),
            Some(result) => Called::Done(result),
            None => Called::Refused { status, body },
        }
    }

    /// Sends one JSON-RPC request on the 2026-07-28 wire, and returns status and body.
    pub async fn post(&self, method: &str, name: Option<&str>, mut params: Value) -> (StatusCode, Value) {
        if let Some(params) = params.as_object_mut() {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
                "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
            });
            params.entry("_meta").or_insert(meta);
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let mut request = Request::post("/mcp")
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        let Ok(request) = request.body(Body::from(body)) else {
            return (StatusCode::BAD_REQUEST, Value::Null);
        };
        self.send(request).await
    }

    /// Sends any HTTP request as the caller.
    pub async fn send(&self, mut request: Request<Body>) -> (StatusCode, Value) {
        match &self.caller {
            Caller::Nobody => {}
            Caller::Vouched(caller) => {
                let who = Some(Who::Vouched(Arc::new((**caller).clone())));
                let identity = Identity { who, request: Some(RequestId::random()), ..Default::default() };
                request.extensions_mut().insert(identity);
            }
            Caller::Shows(name, value) => {
                let Ok(value) = HeaderValue::from_str(value) else {
                    return (StatusCode::BAD_REQUEST, Value::String("not a header's value".to_owned()));
                };
                request.headers_mut().insert(name, value);
            }
        }
        let Ok(response) = self.routes.clone().oneshot(request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        (
            status,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        )
    }
}

fn failed(result: &CallToolResult) -> Called {
    let facts = result.meta.as_ref().and_then(|meta| meta.0.get(ERROR_META));
    let code = facts.and_then(|facts| facts.get("code")?.as_str()).unwrap_or("tool_error").to_owned();
    let text =
        result.content.iter().filter_map(|block| block.as_text().map(|text| text.text.clone())).collect();
    let retry_after = facts.and_then(|facts| facts.get("retryAfterMs")?.as_u64()).map(Millis);
    Called::Failed { code, text, retry_after }
}

impl Called {
    /// Returns the structured result, or the text as a JSON string. `None` if there is no result.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        let Self::Done(result) = self else { return None };
        if let Some(value) = &result.structured_content {
            return Some(value.clone());
        }
        let text = result.content.first()?.as_text()?;
        Some(serde_json::from_str(&text.text).unwrap_or_else(|_| Value::String(text.text.clone())))
    }

    /// Returns how it ended: `done`, or the error's code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Done(_) => "done",
            Self::Failed { code, .. } => code,
            Self::Refused { body, .. } => body.get("error").and_then(Value::as_str).unwrap_or("refused"),
        }
    }
}

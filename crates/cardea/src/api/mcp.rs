//! `/mcp`: the tools of all upstreams as one MCP server, in both protocol versions (2026-07-28 and 2025-11-25), on
//! rmcp.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, StatusCode, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Retry,
    time::Millis,
    tool::{Effect, Outcome, ToolCall, ToolSpec},
    written,
};
use cardea_store::jobs::Stage;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode,
        Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
        ToolAnnotations,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};

use super::{
    Problem, Shape,
    extract::{self, Outside, credentials},
    host::addressed_to_us,
};
use crate::{
    app::App,
    flow::{self, CallReply, CallRequest},
    observe::Trace,
    once::sound_key,
};

/// The member of `_meta` in which a client may send its idempotency key.
const KEY: &str = "dev.cardea/idempotency-key";

/// Builds the route and the check in front of it.
pub(super) fn routes(app: App) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_max_request_body_bytes(app.config.server.max_body.len())
        .with_cancellation_token(app.jobs.token(Stage::Upkeep)) // running calls are answered first
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // `origin::pages` and `addressed_to_us` check origins and hosts.
        .disable_allowed_origins()
        .disable_allowed_hosts();
    let handler = Handler { app: app.clone() };
    let service = StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let limit = DefaultBodyLimit::max(app.config.server.max_body.len());
    let door = middleware::from_fn_with_state(app, signed_in);
    Router::new().nest_service("/mcp", service).layer(door).layer(limit)
}

/// Authenticates a client. One that reached this server under a foreign name is refused; one without a valid credential
/// gets the challenge that tells it where to sign in (RFC 9728 section 5.1).
///
/// This happens in HTTP, before JSON-RPC begins. The caller reaches the handlers in the request's extensions, because
/// rmcp offers no other way.
async fn signed_in(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let trace = parts.extensions.get::<Trace>().cloned().unwrap_or_default();
    if let Err(error) = addressed_to_us(&app, &parts) {
        return Problem::new(error, trace.request(), Shape::Problem).into_response();
    }
    let entered = match credentials(&app, &parts) {
        Ok(credentials) => flow::enter(&app, &credentials, &trace).await,
        Err(error) => Err(error),
    };
    match entered {
        Ok(caller) => {
            parts.extensions.insert(caller.clone());
            if parts.method != Method::POST {
                return next.run(Request::from_parts(parts, body)).await;
            }
            match told(&app, &caller, (parts, body), next).await {
                Ok(answer) => answer,
                Err(problem) => problem.into_response(),
            }
        }
        Err(error) => refused(&app, error, &trace),
    }
}

/// Passes a message on. A body that is no message is answered with a JSON-RPC 2.0 error (section 5.1) and status 400,
/// as the transport demands (2025-11-25, "Sending Messages to the Server").
async fn told(
    app: &App,
    caller: &Caller,
    (mut parts, body): (Parts, Body),
    next: Next,
) -> Result<Response, Problem> {
    let outside = Outside::read(&parts);
    let body = extract::read(Request::from_parts(parts.clone(), body), app, caller, &outside).await?;
    if let Err(error) = extract::check(&body, usize::from(app.config.server.max_depth)) {
        outside.trace.note(|event| event.failed(&error));
        return Ok(no_message(ErrorCode::INVALID_REQUEST, &error.public()));
    }
    // WHY: the SDK parses numbers into machine types, and their lost digits must not show only in the effect of the
    // call.
    let written = std::str::from_utf8(&body).ok().and_then(|text| written::part(text, "params/arguments"));
    if let Some(written) = written {
        parts.extensions.insert(Arguments(written.to_owned()));
    }
    let trace = outside.trace.clone();
    let answer = next.run(Request::from_parts(parts, Body::from(body.clone()))).await;
    // The SDK's answer to anything it cannot read.
    if answer.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return Ok(answer);
    }
    trace.note(|event| event.failed(&Code::BadRequest.into()));
    Ok(match serde_json::from_slice::<Value>(&body) {
        Err(error) => no_message(ErrorCode::PARSE_ERROR, &format!("The body is no JSON: {error}.")),
        Ok(Value::Array(_)) => {
            no_message(ErrorCode::INVALID_REQUEST, "Send one message at a time, and no batch.")
        }
        Ok(_) => no_message(ErrorCode::INVALID_REQUEST, "The body is no JSON-RPC message of MCP."),
    })
}

/// Makes the error answer to a message without an id.
fn no_message(code: ErrorCode, message: &str) -> Response {
    let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code.0, "message": message } });
    (StatusCode::BAD_REQUEST, Json(error)).into_response()
}

fn refused(app: &App, error: Error, trace: &Trace) -> Response<Body> {
    let challenge = app.challenge(&error).header();
    Problem::new(error, trace.request(), Shape::Problem).challenge(challenge).into_response()
}

/// The arguments of a call as the client wrote them, for the handler.
#[derive(Debug, Clone)]
struct Arguments(String);

#[derive(Clone)]
struct Handler {
    app: App,
}

/// Returns the caller who was authenticated.
fn caller(context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
    let caller = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Caller>());
    caller.cloned().ok_or_else(|| fault(&Error::new(Code::NotSignedIn)))
}

/// Returns the trace of the HTTP request that carries the call.
fn trace(context: &RequestContext<RoleServer>) -> Trace {
    let parts = context.extensions.get::<Parts>();
    parts.and_then(|parts| parts.extensions.get::<Trace>()).cloned().unwrap_or_default()
}

/// Returns the client's idempotency key, from `_meta` or the header.
fn idempotency_key(context: &RequestContext<RoleServer>) -> Result<Option<String>, Error> {
    // By now the SDK has moved `_meta` out of the request.
    if let Some(key) = context.meta.get(KEY) {
        return sound_key(key.as_str(), &format!("`{KEY}` in `_meta`")).map(Some);
    }
    context.extensions.get::<Parts>().map_or(Ok(None), |parts| extract::idempotency_key(&parts.headers))
}

/// Returns the arguments of the call as the client wrote them.
fn arguments(context: &RequestContext<RoleServer>) -> Option<String> {
    let parts = context.extensions.get::<Parts>()?;
    parts.extensions.get::<Arguments>().map(|arguments| arguments.0.clone())
}

/// For errors that are neither the client's mistake nor Cardea's, in the range that JSON-RPC 2.0 (section 5.1) leaves
/// to servers.
const REFUSED: ErrorCode = ErrorCode(-32_000);

/// Converts an error to a JSON-RPC error.
fn fault(error: &Error) -> ErrorData {
    let code = match error.code() {
        Code::NotFound | Code::InvalidArguments | Code::BadRequest => ErrorCode::INVALID_PARAMS,
        Code::Internal | Code::Misconfigured => ErrorCode::INTERNAL_ERROR,
        _ => REFUSED,
    };
    let after = error.retry_hint().filter(|_| error.retry() == Retry::After).map(Millis::secs_up);
    let mut data = json!({ "code": error.code().name(), "retry_after_s": after });
    if let (Some((turn, _)), Some(data)) = (error.turn(), data.as_object_mut()) {
        data.insert("turn".into(), json!(turn)); // at /api/v1/turns/ID
    }
    ErrorData::new(code, error.public(), Some(data))
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("cardea", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let specs = flow::tools(&self.app, &caller(&context)?);
        let mut result = ListToolsResult::with_all_items(specs.iter().map(tool).collect());
        // The list depends on the caller.
        result.cache_scope = Some(CacheScope::Private);
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (caller, trace) = (caller(&context)?, trace(&context));
        let told = |error: Error| {
            trace.note(|event| event.failed(&error));
            fault(&error)
        };
        let key = idempotency_key(&context).map_err(told)?;
        let call = ToolCall {
            id: format!("mcp-{:032x}", cardea_core::id::random_bits()),
            name: request.name.into_owned(),
            arguments: request.arguments.unwrap_or_default(),
            written: arguments(&context),
        };
        let asked = flow::Request { caller, trace: trace.clone() };
        // WHY a task of its own: a client that disconnects must not stop an action half way.
        let call = |app| async move { flow::call(&app, &asked, CallRequest { call, key }).await };
        let coming = flow::begin(&self.app, "mcp call", call);
        let reply =
            coming.await.map_err(|_| told(flow::wordless(&self.app)))?.map_err(|error| fault(&error))?;
        Ok(CallToolResponse::Complete(answer_of(reply)))
    }
}

fn answer_of(reply: CallReply) -> CallToolResult {
    match reply {
        CallReply::Ended(Outcome::Done { result }) => {
            let mut answer = CallToolResult::success(vec![ContentBlock::text(words(&result))]);
            answer.structured_content = result.is_object().then_some(result);
            answer
        }
        CallReply::Ended(Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. }) => {
            CallToolResult::error(vec![ContentBlock::text(reason)])
        }
        CallReply::Waiting { approval, turn } => {
            let text = format!(
                "This call waits for a person's approval ({approval}). It runs by itself once it is approved; \
                 the result will be at /api/v1/turns/{turn}."
            );
            let mut answer = CallToolResult::error(vec![ContentBlock::text(text)]);
            answer.structured_content =
                Some(json!({ "approval": approval, "turn": turn, "status": "waiting" }));
            answer
        }
    }
}

fn words(result: &Value) -> String {
    match result {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn tool(spec: &ToolSpec) -> Tool {
    let schema = spec.input_schema.as_object().cloned().unwrap_or_default();
    let annotations = ToolAnnotations::new()
        .read_only(spec.effect == Effect::Read)
        .destructive(spec.effect == Effect::Destructive)
        .idempotent(spec.idempotent)
        .open_world(spec.sends_outside);
    Tool::new(Cow::Owned(spec.name.to_string()), Cow::Owned(spec.description.clone()), Arc::new(schema))
        .with_annotations(annotations)
}

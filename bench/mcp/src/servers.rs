//! The servers that are compared: one trivial tool on bare rmcp and on cardea-mcp, and the thirty tools of the example.

use std::{error::Error, io::Write as _, path::Path, sync::Arc};

use axum::serve::ListenerExt as _;
use cardea_core::{
    secret::ExposeSecret as _,
    time::{Clock as _, SystemClock},
};
use cardea_mcp::{
    Args, Audit, Layers, Millis, Result as Answer, SecretString, Server, Tool,
    auth::{Claims, IssuerConfig, Lifetime, Signer},
    guard::HasRole,
    layer::Rate,
    schemars::JsonSchema,
};
use clap::ValueEnum;
use customer_ops::Config;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool as WireTool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;
use tokio::net::TcpListener;

/// How many clients have a token.
pub(crate) const CLIENTS: usize = 64;
const RESOURCE: &str = "http://127.0.0.1/mcp";

/// A server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The trivial tool on rmcp and axum alone: the floor.
    Bare,
    /// The trivial tool on cardea-mcp, without sign-in and layers.
    Open,
    /// The trivial tool with JWT, role guard, rate limit and durable audit.
    Guarded,
    /// As guarded, without the audit: what the file and its flushes add.
    Unaudited,
    /// The thirty tools of the example, for callers with a token.
    Thirty,
}

/// Says a word back.
#[derive(Deserialize, JsonSchema)]
struct Word {
    /// The word.
    word: String,
}

async fn echo(Args(args): Args<Word>) -> Answer<String> {
    Ok(args.word)
}

/// Serves until the process is ended.
pub(crate) fn serve(kind: Kind, folder: &Path) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", listener.local_addr()?)?;
        let signer = Signer::new("bench", &Signer::new_key()?, Lifetime::Short)?;
        let issuer = IssuerConfig::new("bench", RESOURCE).jwks(signer.jwks().to_string());
        for client in 0..CLIENTS {
            writeln!(out, "{}", token(&signer, client)?)?;
        }
        drop(out);
        let server = match kind {
            Kind::Bare => return bare(listener).await,
            Kind::Open => tools(Server::new("bench", "1")),
            Kind::Guarded => tools(guarded(issuer)).layers(layers().audit(audit(folder)?)),
            Kind::Unaudited => tools(guarded(issuer)).layers(layers()),
            Kind::Thirty => customer_ops::server(Config { trust: vec![issuer], ..Config::default() })?,
        };
        Ok(server.build()?.serve(listener, std::future::pending()).await?)
    })
}

fn tools(server: Server) -> Server {
    server.tool(Tool::new("echo", echo).reads())
}

fn guarded(issuer: IssuerConfig) -> Server {
    Server::new("bench", "1").require_guards().trust(issuer).guard(HasRole::new(["support"]))
}

fn layers() -> Layers {
    Layers::new().rate(Rate::per_user(1_000_000, Millis::from_secs(1)))
}

fn audit(folder: &Path) -> Result<Audit, Box<dyn Error>> {
    let key = SecretString::from("an audit key for this benchmark only".to_owned());
    Ok(Audit::open(folder.join("audit.jsonl"), &key)?)
}

fn token(signer: &Signer, client: usize) -> Result<String, cardea_core::Error> {
    let claims = Claims {
        subject: format!("user{client}").as_str().into(),
        audience: RESOURCE.to_owned(),
        tenant: "default".into(),
        roles: ["support".to_owned()].into(),
        scopes: ["read".to_owned(), "write".to_owned()].into(),
        client: None,
        actors: Vec::new(),
        lifetime: Millis::from_secs(900),
    };
    Ok(signer.sign(&claims, SystemClock.now())?.expose_secret().to_owned())
}

/// The floor: what somebody writes who has only rmcp.
#[derive(Clone)]
struct Bare(Arc<JsonObject>);

impl Bare {
    fn new() -> Self {
        Self(rmcp::handler::server::tool::schema_for_type::<Word>())
    }
}

impl ServerHandler for Bare {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = WireTool::new("echo", "Says a word back.", self.0.clone());
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if call.name != "echo" {
            return Err(ErrorData::invalid_params("There is no such tool.", None));
        }
        let arguments = serde_json::Value::Object(call.arguments.unwrap_or_default());
        let word =
            Word::deserialize(arguments).map_err(|why| ErrorData::invalid_params(why.to_string(), None))?;
        Ok(CallToolResult::success(vec![ContentBlock::text(word.word)]).into())
    }
}

async fn bare(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    let config =
        StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let handler = Bare::new();
    let mcp = StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, axum::Router::new().nest_service("/mcp", mcp)).await?)
}

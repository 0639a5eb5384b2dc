//! The baselines: the same stack with nothing of Cardea in it.
//!
//! A process of its own that takes a completion with axum, reads its JSON, asks the model with reqwest, reads the pieces
//! of the answer and gives them in one; and hands tool calls on from the official MCP server to the official client
//! ([`relay`]). No identity, no policy, no limits, no log. What it costs is what two HTTP exchanges and their formats cost
//! on the machine of the moment, so that the other rows can be read as ratios to it.

use std::{
    env,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Result, installation::Process, neighbours, relay};

/// The word on the command line that makes this program the baseline.
pub(crate) const WORD: &str = "serve-bare";

/// The baseline as a child process. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    /// Starts it before this model and this tool server.
    pub(crate) async fn start(model: SocketAddr, tools: SocketAddr) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args([WORD, &format!("http://{model}/v1/chat/completions"), &format!("http://{tools}/mcp")])
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("the baseline has no output")?;
        let mut lines = BufReader::new(tokio::process::ChildStdout::from_std(out)?).lines();
        let address = lines.next_line().await?.ok_or("the baseline ended at once")?.parse()?;
        Ok(Self { child, address })
    }

    /// Whom to measure and to ask.
    pub(crate) fn process(&self) -> Process<'_> {
        (self.child.id(), (self.address, ""))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Clone)]
struct Way {
    client: reqwest::Client,
    model: String,
}

/// Serves until it is killed; prints where.
pub(crate) async fn serve(model: String, tools: &str) -> Result<()> {
    // Whoever came first installed the same one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let relay = relay::routes(client.clone(), tools).await?;
    let routes = Router::new()
        .route("/v1/chat/completions", post(complete))
        .with_state(Way { client, model })
        .merge(relay);
    println!("{}", neighbours::serve(routes).await?);
    std::future::pending().await
}

async fn complete(
    State(way): State<Way>,
    Json(mut asked): Json<Value>,
) -> std::result::Result<Json<Value>, StatusCode> {
    if let Some(asked) = asked.as_object_mut() {
        asked.insert("stream".to_owned(), true.into());
    }
    let failed = |_| StatusCode::BAD_GATEWAY;
    let answer = way.client.post(&way.model).json(&asked).send().await.map_err(failed)?;
    let pieces = answer.text().await.map_err(failed)?;
    let chunks = pieces.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = chunks.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let text: String = chunks
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/content")?.as_str().map(str::to_owned))
        .collect();
    let message = json!({ "role": "assistant", "content": text });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    Ok(Json(json!({ "object": "chat.completion", "choices": [choice] })))
}

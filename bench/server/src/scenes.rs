//! What is measured.

use std::{future::Future, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    Result,
    bare::Bare,
    installation::{Installation, Process, Shape, used},
    load::{self, Ask, Client, Seen},
    neighbours::{self, DRIP},
};

/// Conversations that go on side by side.
const AT_ONCE: usize = 16;

type Scene = for<'a> fn(&'a Path) -> Pin<Box<dyn Future<Output = Result<Vec<String>>> + Send + 'a>>;

/// All of them, by name.
pub(crate) fn all() -> [(&'static str, Scene); 9] {
    [
        ("idle", |binary| Box::pin(idle(binary))),
        ("baseline: axum and reqwest alone", |_| Box::pin(bare_completion())),
        ("completion, auth and limits", |binary| Box::pin(completion(binary, Shape::default()))),
        ("completion, everything on", |binary| {
            Box::pin(completion(binary, Shape { guard: true, cache: true, budget: true }))
        }),
        ("exact cache hit", |binary| Box::pin(exact_hit(binary))),
        ("chat turn", |binary| Box::pin(chat(binary))),
        ("baseline: the MCP SDK alone", |_| Box::pin(bare_call())),
        ("mcp call to an upstream", |binary| Box::pin(mcp(binary))),
        ("stream", |binary| Box::pin(stream(binary))),
    ]
}

async fn installation(binary: &Path, shape: Shape) -> Result<Installation> {
    let (model, tools) = (neighbours::instant_model().await?, neighbours::tool_server().await?);
    Installation::start(binary, shape, model, tools).await
}

async fn bare() -> Result<Bare> {
    Bare::start(neighbours::instant_model().await?, neighbours::tool_server().await?).await
}

fn completion_body(text: &str, stream: bool) -> String {
    json!({ "model": "instant", "stream": stream, "messages": [{ "role": "user", "content": text }] })
        .to_string()
}

/// Start, memory and what a process costs that nobody asks.
async fn idle(binary: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for _ in 0..5 {
        let here = installation(binary, Shape { guard: true, cache: true, budget: true }).await?;
        let started = here.used()?;
        tokio::time::sleep(Duration::from_secs(8)).await; // what was needed for the start only is given back
        let used = here.used()?;
        lines.push(format!(
            "ready after {:.0} ms, {:.0} ms CPU, {:.1} MB resident",
            ms(here.ready),
            ms(started.cpu),
            mega(used.resident)
        ));
    }
    Ok(lines)
}

async fn completion(binary: &Path, shape: Shape) -> Result<Vec<String>> {
    let here = installation(binary, shape).await?;
    Ok(vec![measured(here.process(), (16, 8_000), "Tuesday", question()).await?])
}

/// A question that no cache knows.
fn question() -> Ask {
    Arc::new(|number| {
        let text = format!("Where is my order {number}? It should have been here on Monday.");
        ("/v1/chat/completions".to_owned(), completion_body(&text, false))
    })
}

/// The words of [`completion`] through [`Bare`].
async fn bare_completion() -> Result<Vec<String>> {
    let here = bare().await?;
    Ok(vec![measured(here.process(), (16, 8_000), "Tuesday", question()).await?])
}

async fn exact_hit(binary: &Path) -> Result<Vec<String>> {
    let here = installation(binary, Shape { guard: true, cache: true, ..Shape::default() }).await?;
    let ask: Ask = Arc::new(|_| {
        let text = "Where is my order? It should have been here on Monday.";
        ("/v1/chat/completions".to_owned(), completion_body(text, false))
    });
    Ok(vec![measured(here.process(), (16, 20_000), "Tuesday", ask).await?])
}

/// The first turn of many conversations, then the turns of sixteen conversations and of one, up to the thousandth and on.
async fn chat(binary: &Path) -> Result<Vec<String>> {
    let here = installation(binary, Shape { guard: true, ..Shape::default() }).await?;
    let body = |number: usize, conversation: Option<&str>| {
        let message = format!("Where is my order {number}? It should have been here on Monday.");
        let mut body = json!({ "agent": "quick", "message": message });
        if let (Some(id), Some(body)) = (conversation, body.as_object_mut()) {
            body.insert("conversation".to_owned(), json!(id));
        }
        ("/api/v1/turns".to_owned(), body.to_string())
    };
    let first: Ask = Arc::new(move |number| body(number, None));
    let mut lines = vec![format!(
        "turn 1, 16 conversations at once     {}",
        measured(here.process(), (16, 2_000), "Tuesday", first).await?
    )];
    let alone: Ask = Arc::new(move |number| body(number, None));
    lines.push(format!(
        "turn 1, one at a time                {}",
        measured(here.process(), (1, 500), "Tuesday", alone).await?
    ));
    let mut client = Client::connect(here.address, &here.token).await?;
    let mut begun = Vec::new();
    for number in 0..AT_ONCE {
        let (path, first) = body(number, None);
        begun.push(conversation(client.post(&path, first).await?)?);
    }
    let begun: Arc<[String]> = begun.into();
    for to in [500, 1_000] {
        let begun = Arc::clone(&begun);
        let on: Ask = Arc::new(move |number| body(number, begun.get(number % AT_ONCE).map(String::as_str)));
        let line = measured(here.process(), (AT_ONCE, 500 * AT_ONCE), "Tuesday", on).await?;
        lines.push(format!("turns {:>4} to {to:<4} of 16 at once    {line}", to - 499));
    }
    let (path, first) = body(0, None);
    let id = conversation(client.post(&path, first).await?)?;
    for to in [500, 1_000, 1_500] {
        let id = id.clone();
        let on: Ask = Arc::new(move |number| body(number, Some(&id)));
        let line = measured(here.process(), (1, 500), "Tuesday", on).await?;
        lines.push(format!("turns {:>4} to {to:<4}, one at a time   {line}", to - 499));
    }
    Ok(lines)
}

/// The conversation that a turn was held in.
fn conversation((status, answer): (u16, bytes::Bytes)) -> Result<String> {
    let answer: Value = serde_json::from_slice(&answer)?;
    let id = answer.get("conversation").and_then(Value::as_str);
    Ok(id.ok_or(format!("{status}: {answer}"))?.to_owned())
}

async fn mcp(binary: &Path) -> Result<Vec<String>> {
    let here = installation(binary, Shape { guard: true, ..Shape::default() }).await?;
    until_tool(&here).await?;
    calls(here.process(), "desk__get_order").await
}

/// The calls of [`mcp`] through the official SDK and nothing else.
async fn bare_call() -> Result<Vec<String>> {
    let here = bare().await?;
    calls(here.process(), "get_order").await
}

async fn calls(process: Process<'_>, tool: &'static str) -> Result<Vec<String>> {
    let ask: Ask = Arc::new(move |number| {
        let params = json!({ "name": tool, "arguments": { "order_id": number } });
        let call = json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params });
        ("/mcp".to_owned(), call.to_string())
    });
    let mut lines = Vec::new();
    for connections in [16, 64] {
        let line = measured(process, (connections, 4_000), "has been shipped", Arc::clone(&ask)).await?;
        lines.push(format!("{connections} connections  {line}"));
    }
    Ok(lines)
}

/// The tools of the upstream are read in the background.
async fn until_tool(here: &Installation) -> Result<()> {
    let mut client = Client::connect(here.address, &here.token).await?;
    for _ in 0..500 {
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
        let accept = [("accept", "application/json, text/event-stream")];
        let (_, answer) = client.post_with("/mcp", list, &accept).await?;
        if String::from_utf8_lossy(&answer).contains("desk__get_order") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("the upstream's tool did not appear".into())
}

/// How much later than the model's pieces the client's pieces come.
async fn stream(binary: &Path) -> Result<Vec<String>> {
    let (model, tools) = (neighbours::dripping_model().await?, neighbours::tool_server().await?);
    let here = Installation::start(binary, Shape { guard: true, ..Shape::default() }, model, tools).await?;
    let mut lines = Vec::new();
    for (who, address) in [("the model itself", model), ("through Cardea", here.address)] {
        lines.push(gaps(who, address, &here.token).await?);
    }
    Ok(lines)
}

async fn gaps(who: &str, address: SocketAddr, token: &str) -> Result<String> {
    let mut client = Client::connect(address, token).await?;
    let mut waits = Vec::new();
    for number in 0..20 {
        let body = completion_body(&format!("Tell me more about order {number}."), true);
        let times = client.pieces("/v1/chat/completions", body).await?;
        waits.extend(times.windows(2).filter_map(|pair| Some(pair.get(1)?.duration_since(*pair.first()?))));
    }
    waits.sort_unstable();
    let seen = Seen { waits };
    Ok(format!(
        "{who:<17} a piece every {:.0} ms: gaps p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        ms(DRIP),
        ms(seen.quantile(0.5)),
        ms(seen.quantile(0.99)),
        ms(seen.quantile(1.0))
    ))
}

/// Warms up, measures, and says it in a line.
async fn measured(
    (id, to): Process<'_>,
    (connections, count): (usize, usize),
    word: &'static str,
    ask: Ask,
) -> Result<String> {
    // Other texts than the measured ones, or a cache would know them.
    let warm = Arc::clone(&ask);
    load::run(to, connections, count / 10, word, Arc::new(move |number| warm(number + 10_000_000))).await?;
    let before = used(id)?.cpu;
    let seen = load::run(to, connections, count, word, ask).await?;
    let used = used(id)?;
    #[expect(clippy::cast_possible_truncation, reason = "a count of requests")]
    let each = (used.cpu - before) / count as u32;
    Ok(format!(
        "{:.3} ms CPU; p50 {:.1} ms, p99 {:.1} ms; {:.0} MB resident; {count} requests, {connections} connections",
        ms(each),
        ms(seen.quantile(0.5)),
        ms(seen.quantile(0.99)),
        mega(used.resident)
    ))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "megabytes, to one digit")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

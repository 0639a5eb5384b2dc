//! What happens around a call.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use cardea_mcp::{
    Args, Call, Code, Context, Error, Layers, Millis, Reply, Result, Router, Server, State, TestClient, Tool,
    layer::{Breaker, Concurrency, Layer, Next, Rate, ResponseCache},
    schemars::JsonSchema,
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;

async fn nothing() -> Result<()> {
    Ok(())
}

fn tool(name: &str) -> Tool {
    Tool::new(name, nothing).about("Does nothing.").reads()
}

#[tokio::test]
async fn a_rate_is_kept_for_each_user_and_says_when_to_come_back() {
    let layers = Layers::new().rate(Rate::per_user(2, Millis::from_secs(3_600)));
    let server = TestClient::new(Server::new("s", "1").layers(layers).tool(tool("x"))).unwrap();
    let ann = server.clone().as_user("ann");
    assert_eq!(ann.call("x", json!({})).await.code(), "done");
    assert_eq!(ann.call("no_such_tool", json!({})).await.code(), "refused");
    assert_eq!(ann.call("x", json!({})).await.code(), "rate_limited");
    let (_, body) = ann.post("tools/call", Some("x"), json!({ "name": "x", "arguments": {} })).await;
    let after =
        body.pointer("/result/_meta/dev.cardea~1error/retryAfterMs").and_then(serde_json::Value::as_u64);
    assert!(after.is_some_and(|after| after > 0 && after <= 1_800_001), "{body}");
    assert_eq!(server.clone().as_user("bob").call("x", json!({})).await.code(), "done");
    assert_eq!(
        ann.tenant("acme").call("x", json!({})).await.code(),
        "done",
        "the same name elsewhere is another user"
    );
}

#[tokio::test]
async fn one_busy_tool_does_not_use_up_the_others_share() {
    let layers = Layers::new().rate(Rate::per_tenant(1, Millis::from_secs(3_600)).each_tool());
    let server =
        TestClient::new(Server::new("s", "1").layers(layers).tool(tool("x")).tool(tool("y"))).unwrap();
    assert_eq!(server.clone().as_user("ann").call("x", json!({})).await.code(), "done");
    assert_eq!(server.clone().as_user("bob").call("x", json!({})).await.code(), "rate_limited");
    assert_eq!(server.as_user("bob").call("y", json!({})).await.code(), "done");
}

#[tokio::test]
async fn tools_that_do_not_exist_share_one_count() {
    let layers = Layers::new().rate(Rate::per_user(1, Millis::from_secs(3_600)).each_tool());
    let server = TestClient::new(Server::new("s", "1").layers(layers).tool(tool("x"))).unwrap();
    let ann = server.as_user("ann");
    assert_eq!(ann.call("no_such_tool", json!({})).await.code(), "refused");
    assert_eq!(ann.call("nor_this_one", json!({})).await.code(), "rate_limited");
    assert_eq!(ann.call("x", json!({})).await.code(), "done");
}

#[tokio::test]
async fn all_users_of_a_client_share_what_the_client_may() {
    let layers = Layers::new().rate(Rate::per_client(1, Millis::from_secs(3_600)));
    let server = TestClient::new(Server::new("s", "1").layers(layers).tool(tool("x"))).unwrap();
    let through = |user: &str, client: &str| server.clone().as_user(user).client(client);
    assert_eq!(through("ann", "app").call("x", json!({})).await.code(), "done");
    assert_eq!(through("bob", "app").call("x", json!({})).await.code(), "rate_limited");
    assert_eq!(through("bob", "other").call("x", json!({})).await.code(), "done");
    assert_eq!(server.as_user("bob").call("x", json!({})).await.code(), "done", "no client, no share in one");
}

/// Where the lines of a subscriber go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn tells() -> Result<()> {
    tracing::info!("inside the handler");
    Ok(())
}

#[tokio::test]
async fn what_a_handler_tells_stands_inside_the_span_of_its_call_and_trace() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::new("s", "1")
        .layers(Layers::new().trace())
        .tool(Tool::new("tells", tells).about("Tells something.").reads());
    let ann = TestClient::new(server).unwrap().as_user("ann");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let tells = async |parent: &str| {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": {},
            "traceparent": parent,
        });
        let call = json!({ "name": "tells", "arguments": {}, "_meta": meta });
        ann.post("tools/call", Some("tells"), call).await;
        let text = String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
        let line = text.lines().find(|line| line.contains("inside the handler")).expect("a line");
        serde_json::from_str::<serde_json::Value>(line).unwrap()
    };
    let line = tells(&format!("{parent}{}", "x".repeat(10_000))).await;
    assert!(line["span"].get("trace.parent").is_none(), "what is no place in a trace is not told: {line}");
    let line = tells(parent).await;
    let span = &line["span"];
    assert_eq!((&span["name"], &span["tool.name"]), (&json!("tool call"), &json!("tells")), "{line}");
    assert_eq!((&span["user.id"], &span["trace.parent"]), (&json!("ann"), &json!(parent)), "{line}");
}

#[derive(Clone, Default)]
struct Gate {
    entered: Arc<Notify>,
    open: Arc<Notify>,
}

async fn waits(State(gate): State<Gate>) -> Result<()> {
    gate.entered.notify_one();
    gate.open.notified().await;
    Ok(())
}

#[tokio::test]
async fn when_all_seats_are_taken_the_next_call_is_refused() {
    let gate = Gate::default();
    let layers = Layers::new().concurrency(Concurrency::new(1, Millis(0)));
    let server = Server::new("s", "1")
        .layers(layers)
        .state(gate.clone())
        .tool(Tool::new("waits", waits).about("Waits.").reads());
    let client = TestClient::new(server).unwrap();
    let second = async {
        gate.entered.notified().await;
        let refused = client.call("waits", json!({})).await;
        gate.open.notify_one();
        refused
    };
    let (first, second) = tokio::join!(client.call("waits", json!({})), second);
    assert_eq!((first.code(), second.code()), ("done", "overloaded"));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_limit_and_a_write_is_not_called_undone() {
    let layers = Layers::new().timeout(Millis::from_secs(5));
    let gate = Gate::default();
    let server = Server::new("s", "1")
        .layers(layers)
        .state(gate)
        .tool(Tool::new("reads", waits).about("Waits.").reads())
        .tool(Tool::new("writes", waits).about("Waits.").writes().timeout(Millis(50)));
    let client = TestClient::new(server).unwrap();
    assert_eq!(client.call("reads", json!({})).await.code(), "time_spent");
    assert_eq!(client.call("writes", json!({})).await.code(), "upstream_unknown");
}

async fn panics() -> Result<()> {
    panic!("a bug with a secret in it")
}

#[tokio::test]
async fn a_panic_is_an_error_for_one_caller_only() {
    let client =
        TestClient::new(Server::new("s", "1").tool(Tool::new("panics", panics).about("Panics."))).unwrap();
    let called = client.call("panics", json!({})).await;
    assert_eq!(called.code(), "internal");
    assert!(!format!("{called:?}").contains("secret"));
    assert_eq!(client.list().await, ["panics"]);
}

#[derive(Deserialize, JsonSchema)]
struct Order {
    order_id: u32,
}

#[derive(Clone, Default)]
struct Stock(Arc<AtomicU32>);

async fn get(State(stock): State<Stock>, Args(order): Args<Order>, context: Context) -> Result<String> {
    let reads = stock.0.fetch_add(1, Ordering::SeqCst) + 1;
    Ok(format!("{}: order {} read {reads}", context.user()?, order.order_id))
}

async fn change(Args(_): Args<Order>) -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn a_cached_result_is_the_callers_own_and_ends_with_the_next_write() {
    let server = Server::new("s", "1")
        .layers(Layers::new().cache(ResponseCache::new(1 << 20)))
        .state(Stock::default())
        .tool(
            Tool::new("get", get).about("Reads.").reads().cached(Millis::from_secs(60), ["order:{order_id}"]),
        )
        .tool(Tool::new("change", change).about("Writes.").writes().clears(["order:{order_id}"]));
    let client = TestClient::new(server).unwrap();
    let (ann, bob) = (client.clone().as_user("ann"), client.as_user("bob"));
    let read =
        async |who: &TestClient, id: u32| who.call("get", json!({ "order_id": id })).await.value().unwrap();
    assert_eq!(read(&ann, 17).await, "ann: order 17 read 1");
    assert_eq!(read(&ann, 17).await, "ann: order 17 read 1");
    assert_eq!(read(&bob, 17).await, "bob: order 17 read 2", "nobody gets another's result");
    assert_eq!(read(&ann, 18).await, "ann: order 18 read 3");
    assert_eq!(bob.call("change", json!({ "order_id": 17 })).await.code(), "done");
    assert_eq!(read(&ann, 17).await, "ann: order 17 read 4");
    assert_eq!(read(&ann, 18).await, "ann: order 18 read 3", "the other order was not touched");
}

async fn fails() -> Result<()> {
    Err(Code::UpstreamFailed.into())
}

#[tokio::test]
async fn a_tool_whose_neighbour_is_down_rests() {
    let layers = Layers::new().breaker(Breaker::new(2, Millis::from_secs(3_600)));
    let server = Server::new("s", "1")
        .layers(layers)
        .tool(Tool::new("fails", fails).about("Fails.").reads())
        .tool(tool("x"));
    let client = TestClient::new(server).unwrap();
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(client.call("fails", json!({})).await.code().to_owned());
    }
    assert_eq!(codes, ["upstream_failed", "upstream_failed", "overloaded"]);
    assert_eq!(client.call("x", json!({})).await.code(), "done");
}

#[tokio::test]
async fn clients_that_hang_up_do_not_close_a_tool_for_others() {
    let gate = Gate::default();
    let layers = Layers::new().breaker(Breaker::new(2, Millis::from_secs(3_600))).metrics();
    let server = Server::new("s", "1")
        .layers(layers)
        .state(gate.clone())
        .tool(Tool::new("waits", waits).about("Waits.").reads());
    let client = TestClient::new(server).unwrap();
    let (ann, bob) = (client.clone().as_user("ann"), client.as_user("bob"));
    for nth in 1..=5 {
        tokio::select! {
            called = ann.call("waits", json!({})) => panic!("{called:?}"),
            () = gate.entered.notified() => {}
        }
        let ended = format!(r#"mcp_calls_total{{tool="waits",outcome="time_spent"}} {nth}"#);
        while !ann.service().metrics().unwrap().contains(&ended) {
            tokio::task::yield_now().await;
        }
    }
    gate.open.notify_one();
    assert_eq!(bob.call("waits", json!({})).await.code(), "done");
}

struct Noting(&'static str, Arc<Mutex<Vec<String>>>);

impl Layer for Noting {
    fn call(self: Arc<Self>, call: Call, next: Next) -> futures::future::BoxFuture<'static, Reply> {
        Box::pin(async move {
            self.1.lock().unwrap().push(format!("{} before {}", self.0, call.tool()));
            let reply = next.run(call).await;
            self.1.lock().unwrap().push(format!("{} after", self.0));
            reply
        })
    }
}

struct Closed;

impl Layer for Closed {
    fn call(self: Arc<Self>, _: Call, _: Next) -> futures::future::BoxFuture<'static, Reply> {
        Box::pin(async { Err(Error::new(Code::Denied).detail("Closed today.").into()) })
    }
}

#[tokio::test]
async fn layers_of_ones_own_stand_in_the_order_in_which_they_are_written() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let inner = Router::new().layer(Noting("inner", notes.clone())).tool(tool("x"));
    let closed = Router::new().layer(Closed).tool(tool("y"));
    let router = Router::new().layer(Noting("outer", notes.clone())).merge(inner).merge(closed);
    let layers = Layers::new().own(Noting("server", notes.clone()));
    let client = TestClient::new(Server::new("s", "1").layers(layers).router(router)).unwrap();
    client.call("x", json!({})).await;
    let expected =
        ["server before x", "outer before x", "inner before x", "inner after", "outer after", "server after"];
    assert_eq!(*notes.lock().unwrap(), expected);
    assert_eq!(client.call("y", json!({})).await.code(), "denied");
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the check is looked at")]
struct Refund {
    /// The amount in cents.
    #[schemars(range(min = 1, max = 100))]
    amount: u32,
    #[serde(default)]
    note: Option<String>,
}

async fn refund(Args(_): Args<Refund>) -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn wrong_arguments_are_told_by_place_and_rule() {
    let client =
        TestClient::new(Server::new("s", "1").tool(Tool::new("refund", refund).about("Pays back."))).unwrap();
    let text = async |arguments| format!("{:?}", client.call("refund", arguments).await);
    assert!(
        text(json!({ "amount": 101 })).await.contains("`/amount`: 101 is greater than the maximum of 100")
    );
    assert!(text(json!({ "amount": "5" })).await.contains("`/amount`"));
    assert!(text(json!({})).await.contains("\\\"amount\\\" is a required property"));
    assert!(text(json!({ "amount": 5, "who": 1 })).await.contains("who"));
    assert!(text(json!({ "amount": 5, "note": "ok" })).await.contains("Done"));
}

#[tokio::test]
async fn metrics_count_what_was_done_and_what_was_refused() {
    let server = Server::new("s", "1").layers(Layers::new().metrics()).tool(tool("x"));
    let client = TestClient::new(server).unwrap();
    client.call("x", json!({})).await;
    client.call("made_up_by_a_caller", json!({})).await;
    let text = client.service().metrics().unwrap();
    assert!(text.contains(r#"mcp_calls_total{tool="x",outcome="done"} 1"#), "{text}");
    assert!(text.contains(r#"mcp_calls_total{tool="unknown",outcome="not_found"} 1"#), "{text}");
    assert!(!text.contains("made_up"), "{text}");
}

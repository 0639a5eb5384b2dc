//! Clients that subscribe to what they may not see, and clients that never read (F12, F14).

use std::{sync::Arc, time::Duration};

use cardea_mcp::{
    Code, Context, Layers, Millis, Result, Server, State, TestClient, Tool, guard::HasRole,
    layer::Concurrency,
};
use http::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

async fn nothing() -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn f14_nobody_hears_of_a_tool_that_they_may_not_see() {
    let server = Server::new("s", "1")
        .tool(Tool::new("open", nothing).about("Does nothing.").reads())
        .tool(Tool::new("vault_codes", nothing).about("Secret.").reads().guard(HasRole::new(["keeper"])));
    let client = TestClient::new(server).unwrap();
    for who in [client.clone(), client.clone().as_user("ann"), client.as_user("kim").role("keeper")] {
        let wanted = json!({ "notifications": { "toolsListChanged": true } });
        let (status, body) = who.post("subscriptions/listen", None, wanted).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::NOT_FOUND, &json!(-32601)), "{body}");
        assert!(!body.to_string().contains("vault_codes"));
        let (_, body) = who.post("server/discover", None, json!({})).await;
        assert!(body["result"]["capabilities"]["tools"].get("listChanged").is_none(), "{body}");
        assert!(!body.to_string().contains("vault_codes"));
    }
}

#[derive(Clone, Default)]
struct Flood(Arc<Notify>);

/// Tells of its progress for ever, each time with much text.
async fn floods(context: Context, State(flood): State<Flood>) -> Result<()> {
    let text = "x".repeat(64 * 1024);
    flood.0.notify_one();
    for step in 0_u32.. {
        context.progress(f64::from(step), None, text.clone()).await;
    }
    Err(Code::Internal.into())
}

async fn send(stream: &mut TcpStream, tool: &str) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": tool, "arguments": {}, "_meta": { "progressToken": "p" } } })
    .to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nmcp-protocol-version: 2025-11-25\r\n\
         accept: application/json, text/event-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
}

/// Resident memory of this process in KiB; nothing where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[tokio::test]
async fn f12_a_client_that_never_reads_holds_neither_memory_nor_a_seat() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let flood = Flood::default();
    let layers = Layers::new().concurrency(Concurrency::new(1, Millis::from_secs(30))).timeout(Millis(500));
    let service = Server::new("s", "1")
        .layers(layers)
        .state(flood.clone())
        .drain_within(Millis(0))
        .tool(Tool::new("floods", floods).about("Floods.").reads())
        .tool(Tool::new("quick", nothing).about("Does nothing.").reads())
        .build()
        .unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let before = resident();
    let story = async {
        let mut deaf = TcpStream::connect(address).await.unwrap();
        send(&mut deaf, "floods").await;
        flood.0.notified().await;
        let mut other = TcpStream::connect(address).await.unwrap();
        send(&mut other, "quick").await;
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), other.read_to_string(&mut answer));
        read.await.expect("the only seat came free").unwrap();
        assert!(answer.contains(r#""isError":false"#), "{answer}");
        if let (Some(before), Some(after)) = (before, resident()) {
            assert!(after.saturating_sub(before) < 100 * 1024, "{before} KiB became {after} KiB");
        }
        drop(deaf);
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(service.serve(listener, async move { drop(stopped.await) }), story);
    served.unwrap();
}

//! What is still on its way when a server stops.

use std::{cell::Cell, sync::Arc};

use cardea_mcp::{Audit, Context, Layers, Millis, Result, Server, Service, State, Tool, audit::AuditError};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Notify,
};

#[derive(Clone, Default)]
struct Gate {
    alone: Arc<Notify>,
    open: Arc<Notify>,
}

/// Goes on after its client has hung up.
async fn refund(context: Context, State(gate): State<Gate>) -> Result<()> {
    context.cancelled().cancelled().await;
    gate.alone.notify_one();
    gate.open.notified().await;
    Ok(())
}

fn shop(gate: &Gate, drain: Millis, path: &std::path::Path) -> std::result::Result<Service, AuditError> {
    let audit = Audit::open(path, &"an audit key of at least 32 bytes".to_owned().into())?;
    let server = Server::new("shop", "1")
        .layers(Layers::new().audit(audit))
        .state(gate.clone())
        .drain_within(drain)
        .tool(Tool::new("refund", refund).about("Pays back.").writes());
    Ok(server.build().unwrap())
}

/// Asks for a refund and hangs up.
async fn ask_and_leave(address: std::net::SocketAddr, gate: &Gate) {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "refund", "arguments": {} } });
    let call = call.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nmcp-protocol-version: 2025-11-25\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n",
        call.len()
    );
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("{head}{call}").as_bytes()).await.unwrap();
    drop(client);
    gate.alone.notified().await;
}

fn told(path: &std::path::Path) -> Vec<String> {
    let log = std::fs::read_to_string(path).unwrap();
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone());
    entries.map(|entry| format!("{} {}", entry["phase"], entry["outcome"]).replace('"', "")).collect()
}

#[tokio::test]
async fn a_write_whose_client_has_hung_up_ends_before_the_server_does() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let path = dir.path().join("audit.jsonl");
    let service = shop(&gate, Millis::from_secs(60), &path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let has_ended = Cell::new(false);
    let server = async {
        service.serve(listener, async move { drop(stopped.await) }).await.unwrap();
        has_ended.set(true);
    };
    let story = async {
        ask_and_leave(address, &gate).await;
        stop.send(()).unwrap();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(told(&path), ["intent null"]);
        assert!(!has_ended.get(), "it waits for the refund");
        gate.open.notify_one();
    };
    tokio::join!(server, story);
    assert_eq!(told(&path), ["intent null", "outcome done"]);
}

#[tokio::test]
async fn a_write_that_takes_longer_than_a_stop_may_is_not_waited_for() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let path = dir.path().join("audit.jsonl");
    let service = shop(&gate, Millis(1), &path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let story = async {
        ask_and_leave(address, &gate).await;
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(service.serve(listener, async move { drop(stopped.await) }), story);
    served.unwrap();
    assert_eq!(told(&path), ["intent null"]);
}

#[tokio::test]
async fn an_application_that_serves_the_routes_itself_can_wait_for_the_same() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let path = dir.path().join("audit.jsonl");
    let service = shop(&gate, Millis::from_secs(60), &path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = async {
        tokio::select! {
            served = axum::serve(listener, service.routes()).into_future() => panic!("{served:?}"),
            () = ask_and_leave(address, &gate) => {}
        }
    };
    served.await;
    let opens = async { gate.open.notify_one() };
    tokio::join!(service.drain(), opens);
    service.stop_audit();
    assert_eq!(told(&path), ["intent null", "outcome done"]);
}

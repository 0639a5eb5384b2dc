//! Clients that are slow, silent or too many: they do not hold a server for ever.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cardea_mcp::{Millis, Result, Server, State, Tool};
use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Gate {
    entered: Arc<Notify>,
    open: Arc<Notify>,
}

async fn waits(State(gate): State<Gate>) -> Result<&'static str> {
    gate.entered.notify_one();
    gate.open.notified().await;
    Ok("well done")
}

/// More than what fits between a server and a client that does not read.
async fn much() -> Result<String> {
    Ok("x".repeat(16 << 20))
}

/// A server while the story goes on.
async fn served<F: Future<Output = ()>>(server: Server, story: impl FnOnce(SocketAddr) -> F) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = server.drain_within(Millis(0)).build().unwrap();
    tokio::select! {
        served = service.serve(listener, std::future::pending()) => panic!("{served:?}"),
        () = story(address) => {}
    }
}

fn call(tool: &str) -> String {
    let call = json!({ "name": tool, "arguments": {} });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call }).to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nmcp-protocol-version: 2025-11-25\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{call}",
        call.len()
    )
}

/// A client that has sent this.
async fn sent(address: SocketAddr, words: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(words.as_bytes()).await.unwrap();
    client
}

/// What a client hears until its connection is closed, which it is soon.
async fn last_words(mut client: TcpStream) -> String {
    let mut heard = Vec::new();
    // A connection may be reset as well.
    let _ = timeout(SOON, client.read_to_end(&mut heard)).await.expect("the server closes it");
    String::from_utf8_lossy(&heard).to_ascii_lowercase()
}

/// True if somebody new is served.
async fn is_served(address: SocketAddr) -> Option<TcpStream> {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.ok()?;
    let mut first = [0; 12];
    client.read_exact(&mut first).await.ok()?;
    (first == *b"HTTP/1.1 200").then_some(client)
}

#[tokio::test]
async fn a_client_that_does_not_go_on_is_given_up_and_one_that_waits_for_a_call_is_not() {
    let gate = Gate::default();
    let server = Server::new("s", "1")
        .read_within(Millis::from_secs(1))
        .state(gate.clone())
        .tool(Tool::new("waits", waits).about("Waits.").reads());
    served(server, async |address| {
        let mut patient = sent(address, &call("waits")).await;
        gate.entered.notified().await;
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
        let body = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"";
        let halves = ["", "P", "PRI * HTTP/2.0\r\n", preface, "POST /mcp HTTP/1.1\r\nhost: loc", body];
        let heard = join_all(halves.map(async |words| last_words(sent(address, words).await).await)).await;
        assert!(heard[5].contains(" 400 ") && heard[5].contains("did not come within"), "{heard:?}");
        assert!(!heard.concat().contains(" 200 "), "{heard:?}");
        let used = is_served(address).await.expect("a connection that is kept after an answer");
        last_words(used).await;

        gate.open.notify_one();
        let mut heard = [0; 12];
        timeout(SOON, patient.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(&heard, b"HTTP/1.1 200", "the call has lasted longer than all of these");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_loses_its_place() {
    let server = Server::new("s", "1")
        .read_within(Millis::from_secs(1))
        .max_connections(1)
        .tool(Tool::new("much", much).about("Says much.").reads());
    served(server, async |address| {
        let deaf = sent(address, &call("much")).await;
        deaf.readable().await.unwrap();
        let place = async {
            while is_served(address).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, place).await.expect("the place comes free");
        drop(deaf);
    })
    .await;
}

#[tokio::test]
async fn more_connections_than_the_server_takes_are_closed_at_once() {
    served(Server::new("s", "1").max_connections(2), async |address| {
        let (first, _second) = (is_served(address).await.unwrap(), is_served(address).await.unwrap());
        assert_eq!(last_words(TcpStream::connect(address).await.unwrap()).await, "");
        drop(first);
        let place = async {
            while is_served(address).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, place).await.expect("the place comes free");
    })
    .await;
}

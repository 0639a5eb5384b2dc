//! An issuer with real keys, a server for its key set that counts, and a clock that stands still.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_auth::{Auth, AuthConfig, Caller, Credentials, IssuerConfig, NoKeys};
use cardea_core::{
    Error,
    time::{ManualClock, Timestamp},
};
use cardea_net::{AllowList, Net, NetConfig};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const AUDIENCE: &str = "https://cardea.example";
pub(crate) const NOW: i64 = 1_800_000_000;

/// A key with an id, as an issuer holds it.
pub(crate) struct Key {
    pub(crate) kid: String,
    pair: Ed25519KeyPair,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Ed25519KeyPair::generate().unwrap() }
    }

    pub(crate) fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x})
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid})
    }

    /// Signs any two texts, however wrong.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A token that is good, with some claims changed (`null` takes one away).
    pub(crate) fn token(&self, changes: &Value) -> String {
        self.sign(&self.header(), &claims(changes))
    }
}

pub(crate) fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": "ann", "aud": AUDIENCE, "iat": NOW - 10, "exp": NOW + 300,
        "scope": "orders:read chat", "realm_access": {"roles": ["support"]}, "tenant": "acme", "client_id": "web",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name.as_str()] = value.clone();
        }
    }
    claims
}

pub(crate) fn jwks(keys: &[&Key]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// The issuer as these stories configure it, without keys.
pub(crate) fn issuer() -> IssuerConfig {
    IssuerConfig::new(ISSUER, AUDIENCE).tenant_claim("tenant").roles_claim("realm_access.roles")
}

pub(crate) struct World {
    pub(crate) auth: Auth,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new(issuer: IssuerConfig, allow: &[String]) -> Self {
        let clock = ManualClock::at(Timestamp(NOW * 1_000));
        let mut list = AllowList::default();
        for target in allow {
            list.add(target).unwrap();
        }
        let config = NetConfig { allow: list, ..NetConfig::default() };
        let net = Net::new(config, clock.clone()).unwrap();
        let config = AuthConfig::default().issuer("corp", issuer);
        Self { auth: Auth::new(config, net, clock.clone(), Arc::new(NoKeys)).unwrap(), clock }
    }

    /// A world that knows the key.
    pub(crate) fn knowing(key: &Key) -> Self {
        Self::new(issuer().jwks(jwks(&[key])), &[])
    }

    pub(crate) async fn sign_in(&self, token: &str) -> Result<Caller, Error> {
        self.auth.authenticate(&Credentials::token(token, None)).await
    }

    /// The reason, as the log has it, for which a token is refused.
    pub(crate) async fn refusal(&self, token: &str) -> String {
        let error = self.sign_in(token).await.expect_err("must be refused");
        assert!(!error.public().contains("ann"), "the answer tells nothing about the token");
        let cause = error.cause_line().unwrap();
        // Without the issuer's keys nobody can say whether the token is good.
        let status =
            if cause == "no keys of the issuer" || cause.contains("cannot be asked") { 503 } else { 401 };
        assert_eq!(error.code().status(), status, "{cause}");
        cause
    }
}

/// Serves a key set and counts how often it is asked for.
pub(crate) struct KeyServer {
    pub(crate) url: String,
    pub(crate) target: String,
    shown: Arc<Shown>,
}

struct Shown {
    body: Mutex<Option<String>>,
    asked: AtomicUsize,
    gate: tokio::sync::Semaphore,
    early: AtomicBool,
}

impl KeyServer {
    #[expect(clippy::disallowed_methods, reason = "a server of this test, which ends with it")]
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let shown = Arc::new(Shown {
            body: Mutex::new(Some(jwks(keys))),
            asked: AtomicUsize::new(0),
            gate: tokio::sync::Semaphore::new(1_000),
            early: AtomicBool::new(false),
        });
        let app = Router::new().route("/keys", get(answer)).with_state(Arc::clone(&shown));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url: format!("http://{target}/keys"), target, shown }
    }

    pub(crate) fn shows(&self, keys: &[&Key]) {
        *self.shown.body.lock().unwrap() = Some(jwks(keys));
    }

    pub(crate) fn shows_text(&self, text: String) {
        *self.shown.body.lock().unwrap() = Some(text);
    }

    pub(crate) fn breaks(&self) {
        *self.shown.body.lock().unwrap() = None;
    }

    /// Holds all answers back.
    pub(crate) fn hold(&self) {
        self.shown.gate.forget_permits(1_000);
    }

    /// Holds all answers back that are made from now on, each with the keys of the moment it was asked for.
    pub(crate) fn holds_answers(&self) {
        self.shown.early.store(true, Ordering::SeqCst);
        self.hold();
    }

    pub(crate) fn let_go(&self) {
        self.shown.gate.add_permits(1_000);
    }

    pub(crate) fn asked(&self) -> usize {
        self.shown.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn world(&self) -> World {
        World::new(issuer().jwks_url(&self.url), std::slice::from_ref(&self.target))
    }
}

async fn answer(State(shown): State<Arc<Shown>>) -> Result<String, StatusCode> {
    let early = shown.body.lock().unwrap().clone();
    shown.asked.fetch_add(1, Ordering::SeqCst);
    let _pass = shown.gate.acquire().await.unwrap();
    let late = shown.body.lock().unwrap().clone();
    let body = if shown.early.load(Ordering::SeqCst) { early } else { late };
    body.ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

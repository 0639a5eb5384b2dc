//! Tokens bound to a key, through the whole server (E01, E03, E05).

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_core::time::{Clock, SystemClock};
use cardea_mcp::{Context, Result, Server, Service, Tool, auth::IssuerConfig, guard::RequireAuth};
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const ISSUER: &str = "https://idp.example";
const RESOURCE: &str = "https://tools.example/mcp";

async fn whoami(context: Context) -> Result<String> {
    Ok(context.user()?.to_string())
}

struct Key(Ed25519KeyPair);

impl Key {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn jwk(&self) -> Value {
        json!({"crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(self.0.public_key())})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes())))
    }
}

fn now() -> i64 {
    SystemClock.now().0 / 1_000
}

fn proof(key: &Key, token: &str, method: &str, url: &str) -> String {
    let ath = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
    let jti = format!("{:032x}", cardea_core::id::random_bits());
    let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.jwk()});
    key.sign(&header, &json!({"jti": jti, "htm": method, "htu": url, "iat": now(), "ath": ath}))
}

fn server(issuer: &Key, resource: bool) -> Service {
    let keys = json!({"keys": [issuer.jwk()]}).to_string();
    let audience = if resource { RESOURCE } else { "shop" };
    let server = Server::new("s", "1")
        .trust(IssuerConfig::new(ISSUER, audience).jwks(keys))
        .tool(Tool::new("whoami", whoami).about("Says who you are.").reads().guard(RequireAuth));
    let server = if resource { server.resource(RESOURCE, [ISSUER]) } else { server };
    server.build().unwrap()
}

async fn call(service: &Service, headers: &[(&'static str, String)]) -> (StatusCode, HeaderMap, String) {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}});
    let mut request = Request::post("/mcp")
        .header(header::HOST, "localhost:7402")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response =
        service.routes().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8_lossy(&bytes).into_owned())
}

fn token(issuer: &Key, holder: &Key, audience: &str) -> String {
    let print = URL_SAFE_NO_PAD.encode(digest(&SHA256, holder.jwk().to_string().as_bytes()));
    let claims = json!({"iss": ISSUER, "sub": "ann", "aud": audience, "iat": now(), "exp": now() + 300, "cnf": {"jkt": print}});
    issuer.sign(&json!({"alg": "EdDSA", "typ": "at+jwt"}), &claims)
}

#[tokio::test]
async fn a_bound_token_calls_with_a_fresh_proof_each_time_and_not_without() {
    let (issuer, holder) = (Key::new(), Key::new());
    let service = server(&issuer, true);
    let token = token(&issuer, &holder, RESOURCE);
    let shown = |scheme: &str| ("authorization", format!("{scheme} {token}"));
    for _ in 0..2 {
        let (status, _, body) =
            call(&service, &[shown("DPoP"), ("dpop", proof(&holder, &token, "POST", RESOURCE))]).await;
        assert!(status == StatusCode::OK && body.contains("ann"), "{status} {body}");
    }
    let (status, headers, _) = call(&service, &[shown("Bearer")]).await;
    let challenge = headers[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(challenge.starts_with("DPoP algs=") && challenge.contains("resource_metadata="), "{challenge}");

    let once = proof(&holder, &token, "POST", RESOURCE);
    assert_eq!(call(&service, &[shown("DPoP"), ("dpop", once.clone())]).await.0, StatusCode::OK);
    let (status, headers, _) = call(&service, &[shown("DPoP"), ("dpop", once.clone())]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "used before");
    assert!(headers[header::WWW_AUTHENTICATE].to_str().unwrap().contains(r#"error="invalid_dpop_proof""#));

    let thief = Key::new();
    for wrong in [
        proof(&thief, &token, "POST", RESOURCE),
        proof(&holder, &token, "GET", RESOURCE),
        proof(&holder, &token, "POST", "https://tools.example/other"),
        proof(&holder, &token, "POST", "http://localhost:7402/mcp"),
        proof(&holder, "another token", "POST", RESOURCE),
    ] {
        assert_eq!(call(&service, &[shown("DPoP"), ("dpop", wrong)]).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn without_a_public_address_proofs_name_the_address_that_was_asked() {
    let (issuer, holder) = (Key::new(), Key::new());
    let service = server(&issuer, false);
    let token = token(&issuer, &holder, "shop");
    let shown = ("authorization", format!("DPoP {token}"));
    let here = proof(&holder, &token, "POST", "http://localhost:7402/mcp");
    assert_eq!(call(&service, &[shown.clone(), ("dpop", here)]).await.0, StatusCode::OK);
    let elsewhere = proof(&holder, &token, "POST", "http://localhost/mcp");
    assert_eq!(call(&service, &[shown, ("dpop", elsewhere)]).await.0, StatusCode::UNAUTHORIZED);
}

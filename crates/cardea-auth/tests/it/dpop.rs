//! Tokens bound to a key, and the proofs that come with them (E01, E03, E05, E07).

use std::sync::Arc;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_auth::{Auth, AuthConfig, Caller, Challenge, Credentials, NoKeys};
use cardea_core::{Error, time::Millis};
use cardea_net::{Net, NetConfig};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::world::{Key, NOW, World, issuer, jwks};

const URL: &str = "https://cardea.example/mcp";

/// The key of a client, and a token that is bound to it.
struct Holder {
    key: Key,
    token: String,
}

impl Holder {
    fn new(issuer: &Key) -> Self {
        let key = Key::new("holder");
        let bound = json!({"cnf": {"jkt": thumbprint(&public(&key))}});
        Self { token: issuer.token(&bound), key }
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": public(&self.key)})
    }

    /// A proof with some header members and claims changed.
    fn proof(&self, header: &Value, claims: &Value) -> String {
        self.key.sign(&changed(self.header(), header), &changed(proof_claims(&self.token), claims))
    }
}

fn proof_claims(token: &str) -> Value {
    let ath = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
    let jti = format!("{:032x}", cardea_core::id::random_bits());
    json!({"jti": jti, "htm": "POST", "htu": URL, "iat": NOW, "ath": ath})
}

fn changed(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        if change.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name.as_str()] = change.clone();
        }
    }
    value
}

/// Only the members of a public key that a proof needs.
fn public(key: &Key) -> Value {
    let jwk = key.jwk();
    json!({"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"]})
}

/// RFC 7638; the members of these keys are in the order of the alphabet.
fn thumbprint(jwk: &Value) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.to_string().as_bytes()))
}

fn shown(scheme: &str, token: &str, proofs: &[&str]) -> Credentials {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("{scheme} {token}").parse().unwrap());
    for proof in proofs {
        headers.append("dpop", proof.parse().unwrap());
    }
    Credentials::from_headers(&headers, None).unwrap().of_request(&Method::POST, URL)
}

async fn sign_in(world: &World, holder: &Holder, proof: &str) -> Result<Caller, Error> {
    world.auth.authenticate(&shown("DPoP", &holder.token, &[proof])).await
}

async fn refusal(world: &World, holder: &Holder, proof: &str) -> String {
    let error = sign_in(world, holder, proof).await.expect_err("must be refused");
    assert_eq!(error.code().status(), 401);
    error.cause_line().unwrap()
}

#[tokio::test]
async fn e01_a_bound_token_alone_gets_a_dpop_challenge_and_with_its_proof_gets_in() {
    let issuer = Key::new("k1");
    let (world, holder) = (World::knowing(&issuer), Holder::new(&issuer));
    let none = json!({});
    assert!(sign_in(&world, &holder, &holder.proof(&none, &none)).await.is_ok());
    assert!(
        sign_in(&world, &holder, &holder.proof(&none, &none)).await.is_ok(),
        "and again with a new proof"
    );

    let alone = world.auth.authenticate(&shown("Bearer", &holder.token, &[])).await.unwrap_err();
    assert_eq!((alone.code().status(), alone.cause_line().as_deref()), (401, Some("proof: missing")));
    let challenge = Challenge::for_error(&alone).unwrap().header();
    let challenge = challenge.to_str().unwrap();
    assert!(challenge.starts_with(r#"DPoP algs="ES256 EdDSA"#), "{challenge}");
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
    let with = holder.proof(&none, &none);
    let bearer = world.auth.authenticate(&shown("Bearer", &holder.token, &[&with])).await;
    assert_eq!(
        bearer.unwrap_err().cause_line().as_deref(),
        Some("proof: missing"),
        "the scheme is part of it"
    );

    let unbound = world.auth.authenticate(&shown("DPoP", &issuer.token(&none), &[&with])).await;
    assert_eq!(unbound.unwrap_err().cause_line().as_deref(), Some("proof: unbound token"));
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("DPoP {}", holder.token).parse().unwrap());
    assert!(Credentials::from_headers(&headers, None).is_err(), "no proof at all");
    headers.append("dpop", with.parse().unwrap());
    headers.append("dpop", with.parse().unwrap());
    assert!(Credentials::from_headers(&headers, None).is_err(), "two proofs");
    headers.remove("dpop");
    headers.append("dpop", with.parse().unwrap());
    let nowhere = Credentials::from_headers(&headers, None).unwrap();
    let nowhere = world.auth.authenticate(&nowhere).await.unwrap_err();
    assert_eq!(
        nowhere.cause_line().as_deref(),
        Some("sender-constrained"),
        "where nobody says what was asked for"
    );
}

#[tokio::test]
async fn e03_a_proof_counts_once_on_a_node_and_for_a_minute_elsewhere() {
    let issuer = Key::new("k1");
    let (here, holder) = (World::knowing(&issuer), Holder::new(&issuer));
    let proof = holder.proof(&json!({}), &json!({}));
    assert!(sign_in(&here, &holder, &proof).await.is_ok());
    assert_eq!(refusal(&here, &holder, &proof).await, "proof: used before");
    here.clock.advance(Millis::from_secs(59));
    assert_eq!(refusal(&here, &holder, &proof).await, "proof: used before");

    // The documented limit: nodes do not tell each other, so elsewhere only the window ends it.
    let there = World::knowing(&issuer);
    there.clock.advance(Millis::from_secs(61));
    assert_eq!(refusal(&there, &holder, &proof).await, "proof: time");

    let at_once = holder.proof(&json!({}), &json!({}));
    here.clock.set(cardea_core::time::Timestamp(NOW * 1_000));
    let tries = (0..20).map(|_| sign_in(&here, &holder, &at_once));
    let passed = futures::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(passed, 1, "of twenty at once");
}

#[tokio::test]
async fn e05_a_proof_that_is_not_exactly_right_is_refused() {
    let issuer = Key::new("k1");
    let (world, holder) = (World::knowing(&issuer), Holder::new(&issuer));
    let private = changed(public(&holder.key), &json!({"d": "c2VjcmV0"}));
    let shared = json!({"kty": "oct", "k": "c2VjcmV0"});
    let stranger = public(&Key::new("x"));
    let none = json!({});
    for (header, claims, reason) in [
        (json!({"alg": "none"}), none.clone(), "algorithm"),
        (json!({"alg": "HS256"}), none.clone(), "algorithm"),
        (json!({"alg": "ES256"}), none.clone(), "algorithm"),
        (json!({"alg": null}), none.clone(), "algorithm"),
        (json!({"typ": "JWT"}), none.clone(), "header"),
        (json!({"typ": null}), none.clone(), "header"),
        (json!({"crit": ["exp"]}), none.clone(), "header"),
        (json!({"jwk": private}), none.clone(), "private key"),
        (json!({"jwk": shared}), none.clone(), "private key"),
        (json!({"jwk": stranger}), none.clone(), "key"),
        (json!({"jwk": null}), none.clone(), "key"),
        (none.clone(), json!({"iat": NOW - 360}), "time"),
        (none.clone(), json!({"iat": NOW + 360}), "time"),
        (none.clone(), json!({"iat": NOW - 61}), "time"),
        (none.clone(), json!({"iat": NOW.to_string()}), "time"),
        (none.clone(), json!({"iat": null}), "time"),
        (none.clone(), json!({"htm": "GET"}), "method"),
        (none.clone(), json!({"htm": "post"}), "method"),
        (none.clone(), json!({"htm": null}), "method"),
        (none.clone(), json!({"htu": "https://cardea.example/other"}), "address"),
        (none.clone(), json!({"htu": "http://cardea.example/mcp"}), "address"),
        (none.clone(), json!({"htu": null}), "address"),
        (none.clone(), json!({"ath": "x"}), "token"),
        (none.clone(), json!({"ath": null}), "token"),
        (none.clone(), json!({"jti": null}), "id"),
        (none.clone(), json!({"jti": ""}), "id"),
        (none.clone(), json!({"jti": "x".repeat(257)}), "id"),
    ] {
        let proof = holder.proof(&header, &claims);
        assert_eq!(refusal(&world, &holder, &proof).await, format!("proof: {reason}"), "{header} {claims}");
    }
    let good = holder.proof(&none, &none);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    assert_eq!(refusal(&world, &holder, &format!("{signed}.{flipped}")).await, "proof: signature");
    assert_eq!(refusal(&world, &holder, &format!("{signed}.")).await, "proof: signature");
    for text in ["", ".", "..", "a.b.c"] {
        assert_eq!(refusal(&world, &holder, text).await, "proof: form", "{text}");
    }
    assert_eq!(refusal(&world, &holder, &"x".repeat(9_000)).await, "proof: size");

    let other = Holder::new(&issuer);
    let borrowed = holder.proof(&none, &none);
    assert_eq!(refusal(&world, &other, &borrowed).await, "proof: key", "another token, whoever stole it");
    let renewed = Holder {
        token: issuer.token(&json!({"cnf": {"jkt": thumbprint(&public(&holder.key))}, "jti": "2"})),
        key: holder.key,
    };
    assert_eq!(refusal(&world, &renewed, &borrowed).await, "proof: token");
    assert!(
        sign_in(
            &world,
            &renewed,
            &renewed.proof(&none, &json!({"htu": "HTTPS://Cardea.example:443/mcp?x=1"}))
        )
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn a_proof_with_an_elliptic_curve_key_counts_as_well() {
    let issuer = Key::new("k1");
    let world = World::knowing(&issuer);
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    let jwk = json!({"crv": "P-256", "kty": "EC", "x": x, "y": y});
    let token = issuer.token(&json!({"cnf": {"jkt": thumbprint(&jwk)}}));
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(proof_claims(&token).to_string())
    );
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(&random, signed.as_bytes()).unwrap());
    let proof = format!("{signed}.{signature}");
    assert!(world.auth.authenticate(&shown("DPoP", &token, &[&proof])).await.is_ok());
}

#[tokio::test]
async fn e07_a_token_bound_to_a_certificate_or_to_two_things_is_refused_whatever_the_headers_say() {
    let issuer = Key::new("k1");
    let (world, holder) = (World::knowing(&issuer), Holder::new(&issuer));
    let print = thumbprint(&public(&holder.key));
    for (confirmation, reason) in [
        (json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}), "sender-constrained"),
        (json!({"jkt": print, "x5t#S256": "x"}), "sender-constrained"),
        (json!({}), "sender-constrained"),
        (json!({"jkt": 5}), "claim `cnf`"),
        (json!("x"), "claim `cnf`"),
    ] {
        let token = issuer.token(&json!({"cnf": confirmation}));
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        headers.insert("x-forwarded-client-cert", "URI=spiffe://corp/agent".parse().unwrap());
        headers.insert("x-ssl-client-verify", "SUCCESS".parse().unwrap());
        let credentials = Credentials::from_headers(&headers, None).unwrap().of_request(&Method::POST, URL);
        let error = world.auth.authenticate(&credentials).await.unwrap_err();
        assert_eq!(
            (error.code().status(), error.cause_line().as_deref()),
            (401, Some(reason)),
            "{confirmation}"
        );
        headers.remove("authorization");
        let credentials = Credentials::from_headers(&headers, None).unwrap();
        assert!(credentials.is_none(), "a header that a proxy may set signs nobody in");
    }
}

#[tokio::test]
async fn a_remembered_token_still_needs_a_proof_each_time() {
    let issuer_key = Key::new("k1");
    let clock = cardea_core::time::ManualClock::at(cardea_core::time::Timestamp(NOW * 1_000));
    let net = Net::new(NetConfig::default(), clock.clone()).unwrap();
    let config = AuthConfig::default().issuer("corp", issuer().jwks(jwks(&[&issuer_key])));
    let auth = Auth::new(config, net, clock, Arc::new(NoKeys)).unwrap();
    let holder = Holder::new(&issuer_key);
    let proof = holder.proof(&json!({}), &json!({}));
    assert!(auth.authenticate(&shown("DPoP", &holder.token, &[&proof])).await.is_ok());
    assert!(auth.authenticate(&shown("Bearer", &holder.token, &[])).await.is_err());
    assert!(auth.authenticate(&shown("DPoP", &holder.token, &[&proof])).await.is_err());
}

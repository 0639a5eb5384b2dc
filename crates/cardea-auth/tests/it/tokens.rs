//! One token at a time: the cases A01 to A15 and B01 of the attack list.

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_auth::{Algorithm, Credentials, Revocation};
use cardea_core::{Code, secret::SecretString, time::Millis};
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use crate::world::{AUDIENCE, ISSUER, Key, NOW, World, claims, issuer, jwks};

#[tokio::test]
async fn ann_signs_in_and_her_token_says_who_she_is() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let token =
        key.token(&json!({"act": {"sub": "agent", "act": {"sub": "portal"}}, "aud": ["other", AUDIENCE]}));
    let peer = "10.1.2.3".parse().ok();
    let ann = world.auth.authenticate(&Credentials::token(&token, peer)).await.unwrap();
    assert_eq!((ann.tenant.as_str(), ann.user.as_str(), ann.issuer.as_str()), ("acme", "ann", ISSUER));
    assert!(ann.has_role("support") && ann.scopes.contains("chat") && !ann.scopes.contains("admin"));
    assert_eq!(ann.actors, ["agent", "portal"]);
    assert_eq!((ann.client.as_ref().unwrap().as_str(), ann.address), ("web", peer));
    let again = world.sign_in(&token).await.unwrap();
    assert_eq!(again.address, None, "the address is that of this request, not of a remembered one");
}

#[tokio::test]
async fn a_token_that_nobody_signed_or_that_brings_its_own_key_is_refused() {
    let (key, thief) = (Key::new("k1"), Key::new("k1"));
    let world = World::knowing(&key);
    let none = thief.sign(&json!({"alg": "none"}), &claims(&json!({})));
    let unsigned = format!("{}.", none.rsplit_once('.').unwrap().0);
    assert_eq!(world.refusal(&unsigned).await, "algorithm");
    for alg in ["None", "nOnE", "HS256", "RS256", "EdDSA ", ""] {
        let token = key.sign(&json!({"alg": alg, "kid": "k1"}), &claims(&json!({})));
        assert_ne!(world.refusal(&token).await, "", "{alg}");
    }
    assert_eq!(world.refusal(&thief.token(&json!({}))).await, "signature");
    assert_eq!(world.refusal(&Key::new("k2").token(&json!({}))).await, "unknown key");
    for (name, value) in [
        ("jku", json!("https://thief.example/keys")),
        ("x5u", json!("https://thief.example/cert")),
        ("jwk", thief.jwk()),
        ("x5c", json!(["MII"])),
        ("crit", json!(["exp"])),
    ] {
        let mut header = thief.header();
        header[name] = value;
        assert_eq!(world.refusal(&thief.sign(&header, &claims(&json!({})))).await, "header", "{name}");
    }
    assert!(world.sign_in(&key.token(&json!({}))).await.is_ok(), "the same request without the fault passes");
}

#[tokio::test]
async fn one_changed_letter_anywhere_in_a_token_refuses_it() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let token = key.token(&json!({}));
    for at in 0..token.len() {
        let mut letters = token.clone().into_bytes();
        letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(letters).unwrap();
        assert!(world.sign_in(&changed).await.is_err(), "letter {at}");
    }
}

#[tokio::test]
async fn a_public_key_cannot_be_used_as_a_shared_secret() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let pem = public_pem(der.as_ref());
    let world = World::new(issuer().pem(&pem), &[]);
    let forged = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims(&json!({})),
        &EncodingKey::from_secret(pem.as_bytes()),
    );
    assert_eq!(world.refusal(&forged.unwrap()).await, "algorithm");
    let honest = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
    let honest = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims(&json!({})), &honest).unwrap();
    assert!(world.sign_in(&honest).await.is_ok());
    let mut mixed = issuer().pem(&pem);
    mixed.algorithms = vec![Algorithm::ES256, Algorithm::HS256];
    assert!(try_world(mixed).is_err(), "a list that mixes both kinds does not start");
}

#[tokio::test]
async fn tokens_of_rsa_keys_and_of_shared_secrets_pass_too() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let world = World::new(issuer().pem(public_pem(der.as_ref())), &[]);
    let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let signing = EncodingKey::from_rsa_pem(private_pem(pkcs8.as_ref()).as_bytes()).unwrap();
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims(&json!({})), &signing).unwrap();
        assert!(world.sign_in(&token).await.is_ok(), "{algorithm:?}");
    }
    let weak = jsonwebtoken::encode(&Header::new(Algorithm::RS512), &claims(&json!({})), &signing).unwrap();
    assert_eq!(world.refusal(&weak).await, "algorithm", "only what is listed");

    let secret = "a secret of at least thirty-two bytes";
    let world = World::new(issuer().secret(SecretString::from(secret)), &[]);
    let signing = EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(&json!({})), &signing).unwrap();
    assert!(world.sign_in(&token).await.is_ok());
}

#[tokio::test]
async fn an_id_token_is_not_an_access_token() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let id_header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "k1"});
    let id_token = key.sign(&id_header, &claims(&json!({"aud": "web", "nonce": "n"})));
    assert_eq!(world.refusal(&id_token).await, "audience");
    let marked = key.sign(&id_header, &claims(&json!({"at_hash": "x"})));
    assert_eq!(world.refusal(&marked).await, "token kind");
    assert_eq!(world.refusal(&key.token(&json!({"cnf": {"jkt": "x"}}))).await, "sender-constrained");
    for kind in ["dpop+jwt", "oauth-id-jag+jwt", "logout+jwt"] {
        let token = key.sign(&json!({"alg": "EdDSA", "typ": kind, "kid": "k1"}), &claims(&json!({})));
        assert_eq!(world.refusal(&token).await, "token kind", "{kind}");
    }
    let strict = World::new(issuer().jwks(jwks(&[&key])).at_jwt(), &[]);
    assert_eq!(strict.refusal(&key.sign(&id_header, &claims(&json!({})))).await, "token kind");
    assert!(strict.sign_in(&key.token(&json!({}))).await.is_ok());
}

#[tokio::test]
async fn times_are_numbers_and_are_kept() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    assert!(world.sign_in(&key.token(&json!({"exp": NOW - 29}))).await.is_ok(), "within the leeway");
    let expired = world.sign_in(&key.token(&json!({"exp": NOW - 31}))).await.unwrap_err();
    assert_eq!(expired.code(), Code::TokenExpired);
    assert_eq!(world.refusal(&key.token(&json!({"nbf": NOW + 31}))).await, "not yet valid");
    assert_eq!(world.refusal(&key.token(&json!({"iat": NOW + 3_600}))).await, "not yet valid");
    for exp in
        [json!(null), json!("1900000000"), json!(-1), json!([NOW]), json!(1e13), json!(u64::MAX), json!(true)]
    {
        assert_eq!(world.refusal(&key.token(&json!({"exp": exp}))).await, "claim `exp`", "{exp}");
    }
    let good = claims(&json!({})).to_string();
    let huge = good.replace(&(NOW + 300).to_string(), "1e400");
    assert_eq!(world.refusal(&key.sign_text(&key.header().to_string(), &huge)).await, "malformed");
    for (name, bad) in [
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("aud", json!(null)),
        ("iss", json!(null)),
    ] {
        assert!(world.refusal(&key.token(&json!({name: bad}))).await.starts_with("claim"), "{name}");
    }
    assert_eq!(
        world.refusal(&key.token(&json!({"tenant": null}))).await,
        "claim `tenant`",
        "no tenant by accident"
    );
    assert_eq!(world.refusal(&key.token(&json!({"realm_access": {"roles": 5}}))).await, "claim `roles`");
}

#[tokio::test]
async fn a_remembered_token_ends_when_it_ends_and_when_it_is_revoked() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let token = key.token(&json!({}));
    assert!(world.sign_in(&token).await.is_ok());
    world.clock.advance(Millis::from_secs(331));
    assert_eq!(world.sign_in(&token).await.unwrap_err().code(), Code::TokenExpired);
    world.clock.set(cardea_core::time::Timestamp(NOW * 1_000));

    world.sign_in(&token).await.unwrap();
    let id = world.sign_in(&token).await.unwrap().token_id().unwrap().to_owned();
    let tenant = world.sign_in(&token).await.unwrap().tenant.clone();
    let elsewhere = Revocation::Token { tenant: "other".into(), issuer: None, id: id.clone(), until: None };
    world.auth.revoke(&elsewhere);
    assert!(world.sign_in(&token).await.is_ok(), "another tenant's revocation is not ours");
    world.auth.revoke(&Revocation::Token { tenant: tenant.clone(), issuer: None, id, until: None });
    assert_eq!(world.refusal(&token).await, "revoked");
    let other = key.token(&json!({"iat": NOW - 5}));
    let ann = world.sign_in(&other).await.unwrap();
    let now = cardea_core::time::Timestamp(NOW * 1_000);
    let revoked = |issuer: &str| Revocation::User {
        tenant: tenant.clone(),
        issuer: Some(issuer.to_owned()),
        user: ann.user.clone(),
        at: now,
    };
    world.auth.revoke(&revoked("https://another.example"));
    assert!(world.sign_in(&other).await.is_ok(), "the same name at another issuer is somebody else");
    world.auth.revoke(&revoked(ISSUER));
    assert_eq!(world.refusal(&other).await, "revoked");
    let same = key.token(&json!({"iat": NOW}));
    assert_eq!(world.refusal(&same).await, "revoked", "issued at that very moment");
    assert!(world.auth.still(&ann).await.is_err(), "a turn on its way is told before it does something");
    assert!(
        world.auth.resume(ann.principal().clone(), now).await.is_err(),
        "her sleeping turns do not go on either"
    );
    let later = now.plus(Millis(1));
    assert!(world.auth.resume(ann.principal().clone(), later).await.is_ok(), "one that began later does");
    assert!(world.sign_in(&key.token(&json!({"sub": "bob"}))).await.is_ok());
    let ahead = key.token(&json!({"iat": NOW + 30}));
    let soon = world.sign_in(&ahead).await.unwrap_err();
    assert_eq!(
        soon.code(),
        Code::TokenExpired,
        "by an issuer's clock that is ahead it may be from before: a new one helps"
    );
    world.clock.advance(Millis::from_secs(31));
    assert!(world.sign_in(&ahead).await.is_err(), "nor does it become good by waiting");
    let fresh = key.token(&json!({"iat": NOW + 31}));
    assert!(world.sign_in(&fresh).await.is_ok(), "a token from after it is new");
}

#[tokio::test]
async fn a_revoked_token_stays_refused_until_no_leeway_lets_it_in() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let token = key.token(&json!({"jti": "t1"}));
    let ann = world.sign_in(&token).await.unwrap();
    let revoke = |id: &str, until| {
        let (tenant, id) = (ann.tenant.clone(), id.to_owned());
        world.auth.revoke(&Revocation::Token { tenant, issuer: Some(ISSUER.to_owned()), id, until });
    };
    revoke("t1", ann.expires_at());
    world.clock.advance(Millis::from_secs(310));
    revoke("another", None);
    assert_eq!(world.refusal(&token).await, "revoked", "over, but within the leeway");
}

#[tokio::test]
async fn an_id_belongs_to_the_issuer_that_gave_it() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let token = key.token(&json!({"jti": "1"}));
    let revoke = |issuer: Option<&str>| {
        let (tenant, id) = ("acme".into(), "1".to_owned());
        world.auth.revoke(&Revocation::Token { tenant, issuer: issuer.map(str::to_owned), id, until: None });
    };
    revoke(Some("https://another.example"));
    assert!(world.sign_in(&token).await.is_ok(), "another issuer counts its own tokens");
    revoke(None);
    assert_eq!(world.refusal(&token).await, "revoked");
}

#[tokio::test]
async fn what_only_other_kinds_of_tokens_say_makes_no_access_token() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let plain = json!({"alg": "EdDSA", "kid": "k1"});
    let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for odd in [
        json!({"events": logout}),
        json!({"nonce": "n", "scope": null}),
        json!({"c_hash": "x"}),
        json!({"s_hash": "x"}),
        json!({"token_use": "id"}),
    ] {
        assert_eq!(world.refusal(&key.sign(&plain, &claims(&odd))).await, "token kind", "{odd}");
    }
    for good in [json!({"nonce": "n"}), json!({"nonce": "n", "scope": null, "typ": "Bearer"})] {
        assert!(world.sign_in(&key.sign(&plain, &claims(&good))).await.is_ok(), "{good}");
    }
    for kind in ["logout+jwt", "secevent+jwt", "dpop+jwt"] {
        let token = key.sign(&json!({"alg": "EdDSA", "typ": kind, "kid": "k1"}), &claims(&json!({})));
        assert_eq!(world.refusal(&token).await, "token kind", "{kind}");
    }
}

#[tokio::test]
async fn the_new_name_of_an_algorithm_is_as_good_as_the_old_one() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let token = key.sign(&json!({"alg": "Ed25519", "typ": "at+jwt", "kid": "k1"}), &claims(&json!({})));
    assert!(world.sign_in(&token).await.is_ok());
}

#[tokio::test]
async fn roles_in_one_text_are_checked_as_those_in_a_list() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    for odd in ["x".repeat(257), "support\tadmin".to_owned()] {
        for roles in [json!(odd), json!([odd])] {
            let token = key.token(&json!({"realm_access": {"roles": roles}}));
            assert_eq!(world.refusal(&token).await, "claim `roles`", "{roles}");
        }
    }
}

/// `order - number` of the curve P-256, both in 32 bytes: the other `s` of the same ECDSA signature.
fn negated(s: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (mut result, mut borrow) = (vec![0; 32], 0_i16);
    for at in (0..32).rev() {
        let digit = i16::from(ORDER[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(digit < 0);
        result[at] = u8::try_from(digit + 256 * borrow).unwrap();
    }
    result
}

#[tokio::test]
async fn a_revoked_token_does_not_come_back_with_another_signature_of_the_same_text() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let world = World::new(issuer().pem(public_pem(der.as_ref())), &[]);
    let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims(&json!({})), &key).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = bytes.split_at(32);
    let twin = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([r, &negated(s)].concat()));
    assert_ne!(token, twin);
    let ann = world.sign_in(&token).await.unwrap();
    assert!(world.sign_in(&twin).await.is_ok(), "the algorithm has two signatures for one text");
    let id = ann.token_id().unwrap().to_owned();
    world.auth.revoke(&Revocation::Token { tenant: ann.tenant.clone(), issuer: None, id, until: None });
    assert_eq!(world.refusal(&token).await, "revoked");
    assert_eq!(world.refusal(&twin).await, "revoked");
}

#[tokio::test]
async fn a_token_for_another_server_or_of_another_issuer_is_refused() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    for aud in [
        json!("https://other.example"),
        json!([]),
        json!([format!("{AUDIENCE}/")]),
        json!(AUDIENCE.to_uppercase()),
    ] {
        assert_eq!(world.refusal(&key.token(&json!({"aud": aud}))).await, "audience", "{aud}");
    }
    assert_eq!(world.refusal(&key.token(&json!({"aud": [AUDIENCE, 5]}))).await, "claim `aud`");
    assert_eq!(world.refusal(&key.token(&json!({"iss": format!("{ISSUER}/")}))).await, "issuer");
}

#[tokio::test]
async fn a_token_that_two_readers_could_read_differently_is_refused() {
    let key = Key::new("k1");
    let world = World::knowing(&key);
    let good = claims(&json!({})).to_string();
    let header = key.header().to_string();
    for member in [r#""sub":"eve","#, r#""aud":"x","#, r#""scope":"admin","#, r#""\u0073ub":"eve","#] {
        let doubled = good.replacen('{', &format!("{{{member}"), 1);
        assert_eq!(world.refusal(&key.sign_text(&header, &doubled)).await, "malformed", "{member}");
    }
    let header_twice = header.replacen('{', r#"{"alg":"none","#, 1);
    assert_eq!(world.refusal(&key.sign_text(&header_twice, &good)).await, "malformed");
    let deep =
        format!(r#"{{"x":{}1{},{}"#, "[".repeat(200), "]".repeat(200), good.strip_prefix('{').unwrap());
    assert_eq!(world.refusal(&key.sign_text(&header, &deep)).await, "malformed");
    let huge = key.token(&json!({"padding": "x".repeat(1 << 20)}));
    assert_eq!(world.refusal(&huge).await, "size");
    for text in ["", ".", "..", "...", "a.b.c", "a.b.c.d", "é.é.é"] {
        assert_eq!(world.refusal(text).await, "malformed", "{text}");
    }
}

#[test]
fn a_credential_comes_in_one_header_or_not_at_all() {
    let read = |pairs: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Credentials::from_headers(&headers, None)
    };
    assert!(read(&[("cookie", "token=x"), ("content-type", "application/json")]).unwrap().is_none());
    assert!(!read(&[("authorization", "bearer abc")]).unwrap().is_none());
    for two in [
        [("authorization", "Bearer a"), ("authorization", "Bearer b")],
        [("authorization", "Bearer a"), ("x-api-key", "b")],
        [("x-api-key", "a"), ("x-api-key", "a")],
    ] {
        assert_eq!(read(&two).unwrap_err().code(), Code::BadRequest);
    }
    for wrong in ["Basic abc", "DPoP abc", "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "abc"] {
        assert_eq!(read(&[("authorization", wrong)]).unwrap_err().code(), Code::TokenInvalid, "{wrong}");
    }
    let large = format!("Bearer {}", "x".repeat(9_000));
    assert_eq!(read(&[("authorization", &large)]).unwrap_err().code(), Code::TokenInvalid);
    let shown = read(&[("authorization", "Bearer very-secret")]).unwrap();
    assert!(!format!("{shown:?}").contains("very-secret"));
}

fn try_world(issuer: cardea_auth::IssuerConfig) -> cardea_core::Result<cardea_auth::Auth> {
    let clock = cardea_core::time::ManualClock::at(cardea_core::time::Timestamp(NOW * 1_000));
    let net = cardea_net::Net::new(cardea_net::NetConfig::default(), clock.clone()).unwrap();
    let config = cardea_auth::AuthConfig::default().issuer("corp", issuer);
    cardea_auth::Auth::new(config, net, clock, std::sync::Arc::new(cardea_auth::NoKeys))
}

#[test]
fn a_configuration_that_could_not_work_does_not_start() {
    let weak = |secret: &str| issuer().secret(SecretString::from(secret));
    let mut no_audience = weak("a secret of at least thirty-two bytes");
    no_audience.audience.clear();
    for wrong in [
        issuer(),
        weak("short"),
        weak("${JWT_SECRET_THAT_NOBODY_EXPANDED_123}"),
        weak("a secret of at least thirty-two bytes").jwks_url("https://id.example/keys"),
        issuer().jwks(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#),
        issuer().pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
        issuer().jwks_url("https://user:pw@id.example/keys"),
        no_audience,
    ] {
        assert_eq!(try_world(wrong).unwrap_err().code(), Code::Misconfigured);
    }
    let text = "[issuers.corp]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"none\"]\nsecret = \"x\"";
    assert!(toml::from_str::<cardea_auth::AuthConfig>(text).is_err());
    let text = "[issuers.corp]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"ES256\"]\njwks_url = \"https://i/k\"";
    assert!(toml::from_str::<cardea_auth::AuthConfig>(text).is_ok());
}

fn public_pem(der: &[u8]) -> String {
    wrap("PUBLIC KEY", der)
}

fn private_pem(der: &[u8]) -> String {
    wrap("PRIVATE KEY", der)
}

fn wrap(kind: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

use std::sync::{Arc, atomic::Ordering};

use cardea_auth::{Auth, AuthConfig, Caller, Credentials, KeyDirectory as _};
use cardea_core::{
    Code, cost::Prices, log::ChainKey, principal::Proof, secret::ExposeSecret, time::ManualClock,
};
use cardea_net::{Net, NetConfig};
use cardea_store::{DbConfig, args};

use serde_json::json;

use super::*;
use crate::vault;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct House {
    identity: Identity,
    auth: Auth,
    db: Db,
    clock: Arc<ManualClock>,
}

async fn open(db: Db, clock: &Arc<ManualClock>, enabled: bool) -> House {
    let shared: SharedClock = clock.clone();
    let config = vault::Config {
        root_key: Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()),
        ..vault::Config::default()
    };
    let root = vault::RootKey::load(&config, std::path::Path::new("/nowhere")).unwrap();
    let observe = Observe::new(db.clone(), shared.clone(), Prices::default());
    let vault = Vault::new(db.clone(), observe.clone(), root, shared.clone()).await;
    let config = Config { enabled, ..Config::default() };
    let identity = Identity::open(db.clone(), observe, &vault, shared.clone(), &config).await.unwrap();
    let mut config = AuthConfig::default();
    if let Some(issuer) = identity.try_out_issuer() {
        config = config.issuer("try-out", issuer);
    }
    let net = Net::new(NetConfig::default(), shared.clone()).unwrap();
    let auth = Auth::new(config, net, shared, Arc::new(identity.clone())).unwrap();
    House { identity, auth, db, clock: clock.clone() }
}

async fn house(enabled: bool) -> House {
    let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&[1; 32])).await.unwrap();
    db.migrate().await.unwrap();
    open(db, &ManualClock::at(NOW), enabled).await
}

impl House {
    async fn ann(&self) -> Caller {
        let mint = Mint::new("acme", "ann").roles(["admin", "support"]).scopes(["read"]);
        let token = self.identity.mint(&mint).unwrap();
        self.auth.authenticate(&Credentials::token(token.expose_secret(), None)).await.unwrap()
    }

    async fn with_key(&self, key: &SecretString) -> Result<Caller> {
        self.auth.authenticate(&Credentials::key(key.expose_secret(), None)).await
    }
}

/// An upstream that trusts Cardea for its audience.
fn upstream(house: &House, audience: &str) -> Auth {
    let issuer = IssuerConfig::new(ISSUER, audience).jwks(house.identity.upstream_jwks().to_string());
    let config = AuthConfig::default().issuer("cardea", issuer.tenant_claim("tenant").at_jwt());
    let shared: SharedClock = house.clock.clone();
    let net = Net::new(NetConfig::default(), shared.clone()).unwrap();
    Auth::new(config, net, shared, Arc::new(cardea_auth::NoKeys)).unwrap()
}

#[tokio::test]
async fn a_key_is_shown_once_works_for_its_user_and_stops_when_revoked() {
    let house = house(true).await;
    let ann = house.ann().await;
    let new = NewKey {
        user: Some("robot".into()),
        name: "nightly".into(),
        roles: ["support".to_owned()].into(),
        expires: Some(Millis::from_secs(3_600)),
        ..NewKey::default()
    };
    let made = house.identity.create_key(&ann, new, None).await.unwrap();
    let robot = house.with_key(&made.key).await.unwrap();
    assert_eq!((robot.tenant.as_str(), robot.user.as_str(), robot.proof), ("acme", "robot", Proof::ApiKey));
    assert!(robot.has_role("support") && !robot.has_role("admin"));
    house.identity.flush_last_use().await.unwrap();
    let listed = house.identity.operator_keys(&ann.tenant).await.unwrap();
    assert_eq!(
        (listed.len(), listed[0].last_used_at, listed[0].created_by.as_str()),
        (1, Some(NOW), "ann (cardea-try-out)")
    );

    let secret = made.key.expose_secret().rsplit_once('_').unwrap().1.to_owned();
    let rows: Vec<(Vec<u8>, String)> =
        house.db.rows("SELECT hash, prefix FROM api_keys", args![]).await.unwrap();
    let bodies: Vec<(Vec<u8>,)> = house.db.rows("SELECT body FROM audit", args![]).await.unwrap();
    let kept = format!("{rows:?}{bodies:?}{}{made:?}", serde_json::to_string(&listed).unwrap());
    assert!(!kept.contains(&secret));
    assert!(serde_json::to_string(&made).unwrap().contains(&secret), "the one answer that shows it");

    let stranger =
        house.auth.embedded(cardea_auth::VerifiedClaims::new("other", "eve").role("admin")).unwrap();
    assert!(house.identity.operator_keys(&stranger.tenant).await.unwrap().is_empty());
    let foreign = house.identity.revoke_key(&stranger, made.info.id).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
    assert!(house.with_key(&made.key).await.is_ok());

    house.identity.revoke_key(&ann, made.info.id).await.unwrap();
    assert_eq!(
        house.with_key(&made.key).await.unwrap_err().code(),
        Code::TokenInvalid,
        "at once on this node"
    );
    assert!(house.auth.resume(robot.principal().clone(), Timestamp(0)).await.is_err());
}

#[tokio::test]
async fn a_key_that_is_revoked_while_it_is_looked_up_is_not_remembered() {
    let house = house(true).await;
    let ann = house.ann().await;
    let made = house.identity.create_key(&ann, NewKey::default(), None).await.unwrap();
    let prefix = made.info.prefix.as_str();
    // Somebody has read its row, and goes on only after it was revoked.
    let before = house.identity.0.forgotten.load(Ordering::SeqCst);
    let read = house.identity.find(prefix).await.unwrap().unwrap();
    house.identity.revoke_key(&ann, made.info.id).await.unwrap();
    house.identity.remember(prefix, &read, before);
    assert!(house.identity.find(prefix).await.unwrap().unwrap().revoked_at.is_some());
    assert_eq!(house.with_key(&made.key).await.unwrap_err().code(), Code::TokenInvalid);
}

#[tokio::test]
async fn a_key_ends_on_time_and_bad_names_make_none() {
    let house = house(false).await;
    let tenant = TenantId::from("acme");
    let new = NewKey { user: Some("robot".into()), expires: Some(Millis(1_000)), ..NewKey::default() };
    let made = house.identity.operator_create_key(&tenant, new).await.unwrap();
    assert!(house.with_key(&made.key).await.is_ok());
    house.clock.advance(Millis(1_000));
    assert_eq!(house.with_key(&made.key).await.unwrap_err().code(), Code::TokenExpired);
    for user in [None, Some(""), Some("a b"), Some("a\nb")] {
        let new = NewKey { user: user.map(Into::into), ..NewKey::default() };
        assert_eq!(
            house.identity.operator_create_key(&tenant, new).await.unwrap_err().code(),
            Code::BadRequest
        );
    }
    assert_eq!(house.identity.operator_keys(&tenant).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_gets_a_key_of_the_installations_own_tenant() {
    let house = house(false).await;
    let new = NewKey { user: Some("robot".into()), ..NewKey::default() };
    let made = house.identity.operator_create_key(&TenantId::from("cardea"), new).await;
    assert_eq!(made.unwrap_err().code(), Code::BadRequest);
}

#[tokio::test]
async fn a_key_that_a_key_made_ends_with_it_and_goes_with_it() {
    let house = house(true).await;
    let ann = house.ann().await;
    let key = |user: &str, life: Option<u64>| NewKey {
        user: Some(user.into()),
        roles: ["support".to_owned()].into(),
        expires: life.map(Millis::from_secs),
        ..NewKey::default()
    };
    let short = house.identity.create_key(&ann, key("robot", Some(3_600)), None).await.unwrap();
    let robot = house.with_key(&short.key).await.unwrap();
    for life in [None, Some(86_400)] {
        let made = house.identity.create_key(&robot, key("other", life), None).await.unwrap();
        assert_eq!(made.info.expires_at, short.info.expires_at, "no longer than its maker");
    }
    let made = house.identity.create_key(&robot, key("other", Some(60)), None).await.unwrap();
    assert!(made.info.expires_at < short.info.expires_at);
    assert_eq!(made.info.created_by, format!("robot ({})", short.info.id));
    let other = house.with_key(&made.key).await.unwrap();
    let third = house.identity.create_key(&other, key("third", None), None).await.unwrap();
    let apart = house.identity.create_key(&ann, key("third", None), None).await.unwrap();
    let out = Revoke::User { user: "robot".into(), issuer: None, keys: true };
    house.identity.revoke_tokens(&ann, out).await.unwrap();
    for gone in [&short, &made, &third] {
        assert!(house.with_key(&gone.key).await.is_err(), "{}", gone.info.user);
    }
    assert!(house.with_key(&apart.key).await.is_ok(), "made by somebody who stays");
}

#[tokio::test]
async fn tokens_for_trying_out_exist_only_where_they_are_switched_on() {
    let on = house(true).await;
    assert_eq!(on.ann().await.issuer, TRY_OUT_ISSUER);
    let token = on.identity.mint(&Mint::new("acme", "ann")).unwrap();
    let off = open(on.db.clone(), &on.clock, false).await;
    assert_eq!(off.identity.mint(&Mint::new("acme", "ann")).unwrap_err().code(), Code::Misconfigured);
    assert!(off.auth.authenticate(&Credentials::token(token.expose_secret(), None)).await.is_err());
    assert_eq!(off.identity.jwks(), off.identity.upstream_jwks());
    let again = open(on.db.clone(), &on.clock, true).await;
    assert!(
        again.auth.authenticate(&Credentials::token(token.expose_secret(), None)).await.is_ok(),
        "a restart keeps the key"
    );
}

#[tokio::test]
async fn an_upstream_learns_who_asks_through_whom_and_nobody_else_can_use_the_token() {
    let house = house(true).await;
    let ann = house.ann().await;
    let token = house.identity.for_upstream(&ann, "https://ops").await.unwrap();
    let shown = Credentials::token(token.expose_secret(), None);
    let seen = upstream(&house, "https://ops").authenticate(&shown).await.unwrap();
    assert_eq!((seen.user.as_str(), seen.tenant.as_str(), seen.issuer.as_str()), ("ann", "acme", ISSUER));
    assert_eq!(
        (&seen.roles, &seen.scopes, &seen.actors),
        (&ann.roles, &ann.scopes, &vec!["cardea".to_owned()])
    );
    assert_eq!(seen.expires_at(), Some(Timestamp(NOW.0 + 300_000)), "five minutes, though hers has fifteen");
    let origin = |seen: &Caller| json!([seen.claims()["idp"], seen.claims()["idp_proof"]]);
    assert_eq!(origin(&seen), json!([TRY_OUT_ISSUER, "token"]));
    let new = NewKey { user: Some("ann".into()), ..NewKey::default() };
    let key = house.identity.create_key(&ann, new, None).await.unwrap();
    let with_key = house.with_key(&key.key).await.unwrap();
    let token = house.identity.for_upstream(&with_key, "https://ops").await.unwrap();
    let other = Credentials::token(token.expose_secret(), None);
    let other = upstream(&house, "https://ops").authenticate(&other).await.unwrap();
    assert_eq!(other.user, seen.user);
    assert_eq!(origin(&other), json!(["cardea:keys", "api_key"]), "the same name, and somebody else");

    assert!(upstream(&house, "https://other").authenticate(&shown).await.is_err());
    assert!(house.auth.authenticate(&shown).await.is_err(), "it does not sign in at Cardea");
    let own = house.identity.mint(&Mint::new("acme", "ann")).unwrap();
    let own = Credentials::token(own.expose_secret(), None);
    assert!(
        upstream(&house, TRY_OUT_AUDIENCE).authenticate(&own).await.is_err(),
        "nor is hers good upstream"
    );
}

#[tokio::test]
async fn a_token_for_an_upstream_is_made_once_but_never_outlives_the_callers_own() {
    let house = house(true).await;
    let ann = house.ann().await;
    let first = house.identity.for_upstream(&ann, "https://ops").await.unwrap();
    house.clock.advance(Millis::from_secs(239));
    let same = house.identity.for_upstream(&ann, "https://ops").await.unwrap();
    assert_eq!(first.expose_secret(), same.expose_secret());
    house.clock.advance(Millis::from_secs(1));
    let next = house.identity.for_upstream(&ann, "https://ops").await.unwrap();
    assert_ne!(first.expose_secret(), next.expose_secret(), "a minute before its end it is renewed");

    let fewer = house.auth.embedded(cardea_auth::VerifiedClaims::new("acme", "ann").role("support")).unwrap();
    let other = house.identity.for_upstream(&fewer, "https://ops").await.unwrap();
    assert_ne!(next.expose_secret(), other.expose_secret(), "other rights, other token");

    house.clock.set(Timestamp(NOW.0 + 890_000));
    let last = house.identity.for_upstream(&ann, "https://ops").await.unwrap();
    let seen = Credentials::token(last.expose_secret(), None);
    let seen = upstream(&house, "https://ops").authenticate(&seen).await.unwrap();
    assert!(seen.expires_at() <= ann.expires_at());
    house.clock.set(Timestamp(NOW.0 + 900_000));
    assert_eq!(
        house.identity.for_upstream(&ann, "https://ops").await.unwrap_err().code(),
        Code::TokenExpired
    );
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_forgotten_only_when_nobody_lets_it_in() {
    let house = house(true).await;
    let token = house.identity.mint(&Mint::new("acme", "ann")).unwrap();
    let shown = Credentials::token(token.expose_secret(), None);
    let ann = house.auth.authenticate(&shown).await.unwrap();
    let (id, issuer) = (ann.token_id().unwrap().to_owned(), Some(ann.issuer.clone()));
    house.identity.revoke_tokens(&ann, Revoke::Token { id, issuer, until: ann.expires_at() }).await.unwrap();
    house.clock.set(ann.expires_at().unwrap().plus(Millis::from_secs(10)));
    let other = Revoke::User { user: "bob smith".into(), issuer: None, keys: false };
    house.identity.operator_revoke_tokens(&"acme".into(), other).await.unwrap();
    let again = open(house.db.clone(), &house.clock, true).await;
    again.identity.learn_revocations(&again.auth).await.unwrap();
    assert!(again.auth.authenticate(&shown).await.is_err(), "it is over, but within the leeway");
    house.clock.advance(cardea_auth::REMEMBERED_AFTER_END);
    let other = Revoke::User { user: "bob".into(), issuer: None, keys: false };
    house.identity.operator_revoke_tokens(&"acme".into(), other).await.unwrap();
    assert_eq!(house.identity.revocations(&"acme".into()).await.unwrap().len(), 2, "the two users");
}

#[tokio::test]
async fn the_installation_has_a_token_of_its_own() {
    let house = house(false).await;
    let roles = ["reader".to_owned()];
    let token = house.identity.for_installation("https://ops", &roles, &[]).await.unwrap();
    let seen = Credentials::token(token.expose_secret(), None);
    let seen = upstream(&house, "https://ops").authenticate(&seen).await.unwrap();
    assert_eq!((seen.user.as_str(), seen.has_role("reader")), ("cardea", true));
}

//! API keys, callers from elsewhere, and our own tokens.

use std::sync::{Arc, Mutex};

use cardea_auth::{
    Auth, AuthConfig, Claims, Credentials, IssuerConfig, KeyDirectory, KeyRecord, Lifetime, NewKey, Signer,
    StaticKeys, VerifiedClaims,
};
use cardea_core::{
    Code, Result,
    id::KeyId,
    principal::Proof,
    secret::{ExposeSecret, SecretString},
    time::{ManualClock, Millis, SharedClock, Timestamp},
};
use cardea_net::{Net, NetConfig};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A directory that notes each use.
#[derive(Default)]
struct Noting(StaticKeys, Mutex<Vec<KeyId>>);

impl KeyDirectory for Noting {
    fn find<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>>> {
        self.0.find(prefix)
    }

    fn find_by_id(&self, id: KeyId) -> BoxFuture<'_, Result<Option<Arc<KeyRecord>>>> {
        self.0.find_by_id(id)
    }

    fn used(&self, id: KeyId, _: Timestamp) {
        self.1.lock().unwrap().push(id);
    }
}

fn auth(config: AuthConfig, clock: &Arc<ManualClock>, directory: Arc<dyn KeyDirectory>) -> Auth {
    let shared: SharedClock = clock.clone();
    let net = Net::new(NetConfig::default(), shared.clone()).unwrap();
    Auth::new(config, net, shared, directory).unwrap()
}

#[tokio::test]
async fn a_key_works_until_it_ends_and_only_whole() {
    let clock = ManualClock::at(NOW);
    let new = NewKey::generate().unwrap();
    let record = KeyRecord::of(&new.key, "acme", "robot").unwrap().roles(["support"]).scopes(["chat"]);
    let record = record.expires_at(Timestamp(NOW.0 + 1_000));
    let id = record.id;
    let directory = Arc::new(Noting(StaticKeys::default().with(record), Mutex::default()));
    let auth = auth(AuthConfig::default(), &clock, directory.clone());
    let key = new.key.expose_secret();

    for header in ["authorization", "x-api-key"] {
        let mut headers = HeaderMap::new();
        let value = if header == "authorization" { format!("Bearer {key}") } else { key.to_owned() };
        headers.insert(header, HeaderValue::from_str(&value).unwrap());
        let robot = auth.authenticate(&Credentials::from_headers(&headers, None).unwrap()).await.unwrap();
        assert_eq!((robot.user.as_str(), robot.proof, robot.key_id()), ("robot", Proof::ApiKey, Some(id)));
        assert!(robot.has_role("support") && robot.scopes.contains("chat"));
    }
    assert_eq!(*directory.1.lock().unwrap(), [id, id]);

    let named = NewKey::generate().unwrap();
    let record = KeyRecord::of(&named.key, "acme", "robot").unwrap().client("night-shift");
    let shifts = self::auth(AuthConfig::default(), &clock, Arc::new(StaticKeys::default().with(record)));
    let night = shifts.authenticate(&Credentials::key(named.key.expose_secret(), None)).await.unwrap();
    assert_eq!(night.client.as_ref().map(|client| client.as_str()), Some("night-shift"));

    let other = NewKey::generate().unwrap();
    let (_, other_secret) = other.key.expose_secret().rsplit_once('_').unwrap();
    let wrong_secret = format!("ck_{}_{other_secret}", new.prefix);
    for wrong in [
        &wrong_secret,
        other.key.expose_secret(),
        key.strip_suffix(|_: char| true).unwrap(),
        &key.to_uppercase(),
        "ck_",
        "ck__",
        "",
    ] {
        let error = auth.authenticate(&Credentials::key(wrong, None)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.cause_line().as_deref()),
            (Code::TokenInvalid, Some("api key")),
            "{wrong}"
        );
    }
    assert_eq!(directory.1.lock().unwrap().len(), 2, "a refused key was not used");
    clock.advance(Millis(1_000));
    let ended = auth.authenticate(&Credentials::key(key, None)).await.unwrap_err();
    assert_eq!(ended.code(), Code::TokenExpired);
    assert!(!format!("{new:?}").contains(key.rsplit_once('_').unwrap().1), "the key is not printed");
}

#[tokio::test]
async fn a_key_of_the_installations_own_tenant_is_none() {
    let clock = ManualClock::at(NOW);
    let new = NewKey::generate().unwrap();
    let record = KeyRecord::of(&new.key, "cardea", "robot").unwrap();
    let auth = auth(AuthConfig::default(), &clock, Arc::new(StaticKeys::default().with(record)));
    let refused = auth.authenticate(&Credentials::key(new.key.expose_secret(), None)).await.unwrap_err();
    assert_eq!((refused.code(), refused.cause_line().as_deref()), (Code::TokenInvalid, Some("tenant")));
}

#[tokio::test]
async fn a_sleeping_turn_goes_on_with_the_rights_its_key_has_now() {
    let clock = ManualClock::at(NOW);
    let new = NewKey::generate().unwrap();
    let record = KeyRecord::of(&new.key, "acme", "robot").unwrap().roles(["support"]);
    let before = auth(AuthConfig::default(), &clock, Arc::new(StaticKeys::default().with(record.clone())));
    let robot = before.authenticate(&Credentials::key(new.key.expose_secret(), None)).await.unwrap();

    let fewer = KeyRecord { roles: Default::default(), ..record.clone() };
    let after = auth(AuthConfig::default(), &clock, Arc::new(StaticKeys::default().with(fewer)));
    assert!(!after.resume(robot.principal().clone(), Timestamp(0)).await.unwrap().has_role("support"));

    let revoked = KeyRecord { revoked_at: Some(NOW), ..record };
    let after = auth(AuthConfig::default(), &clock, Arc::new(StaticKeys::default().with(revoked)));
    assert!(after.resume(robot.principal().clone(), Timestamp(0)).await.is_err());
    let after = auth(AuthConfig::default(), &clock, Arc::new(StaticKeys::default()));
    assert!(after.resume(robot.principal().clone(), Timestamp(0)).await.is_err());
}

#[tokio::test]
async fn our_own_token_is_accepted_by_its_audience_and_short_lived() {
    let clock = ManualClock::at(NOW);
    let signer = Signer::new("https://cardea.local", &Signer::new_key().unwrap(), Lifetime::Short).unwrap();
    let claims = Claims {
        subject: "ann".into(),
        audience: "https://ops.example".to_owned(),
        tenant: "acme".into(),
        roles: ["support".to_owned()].into(),
        scopes: ["read".to_owned(), "write".to_owned()].into(),
        client: Some("cardea".to_owned()),
        actors: vec!["cardea".to_owned(), "portal".to_owned()],
        lifetime: Millis::from_secs(3_600),
    };
    let token = signer.sign(&claims, NOW).unwrap();
    let issuer = |audience: &str| {
        let issuer = IssuerConfig::new("https://cardea.local", audience).jwks(signer.jwks().to_string());
        AuthConfig::default().issuer("cardea", issuer.tenant_claim("tenant").at_jwt())
    };
    let ops = auth(issuer("https://ops.example"), &clock, Arc::new(StaticKeys::default()));
    let shown = Credentials::token(token.expose_secret(), None);
    let ann = ops.authenticate(&shown).await.unwrap();
    assert_eq!((ann.user.as_str(), ann.tenant.as_str()), ("ann", "acme"));
    assert_eq!(
        (ann.actors.clone(), ann.scopes.clone(), ann.roles.clone()),
        (claims.actors, claims.scopes, claims.roles)
    );
    assert_eq!(ann.expires_at(), Some(Timestamp(NOW.0 + 15 * 60_000)), "an hour was cut to a quarter of it");

    let other = auth(issuer("https://other.example"), &clock, Arc::new(StaticKeys::default()));
    assert!(other.authenticate(&shown).await.is_err());
}

#[tokio::test]
async fn a_program_vouches_for_its_user_and_nobody_else_gets_in() {
    let clock = ManualClock::at(NOW);
    let auth = auth(
        AuthConfig { api_keys: false, ..AuthConfig::default() },
        &clock,
        Arc::new(StaticKeys::default()),
    );
    let ann = auth.embedded(VerifiedClaims::new("acme", "ann").role("support").scope("chat")).unwrap();
    assert_eq!((ann.proof, ann.has_role("support")), (Proof::Embedded, true));
    for nobody in [
        VerifiedClaims::new("", "ann"),
        VerifiedClaims::new("acme", ""),
        VerifiedClaims::new("acme", "a\u{7}nn"),
        VerifiedClaims::new("acme", "n".repeat(257).as_str()),
        VerifiedClaims::new("acme", "ann").role(""),
        VerifiedClaims::new("acme", "ann").scope("re\nad"),
    ] {
        let refused = auth.embedded(nobody.clone()).unwrap_err();
        assert_eq!(refused.code(), Code::BadRequest, "{nobody:?}");
    }
    assert!(auth.anonymous(None).roles.is_empty());
    let none = auth.authenticate(&Credentials::none(None)).await.unwrap_err();
    assert_eq!(none.code(), Code::NotSignedIn);
    let key = SecretString::from(NewKey::generate().unwrap().key.expose_secret().to_owned());
    assert!(
        auth.authenticate(&Credentials::key(key.expose_secret(), None)).await.is_err(),
        "keys are switched off"
    );
}

//! Whose tenants an issuer speaks for.

use serde_json::json;

use crate::world::{Key, World, issuer, jwks};

#[tokio::test]
async fn an_issuer_speaks_for_its_own_tenants() {
    let key = Key::new("k1");
    let mut config = issuer().jwks(jwks(&[&key]));
    config.tenants = vec!["acme".to_owned(), "bolt".to_owned()];
    let world = World::new(config, &[]);
    assert!(world.sign_in(&key.token(&json!({"tenant": "bolt"}))).await.is_ok());
    assert_eq!(world.refusal(&key.token(&json!({"tenant": "other"}))).await, "tenant");
}

#[tokio::test]
async fn nobodys_token_speaks_for_the_installation_itself() {
    let key = Key::new("k1");
    let world = World::new(issuer().jwks(jwks(&[&key])), &[]);
    assert_eq!(world.refusal(&key.token(&json!({"tenant": "cardea", "roles": ["auditor"]}))).await, "tenant");
}

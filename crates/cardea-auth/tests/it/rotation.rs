//! Key sets behind an address: rotation, floods, failures (L01, L03, G05).

use cardea_core::time::Millis;
use futures::future::join_all;
use serde_json::json;

use crate::world::{Key, KeyServer, World, issuer};

#[tokio::test]
async fn a_thousand_calls_across_a_rotation_all_pass_with_one_fetch() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let server = KeyServer::start(&[&old]).await;
    let world = server.world();
    world.auth.refresh().await;
    assert!(world.auth.is_ready());
    assert_eq!(server.asked(), 1);
    world.clock.advance(Millis::from_secs(31));

    server.shows(&[&old, &new]);
    let tokens: Vec<String> = (0..1_000)
        .map(|n| if n % 2 == 0 { &old } else { &new }.token(&json!({"jti": n.to_string()})))
        .collect();
    let answers = join_all(tokens.iter().map(|token| world.sign_in(token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 0);
    assert_eq!(server.asked(), 2, "all who met the new key shared one fetch");
}

#[tokio::test]
async fn keys_that_change_right_after_a_scheduled_fetch_are_found_at_once() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let server = KeyServer::start(&[&old]).await;
    let world = server.world();
    world.auth.refresh().await;
    server.shows(&[&old, &new]);
    assert!(world.sign_in(&new.token(&json!({}))).await.is_ok());
    assert_eq!(world.refusal(&Key::new("k3").token(&json!({}))).await, "unknown key");
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn random_key_ids_cause_few_fetches_and_good_calls_go_on() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key]).await;
    let world = server.world();
    world.auth.refresh().await;
    world.clock.advance(Millis::from_secs(31));
    let good = key.token(&json!({}));
    let flood: Vec<String> = (0..500).map(|n| Key::new(&format!("x{n}")).token(&json!({}))).collect();

    server.hold();
    let held = async {
        // The flood waits for the fetch; the good call does not.
        while server.asked() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(world.sign_in(&good).await.is_ok());
        server.let_go();
    };
    let (answers, ()) = futures::join!(join_all(flood.iter().map(|token| world.sign_in(token))), held);
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(server.asked(), 2);
    for (n, token) in flood.iter().enumerate() {
        let expected = if n < 4 { "unknown key" } else { "unknown key, and the issuer cannot be asked now" };
        assert_eq!(world.refusal(token).await, expected);
    }
    assert_eq!(server.asked(), 6, "five in a row at most");
    assert_eq!(retry_after(&world, &flood[0]).await, Some(Millis::from_secs(10)));
    world.clock.advance(Millis::from_secs(10));
    assert_eq!(world.refusal(&flood[0]).await, "unknown key", "and what was said came true");
    assert_eq!(server.asked(), 7);
}

async fn retry_after(world: &World, token: &str) -> Option<Millis> {
    world.sign_in(token).await.unwrap_err().retry_hint()
}

#[tokio::test]
async fn a_token_of_a_new_key_is_not_called_bad_while_the_issuer_cannot_be_asked() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let server = KeyServer::start(&[&old]).await;
    let world = server.world();
    world.auth.refresh().await;
    assert_eq!(world.refusal(&Key::new("made-up").token(&json!({}))).await, "unknown key");
    server.breaks();
    let token = new.token(&json!({}));
    for (n, pause) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        assert_eq!(world.refusal(&token).await, "unknown key, and the issuer cannot be asked now");
        assert_eq!(retry_after(&world, &token).await, Some(Millis::from_secs(pause)), "{n}");
        assert_eq!(server.asked(), n + 3);
        world.clock.advance(Millis::from_secs(pause.max(10)));
    }
    server.shows(&[&old, &new]);
    assert!(world.sign_in(&token).await.is_ok());
}

#[tokio::test]
async fn keys_without_ids_may_change_as_well() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let bare = |key: &Key| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        json!({ "keys": [jwk] }).to_string()
    };
    let server = KeyServer::start(&[&old]).await;
    server.shows_text(bare(&old));
    let world = server.world();
    world.auth.refresh().await;
    server.shows_text(bare(&new));
    let unnamed = json!({"alg": "EdDSA", "typ": "at+jwt"});
    let token = |key: &Key| key.sign(&unnamed, &crate::world::claims(&json!({})));
    assert!(world.sign_in(&token(&new)).await.is_ok());
    assert_eq!(world.refusal(&token(&old)).await, "signature");
    server.breaks();
    assert_eq!(world.refusal(&token(&old)).await, "unknown key, and the issuer cannot be asked now");
}

#[tokio::test]
async fn an_issuer_that_was_down_at_the_start_is_found_when_the_answer_says() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key]).await;
    server.breaks();
    let world = server.world();
    world.auth.refresh().await;
    let token = key.token(&json!({}));
    assert_eq!(world.refusal(&token).await, "no keys of the issuer");
    assert_eq!(retry_after(&world, &token).await, Some(Millis::from_secs(1)));
    assert_eq!(world.auth.sign_in_issuers(), [crate::world::ISSUER]);
    assert!(World::knowing(&key).auth.sign_in_issuers().is_empty(), "a key in a file is a program's");
    server.shows(&[&key]);
    world.clock.advance(Millis::from_secs(1));
    assert!(world.sign_in(&token).await.is_ok());
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_asked_for_it_is_gone() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let server = KeyServer::start(&[&old]).await;
    let world = server.world();
    world.auth.refresh().await;
    world.clock.advance(Millis::from_secs(31));
    server.shows(&[&new]);
    server.hold();
    let token = new.token(&json!({}));
    {
        let asking = world.sign_in(&token);
        futures::pin_mut!(asking);
        while server.asked() < 2 {
            let _ = futures::poll!(asking.as_mut());
            tokio::task::yield_now().await;
        }
    }
    server.let_go();
    assert!(world.sign_in(&token).await.is_ok(), "a client that leaves cannot waste the one fetch");
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_fetch_that_was_on_its_way_before_a_token_came_does_not_show_that_its_key_is_none() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    for bare in [false, true] {
        let server = KeyServer::start(&[&old]).await;
        let set = |key: &Key| {
            let mut jwk = key.jwk();
            jwk.as_object_mut().unwrap().retain(|name, _| !bare || name != "kid");
            json!({ "keys": [jwk] }).to_string()
        };
        let header = if bare {
            json!({"alg": "EdDSA", "typ": "at+jwt"})
        } else {
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k2"})
        };
        server.shows_text(set(&old));
        let world = server.world();
        world.auth.refresh().await;
        server.holds_answers();
        let asks = world.auth.refresh();
        let comes = async {
            while server.asked() < 2 {
                tokio::task::yield_now().await;
            }
            server.shows_text(set(&new)); // after the answer was made, and before it came
            let token = new.sign(&header, &crate::world::claims(&json!({})));
            let signing_in = world.sign_in(&token);
            futures::pin_mut!(signing_in);
            assert!(futures::poll!(signing_in.as_mut()).is_pending(), "it waits for that fetch");
            server.let_go();
            signing_in.await
        };
        let ((), came) = futures::join!(asks, comes);
        assert!(came.is_ok(), "{:?}", came.map(drop));
        assert_eq!(server.asked(), 3);
    }
}

#[tokio::test]
async fn old_keys_stay_when_a_fetch_fails_but_not_for_ever() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key]).await;
    let world = server.world();
    world.auth.refresh().await;
    server.breaks();
    world.auth.refresh().await;
    assert_eq!(server.asked(), 2);
    assert!(world.sign_in(&key.token(&json!({}))).await.is_ok());
    world.clock.advance(Millis::from_secs(24 * 3_600 + 1));
    let late = key.token(&json!({"exp": crate::world::NOW + 100_000}));
    assert_eq!(world.refusal(&late).await, "no keys of the issuer");
    assert!(!world.auth.is_ready());
    server.shows(&[&key]);
    world.auth.refresh().await;
    assert!(world.sign_in(&late).await.is_ok());
}

#[tokio::test]
async fn a_key_set_at_an_inner_address_is_fetched_only_if_it_is_listed() {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key]).await;
    let world = World::new(issuer().jwks_url(&server.url), &[]);
    world.auth.refresh().await;
    assert_eq!(world.refusal(&key.token(&json!({}))).await, "no keys of the issuer");
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn g05_an_empty_wrong_or_endless_key_set_leaves_the_old_keys_and_other_issuers_alone() {
    let (key, other) = (Key::new("k1"), Key::new("k2"));
    let (server, neighbour) = (KeyServer::start(&[&key]).await, KeyServer::start(&[&other]).await);
    let (world, unaffected) = (server.world(), neighbour.world());
    world.auth.refresh().await;
    unaffected.auth.refresh().await;
    let symmetric = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"k1"}]}"#.to_owned();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let endless = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(50 << 20));
    for (n, body) in [String::new(), "<html>".to_owned(), "{}".to_owned(), symmetric, deep, endless]
        .into_iter()
        .enumerate()
    {
        server.shows_text(body);
        world.auth.refresh().await;
        assert_eq!(server.asked(), n + 2);
        let fresh = key.token(&json!({"jti": n.to_string()}));
        assert!(world.sign_in(&fresh).await.is_ok(), "after answer {n}");
        assert!(unaffected.sign_in(&other.token(&json!({"jti": n.to_string()}))).await.is_ok());
    }
}

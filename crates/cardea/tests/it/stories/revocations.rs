//! Credentials that are taken back: at once here, soon elsewhere, and for good.

use std::time::{Duration, Instant};

use cardea_core::time::Millis;
use cardea_testkit::{
    World,
    model::Act,
    world::{Say, TENANT, User},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::limits::slow;

const AGENTS: &str = "/api/v1/agents";
const REVOKE: &str = "/api/v1/revocations";

fn admin(world: &World) -> User {
    world.person((TENANT, "ada"), &["admin"], &["read"])
}

/// Asks again and again until this user is refused, for longer than it may take.
async fn refused_soon(user: &User) {
    let began = Instant::now();
    while user.get(AGENTS).await.status != 401 {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody told this node");
    }
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_refused_at_once_here_soon_elsewhere_and_after_a_restart() {
    let world = World::start().await;
    let other = world.node("second").await;
    let ann = world.user("support");
    let second = world.person((TENANT, "support"), &["support"], &["read"]);
    for user in [&ann, &other.holder(ann.token()), &second] {
        drop(user.get(AGENTS).await.expect(200));
    }
    let told = ann.post(REVOKE, &json!({ "token": ann.token() })).await.expect(201);
    assert!(!told.at("/token_id").is_empty(), "{}", told.text);
    for (method, path) in [("GET", AGENTS), ("GET", "/v1/models"), ("POST", "/mcp"), ("POST", REVOKE)] {
        let refused = ann.send(method, path, &[], "{}").await.expect(401);
        assert!(refused.header("www-authenticate").contains("invalid_token"), "{method} {path}");
    }
    refused_soon(&other.holder(ann.token())).await;
    drop(second.get(AGENTS).await.expect(200)); // another token of the same user
    let later = world.node("third").await;
    drop(later.holder(ann.token()).get(AGENTS).await.expect(401));
    drop(later.holder(second.token()).get(AGENTS).await.expect(200));
    world.audit().await.tells(["token.revoked"]);
}

#[tokio::test]
async fn whoever_uses_up_the_rate_with_a_stolen_token_does_not_keep_its_owner_from_taking_it_back() {
    let plan = World::plan().set("CARDEA_LIMITS__PER_USER", "1/min").model([Act::say("Hello.")]);
    let world = plan.start().await;
    let ann = world.user("support");
    while ann.chats("Hello?").await.status != 429 {}
    drop(ann.post(REVOKE, &json!({ "token": ann.token() })).await.expect(201));
    drop(ann.get(AGENTS).await.expect(401));
}

#[tokio::test]
async fn everything_of_a_user_ends_and_who_signs_in_again_is_let_in() {
    let world = World::start().await;
    let admin = admin(&world);
    let bob = world.person((TENANT, "bob"), &["analyst"], &["read"]);
    let same_name_elsewhere = world.person(("other", "bob"), &["analyst"], &["read"]);
    let wanted = json!({ "user": "bob", "scopes": ["read"] });
    let key = world.holder(admin.post("/api/v1/keys", &wanted).await.expect(201).at("/key"));
    let other = world.node("second").await;
    for user in [&bob, &key, &other.holder(key.token())] {
        drop(user.get(AGENTS).await.expect(200));
    }
    drop(admin.post(REVOKE, &json!({ "user": "bob" })).await.expect(201));
    drop(bob.get(AGENTS).await.expect(401));
    drop(key.get(AGENTS).await.expect(200)); // a key is no token, and nobody asked for it
    drop(admin.post(REVOKE, &json!({ "user": "bob", "keys": true })).await.expect(201));
    drop(key.get(AGENTS).await.expect(401));
    refused_soon(&other.holder(key.token())).await;
    refused_soon(&other.holder(bob.token())).await;
    drop(same_name_elsewhere.get(AGENTS).await.expect(200));
    world.clock.advance(Millis::from_secs(31));
    let again = world.person((TENANT, "bob"), &["analyst"], &["read"]);
    drop(again.get(AGENTS).await.expect(200));
    drop(bob.get(AGENTS).await.expect(401));
    let listed = admin.get(REVOKE).await.expect(200);
    assert_eq!((listed.at("/revocations/0/user"), listed.at("/revocations/0/by")), ("bob", "ada"));
    drop(again.post(REVOKE, &json!({})).await.expect(201)); // signed out everywhere, by himself
    drop(again.get(AGENTS).await.expect(401));
}

#[tokio::test]
async fn nobody_takes_back_what_is_somebody_elses() {
    let world = World::start().await;
    let (ann, bob, admin) = (world.user("support"), world.user("analyst"), admin(&world));
    let stranger = world.person(("other", "ada"), &["admin"], &[]);
    for (who, body, status) in [
        (&ann, json!({ "token": bob.token() }), 403),
        (&ann, json!({ "user": "analyst" }), 403),
        (&ann, json!({ "user": "support" }), 403), // of every issuer: not only her own
        (&ann, json!({ "token_id": "x" }), 403),
        (&stranger, json!({ "token": bob.token() }), 400),
        (&stranger, json!({ "user": "analyst" }), 201), // of the stranger's own tenant
        (&stranger, json!({ "token_id": "x" }), 201),
        (&admin, json!({ "token": "a.b.c" }), 400),
        (&admin, json!({ "token_id": "" }), 400),
        (&admin, json!({ "token": bob.token(), "user": "analyst" }), 400),
        (&admin, json!({ "keys": true }), 400),
        (&admin, json!({ "usr": "analyst" }), 400),
    ] {
        let answer = who.post(REVOKE, &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(!answer.text.contains(bob.token()), "{}", answer.text);
    }
    drop(world.stranger().post(REVOKE, &json!({ "user": "analyst" })).await.expect(401));
    drop(ann.get(REVOKE).await.expect(403));
    assert_eq!(admin.get(REVOKE).await.expect(200).body["revocations"], json!([]));
    for user in [&ann, &bob] {
        drop(user.get(AGENTS).await.expect(200));
    }
}

#[tokio::test]
async fn who_takes_keys_away_is_told_of_those_that_the_user_has_made_for_others() {
    let world = World::start().await;
    let (admin, mal) = (admin(&world), world.person((TENANT, "mal"), &["admin"], &["read"]));
    let key = async |maker: &User, user: &str| {
        maker.post("/api/v1/keys", &json!({ "user": user, "roles": ["admin"] })).await.expect(201)
    };
    let (own, robot, other) = (key(&mal, "mal").await, key(&mal, "robot").await, key(&admin, "robot").await);
    let told = admin.post(REVOKE, &json!({ "user": "mal", "keys": true })).await.expect(201);
    assert_eq!(told.body["keys_made"], json!([robot.at("/id")]), "{}", told.text);
    drop(world.holder(own.at("/key")).get(AGENTS).await.expect(401));
    for key in [&robot, &other] {
        drop(world.holder(key.at("/key")).get(AGENTS).await.expect(200));
    }
    let elsewhere = json!({ "user": "mal", "issuer": "https://other.example", "keys": true });
    let told = admin.post(REVOKE, &elsewhere).await.expect(201);
    assert_eq!(told.body["keys_made"], json!([]));
}

#[tokio::test]
async fn names_that_nobody_can_have_are_not_kept_in_every_nodes_memory() {
    let world = World::start().await;
    let admin = admin(&world);
    let long = "u".repeat(257);
    for body in [
        json!({ "user": long }),
        json!({ "user": "" }),
        json!({ "user": "a\nb" }),
        json!({ "user": "bob", "issuer": long }),
        json!({ "token_id": "x", "issuer": long }),
    ] {
        drop(admin.post(REVOKE, &body).await.expect(400));
    }
    drop(admin.delete(&format!("/api/v1/people/{long}")).await.expect(400));
    drop(admin.delete(&format!("/api/v1/people/bob?issuer={long}")).await.expect(400));
    assert_eq!(admin.get(REVOKE).await.expect(200).body["revocations"], json!([]));
    drop(admin.post(REVOKE, &json!({ "user": "u".repeat(256) })).await.expect(201));
}

#[tokio::test]
async fn who_takes_back_very_much_at_once_waits() {
    let world = World::plan().set("CARDEA_LIMITS__PER_USER", "3/min").start().await;
    let admin = admin(&world);
    for (n, status) in [201, 201, 201, 429].into_iter().enumerate() {
        let answer = admin.post(REVOKE, &json!({ "user": format!("user-{n}") })).await;
        assert_eq!(answer.status, status, "{n}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_turn_that_waits_does_not_go_on_for_somebody_who_was_taken_out_meanwhile() {
    let world = World::start().await;
    let (ann, admin) = (world.user("support"), admin(&world));
    let asked = ann.asks("Refund 150 for order 17, please.").await;
    asked.waits_for_approval("ops__process_refund").await;
    drop(admin.post(REVOKE, &json!({ "user": "support" })).await.expect(201));
    world.user("supervisor").approves(&asked).await;
    world.clock.advance(Millis::from_secs(31));
    let again = world.user("support");
    let ended = again.follows(asked.turn(), None).await;
    let ended = ended.iter().find(|event| event.kind == "turn.ended").unwrap().json();
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("token_invalid")));
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn a_stream_of_events_tells_nothing_more_once_its_readers_token_is_over() {
    let world = World::start().await;
    let ann = world.user("support");
    let asked = ann.asks("Refund 150 for order 17, please.").await;
    asked.waits_for_approval("ops__process_refund").await;
    let end = async {
        world.clock.advance(Millis::from_secs(13 * 3_600));
        drop(ann.get("/api/v1/agents").await.expect(401));
        world.user("supervisor").approves(&asked).await;
    };
    let told = ann.follows_until(asked.turn(), "turn.waiting", end).await;
    let kinds: Vec<&str> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds.last(), Some(&"turn.waiting"), "{kinds:?}");
}

#[tokio::test]
async fn somebody_who_is_taken_out_in_the_middle_of_a_turn_writes_nothing_more() {
    let acts =
        [Act::call("demo__look", json!({})), Act::call("demo__order", json!({})), Act::say("It is ordered.")];
    let world = slow("tool_timeout = \"2s\"\n", acts).await;
    world.service().says("POST /orders", [Say::Json(201, json!({}))]);
    let (ann, admin) = (world.user("support"), admin(&world));
    let out = async {
        while world.service().lines().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(admin.post(REVOKE, &json!({ "user": "support" })).await.expect(201));
    };
    let (asked, ()) = tokio::join!(ann.asks("Look it up, and order it."), out);
    assert_eq!(world.service().lines(), ["GET /look"], "{}", asked.reply.text);
    assert!(asked.reply.text.contains("token_invalid"), "{}", asked.reply.text);
}

#[tokio::test]
async fn a_stream_that_is_open_tells_nothing_more_once_its_reader_was_taken_out() {
    let world = World::start().await;
    let (ann, admin) = (world.user("support"), admin(&world));
    let asked = ann.asks("Refund 150 for order 17, please.").await;
    asked.waits_for_approval("ops__process_refund").await;
    let address = world.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /api/v1/turns/{}/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        asked.turn(),
        ann.token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut heard, mut piece) = (String::new(), vec![0; 65_536]);
    while !heard.contains("turn.waiting") {
        let length = stream.read(&mut piece).await.unwrap();
        assert_ne!(length, 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    drop(admin.post(REVOKE, &json!({ "user": "support" })).await.expect(201));
    world.user("supervisor").rejects(&asked).await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("event:"), "{rest}");
    world.clock.advance(Millis::from_secs(31));
    let ended = world.user("support").follows(asked.turn(), None).await;
    assert!(ended.iter().any(|event| event.kind == "turn.ended"), "somebody who signs in again hears it");
}

#[tokio::test]
async fn a_request_that_takes_its_time_is_refused_if_its_sender_was_taken_out_meanwhile() {
    let world = World::start().await;
    let (ada, mallory) = (admin(&world), world.person((TENANT, "mallory"), &["admin"], &["read"]));
    let made = ada.post("/api/v1/keys", &json!({ "user": "mallory", "scopes": ["read"] })).await.expect(201);
    let address = world.url.trim_start_matches("http://");
    let body = json!({ "user": "eve", "roles": ["admin"], "scopes": ["read"] }).to_string();
    let (first, rest) = body.split_at(5);
    let mut half_sent = Vec::new();
    for (path, credential) in
        [("/api/v1/keys", mallory.token()), ("/mcp", mallory.token()), ("/api/v1/turns", made.at("/key"))]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {credential}\r\nconnection: close\r\n\
             content-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + first).as_bytes()).await.unwrap();
        half_sent.push(stream);
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(400) {
        drop(ada.get(AGENTS).await.expect(200)); // others are served meanwhile
    }
    drop(ada.post(REVOKE, &json!({ "user": "mallory", "keys": true })).await.expect(201));
    for mut stream in half_sent {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("invalid_token"), "{answer}");
    }
    let keys = ada.get("/api/v1/keys").await.expect(200);
    assert!(!keys.text.contains("eve"), "{}", keys.text);
}

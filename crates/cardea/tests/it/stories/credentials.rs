use std::collections::BTreeSet;

use cardea_auth::{Claims, Lifetime, Signer};
use cardea_core::{
    log::ChainKey,
    secret::ExposeSecret as _,
    time::{Clock as _, Millis},
};
use cardea_store::Db;
use cardea_testkit::{
    World,
    model::Act,
    world::{TENANT, User},
};
use serde_json::{Value, json};

#[tokio::test]
async fn keys_are_listed_in_pages_also_without_those_that_are_over() {
    let world = World::start().await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let mut made = Vec::new();
    for n in 0..5 {
        let key = admin.post("/api/v1/keys", &json!({ "user": format!("robot-{n}") })).await.expect(201);
        made.push(key.at("/id").to_owned());
        world.clock.advance(Millis(u64::from(n % 2 == 0)));
    }
    drop(admin.delete(&format!("/api/v1/keys/{}", made[2])).await.expect(204));
    for (which, want) in [("", 5), ("&living=true", 4)] {
        let (mut seen, mut after) = (BTreeSet::new(), String::new());
        for _ in 0..5 {
            let page = admin.get(&format!("/api/v1/keys?limit=2{which}{after}")).await.expect(200);
            let keys = page.body["keys"].as_array().unwrap();
            assert!(keys.len() <= 2, "{}", page.text);
            seen.extend(keys.iter().filter_map(|key| key["id"].as_str()).map(str::to_owned));
            match page.body["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), want, "{which}");
    }
    drop(admin.get("/api/v1/keys?limit=0").await.expect(400));
}

#[tokio::test]
async fn a_credential_that_is_none_or_old_or_double_opens_nothing() {
    let world = World::start().await;
    let ann = world.user("support");
    drop(ann.get("/api/v1/agents").await.expect(200));
    let half: String = ann.token().chars().take(ann.token().len() / 2).collect();
    let (claims, signature) = ann.token().rsplit_once('.').unwrap();
    let forged = format!("{claims}.{}", signature.chars().rev().collect::<String>());
    for token in ["abc", "a.b.c", &half, &forged, "ck_not-a-key"] {
        let refused = world.holder(token).get("/api/v1/agents").await.expect(401);
        assert_eq!(refused.at("/code"), "token_invalid", "{token}");
        assert!(refused.header("www-authenticate").starts_with("Bearer"), "{:?}", refused.headers);
        let metadata = "/.well-known/oauth-protected-resource/mcp";
        assert!(refused.header("www-authenticate").contains(metadata), "{:?}", refused.headers);
    }
    let second = format!("Bearer {}", ann.token());
    let double = ann.send("GET", "/api/v1/agents", &[("authorization", &second)], "").await.expect(400);
    assert_eq!(double.at("/code"), "bad_request");
    world.clock.advance(Millis::from_secs(13 * 3_600));
    let late = ann.get("/api/v1/agents").await.expect(401);
    assert_eq!(late.at("/code"), "token_expired");
}

#[tokio::test]
async fn the_last_use_of_a_key_is_kept_by_a_server_that_stops() {
    let world = World::start().await;
    let admin = world.person((TENANT, "admin"), &["admin", "support"], &["read"]);
    let wanted =
        json!({ "user": "robot", "name": "n", "roles": ["support"], "scopes": ["read"], "expires": "2h" });
    let key = admin.post("/api/v1/keys", &wanted).await.expect(201).at("/key").to_owned();
    drop(world.holder(&key).get("/api/v1/agents").await.expect(200));
    world.app.stop().await;
    let db = Db::open(world.app.config.db.clone(), ChainKey::new(&[7; 32])).await.unwrap();
    let used: Vec<(Option<i64>,)> = db.rows("SELECT last_used_at FROM api_keys", Vec::new()).await.unwrap();
    assert_eq!(used, [(Some(world.clock.now().0),)]);
    db.close().await;
}

#[tokio::test]
async fn an_api_key_works_from_its_making_to_its_end() {
    let world = World::start().await;
    let admin = world.person((TENANT, "admin"), &["admin", "support"], &["read"]);
    let wanted = json!({ "user": "robot", "name": "nightly run", "roles": ["support"], "scopes": ["read"], "expires": "2h" });
    let denied = world.user("support").post("/api/v1/keys", &wanted).await.expect(403);
    assert_eq!(denied.at("/code"), "denied");
    let made = admin.post("/api/v1/keys", &wanted).await.expect(201);
    let (key, id) = (made.at("/key").to_owned(), made.at("/id").to_owned());

    let robot = world.holder(&key);
    robot.asks("What is the status of order 17?").await.answers("delivered").await;
    let by_header = world.stranger().send("GET", "/api/v1/agents", &[("x-api-key", &key)], "").await;
    assert_eq!(by_header.status, 200, "{}", by_header.text);
    let listed = admin.get("/api/v1/keys").await.expect(200);
    assert_eq!((listed.at("/keys/0/id"), listed.at("/keys/0/user")), (id.as_str(), "robot"));
    assert!(!listed.text.contains(&key), "a key is shown once");

    let stranger = world.person(("other", "admin"), &["admin"], &[]);
    drop(stranger.delete(&format!("/api/v1/keys/{id}")).await.expect(404));
    assert_eq!(stranger.get("/api/v1/keys").await.body["keys"], json!([]));
    drop(robot.get("/api/v1/agents").await.expect(200));
    drop(admin.delete(&format!("/api/v1/keys/{id}")).await.expect(204));
    assert_eq!(robot.get("/api/v1/agents").await.expect(401).at("/code"), "token_invalid");

    let short = admin.post("/api/v1/keys", &wanted).await.expect(201);
    let robot = world.holder(short.at("/key"));
    drop(robot.get("/api/v1/agents").await.expect(200));
    world.clock.advance(Millis::from_secs(3 * 3_600));
    assert_eq!(robot.get("/api/v1/agents").await.expect(401).at("/code"), "token_expired");
}

#[tokio::test]
async fn the_same_request_for_an_api_key_makes_one_and_shows_it_again_to_its_maker_only() {
    let world = World::start().await;
    let admin = world.person((TENANT, "admin"), &["admin", "support"], &[]);
    let colleague = world.person((TENANT, "chief"), &["admin", "support"], &[]);
    let wanted = json!({ "user": "robot", "roles": ["support"] });
    let once = [("idempotency-key", "nightly")];
    let ask = |who: &User, wanted: &Value| {
        let (who, wanted) = (who.clone(), wanted.to_string());
        async move { who.send("POST", "/api/v1/keys", &once, &wanted).await }
    };
    let both = tokio::join!(ask(&admin, &wanted), ask(&admin, &wanted));
    let (first, second) = (both.0.expect(201), both.1.expect(201));
    assert_eq!((first.at("/key"), first.at("/id")), (second.at("/key"), second.at("/id")));
    drop(world.holder(second.at("/key")).get("/api/v1/agents").await.expect(200));
    let theirs = ask(&colleague, &wanted).await.expect(201);
    assert_ne!(theirs.at("/id"), first.at("/id"), "keys of two people have nothing to do with each other");
    let other = ask(&admin, &json!({ "user": "robot", "roles": ["support"], "name": "b" })).await.expect(422);
    assert_eq!(other.at("/code"), "idempotency_key_reused");
    let secret = first.at("/key").rsplit_once('_').unwrap().1.to_owned();
    let sql = "SELECT receipt FROM idempotency WHERE receipt IS NOT NULL";
    let kept: Vec<(String,)> = world.app.db.rows(sql, Vec::new()).await.unwrap();
    assert!(kept.len() == 2 && kept.iter().all(|(text,)| !text.contains(&secret)), "{kept:?}");
    world.clock.advance(Millis::from_secs(25 * 3_600));
    let admin = world.person((TENANT, "admin"), &["admin", "support"], &[]);
    assert_ne!(
        ask(&admin, &wanted).await.expect(201).at("/id"),
        first.at("/id"),
        "it is forgotten after a day"
    );
}

#[tokio::test]
async fn an_administrator_cannot_make_a_key_that_may_do_more_than_they_may() {
    let world = World::start().await;
    let admin = world.person((TENANT, "admin"), &["admin"], &["read"]);
    for wanted in [json!({ "roles": ["support"] }), json!({ "scopes": ["read", "billing:write"] })] {
        let refused = admin.post("/api/v1/keys", &wanted).await.expect(403);
        assert_eq!(refused.at("/code"), "denied");
        assert!(refused.at("/detail").contains("you do not have"), "{}", refused.text);
    }
    assert_eq!(admin.get("/api/v1/keys").await.body["keys"], json!([]));
    drop(admin.post("/api/v1/keys", &json!({ "roles": ["admin"], "scopes": ["read"] })).await.expect(201));
}

#[tokio::test]
async fn a_user_who_asks_too_often_is_told_when_to_come_back() {
    let plan = World::plan().model([Act::say("Here you are.")]).set("CARDEA_LIMITS__PER_USER", "2/min");
    let world = plan.start().await;
    let (ann, bob) = (world.user("support"), world.user("analyst"));
    for text in ["one", "two"] {
        drop(ann.chats(text).await.expect(200));
    }
    let refused = ann.chats("three").await.expect(429);
    assert_eq!(refused.at("/error/code"), "rate_limited");
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    drop(bob.chats("one").await.expect(200));
    world.clock.advance(Millis::from_secs(after));
    drop(ann.chats("four").await.expect(200));
    drop(ann.chats("five").await.expect(429));
}

#[tokio::test]
async fn a_budget_that_is_used_up_stops_the_next_question_and_no_model_is_asked() {
    let plan =
        World::plan().model([Act::say("Here you are.")]).set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "10");
    let world = plan.start().await;
    let refused = world.user("support").chats("one").await.expect(429);
    assert_eq!(refused.at("/error/code"), "budget_spent");
    assert_eq!(refused.header("retry-after"), "", "a budget of ten tokens will never do");
    assert!(world.model().seen().is_empty());
}

#[tokio::test]
async fn a_token_for_the_resource_that_the_metadata_names_is_good_where_its_address_is_known() {
    let key = Signer::new_key().unwrap();
    let signer = Signer::new("https://idp.example", &key, Lifetime::Short).unwrap();
    let jwks = signer.jwks();
    let trust = format!(
        "[auth.issuers.idp]\nissuer = \"https://idp.example\"\naudience = [\"cardea\"]\ntenant_claim = \"tenant\"\njwks = '{jwks}'\n"
    );
    for (public, status) in [(Some("http://localhost/cardea"), 200), (None, 401)] {
        let plan = World::plan().configure(&trust);
        let plan = match public {
            Some(public) => plan.set("CARDEA_SERVER__PUBLIC_URL", public),
            None => plan, // an address of this machine names nobody
        };
        let world = plan.start().await;
        let told = world.stranger().get("/.well-known/oauth-protected-resource").await.expect(200);
        assert!(told.body.get("authorization_servers").is_none(), "nobody signs in at a key in a file");
        let token = |audience: &str| {
            let claims = Claims {
                subject: "ann".into(),
                audience: audience.to_owned(),
                tenant: "acme".into(),
                roles: BTreeSet::new(),
                scopes: BTreeSet::new(),
                client: None,
                actors: Vec::new(),
                lifetime: Millis::from_secs(600),
            };
            signer.sign(&claims, world.clock.now()).unwrap().expose_secret().to_owned()
        };
        for (audience, status) in
            [(told.at("/resource"), status), ("cardea", 200), ("https://other.example/mcp", 401)]
        {
            let answered = world.holder(&token(audience)).get("/api/v1/agents").await;
            assert_eq!(answered.status, status, "{audience}: {}", answered.text);
        }
    }
}

//! A person is erased, and stays erased when yesterday's database comes back (I07).

use axum::{body::Body, http::Request};
use cardea_auth::VerifiedClaims;
use cardea_core::{
    connector::secret_name,
    id::{TenantId, UserId},
    principal::owner_key,
};
use cardea_store::{Commit, args};
use cardea_testkit::{
    World,
    model::Act,
    world::{Say, TENANT},
};
use serde_json::json;
use tower::ServiceExt as _;

use super::undo::{POLICIES, reserve, warehouse};

const CARD: &str = "4111 1111 1111 1111";

#[tokio::test]
async fn who_is_erased_is_gone_and_a_backup_brings_no_secret_of_theirs_back() {
    let mail =
        "@id(\"own\")\n@reason(\"own.\")\npermit (principal, action == Action::\"restore\", resource);\n";
    let script = ["I charged [CARD_1].", "Yours too: [CARD_1]."].map(Act::say);
    let world = World::plan().model(script).agent("restore = [\"CARD\"]\n").policies(mail).start().await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let (ann, bob) = (
        world.person((TENANT, "ann"), &["analyst"], &["read"]),
        world.person((TENANT, "bob"), &["analyst"], &["read"]),
    );
    let first = ann.asks(&format!("Charge {CARD}.")).await;
    let second = bob.asks(&format!("Charge {CARD}.")).await;
    let path = |talk: &str| format!("/api/v1/conversations/{talk}/messages?originals=true");
    assert!(ann.get(&path(first.conversation())).await.expect(200).text.contains(CARD));

    type Secret = (String, String, String, i64, String, Vec<u8>, Vec<u8>, Option<String>);
    let sql = "SELECT id, tenant, name, version, key_id, wrapped_key, sealed, person FROM secrets WHERE name LIKE 'placeholders/%'";
    let backup: Vec<Secret> = world.app.db.rows(sql, args![]).await.unwrap();
    assert_eq!(backup.len(), 2);

    drop(ann.delete("/api/v1/people/bob").await.expect(403));
    drop(admin.delete("/api/v1/people/ada").await.expect(400));
    drop(admin.delete("/api/v1/people/ann").await.expect(204));
    drop(admin.delete("/api/v1/people/ann").await.expect(204));
    drop(ann.get("/api/v1/agents").await.expect(401));
    let audit = world.audit().await;
    audit.tells(["person.erasing", "person.erased"]);
    let told = audit.entries.iter().filter(|entry| entry["event"].as_str().unwrap().starts_with("person."));
    told.for_each(|entry| assert!(entry["request"].is_string(), "{entry}"));
    assert!(bob.get(&path(second.conversation())).await.expect(200).text.contains(CARD));
    let left: Vec<(String,)> = world
        .app
        .db
        .rows(
            "SELECT body FROM messages WHERE conversation = $1
             UNION ALL SELECT prompt FROM turns WHERE conversation = $1 AND prompt <> ''
             UNION ALL SELECT body FROM events WHERE turn = $2",
            args![first.conversation(), first.turn()],
        )
        .await
        .unwrap();
    assert_eq!(left, []);

    // Yesterday's rows come back, and so does she, under the same name.
    let mut restored = Commit::new()
        .run("DELETE FROM secrets WHERE name LIKE 'placeholders/%'", args![])
        .run("UPDATE conversations SET deleted_at = NULL WHERE id = $1", args![first.conversation()])
        .run(
            "INSERT INTO messages (conversation, seq, id, tenant, turn, role, body, at) VALUES ($1, 1, $2, $3, $4, 'assistant', $5, 0)",
            args![
                first.conversation(),
                "msg_00000000000000000000000000000001",
                TENANT,
                first.turn(),
                json!({ "role": "assistant", "text": "I charged [CARD_1].", "calls": [] }).to_string()
            ],
        );
    for (id, tenant, name, version, key_id, wrapped, sealed, person) in backup {
        restored = restored.run(
            "INSERT INTO secrets (id, tenant, name, version, key_id, wrapped_key, sealed, person, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)",
            args![id, tenant, name, version, key_id, wrapped, sealed, person],
        );
    }
    world.app.db.commit(restored).await.unwrap();
    world.clock.advance(cardea_core::time::Millis::from_secs(31));
    let again = world.person((TENANT, "ann"), &["analyst"], &["read"]);
    let refused = again.get(&path(first.conversation())).await.expect(500);
    assert!(!refused.text.contains("4111 1"), "{}", refused.text);
    let masked = path(first.conversation()).replace("?originals=true", "");
    assert!(again.get(&masked).await.expect(200).text.contains("[CARD_1]"));
    assert!(bob.get(&path(second.conversation())).await.expect(200).text.contains(CARD));
    world.audit().await.tells(["person.erased", "secret.refused"]);
}

#[tokio::test]
async fn a_bare_call_that_waits_is_forgotten_at_once_and_never_made() {
    let world = World::start().await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let lou =
        world.person((TENANT, "lou"), &["support"], &["read", "write", "billing:read", "billing:write"]);
    let client = lou.mcp(false).await.unwrap();
    let mut params = rmcp::model::CallToolRequestParams::new("ops__process_refund");
    params.arguments =
        json!({ "order_id": "ORD-17", "amount": 150, "reason": "for Secretname" }).as_object().cloned();
    let waits = client.call_tool(params).await.unwrap().structured_content.unwrap();
    drop(admin.delete("/api/v1/people/lou").await.expect(204));
    let left: Vec<(String,)> = world.app.db.rows("SELECT args FROM steps", args![]).await.unwrap();
    assert!(left.iter().all(|(text,)| !text.contains("Secretname")), "{left:?}");
    let approve = json!({ "decision": "approve" });
    let path = format!("/api/v1/approvals/{}", waits["approval"].as_str().unwrap());
    drop(world.user("supervisor").post(&path, &approve).await.expect(409));
    let ended = async {
        loop {
            let sql = "SELECT state FROM turns WHERE ended_at IS NOT NULL";
            let rows: Vec<(String,)> = world.app.db.rows(sql, args![]).await.unwrap();
            if let Some((state,)) = rows.first() {
                return state.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.expect("it ends");
    assert_eq!(ended, "failed");
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn what_waits_for_a_second_person_ends_with_whoever_asked_for_it() {
    let arguments = json!({ "order_id": "ORD-17", "amount": 150, "reason": "for my friend Secretname" });
    let script = [Act::call("ops__process_refund", arguments), Act::say("It is refunded.")];
    let world = World::with_model(script).await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let scopes = ["read", "write", "billing:read", "billing:write"];
    let lou = world.person((TENANT, "lou"), &["support"], &scopes);
    let turn = lou.asks("Refund 150 for order 17 to my friend Secretname, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    drop(admin.delete("/api/v1/people/lou").await.expect(204));
    let late = world.user("supervisor").decides(&turn, "approve").await.expect(409);
    assert_eq!(late.at("/code"), "approval_invalid", "nobody approves what nobody can read any more");
    let wiped = async {
        loop {
            let sql = "SELECT prompt FROM turns WHERE id = $1 AND ended_at IS NOT NULL
                       UNION ALL SELECT args FROM steps WHERE turn = $1";
            let left: Vec<(String,)> = world.app.db.rows(sql, args![turn.turn()]).await.unwrap();
            if left.len() == 2 && left.iter().all(|(text,)| !text.contains("Secretname")) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wiped)
        .await
        .expect("the turn ends and wipes itself");
    assert_eq!(world.shop().refunds(17).await, 0);
}

/// Every byte of the database's files, where it is one of files.
fn files_of(world: &World) -> Option<Vec<u8>> {
    let path = world.app.config.db.url.strip_prefix("sqlite:")?;
    let read = |end: &str| std::fs::read(format!("{path}{end}")).unwrap_or_default();
    Some([read(""), read("-wal")].concat())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn what_was_deleted_is_in_no_file_of_the_database_any_more() {
    let world = World::start().await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let (ann, bob) = (
        world.person((TENANT, "ann"), &["support"], &["read"]),
        world.person((TENANT, "bob"), &["support"], &["read"]),
    );
    let first = ann.asks("What is the status of order 17? My word is Zebrafish.").await;
    for order in 20..40 {
        bob.asks(&format!("What is the status of order {order}? My word is Okapimark.")).await;
    }
    let Some(before) = files_of(&world) else { return };
    assert!(holds(&before, "Zebrafish") && holds(&before, "Okapimark"));
    let path = format!("/api/v1/conversations/{}", first.conversation());
    drop(ann.delete(&path).await.expect(204));
    let after = files_of(&world).unwrap();
    assert!(!holds(&after, "Zebrafish") && holds(&after, "Okapimark"), "deleted");
    drop(admin.delete("/api/v1/people/bob").await.expect(204));
    assert!(!holds(&files_of(&world).unwrap(), "Okapimark"), "erased");
}

#[tokio::test]
async fn what_an_issuer_told_of_a_person_is_erased_with_them() {
    let script = [
        Act::say("Hello."),
        Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 })),
    ];
    let world = World::with_model(script).await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let mut claims = VerifiedClaims::new(TENANT, "zoe")
        .role("support")
        .scope("read")
        .scope("write")
        .scope("billing:read")
        .scope("billing:write");
    claims.metadata.insert("email".to_owned(), json!("zoe.zebra@example.org"));
    claims.metadata.insert("full_name".to_owned(), json!("Zoe Zebramark"));
    let zoe = world.app.auth.embedded(claims).unwrap();
    let agent = world.app.agent("scripted");
    let ended = agent.chat(&zoe, None, "Hello there.").await.unwrap();
    let waits = agent.chat(&zoe, None, "Refund 150 for order 17.").await.unwrap();
    assert!(waits.approval.is_some(), "{waits:?}");
    let told = || async {
        let sql = "SELECT principal FROM turns WHERE user_id = 'zoe'";
        world.app.db.rows::<(String,)>(sql, args![]).await.unwrap()
    };
    assert!(told().await.iter().all(|(principal,)| principal.contains("zebra@example.org")));
    drop(admin.delete("/api/v1/people/zoe").await.expect(204));
    let left = told().await;
    assert_eq!(left.len(), 2);
    for (principal,) in left {
        assert!(!principal.to_lowercase().contains("zebra"), "{principal}");
        let read: cardea_core::principal::Principal = serde_json::from_str(&principal).unwrap();
        assert_eq!((read.user.as_str(), read.key()), ("zoe", zoe.key()), "who it was stays");
    }
    assert!(ended.answer.is_some());
}

#[tokio::test]
async fn of_two_people_with_one_name_only_the_one_who_is_meant_is_erased() {
    let mail =
        "@id(\"own\")\n@reason(\"own.\")\npermit (principal, action == Action::\"restore\", resource);\n";
    let script = ["I charged [CARD_1].", "Yours too: [CARD_1].", "Nothing."].map(Act::say);
    let world = World::plan().model(script).agent("restore = [\"CARD\"]\n").policies(mail).start().await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let ann = world.person((TENANT, "ann"), &["analyst"], &["read"]);
    let first = ann.asks(&format!("Charge {CARD}.")).await;
    let claims = VerifiedClaims::new(TENANT, "ann").role("analyst").scope("read");
    let other = world.app.auth.embedded(claims).unwrap();
    let second = world.app.agent("scripted").chat(&other, None, &format!("Charge {CARD}.")).await.unwrap();
    let cached = async || world.app.context.cache().held().await.map(|held| held.entries);
    ann.asks("What is new?").await.answers("Nothing.").await;
    assert_eq!(cached().await, Some(1));
    let key = admin.post("/api/v1/keys", &json!({ "user": "ann", "scopes": ["read"] })).await.expect(201);
    let key = world.holder(key.at("/key"));

    let refused = admin.delete("/api/v1/people/ann").await.expect(409);
    for issuer in ["cardea-try-out", "cardea:embedded"] {
        assert!(refused.at("/detail").contains(issuer), "{}", refused.text);
    }
    let path = format!("/api/v1/conversations/{}/messages?originals=true", first.conversation());
    assert!(ann.get(&path).await.expect(200).text.contains(CARD), "nothing is erased");
    drop(admin.delete("/api/v1/people/ann?isuer=x").await.expect(400));
    let slip = admin.delete("/api/v1/people/ann?issuer=cardea-tryout").await.expect(404);
    assert!(slip.at("/detail").contains("`cardea-try-out`"), "{}", slip.text);

    drop(admin.delete("/api/v1/people/ann?issuer=cardea%3Aembedded").await.expect(204));
    assert!(
        ann.get(&path).await.expect(200).text.contains(CARD),
        "she is somebody else, and still signed in"
    );
    drop(key.get("/api/v1/agents").await.expect(200)); // it stands for the name, which she still has
    // What is cached may carry the name alone, so none of it is left.
    assert_eq!(cached().await, Some(0));
    let sql = "SELECT COUNT(*) FROM messages WHERE conversation = $1";
    let left: Vec<(i64,)> =
        world.app.db.rows(sql, args![second.conversation.unwrap().to_string()]).await.unwrap();
    assert_eq!(left, [(0,)]);

    drop(admin.delete("/api/v1/people/ann?issuer=cardea-try-out").await.expect(204));
    drop(ann.get("/api/v1/agents").await.expect(401));
}

#[tokio::test]
async fn an_administrator_who_hangs_up_leaves_nobody_half_erased() {
    let world = World::start().await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let bob = world.person((TENANT, "bob"), &["support"], &["read"]);
    bob.asks("What is the status of order 17? My word is Okapimark.").await;
    let Some(before) = files_of(&world) else { return };
    assert!(holds(&before, "Okapimark"));
    let bearer = format!("Bearer {}", admin.token());
    let request = Request::delete("/api/v1/people/bob").header("authorization", bearer);
    let erasing = cardea::api::router(world.app.clone()).oneshot(request.body(Body::empty()).unwrap());
    let begun = async {
        while !world.audit().await.events().contains(&"person.erasing") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {} // and hangs up
        _ = erasing => {}
    }
    let gone = async {
        while holds(&files_of(&world).unwrap(), "Okapimark") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("to the end");
    world.audit().await.tells(["person.erasing", "person.erased"]);
}

#[tokio::test]
async fn the_words_of_services_and_approvers_go_with_what_was_said() {
    for by in ["conversation", "person"] {
        let refund = || {
            Act::call(
                "ops__process_refund",
                json!({ "order_id": "ORD-17", "amount": 150, "reason": "goodwill" }),
            )
        };
        let wrong = Act::call("demo__reserve", json!({ "item": "book", "Zebrafish": 1 }));
        let charge = Act::call("demo__charge", json!({ "amount": 9 }));
        let said = ["They said no.", "That is no argument."].map(Act::say);
        let [no, none] = said;
        let acts = [refund(), no, wrong, none, reserve("book"), charge, Act::say("never said")];
        let world = warehouse(POLICIES, acts).await;
        let declined = json!({ "error": "the card of Zebrafish was declined" });
        world.service().says("POST /charges", [Say::Json(402, declined)]);
        let stays = json!({ "said": "Zebrafish wants to keep it" });
        world.service().says("DELETE /reservations/a1", [Say::Json(409, stays)]);
        let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
        let scopes = ["read", "write", "billing:read", "billing:write"];
        let lou = world.person((TENANT, "lou"), &["support"], &scopes);
        let first = lou.asks("Refund 150 for order 17, please.").await;
        let talk = first.conversation().to_owned();
        let path = format!("/api/v1/approvals/{}", first.approval());
        let no = json!({ "decision": "reject", "comment": "Zebrafish gets nothing" });
        drop(world.user("supervisor").post(&path, &no).await.expect(200));
        drop(first.answers("said no").await);
        drop(lou.goes_on(&talk, "Reserve a book.").await.answers("no argument").await);
        let receipt = lou.goes_on(&talk, "Buy the book.").await.ends().await;
        assert_eq!(
            receipt["tools"].to_string().matches("Zebrafish").count(),
            2,
            "its own user is told: {receipt}"
        );
        let before = files_of(&world);
        assert!(before.is_none_or(|before| holds(&before, "Zebrafish")));
        match by {
            "person" => drop(admin.delete("/api/v1/people/lou").await.expect(204)),
            _ => drop(lou.delete(&format!("/api/v1/conversations/{talk}")).await.expect(204)),
        }
        let told = world.audit().await;
        told.tells(["approval.decided", "step.refused", "step.ended", "step.not_undone", "turn.ended"]);
        for entry in &told.entries {
            assert!(!entry.to_string().contains("Zebrafish"), "{by}: {entry}");
        }
        let ended = told.entries.iter().rfind(|entry| entry["event"] == "step.ended").unwrap();
        assert_eq!(
            (ended["tool"].as_str(), ended["detail"]["status"].as_i64()),
            (Some("demo__charge"), Some(402))
        );
        assert_eq!(ended["detail"]["reason_digest"].as_str().map(str::len), Some(64), "{ended}");
        let sql = "SELECT COUNT(*) FROM turns WHERE failure LIKE '%Zebrafish%'";
        assert_eq!(world.app.db.row::<(i64,)>(sql, args![]).await.unwrap(), Some((0,)), "{by}");
        assert!(files_of(&world).is_none_or(|after| !holds(&after, "Zebrafish")), "{by}: in the file");
    }
}

#[tokio::test]
async fn an_erasure_that_does_not_reach_cached_answers_says_so() {
    // Nobody listens there.
    let world = World::plan()
        .set("CARDEA_CACHE__BACKEND", "redis")
        .set("CARDEA_CACHE__URL", "redis://127.0.0.1:9")
        .start()
        .await;
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let ann = world.person((TENANT, "ann"), &["analyst"], &["read"]);
    drop(ann.get("/api/v1/agents").await.expect(200));
    let refused = admin.delete("/api/v1/people/ann").await.expect(503);
    assert_eq!(refused.at("/code"), "store_unavailable", "{}", refused.text);
    drop(ann.get("/api/v1/agents").await.expect(401));
    // What is owed is there after a restart as well.
    drop(admin.delete("/api/v1/cache?tag=order:17").await.expect(200));
    let owed: Vec<(i64,)> = world
        .app
        .db
        .rows("SELECT purge FROM cache_owed WHERE tenant = $1 ORDER BY purge", args![TENANT])
        .await
        .unwrap();
    assert_eq!(owed, [(0,), (1,)]);
}

#[tokio::test]
async fn a_credential_goes_with_its_person_and_with_nobody_else_of_the_name() {
    let world = World::start().await;
    let (tenant, ann) = (TenantId::from(TENANT), UserId::from("ann"));
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let vault = &world.app.vault;
    let place = |issuer: &str| secret_name("mail", Some((issuer, "ann")));
    for issuer in ["https://a.example", "https://b.example"] {
        let owner = owner_key(&tenant, issuer, &ann);
        vault.seal_for(&tenant, &owner, &place(issuer), issuer.as_bytes()).await.unwrap();
    }
    // As it was once sealed, for the name.
    vault.seal(&tenant, &secret_name("old", Some(("https://a.example", "ann"))), b"old").await.unwrap();
    let which = admin.delete("/api/v1/people/ann").await;
    assert_eq!(which.at("/code"), "ambiguous", "{}", which.text);
    drop(admin.delete("/api/v1/people/ann?issuer=https://a.example").await.expect(204));
    assert_eq!(vault.open(&tenant, &place("https://a.example")).await.unwrap(), None);
    let old = secret_name("old", Some(("https://a.example", "ann")));
    assert_eq!(vault.open(&tenant, &old).await.unwrap(), None);
    let left = vault.open(&tenant, &place("https://b.example")).await.unwrap().unwrap();
    assert_eq!(left.as_slice(), b"https://b.example");
}

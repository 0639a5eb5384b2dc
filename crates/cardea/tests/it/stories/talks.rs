use cardea_testkit::{World, model::Act};
use serde_json::{Value, json};

#[tokio::test]
async fn a_conversation_is_kept_shown_and_deleted() {
    let world = World::with_model([Act::say("Hello to you."), Act::say("Still here.")]).await;
    let ann = world.user("support");
    let first = ann.asks("Hello, is anybody there?").await;
    first.answers("Hello to you.").await;
    let talk = first.conversation().to_owned();
    ann.goes_on(&talk, "And now?").await.answers("Still here.").await;

    let list = ann.get("/api/v1/conversations").await.expect(200);
    assert_eq!(list.body["conversations"].as_array().unwrap().len(), 1);
    assert_eq!(list.at("/conversations/0/title"), "Hello, is anybody there?");
    let one = ann.get(&format!("/api/v1/conversations/{talk}")).await.expect(200);
    assert_eq!((one.at("/id"), one.at("/agent")), (talk.as_str(), "scripted"));
    let path = format!("/api/v1/conversations/{talk}/messages");
    let messages = ann.get(&path).await.expect(200);
    let seen: Vec<Value> =
        messages.body["messages"].as_array().unwrap().iter().map(|one| one["seq"].clone()).collect();
    assert_eq!(seen, [1, 2, 3, 4]);
    let later = ann.get(&format!("{path}?after=2&limit=1")).await.expect(200);
    assert_eq!(later.body["messages"], json!([messages.body["messages"][2]]));
    // The model was shown what was said before.
    let seen = world.model().seen();
    assert!(seen[1].body.to_string().contains("Hello, is anybody there?"), "{}", seen[1].body);

    drop(ann.delete(&format!("/api/v1/conversations/{talk}")).await.expect(204));
    for path in [path, format!("/api/v1/conversations/{talk}"), format!("/api/v1/turns/{}", first.turn())] {
        let gone = ann.get(&path).await;
        assert!(!gone.text.contains("anybody") && !gone.text.contains("Hello"), "{path}: {}", gone.text);
    }
    drop(ann.delete(&format!("/api/v1/conversations/{talk}")).await.expect(404));
    assert_eq!(ann.get("/api/v1/conversations").await.body["conversations"], json!([]));
    drop(ann.goes_on(&talk, "Hello?").await.reply.expect(404));
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_each_entry_once() {
    let world = World::start().await;
    let (ann, auditor) = (world.user("support"), world.user("auditor"));
    let mut asked = Vec::new();
    for n in 0..5 {
        asked.push(ann.asks(&format!("Where is order {n}?")).await.conversation().to_owned());
        world.clock.advance(cardea_core::time::Millis(n % 2)); // some in the same moment
    }
    asked.reverse();
    for (reader, path, list) in [
        (&ann, "/api/v1/conversations", "conversations"),
        (&ann, "/api/v1/decisions", "decisions"),
        (&auditor, "/api/v1/audit", "entries"),
    ] {
        let all = reader.get(&format!("{path}?limit=1000")).await.expect(200);
        assert_eq!(all.body["next"], Value::Null, "{path}");
        let all = all.body[list].as_array().unwrap().clone();
        assert!(all.len() >= 5, "{path}");
        let (mut paged, mut after) = (Vec::new(), String::new());
        while paged.len() < all.len() {
            let page = reader.get(&format!("{path}?limit=2{after}")).await.expect(200);
            let entries = page.body[list].as_array().unwrap();
            assert!(entries.len() <= 2, "{path}");
            paged.extend(entries.iter().cloned());
            if paged.len() < all.len() {
                after = format!("&after={}", page.at("/next"));
            } else {
                assert_eq!(page.body["next"], Value::Null, "{path}");
            }
        }
        assert_eq!(paged, all, "{path}");
        if list == "conversations" {
            let mut ids: Vec<&str> = paged.iter().map(|talk| talk["id"].as_str().unwrap()).collect();
            assert_eq!(ids[0], asked[0], "the newest first");
            ids.sort_unstable();
            asked.sort_unstable();
            assert_eq!(ids, asked);
        }
        for wrong in ["limit=0", "limit=1001", "limit=-1", "after=yesterday", "afer=1"] {
            let told = reader.get(&format!("{path}?{wrong}")).await.expect(400);
            assert!(told.at("/detail").contains(wrong.split('=').next().unwrap()), "{path} {}", told.text);
        }
    }
}

#[tokio::test]
async fn somebody_elses_conversation_is_as_unknown_as_one_that_never_was() {
    let world = World::with_model([Act::say("It is blue.")]).await;
    let ann = world.user("support");
    let hers = ann.asks("Which colour is it?").await;
    hers.answers("blue").await;
    let (talk, turn) = (hers.conversation(), hers.turn());
    let (none, no_turn) = ("conv_00000000000000000000000000000001", "turn_00000000000000000000000000000001");
    // Another user, an administrator, and a user of the same name in another tenant.
    for other in [
        world.user("analyst"),
        world.user("admin"),
        world.person(("other", "support"), &["support"], &["read", "write"]),
    ] {
        for path in [
            "/conversations/{talk}",
            "/conversations/{talk}/messages",
            "/turns/{turn}",
            "/turns/{turn}/events",
        ] {
            let fill = |talk: &str, turn: &str| {
                format!("/api/v1{}", path.replace("{talk}", talk).replace("{turn}", turn))
            };
            let (found, never) = (other.get(&fill(talk, turn)).await, other.get(&fill(none, no_turn)).await);
            assert_eq!((found.status, never.status), (404, 404), "{path}: {}", found.text);
            assert_eq!((found.at("/code"), found.at("/detail")), (never.at("/code"), never.at("/detail")));
            let odd = other.get(&fill("x", "x")).await;
            assert_eq!((odd.status, odd.at("/detail")), (404, never.at("/detail")), "{path}");
        }
        drop(other.delete(&format!("/api/v1/conversations/{talk}")).await.expect(404));
        drop(other.goes_on(talk, "Which colour was it?").await.reply.expect(404));
        let body = json!({ "model": "agent/scripted", "messages": [{ "role": "user", "content": "hi" }] })
            .to_string();
        for id in [talk, none, "x"] {
            let said =
                other.send("POST", "/v1/chat/completions", &[("x-cardea-conversation", id)], &body).await;
            assert_eq!((said.expect(404).at("/error/code"), world.model().seen().len()), ("not_found", 1));
        }
        assert_eq!(other.get("/api/v1/conversations").await.body["conversations"], json!([]));
    }
    assert_eq!(
        ann.get(&format!("/api/v1/conversations/{talk}/messages")).await.body["messages"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_answer_and_asks_the_model_once() {
    let world = World::with_model([Act::say("Done."), Act::say("Paid."), Act::say("Done again.")]).await;
    let (ann, bob) = (world.user("support"), world.user("analyst"));
    let key = [("idempotency-key", "order-17-note")];
    let body = json!({ "agent": "scripted", "message": "Write it down." }).to_string();
    let first = ann.send("POST", "/api/v1/turns", &key, &body).await.expect(200);
    let again = ann.send("POST", "/api/v1/turns", &key, &body).await.expect(200);
    assert_eq!(first.body, again.body);
    assert_eq!(world.model().seen().len(), 1);
    let talks = ann.get("/api/v1/conversations").await.expect(200);
    assert_eq!(talks.body["conversations"].as_array().unwrap().len(), 1, "{}", talks.text);
    let other = json!({ "agent": "scripted", "message": "Write something else down." }).to_string();
    let reused = ann.send("POST", "/api/v1/turns", &key, &other).await.expect(422);
    assert_eq!(reused.at("/code"), "idempotency_key_reused");
    let paid =
        |card: &str| json!({ "agent": "scripted", "message": format!("Pay from {card}.") }).to_string();
    let key_of_card = [("idempotency-key", "pay")];
    let pay = ann.send("POST", "/api/v1/turns", &key_of_card, &paid("4111111111111111")).await.expect(200);
    let masked = ann.send("POST", "/api/v1/turns", &key_of_card, &paid("5500005555555559")).await.expect(422);
    assert_eq!(masked.at("/code"), "idempotency_key_reused", "a mask hides no difference");
    drop(ann.delete(&format!("/api/v1/conversations/{}", pay.at("/conversation"))).await.expect(204));
    let gone = ann.send("POST", "/api/v1/turns", &key_of_card, &paid("4111111111111111")).await.expect(404);
    assert!(gone.at("/detail").contains("was deleted"), "{}", gone.text);
    let umlaut = ann.send("POST", "/api/v1/turns", &[("idempotency-key", "bestellung-ü")], &body).await;
    assert_eq!(umlaut.expect(400).at("/code"), "bad_request", "a key that is not understood is not none");
    let his = bob.send("POST", "/api/v1/turns", &key, &body).await.expect(200);
    assert_ne!(his.at("/turn"), first.at("/turn"), "a key is its user's own");
    let empty = ann.send("POST", "/api/v1/turns", &[("idempotency-key", "")], &body).await.expect(400);
    assert_eq!(empty.at("/code"), "bad_request");
    let streamed = json!({ "model": "agent/scripted", "stream": true, "messages": [{ "role": "user", "content": "Write it down." }] });
    let replayed = ann.send("POST", "/v1/chat/completions", &key, &streamed.to_string()).await.expect(200);
    assert!(
        replayed.text.contains("Done.") && replayed.text.trim_end().ends_with("[DONE]"),
        "{}",
        replayed.text
    );
}

#[tokio::test]
async fn a_failure_that_did_nothing_is_not_kept_under_its_key() {
    let world = World::with_model([
        Act::EndsEarly("Hel".into()),
        Act::EndsEarly("Hello".into()),
        Act::say("Hello to you."),
    ])
    .await;
    let ann = world.user("support");
    let key = [("idempotency-key", "hello-1")];
    let body = json!({ "agent": "scripted", "message": "Hello, is anybody there?" }).to_string();
    for status in ["failed", "failed", "answered", "answered"] {
        let reply = ann.send("POST", "/api/v1/turns", &key, &body).await.expect(200);
        assert_eq!(reply.at("/status"), status, "{}", reply.text);
    }
    assert_eq!(world.model().seen().len(), 3, "what was answered is kept");
}

#[tokio::test]
async fn a_conversation_that_is_busy_says_with_what() {
    let world = World::start().await;
    let ann = world.user("support");
    let waits = ann.asks("Refund 150 for order 17, please.").await;
    waits.waits_for_approval("ops__process_refund").await;
    let busy = ann.goes_on(waits.conversation(), "Are you there?").await.reply.expect(409);
    let told = busy.at("/detail");
    assert!(told.contains(waits.turn()) && told.contains(waits.approval()), "{told}");
}

#[tokio::test]
async fn the_same_request_many_times_at_once_is_one_turn_in_one_conversation() {
    let world = World::with_model([Act::say("Done.")]).await;
    let ann = world.user("support");
    let body = json!({ "agent": "scripted", "message": "Write it down." }).to_string();
    let tries = (0..8).map(|_| ann.send("POST", "/api/v1/turns", &[("idempotency-key", "k")], &body));
    let replies = futures::future::join_all(tries).await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    let busy = replies.iter().filter(|reply| reply.at("/code") == "in_progress").count();
    assert!(done >= 1 && done + busy == 8, "{replies:#?}");
    assert_eq!(world.model().seen().len(), 1);
    let talks = ann.get("/api/v1/conversations").await.expect(200);
    assert_eq!(talks.body["conversations"].as_array().unwrap().len(), 1, "{}", talks.text);
}

#[tokio::test]
async fn a_stream_of_events_goes_on_after_the_last_that_was_seen() {
    let world = World::with_model([
        Act::call("ops__get_order", json!({ "order_id": "ORD-17" })),
        Act::say("It is delivered."),
    ])
    .await;
    let ann = world.user("support");
    let asked = ann.asks("What is with order 17?").await;
    let all = ann.follows(asked.turn(), None).await;
    let kinds: Vec<&str> = all.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["turn.started", "step.ended", "turn.ended"]);
    for (at, event) in all.iter().enumerate() {
        let rest = ann.follows(asked.turn(), Some(&event.id)).await;
        assert_eq!(rest, all[at + 1..], "after {}", event.id);
    }
    let found = ann.get(&format!("/api/v1/turns/{}", asked.turn())).await.expect(200);
    assert_eq!((found.at("/status"), found.at("/receipt/answer")), ("answered", "It is delivered."));
}

#[tokio::test]
async fn a_repeat_and_a_rewording_are_served_from_the_users_own_cache_only() {
    let world = World::start().await;
    let (ann, bob) = (world.user("support"), world.user("analyst"));
    let cache = |reply: &Value| reply["cache"].as_str().unwrap_or_default().to_owned();
    let first = ann.asks("What is the status of order 17?").await.answers("delivered").await;
    let again = ann.asks("What is the status of order 17?").await.answers("delivered").await;
    let other = ann.asks("What is the status of order 18?").await.ends().await;
    let bobs = bob.asks("What is the status of order 17?").await.answers("delivered").await;
    assert_eq!([&first, &again, &other, &bobs].map(cache), ["none", "exact", "none", "none"]);
    assert_eq!(again["usage"]["input"], 0);
    drop(ann.delete("/api/v1/cache").await.expect(200));
    let cleared = ann.asks("What is the status of order 17?").await.answers("delivered").await;
    assert_eq!(cache(&cleared), "none");
}

//! Neighbours that fail, clocks that jump, and an end in the middle of work. Each row of docs/RELIABILITY.md that is
//! proved names a test of this kind.

use std::time::{Duration, Instant};

use cardea::{
    observe::{Checkpoints, verify},
    vault::RootKey,
};
use cardea_core::time::{Clock as _, Millis};
use cardea_testkit::{World, chaos::Weather, model::Act, world::Service};
use serde_json::json;

/// The code that a turn ended with.
async fn ends_with(world: &World, question: &str) -> (String, String) {
    let receipt = world.user("support").asks(question).await.ends().await;
    let text = |pointer: &str| {
        receipt.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    (text("/status"), text("/error/code"))
}

#[tokio::test]
async fn whatever_a_model_does_the_turn_ends_with_its_own_word_and_nothing_unscreened() {
    let card = "My card is 4111 1111 1111 1111";
    let acts = [
        (Act::Silent, "model_silent"),
        (Act::SilentAfterHead, "model_silent"),
        (Act::SilentAfter(card.into()), "model_silent"),
        (Act::LostAfter(card.into()), "model_failed"),
        (Act::EndsEarly(card.into()), "model_failed"),
        (Act::Then("Well, ".into(), b"data: {garbage\n\n".to_vec()), "model_failed"),
        (Act::Status(500, None, "oops".into()), "model_failed"),
        (Act::Document("text/html", "<h1>hello</h1>".into()), "model_failed"),
        (Act::Empty, "model_failed"),
    ];
    for (act, code) in acts {
        let story = format!("{act:?}").chars().take(60).collect::<String>();
        let plan = World::plan()
            .model([act])
            .set("CARDEA_MODELS__TIMEOUTS__FIRST", "1s")
            .set("CARDEA_MODELS__TIMEOUTS__IDLE", "1s")
            .set("CARDEA_MODELS__TIMEOUTS__TOTAL", "20s");
        let world = plan.start().await;
        let receipt = world.user("support").asks("Hello?").await.ends().await;
        assert_eq!(
            (&receipt["status"], &receipt["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{story}: {receipt}"
        );
        let talk = receipt["conversation"].as_str().unwrap();
        let said =
            world.user("support").get(&format!("/api/v1/conversations/{talk}/messages")).await.expect(200);
        assert!(!said.text.contains("4111 1111"), "{story}: {}", said.text);
        // The next question is answered as ever, by the model that needs no network.
        let other = json!({ "agent": "support", "message": "What is the status of order 17?" });
        let next = world.user("support").post("/api/v1/turns", &other).await.expect(200);
        assert!(next.at("/answer").contains("delivered"), "{story}: {}", next.text);
    }
}

#[tokio::test]
async fn an_upstream_that_works_and_does_not_answer_is_asked_again_only_where_that_is_harmless() {
    let comment = json!({ "ticket_id": 6, "body": "Only once." });
    let refund = json!({ "order_id": "ORD-17", "amount": 5 });
    let script = [
        Act::call("ops__add_ticket_comment", comment),
        Act::call("ops__process_refund", refund),
        Act::say("Paid."),
    ];
    let plan = World::plan().model(script).wire_to_shop().set("CARDEA_UPSTREAMS__OPS__TIMEOUT", "700ms");
    let world = plan.start().await;
    let ann = world.user("support");
    drop(
        ann.post(
            "/api/v1/turns",
            &json!({ "agent": "support", "message": "What is the status of order 3?" }),
        )
        .await,
    );
    let before = world.shop().comments(6).await;
    world.wire().set(Weather::LoseAnswers);
    assert_eq!(
        ends_with(&world, "Write that down.").await,
        ("unknown".to_owned(), "upstream_unknown".to_owned())
    );
    assert_eq!(world.shop().comments(6).await, before + 1, "it was sent once, and nobody knows");

    // A refund carries its key: it is asked for again, and paid once.
    let paid = async {
        while world.shop().refunds(17).await == 0 {
            tokio::task::yield_now().await;
        }
        world.wire().set(Weather::Fair);
    };
    let (asked, ()) = tokio::join!(ann.asks("Refund order 17."), paid);
    let receipt = asked.ends().await;
    assert_eq!(receipt["tools"][0]["state"], "done", "{receipt}");
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn an_upstream_that_is_away_fails_the_call_and_is_used_again_when_it_is_back() {
    let look = || Act::call("ops__get_order", json!({ "order_id": "ORD-17" }));
    let script = [look(), Act::say("I could not look."), look(), Act::say("It is delivered.")];
    let plan = World::plan().model(script).wire_to_shop().set("CARDEA_UPSTREAMS__OPS__TIMEOUT", "700ms");
    let world = plan.start().await;
    let ann = world.user("support");
    world.wire().set(Weather::Refuse);
    let away = ann.asks("Where is order 17?").await.answers("could not").await;
    assert_eq!(away["tools"][0]["state"], "failed", "{away}");
    let told = world.model().seen().last().unwrap().body.to_string();
    assert!(told.contains("did not answer") && !told.contains("answered with an error"), "{told}");
    world.wire().set(Weather::Fair);
    world.clock.advance(Millis::from_secs(10)); // the breaker's pause
    let back = ann.asks("And now, where is order 17?").await.answers("delivered").await;
    assert_eq!(back["tools"][0]["state"], "done", "{back}");
}

#[tokio::test]
async fn an_upstream_that_was_away_at_the_start_is_there_a_moment_after_it_came_even_beside_a_connector() {
    let manifest = "[connector]\nname = \"demo\"\nbase = \"BASE\"\n[[operation]]\nname = \"look\"\nabout = \"Look.\"\n\
                    effect = \"read\"\nrequest = { method = \"GET\", path = \"/look\" }\n";
    let plan = World::plan().shop_is_away().connector(Service::start().await, manifest);
    let world = plan.start().await;
    let start = Instant::now();
    world.wire().set(Weather::Fair);
    world.clock.advance(Millis::from_secs(10)); // the breaker's pause
    while world.app.action.catalog().get("ops__get_order").is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "it is asked again in a minute, not in a second");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.user("support").asks("What is the status of order 17?").await.answers("delivered").await;
}

#[tokio::test]
async fn a_clock_that_jumps_lets_no_old_token_in_and_breaks_no_order() {
    let world = World::with_model([Act::say("One."), Act::say("Two."), Act::say("Three.")]).await;
    let now = world.clock.now();
    let early = world.user("support");
    let first = early.asks("First?").await;
    first.answers("One.").await;
    world.clock.advance(Millis::from_secs(30 * 86_400));
    drop(early.get("/api/v1/agents").await.expect(401));
    let late = world.user("support");
    let unused = world.user("analyst");
    late.goes_on(first.conversation(), "Second?").await.answers("Two.").await;
    // Backwards: a token from the future is not good yet.
    world.clock.set(now.minus(Millis::from_secs(3_600)));
    drop(unused.get("/api/v1/agents").await.expect(401));
    let again = world.user("support");
    again.goes_on(first.conversation(), "Third?").await.answers("Three.").await;
    let said =
        again.get(&format!("/api/v1/conversations/{}/messages", first.conversation())).await.expect(200);
    let order: Vec<i64> =
        said.body["messages"].as_array().unwrap().iter().filter_map(|one| one["seq"].as_i64()).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6], "{}", said.text);
    let data = &world.app.config.data.dir;
    let key = RootKey::load(&world.app.config.vault, data).unwrap().chain_key();
    verify(&world.app.db, &key, &Checkpoints::default()).await.unwrap();
}

#[tokio::test]
async fn an_orderly_end_takes_no_new_work_and_records_the_work_in_hand() {
    let slow = Act::Drip("Slowly but surely.".into(), Duration::from_millis(1));
    let script = [Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 5 })), slow];
    let world = World::with_model(script).await;
    let ann = world.user("support");
    let ending = async {
        while world.model().seen().len() < 2 {
            tokio::task::yield_now().await;
        }
        let refused = async {
            while !world.app.jobs.draining() {
                tokio::task::yield_now().await;
            }
            let eve =
                world.app.auth.embedded(cardea_auth::VerifiedClaims::new("acme", "eve").role("support"));
            let refused = world.app.agent("support").chat(&eve, None, "One more?").await.unwrap_err();
            assert_eq!(refused.code(), cardea_core::Code::Draining);
        };
        tokio::join!(world.app.stop(), refused)
    };
    let (asked, _) = tokio::join!(ann.asks("Refund order 17."), ending);
    let reply = &asked.reply;
    assert_eq!((reply.status, reply.at("/answer")), (200, "Slowly but surely."), "{}", reply.text);
    assert_eq!(world.shop().refunds(17).await, 1);
}

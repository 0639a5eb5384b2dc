//! Turns that another node takes over while somebody waits for them at the first one.

use std::time::Duration;

use cardea::{flow::resume_one, turn::NODE_LEASE};
use cardea_core::time::Millis;
use cardea_store::Commit;
use cardea_testkit::{World, model::Act, world::Node};
use serde_json::json;

use super::undo::{reserve, states, warehouse};

const ASK: &str = r#"
@id("support-works-there") @reason("support works with the warehouse.")
permit (principal in Role::"support", action, resource in Server::"demo");
@id("charges") @reason("charging needs a supervisor.") @approval("role:supervisor")
forbid (principal, action == Action::"demo__charge", resource) unless { context has approval };
"#;

/// Lets the world's own node seem dead once it has asked the model so often, until the other one has taken over.
async fn is_taken_over(world: &World, second: &Node, asked: usize) {
    while world.model().seen().len() < asked {
        tokio::task::yield_now().await;
    }
    let sql = "SELECT id FROM turns WHERE node = 'second'";
    while world.app.db.row::<(String,)>(sql, Vec::new()).await.unwrap().is_none() {
        world.clock.advance(Millis(NODE_LEASE.0 + 1_000));
        for free in second.app.turns.free(9).await.unwrap() {
            drop(resume_one(&second.app, &free).await);
        }
    }
}

fn slow() -> Act {
    Act::Drip("It is paid, says the first node.".to_owned(), Duration::from_millis(3))
}

#[tokio::test]
async fn who_waits_at_a_frozen_node_gets_the_receipt_of_the_node_that_went_on() {
    let pay = Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 20 }));
    let world = World::with_model([pay, slow(), Act::say("It is paid, says the second node.")]).await;
    let second = world.node("second").await;
    let ann = world.user("support");
    let (asked, ()) = tokio::join!(ann.asks("Refund it, please."), is_taken_over(&world, &second, 2));
    let receipt = asked.reply.expect(200).body;
    assert_eq!(receipt["answer"], "It is paid, says the second node.", "{receipt}");
    assert_eq!(receipt["tools"][0]["state"], "done", "{receipt}");
    assert_eq!(world.shop().refunds(17).await, 1);
    second.app.stop().await;
}

#[tokio::test]
async fn a_stream_at_a_frozen_node_ends_with_the_answer_of_the_node_that_went_on() {
    let world = World::with_model([slow(), Act::say("It is paid, says the second node.")]).await;
    let second = world.node("second").await;
    let ann = world.user("support");
    let body = json!({ "model": "agent/scripted", "stream": true, "messages": [{ "role": "user", "content": "Well?" }] });
    let (reply, ()) =
        tokio::join!(ann.post("/v1/chat/completions", &body), is_taken_over(&world, &second, 1));
    let text = reply.expect(200).text;
    assert!(text.contains("says the second node.") && text.contains("[DONE]"), "{text}");
    assert!(text.contains("\"finish_reason\":\"stop\"") && !text.contains("error"), "{text}");
    second.app.stop().await;
}

#[tokio::test]
async fn the_events_of_a_turn_that_goes_on_at_another_node_are_told_here_as_well() {
    let pay = Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 }));
    let world = World::with_model([pay, Act::say("It is paid.")]).await;
    let second = world.node("second").await;
    let (ann, sue) = (world.user("support"), world.user("supervisor"));
    let turn = ann.asks("Refund it, please.").await;
    let there = second.holder(ann.token());
    let events = there.follows_until(turn.turn(), "turn.waiting", sue.approves(&turn)).await;
    assert_eq!(events.last().map(|event| event.kind.as_str()), Some("turn.ended"), "{events:?}");
    second.app.stop().await;
}

/// Leaves all turns as five owners do that broke off before they had written anything.
async fn broken_off(world: &World) {
    let tries = Commit::new().run("UPDATE turns SET tries = 5 WHERE ended_at IS NULL", Vec::new());
    world.app.db.commit(tries).await.unwrap();
}

#[tokio::test]
async fn a_turn_that_comes_no_further_however_often_it_is_taken_up_ends_and_its_model_is_paid_no_more() {
    let pay = Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 }));
    let world = World::with_model([pay, Act::say("Hello.")]).await;
    let (ann, sue) = (world.user("support"), world.user("supervisor"));
    let turn = ann.asks("Refund it, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    broken_off(&world).await;
    sue.approves(&turn).await;
    let receipt = turn.ends().await;
    assert_eq!((&receipt["status"], &receipt["error"]["code"]), (&json!("failed"), &json!("internal")));
    assert!(receipt["error"]["message"].as_str().unwrap().contains("taken up 5 times"), "{receipt}");
    assert_eq!((world.model().seen().len(), world.shop().refunds(17).await), (1, 0), "{receipt}");
    ann.goes_on(turn.conversation(), "Hello?").await.answers("Hello.").await;
}

#[tokio::test]
async fn what_a_turn_has_done_that_comes_no_further_is_taken_back() {
    let charge = Act::call("demo__charge", json!({ "amount": 9 }));
    let world = warehouse(ASK, [reserve("book"), charge, Act::say("never said")]).await;
    let turn = world.user("support").asks("Buy the book.").await;
    turn.waits_for_approval("demo__charge").await;
    broken_off(&world).await;
    world.user("supervisor").approves(&turn).await;
    let receipt = turn.ends().await;
    assert_eq!((&receipt["status"], states(&receipt)), (&json!("unwound"), vec!["compensated", "refused"]));
    let (code, told) = (&receipt["error"]["code"], receipt["error"]["message"].as_str().unwrap());
    assert!(
        code == "internal" && told.contains("came no further. Taken back: `demo__reserve`."),
        "{receipt}"
    );
    assert_eq!(world.service().lines(), ["POST /reservations", "DELETE /reservations/a1"]);
    assert_eq!(world.model().seen().len(), 2);
}

#[tokio::test]
async fn a_quiet_stream_ends_with_the_credential_of_its_reader() {
    let pay = Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 }));
    let world = World::with_model([pay]).await;
    let ann = world.user("support");
    let turn = ann.asks("Refund it, please.").await;
    let expires = async { world.clock.advance(Millis::from_secs(13 * 3_600)) };
    let events = ann.follows_until(turn.turn(), "turn.waiting", expires).await;
    assert_eq!(events.last().map(|event| event.kind.as_str()), Some("turn.waiting"), "{events:?}");
}

//! Who has asked may stop what was begun.

use std::time::Duration;

use cardea_testkit::{World, model::Act, world::User};
use serde_json::{Value, json};

use super::{
    limits::slow,
    refund,
    undo::{POLICIES, reserve, states, warehouse},
};

/// The turn that runs.
pub(super) async fn running(world: &World) -> String {
    let sql = "SELECT id FROM turns WHERE state = 'running'";
    let (id,): (String,) = world.app.db.row(sql, cardea_store::args![]).await.unwrap().unwrap();
    id
}

/// A model that says these words and many more, and then nothing. Some of them leave the window.
pub(super) fn begins(words: &str) -> Act {
    Act::SilentAfter(format!("{words}. {}", "A long story. ".repeat(100)))
}

/// Asks, has somebody stop the turn once the model's words come, and returns the receipt.
async fn interrupted(world: &World, ann: &User, stops: &User, question: &str) -> Value {
    let stop = async {
        let id = running(world).await;
        // 202 while the turn is being wound up, 200 if it has ended by then.
        let stopped = stops.post(&format!("/api/v1/turns/{id}/cancel"), &json!({})).await;
        assert!([200, 202].contains(&stopped.status), "{} {}", stopped.status, stopped.text);
        id
    };
    let chat = ann.chats_until(question, "story", stop);
    let id = tokio::time::timeout(Duration::from_secs(20), chat).await.expect("nobody waits for the model");
    ann.receipt_of(&id).await
}

#[tokio::test]
async fn a_turn_that_waits_for_a_person_is_stopped_at_once_and_its_approval_withdrawn() {
    let world = World::with_model([refund(150), Act::say("Hello.")]).await;
    let (ann, boss) = (world.user("support"), world.user("supervisor"));
    let turn = ann.asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    let path = format!("/api/v1/turns/{}/cancel", turn.turn());
    for other in [&boss, &world.person(("other", "support"), &["support"], &["read"])] {
        drop(other.post(&path, &json!({})).await.expect(404));
    }
    for _ in 0..2 {
        let stopped = ann.post(&path, &json!({})).await.expect(200);
        assert_eq!((stopped.at("/status"), stopped.at("/receipt/error/code")), ("failed", "cancelled"));
        assert_eq!(stopped.at("/receipt/tools/0/state"), "refused", "{}", stopped.text);
    }
    let approval = boss.get(&format!("/api/v1/approvals/{}", turn.approval())).await.expect(200);
    assert_eq!(approval.at("/state"), "expired");
    drop(boss.decides(&turn, "approve").await.expect(409));
    let receipt = turn.ends().await;
    assert_eq!(receipt["error"]["code"], "cancelled");
    assert_eq!(world.shop().refunds(17).await, 0);
    ann.goes_on(turn.conversation(), "Hello?").await.answers("Hello").await;
    world.audit().await.tells(["step.waits", "turn.cancelled", "step.refused", "turn.ended"]);
}

#[tokio::test]
async fn a_call_over_mcp_that_waits_for_a_person_can_be_stopped_too() {
    let world = World::start().await;
    let ann = world.user("support");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "ops__process_refund",
        "arguments": { "order_id": "ORD-17", "amount": 150, "reason": "goodwill" } } });
    let headers = [("accept", "application/json, text/event-stream")];
    let waits = ann.send("POST", "/mcp", &headers, &body.to_string()).await.expect(200);
    let turn = waits.at("/result/structuredContent/turn");
    let stopped = ann.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({})).await.expect(200);
    assert_eq!((stopped.at("/status"), stopped.at("/receipt/error/code")), ("failed", "cancelled"));
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn a_turn_that_runs_ends_before_its_next_step() {
    let acts = [Act::call("demo__look", json!({})), Act::say("never said")];
    let world = slow("tool_timeout = \"2s\"\n", acts).await;
    let ann = world.user("support");
    let stop = async {
        while world.service().lines().is_empty() {
            tokio::task::yield_now().await;
        }
        let id = running(&world).await;
        ann.post(&format!("/api/v1/turns/{id}/cancel"), &json!({})).await
    };
    let (turn, stopped) = tokio::join!(ann.asks("Look it up."), stop);
    assert_eq!(stopped.expect(202).at("/status"), "running");
    let receipt: Value = turn.ends().await;
    assert_eq!((&receipt["status"], &receipt["error"]["code"]), (&json!("failed"), &json!("cancelled")));
    assert_eq!(receipt["tools"][0]["tool"], "demo__look", "what was done is told: {receipt}");
    assert_eq!(world.model().seen().len(), 1, "the model is not asked again");
    let path = format!("/api/v1/turns/{}/cancel", turn.turn());
    assert_eq!(ann.post(&path, &json!({})).await.expect(200).at("/status"), "failed");
}

#[tokio::test]
async fn a_model_that_writes_its_last_words_is_interrupted_and_what_was_done_is_taken_back() {
    let world = warehouse(POLICIES, [reserve("book"), begins("I have reserved the book and now I")]).await;
    let ann = world.user("support");
    let receipt = interrupted(&world, &ann, &ann, "Reserve a book.").await;
    assert_eq!(
        (&receipt["status"], &receipt["error"]["code"]),
        (&json!("unwound"), &json!("cancelled")),
        "{receipt}"
    );
    assert_eq!(states(&receipt), ["compensated"]);
    assert_eq!(world.service().came("DELETE /reservations/a1").len(), 1);
    let (read, written) =
        (receipt["usage"]["input"].as_u64().unwrap(), receipt["usage"]["output"].as_u64().unwrap());
    assert!(read > 22 && written > 5, "what has come of the second answer is paid: {receipt}");
}

#[tokio::test]
async fn what_another_node_was_told_to_stop_is_interrupted_here() {
    let world = World::with_model([begins("Once upon a time")]).await;
    let other = world.node("second").await;
    let ann = world.user("support");
    let receipt = interrupted(&world, &ann, &other.holder(ann.token()), "Tell me a story.").await;
    assert_eq!(receipt["error"]["code"], "cancelled");
}

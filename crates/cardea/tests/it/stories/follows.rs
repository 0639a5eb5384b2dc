//! A client that does not wait: told at once where its turn is, it follows what is done there.

use std::time::Duration;

use cardea_testkit::{World, model::Act, world::Say};
use serde_json::{Value, json};

use super::{
    limits::slow,
    undo::{POLICIES, reserve, warehouse},
};

const NOW: [(&str, &str); 1] = [("prefer", "respond-async, wait=10")];

fn ask(text: &str) -> String {
    json!({ "agent": "scripted", "message": text }).to_string()
}

#[tokio::test]
async fn who_does_not_wait_is_told_where_the_turn_is_and_finds_its_end_there() {
    let world =
        World::with_model([Act::Drip("Once upon a time.".to_owned(), Duration::from_millis(20))]).await;
    let ann = world.user("support");
    let told = ann.send("POST", "/api/v1/turns", &NOW, &ask("Tell me a story.")).await.expect(202);
    assert_eq!(
        (told.at("/status"), told.header("preference-applied")),
        ("running", "respond-async"),
        "{}",
        told.text
    );
    let (turn, talk) = (told.at("/turn"), told.at("/conversation"));
    assert_eq!(told.header("location"), format!("/api/v1/turns/{turn}"));
    assert!(!talk.is_empty());
    assert_eq!(ann.get(told.header("location")).await.expect(200).at("/status"), "running");
    let events = ann.follows(turn, None).await;
    let ended = events.last().unwrap();
    assert_eq!((ended.kind.as_str(), &ended.json()["answer"]), ("turn.ended", &json!("Once upon a time.")));
    assert_eq!(ann.get(told.header("location")).await.expect(200).at("/receipt/answer"), "Once upon a time.");
}

#[tokio::test]
async fn what_is_refused_or_answered_already_is_told_as_to_anybody() {
    let world = World::with_model([Act::say("Hello.")]).await;
    let ann = world.user("support");
    let nobody = json!({ "agent": "nobody", "message": "Hello?" }).to_string();
    drop(ann.send("POST", "/api/v1/turns", &NOW, &nobody).await.expect(404));
    let keyed = [("prefer", "Respond-Async"), ("idempotency-key", "k1")];
    let first = ann.send("POST", "/api/v1/turns", &keyed, &ask("Hello?")).await.expect(202);
    drop(ann.follows(first.at("/turn"), None).await);
    let again = ann.send("POST", "/api/v1/turns", &keyed, &ask("Hello?")).await.expect(200);
    assert_eq!((again.at("/turn"), again.at("/answer")), (first.at("/turn"), "Hello."));
    assert_eq!(again.header("preference-applied"), "");
    let waits = ann.send("POST", "/api/v1/turns", &[("prefer", "wait=10")], &ask("Hello!")).await.expect(200);
    assert_eq!(waits.at("/answer"), "Hello.");
}

#[tokio::test]
async fn a_read_is_told_of_when_it_begins() {
    let world =
        slow("tool_timeout = \"2s\"\n", [Act::call("demo__look", json!({})), Act::say("Nothing.")]).await;
    let ann = world.user("support");
    let told = ann.send("POST", "/api/v1/turns", &NOW, &ask("Look it up.")).await.expect(202);
    let events = ann.follows(told.at("/turn"), None).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["turn.started", "step.started", "step.ended", "turn.ended"]);
    assert_eq!(events[1].json()["tool"], "demo__look");
    assert_eq!(events[1].json()["step"], events[2].json()["step"]);
    let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).filter(|id| !id.is_empty()).collect();
    assert!(ids.len() >= 3, "{events:?}");
    let later: Vec<String> =
        ann.follows(told.at("/turn"), None).await.into_iter().map(|event| event.kind).collect();
    assert_eq!(later, ["turn.started", "step.ended", "turn.ended"], "nobody hears of it later");
}

#[tokio::test]
async fn a_taking_back_is_told_step_by_step() {
    let charge = Act::call("demo__charge", json!({ "amount": 9 }));
    let world = warehouse(POLICIES, [reserve("book"), charge]).await;
    world.service().says("POST /charges", [Say::Json(402, json!({ "error": "card declined" }))]);
    let ann = world.user("support");
    let told = ann.send("POST", "/api/v1/turns", &NOW, &ask("Buy a book.")).await.expect(202);
    let events = ann.follows(told.at("/turn"), None).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let wanted = [
        "turn.started",
        "step.started",
        "step.ended",
        "step.started",
        "step.ended",
        "turn.unwinding",
        "step.undoing",
        "step.undone",
        "turn.ended",
    ];
    assert_eq!(kinds, wanted);
}

#[tokio::test]
async fn a_first_question_that_failed_is_asked_again_under_its_key_in_the_same_conversation() {
    let busy = Act::busy(None);
    let plan = World::plan().model([busy.clone(), busy, Act::say("Hello, [CARD_1].")]);
    let world = plan.set("CARDEA_MODELS__RETRIES", "0").start().await;
    let ann = world.user("support");
    let keyed = [("idempotency-key", "k1")];
    let body = ask("My card is 4111 1111 1111 1111.");
    let mut talks: Vec<String> = Vec::new();
    for status in ["failed", "failed", "answered"] {
        let reply = ann.send("POST", "/api/v1/turns", &keyed, &body).await.expect(200);
        assert_eq!(reply.at("/status"), status, "{}", reply.text);
        talks.push(reply.at("/conversation").to_owned());
    }
    talks.dedup();
    assert_eq!(talks.len(), 1, "{talks:?}");
    let list = ann.get("/api/v1/conversations").await.expect(200);
    assert_eq!(list.body["conversations"].as_array().unwrap().len(), 1);
    let again = ann.send("POST", "/api/v1/turns", &keyed, &body).await.expect(200);
    assert_eq!((again.at("/status"), world.model().seen().len()), ("answered", 3));
    let later: Value = ann.goes_on(&talks[0], "And now?").await.ends().await;
    assert_eq!(later["status"], "answered");
}

#[tokio::test]
async fn the_audit_log_of_what_is_no_turn_is_a_wrong_question() {
    let world = World::start().await;
    let auditor = world.user("auditor");
    let told = auditor.get("/api/v1/audit?turn=zzz").await.expect(400);
    assert!(told.at("/detail").contains("turn"), "{}", told.text);
    let none = auditor.get("/api/v1/audit?turn=turn_00000000000000000000000000000001").await.expect(200);
    assert_eq!(none.body["entries"], json!([]));
}

//! Turns that another process takes up, with something missing: the secret of a service, its server, the end of a write.

use cardea_testkit::{
    World,
    model::Act,
    world::{SECRET, Say, Service},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::undo::{POLICIES, WAREHOUSE, charge, ends, reserve, states, takes_its_place};

/// What comes of a turn whose process ends while the service works on this request, if the next one has no secret for it.
async fn sent_and_then_without_its_secret(line: &str, acts: [Act; 2]) -> (String, Value) {
    let manifest =
        WAREHOUSE.replacen("base = \"BASE\"\n", "base = \"BASE\"\nauth = { kind = \"bearer\" }\n", 1);
    let plan = World::plan().model(acts).connector(Service::start().await, &manifest).policies(POLICIES);
    let world = plan.start().await;
    world.service().says("POST /reservations", [Say::Json(201, json!({ "id": "a1" }))]);
    world.service().says("POST /charges", [Say::Json(402, json!({ "error": "card declined" }))]);
    world.service().says(line, [Say::Silent]);
    let ann = world.user("support");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { ann.asks("Buy the book.").await });
    while world.service().came(line).is_empty() {
        tokio::task::yield_now().await;
    }
    let second =
        takes_its_place(&world, |config| config.replace(&format!("demo = \"{SECRET}\"\n"), "")).await;
    second.start().await.unwrap();
    let ended = ends(&second).await;
    assert_eq!(world.service().came(line).len(), 1);
    tasks.abort_all();
    second.stop().await;
    ended
}

#[tokio::test]
async fn a_write_that_was_sent_is_unknown_where_it_cannot_be_sent_again_for_want_of_its_secret() {
    let acts = [reserve("book"), Act::say("never said")];
    let (state, receipt) = sent_and_then_without_its_secret("POST /reservations", acts).await;
    assert_eq!((state.as_str(), states(&receipt)), ("unknown", vec!["unknown"]), "{receipt}");
    let acts = [reserve("book"), charge()];
    let (state, receipt) = sent_and_then_without_its_secret("DELETE /reservations/a1", acts).await;
    assert_eq!((state.as_str(), states(&receipt)), ("unknown", vec!["unknown", "failed"]), "{receipt}");
}

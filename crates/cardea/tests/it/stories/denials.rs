//! Refusals by policy: each stands in the log of decisions and in the audit log, whatever its client is told.

use std::fs;

use cardea_testkit::{
    World,
    model::Act,
    world::{Audit, TENANT, User},
};
use serde_json::{Value, json};

use super::refund;

const REFUND: &str = "ops__process_refund";
const NEVER: &str = "ops__delete_customer";

/// The decisions about this, as an auditor reads them.
async fn decided(world: &World, resource: &str) -> Vec<Value> {
    let auditor = world.person((TENANT, "auditor"), &["auditor"], &["read"]);
    let found = auditor.get("/api/v1/decisions?limit=1000").await.expect(200);
    let all = found.body["decisions"].as_array().cloned().unwrap();
    all.into_iter().filter(|one| one["resource"] == resource).collect()
}

/// The one entry of this name.
fn told(audit: &Audit, event: &str) -> Value {
    let mut found = audit.entries.iter().filter(|entry| entry["event"] == event);
    let entry = found.next().unwrap_or_else(|| panic!("no `{event}`: {:?}", audit.events())).clone();
    assert!(found.next().is_none(), "`{event}` twice");
    entry
}

/// What an entry repeats of a decision is what the log of decisions says of it.
fn fits(entry: &Value, decision: &Value) {
    let repeated = &entry["detail"]["decision"];
    assert_eq!(
        [&repeated["id"], &repeated["verdict"], &repeated["policies"], &repeated["version"]],
        [&decision["id"], &decision["verdict"], &decision["policies"], &decision["policy_version"]],
        "{entry}"
    );
    assert!(entry["detail"]["roles"].is_array(), "{entry}");
}

async fn calls(user: &User, tool: &str) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                       "params": { "name": tool, "arguments": { "customer_id": 1 } } });
    let more = [("accept", "application/json, text/event-stream"), ("content-type", "application/json")];
    let answer = user.send("POST", "/mcp", &more, &call.to_string()).await;
    let text = answer.text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&answer.text);
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{}: {}", answer.status, answer.text))
}

#[tokio::test]
async fn why_a_tool_was_not_shown_stands_in_the_log_and_its_client_learns_no_more_than_before() {
    let script =
        [Act::call(NEVER, json!({})), Act::call("ops__no_such_tool", json!({})), Act::say("I cannot.")];
    let world = World::with_model(script).await;
    let ann = world.user("support");
    let receipt = ann.asks("Delete the customer 1.").await.answers("I cannot.").await;
    assert_eq!(receipt["tools"][0]["reason"], format!("There is no tool `{NEVER}` for you."));

    let decisions = decided(&world, NEVER).await;
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    assert_eq!((&decisions[0]["verdict"], &decisions[0]["user"]), (&json!("deny"), &json!("support")));
    assert_eq!(decisions[0]["turn"], receipt["turn"]);
    let audit = world.audit().await;
    let refused: Vec<&Value> =
        audit.entries.iter().filter(|entry| entry["event"] == "step.refused").collect();
    fits(refused[0], &decisions[0]);
    assert!(refused[1]["detail"]["decision"].is_null(), "nobody has this tool: {}", refused[1]);
    assert!(decided(&world, "ops__no_such_tool").await.is_empty());
}

#[tokio::test]
async fn a_hidden_tool_that_is_called_from_outside_leaves_its_trace() {
    let world = World::start().await;
    let ann = world.user("support");
    let (hidden, unknown) = (calls(&ann, NEVER).await, calls(&ann, "ops__no_such_tool").await);
    assert_eq!(hidden["error"]["message"], unknown["error"]["message"], "{hidden} {unknown}");
    let decisions = decided(&world, NEVER).await;
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    let entry = told(&world.audit().await, "call.refused");
    fits(&entry, &decisions[0]);
    assert_eq!((&entry["tool"], &entry["user"]), (&json!(NEVER), &json!("support")));
    assert!(entry["request"].is_string() && entry["request"] == decisions[0]["request"], "{entry}");
}

#[tokio::test]
async fn what_was_approved_and_is_forbidden_since_is_refused_with_the_reason() {
    let world = World::with_model([refund(150), Act::say("Refunds are frozen.")]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval(REFUND).await;
    let waits = told(&world.audit().await, "step.waits");
    fits(&waits, &decided(&world, REFUND).await[0]);
    assert!(waits["detail"]["reason"].as_str().unwrap().contains("asks for an approval"), "{waits}");

    let freeze = format!(
        "@id(\"freeze\")\n@reason(\"refunds are frozen.\")\nforbid (principal, action == Action::\"{REFUND}\", resource);\n"
    );
    fs::write(world.folder().join("policies/freeze.cedar"), freeze).unwrap();
    world.app.control.adopt(world.app.action.catalog().specs()).unwrap();
    world.clock.advance(cardea_core::time::Millis(10));
    world.user("supervisor").approves(&turn).await;
    let receipt = turn.answers("frozen").await;
    let reason = receipt["tools"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("Policy `freeze` does not allow this: refunds are frozen."), "{reason}");
    assert_eq!(world.shop().refunds(17).await, 0);
    let audit = world.audit().await;
    fits(&told(&audit, "step.refused"), decided(&world, REFUND).await.last().unwrap());
    let approved = told(&audit, "approval.decided");
    assert_eq!(approved["detail"]["roles"], json!(["supervisor"]));
    assert_eq!(approved["detail"]["args_digest"], waits["detail"]["args_digest"]);
    assert!(approved["detail"]["comment_digest"].is_string());
}

#[tokio::test]
async fn a_model_that_policy_refuses_leaves_its_trace_and_one_that_nobody_has_none() {
    let world = World::with_model([]).await;
    let eve = world.person((TENANT, "eve"), &["guest"], &[]);
    let ask = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
    drop(eve.post("/v1/chat/completions", &ask("scripted")).await.expect(403));
    drop(eve.post("/v1/chat/completions", &ask("no-such-model")).await);
    let (decisions, entry) =
        (decided(&world, "scripted").await, told(&world.audit().await, "completion.refused"));
    assert_eq!((decisions.len(), &decisions[0]["action"]), (1, &json!("complete")));
    fits(&entry, &decisions[0]);
    assert_eq!(entry["detail"]["model"], "scripted");
}

#[tokio::test]
async fn a_read_says_in_the_chain_what_allowed_it() {
    let look = Act::call("ops__get_order", json!({ "order_id": "ORD-17" }));
    let small = Act::call(REFUND, json!({ "order_id": "ORD-17", "amount": 20, "reason": "goodwill" }));
    let world = World::with_model([look, small, Act::say("Done.")]).await;
    world.user("support").asks("Look at order 17 and refund 20.").await.answers("Done.").await;
    let audit = world.audit().await;
    let ended = audit.entries.iter().find(|entry| entry["event"] == "step.ended").unwrap();
    fits(ended, &decided(&world, "ops__get_order").await[0]);
    fits(&told(&audit, "step.started"), &decided(&world, REFUND).await[0]);
}

#[tokio::test]
async fn a_model_that_policy_allows_leaves_its_trace_once_a_minute_for_everyone_who_asks() {
    let world =
        World::with_model([Act::say("One."), Act::say("Two."), Act::say("Three."), Act::say("Four.")]).await;
    let asks = async |person: &User, text: &str| {
        let ask = json!({ "model": "scripted", "messages": [{ "role": "user", "content": text }] });
        drop(person.post("/v1/chat/completions", &ask).await.expect(200));
    };
    let (ann, bob) = (world.user("support"), world.user("analyst"));
    asks(&ann, "First").await;
    asks(&ann, "Second").await;
    let first = decided(&world, "scripted").await;
    assert_eq!(first.len(), 1, "one decision is good for both: {first:?}");
    assert_eq!((&first[0]["verdict"], &first[0]["user"]), (&json!("allow"), &json!("support")));
    fits(&told(&world.audit().await, "completion.allowed"), &first[0]);

    asks(&bob, "Third").await;
    world.clock.advance(cardea_core::time::Millis::from_secs(61));
    asks(&ann, "Fourth").await;
    let all = decided(&world, "scripted").await;
    let of = |user: &str| all.iter().filter(|one| one["user"] == user).count();
    assert_eq!((of("support"), of("analyst")), (2, 1), "nobody stands for another, nor for ever: {all:?}");
}

#[tokio::test]
async fn who_lacks_a_role_for_what_they_want_stands_in_the_log_once_a_minute() {
    let world = World::with_model([]).await;
    let eve = world.person((TENANT, "eve"), &["guest"], &[]);
    for path in ["/api/v1/keys", "/api/v1/keys", "/api/v1/audit", "/api/v1/revocations"] {
        let refused = eve.get(path).await.expect(403);
        assert!(refused.at("/detail").contains("Only the role"), "{}", refused.text);
    }
    drop(eve.delete("/api/v1/people/ann").await.expect(403));
    drop(eve.post("/api/v1/revocations", &json!({ "user": "ann" })).await.expect(403));
    let audit = world.audit().await;
    let refused: Vec<&Value> =
        audit.entries.iter().filter(|entry| entry["event"] == "access.refused").collect();
    assert!(refused.iter().all(|entry| entry["request"].is_string()), "{refused:?}");
    let details: Vec<&Value> = refused.iter().map(|entry| &entry["detail"]).collect();
    let rights: Vec<&Value> = details.iter().map(|detail| &detail["right"]).collect();
    assert_eq!(rights, ["keys", "audit", "revocations", "people.erase", "tokens.revoke"]);
    assert_eq!((&details[0]["needs"], &details[0]["roles"]), (&json!(["admin"]), &json!(["guest"])));
}

#[tokio::test]
async fn a_refusal_that_could_not_be_written_down_is_written_down_the_next_time() {
    let world = World::with_model([]).await;
    let eve = world.person((TENANT, "eve"), &["guest"], &[]);
    let change = |sql| world.app.db.commit(cardea_store::Commit::new().run(sql, Vec::new()));
    change("ALTER TABLE audit RENAME TO audit_away").await.unwrap();
    assert!(eve.get("/api/v1/keys").await.status >= 500);
    change("ALTER TABLE audit_away RENAME TO audit").await.unwrap();
    for _ in 0..2 {
        drop(eve.get("/api/v1/keys").await.expect(403));
    }
    let audit = world.audit().await;
    let refused = audit.entries.iter().filter(|entry| entry["event"] == "access.refused");
    assert_eq!(refused.count(), 1, "once a minute, and not never");
}

#[tokio::test]
async fn what_an_administrator_clears_of_others_stands_in_the_log() {
    let world = World::with_model([]).await;
    let root = world.person((TENANT, "root"), &["admin"], &[]);
    drop(root.delete("/api/v1/cache?user=ann").await.expect(200));
    drop(root.delete("/api/v1/cache").await.expect(200)); // their own
    let audit = world.audit().await;
    let cleared: Vec<&Value> =
        audit.entries.iter().filter(|entry| entry["event"] == "cache.cleared").collect();
    assert_eq!(cleared.len(), 1, "{cleared:?}");
    assert_eq!(cleared[0]["detail"]["user"], "ann");
}

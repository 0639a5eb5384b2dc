//! Who allowed what is proved: by what is written beside a decision, and by the chain that repeats it.

use std::fs;

use cardea::{
    observe::{Checkpoints, Verified, verify},
    vault::RootKey,
};
use cardea_core::time::Millis;
use cardea_store::{Commit, args};
use cardea_testkit::{
    World,
    model::Act,
    world::{TENANT, User},
};
use serde_json::{Value, json};

use super::refund;

const REFUND: &str = "ops__process_refund";

/// What `cardea audit verify` says of this world.
async fn proved(world: &World) -> Result<Verified, String> {
    let data = &world.app.config.data.dir;
    let key = RootKey::load(&world.app.config.vault, data).unwrap().chain_key();
    verify(&world.app.db, &key, &Checkpoints::default()).await.map_err(|error| error.to_string())
}

/// Somebody with the database in their hands, who puts back afterwards what they found.
async fn by_hand(world: &World, sql: &'static str) {
    world.app.db.commit(Commit::new().run(sql, args![])).await.unwrap();
}

async fn state(user: &User, approval: &str) -> String {
    user.get(&format!("/api/v1/approvals/{approval}")).await.expect(200).at("/state").to_owned()
}

#[tokio::test]
async fn a_hand_made_approval_runs_nothing() {
    let world = World::with_model([refund(150), Act::say("It was not approved.")]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval(REFUND).await;
    by_hand(
        &world,
        "UPDATE approvals SET state = 'approved', decided_at = created_at, mac = args_digest, \
         decided_by = '{\"by\":\"supervisor\",\"roles\":[\"supervisor\"]}'",
    )
    .await;
    let receipt = turn.answers("not approved").await;
    let reason = receipt["tools"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("cannot be proved"), "{receipt}");
    assert_eq!(world.shop().refunds(17).await, 0);
    world.audit().await.tells(["step.waits", "approval.unproved", "step.refused"]);
}

#[tokio::test]
async fn a_decision_that_was_changed_after_it_was_given_runs_nothing() {
    let world = World::plan().model([refund(150), Act::say("Not today.")]).start().await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval(REFUND).await;
    world.user("supervisor").rejects(&turn).await;
    by_hand(&world, "UPDATE approvals SET state = 'approved'").await;
    drop(turn.ends().await);
    assert_eq!(world.shop().refunds(17).await, 0);
}

/// What a hand does to the tables, how it puts that back, and what `audit verify` says of it.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "UPDATE decisions SET verdict = 'allow', policy_version = policy_version || verdict WHERE verdict = 'deny'",
        "UPDATE decisions SET verdict = 'deny', policy_version = REPLACE(policy_version, 'deny', '') \
     WHERE policy_version LIKE '%deny'",
        "whose verdict is another one",
    ),
    (
        "UPDATE decisions SET policies = '[\"x\"]' || policies",
        "UPDATE decisions SET policies = SUBSTR(policies, 6)",
        "whose policies are others",
    ),
    (
        "UPDATE decisions SET policy_version = 'x' || policy_version",
        "UPDATE decisions SET policy_version = SUBSTR(policy_version, 2)",
        "whose policy version is another one",
    ),
    (
        "UPDATE decisions SET tenant = 'x' || tenant",
        "UPDATE decisions SET tenant = SUBSTR(tenant, 2)",
        "which is not in the log of decisions",
    ),
    (
        "UPDATE approvals SET state = 'rejected'",
        "UPDATE approvals SET state = 'approved'",
        "which was decided otherwise",
    ),
    (
        "UPDATE approvals SET decided_by = REPLACE(decided_by, '\"supervisor\"', '\"carol\"')",
        "UPDATE approvals SET decided_by = REPLACE(decided_by, '\"carol\"', '\"supervisor\"')",
        "which somebody else decided",
    ),
    (
        "UPDATE approvals SET args_digest = 'x' || args_digest",
        "UPDATE approvals SET args_digest = SUBSTR(args_digest, 2)",
        "which is for another call now",
    ),
    (
        "UPDATE policy_texts SET text = text || '//'",
        "UPDATE policy_texts SET text = SUBSTR(text, 1, LENGTH(text) - 2)",
        "of which a text was changed or is gone",
    ),
    (
        "UPDATE policy_sets SET files = REPLACE(files, '\"digest\":\"', '\"digest\":\"x')",
        "UPDATE policy_sets SET files = REPLACE(files, '\"digest\":\"x', '\"digest\":\"')",
        "which is made of other texts",
    ),
    (
        "UPDATE policy_sets SET version = 'x' || version",
        "UPDATE policy_sets SET version = SUBSTR(version, 2)",
        "whose texts are not there",
    ),
];

#[tokio::test]
async fn rows_that_say_something_else_than_the_chain_are_found() {
    let world = World::with_model([
        Act::call("ops__get_order", json!({ "order_id": "ORD-17" })),
        refund(150),
        Act::say("It is refunded."),
        Act::call("ops__delete_customer", json!({})),
        Act::say("I cannot."),
    ])
    .await;
    let (support, supervisor) = (world.user("support"), world.user("supervisor"));
    let turn = support.asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval(REFUND).await;
    supervisor.approves(&turn).await;
    turn.answers("It is refunded.").await;
    support.asks("Delete the customer.").await.answers("I cannot.").await;
    let good = proved(&world).await.unwrap();
    assert_eq!(
        good.compared, 6,
        "the policies, a read, what waited, what was approved, that it was, what is hidden"
    );

    for (change, back, wanted) in CHANGES {
        by_hand(&world, change).await;
        let found = proved(&world).await.unwrap_err();
        assert!(found.contains(wanted) && found.contains("entry "), "{change}: {found}");
        by_hand(&world, back).await;
        assert_eq!(proved(&world).await.unwrap().compared, 6, "{back}");
    }

    // What people take back of what they said is no tampering.
    let conversation = format!("/api/v1/conversations/{}", turn.conversation());
    drop(support.delete(&conversation).await.expect(204));
    let admin = world.person((TENANT, "ada"), &["admin"], &["read"]);
    drop(admin.delete("/api/v1/people/support").await.expect(204));
    assert_eq!(proved(&world).await.unwrap().compared, 6);

    by_hand(&world, "DELETE FROM decisions").await;
    assert!(proved(&world).await.unwrap_err().contains("which is not in the log of decisions"));
}

#[tokio::test]
async fn an_auditor_reads_who_allowed_what() {
    let world = World::with_model([refund(150), Act::say("It is refunded.")]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval(REFUND).await;
    let eva = world.person((TENANT, "eva"), &["auditor"], &["read"]);
    let tried = eva.decides(&turn, "approve").await.expect(404);
    assert_eq!(tried.at("/code"), "not_found", "to read is not to decide");
    world.user("supervisor").approves(&turn).await;
    drop(turn.answers("It is refunded.").await);
    let one = eva.get(&format!("/api/v1/approvals/{}", turn.approval())).await.expect(200);
    assert_eq!((one.at("/decided_by"), one.body["arguments"]["amount"].as_i64()), ("supervisor", Some(150)));
    let all = eva.get("/api/v1/approvals").await.expect(200);
    assert_eq!(all.at("/approvals/0/id"), turn.approval());
    let foreign = world.person(("other", "eva"), &["auditor"], &["read"]);
    assert_eq!(foreign.get("/api/v1/approvals").await.expect(200).body["approvals"], json!([]));
    drop(foreign.get(&format!("/api/v1/approvals/{}", turn.approval())).await.expect(404));
}

#[tokio::test]
async fn an_auditor_finds_what_was_done_and_decided_by_its_facts() {
    let world = World::with_model([refund(150), Act::say("It is refunded."), Act::say("Hello.")]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval(REFUND).await;
    world.user("supervisor").approves(&turn).await;
    drop(turn.answers("It is refunded.").await);
    let ask = json!({ "model": "scripted", "messages": [{ "role": "user", "content": "Hello" }] });
    drop(world.user("analyst").post("/v1/chat/completions", &ask).await.expect(200));
    let eva = world.person((TENANT, "eva"), &["auditor"], &["read"]);
    let count = async |path: String| {
        let found = eva.get(&path).await.expect(200).body;
        let list = found.get("entries").or_else(|| found.get("decisions")).and_then(Value::as_array);
        (list.map(Vec::len), found["next"].clone())
    };
    let whole = eva.get("/api/v1/decisions").await.expect(200).body;
    let all = whole["decisions"].as_array().unwrap();
    let first = all.iter().find(|one| one["verdict"] == "approval").unwrap();
    let of = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
    let end = first["at"].as_i64().unwrap();
    for (query, wanted) in [
        ("verdict=approval".to_owned(), 1),
        ("verdict=allow&user=support".to_owned(), 1),
        ("verdict=deny".to_owned(), 0),
        (format!("resource={REFUND}&action=call"), 2),
        ("user=analyst".to_owned(), 1),
        (format!("turn={}", turn.turn()), 2),
        (format!("policy_version={}", of("policy_version")), 3),
        (format!("request={}&verdict=approval", of("request")), 1),
        (format!("until={}", end - 1), 0),
    ] {
        assert_eq!(count(format!("/api/v1/decisions?{query}")).await, (Some(wanted), Value::Null), "{query}");
    }
    for (query, wanted) in [
        ("event=approval.decided&user=supervisor".to_owned(), 1),
        ("event=completion.allowed".to_owned(), 1),
        (format!("tool={REFUND}&event=step.waits"), 1),
        (format!("turn={}&user=analyst", turn.turn()), 0),
        (format!("event=turn.started&until={}", end - 1), 0),
    ] {
        assert_eq!(count(format!("/api/v1/audit?{query}")).await, (Some(wanted), Value::Null), "{query}");
    }
    for wrong in
        ["decisions?verdict=maybe", "decisions?until=tomorrow", "audit?request=17", "audit?verdict=deny"]
    {
        drop(eva.get(&format!("/api/v1/{wrong}")).await.expect(400));
    }
}

#[tokio::test]
async fn an_approval_whose_time_is_over_is_shown_and_written_as_expired() {
    let script = [refund(150), Act::say("Nobody answered."), refund(150)];
    let world = World::plan().model(script).set("CARDEA_POLICIES__APPROVAL", "1min").start().await;
    let (support, supervisor) = (world.user("support"), world.user("supervisor"));
    let first = support.asks("Refund 150 for order 17, please.").await;
    first.waits_for_approval(REFUND).await;
    world.clock.advance(Millis::from_secs(61));
    assert_eq!(state(&supervisor, first.approval()).await, "expired", "before anybody has written so");
    let late = supervisor.decides(&first, "approve").await.expect(409);
    assert_eq!(late.at("/code"), "approval_invalid");
    drop(first.answers("Nobody answered.").await);
    let second = world.user("support").asks("Refund 150 for order 17 again.").await;
    second.waits_for_approval(REFUND).await;
    let list = supervisor.get("/api/v1/approvals").await.expect(200);
    let states: Vec<&Value> =
        list.body["approvals"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, [&json!("open"), &json!("expired")]);
    world.audit().await.tells(["step.waits", "approval.expired", "step.refused", "step.waits"]);
    let written = "SELECT state FROM approvals WHERE state = 'expired'";
    assert_eq!(world.app.db.rows::<(String,)>(written, args![]).await.unwrap().len(), 1);
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn a_call_that_waits_for_an_agent_that_is_gone_ends_as_not_done() {
    let world = World::with_model([refund(150)]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval(REFUND).await;
    by_hand(&world, "UPDATE turns SET agent = 'gone' WHERE state = 'waiting'").await;
    world.user("supervisor").approves(&turn).await;
    let receipt = turn.ends().await;
    assert_eq!(receipt["tools"][0]["state"], "refused", "{receipt}");
    let left = "SELECT id FROM steps WHERE state = 'waiting'";
    assert!(world.app.db.rows::<(String,)>(left, args![]).await.unwrap().is_empty());
    assert_eq!(world.shop().refunds(17).await, 0);
    world.audit().await.tells(["step.waits", "approval.decided", "step.refused", "turn.ended"]);
}

#[test]
fn an_approval_has_time_to_be_read() {
    let dir = tempfile::tempdir().unwrap();
    for (given, good) in [("0s", false), ("1ms", false), ("59s", false), ("1min", true)] {
        let file = dir.path().join("cardea.toml");
        fs::write(&file, format!("[policies]\napproval = \"{given}\"\n")).unwrap();
        let loaded = cardea::config::Config::load(&file, &cardea::config::Environment::default());
        let told = loaded.err().map(|error| error.pretty(false)).unwrap_or_default();
        assert_eq!(!told.contains("policies.approval"), good, "{given}: {told}");
    }
}

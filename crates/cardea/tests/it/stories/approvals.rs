use std::process::Command;

use cardea::control::{Answer, Choice};
use cardea_auth::VerifiedClaims;
use cardea_core::{
    Code,
    id::{ApprovalId, TurnId},
};
use cardea_store::{Commit, args};
use cardea_testkit::{
    World,
    model::Act,
    world::{Say, Service, TENANT, User},
};
use serde_json::{Value, json};

use super::refund;

#[tokio::test]
async fn a_large_refund_waits_for_a_second_person() {
    let world = World::with_model([refund(150), Act::say("It is refunded.")]).await;
    let (support, supervisor) = (world.user("support"), world.user("supervisor"));
    let turn = support.asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    assert_eq!(world.shop().refunds(17).await, 0);

    let own = support.decides(&turn, "approve").await.expect(409);
    assert_eq!(own.at("/code"), "approval_invalid");
    for other in [
        world.user("analyst"),
        world.person(("other", "sue"), &["supervisor"], &["read"]),
        world.person(("other", "supervisor"), &["supervisor", "admin"], &["read"]),
    ] {
        assert_eq!(other.decides(&turn, "approve").await.expect(404).at("/code"), "not_found");
        assert_eq!(
            other.get("/api/v1/approvals").await.body["approvals"],
            json!([]),
            "it does not concern them"
        );
    }
    assert_eq!(world.shop().refunds(17).await, 0);

    supervisor.approves(&turn).await;
    let receipt = turn.answers("It is refunded.").await;
    assert_eq!(receipt["tools"][0]["tool"], "ops__process_refund");
    assert_eq!(world.shop().refunds(17).await, 1);
    let late = supervisor.decides(&turn, "reject").await.expect(409);
    assert_eq!(late.at("/code"), "approval_invalid");
    assert_eq!(world.shop().refunds(17).await, 1);
    world.audit().await.tells([
        "turn.asked",
        "step.waits",
        "approval.refused",
        "approval.decided",
        "step.started",
        "step.ended",
        "turn.ended",
    ]);
}

#[tokio::test]
async fn who_decides_reads_all_that_will_be_sent() {
    let reason = format!("{}and to another account", "goodwill ".repeat(18));
    let refund = json!({ "order_id": "ORD-17", "amount": 150, "reason": reason });
    let world = World::with_model([Act::call("ops__process_refund", refund.clone())]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    let path = format!("/api/v1/approvals/{}", turn.approval());
    for who in ["support", "supervisor"] {
        let whole = world.user(who).get(&path).await.expect(200);
        assert_eq!(whole.body["arguments"], refund, "{who}");
    }
    for other in [world.user("analyst"), world.person(("other", "supervisor"), &["supervisor"], &["read"])] {
        drop(other.get(&path).await.expect(404));
    }
}

#[tokio::test]
async fn what_waits_for_a_person_does_not_hide_behind_what_waits_for_others() {
    const OTHER: &str = "INSERT INTO approvals (id, tenant, turn, step, owner, user_id, tool, args, args_digest, digest, \
        reason, roles, state, created_at, expires_at) SELECT $1, tenant, $2, step, $3, 'somebody', tool, args, \
        args_digest, digest, reason, '[\"legal\"]', state, created_at + 1, expires_at FROM approvals WHERE id = $4";
    let world = World::with_model([refund(150)]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    let mine: ApprovalId = turn.approval().parse().unwrap();
    let others = (0..1_100).fold(Commit::new(), |rows, number| {
        rows.run(OTHER, args![ApprovalId::random(), TurnId::random(), format!("owner-{number}"), mine])
    });
    world.app.db.commit(others).await.unwrap();
    let list = world.user("supervisor").get("/api/v1/approvals").await.expect(200);
    assert_eq!(list.body["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(list.at("/approvals/0/id"), turn.approval());
}

/// Whatever the support would write, a person looks at first.
const ASKS_FIRST: &str = "@id(\"all\") permit (principal in Role::\"support\", action, resource);\n\
    @id(\"ask\") @reason(\"somebody looks first.\") @approval(\"role:supervisor\")\n\
    forbid (principal, action in Action::\"write\", resource) unless { context has approval };";

/// What the command line says to whoever has this token.
async fn says(url: &str, token: &str, words: &'static [&'static str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    command.args(words).env("CARDEA_URL", url).env("CARDEA_TOKEN", token);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_at_the_list_is_shown_all_of_every_call_and_told_where_the_list_has_less() {
    let manifest = "[connector]\nname = \"demo\"\nbase = \"BASE\"\n\
        [[operation]]\nname = \"tell\"\nabout = \"Tell it.\"\neffect = \"write\"\naccept_unknown = true\n\
        request = { method = \"POST\", path = \"/tell\", body = { text = \"{text}\", to = \"{to}\" } }\n\
        input = { text = \"string\", to = \"string\" }\n";
    let call = |letters: usize| {
        let text = format!("{}Its end after {letters}.", "The parcel came. ".repeat(letters / 17));
        json!({ "text": text, "to": format!("shelf-{letters}") })
    };
    let acts = [51, 1_500, 5_000].map(|letters| Act::call("demo__tell", call(letters)));
    let plan = World::plan().model(acts).connector(Service::start().await, manifest).policies(ASKS_FIRST);
    let world = plan.start().await;
    for _ in 0..3 {
        world.user("support").asks("Tell it.").await.waits_for_approval("demo__tell").await;
    }
    let supervisor = world.user("supervisor");
    let list = supervisor.get("/api/v1/approvals").await.expect(200);
    for one in list.body["approvals"].as_array().unwrap() {
        let whole =
            supervisor.get(&format!("/api/v1/approvals/{}", one["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(one["arguments_cut"], json!(one["arguments"] != whole.body["arguments"]), "{one}");
        assert_eq!(whole.body["arguments_cut"], json!(false));
    }
    let cut = list.body["approvals"].as_array().unwrap().iter().filter(|one| one["arguments_cut"] == true);
    assert_eq!(cut.count(), 2, "{}", list.text);
    for words in [&["approvals"][..], &["approvals", "--json"]] {
        let said = says(&world.url, supervisor.token(), words).await;
        for letters in [51, 1_500, 5_000] {
            for part in [format!("Its end after {letters}."), format!("shelf-{letters}")] {
                assert!(said.contains(&part), "{words:?}: {part}: {said}");
            }
        }
        assert!(!said.contains("\"cut\""), "{words:?}: {said}");
    }
}

/// Copies of an open approval that waits for its asker's sake, with these arguments.
async fn copies(world: &World, of: &str, count: usize, arguments: &str) {
    const COPY: &str = "INSERT INTO approvals (id, tenant, turn, step, owner, user_id, tool, args, args_digest, digest, \
        reason, roles, state, created_at, expires_at) SELECT $1, tenant, $2, step, owner, user_id, tool, $4, \
        args_digest, digest, reason, roles, state, created_at + 1, expires_at FROM approvals WHERE id = $3";
    let of: ApprovalId = of.parse().unwrap();
    let rows = (0..count).fold(Commit::new(), |rows, _| {
        rows.run(COPY, args![ApprovalId::random(), TurnId::random(), of, arguments])
    });
    world.app.db.commit(rows).await.unwrap();
}

#[tokio::test]
async fn of_one_user_a_hundred_calls_wait_for_people_and_no_more() {
    let world = World::with_model([
        refund(150),
        refund(160),
        refund(170),
        Act::say("I cannot ask anybody."),
        refund(180),
    ])
    .await;
    let support = world.user("support");
    let first = support.asks("Refund 150 for order 17, please.").await;
    first.waits_for_approval("ops__process_refund").await;
    copies(&world, first.approval(), 98, "{}").await;
    support.asks("Refund 160.").await.waits_for_approval("ops__process_refund").await;
    let receipt = support.asks("Refund 170.").await.answers("I cannot ask anybody.").await;
    assert_eq!(receipt["tools"][0]["state"], "refused", "{receipt}");
    let seen = world.model().seen();
    let told = seen.last().map(|request| request.body.to_string()).unwrap_or_default();
    assert!(told.contains("100 calls of this user wait for people already"), "{told}");
    let other = world.person((TENANT, "sid"), &["support"], &["read", "write", "billing:write"]);
    other.asks("Refund 180.").await.waits_for_approval("ops__process_refund").await;
}

#[tokio::test]
async fn nobody_is_asked_about_more_than_a_person_can_read() {
    let manifest = "[connector]\nname = \"demo\"\nbase = \"BASE\"\n\
        [[operation]]\nname = \"tell\"\nabout = \"Tell it.\"\neffect = \"write\"\naccept_unknown = true\n\
        request = { method = \"POST\", path = \"/tell\", body = { text = \"{text}\" } }\n\
        input = { text = { type = \"string\", maxLength = 100000 } }\n";
    let text = "a".repeat(70 * 1024);
    let acts = [Act::call("demo__tell", json!({ "text": text })), Act::say("It is too long.")];
    let plan = World::plan().model(acts).connector(Service::start().await, manifest).policies(ASKS_FIRST);
    let world = plan.start().await;
    let support = world.user("support");
    let receipt = support.asks("Tell it.").await.answers("It is too long.").await;
    assert_eq!(receipt["tools"][0]["state"], "refused", "{receipt}");
    let reason = receipt["tools"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("anybody can be asked about"), "{receipt}");
    assert_eq!(support.get("/api/v1/approvals").await.expect(200).body["approvals"], json!([]));
}

#[tokio::test]
async fn a_list_of_approvals_is_short_however_long_their_arguments_are() {
    let world = World::with_model([refund(150)]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    let long = json!({ "all": vec![0; 100_000] }).to_string();
    copies(&world, turn.approval(), 90, &long).await;
    for who in ["support", "supervisor"] {
        let list = world.user(who).get("/api/v1/approvals").await.expect(200);
        let all = list.body["approvals"].as_array().unwrap();
        assert_eq!(all.len(), 91, "{who}");
        let cut = all.iter().filter(|one| one["arguments"]["bytes"] == json!(long.len())).count();
        assert_eq!(cut, 90, "{who}");
        assert!(list.text.len() < 200_000, "{who}: {}", list.text.len());
        assert!(all.iter().any(|one| one["arguments"]["amount"] == json!(150)), "{who}");
    }
}

#[tokio::test]
async fn who_makes_a_key_decides_nothing_that_is_asked_with_it() {
    let world = World::with_model([refund(150), refund(160)]).await;
    let rights = (["support", "supervisor", "admin"], ["read", "write", "billing:write"]);
    let sue = world.person((TENANT, "sue"), &rights.0, &rights.1);
    let key = async |maker: &User, user: &str| {
        let wanted = json!({ "user": user, "roles": ["support", "admin"], "scopes": rights.1 });
        world.holder(maker.post("/api/v1/keys", &wanted).await.expect(201).at("/key"))
    };
    let robot = key(&sue, "robot").await;
    let other = key(&robot, "another-robot").await;
    for asker in [robot, other] {
        let asked = asker.asks("Refund for order 17, please.").await;
        asked.waits_for_approval("ops__process_refund").await;
        for maker in [&sue, &world.person((TENANT, "robot"), &rights.0, &rights.1)] {
            let refused = maker.decides(&asked, "approve").await;
            assert_eq!((refused.status, refused.at("/code")), (409, "approval_invalid"), "{}", refused.text);
        }
        world.user("supervisor").rejects(&asked).await;
    }
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn a_try_that_is_refused_again_and_again_is_told_once_a_minute() {
    let world = World::with_model([refund(150)]).await;
    let support = world.user("support");
    let turn = support.asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    for _ in 0..50 {
        drop(support.decides(&turn, "approve").await.expect(409));
    }
    let told = world.audit().await.events().iter().filter(|event| **event == "approval.refused").count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_refund_that_was_rejected_is_not_paid_and_the_model_is_told() {
    let world = World::with_model([refund(150), Act::say("The supervisor said no.")]).await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    world.user("supervisor").rejects(&turn).await;
    turn.answers("said no").await;
    assert_eq!(world.shop().refunds(17).await, 0);
    let seen = world.model().seen();
    assert!(seen[1].body.to_string().contains("did not approve"), "{}", seen[1].body);
}

#[tokio::test]
async fn a_small_refund_is_paid_at_once_and_a_refused_one_never() {
    let world = World::with_model([refund(20), Act::say("Done."), refund(20), Act::say("I may not.")]).await;
    world.user("support").asks("Refund 20 for order 17, please.").await.answers("Done.").await;
    assert_eq!(world.shop().refunds(17).await, 1);
    let analyst = world.user("analyst");
    let receipt = analyst.asks("Refund 20 more for order 17.").await.answers("I may not.").await;
    assert_eq!(receipt["tools"][0]["state"], "refused", "{receipt}");
    assert_eq!(world.shop().refunds(17).await, 1);
    let decisions = analyst.get("/api/v1/decisions").await.expect(200);
    let denied = decisions.body["decisions"].as_array().unwrap().iter().find(|one| one["verdict"] == "deny");
    assert_eq!(denied.map(|one| &one["policies"]), Some(&json!(["refunds-are-for-support"])));
    assert!(
        decisions.body["decisions"].as_array().unwrap().iter().all(|one: &Value| one["user"] != "support")
    );
}

#[tokio::test]
async fn nobody_is_a_second_person_by_showing_another_credential() {
    let world = World::start().await;
    let sue = world.person(
        (TENANT, "sue"),
        &["support", "supervisor", "admin"],
        &["read", "write", "billing:write"],
    );
    let asked = sue.asks("Refund 150 for order 17, please.").await;
    asked.waits_for_approval("ops__process_refund").await;
    for user in ["sue", "somebody-else"] {
        let wanted = json!({ "user": user, "roles": ["supervisor"] });
        let key = world.holder(sue.post("/api/v1/keys", &wanted).await.expect(201).at("/key"));
        let refused = key.decides(&asked, "approve").await;
        assert_eq!(
            (refused.status, refused.at("/code")),
            (409, "approval_invalid"),
            "{user}: {}",
            refused.text
        );
    }
    let elsewhere = world.app.auth.embedded(VerifiedClaims::new(TENANT, "sue").role("supervisor")).unwrap();
    let id = asked.approval().parse().unwrap();
    let yes = Answer { choice: Choice::Approve, comment: "" };
    let refused = world.app.control.decide(&elsewhere, id, yes, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::ApprovalInvalid, "the same name at another issuer");
    assert_eq!(world.shop().refunds(17).await, 0);
    world.user("supervisor").approves(&asked).await;
    asked.answers("refund is processed").await;
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn what_the_built_in_policy_holds_back_is_approved_by_the_role_that_the_installation_names() {
    let manifest = "[connector]\nname = \"demo\"\nbase = \"BASE\"\n\
        [[operation]]\nname = \"look\"\nabout = \"Look.\"\neffect = \"read\"\n\
        request = { method = \"GET\", path = \"/look\" }\n\
        [[operation]]\nname = \"tell\"\nabout = \"Tell it.\"\neffect = \"write\"\naccept_unknown = true\n\
        request = { method = \"POST\", path = \"/tell\" }\n";
    let policies = "@id(\"all\") permit (principal in Role::\"support\", action, resource);";
    let acts =
        [Act::call("demo__look", json!({})), Act::call("demo__tell", json!({})), Act::say("It is told.")];
    let plan = World::plan().model(acts).connector(Service::start().await, manifest).policies(policies);
    let world = plan.set("CARDEA_POLICIES__APPROVER_ROLE", "team-leads").start().await;
    let good = || Say::Json(200, json!({ "ok": true }));
    world.service().says("GET /look", [good()]).says("POST /tell", [good()]);
    let turn = world.user("support").asks("Look and tell.").await;
    turn.waits_for_approval("demo__tell").await;
    let (leads, supervisor) = (world.user("team-leads"), world.user("supervisor"));
    let seen = supervisor.get("/api/v1/approvals").await.expect(200);
    assert_eq!(seen.body["approvals"], json!([]), "{}", seen.text);
    let open = leads.get("/api/v1/approvals").await.expect(200);
    assert_eq!(open.body["approvals"][0]["roles"], json!(["team-leads"]), "{}", open.text);
    leads.approves(&turn).await;
    drop(turn.answers("It is told.").await);
    assert_eq!(world.service().came("POST /tell").len(), 1);
}

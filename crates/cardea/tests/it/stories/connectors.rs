use std::{fs, sync::Arc};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
    identity::TRY_OUT_ISSUER,
    turn::CacheUse,
};
use cardea_auth::VerifiedClaims;
use cardea_core::{connector::secret_name, id::TenantId, principal::owner_key, time::ManualClock};
use cardea_testkit::{
    World,
    history::leaks,
    model::Act,
    world::{SECRET, Say, Service, TENANT},
};
use serde_json::{Value, json};

/// A billing service: a keyed write, a write that can be looked for, and a read.
const BILLING: &str = r#"
[connector]
name = "demo"
base = "BASE/v1"
auth = { kind = "bearer" }

[[operation]]
name        = "refund"
about       = "Give money back for one order."
effect      = "write"
request     = { method = "POST", path = "/orders/{order}/refunds", body = { amount = "{amount}" } }
input       = { order = "string", amount = { type = "integer", minimum = 1 } }
idempotency = { header = "Idempotency-Key" }
retry       = { on = [429, 503], attempts = 3 }
result      = { take = "/refund" }

[[operation]]
name           = "remind"
about          = "Send a reminder."
effect         = "write"
request        = { method = "POST", path = "/reminders", body = { to = "{to}" } }
input          = { to = "string" }
accept_unknown = true
limit          = { timeout = "300ms" }

[[operation]]
name    = "pay_out"
about   = "Pay out."
effect  = "write"
request = { method = "POST", path = "/payouts", body = { amount = "{amount}", key = "{step}" } }
input   = { amount = "integer" }
check   = { path = "/payouts", query = { key = "{step}" }, found = "/0", take = "/0" }
limit   = { timeout = "300ms" }

[[operation]]
name    = "get"
about   = "Look up an order."
effect  = "read"
request = { method = "GET", path = "/orders/{order}" }
input   = { order = "string" }
retry   = { on = [503], attempts = 2 }
result  = { max = "2KiB" }
limit   = { timeout = "2s", per_user = "20/min" }
"#;

const POLICIES: &str = r#"
@id("support-bills") @reason("support works with bills.")
permit (principal in Role::"support", action, resource in Server::"demo");
"#;

async fn billing(acts: impl IntoIterator<Item = Act>) -> World {
    let service = Service::start().await;
    World::plan().model(acts).connector(service, BILLING).policies(POLICIES).start().await
}

fn refund() -> Act {
    Act::call("demo__refund", json!({ "order": "17", "amount": 9 }))
}

#[tokio::test]
async fn a_refund_over_http_is_done_once_and_its_secret_is_seen_by_nobody() {
    let world = billing([refund(), Act::say("It is refunded.")]).await;
    // The service says back everything that it was sent, and more.
    let echo = json!({ "refund": { "id": "r1", "you_sent": format!("Bearer {SECRET}"), SECRET: 1 } });
    world.service().says("POST /v1/orders/17/refunds", [Say::Json(201, echo)]);
    let ann = world.user("support");
    let turn = ann.asks("Refund order 17.").await;
    let receipt = turn.answers("It is refunded.").await;
    assert_eq!(receipt["tools"][0]["state"], "done", "{receipt}");
    let came = world.service().came("POST /v1/orders/17/refunds");
    assert_eq!(came.len(), 1);
    assert_eq!(came[0].header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(came[0].header("idempotency-key"), receipt["tools"][0]["step"].as_str().unwrap());
    assert_eq!(came[0].body, json!({ "amount": 9 }));

    let talk = turn.conversation();
    let events = ann.get(&format!("/api/v1/turns/{}/events", turn.turn())).await;
    let messages = ann.get(&format!("/api/v1/conversations/{talk}/messages")).await;
    let told: Vec<String> = world.model().seen().iter().map(|seen| seen.body.to_string()).collect();
    for text in [&events.text, &messages.text, &receipt.to_string(), &told.join("\n")] {
        assert!(!text.contains("canary-7f3a1c"), "{text}");
    }
    assert!(told[1].contains("Bearer ***"), "the model is shown the rest: {}", told[1]);
    let audit = world.audit().await;
    audit.tells(["turn.asked", "step.started", "step.ended", "turn.ended"]);
    assert!(!json!(audit.entries).to_string().contains("canary-7f3a1c"));
    // Not in the database, its log or the checkpoints either.
    assert_eq!(leaks(&world.folder().join("data"), &[SECRET]).unwrap(), Vec::<String>::new());
    assert!(!ann.get("/metrics").await.text.contains("canary-7f3a1c"));
}

#[tokio::test]
async fn a_service_that_is_busy_gets_the_same_key_again_and_a_read_is_simply_repeated() {
    let get = Act::call("demo__get", json!({ "order": "17" }));
    let world = billing([refund(), get, Act::say("Done.")]).await;
    let ready = Say::Json(201, json!({ "refund": { "id": "r1" } }));
    let busy = || Say::Json(503, json!({}));
    world.service().says("POST /v1/orders/17/refunds", [busy(), busy(), ready]);
    world.service().says("GET /v1/orders/17", [busy(), Say::Json(200, json!({ "id": "17" }))]);
    let receipt = world.user("support").asks("Refund order 17.").await.answers("Done.").await;
    assert_eq!(
        (&receipt["tools"][0]["state"], &receipt["tools"][1]["state"]),
        (&json!("done"), &json!("done"))
    );
    let came = world.service().came("POST /v1/orders/17/refunds");
    let mut keys: Vec<&str> = came.iter().map(|one| one.header("idempotency-key")).collect();
    keys.dedup();
    assert_eq!((came.len(), keys.len()), (3, 1), "{keys:?}");
    assert_eq!(world.service().came("GET /v1/orders/17").len(), 2);
}

#[tokio::test]
async fn what_may_be_repeated_is_sent_once_more_after_a_silence_without_a_word_in_its_file() {
    const KEPT: &str = r#"
[connector]
name = "demo"
base = "BASE"
[[operation]]
name        = "keyed"
about       = "Keep a note."
effect      = "write"
request     = { method = "POST", path = "/notes" }
idempotency = { header = "Idempotency-Key" }
[[operation]]
name        = "drop"
about       = "Drop a note."
effect      = "write"
request     = { method = "DELETE", path = "/notes/1" }
idempotency = { by = "method" }
[[operation]]
name    = "look"
about   = "Look at the notes."
effect  = "read"
request = { method = "GET", path = "/notes" }
[[operation]]
name    = "look_once"
about   = "Look at the notes once."
effect  = "read"
request = { method = "GET", path = "/once" }
retry   = { attempts = 1 }
[[operation]]
name           = "plain"
about          = "Keep a note, perhaps twice."
effect         = "write"
request        = { method = "POST", path = "/plain" }
accept_unknown = true
"#;
    let good = || Say::Json(200, json!({ "ok": true }));
    for (tool, line, state, times) in [
        ("demo__keyed", "POST /notes", "done", 2),
        ("demo__drop", "DELETE /notes/1", "done", 2),
        ("demo__look", "GET /notes", "done", 2),
        ("demo__look_once", "GET /once", "failed", 1),
        ("demo__plain", "POST /plain", "unknown", 1),
    ] {
        let acts = [Act::call(tool, json!({})), Act::say("Well.")];
        let plan = World::plan().model(acts).connector(Service::start().await, KEPT).policies(POLICIES);
        let world = plan.start().await;
        world.service().says(line, [Say::BreaksOff, good()]);
        let receipt = world.user("support").asks("Do it.").await.ends().await;
        assert_eq!(receipt["tools"][0]["state"], state, "{tool}: {receipt}");
        let came = world.service().came(line);
        assert_eq!(came.len(), times, "{tool}");
        let keys: Vec<&str> = came.iter().map(|one| one.header("idempotency-key")).collect();
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "{keys:?}");
    }
}

#[tokio::test]
async fn a_write_that_may_have_been_done_stays_unknown_whatever_the_repeat_is_told() {
    for refusal in [400, 401, 403, 404, 412, 422, 429] {
        let world = billing([refund(), Act::say("It failed.")]).await;
        let broke = Say::Json(503, json!({}));
        world.service().says("POST /v1/orders/17/refunds", [broke, Say::Json(refusal, json!({}))]);
        let receipt = world.user("support").asks("Refund order 17.").await.ends().await;
        assert_eq!(receipt["status"], "unknown", "{refusal}: {receipt}");
        assert_eq!(world.model().seen().len(), 1, "no model makes something of it");
    }
    // A service that knows the key says the same again; and what was refused each time was not done.
    let world = billing([refund(), Act::say("It failed.")]).await;
    let (broke, declined) = (Say::Json(503, json!({})), Say::Json(402, json!({})));
    world.service().says("POST /v1/orders/17/refunds", [broke, declined]);
    let receipt = world.user("support").asks("Refund order 17.").await.answers("It failed.").await;
    assert_eq!(receipt["tools"][0]["state"], "failed", "{receipt}");
    let world = billing([refund(), Act::say("It failed.")]).await;
    world.service().says("POST /v1/orders/17/refunds", [Say::Json(429, json!({}))]);
    let receipt = world.user("support").asks("Refund order 17.").await.answers("It failed.").await;
    assert_eq!(receipt["tools"][0]["state"], "failed", "{receipt}");
}

#[tokio::test]
async fn a_service_that_asks_for_a_pause_without_end_is_asked_once() {
    let world = billing([refund(), Act::say("It is busy.")]).await;
    world.service().says("POST /v1/orders/17/refunds", [Say::Later("18446744073709551615")]);
    let receipt = world.user("support").asks("Refund order 17.").await.answers("It is busy.").await;
    assert_eq!(receipt["tools"][0]["state"], "failed", "{receipt}");
    assert_eq!(world.service().came("POST /v1/orders/17/refunds").len(), 1);
}

#[tokio::test]
async fn a_service_that_hangs_leaves_a_write_unknown_and_it_is_sent_once() {
    let remind = Act::call("demo__remind", json!({ "to": "ann" }));
    let world = billing([remind, Act::say("Sent.")]).await;
    world.service().says("POST /v1/reminders", [Say::Silent]);
    let receipt = world.user("support").asks("Remind Ann.").await.ends().await;
    assert_eq!(
        (&receipt["status"], &receipt["error"]["code"]),
        (&json!("unknown"), &json!("upstream_unknown"))
    );
    let told = receipt["error"]["message"].as_str().unwrap();
    assert!(
        told.contains("did not answer within 300 ms") && told.contains("Not known: `demo__remind`"),
        "{told}"
    );
    assert_eq!(world.service().came("POST /v1/reminders").len(), 1);
    assert_eq!(world.model().seen().len(), 1, "nothing is made of what nobody knows");
}

#[tokio::test]
async fn a_write_that_can_be_looked_for_is_looked_for_after_a_silence() {
    let pay = || Act::call("demo__pay_out", json!({ "amount": 5 }));
    let world = billing([pay(), Act::say("It is paid.")]).await;
    world.service().says("POST /v1/payouts", [Say::Silent]);
    world.service().says("GET /v1/payouts", [Say::Json(200, json!([{ "id": "p1" }]))]);
    let receipt = world.user("support").asks("Pay 5 out.").await.answers("It is paid.").await;
    assert_eq!(receipt["tools"][0]["state"], "done");
    let came = world.service().came("POST /v1/payouts");
    let key = came[0].body["key"].as_str().unwrap().to_owned();
    assert_eq!(world.service().lines()[1], format!("GET /v1/payouts?key={key}"));
    assert_eq!(came.len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_none_is_told_to_the_model_in_clear_words() {
    let get = |order: &str| Act::call("demo__get", json!({ "order": order }));
    let world = billing([
        Act::Call(vec![
            ("demo__get".to_owned(), json!({ "order": "1" })),
            ("demo__get".to_owned(), json!({ "order": "2" })),
            ("demo__get".to_owned(), json!({ "order": "3" })),
            ("demo__get".to_owned(), json!({ "order": "../admin" })),
        ]),
        Act::say("I could not see them."),
        get("5"),
    ])
    .await;
    let service = world.service();
    service.says("GET /v1/orders/1", [Say::Long(5_000)]);
    service.says("GET /v1/orders/2", [Say::Long(6 << 20)]);
    service.says("GET /v1/orders/3", [Say::Elsewhere("http://169.254.169.254/latest/meta-data".to_owned())]);
    let receipt = world.user("support").asks("Show orders 1 to 4.").await.answers("could not").await;
    let reasons: Vec<&str> = (0..4).map(|at| receipt["tools"][at]["reason"].as_str().unwrap()).collect();
    for (reason, part) in reasons.iter().zip(["2KiB", "4MiB", "points elsewhere", "cannot stand in a path"]) {
        assert!(reason.contains(part), "`{part}`: {reason}");
    }
    assert!(!json!(reasons).to_string().contains("xxxx"), "no part of what is too long");
    assert_eq!(world.service().lines().len(), 3, "{:?}", world.service().lines());
}

#[tokio::test]
async fn a_connector_that_points_inside_reaches_nothing() {
    // The manifest is good and the address is https, but it is no address of the open internet.
    let service = Service::start().await;
    let inside = BILLING.replace("BASE", "https://169.254.169.254");
    let get = Act::call("demo__get", json!({ "order": "17" }));
    let plan = World::plan().model([get, Act::say("It cannot be reached.")]).policies(POLICIES);
    let world = plan.connector(service, &inside).start().await;
    let receipt = world.user("support").asks("Show order 17.").await.answers("cannot be reached").await;
    let reason = receipt["tools"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("may not be reached") && reason.contains("link-local"), "{reason}");
    assert!(world.service().lines().is_empty());
}

#[tokio::test]
async fn a_tool_without_permission_is_not_called_and_one_user_cannot_call_too_often() {
    let get = |order: &str| Act::call("demo__get", json!({ "order": order }));
    let acts = [get("1"), Act::say("No."), get("1"), get("2"), Act::say("Enough.")];
    let service = Service::start().await;
    let manifest = BILLING.replace("20/min", "1/min");
    let plan = World::plan().model(acts).policies(POLICIES);
    let world = plan.connector(service, &manifest).start().await;
    for order in ["1", "2"] {
        world.service().says(&format!("GET /v1/orders/{order}"), [Say::Json(200, json!({ "id": order }))]);
    }
    let receipt = world.user("analyst").asks("Show order 1.").await.answers("No.").await;
    assert_eq!(receipt["tools"][0]["state"], "refused");
    assert!(world.service().lines().is_empty());
    let receipt = world.user("support").asks("Show orders 1 and 2.").await.answers("Enough.").await;
    let reason = receipt["tools"][1]["reason"].as_str().unwrap();
    assert!(reason.contains("1/min"), "{reason}");
    assert_eq!(world.service().lines().len(), 1);
}

#[tokio::test]
async fn what_a_connectors_file_does_not_give_any_more_comes_from_no_cache_either() {
    let manifest = BILLING.replace(
        "max = \"2KiB\" }",
        "max = \"2KiB\", keep = [\"id\", \"margin\"] }\ncache = { ttl = \"1h\" }",
    );
    let get = || Act::call("demo__get", json!({ "order": "17" }));
    let acts =
        [get(), Act::say("It has margin high."), get(), Act::say("It is there."), get(), Act::say("Yes.")];
    let plan = World::plan().model(acts).policies(POLICIES).connector(Service::start().await, &manifest);
    let world = plan.set("CARDEA_CACHE__PERSIST", "true").start().await;
    let order = json!({ "id": "17", "margin": "high" });
    world.service().says("GET /v1/orders/17", [Say::Json(200, order)]);
    let claims = || VerifiedClaims::new("acme", "ann").role("support").scope("read");
    let ann = world.app.auth.embedded(claims()).unwrap();
    let told = world.app.agent("scripted").chat(&ann, None, "Show order 17.").await.unwrap();
    assert_eq!(told.answer.as_deref(), Some("It has margin high."));
    world.app.stop().await;

    // The same folder, another process as far as anybody can tell; once without a change.
    let file = world.folder().join("connectors/demo.toml");
    let again = async || {
        let url = ("CARDEA_DB__URL".to_owned(), world.app.config.db.url.clone());
        let variables = [url, ("CARDEA_CACHE__PERSIST".to_owned(), "true".to_owned())];
        let file = world.folder().join("cardea.toml");
        let loaded = Config::load(&file, &Environment::from_iter(variables)).unwrap();
        let clock = Arc::<ManualClock>::clone(&world.clock);
        let app = App::build(loaded, Options { clock, ..Options::default() }).await.unwrap();
        app.start().await.unwrap();
        app
    };
    let ask = async |app: &App, text: &str| {
        let ann = app.auth.embedded(claims()).unwrap();
        app.agent("scripted").chat(&ann, None, text).await.unwrap()
    };
    let same = again().await;
    assert_eq!(ask(&same, "Show order 17.").await.cache, CacheUse::Exact);
    assert_eq!(ask(&same, "Is there an order 17?").await.answer.as_deref(), Some("It is there."));
    assert_eq!(world.service().lines().len(), 1, "the result is good for an hour");
    same.stop().await;

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(", \"margin\"]", "]")).unwrap();
    let other = again().await;
    let told = ask(&other, "Show order 17.").await;
    assert_eq!((told.cache, told.answer.as_deref()), (CacheUse::None, Some("Yes.")));
    let seen = world.model().seen().last().unwrap().body.to_string();
    assert!(seen.contains("17") && !seen.contains("high"), "{seen}");
    assert_eq!(world.service().lines().len(), 2);
    other.stop().await;
}

#[tokio::test]
async fn each_users_own_secret_is_sent_for_that_user_only() {
    let manifest = BILLING.replace(r#"kind = "bearer""#, r#"kind = "bearer", per = "user""#);
    let get = || Act::call("demo__get", json!({ "order": "17" }));
    let acts = [get(), Act::say("a"), get(), Act::say("b"), get(), Act::say("c"), get(), Act::say("d")];
    let plan = World::plan().model(acts).policies(POLICIES);
    let world = plan.connector(Service::start().await, &manifest).start().await;
    world.service().says("GET /v1/orders/17", [Say::Json(200, json!({ "id": "17" }))]);
    let person = |tenant: &str, name: &str| world.person((tenant, name), &["support"], &["read"]);
    let tenant = TenantId::from(TENANT);
    for (name, secret) in [("ann", "secret-of-ann"), ("bob", "secret-of-bob")] {
        let place = secret_name("demo", Some((TRY_OUT_ISSUER, name)));
        let owner = owner_key(&tenant, TRY_OUT_ISSUER, &name.into());
        world.app.vault.seal_for(&tenant, &owner, &place, secret.as_bytes()).await.unwrap();
    }
    drop(person(TENANT, "ann").asks("Show order 17.").await.answers("a").await);
    drop(person(TENANT, "bob").asks("Show order 17.").await.answers("b").await);
    let sent: Vec<String> = world
        .service()
        .came("GET /v1/orders/17")
        .iter()
        .map(|came| came.header("authorization").to_owned())
        .collect();
    assert_eq!(sent, ["Bearer secret-of-ann", "Bearer secret-of-bob"]);
    // Whoever has the same name by another issuer, here by a key that an administrator made, is somebody else.
    let admin = world.person((TENANT, "ada"), &["admin", "support"], &["read"]);
    let wanted = json!({ "user": "ann", "roles": ["support"], "scopes": ["read"] });
    let key = admin.post("/api/v1/keys", &wanted).await.expect(201);
    let receipt = world.holder(key.at("/key")).asks("Show order 17.").await.answers("c").await;
    assert!(receipt["tools"][0]["reason"].as_str().unwrap().contains("no secret of you"), "{receipt}");
    // A user of the same name elsewhere, and nobody's fallback is the installation's secret.
    let receipt = person("other", "ann").asks("Show order 17.").await.answers("d").await;
    let reason = receipt["tools"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("no secret of you"), "{reason}");
    assert_eq!(world.service().lines().len(), 2);
    assert_eq!(
        leaks(&world.folder().join("data"), &["secret-of-ann", "secret-of-bob"]).unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn an_operation_is_offered_over_mcp_like_any_other_tool() {
    let world = billing([Act::say("unused")]).await;
    world.service().says("GET /v1/orders/17", [Say::Json(200, json!({ "id": "17", "state": "paid" }))]);
    let client = world.user("support").mcp(false).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert!(names.contains(&"demo__get") && names.contains(&"demo__refund"), "{names:?}");
    let Value::Object(arguments) = json!({ "order": "17" }) else { unreachable!() };
    let call = rmcp::model::CallToolRequestParams::new("demo__get").with_arguments(arguments);
    let result = client.call_tool(call).await.unwrap();
    assert!(json!(result).to_string().contains("paid"), "{result:?}");
}

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
    flow::resume_one,
    turn::Free,
};
use cardea_core::{Code, id::TurnId, time::ManualClock};
use cardea_mcp::{
    Args, Context, Error, Result, Server, State, Tool, UndoHint, guard::RequireAuth, schemars::JsonSchema,
};
use cardea_store::Jobs;
use cardea_testkit::{
    World,
    chaos::{ChaosProxy, Weather},
    model::Act,
    world::{Say, Service},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A warehouse: what was reserved can be released, what was charged can be given back, a letter stays sent.
pub(super) const WAREHOUSE: &str = r#"
[connector]
name = "demo"
base = "BASE"

[[operation]]
name        = "reserve"
about       = "Reserve an item."
sends_outside = false
effect      = "write"
request     = { method = "POST", path = "/reservations", body = { item = "{item}" } }
input       = { item = "string" }
idempotency = { header = "Idempotency-Key" }
undo        = { operation = "release", with = { reservation = "{result.id}" } }

[[operation]]
name        = "release"
about       = "Release a reservation."
effect      = "write"
request     = { method = "DELETE", path = "/reservations/{reservation}" }
input       = { reservation = "string" }
idempotency = { header = "Idempotency-Key" }

[[operation]]
name           = "write_letter"
about          = "Send a letter."
sends_outside = false
effect         = "write"
request        = { method = "POST", path = "/letters", body = { to = "{to}" } }
input          = { to = "string" }
accept_unknown = true

[[operation]]
name        = "charge"
about       = "Charge a card."
sends_outside = false
effect      = "write"
request     = { method = "POST", path = "/charges", body = { amount = "{amount}" } }
input       = { amount = "integer" }
idempotency = { header = "Idempotency-Key" }
result      = { error = "/error" }
limit       = { timeout = "300ms" }

[[operation]]
name        = "wipe"
about       = "Delete everything."
effect      = "destructive"
request     = { method = "DELETE", path = "/everything/{reservation}" }
input       = { reservation = "string" }
idempotency = { by = "method" }
"#;

pub(super) const POLICIES: &str = r#"
@id("support-works-there") @reason("support works with the warehouse.")
permit (principal in Role::"support", action, resource in Server::"demo");
"#;

const NO_RELEASE: &str = r#"
@id("support-works-there") @reason("support works with the warehouse.")
permit (principal in Role::"support", action, resource in Server::"demo");
@id("nobody-releases") @reason("releasing needs a clerk.")
forbid (principal, action == Action::"demo__release", resource);
"#;

pub(super) fn reserve(item: &str) -> Act {
    Act::call("demo__reserve", json!({ "item": item }))
}

pub(super) fn charge() -> Act {
    Act::call("demo__charge", json!({ "amount": 9 }))
}

pub(super) async fn warehouse(policies: &str, acts: impl IntoIterator<Item = Act>) -> World {
    let service = Service::start().await;
    let world = World::plan().model(acts).connector(service, WAREHOUSE).policies(policies).start().await;
    let made = |id: &str| Say::Json(201, json!({ "id": id, "undo": "demo__wipe", "tool": "demo__wipe" }));
    world.service().says("POST /reservations", [made("a1"), made("a2")]);
    world.service().says("POST /letters", [Say::Json(201, json!({ "id": "l1" }))]);
    for id in ["a1", "a2"] {
        world.service().says(&format!("DELETE /reservations/{id}"), [Say::Json(200, json!({}))]);
    }
    world.service().says("POST /charges", [Say::Json(402, json!({ "error": "card declined" }))]);
    world
}

pub(super) fn states(receipt: &Value) -> Vec<&str> {
    receipt["tools"].as_array().unwrap().iter().map(|tool| tool["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_model_that_says_nothing_once_its_tools_are_done_has_answered() {
    let world = warehouse(POLICIES, [reserve("book"), Act::say(""), Act::say("")]).await;
    let receipt = world.user("support").asks("Reserve the book.").await.ends().await;
    assert_eq!((&receipt["status"], states(&receipt)), (&json!("answered"), vec!["done"]), "{receipt}");
    assert_eq!(world.service().lines(), ["POST /reservations"], "what is done stays done");
    assert_eq!(world.model().seen().len(), 2, "nobody asks the same once more");
}

#[tokio::test]
async fn a_charge_that_fails_takes_the_reservations_back_the_last_one_first() {
    let acts = [reserve("book"), reserve("lamp"), charge(), Act::say("never said")];
    let world = warehouse(POLICIES, acts).await;
    let receipt = world.user("support").asks("Buy book and lamp.").await.ends().await;
    assert_eq!(receipt["status"], "unwound", "{receipt}");
    assert_eq!(states(&receipt), ["compensated", "compensated", "failed"]);
    let told = receipt["error"]["message"].as_str().unwrap();
    assert!(told.contains("card declined"), "{told}");
    assert!(told.contains("Taken back: `demo__reserve`, `demo__reserve`."), "{told}");
    let lines = world.service().lines();
    let undone = [
        "POST /reservations",
        "POST /reservations",
        "POST /charges",
        "DELETE /reservations/a2",
        "DELETE /reservations/a1",
    ];
    assert_eq!(lines, undone);
    let keys: Vec<String> = (1..=2)
        .map(|at| {
            world.service().came(&format!("DELETE /reservations/a{at}"))[0]
                .header("idempotency-key")
                .to_owned()
        })
        .collect();
    for (key, at) in keys.iter().zip(0..) {
        assert_eq!(*key, format!("undo.{}", receipt["tools"][at]["step"].as_str().unwrap()));
    }
    assert_eq!(world.model().seen().len(), 3, "the model has no say any more");
    let audit = world.audit().await;
    audit.tells([
        "turn.asked",
        "step.ended",
        "step.ended",
        "step.ended",
        "turn.unwinding",
        "step.undoing",
        "step.undone",
        "step.undoing",
        "step.undone",
        "turn.ended",
    ]);
    let decisions = world.user("support").get("/api/v1/decisions").await.expect(200);
    let undo =
        decisions.body["decisions"].as_array().unwrap().iter().filter(|one| one["context"]["via"] == "undo");
    assert_eq!(undo.count(), 2, "policy was asked for each: {}", decisions.text);
}

#[tokio::test]
async fn what_takes_a_step_back_is_known_also_where_the_model_is_not_shown_it() {
    const ID: &str = "4111111111111111"; // looks like a card, so it is masked
    let kept =
        |result: &str| WAREHOUSE.replacen("undo        =", &format!("result = {result}\nundo        ="), 1);
    let long = json!({ "id": ID, "more": "x".repeat(2_000) });
    for (file, body) in [
        (WAREHOUSE.to_owned(), json!({ "id": ID })),
        (kept("{ keep = [\"state\"] }"), json!({ "id": ID, "state": "reserved" })),
        (kept("{ max = \"1KiB\" }"), long),
        (kept("{ take = \"/nowhere\" }"), json!({ "id": ID })),
    ] {
        let acts = [reserve("book"), charge(), Act::say("never said")];
        let plan = World::plan().model(acts).connector(Service::start().await, &file).policies(POLICIES);
        let world = plan.start().await;
        world.service().says("POST /reservations", [Say::Json(201, body)]);
        world.service().says(&format!("DELETE /reservations/{ID}"), [Say::Json(200, json!({}))]);
        world.service().says("POST /charges", [Say::Json(402, json!({ "error": "card declined" }))]);
        let receipt = world.user("support").asks("Buy the book.").await.ends().await;
        assert_eq!(
            (&receipt["status"], states(&receipt)),
            (&json!("unwound"), vec!["compensated", "failed"]),
            "{receipt}"
        );
        assert!(!receipt.to_string().contains(ID), "{receipt}");
        let seen: Vec<String> = world.model().seen().iter().map(|seen| seen.body.to_string()).collect();
        assert!(!seen.join("\n").contains(ID));
    }
}

#[tokio::test]
async fn a_step_whose_undo_cannot_be_made_stays_and_the_turn_says_so() {
    let world = warehouse(POLICIES, [reserve("book"), charge(), Act::say("never said")]).await;
    world.service().says("POST /reservations", [Say::Json(201, Value::Null)]);
    let receipt = world.user("support").asks("Buy the book.").await.ends().await;
    assert_eq!(
        (&receipt["status"], states(&receipt)),
        (&json!("failed"), vec!["done", "failed"]),
        "{receipt}"
    );
    let told = receipt["error"]["message"].as_str().unwrap();
    let stays = "Done, and not taken back: `demo__reserve` (its result does not say what to take back).";
    assert!(told.contains("card declined") && told.contains(stays), "{told}");
    // Alone it is as good as any other.
    let world = warehouse(POLICIES, [reserve("book"), Act::say("Reserved.")]).await;
    world.service().says("POST /reservations", [Say::Json(201, Value::Null)]);
    let receipt = world.user("support").asks("Reserve the book.").await.answers("Reserved.").await;
    assert_eq!(states(&receipt), ["done"]);
    let (reason, stays) = (&receipt["tools"][0]["reason"], &receipt["tools"][0]["not_undone"]);
    assert_eq!((reason, stays), (&Value::Null, &json!("its result does not say what to take back")));
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_told_and_a_result_that_asks_for_an_undo_is_only_a_result() {
    let letter = Act::call("demo__write_letter", json!({ "to": "ann" }));
    let world = warehouse(POLICIES, [reserve("book"), letter, charge()]).await;
    let receipt = world.user("support").asks("Buy the book and tell Ann.").await.ends().await;
    assert_eq!(
        (&receipt["status"], states(&receipt)),
        (&json!("failed"), vec!["compensated", "done", "failed"])
    );
    let told = receipt["error"]["message"].as_str().unwrap();
    assert!(
        told.contains("Taken back: `demo__reserve`. Done, and not taken back: `demo__write_letter`."),
        "{told}"
    );
    let lines = world.service().lines();
    assert!(!lines.iter().any(|line| line.contains("everything")), "{lines:?}");
}

#[tokio::test]
async fn an_undo_that_policy_refuses_or_the_service_refuses_is_told_with_its_reason() {
    let world = warehouse(NO_RELEASE, [reserve("book"), charge()]).await;
    let receipt = world.user("support").asks("Buy the book.").await.ends().await;
    let told = receipt["error"]["message"].as_str().unwrap();
    assert!(told.contains("not taken back: `demo__reserve` (Policy `nobody-releases` does not allow this: releasing needs a clerk."), "{told}");
    assert_eq!((states(&receipt)[0], world.service().lines().len()), ("done", 2));
    world.audit().await.tells(["turn.unwinding", "step.not_undone", "turn.ended"]);

    let world = warehouse(POLICIES, [reserve("book"), charge()]).await;
    world.service().says("DELETE /reservations/a1", [Say::Json(409, json!({ "why": "already shipped" }))]);
    let receipt = world.user("support").asks("Buy the book.").await.ends().await;
    assert!(receipt["error"]["message"].as_str().unwrap().contains("already shipped"), "{receipt}");
    assert_eq!(receipt["status"], "failed");
}

const NO_CHARGE: &str = r#"
@id("support-works-there") @reason("support works with the warehouse.")
permit (principal in Role::"support", action, resource in Server::"demo");
@id("nobody-charges") @reason("charging needs a clerk.")
forbid (principal, action == Action::"demo__charge", resource) when { context.args.amount > 5 };
"#;

#[tokio::test]
async fn a_step_that_is_refused_is_told_as_denied_and_not_as_an_error_of_the_service() {
    let world = warehouse(NO_CHARGE, [reserve("book"), charge()]).await;
    let receipt = world.user("support").asks("Buy the book.").await.ends().await;
    assert_eq!((&receipt["status"], states(&receipt)), (&json!("unwound"), vec!["compensated", "refused"]));
    assert_eq!(receipt["error"]["code"], "denied", "{receipt}");
    let told = receipt["error"]["message"].as_str().unwrap();
    assert!(told.contains("`demo__charge`") && told.contains("charging needs a clerk"), "{told}");
    assert!(!told.contains("service answered"), "{told}");
}

#[tokio::test]
async fn nothing_is_taken_back_while_it_is_not_known_whether_the_charge_was_made() {
    let world = warehouse(POLICIES, [reserve("book"), charge()]).await;
    world.service().says("POST /charges", [Say::Silent]);
    let receipt = world.user("support").asks("Buy the book.").await.ends().await;
    assert_eq!((&receipt["status"], states(&receipt)), (&json!("unknown"), vec!["done", "unknown"]));
    let told = receipt["error"]["message"].as_str().unwrap();
    assert!(told.contains("Done, and not taken back: `demo__reserve`. Not known: `demo__charge`."), "{told}");
    assert_eq!(world.service().lines(), ["POST /reservations", "POST /charges"]);
}

#[tokio::test]
async fn a_limit_that_ends_the_turn_takes_back_what_was_done() {
    let acts = [reserve("book"), reserve("lamp"), reserve("cup")];
    let plan = World::plan().model(acts).policies(POLICIES).limits("tool_calls = 1\n");
    let world = plan.connector(Service::start().await, WAREHOUSE).start().await;
    world.service().says("POST /reservations", [Say::Json(201, json!({ "id": "a1" }))]);
    world.service().says("DELETE /reservations/a1", [Say::Json(200, json!({}))]);
    let receipt = world.user("support").asks("Buy it all.").await.ends().await;
    assert_eq!((&receipt["status"], &receipt["error"]["code"]), (&json!("unwound"), &json!("steps_spent")));
    assert_eq!(world.service().lines(), ["POST /reservations", "DELETE /reservations/a1"]);
}

#[tokio::test]
async fn a_turn_that_was_left_in_the_middle_of_its_undo_is_taken_up_and_undone_under_the_same_key() {
    let world = warehouse(POLICIES, [reserve("book"), charge()]).await;
    // The service takes the request and its answer never comes: nobody knows whether the undo arrived.
    world.service().says("DELETE /reservations/a1", [Say::Silent, Say::Json(200, json!({}))]);
    let ann = world.user("support");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { ann.asks("Buy the book.").await });
    while world.service().came("DELETE /reservations/a1").is_empty() {
        tokio::task::yield_now().await;
    }
    let steps: Vec<(String,)> =
        world.app.db.rows("SELECT state FROM steps ORDER BY number", Vec::new()).await.unwrap();
    assert_eq!(steps, [("compensating".to_owned(),), ("failed".to_owned(),)]);

    // Another process takes the node's place, with nothing but the journal.
    let second = takes_its_place(&world, |config| config).await;
    let ids: Vec<(TurnId,)> = world.app.db.rows("SELECT id FROM turns", Vec::new()).await.unwrap();
    let mut news = second.turns.follow(ids[0].0);
    second.start().await.unwrap();
    loop {
        let sql = "SELECT state, receipt FROM turns";
        let rows: Vec<(String, Option<String>)> = second.db.rows(sql, Vec::new()).await.unwrap();
        if rows[0].0 != "running" {
            assert_eq!(rows[0].0, "unwound", "{rows:?}");
            let receipt = rows[0].1.as_deref().unwrap();
            assert!(receipt.contains("card declined") && receipt.contains("Taken back"), "{receipt}");
            break;
        }
        news.changed().await;
    }
    let keys: Vec<String> = world
        .service()
        .came("DELETE /reservations/a1")
        .iter()
        .map(|came| came.header("idempotency-key").to_owned())
        .collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    assert_eq!(world.service().came("POST /charges").len(), 1, "nothing else is done again");
    assert_eq!(world.model().seen().len(), 2);
    tasks.abort_all();
    second.stop().await;
}

/// Another process in the place of the world's own, with nothing but the journal and these changes of the configuration.
pub(super) async fn takes_its_place(world: &World, change: impl FnOnce(String) -> String) -> App {
    let file = world.folder().join("cardea.toml");
    std::fs::write(&file, change(std::fs::read_to_string(&file).unwrap())).unwrap();
    let url = ("CARDEA_DB__URL".to_owned(), world.app.config.db.url.clone());
    let loaded = Config::load(&file, &Environment::from_iter([url])).unwrap();
    let clock = Arc::<ManualClock>::clone(&world.clock);
    App::build(loaded, Options { clock, ..Options::default() }).await.unwrap()
}

/// Another process in the place of the world's own, which does not reach the tool server until the weather is fair.
pub(super) async fn without_its_server(world: &World) -> (App, ChaosProxy, Jobs) {
    let jobs = Jobs::new();
    let config = std::fs::read_to_string(world.folder().join("cardea.toml")).unwrap();
    let (_, after) = config.split_once("[upstreams.own]\nurl = \"http://").unwrap();
    let address = after.split_once("/mcp").unwrap().0.to_owned();
    let proxy = ChaosProxy::start(&jobs, address.parse().unwrap()).await.unwrap();
    proxy.set(Weather::Refuse);
    let app = takes_its_place(world, |config| {
        let audience = format!("audience = \"http://{address}");
        let config = config.replace(&audience, "AUDIENCE").replace(&address, &proxy.address().to_string());
        config.replace("AUDIENCE", &audience)
    });
    (app.await, proxy, jobs)
}

/// Waits until the only turn has ended, and gives its state and receipt.
pub(super) async fn ends(app: &App) -> (String, Value) {
    loop {
        let sql = "SELECT state, receipt FROM turns WHERE ended_at IS NOT NULL";
        let rows: Vec<(String, String)> = app.db.rows(sql, Vec::new()).await.unwrap();
        if let Some((state, receipt)) = rows.into_iter().next() {
            return (state, serde_json::from_str(&receipt).unwrap());
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_write_that_was_sent_before_policy_wanted_an_approval_for_it_is_unknown_and_nobody_is_asked() {
    let world = warehouse(POLICIES, [reserve("book"), Act::say("never said")]).await;
    world.service().says("POST /reservations", [Say::Silent]);
    let ann = world.user("support");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { ann.asks("Reserve the book.").await });
    while world.service().came("POST /reservations").is_empty() {
        tokio::task::yield_now().await;
    }
    let held = r#"
@id("reservations-wait") @reason("reservations need a person.") @approval("role:supervisor")
forbid (principal, action == Action::"demo__reserve", resource) unless { context has approval };
"#;
    std::fs::write(world.folder().join("policies/later.cedar"), held).unwrap();
    let second = takes_its_place(&world, |config| config).await;
    second.start().await.unwrap();
    let (state, receipt) = ends(&second).await;
    assert_eq!((state.as_str(), states(&receipt)), ("unknown", vec!["unknown"]), "{receipt}");
    let asked: Vec<(String,)> = second.db.rows("SELECT id FROM approvals", Vec::new()).await.unwrap();
    assert!(asked.is_empty() && world.service().came("POST /reservations").len() == 1, "{asked:?}");
    tasks.abort_all();
    second.stop().await;
}

/// What a tool server of the test has in its books: reservations, and each call with its key.
#[derive(Clone, Default)]
pub(super) struct Books {
    pub(super) reserved: Arc<Mutex<Vec<String>>>,
    lines: Arc<Mutex<Vec<String>>>,
    /// The next release does not come to its end.
    holds: Arc<AtomicBool>,
}

#[derive(Deserialize, JsonSchema)]
struct Item {
    /// Name of the item.
    item: String,
}

#[derive(Deserialize, JsonSchema)]
struct Reservation {
    /// Its number.
    reservation: String,
}

async fn reserve_item(
    State(books): State<Books>,
    Args(wanted): Args<Item>,
    context: Context,
) -> Result<Value> {
    let id = format!("r-{}", wanted.item);
    books.reserved.lock().unwrap().push(id.clone());
    books.lines.lock().unwrap().push(format!("reserve {}", context.idempotency_key().unwrap_or_default()));
    Ok(json!({ "id": id }))
}

async fn release_item(
    State(books): State<Books>,
    Args(made): Args<Reservation>,
    context: Context,
) -> Result<Value> {
    let key = context.idempotency_key().unwrap_or_default();
    books.lines.lock().unwrap().push(format!("release {} {key}", made.reservation));
    if books.holds.swap(false, Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    books.reserved.lock().unwrap().retain(|id| *id != made.reservation);
    Ok(json!({}))
}

async fn charge_card() -> Result<Value> {
    Err(Error::new(Code::Conflict).detail("card declined").into())
}

/// A server whose reservations are taken back by its releases, and whose cards are declined.
pub(super) fn bookkeeper(books: &Books) -> Server {
    let undo = UndoHint::new("release", [("reservation", "{result.id}")]);
    Server::new("own", "1.0.0")
        .state(books.clone())
        .tool(
            Tool::new("reserve", reserve_item)
                .about("Reserves an item of the warehouse for a customer.")
                .writes()
                .once_per_key()
                .undo(undo)
                .guard(RequireAuth),
        )
        .tool(
            Tool::new("release", release_item)
                .about("Releases a reservation.")
                .writes()
                .once_per_key()
                .guard(RequireAuth),
        )
        .tool(
            Tool::new("charge", charge_card)
                .about("Charges the card of a customer.")
                .writes()
                .once_per_key()
                .guard(RequireAuth),
        )
}

pub(super) const SUPPORT_WORKS_THERE: &str = r#"
@id("support-works-there") @reason("support works there.")
permit (principal in Role::"support", action, resource in Server::"own");
"#;

/// Reserves a lamp, and pays for it.
pub(super) fn buys() -> [Act; 3] {
    let reserve = Act::call("own__reserve", json!({ "item": "lamp" }));
    [reserve, Act::call("own__charge", json!({})), Act::say("never said")]
}

#[tokio::test]
async fn a_tool_of_an_mcp_server_that_names_its_undo_is_taken_back_by_it() {
    let books = Books::default();
    let plan = World::plan().model(buys()).policies(SUPPORT_WORKS_THERE).tools(bookkeeper(&books));
    let world = plan.start().await;
    let receipt = world.user("support").asks("Buy the lamp.").await.ends().await;
    assert_eq!(
        (&receipt["status"], states(&receipt)),
        (&json!("unwound"), vec!["compensated", "failed"]),
        "{receipt}"
    );
    let (left, calls) = (books.reserved.lock().unwrap().clone(), books.lines.lock().unwrap().clone());
    let step = receipt["tools"][0]["step"].as_str().unwrap();
    assert_eq!(calls, [format!("reserve {step}"), format!("release r-lamp undo.{step}")]);
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_being_taken_back_waits_for_its_server_and_does_not_stay_because_that_comes_back_later() {
    let books = Books { holds: Arc::new(AtomicBool::new(true)), ..Books::default() };
    let plan = World::plan().model(buys()).policies(SUPPORT_WORKS_THERE).tools(bookkeeper(&books));
    // The first process still waits when the second takes its place.
    let plan = plan.limits("tool_timeout = \"60s\"\n").set("CARDEA_UPSTREAMS__OWN__TIMEOUT", "60s");
    let world = plan.start().await;
    let ann = world.user("support");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { ann.asks("Buy the lamp.").await });
    while books.lines.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await; // the release has arrived, and is never answered
    }
    let (second, proxy, _jobs) = without_its_server(&world).await;
    second.start().await.unwrap();
    let ids: Vec<(TurnId,)> = world.app.db.rows("SELECT id FROM turns", Vec::new()).await.unwrap();
    let free = Free { id: ids[0].0, agent: "scripted".into() };
    let mut looks = 0;
    while looks < 3 {
        match resume_one(&second, &free).await {
            Ok(()) => tokio::task::yield_now().await, // the watch has it in hand
            Err(error) => {
                assert_eq!(error.code(), Code::UpstreamSilent, "{error:?}");
                looks += 1;
            }
        }
    }
    proxy.set(Weather::Fair);
    let (state, receipt) = ends(&second).await;
    assert_eq!((state.as_str(), states(&receipt)), ("unwound", vec!["compensated", "failed"]), "{receipt}");
    let lines = books.lines.lock().unwrap().clone();
    assert!(lines.len() == 3 && lines[1] == lines[2], "released again under its key: {lines:?}");
    tasks.abort_all();
    second.stop().await;
}

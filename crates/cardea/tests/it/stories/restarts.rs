//! Turns that another process takes up, with something missing: the secret of a service, its server, the end of a write.

use cardea::{
    app::App,
    control::{Answer, Choice},
    flow::{Request, RevokeRequest, delete, erase, resume_one, revoke},
    observe::Trace,
    turn::Free,
};
use cardea_auth::{Caller, Credentials, VerifiedClaims};
use cardea_core::{
    Code,
    id::{AgentName, ApprovalId, ConversationId, TurnId},
    time::Millis,
};
use cardea_store::{Commit, args};
use cardea_testkit::{
    World,
    chaos::Weather,
    model::Act,
    world::{Plan, SECRET, Say, Service, TENANT, User},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::undo::{
    Books, POLICIES, SUPPORT_WORKS_THERE, WAREHOUSE, bookkeeper, charge, ends, reserve, states,
    takes_its_place, without_its_server,
};

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

const ASK: &str = r#"
@id("charges") @reason("charging needs a supervisor.") @approval("role:supervisor")
forbid (principal, action == Action::"own__charge", resource) unless { context has approval };
"#;

/// Everything that is kept of the words of turns; what takes a step back apart from it.
async fn words(app: &App) -> (String, String) {
    let sql = "SELECT prompt FROM turns UNION ALL SELECT COALESCE(receipt, '') FROM turns
               UNION ALL SELECT args FROM steps UNION ALL SELECT COALESCE(outcome, '') FROM steps
               UNION ALL SELECT COALESCE(said, '') FROM steps
               UNION ALL SELECT args FROM approvals UNION ALL SELECT body FROM events
               UNION ALL SELECT body FROM messages UNION ALL SELECT title FROM conversations";
    let rows: Vec<(String,)> = app.db.rows(sql, args![]).await.unwrap();
    let undo: Vec<(String,)> = app.db.rows("SELECT COALESCE(undo, '') FROM steps", args![]).await.unwrap();
    let joined = |rows: Vec<(String,)>| rows.into_iter().map(|(text,)| text).collect::<Vec<_>>().join("\n");
    (joined(rows), joined(undo))
}

async fn caller(app: &App, user: &User) -> Caller {
    app.auth.authenticate(&Credentials::token(user.token(), None)).await.unwrap()
}

/// A world in which a lamp is reserved for somebody, and what comes next waits for a person.
async fn reserved(books: &Books) -> (World, User, String) {
    let acts = [
        Act::call("own__reserve", json!({ "item": "lamp-for-Secretname" })),
        Act::call("own__charge", json!({})),
        Act::say("never said"),
    ];
    let policies = format!("{SUPPORT_WORKS_THERE}{ASK}");
    let world = World::plan().model(acts).policies(&policies).tools(bookkeeper(books)).start().await;
    let lou = world.person((TENANT, "lou"), &["support"], &["read"]);
    let turn = lou.asks("Buy the lamp for Secretname.").await;
    turn.waits_for_approval("own__charge").await;
    let talk = turn.conversation().to_owned();
    world.app.stop().await;
    (world, lou, talk)
}

#[tokio::test]
async fn the_words_of_a_conversation_are_gone_with_it_also_while_a_server_is_away_that_takes_back_what_was_done()
 {
    let books = Books::default();
    let (world, lou, talk) = reserved(&books).await;
    let (second, proxy, _jobs) = without_its_server(&world).await;
    second.start().await.unwrap();
    let request = Request { caller: caller(&second, &lou).await, trace: Trace::default() };
    delete(&second, &request, talk.parse().unwrap()).await.unwrap();
    let (words, undo) = words(&second).await;
    assert!(!words.contains("Secretname"), "{words}");
    assert!(undo.contains("r-lamp"), "it can still be taken back: {undo}");
    proxy.set(Weather::Fair);
    let state = loop {
        let sql = "SELECT state FROM turns WHERE ended_at IS NOT NULL";
        if let Some((state,)) = second.db.row::<(String,)>(sql, args![]).await.unwrap() {
            break state;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((state.as_str(), books.reserved.lock().unwrap().len()), ("unwound", 0));
    let (words, undo) = self::words(&second).await;
    assert!(!words.contains("Secretname") && !undo.contains("Secretname"), "{words}\n{undo}");
    assert_eq!(world.model().seen().len(), 2, "deleted words go nowhere");
    second.stop().await;
}

#[tokio::test]
async fn the_words_of_a_person_are_gone_with_them_also_while_a_server_of_their_turn_is_away() {
    let books = Books::default();
    let (world, _lou, _talk) = reserved(&books).await;
    let (second, _proxy, _jobs) = without_its_server(&world).await;
    second.start().await.unwrap();
    let ada = world.person((TENANT, "ada"), &["admin"], &["read"]);
    let request = Request { caller: caller(&second, &ada).await, trace: Trace::default() };
    erase(&second, &request, &"lou".into(), None).await.unwrap();
    let (words, undo) = words(&second).await;
    assert!(!words.contains("Secretname") && !undo.contains("Secretname"), "{words}\n{undo}");
    let sql = "SELECT state, COALESCE(code, '') FROM turns WHERE ended_at IS NOT NULL";
    let ended: Vec<(String, String)> = second.db.rows(sql, args![]).await.unwrap();
    assert_eq!(ended.len(), 1, "nobody waits for the server of somebody who is gone");
    assert_eq!(world.model().seen().len(), 2);
    second.stop().await;
}

/// Leaves the turn that called this tool as a process does that ends before it has written its end.
async fn unended(app: &App, tool: &str) -> Free {
    let sql = "UPDATE turns SET state = 'running', ended_at = NULL, code = NULL, receipt = NULL \
               WHERE id IN (SELECT turn FROM steps WHERE tool = $1)";
    let talk = "UPDATE conversations SET open_turn = (SELECT turn FROM steps WHERE tool = $1) \
                WHERE id IN (SELECT conversation FROM turns WHERE ended_at IS NULL)";
    let left = Commit::new().run(sql, args![tool]).run(talk, args![tool]);
    app.db.commit(left).await.unwrap();
    open_turn(app).await
}

async fn open_turn(app: &App) -> Free {
    let sql = "SELECT id, agent FROM turns WHERE ended_at IS NULL";
    let (id, agent): (TurnId, AgentName) = app.db.row(sql, args![]).await.unwrap().unwrap();
    Free { id, agent }
}

#[tokio::test]
async fn a_call_that_is_done_ends_also_while_the_server_is_away_that_could_take_it_back() {
    let books = Books::default();
    let plan = World::plan().policies(SUPPORT_WORKS_THERE).tools(bookkeeper(&books));
    let world = plan.start().await;
    let client = world.user("support").mcp(false).await.unwrap();
    let mut params = rmcp::model::CallToolRequestParams::new("own__reserve");
    params.arguments = json!({ "item": "lamp" }).as_object().cloned();
    drop(client.call_tool(params).await.unwrap());
    drop(client);
    world.app.stop().await;
    let (second, _proxy, _jobs) = without_its_server(&world).await;
    drop(second.action.refresh().await.unwrap_err()); // it is away
    let free = unended(&second, "own__reserve").await;
    resume_one(&second, &free).await.unwrap();
    let sql = "SELECT state FROM turns WHERE ended_at IS NOT NULL";
    let ended: Vec<(String,)> = second.db.rows(sql, args![]).await.unwrap();
    assert_eq!(ended, [("answered".to_owned(),)]);
    assert_eq!(books.reserved.lock().unwrap().len(), 1);
    second.stop().await;
}

const LETTERS: &str = r#"
[connector]
name = "demo"
base = "BASE"

[[operation]]
name           = "write_letter"
about          = "Send a letter."
effect         = "write"
sends_outside  = false
request        = { method = "POST", path = "/letters", body = { to = "{to}" } }
input          = { to = "string" }
accept_unknown = true
clears         = ["letters:{to}"]

[[operation]]
name    = "letters"
about   = "Look up the letters of somebody."
effect  = "read"
request = { method = "GET", path = "/letters/{to}" }
input   = { to = "string" }
cache   = { ttl = "1h", tags = ["letters:{to}"] }
"#;

/// A letter is sent to Ann, and her letters are looked up and kept. Then `SQL` makes of the first turn what a process leaves
/// that ends in the middle of it, and once `happens` has happened it is taken up. Gives its state; the letters must be looked up again.
async fn looks_again(left: &'static str, happens: impl AsyncFnOnce(&World, &User)) -> String {
    let look = || Act::call("demo__letters", json!({ "to": "ann" }));
    let acts = [
        Act::call("demo__write_letter", json!({ "to": "ann" })),
        Act::say("Sent."),
        look(),
        Act::say("None."),
        look(),
        Act::say("None."),
        look(),
        Act::say("One."),
    ];
    let plan = World::plan().model(acts).connector(Service::start().await, LETTERS).policies(POLICIES);
    let world = plan.start().await;
    world.service().says("POST /letters", [Say::Json(201, json!({ "id": "l1" }))]);
    world.service().says("GET /letters/ann", [Say::Json(200, json!([]))]);
    let ann = world.user("support");
    drop(ann.asks("Please send a letter to Ann.").await.answers("Sent.").await);
    for question in ["What letters are there for Ann?", "Is there post for Ann this week?"] {
        drop(ann.asks(question).await.answers("None.").await);
    }
    assert_eq!(world.service().came("GET /letters/ann").len(), 1, "the second is from the cache");
    let failed = "UPDATE turns SET failure = '{\"code\":\"model_failed\",\"message\":\"It failed.\"}' \
                  WHERE id IN (SELECT turn FROM steps WHERE state = 'compensating')";
    world.app.db.commit(Commit::new().run(left, args![]).run(failed, args![])).await.unwrap();
    let free = unended(&world.app, "demo__write_letter").await;
    happens(&world, &ann).await;
    resume_one(&world.app, &free).await.unwrap();
    let sql = "SELECT state FROM turns WHERE id = $1 AND ended_at IS NOT NULL";
    let (state,): (String,) = world.app.db.row(sql, args![free.id]).await.unwrap().expect("its end");
    drop(ann.asks("Has a letter been sent to Ann by now?").await.answers("One.").await);
    assert_eq!(world.service().came("GET /letters/ann").len(), 2, "nobody knows what letters there are");
    state
}

const SENT: &str =
    "UPDATE steps SET state = 'started', outcome = NULL, ended_at = NULL WHERE effect = 'write'";
const BEING_TAKEN_BACK: &str =
    "UPDATE steps SET state = 'compensating', undo = NULL, ended_at = NULL WHERE effect = 'write'";

#[tokio::test]
async fn a_write_that_a_crash_cut_off_makes_old_what_it_may_have_changed() {
    assert_eq!(looks_again(SENT, async |_, _| ()).await, "unknown");
}

#[tokio::test]
async fn a_write_that_a_crash_cut_off_makes_old_what_it_may_have_changed_though_its_words_were_deleted() {
    let deletes = async |world: &World, ann: &User| {
        let sql = "SELECT id FROM conversations WHERE open_turn IS NOT NULL";
        let (talk,): (ConversationId,) = world.app.db.row(sql, args![]).await.unwrap().unwrap();
        let request = Request { caller: caller(&world.app, ann).await, trace: Trace::default() };
        delete(&world.app, &request, talk).await.unwrap();
    };
    assert_eq!(looks_again(SENT, deletes).await, "unknown");
}

#[tokio::test]
async fn what_was_being_taken_back_as_a_process_ended_makes_old_what_it_may_have_changed() {
    assert_eq!(looks_again(BEING_TAKEN_BACK, async |_, _| ()).await, "unknown");
}

#[tokio::test]
async fn what_was_masked_while_its_conversation_was_deleted_goes_with_the_turn_whoever_ends_it() {
    for revoked in [false, true] {
        let acts = [Act::call("demo__letters", json!({ "to": "ann" })), Act::say("One.")];
        let plan = World::plan().model(acts).connector(Service::start().await, LETTERS).policies(POLICIES);
        let world = plan.start().await;
        let letters = json!(["charged to 5500 0055 5555 5559"]);
        world.service().says("GET /letters/ann", [Say::Json(200, letters)]);
        let (app, ann) = (&world.app, world.user("support"));
        let turn = ann.asks("What letters are there for Ann?").await;
        drop(turn.answers("One.").await);
        // The conversation is deleted during the call. Its outcome is written after that, and then the process ends.
        let copy = "CREATE TABLE kept AS SELECT * FROM secrets WHERE name LIKE 'placeholders/%'";
        app.db.commit(Commit::new().run(copy, args![])).await.unwrap();
        let free = unended(app, "demo__letters").await;
        let request = Request { caller: caller(app, &ann).await, trace: Trace::default() };
        delete(app, &request, turn.conversation().parse().unwrap()).await.unwrap();
        let again = "INSERT INTO secrets SELECT * FROM kept";
        app.db.commit(Commit::new().run(again, args![])).await.unwrap();
        let kept = "SELECT COUNT(*) FROM secrets WHERE name LIKE 'placeholders/%'";
        assert_eq!(app.db.row(kept, args![]).await.unwrap(), Some((1_i64,)), "revoked: {revoked}");
        if revoked {
            drop(revoke(app, &request, RevokeRequest::default()).await.unwrap());
        }
        resume_one(app, &free).await.unwrap();
        let ended = "SELECT code FROM turns WHERE ended_at IS NOT NULL";
        assert!(app.db.row::<(String,)>(ended, args![]).await.unwrap().is_some(), "revoked: {revoked}");
        assert_eq!(app.db.row(kept, args![]).await.unwrap(), Some((0_i64,)), "revoked: {revoked}");
    }
}

/// A world in which a person has so long to let this server reserve a lamp, and whose process has ended meanwhile.
async fn asked_to_reserve(plan: Plan, server: &str, within: &str) -> (World, ApprovalId) {
    let tool = format!("{server}__reserve");
    let acts = [Act::call(&tool, json!({ "item": "lamp" })), Act::say("It is reserved.")];
    let policies =
        format!("{SUPPORT_WORKS_THERE}{ASK}").replace("charge\"", "reserve\"").replace("own", server);
    let plan = plan.model(acts).policies(&policies).set("CARDEA_POLICIES__APPROVAL", within);
    let world = plan.start().await;
    let turn = world.user("support").asks("Reserve the lamp.").await;
    turn.waits_for_approval(&tool).await;
    world.app.stop().await;
    let approval = turn.approval().parse().unwrap();
    (world, approval)
}

async fn approves(app: &App, approval: ApprovalId) {
    let sue = VerifiedClaims::new(TENANT, "sue").role("supervisor").scope("read");
    let (sue, answer) = (app.auth.embedded(sue).unwrap(), Answer { choice: Choice::Approve, comment: "" });
    drop(app.control.decide(&sue, approval, answer, None).await.unwrap());
}

#[tokio::test]
async fn what_was_approved_in_time_is_done_though_its_turn_goes_on_only_after_that_time() {
    let plan = World::plan().connector(Service::start().await, WAREHOUSE);
    let (world, approval) = asked_to_reserve(plan, "demo", "1min").await;
    world.service().says("POST /reservations", [Say::Json(201, json!({ "id": "a1" }))]);
    let second = takes_its_place(&world, |config| config).await;
    world.clock.advance(Millis::from_secs(45));
    approves(&second, approval).await;
    world.clock.advance(Millis::from_secs(30));
    resume_one(&second, &open_turn(&second).await).await.unwrap();
    let (state, receipt) = ends(&second).await;
    assert_eq!((state.as_str(), states(&receipt)), ("answered", vec!["done"]), "{receipt}");
    assert_eq!(world.service().lines(), ["POST /reservations"]);
    second.stop().await;
}

#[tokio::test]
async fn a_turn_waits_three_days_for_its_server_from_when_it_was_approved() {
    const DAY: u64 = 24 * 3_600;
    let plan = World::plan().tools(bookkeeper(&Books::default()));
    let (world, approval) = asked_to_reserve(plan, "own", "7d").await;
    let (second, _proxy, _jobs) = without_its_server(&world).await;
    drop(second.action.refresh().await.unwrap_err()); // it is away
    world.clock.advance(Millis::from_secs(4 * DAY));
    approves(&second, approval).await;
    let free = open_turn(&second).await;
    for _day in 0..3 {
        let waits = resume_one(&second, &free).await.unwrap_err();
        assert_eq!(waits.code(), Code::UpstreamSilent);
        world.clock.advance(Millis::from_secs(DAY));
    }
    resume_one(&second, &free).await.unwrap();
    assert_eq!(ends(&second).await.0, "answered", "not for ever");
    second.stop().await;
}

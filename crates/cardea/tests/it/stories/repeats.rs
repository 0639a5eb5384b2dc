//! Clients that send a request again by themselves: what they are told, and how often a thing is done.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
};
use cardea_core::time::{ManualClock, Millis};
use cardea_mcp::{Server, State, Tool, guard::RequireAuth};
use cardea_testkit::{
    World,
    model::Act,
    world::{Reply, Say, Service, User},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

const PAINTER: &str = r#"
[connector]
name = "demo"
base = "BASE"

[[operation]]
name           = "paint"
about          = "Paint a thing."
sends_outside  = false
effect         = "write"
request        = { method = "PUT", path = "/things/{item}" }
input          = { item = "string" }
accept_unknown = true
limit          = { timeout = "300ms" }

[[operation]]
name    = "look"
about   = "Look at a thing."
effect  = "read"
request = { method = "GET", path = "/things/{item}" }
input   = { item = "string" }
"#;

const POLICIES: &str = r#"
@id("support-paints") @reason("support paints.")
permit (principal in Role::"support", action, resource in Server::"demo");
"#;

async fn painter(acts: impl IntoIterator<Item = Act>) -> World {
    let service = Service::start().await;
    let plan = World::plan().model(acts).connector(service, PAINTER).policies(POLICIES);
    let world = plan.set("CARDEA_MODELS__RETRIES", "0").start().await;
    for line in ["PUT /things/1", "GET /things/1"] {
        world.service().says(line, [Say::Json(200, json!({ "colour": "green" }))]);
    }
    world
}

fn paint() -> Act {
    Act::call("demo__paint", json!({ "item": "1" }))
}

fn broken() -> Act {
    Act::Status(500, None, "{}".into())
}

/// As OpenAI's client libraries do: 409 and 5xx are sent again, twice at most, unless the answer says otherwise.
async fn sends_as_an_sdk(user: &User, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut times = 0;
    loop {
        let count = times.to_string();
        let mut headers = headers.to_vec();
        headers.push(("x-stainless-retry-count", &count));
        let reply = user.send("POST", "/v1/chat/completions", &headers, &body.to_string()).await;
        let again = match reply.header("x-should-retry") {
            "true" => true,
            "false" => false,
            _ => matches!(reply.status, 408 | 409 | 429 | 500..),
        };
        times += 1;
        if !again || times > 2 {
            return reply;
        }
    }
}

fn body(text: &str) -> Value {
    json!({ "model": "agent/scripted", "messages": [{ "role": "user", "content": text }] })
}

#[tokio::test]
async fn a_write_of_which_nobody_knows_is_not_made_again_by_a_client_that_repeats_by_itself() {
    let world = painter([paint(), paint(), paint()]).await;
    world.service().says("PUT /things/1", [Say::Silent]);
    let told = sends_as_an_sdk(&world.user("support"), &[], &body("Paint it.")).await.expect(502);
    assert_eq!(told.at("/error/code"), "upstream_unknown");
    assert_eq!((told.header("x-should-retry"), told.header("retry-after")), ("false", ""));
    assert_eq!(world.service().came("PUT /things/1").len(), 1);
}

#[tokio::test]
async fn a_write_that_was_done_before_the_model_failed_is_not_made_again_and_the_turn_is_named() {
    let world = painter([paint(), broken(), paint(), broken()]).await;
    let ann = world.user("support");
    let told = sends_as_an_sdk(&ann, &[], &body("Paint it.")).await.expect(502);
    assert_eq!(told.at("/error/code"), "model_failed");
    assert!(told.at("/error/message").contains("Done, and not taken back: `demo__paint`"), "{}", told.text);
    assert_eq!((told.header("x-should-retry"), told.header("retry-after")), ("false", ""));
    assert_eq!(world.service().came("PUT /things/1").len(), 1);
    let turn = ann.get(&format!("/api/v1/turns/{}", told.at("/error/turn"))).await.expect(200);
    assert_eq!(turn.at("/receipt/conversation"), told.header("x-cardea-conversation"));
    assert_eq!(turn.at("/receipt/conversation"), told.at("/error/conversation"));
    assert!(turn.body.pointer("/receipt/error/retry_after_ms").is_none(), "{}", turn.text);
}

#[tokio::test]
async fn a_turn_that_only_read_is_asked_again_and_so_is_its_key_given_free() {
    let look = || Act::call("demo__look", json!({ "item": "1" }));
    let world = painter([look(), broken(), look(), Act::say("It is green.")]).await;
    let key = [("idempotency-key", "colour-1")];
    let told = sends_as_an_sdk(&world.user("support"), &key, &body("Which colour?")).await.expect(200);
    assert_eq!(told.at("/choices/0/message/content"), "It is green.");
}

#[tokio::test]
async fn a_first_question_that_is_repeated_where_the_talk_went_on_is_answered_in_its_light() {
    let world = painter([broken(), Act::say("It is green."), Act::say("Still green.")]).await;
    let (ann, key) = (world.user("support"), [("idempotency-key", "colour-2")]);
    let asks = |text: &str| body(text).to_string();
    let failed = ann.send("POST", "/v1/chat/completions", &key, &asks("Which colour?")).await.expect(502);
    let talk = failed.header("x-cardea-conversation").to_owned();
    let within = [("x-cardea-conversation", talk.as_str())];
    let _: Reply =
        ann.send("POST", "/v1/chat/completions", &within, &asks("Is it painted?")).await.expect(200);
    let told = ann.send("POST", "/v1/chat/completions", &key, &asks("Which colour?")).await.expect(200);
    assert_eq!(told.header("x-cardea-conversation"), talk);
    let seen = world.model().seen().last().unwrap().body["messages"].to_string();
    assert!(seen.contains("Is it painted?") && seen.contains("It is green."), "{seen}");
}

#[tokio::test]
async fn what_will_fail_again_is_not_sent_again_and_what_may_pass_is_told_when() {
    let ann = |world: &World| world.user("support");
    let rejected = Act::Status(400, None, r#"{"error":{"message":"no such parameter"}}"#.into());
    let world = painter([rejected.clone(), rejected]).await;
    for model in ["agent/scripted", "scripted"] {
        let mut body = body("Hello?");
        body["model"] = json!(model);
        let told = sends_as_an_sdk(&ann(&world), &[], &body).await.expect(502);
        assert_eq!((told.header("x-should-retry"), told.header("retry-after")), ("false", ""), "{model}");
    }
    assert_eq!(world.model().seen().len(), 2, "each was asked once");

    let world = painter([Act::Status(401, None, "{}".into())]).await;
    let told = sends_as_an_sdk(&ann(&world), &[], &body("Hello?")).await.expect(500);
    assert_eq!((told.at("/error/code"), world.model().seen().len()), ("misconfigured", 1));

    let world = painter([Act::busy(Some("7")), Act::busy(Some("7"))]).await;
    for model in ["agent/scripted", "scripted"] {
        let mut body = body("Hello?");
        body["model"] = json!(model);
        let told = ann(&world).post("/v1/chat/completions", &body).await.expect(502);
        assert_eq!((told.header("retry-after"), told.header("x-should-retry")), ("7", ""), "{model}");
    }
}

/// Told when somebody waits behind it, and when to let them through.
#[derive(Debug, Clone, Default)]
pub(super) struct Door(pub(super) Arc<(Notify, Notify, AtomicU64)>);

async fn pass(State(door): State<Door>) -> cardea_mcp::Result<Value> {
    door.0.2.fetch_add(1, Ordering::SeqCst);
    door.0.0.notify_one();
    door.0.1.notified().await;
    Ok(json!({ "paid": true }))
}

const OWN: &str = r#"
@id("support-works-there") @reason("support works there.")
permit (principal in Role::"support", action, resource in Server::"own");
"#;

/// A world whose one tool writes, and then waits at the door.
pub(super) async fn behind_a_door(acts: impl IntoIterator<Item = Act>) -> (World, Door) {
    let door = Door::default();
    let slow = Tool::new("slow", pass).about("Takes its time.").guard(RequireAuth);
    let server = Server::new("own", "1.0.0").state(door.clone()).tool(slow);
    (World::plan().tools(server).model(acts).policies(OWN).start().await, door)
}

pub(super) fn slow() -> Act {
    Act::call("own__slow", json!({}))
}

#[tokio::test]
async fn a_turn_whose_end_cannot_be_written_is_named_and_goes_on_and_nobody_is_told_to_repeat_it() {
    ends_unwritten(&[], ("false", "")).await;
    // A key finds it again.
    ends_unwritten(&[("idempotency-key", "pay-1")], ("", "1")).await;
}

async fn ends_unwritten(headers: &[(&str, &str)], again: (&str, &str)) {
    let (world, door) = behind_a_door([slow(), Act::say("Paid.")]).await;
    let ann = world.user("support");
    let text = body("Pay.").to_string();
    let asking = ann.send("POST", "/v1/chat/completions", headers, &text);
    let away = async {
        door.0.0.notified().await;
        world.app.db.close().await; // the work is done, and its outcome cannot be written
        door.0.1.notify_one();
    };
    let (told, ()) = tokio::join!(asking, away);
    let told = told.expect(503);
    assert_eq!(told.at("/error/code"), "store_unavailable", "{}", told.text);
    assert!(told.at("/error/message").contains("has begun, and goes on by itself"), "{}", told.text);
    assert_eq!((told.header("x-should-retry"), told.header("retry-after")), again);
    assert_eq!(told.header("x-cardea-conversation"), told.at("/error/conversation"));

    let url = ("CARDEA_DB__URL".to_owned(), world.app.config.db.url.clone());
    let loaded = Config::load(&world.folder().join("cardea.toml"), &Environment::from_iter([url])).unwrap();
    let clock = Arc::<ManualClock>::clone(&world.clock);
    let second = App::build(loaded, Options { clock, ..Options::default() }).await.unwrap();
    second.start().await.unwrap();
    let sql = "SELECT id, state FROM turns";
    let ended = async {
        loop {
            let rows: Vec<(String, String)> = second.db.rows(sql, Vec::new()).await.unwrap();
            assert_eq!((rows.len(), rows[0].0.as_str()), (1, told.at("/error/turn")));
            if rows[0].1 != "running" {
                return rows[0].1.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    assert_eq!((ended.as_str(), door.0.2.load(Ordering::SeqCst)), ("unknown", 1), "it was done once");
}

#[tokio::test]
async fn a_key_that_is_in_use_names_its_turn_and_so_does_a_busy_conversation() {
    let (world, door) = behind_a_door([slow(), Act::say("Paid.")]).await;
    let ann = world.user("support");
    let key = [("idempotency-key", "pay-1")];
    let text = body("Pay.").to_string();
    let first = ann.send("POST", "/v1/chat/completions", &key, &text);
    let second = async {
        door.0.0.notified().await;
        let busy = ann.send("POST", "/v1/chat/completions", &key, &text).await.expect(409);
        assert_eq!(busy.at("/error/code"), "in_progress");
        let own = json!({ "agent": "scripted", "message": "Pay." }).to_string();
        let same = ann.send("POST", "/api/v1/turns", &key, &own).await.expect(409);
        assert_eq!((same.at("/turn"), same.header("retry-after")), (busy.at("/error/turn"), "1"));
        let talk = busy.at("/error/conversation");
        assert_eq!(talk, busy.header("x-cardea-conversation"));
        let held = ann.goes_on(talk, "Are you there?").await.reply.expect(409);
        assert_eq!((held.at("/code"), held.at("/turn")), ("conversation_busy", busy.at("/error/turn")));
        let followed = ann.get(&format!("/api/v1/turns/{}", busy.at("/error/turn"))).await.expect(200);
        assert_eq!(followed.at("/status"), "running");
        door.0.1.notify_one();
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.expect(200).at("/choices/0/message/content"), "Paid.");
}

/// One try of a client library: the request, sent for the n-th time.
async fn tries(user: &User, count: &str, body: &Value) -> Reply {
    let headers = [("x-stainless-retry-count", count)];
    user.send("POST", "/v1/chat/completions", &headers, &body.to_string()).await
}

/// The same, and the client hangs up once the work is under way.
async fn hangs_up((world, door): (&World, &Door), user: &User, body: &Value) {
    {
        let mut first = std::pin::pin!(tries(user, "0", body));
        tokio::select! {
            reply = &mut first => panic!("it was not waited for: {}", reply.text),
            () = door.0.0.notified() => {}
        }
    }
    while world.app.turns.unheard().count() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_hung_up_and_comes_again_by_itself_gets_the_answer_of_its_first_try() {
    let (paid, again) = (|| Act::say("Paid."), Act::say("Paid again."));
    let acts = [slow(), paid(), slow(), again, slow(), slow(), paid(), paid(), Act::say("All is paid.")];
    let (world, door) = behind_a_door(acts).await;
    let (ann, body) = (world.user("support"), body("Pay."));
    let says = |reply: Reply| reply.expect(200).at("/choices/0/message/content").to_owned();
    let done = || door.0.2.load(Ordering::SeqCst);
    let open = async || {
        door.0.0.notified().await;
        door.0.1.notify_one();
    };
    hangs_up((&world, &door), &ann, &body).await;
    door.0.1.notify_one();
    assert_eq!((says(tries(&ann, "1", &body).await).as_str(), done()), ("Paid.", 1));
    let talks = ann.get("/api/v1/conversations").await.expect(200);
    assert_eq!(talks.body["conversations"].as_array().unwrap().len(), 1, "{}", talks.text);

    // Who says the same once more on purpose, wants it done once more.
    let (meant, ()) = tokio::join!(tries(&ann, "0", &body), open());
    assert_eq!((says(meant).as_str(), done()), ("Paid again.", 2));

    // Somebody else who says the same has not asked before.
    hangs_up((&world, &door), &ann, &body).await;
    let eve = world.person(("acme", "eve"), &["support"], &["read", "write"]);
    let both = async {
        open().await; // one of the two that wait
        door.0.1.notify_one();
    };
    let (hers, ()) = tokio::join!(tries(&eve, "1", &body), both);
    assert_eq!((says(hers).as_str(), done(), world.app.turns.unheard().count()), ("Paid.", 4, 1));

    // A library comes back within seconds; whoever comes after a minute asks anew.
    world.clock.advance(Millis::from_secs(61));
    assert_eq!((says(tries(&ann, "1", &body).await).as_str(), done()), ("All is paid.", 4));
}

#[tokio::test]
async fn a_key_is_remembered_for_as_long_as_its_turn_waits_for_a_person_and_a_day_longer() {
    let world = World::start().await;
    let body = json!({ "agent": "support", "message": "Refund 150 for order 17, please." }).to_string();
    let key = [("idempotency-key", "refund-1")];
    let send = async || world.user("support").send("POST", "/api/v1/turns", &key, &body).await;
    let first = send().await.expect(202);
    let hours = |hours: u64| world.clock.advance(Millis::from_secs(hours * 3_600));
    hours(25);
    assert_eq!(send().await.expect(202).at("/turn"), first.at("/turn"), "it still waits");
    let approval = format!("/api/v1/approvals/{}", first.at("/approval"));
    drop(world.user("supervisor").post(&approval, &json!({ "decision": "reject" })).await.expect(200));
    while send().await.at("/status") != "answered" {}
    hours(23);
    assert_eq!(send().await.expect(200).at("/turn"), first.at("/turn"));
    hours(2);
    assert_ne!(send().await.at("/turn"), first.at("/turn"), "a day after its end it is forgotten");
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn one_key_for_two_requests_that_differ_in_anything_that_counts_is_refused() {
    let world = World::with_model([Act::say("Hello.")]).await;
    let ann = world.user("support");
    let key = [("idempotency-key", "hello-1")];
    let with = |member: &str, value: Value| {
        let mut body = body("Hello?");
        body["temperature"] = json!(0.5);
        body[member] = value;
        body
    };
    let send = async |body: Value| ann.send("POST", "/v1/chat/completions", &key, &body.to_string()).await;
    let first = send(with("temperature", json!(0.5))).await.expect(200);
    for same in [with("stream", json!(false)), with("seed", Value::Null), with("stop", json!([]))] {
        assert_eq!(send(same).await.expect(200).at("/id"), first.at("/id"));
    }
    for (member, value) in [
        ("temperature", json!(0.3)),
        ("temperature", Value::Null),
        ("max_tokens", json!(7)),
        ("user", json!("somebody")),
        ("messages", json!([{ "role": "user", "content": "Hello again?" }])),
    ] {
        let refused = send(with(member, value.clone())).await;
        assert_eq!(refused.status, 422, "{member} = {value}: {}", refused.text);
        assert_eq!(refused.at("/error/code"), "idempotency_key_reused");
    }
    assert_eq!(world.model().seen().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_followed_after_its_end_says_that_there_is_no_more() {
    let world = World::with_model([Act::say("Hello.")]).await;
    let ann = world.user("support");
    let asked = ann.asks("Hello?").await;
    let path = format!("/api/v1/turns/{}/events", asked.turn());
    let last = ann.follows(asked.turn(), None).await.pop().unwrap();
    for seen in [last.id.as_str(), "999"] {
        let over = ann.send("GET", &path, &[("last-event-id", seen)], "").await.expect(204);
        assert_eq!(over.text, "");
    }
    let talk = format!("/api/v1/conversations/{}/messages", asked.conversation());
    for path in [path.as_str(), &talk, "/api/v1/conversations", "/v1/models"] {
        assert_eq!(ann.get(path).await.expect(200).header("cache-control"), "no-store", "{path}");
    }
    let made = world.user("admin").post("/api/v1/keys", &json!({})).await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
}

//! Neighbours that fail, clocks that jump, and an end in the middle of work. Each row of docs/RELIABILITY.md that is
//! proved names a test of this kind.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::Arc,
    time::{Duration, Instant},
};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
    control::{Answer, Choice},
    flow::resume_one,
    observe::{Checkpoints, verify},
    turn::Free,
    vault::RootKey,
};
use cardea_auth::VerifiedClaims;
use cardea_core::{
    Code,
    time::{Clock as _, ManualClock, Millis, SystemClock},
};
use cardea_mcp::{Server, State, Tool, guard::RequireAuth};
use cardea_store::Engine;
use cardea_testkit::{
    World,
    chaos::Weather,
    model::Act,
    world::{Service, TENANT},
};
use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// The code that a turn ended with.
async fn ends_with(world: &World, question: &str) -> (String, String) {
    let receipt = world.user("support").asks(question).await.ends().await;
    let text = |pointer: &str| {
        receipt.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    (text("/status"), text("/error/code"))
}

#[tokio::test]
async fn whatever_a_model_does_the_turn_ends_with_its_own_word_and_nothing_unscreened() {
    let card = "My card is 4111 1111 1111 1111";
    let acts = [
        (Act::Silent, "model_silent"),
        (Act::SilentAfterHead, "model_silent"),
        (Act::SilentAfter(card.into()), "model_silent"),
        (Act::LostAfter(card.into()), "model_failed"),
        (Act::EndsEarly(card.into()), "model_failed"),
        (Act::Then("Well, ".into(), b"data: {garbage\n\n".to_vec()), "model_failed"),
        (Act::Status(500, None, "oops".into()), "model_failed"),
        (Act::Document("text/html", "<h1>hello</h1>".into()), "model_failed"),
        (Act::Empty, "model_failed"),
    ];
    for (act, code) in acts {
        let story = format!("{act:?}").chars().take(60).collect::<String>();
        let plan = World::plan()
            .model([act])
            .set("CARDEA_MODELS__TIMEOUTS__FIRST", "1s")
            .set("CARDEA_MODELS__TIMEOUTS__IDLE", "1s")
            .set("CARDEA_MODELS__TIMEOUTS__TOTAL", "20s");
        let world = plan.start().await;
        let receipt = world.user("support").asks("Hello?").await.ends().await;
        assert_eq!(
            (&receipt["status"], &receipt["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{story}: {receipt}"
        );
        let talk = receipt["conversation"].as_str().unwrap();
        let said =
            world.user("support").get(&format!("/api/v1/conversations/{talk}/messages")).await.expect(200);
        assert!(!said.text.contains("4111 1111"), "{story}: {}", said.text);
        // The next question is answered as ever, by the model that needs no network.
        let other = json!({ "agent": "support", "message": "What is the status of order 17?" });
        let next = world.user("support").post("/api/v1/turns", &other).await.expect(200);
        assert!(next.at("/answer").contains("delivered"), "{story}: {}", next.text);
    }
}

#[tokio::test]
async fn an_upstream_that_works_and_does_not_answer_is_asked_again_only_where_that_is_harmless() {
    let comment = json!({ "ticket_id": 6, "body": "Only once." });
    let refund = json!({ "order_id": "ORD-17", "amount": 5 });
    let script = [
        Act::call("ops__add_ticket_comment", comment),
        Act::call("ops__process_refund", refund),
        Act::say("Paid."),
    ];
    let plan = World::plan().model(script).wire_to_shop().set("CARDEA_UPSTREAMS__OPS__TIMEOUT", "700ms");
    let world = plan.start().await;
    let ann = world.user("support");
    drop(
        ann.post(
            "/api/v1/turns",
            &json!({ "agent": "support", "message": "What is the status of order 3?" }),
        )
        .await,
    );
    let before = world.shop().comments(6).await;
    world.wire().set(Weather::LoseAnswers);
    assert_eq!(
        ends_with(&world, "Write that down.").await,
        ("unknown".to_owned(), "upstream_unknown".to_owned())
    );
    assert_eq!(world.shop().comments(6).await, before + 1, "it was sent once, and nobody knows");

    // A refund carries its key: it is asked for again, and paid once.
    let paid = async {
        while world.shop().refunds(17).await == 0 {
            tokio::task::yield_now().await;
        }
        world.wire().set(Weather::Fair);
    };
    let (asked, ()) = tokio::join!(ann.asks("Refund order 17."), paid);
    let receipt = asked.ends().await;
    assert_eq!(receipt["tools"][0]["state"], "done", "{receipt}");
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn an_upstream_that_is_away_fails_the_call_and_is_used_again_when_it_is_back() {
    let look = || Act::call("ops__get_order", json!({ "order_id": "ORD-17" }));
    let script = [look(), Act::say("I could not look."), look(), Act::say("It is delivered.")];
    let plan = World::plan().model(script).wire_to_shop().set("CARDEA_UPSTREAMS__OPS__TIMEOUT", "700ms");
    let world = plan.start().await;
    let ann = world.user("support");
    world.wire().set(Weather::Refuse);
    let away = ann.asks("Where is order 17?").await.answers("could not").await;
    assert_eq!(away["tools"][0]["state"], "failed", "{away}");
    let told = world.model().seen().last().unwrap().body.to_string();
    assert!(told.contains("did not answer") && !told.contains("answered with an error"), "{told}");
    world.wire().set(Weather::Fair);
    world.clock.advance(Millis::from_secs(10)); // the breaker's pause
    let back = ann.asks("And now, where is order 17?").await.answers("delivered").await;
    assert_eq!(back["tools"][0]["state"], "done", "{back}");
}

#[tokio::test]
async fn an_upstream_that_was_away_at_the_start_is_there_a_moment_after_it_came_even_beside_a_connector() {
    let manifest = "[connector]\nname = \"demo\"\nbase = \"BASE\"\n[[operation]]\nname = \"look\"\nabout = \"Look.\"\n\
                    effect = \"read\"\nrequest = { method = \"GET\", path = \"/look\" }\n";
    let plan = World::plan().shop_is_away().connector(Service::start().await, manifest);
    let world = plan.start().await;
    let start = Instant::now();
    world.wire().set(Weather::Fair);
    world.clock.advance(Millis::from_secs(10)); // the breaker's pause
    while !world.app.control.knows(&"ops__get_order".into()) {
        assert!(start.elapsed() < Duration::from_secs(20), "it is asked again in a minute, not in a second");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.user("support").asks("What is the status of order 17?").await.answers("delivered").await;
}

#[tokio::test]
async fn a_policy_may_name_a_tool_in_its_condition_whose_upstream_is_away_at_the_start() {
    let policy = "@id(\"no-notes\") @reason(\"no notes today.\") forbid (principal, action in Action::\"call\", resource)\n\
                  when { [Action::\"ops__get_order\"].contains(action) };\n";
    let world = World::plan().shop_is_away().policies(policy).start().await;
    let start = Instant::now();
    world.wire().set(Weather::Fair);
    world.clock.advance(Millis::from_secs(10)); // the breaker's pause
    while !world.app.control.knows(&"ops__get_order".into()) {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = world.user("support").asks("What is the status of order 17?").await.ends().await;
    let used = told["tools"]
        .as_array()
        .unwrap()
        .iter()
        .any(|tool| tool["tool"] == "ops__get_order" && tool["state"] == "done");
    assert!(!used, "{told}"); // another tool may know it as well
}

#[tokio::test]
async fn a_clock_that_jumps_lets_no_old_token_in_and_breaks_no_order() {
    let world = World::with_model([Act::say("One."), Act::say("Two."), Act::say("Three.")]).await;
    let now = world.clock.now();
    let early = world.user("support");
    let first = early.asks("First?").await;
    first.answers("One.").await;
    world.clock.advance(Millis::from_secs(30 * 86_400));
    drop(early.get("/api/v1/agents").await.expect(401));
    let late = world.user("support");
    let unused = world.user("analyst");
    late.goes_on(first.conversation(), "Second?").await.answers("Two.").await;
    // Backwards: a token from the future is not good yet.
    world.clock.set(now.minus(Millis::from_secs(3_600)));
    drop(unused.get("/api/v1/agents").await.expect(401));
    let again = world.user("support");
    again.goes_on(first.conversation(), "Third?").await.answers("Three.").await;
    let said =
        again.get(&format!("/api/v1/conversations/{}/messages", first.conversation())).await.expect(200);
    let order: Vec<i64> =
        said.body["messages"].as_array().unwrap().iter().filter_map(|one| one["seq"].as_i64()).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6], "{}", said.text);
    let data = &world.app.config.data.dir;
    let key = RootKey::load(&world.app.config.vault, data).unwrap().chain_key();
    verify(&world.app.db, &key, &Checkpoints::default()).await.unwrap();
}

/// Told when somebody waits behind it, and when to let them through.
#[derive(Debug, Clone, Default)]
struct Door(Arc<(Notify, Notify)>);

async fn pass(State(door): State<Door>) -> cardea_mcp::Result<Value> {
    door.0.0.notify_one();
    door.0.1.notified().await;
    Ok(json!({ "paid": true }))
}

const OWN: &str = r#"
@id("support-works-there") @reason("support works there.")
permit (principal in Role::"support", action, resource in Server::"own");
"#;

#[tokio::test]
async fn an_orderly_end_answers_the_mcp_calls_in_hand() {
    let door = Door::default();
    let slow = Tool::new("slow", pass).about("Takes its time.").guard(RequireAuth);
    let server = Server::new("own", "1.0.0").state(door.clone()).tool(slow);
    let (done, wait) = (&door.0.1, &door.0.0);
    let world = World::plan().tools(server).policies(OWN).start().await;
    let client = world.user("support").mcp(false).await.unwrap();
    let stop = async {
        wait.notified().await;
        let stopped = world.app.stop();
        let served = async {
            while !world.app.jobs.draining() {
                tokio::task::yield_now().await;
            }
            done.notify_one();
        };
        tokio::join!(stopped, served)
    };
    let (answer, _) = tokio::join!(client.call_tool(CallToolRequestParams::new("own__slow")), stop);
    assert_eq!(answer.unwrap().structured_content, Some(json!({ "paid": true })));
}

#[tokio::test]
async fn what_was_approved_while_its_service_was_away_is_done_when_it_is_back() {
    let world = World::plan().wire_to_shop().start().await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    world.app.stop().await;
    world.wire().set(Weather::Refuse);
    let url = ("CARDEA_DB__URL".to_owned(), world.app.config.db.url.clone());
    let loaded = Config::load(&world.folder().join("cardea.toml"), &Environment::from_iter([url])).unwrap();
    let options = Options { clock: Arc::<ManualClock>::clone(&world.clock), ..Options::default() };
    let again = App::build(loaded, options).await.unwrap();
    again.start().await.unwrap();
    let sue = again.auth.embedded(VerifiedClaims::new(TENANT, "sue").role("supervisor")).unwrap();
    let id = turn.approval().parse().unwrap();
    let yes = Answer { choice: Choice::Approve, comment: "" };
    again.control.decide(&sue, id, yes, None).await.unwrap();
    let (mut state, sql) = (String::new(), "SELECT state, waiting_for, fence, receipt FROM turns");
    let free = Free { id: turn.turn().parse().unwrap(), agent: "support".into() };
    let mut looks = 0;
    while looks < 3 {
        // Nobody is there: whoever looks leaves the turn as it is, and its owner sees what it waits for.
        match resume_one(&again, &free).await {
            Ok(()) => tokio::task::yield_now().await, // the watch has it in hand
            Err(error) => {
                assert_eq!(error.code(), Code::UpstreamSilent, "{error:?}");
                looks += 1;
            }
        }
        let rows: Vec<(String, Option<String>, i64, Option<String>)> =
            again.db.rows(sql, Vec::new()).await.unwrap();
        let (state, waits, fence, receipt) = &rows[0];
        assert_eq!((state.as_str(), waits.as_deref(), *fence), ("waiting", Some(turn.approval()), 1));
        assert!(receipt.as_ref().unwrap().contains(turn.approval()), "{receipt:?}");
    }
    world.wire().set(Weather::Fair);
    let sql = "SELECT state, waiting_for FROM turns";
    let paid = async {
        while state != "answered" {
            let rows: Vec<(String, Option<String>)> = again.db.rows(sql, Vec::new()).await.unwrap();
            assert!(["waiting", "running", "answered"].contains(&rows[0].0.as_str()), "{rows:?}");
            world.clock.set(SystemClock.now()); // the shop's: tokens of a clock that runs ahead are refused
            state.clone_from(&rows[0].0);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), paid).await.expect("it goes on");
    let told: Vec<(Option<String>, String)> =
        again.db.rows("SELECT outcome, state FROM steps", Vec::new()).await.unwrap();
    assert_eq!(world.shop().refunds(17).await, 1, "{told:?}");
    again.stop().await;
}

#[tokio::test]
async fn what_was_approved_while_the_keys_of_people_were_away_is_done_when_they_are_back() {
    let refund = Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 }));
    let world = World::with_model([refund, Act::say("It is refunded.")]).await;
    let turn = world.user("support").asks("Refund 150 for order 17. My card is 4111 1111 1111 1111.").await;
    turn.waits_for_approval("ops__process_refund").await;
    let people = world.app.config.data.dir.join("people");
    let elsewhere = people.with_extension("away");
    fs::rename(&people, &elsewhere).unwrap();
    match world.app.db.engine() {
        Engine::Postgres => fs::create_dir(&people).unwrap(), // what stands there while nothing is mounted
        Engine::Sqlite => fs::write(&people, "").unwrap(), // as a mount that answers with errors: it has no id there
    }
    world.user("supervisor").approves(&turn).await;
    let free = Free { id: turn.turn().parse().unwrap(), agent: "support".into() };
    let mut looks = 0;
    while looks < 3 {
        match resume_one(&world.app, &free).await {
            Ok(()) => tokio::task::yield_now().await, // the watch has it in hand
            Err(told) => {
                assert_eq!(told.code(), Code::StoreUnavailable, "{told:?}");
                looks += 1;
            }
        }
        let sql = "SELECT state, tries FROM turns";
        let rows: Vec<(String, i64)> = world.app.db.rows(sql, Vec::new()).await.unwrap();
        assert_eq!(rows, [("waiting".to_owned(), 0)]);
    }
    // In one step: a look in between would find neither.
    match world.app.db.engine() {
        Engine::Postgres => fs::rename(&elsewhere, &people).unwrap(),
        Engine::Sqlite => {
            let link = people.with_extension("link");
            symlink(&elsewhere, &link).and_then(|()| fs::rename(&link, &people)).unwrap();
        }
    }
    turn.answers("It is refunded.").await;
    assert_eq!(world.shop().refunds(17).await, 1);
    let entries = world.audit().await.entries;
    assert!(entries.iter().all(|entry| entry["event"] != "secret.refused"), "{entries:?}");
}

#[tokio::test]
async fn a_folder_of_keys_that_is_away_holds_up_nothing_that_needs_no_key() {
    let refund = || Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 }));
    let world =
        World::with_model([refund(), refund(), Act::say("It is refunded."), Act::say("Hello.")]).await;
    let (ann, sue) = (world.user("support"), world.user("supervisor"));
    let plain = ann.asks("Refund 150 for order 17.").await;
    plain.waits_for_approval("ops__process_refund").await;
    let masked = ann.asks("Refund 150 for order 17. My card is 4111 1111 1111 1111.").await;
    masked.waits_for_approval("ops__process_refund").await;
    let people = world.app.config.data.dir.join("people");
    fs::rename(&people, people.with_extension("away")).unwrap();
    fs::write(&people, "").unwrap(); // as a mount that answers with errors
    sue.approves(&plain).await;
    plain.answers("It is refunded.").await;
    drop(ann.post(&format!("/api/v1/turns/{}/cancel", masked.turn()), &json!({})).await.expect(200));
    assert_eq!(masked.ends().await["error"]["code"], "cancelled");
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn an_orderly_end_takes_no_new_work_and_records_the_work_in_hand() {
    let slow = Act::Drip("Slowly but surely.".into(), Duration::from_millis(1));
    let script = [Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 5 })), slow];
    let world = World::with_model(script).await;
    let ann = world.user("support");
    let ending = async {
        while world.model().seen().len() < 2 {
            tokio::task::yield_now().await;
        }
        let refused = async {
            while !world.app.jobs.draining() {
                tokio::task::yield_now().await;
            }
            let eve = world.app.auth.embedded(VerifiedClaims::new("acme", "eve").role("support")).unwrap();
            let refused = world.app.agent("support").chat(&eve, None, "One more?").await.unwrap_err();
            assert_eq!(refused.code(), Code::Draining);
        };
        tokio::join!(world.app.stop(), refused)
    };
    let (asked, _) = tokio::join!(ann.asks("Refund order 17."), ending);
    let reply = &asked.reply;
    assert_eq!((reply.status, reply.at("/answer")), (200, "Slowly but surely."), "{}", reply.text);
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_work_that_the_end_cuts_off_is_told_so_and_not_to_ask_again() {
    let long = || Act::Drip("Slowly. ".repeat(5_000), Duration::from_millis(5));
    let plan = World::plan().model([(); 5].map(|()| long())).set("CARDEA_SERVER__DRAIN", "2s");
    let world = plan.start().await;
    let ann = world.user("support");
    let asks = |model: &str, stream: bool, text: &str| json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": text }] });
    let path = "/v1/chat/completions";
    let (agent, streamed) = (asks("agent/scripted", false, "One?"), asks("agent/scripted", true, "Two?"));
    let (bare, dripped) = (asks("scripted", false, "Three?"), asks("scripted", true, "Four?"));
    let ending = async {
        while world.model().seen().len() < 5 {
            tokio::task::yield_now().await;
        }
        world.app.stop().await;
    };
    let (agent, streamed, bare, dripped, own, ()) = tokio::join!(
        ann.post(path, &agent),
        ann.post(path, &streamed),
        ann.post(path, &bare),
        ann.post(path, &dripped),
        ann.asks("Five?"),
        ending
    );
    let bare = bare.expect(503); // nothing of it goes on
    assert_eq!(bare.at("/error/code"), "draining", "{}", bare.text);
    assert!(!bare.header("retry-after").is_empty() && bare.header("x-should-retry") != "false");
    for (told, code) in [(agent, "/error/code"), (own.reply, "/code")] {
        let told = told.expect(503);
        assert_eq!((told.at(code), told.header("x-should-retry")), ("draining", "false"), "{}", told.text);
        assert_eq!(told.header("retry-after"), "");
    }
    for told in [streamed, dripped] {
        let events = told.expect(200).events();
        let [.., error, done] = &events[..] else { panic!("{events:?}") };
        assert_eq!(done.data, "[DONE]");
        assert_eq!(error.json()["error"]["code"], "draining", "{error:?}");
    }
}

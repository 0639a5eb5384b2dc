use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cardea_core::time::Millis;
use cardea_store::Jobs;
use cardea_testkit::{
    World,
    chaos::{ChaosProxy, Weather},
    model::Act,
    world::{Say, Service, User},
};
use serde_json::{Value, json};

use super::limits::{POLICIES, SLOW};

const ASKED: &str = "How do I reset my password?";
const REWORDED: &str = "How can I reset my password?";

async fn layer(user: &User, text: &str) -> (String, String) {
    let receipt = user.asks(text).await.ends().await;
    let word = |key: &str| receipt[key].as_str().unwrap_or_default().to_owned();
    (word("cache"), word("answer"))
}

fn pair(layer: &str, answer: &str) -> (String, String) {
    (layer.to_owned(), answer.to_owned())
}

/// Until no check of a cached answer is at work.
async fn checked(world: &World) {
    while world.app.jobs.names().contains(&"cache check") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wrong_answer_from_the_cache_is_found_out_taken_out_and_told() {
    let script = [
        Act::say("Press the button on page 5."),
        Act::say("Press the button on page 7."),
        Act::say("Press the button on page 7."),
    ];
    let world = World::plan().set("CARDEA_CACHE__CHECK__SHARE", "1").model(script).start().await;
    let ann = world.user("support");
    assert_eq!(layer(&ann, ASKED).await, pair("none", "Press the button on page 5."));
    assert_eq!(layer(&ann, REWORDED).await, pair("semantic", "Press the button on page 5."));
    checked(&world).await;
    world.audit().await.tells(["turn.asked", "turn.ended", "cache.wrong", "turn.ended"]);
    let told = world.audit().await.entries;
    let wrong = told.iter().find(|entry| entry["event"] == "cache.wrong").unwrap();
    assert!(wrong["detail"]["asked"].as_str().unwrap().len() == 64 && wrong["turn"].is_string(), "{wrong}");
    let check = told.iter().find(|entry| entry["detail"]["kind"] == "check").unwrap();
    assert_eq!(check["turn"], wrong["turn"], "the check is a turn of its own, in the log as any other");
    // The fresh answer counts for the question it answers; the wrong one is gone for its own as well.
    assert_eq!(layer(&ann, REWORDED).await, pair("exact", "Press the button on page 7."));
    assert_eq!(layer(&ann, ASKED).await, pair("semantic", "Press the button on page 7."));
    checked(&world).await;

    let auditor = world.person(("acme", "odit"), &["auditor"], &[]);
    let stats = auditor.get("/api/v1/cache").await.expect(200).body;
    let of = |layer: &str| -> Value {
        let layers = stats["layers"].as_array().unwrap();
        layers.iter().find(|line| line["layer"] == layer && line["agent"] == "scripted").unwrap().clone()
    };
    assert_eq!(
        (of("semantic")["errors"].as_u64(), of("exact")["hits"].as_u64()),
        (Some(1), Some(1)),
        "{stats}"
    );
    assert!(stats["scopes"][0]["strain"].as_f64().unwrap() > 0.0, "{stats}");
    drop(ann.get("/api/v1/cache").await.expect(403));
    let metrics = world.stranger().get("/metrics").await.text;
    assert!(
        metrics.contains("cardea_cache_checks_total{agent=\"scripted\",result=\"wrong\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_check_ends_with_the_conversation_whose_words_it_sends() {
    let script =
        [Act::say("Press the button on page 5."), Act::call("demo__look", json!({})), Act::say("never said")];
    let plan = World::plan().set("CARDEA_CACHE__CHECK__SHARE", "1").model(script).policies(POLICIES);
    let world = plan.connector(Service::start().await, SLOW).start().await;
    let late = Say::Late(Duration::from_millis(400), 200, json!({ "page": 7 }));
    world.service().says("GET /look", [late]);
    let ann = world.user("support");
    assert_eq!(layer(&ann, ASKED).await, pair("none", "Press the button on page 5."));
    let again = ann.asks(REWORDED).await;
    while world.service().lines().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(ann.delete(&format!("/api/v1/conversations/{}", again.conversation())).await.expect(204));
    checked(&world).await;
    assert_eq!(world.model().seen().len(), 2, "deleted words go nowhere");
    let sql = "SELECT code FROM turns WHERE kind = 'check'";
    let ended: Vec<(Option<String>,)> = world.app.db.rows(sql, Vec::new()).await.unwrap();
    assert_eq!(ended, [(Some("cancelled".to_owned()),)]);
}

#[tokio::test]
async fn a_question_of_one_conversation_is_not_answered_from_another() {
    let script = ["Noted.", "Main Street 1.", "Noted as well.", "Harbour Road 2."].map(Act::say);
    let world = World::plan().model(script).start().await;
    let ann = world.user("support");
    let question = "What delivery address is on the order?";
    for (order, street) in [("ORD-1 of Anna", "Main Street 1."), ("ORD-2 of Bert", "Harbour Road 2.")] {
        let talk = ann.asks(&format!("Let us look at order {order} now")).await;
        let receipt = ann.goes_on(talk.conversation(), question).await.answers(street).await;
        assert_eq!(receipt["cache"], "none", "{receipt}");
    }
}

/// A model that looks something up and then says what it has found.
fn look(tool: &str, arguments: Value) -> [Act; 2] {
    [Act::call(tool, arguments), Act::say("Nothing was paid back.")]
}

#[tokio::test]
async fn an_answer_from_the_cache_is_as_tainted_as_the_turn_that_made_it() {
    let script = [look("ops__get_order", json!({ "order_id": "ORD-18" })), ["Hello.", "Bye."].map(Act::say)];
    let world = World::plan().model(script.concat()).start().await;
    let ann = world.user("support");
    let question = "What was paid back of order 18?";
    assert_eq!(layer(&ann, question).await, pair("none", "Nothing was paid back."));
    assert_eq!(layer(&ann, question).await, pair("exact", "Nothing was paid back."));
    let sql = "SELECT taint FROM turns ORDER BY started_at, id";
    let taint: Vec<(String,)> = world.app.db.rows(sql, Vec::new()).await.unwrap();
    let mut taint: Vec<&str> = taint.iter().map(|(taint,)| taint.as_str()).collect();
    taint.sort_unstable();
    assert_eq!(taint, [r#"["cache","tool_result"]"#, r#"["tool_result"]"#]);
}

#[tokio::test]
async fn an_answer_is_as_fresh_as_what_it_tells_of() {
    let order = || look("ops__get_order", json!({ "order_id": "ORD-18" }));
    let list = || look("ops__list_orders", json!({ "customer_id": 17 }));
    let track = || look("ops__track_shipment", json!({ "order_id": "17" }));
    let refund = json!({ "order_id": "ORD-17", "amount": 10, "reason": "asked" });
    let paid = [Act::call("ops__process_refund", refund), Act::say("Done.")];
    let first = [order(), list(), track()].concat();
    let script = [first.clone(), paid.to_vec(), first.clone(), first].concat();
    let world = World::plan().model(script).start().await;
    let scopes = ["billing:read", "billing:write", "read", "write"];
    let (ann, bea) = (world.user("support"), world.person(("acme", "bea"), &["support"], &scopes));
    let questions =
        ["What was paid back for order 18?", "List what customer 17 ordered.", "Where is order 17?"];
    let all = async |want: &str| {
        for question in questions {
            assert_eq!(layer(&ann, question).await, pair(want, "Nothing was paid back."), "{question}");
        }
    };
    all("none").await;
    all("exact").await;
    assert_eq!(layer(&bea, "Pay 10 euros back for order 17, please.").await, pair("none", "Done."));
    all("none").await; // a colleague has changed what they tell of
    all("exact").await;
    world.clock.advance(Millis::from_secs(31));
    assert_eq!(layer(&ann, questions[0]).await.0, "exact", "its tool does not say how long it is good");
    assert_eq!(layer(&ann, questions[1]).await.0, "none", "30 s, says its tool");
    world.clock.advance(Millis::from_secs(300));
    assert_eq!(layer(&ann, questions[0]).await.0, "none");
}

#[tokio::test]
async fn an_answer_from_an_old_result_is_good_for_no_longer_than_the_result() {
    let list = || look("ops__list_orders", json!({ "customer_id": 17 }));
    let script = [list(), list(), list()].concat();
    let world = World::plan().model(script).start().await;
    let ann = world.user("support");
    assert_eq!(layer(&ann, "List what customer 17 ordered.").await.0, "none");
    world.clock.advance(Millis::from_secs(29)); // of the 30 that its tool gives the result
    let how_many = "How many orders does customer 17 have in all?";
    assert_eq!(layer(&ann, how_many).await.0, "none");
    assert_eq!(layer(&ann, how_many).await.0, "exact");
    world.clock.advance(Millis::from_secs(2));
    assert_eq!(layer(&ann, how_many).await.0, "none", "what it tells of is 31 s old");
}

#[tokio::test]
async fn a_bare_completion_is_given_again_to_the_letter_only() {
    let world = World::with_model((1..=9).map(|n| Act::say(&format!("Answer {n}.")))).await;
    let ann = world.user("support");
    let ask = async |text: &str| {
        let body = json!({ "model": "scripted", "messages": [{ "role": "user", "content": text }] });
        ann.post("/v1/chat/completions", &body).await.expect(200).at("/cardea/cache").to_owned()
    };
    for text in ["Explain `if x: y`", "explain `if x: y`", "Explain `if x:  y`", " Explain `if x: y`"] {
        assert_eq!((ask(text).await, ask(text).await), ("none".to_owned(), "exact".to_owned()), "{text}");
    }
    for text in ["Say hi", "say hi", "Say  hi", "Say hi!"] {
        assert_eq!((ask(text).await, ask(text).await), ("none".to_owned(), "exact".to_owned()), "{text}");
    }
}

#[tokio::test]
async fn an_answer_of_a_model_that_stands_in_is_not_kept() {
    let away = || Act::Status(503, None, String::new());
    let script = [away(), Act::say("Spare."), away(), Act::say("Spare."), Act::say("First.")];
    let names = "[models.aliases.spare]\nprovider = \"fake\"\nmodel = \"fake-1\"\n\
                 [models.aliases.first]\nprovider = \"fake\"\nmodel = \"fake-2\"\nfallback = [\"spare\"]\n";
    let plan = World::plan().set("CARDEA_MODELS__RETRIES", "0").configure(names).model(script);
    let world = plan.start().await;
    let ann = world.user("support");
    let body = json!({ "model": "first", "messages": [{ "role": "user", "content": "Hello there" }] });
    for (said, layer) in [("Spare.", "none"), ("Spare.", "none"), ("First.", "none"), ("First.", "exact")] {
        let reply = ann.post("/v1/chat/completions", &body).await.expect(200);
        assert_eq!((reply.at("/choices/0/message/content"), reply.at("/cardea/cache")), (said, layer));
    }
}

#[tokio::test]
async fn who_wants_another_answer_gets_another() {
    let world = World::with_model((1..=30).map(|n| Act::say(&format!("Answer {n}.")))).await;
    let ann = world.user("support");
    let ask = async |model: &str, more: &[(&str, &str)], sampling: Value| {
        let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "What is new?" }] });
        body.as_object_mut().unwrap().extend(sampling.as_object().unwrap().clone());
        let reply = ann.send("POST", "/v1/chat/completions", more, &body.to_string()).await.expect(200);
        pair(reply.at("/cardea/cache"), reply.at("/choices/0/message/content"))
    };
    for model in ["scripted", "agent/scripted"] {
        let plain = async |more: &[(&str, &str)]| ask(model, more, json!({})).await;
        let (first, exact) = (plain(&[]).await, plain(&[]).await);
        assert_eq!((first.0.as_str(), &exact), ("none", &pair("exact", &first.1)));
        let unkept = plain(&[("cache-control", "max-age=0, No-Store")]).await;
        assert_ne!(unkept.1, first.1);
        assert_eq!(plain(&[]).await, exact, "it was not kept");
        let fresh = plain(&[("cache-control", "no-cache")]).await;
        assert!(fresh.0 == "none" && fresh.1 != first.1, "{fresh:?}");
        assert_eq!(plain(&[]).await, pair("exact", &fresh.1), "the newer one");
    }
    let own = async |sampling: Value| ask("scripted", &[], sampling).await.0;
    for (sampling, want) in [
        (json!({ "temperature": 0.7 }), "none"),
        (json!({ "temperature": 0 }), "exact"),
        (json!({ "temperature": 0.7, "seed": 3 }), "exact"),
    ] {
        assert_eq!(own(sampling.clone()).await, "none");
        assert_eq!(own(sampling.clone()).await, want, "{sampling}");
    }
}

#[tokio::test]
async fn nobody_waits_for_an_answer_that_cannot_be_given_again() {
    let slow = Act::Drip("The door opens at nine.".into(), Duration::from_millis(2));
    let world = World::plan().model([slow]).start().await;
    let ann = world.user("support");
    let tools = json!([{ "type": "function", "function": { "name": "doors" } }]);
    for (asked, varied) in [json!({ "tools": tools }), json!({ "temperature": 1 })].into_iter().enumerate() {
        let mut body =
            json!({ "model": "scripted", "messages": [{ "role": "user", "content": "When does it open?" }] });
        body.as_object_mut().unwrap().extend(varied.as_object().unwrap().clone());
        let crowd = (0..4).map(|_| ann.post("/v1/chat/completions", &body));
        for reply in futures::future::join_all(crowd).await {
            assert_eq!(reply.expect(200).at("/cardea/cache"), "none");
        }
        assert_eq!(world.model().seen().len(), 4 * (asked + 1), "{varied}");
    }
}

#[tokio::test]
async fn a_check_reads_only_and_what_it_may_not_do_says_nothing() {
    let script = [
        Act::say("Order 17 can be refunded."),
        // The check's model wants to act. It is told that there is no such tool, and says something else.
        Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 10, "reason": "asked" })),
        Act::say("I have refunded order 99."),
    ];
    let world = World::plan().set("CARDEA_CACHE__CHECK__SHARE", "1").model(script).start().await;
    let ann = world.user("support");
    assert_eq!(layer(&ann, ASKED).await.0, "none");
    assert_eq!(layer(&ann, REWORDED).await.0, "semantic");
    checked(&world).await;
    assert_eq!(world.model().seen().len(), 3, "the check went the whole way");
    assert_eq!(world.shop().refunds(17).await, 0);
    let events = world.audit().await;
    assert!(!events.events().contains(&"cache.wrong"), "{:?}", events.events());
    assert!(events.events().contains(&"step.refused"), "{:?}", events.events());
    assert_eq!(layer(&ann, ASKED).await, pair("exact", "Order 17 can be refunded."), "it stays");
}

#[tokio::test]
async fn who_clears_their_own_leaves_what_others_of_the_same_name_have() {
    let world = World::with_model((1..=9).map(|n| Act::say(&format!("Answer {n}.")))).await;
    let (ann, admin) = (world.user("support"), world.user("admin"));
    let wanted = json!({ "user": "support", "roles": [], "scopes": [] });
    let key = world.holder(admin.post("/api/v1/keys", &wanted).await.expect(201).at("/key"));
    for (want, who) in [("none", &ann), ("none", &key), ("exact", &ann), ("exact", &key)] {
        assert_eq!(layer(who, "What is new?").await.0, want);
    }
    drop(ann.delete("/api/v1/cache").await.expect(200));
    assert_eq!(layer(&key, "What is new?").await.0, "exact", "of the same name by another issuer");
    assert_eq!(layer(&ann, "What is new?").await.0, "none");
    drop(admin.delete("/api/v1/cache?user=support").await.expect(200));
    for who in [&ann, &key] {
        assert_eq!(layer(who, "What is new?").await.0, "none", "an administrator names all of the name");
    }
}

#[tokio::test]
async fn who_clears_the_cache_very_often_waits() {
    let world = World::plan().set("CARDEA_LIMITS__PER_USER", "3/min").start().await;
    let ann = world.user("support");
    for status in [200, 200, 200, 429] {
        assert_eq!(ann.delete("/api/v1/cache").await.status, status);
    }
}

#[tokio::test]
async fn an_answer_is_shared_unless_policies_ask_who_it_is_for() {
    let all = "@id(\"all\") permit (principal, action, resource);";
    let but_bob = format!(
        "{all}\n@id(\"not-bob\") @reason(\"not for bob.\")\n\
         forbid (principal, action == Action::\"write\", resource) when {{ principal.user == \"bob\" }};"
    );
    for (policies, want) in [(all, "exact"), (&*but_bob, "none")] {
        let plan = World::plan().model(["One.", "Two."].map(Act::say)).policies(policies);
        let world = plan.agent("cache.scope = \"shared\"\n").start().await;
        let person = |name: &str| world.person(("acme", name), &["support"], &["read"]);
        assert_eq!(layer(&person("ann"), "What is new?").await.0, "none");
        assert_eq!(layer(&person("bob"), "What is new?").await.0, want, "{policies}");
    }
}

#[tokio::test]
async fn cached_answers_are_cleared_by_their_owner_and_by_the_tenants_administrator() {
    let world = World::with_model((1..=9).map(|n| Act::say(&format!("Answer {n}.")))).await;
    let (ann, admin) = (world.user("support"), world.user("admin"));
    let stranger = world.person(("other", "boss"), &["admin"], &[]);
    let ask = async |want: &str| assert_eq!(layer(&ann, "What is new?").await.0, want);
    ask("none").await;
    ask("exact").await;
    drop(ann.delete("/api/v1/cache?user=support").await.expect(403));
    drop(ann.delete("/api/v1/cache?tag=news").await.expect(403));
    drop(ann.delete("/api/v1/cache?all=true").await.expect(403));
    drop(admin.delete("/api/v1/cache?all=true&user=support").await.expect(400));
    drop(admin.delete("/api/v1/cache?usr=support").await.expect(400)); // not its own instead
    drop(stranger.delete("/api/v1/cache?user=support").await.expect(200));
    drop(stranger.delete("/api/v1/cache?all=true").await.expect(200));
    drop(admin.delete("/api/v1/cache").await.expect(200));
    ask("exact").await;
    let cleared = admin.delete("/api/v1/cache?user=support").await.expect(200);
    assert_eq!(cleared.body, json!({ "cleared": "everything of support", "at_once": true }));
    ask("none").await;
    drop(admin.delete("/api/v1/cache?all=true").await.expect(200));
    ask("none").await;
    drop(ann.delete("/api/v1/cache").await.expect(200));
    ask("none").await;
    ask("exact").await;
}

#[tokio::test]
async fn equal_questions_at_once_ask_the_model_once_with_an_agent_and_without() {
    let slow = Act::Drip("The door opens at nine.".into(), Duration::from_millis(2));
    let world = World::plan().model([slow]).start().await;
    let ann = world.user("support");
    for (asked, model) in ["agent/scripted", "scripted"].into_iter().enumerate() {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "When does the door open?" }] });
        let crowd = (0..8).map(|_| ann.post("/v1/chat/completions", &body));
        let layers = futures::future::join_all(crowd).await.into_iter().map(|reply| {
            let reply = reply.expect(200);
            assert_eq!(reply.at("/choices/0/message/content"), "The door opens at nine.");
            reply.at("/cardea/cache").to_owned()
        });
        let fresh = layers.filter(|layer| layer == "none").count();
        assert_eq!((fresh, world.model().seen().len()), (1, asked + 1), "{model}");
    }
}

#[tokio::test]
async fn a_deleted_conversation_leaves_no_answer_behind_and_a_check_none_either() {
    let read = |order: &str| Act::call("ops__get_order", json!({ "order_id": order }));
    let said = |n: u8| Act::say(&format!("MARKER of page {n}."));
    // The check's model looks at an order, and at one that is not there.
    let script = [said(1), read("ORD-18"), read("ORD-987654"), said(2), said(3)];
    let world = World::plan().set("CARDEA_CACHE__CHECK__SHARE", "1").model(script).start().await;
    let ann = world.user("support");
    let first = ann.asks(ASKED).await;
    let second = ann.asks(REWORDED).await;
    second.answers("MARKER of page 1").await;
    checked(&world).await;
    let told = world.shop().calls().await;
    assert_eq!(told.iter().filter(|call| call.contains("get_order")).count(), 2, "{told:?}");
    for talk in [first.conversation(), second.conversation()] {
        drop(ann.delete(&format!("/api/v1/conversations/{talk}")).await.expect(204));
    }
    let sql = "SELECT prompt, receipt FROM turns";
    let kept: Vec<(String, Option<String>)> = world.app.db.rows(sql, Vec::new()).await.unwrap();
    assert_eq!(kept.len(), 3);
    let left = format!("{kept:?}");
    assert!(!left.contains("MARKER") && !left.contains("password"), "{left}");
    assert!(!left.contains("No order has this number"), "what a service said of a failure: {left}");
    let sql = "SELECT state, args, outcome, undo, said FROM steps";
    type Row = (String, String, Option<String>, Option<String>, Option<String>);
    let read: Vec<Row> = world.app.db.rows(sql, Vec::new()).await.unwrap();
    assert_eq!(read.len(), 2);
    assert!(
        read.iter().all(|row| (row.1.as_str(), &row.2, &row.3, &row.4) == ("{}", &None, &None, &None)),
        "what a check has read outlives the conversations: {read:?}"
    );
    assert_eq!(layer(&ann, ASKED).await.0, "none");
}

#[tokio::test]
async fn a_check_that_would_need_a_person_asks_nobody() {
    let script = [
        Act::say("Press the button on page 5."),
        Act::call("ops__get_order", json!({ "order_id": "ORD-18" })),
        Act::say("Press the button on page 7."),
    ];
    let policy = "@id(\"second-hand\")\n@reason(\"words from the cache read nothing unseen.\")\n@approval(\"role:supervisor\")\n\
                  forbid (principal, action in Action::\"read\", resource in Server::\"ops\")\n\
                  when { context.taint.contains(\"cache\") }\nunless { context has approval };\n";
    let plan = World::plan().set("CARDEA_CACHE__CHECK__SHARE", "1").policies(policy).model(script);
    let world = plan.start().await;
    let ann = world.user("support");
    assert_eq!(layer(&ann, ASKED).await.0, "none");
    assert_eq!(layer(&ann, REWORDED).await.0, "semantic");
    checked(&world).await;
    assert_eq!(world.model().seen().len(), 2, "the check has asked its model, and came no further");
    let ended = world.audit().await.entries;
    let ended = ended.iter().rfind(|entry| entry["event"] == "turn.ended").unwrap();
    assert_eq!(ended["detail"]["code"], "denied", "{ended}");
    let asked: Vec<(String, String)> =
        world.app.db.rows("SELECT state, args FROM approvals", Vec::new()).await.unwrap();
    assert_eq!(asked, [], "the turn of it has ended: to decide would do nothing");
    let open = world.user("supervisor").get("/api/v1/approvals").await.expect(200);
    assert_eq!(open.body["approvals"], json!([]));
}

#[tokio::test]
async fn answers_that_are_known_at_start_need_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("warm.jsonl");
    let scopes = ["billing:read", "billing:write", "read", "write"];
    let line = json!({
        "agent": "scripted", "tenant": "acme", "user": "support", "issuer": "cardea-try-out", "roles": ["support"],
        "scopes": scopes, "question": ASKED, "answer": "Press the button.", "tags": ["passwords"], "ttl": "2h",
    });
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let plan = World::plan().set("CARDEA_CACHE__WARM", file.to_str().unwrap());
    let world = plan.model([Act::say("From the model."), Act::say("From the model.")]).start().await;
    assert!(world.app.warm_up().await);
    let (ann, other) = (world.user("support"), world.user("analyst"));
    assert_eq!(layer(&ann, ASKED).await, pair("exact", "Press the button."));
    assert_eq!(layer(&ann, REWORDED).await, pair("semantic", "Press the button."));
    assert_eq!(layer(&other, ASKED).await.0, "none", "for whom it was not meant");
    drop(world.user("admin").delete("/api/v1/cache?tag=passwords").await.expect(200));
    assert_eq!(layer(&ann, ASKED).await, pair("none", "From the model."));
}

#[tokio::test]
async fn a_known_answer_is_its_users_while_a_policy_tells_users_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("warm.jsonl");
    let line = |question: &str, more: &Value| {
        let mut line = json!({
            "agent": "scripted", "tenant": "acme", "roles": ["support"], "question": question, "answer": "Press the button.",
            "scopes": ["billing:read", "billing:write", "read", "write"],
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let own = json!({ "user": "support", "issuer": "cardea-try-out" });
    let at_the_desk = json!({ "user": "support", "issuer": "cardea-try-out", "client": "desk" });
    let lines = [line(ASKED, &own), line("Where is the button?", &at_the_desk)];
    std::fs::write(&file, lines.concat()).unwrap();
    let policy = "@id(\"no-old-ones\") @reason(\"the old program is not safe.\")\n\
                  forbid (principal, action, resource) when { principal has client && principal.client == \"old\" };\n";
    let plan = World::plan().set("CARDEA_CACHE__WARM", file.to_str().unwrap()).policies(policy);
    let world = plan.model([Act::say("From the model.")]).start().await;
    assert!(world.app.warm_up().await);
    let ann = world.user("support");
    assert_eq!(layer(&ann, ASKED).await, pair("exact", "Press the button."));
    assert_eq!(
        layer(&ann, "Where is the button?").await.0,
        "none",
        "that is for whoever comes from the desk"
    );
}

#[tokio::test]
async fn an_answer_that_is_given_again_is_screened_by_the_guardrails_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("warm.jsonl");
    // Nobody has screened what stands in the file.
    let line = json!({
        "agent": "scripted", "tenant": "acme", "user": "support", "issuer": "cardea-try-out", "roles": ["support"],
        "scopes": ["billing:read", "billing:write", "read", "write"], "question": ASKED,
        "answer": "Pay with the card 4111 1111 1111 1111.", "ttl": "2h",
    });
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let plan = World::plan().set("CARDEA_CACHE__WARM", file.to_str().unwrap());
    let world = plan.model([Act::say("From the model.")]).start().await;
    assert!(world.app.warm_up().await);
    let ann = world.user("support");
    for (question, served) in [(ASKED, "exact"), (REWORDED, "semantic")] {
        let (layer, answer) = layer(&ann, question).await;
        assert_eq!(layer, served);
        assert!(answer.contains("Pay with the card [CARD_") && !answer.contains("4111"), "{answer}");
    }
    let streamed = json!({ "model": "agent/scripted", "stream": true, "messages": [{ "role": "user", "content": ASKED }] });
    let streamed = ann.post("/v1/chat/completions", &streamed).await.expect(200);
    assert!(streamed.text.contains("CARD_") && !streamed.text.contains("4111"), "{}", streamed.text);
    let talks = ann.get("/api/v1/conversations").await.expect(200);
    for talk in talks.body["conversations"].as_array().unwrap() {
        let path = format!("/api/v1/conversations/{}/messages", talk["id"].as_str().unwrap());
        let said = ann.get(&path).await.expect(200);
        assert!(!said.text.contains("4111"), "{}", said.text);
    }
}

/// A Redis server on a free port, killed when dropped.
struct Server {
    program: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Server {
    fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = std::env::split_paths(&path).map(|folder| folder.join("redis-server"));
        let program = programs.into_iter().find(|program| program.is_file())?;
        let port = cardea_testkit::port::free().port();
        let mut server = Self { program, port, child: None };
        server.up();
        Some(server)
    }

    fn up(&mut self) {
        let port = self.port.to_string();
        let words = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"];
        self.child = Some(Command::new(&self.program).args(words).stdout(Stdio::null()).spawn().unwrap());
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            std::thread::yield_now();
        }
    }

    fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_server_that_dies_costs_a_model_call_and_nothing_else() {
    let Some(mut server) = Server::start() else {
        println!("SKIPPED: no redis-server on this machine; scripts/peers-stores.sh says how to get one");
        return;
    };
    let script = (1..=4).map(|n| Act::say(&format!("Press button {n}.")));
    let plan = World::plan()
        .set("CARDEA_CACHE__BACKEND", "redis")
        .set("CARDEA_CACHE__URL", &format!("redis://127.0.0.1:{}", server.port))
        .set("CARDEA_CACHE__TIMEOUT", "60s");
    let world = plan.model(script).start().await;
    let (ann, other) = (world.user("support"), world.user("analyst"));
    assert_eq!(layer(&ann, ASKED).await, pair("none", "Press button 1."));
    assert_eq!(layer(&ann, ASKED).await, pair("exact", "Press button 1."));
    assert_eq!(layer(&ann, REWORDED).await, pair("semantic", "Press button 1."));
    assert_eq!(layer(&other, ASKED).await, pair("none", "Press button 2."));
    server.down();
    assert_eq!(layer(&ann, ASKED).await, pair("none", "Press button 3."));
    let cleared = ann.delete("/api/v1/cache").await.expect(200);
    assert_eq!(cleared.body["at_once"], false, "it is owed, and said so");
    server.up();
    while !world.app.context.cache().reachable().await {
        tokio::task::yield_now().await;
    }
    world.app.context.cache().settle().await.unwrap(); // what it is owed takes what was kept before with it
    assert_eq!(layer(&ann, ASKED).await, pair("none", "Press button 4."));
    assert_eq!(layer(&ann, REWORDED).await, pair("semantic", "Press button 4."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_server_that_is_slow_or_says_nothing_costs_its_time_and_fails_nobody() {
    let Some(server) = Server::start() else {
        println!("SKIPPED: no redis-server on this machine; scripts/peers-stores.sh says how to get one");
        return;
    };
    let jobs = Jobs::new();
    let wire = ChaosProxy::start(&jobs, ([127, 0, 0, 1], server.port).into()).await.unwrap();
    let script = (1..=20).map(|n| Act::say(&format!("Press button {n}.")));
    let plan = World::plan()
        .set("CARDEA_CACHE__BACKEND", "redis")
        .set("CARDEA_CACHE__URL", &format!("redis://{}", wire.address()))
        .set("CARDEA_CACHE__TIMEOUT", "200ms");
    let world = plan.model(script).start().await;
    let ann = world.user("support");
    assert_eq!(layer(&ann, ASKED).await, pair("none", "Press button 1."));
    for weather in [Weather::Slow(Duration::from_secs(2)), Weather::BlackHole] {
        wire.set(weather.clone());
        for _ in 0..2 {
            let start = Instant::now();
            let (from, answer) = layer(&ann, ASKED).await;
            assert!(from == "none" && answer.starts_with("Press button"), "{weather:?}: {from} {answer}");
            // A look, a try to keep the answer, and a loaded machine; not the two seconds of each command.
            assert!(start.elapsed() < Duration::from_secs(4), "{weather:?}: {:?}", start.elapsed());
        }
    }
    wire.set(Weather::Fair);
    let back = async {
        while !world.app.context.cache().reachable().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("the cache does not come back");
    layer(&ann, ASKED).await;
    assert_eq!(layer(&ann, ASKED).await.0, "exact");
}

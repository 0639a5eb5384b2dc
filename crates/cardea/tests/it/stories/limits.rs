//! Limits of a turn: each ends it, or a call of it, in its own words.

use std::time::Duration;

use cardea_testkit::{
    World,
    model::Act,
    world::{Say, Service},
};
use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};

pub(super) const SLOW: &str = r#"
[connector]
name = "demo"
base = "BASE"

[[operation]]
name    = "look"
about   = "Look something up."
effect  = "read"
request = { method = "GET", path = "/look" }
limit   = { timeout = "1min" }

[[operation]]
name           = "order"
about          = "Order something."
effect         = "write"
request        = { method = "POST", path = "/orders" }
accept_unknown = true
sends_outside  = false
limit          = { timeout = "1min" }
"#;

pub(super) const POLICIES: &str = r#"
@id("support-may") @reason("support may.")
permit (principal in Role::"support", action, resource in Server::"demo");
"#;

pub(super) async fn slow(limits: &str, acts: impl IntoIterator<Item = Act>) -> World {
    let plan = World::plan().model(acts).policies(POLICIES).limits(limits);
    let world = plan.connector(Service::start().await, SLOW).start().await;
    world.service().says("GET /look", [Say::Silent]).says("POST /orders", [Say::Silent]);
    world
}

#[tokio::test]
async fn a_tool_that_takes_too_long_is_given_up_in_the_agents_own_time_and_the_model_is_told() {
    let acts = [Act::call("demo__look", json!({})), Act::say("It did not answer.")];
    let world = slow("tool_timeout = \"150ms\"\n", acts).await;
    let receipt = world.user("support").asks("Look it up.").await.answers("did not answer").await;
    let reason = receipt["tools"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("150 ms") && reason.contains("limits.tool_timeout"), "{reason}");
    assert!(world.model().seen()[1].body.to_string().contains("limits.tool_timeout"));

    let acts = [Act::call("demo__order", json!({})), Act::say("never said")];
    let world = slow("tool_timeout = \"150ms\"\n", acts).await;
    let receipt = world.user("support").asks("Order it.").await.ends().await;
    assert_eq!(receipt["status"], "unknown", "{receipt}");
    let told = receipt["error"]["message"].as_str().unwrap();
    assert!(told.contains("150 ms") && told.contains("limits.tool_timeout"), "{told}");
}

#[tokio::test]
async fn a_tool_of_an_mcp_server_is_given_up_in_the_agents_own_time_too() {
    let acts = [Act::call("ops__get_order", json!({ "order_id": "ORD-17" })), Act::say("It is delivered.")];
    let world = slow("tool_timeout = \"1ms\"\n", acts).await;
    let receipt = world.user("support").asks("What is with order 17?").await.ends().await;
    let reason = receipt["tools"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.is_empty() || reason.contains("limits.tool_timeout"), "{receipt}");
}

#[tokio::test]
async fn a_turn_that_has_used_its_tokens_ends_and_says_so() {
    let ask = |world: World| async move {
        let receipt: Value = world.user("support").asks("Look it up, please.").await.ends().await;
        (receipt, world)
    };
    // Not even room for the question: no model is asked.
    let (receipt, world) = ask(slow("tokens = 20\n", [Act::say("never said")]).await).await;
    assert_eq!(receipt["error"]["code"], "tokens_spent", "{receipt}");
    assert!(receipt["error"]["message"].as_str().unwrap().contains("20 tokens per turn"), "{receipt}");
    assert!(world.model().seen().is_empty());

    // Room for one call of the model and not for a second: each is counted by the provider as 16 tokens.
    let look = || Act::call("demo__look", json!({}));
    let free = ask(slow("tool_timeout = \"50ms\"\n", [look(), Act::say("Nothing.")]).await).await.1;
    let first = free.model().seen()[0].body.to_string().len() as u64;
    let limits = format!("tokens = {}\ntool_timeout = \"50ms\"\n", first / 4 + 20);
    let (receipt, world) = ask(slow(&limits, [look(), look(), look(), look(), look(), look()]).await).await;
    let capped = &world.model().seen()[0].body;
    assert!(capped["max_tokens"].as_u64().or(capped["max_completion_tokens"].as_u64()).is_some(), "{capped}");
    assert_eq!(receipt["error"]["code"], "tokens_spent", "{receipt}");
    assert!(world.model().seen().len() < 6);
}

#[tokio::test]
async fn of_two_questions_at_once_a_budget_lets_in_what_it_holds() {
    let acts =
        [Act::call("demo__look", json!({})), Act::say("Nothing is there."), Act::say("Still nothing.")];
    let plan = World::plan().model(acts).policies(POLICIES);
    let plan = plan.limits("tokens = 10000\ntool_timeout = \"1s\"\n");
    let plan = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "15000");
    let world = plan.connector(Service::start().await, SLOW).start().await;
    world.service().says("GET /look", [Say::Silent]);
    let ann = world.user("support");
    let second = async {
        while world.service().lines().is_empty() {
            tokio::task::yield_now().await;
        }
        ann.asks("And this?").await
    };
    let (first, second) = tokio::join!(ann.asks("Look it up, please."), second);
    assert_eq!(
        (second.reply.status, second.reply.at("/code")),
        (429, "budget_spent"),
        "{}",
        second.reply.text
    );
    first.answers("Nothing is there").await;
    ann.asks("And now?").await.answers("Still nothing").await;
}

#[tokio::test]
async fn of_many_questions_at_once_a_budget_lets_in_as_many_as_it_holds_and_each_is_paid() {
    let slow = || Act::Drip("It opens at nine.".into(), Duration::from_millis(3));
    let plan = World::plan().model([slow(), slow(), slow(), Act::say("It opens at ten.")]);
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "3300").start().await;
    let ann = world.user("support");
    let ask = |number: usize| {
        let text = format!("When does door {number} open?");
        let messages = json!([{ "role": "user", "content": text }]);
        json!({ "model": "scripted", "max_tokens": 1_000, "messages": messages })
    };
    let bodies: Vec<Value> = (0..8).map(ask).collect();
    let crowd = bodies.iter().map(|body| ann.post("/v1/chat/completions", body));
    let replies = futures::future::join_all(crowd).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [200, 200, 200, 429, 429, 429, 429, 429],
        "each holds a thousand tokens while it runs"
    );
    let more = ann.post("/v1/chat/completions", &ask(8)).await.expect(200);
    assert_eq!(more.at("/choices/0/message/content"), "It opens at ten.", "what was held is given back");
}

#[tokio::test]
async fn who_hangs_up_pays_for_what_the_model_was_asked() {
    let slow = Act::Drip("It opens at nine.".into(), Duration::from_millis(3));
    let plan = World::plan().model([slow]).set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "30000");
    let world = plan.start().await;
    let ann = world.user("support");
    let messages = json!([{ "role": "user", "content": "When does the door open?" }]);
    let body = json!({ "model": "scripted", "messages": messages });
    let asked = async {
        while world.model().seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = ann.post("/v1/chat/completions", &body) => panic!("it was answered before it could hang up"),
        () = asked => {} // and here the request is dropped
    }
    let paid = async {
        loop {
            let sql = "SELECT CAST(SUM(spent) AS BIGINT), CAST(SUM(reserved) AS BIGINT) FROM budgets";
            let row: Option<(Option<i64>, Option<i64>)> =
                world.app.db.row(sql, cardea_store::args![]).await.unwrap();
            if row.is_some_and(|(spent, reserved)| spent > Some(0) && reserved == Some(0)) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), paid).await.expect("the budget pays");
}

/// What budgets have paid and hold, once nothing is held any more.
async fn paid(world: &World) -> i64 {
    let settled = async {
        loop {
            let sql = "SELECT CAST(SUM(spent) AS BIGINT), CAST(SUM(reserved) AS BIGINT) FROM budgets WHERE unit = 'tokens'";
            let row: Option<(Option<i64>, Option<i64>)> =
                world.app.db.row(sql, cardea_store::args![]).await.unwrap();
            if let Some((Some(spent), Some(0))) = row {
                return spent;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("the budget settles")
}

#[tokio::test]
async fn what_a_turn_has_reserved_of_a_large_budget_beyond_its_need_is_given_back() {
    let plan = World::plan().set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "1000000000");
    let world = plan.model([Act::say("It opens at nine.")]).start().await;
    world.user("support").asks("When does the door open?").await.answers("at nine").await;
    assert!(paid(&world).await > 0);
}

#[tokio::test]
async fn a_large_budget_is_told_to_the_token_while_blocks_of_it_are_held() {
    let plan = World::plan().model((0..12).map(|_| Act::say("It opens at nine.")));
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "100000000").start().await;
    let ann = world.user("support");
    let bodies: Vec<Value> = (0..12)
        .map(|number| {
            let messages = json!([{ "role": "user", "content": format!("When does door {number} open?") }]);
            json!({ "model": "scripted", "messages": messages })
        })
        .collect();
    let replies =
        futures::future::join_all(bodies.iter().map(|body| ann.post("/v1/chat/completions", body))).await;
    let used: u64 = replies
        .into_iter()
        .map(|reply| reply.expect(200).body["usage"]["total_tokens"].as_u64().unwrap())
        .sum();
    let tokens = ann.get("/api/v1/budget").await.expect(200).body["user"]["tokens"].clone();
    assert_eq!(tokens, json!({ "spent": used, "reserved": 0, "limit": 100_000_000 }));
    assert_eq!(paid(&world).await, i64::try_from(used).unwrap(), "and the block is given back when it rests");
}

#[tokio::test]
async fn nobody_is_refused_for_a_block_that_is_held_for_nobody() {
    let slow = || Act::Drip("It opens at nine.".into(), Duration::from_millis(3));
    let plan = World::plan().model([Act::say("At eight."), slow(), slow()]);
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "1003000").start().await;
    let ann = world.user("support");
    let body = |most: u32| {
        let messages = json!([{ "role": "user", "content": format!("Up to {most}, please.") }]);
        json!({ "model": "scripted", "max_tokens": most, "messages": messages })
    };
    drop(ann.post("/v1/chat/completions", &body(900)).await.expect(200)); // and a thousandth stays held
    let large = [body(501_000), body(501_001)];
    let replies =
        futures::future::join_all(large.iter().map(|body| ann.post("/v1/chat/completions", body))).await;
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_paid_as_far_as_it_came() {
    let long = "A long story. ".repeat(100);
    for act in [Act::LostAfter(long.clone()), Act::EndsEarly(long.clone()), Act::Reports(long.clone())] {
        let plan = World::plan().model([act.clone(), act.clone()]);
        let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "100000").start().await;
        let ann = world.user("support");
        let messages = json!([{ "role": "user", "content": "Tell me a story." }]);
        drop(
            ann.post("/v1/chat/completions", &json!({ "model": "scripted", "messages": messages }))
                .await
                .expect(502),
        );
        let once = paid(&world).await;
        assert!(once >= 350, "{act:?} paid {once}");
        let receipt = ann.asks("Tell me a story, please.").await.ends().await;
        assert_eq!(receipt["error"]["code"], "model_failed", "{receipt}");
        assert!(receipt["usage"]["output"].as_i64() >= Some(350), "{receipt}");
        assert!(paid(&world).await >= once + 350, "{act:?}");
    }
}

#[tokio::test]
async fn a_turn_that_runs_out_of_time_is_paid_as_far_as_it_came() {
    let slow = Act::SilentAfter("A long story. ".repeat(100));
    let plan = World::plan().model([slow]).limits("time = \"300ms\"\ntool_timeout = \"100ms\"\n");
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "100000").start().await;
    let receipt = world.user("support").asks("Tell me a story.").await.ends().await;
    assert_eq!(receipt["error"]["code"], "time_spent", "{receipt}");
    assert!(paid(&world).await >= 350, "{receipt}");
}

#[tokio::test]
async fn thoughts_are_paid_though_no_word_came_of_them() {
    let thoughts = "So many things to think of. ".repeat(100);
    let piece = json!({ "choices": [{ "index": 0, "delta": { "reasoning_content": thoughts } }] });
    let cut = format!("data: {piece}\n\ndata: {{oops").into_bytes();
    let half = [format!("data: {piece}\n\n"), "data: [DONE]\n\n".to_owned()];
    let said =
        json!({ "choices": [{ "index": 0, "delta": { "content": "Nine." }, "finish_reason": "stop" }] });
    let acts = [
        (Act::SilentAfterThoughts(thoughts), "time_spent"),
        (Act::Then(String::new(), cut), "model_failed"),
        (Act::Document("text/event-stream", format!("{}data: {said}\n\n{}", half[0], half[1])), ""),
    ];
    for (act, code) in acts {
        let plan = World::plan().model([act]).limits("time = \"1s\"\ntool_timeout = \"100ms\"\n");
        let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "100000").start().await;
        let receipt = world.user("support").asks("When does it open?").await.ends().await;
        assert_eq!(receipt["error"]["code"].as_str().unwrap_or_default(), code, "{receipt}");
        assert!(receipt["usage"]["output"].as_i64() >= Some(700), "{receipt}");
        assert!(paid(&world).await >= 700, "{receipt}");
    }
}

#[tokio::test]
async fn money_is_held_before_a_model_is_called() {
    let slow = || Act::Drip("It opens at nine.".into(), Duration::from_millis(3));
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.toml");
    // A thousand tokens written cost ten cents, and half a dollar is there.
    std::fs::write(&prices, "[[price]]\nmodel = \"fake-1\"\ninput = 0\noutput = 100\n").unwrap();
    let plan = World::plan().model((0..8).map(|_| slow()));
    let plan = plan.set("CARDEA_LIMITS__USER_BUDGET__MONEY", "0.5");
    let world = plan.set("CARDEA_COST__PRICES", prices.to_str().unwrap()).start().await;
    let ann = world.user("support");
    let bodies: Vec<Value> = (0..8)
        .map(|number| {
            let messages = json!([{ "role": "user", "content": format!("When does door {number} open?") }]);
            json!({ "model": "scripted", "max_tokens": 1_000, "messages": messages })
        })
        .collect();
    let crowd = bodies.iter().map(|body| ann.post("/v1/chat/completions", body));
    let replies = futures::future::join_all(crowd).await;
    let let_in = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(let_in, 5, "each holds ten cents while it runs");
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert!(refused.text.contains("held by requests in work"), "{}", refused.text);
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn a_question_that_no_budget_can_hold_is_told_so_and_not_to_come_back() {
    let world = World::plan().set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "1000").start().await;
    let refused = world.user("support").asks("Hello?").await.reply.expect(429);
    assert_eq!(refused.at("/code"), "budget_spent");
    assert!(refused.at("/detail").contains("1000 of 1000 tokens left"), "{}", refused.text);
    assert_eq!(refused.header("retry-after"), "", "it will not fit next month either");
}

#[tokio::test]
async fn what_was_begun_goes_on_though_others_hold_the_budget() {
    let refund = Act::call(
        "ops__process_refund",
        json!({ "order_id": "ORD-17", "amount": 150, "reason": "goodwill" }),
    );
    let slow = Act::Drip("Slowly but surely. ".repeat(20), Duration::from_millis(5));
    let plan = World::plan().model([refund, slow, Act::say("It is refunded.")]);
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "30000").start().await;
    let (ann, supervisor) = (world.user("support"), world.user("supervisor"));
    let turn = ann.asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    let approved = async {
        while world.model().seen().len() < 2 {
            tokio::task::yield_now().await;
        }
        drop(ann.asks("Is there room for one more?").await.reply.expect(429));
        supervisor.approves(&turn).await;
    };
    let (slow, ()) = tokio::join!(ann.asks("And what else is new?"), approved);
    slow.answers("Slowly").await;
    turn.answers("It is refunded.").await;
    assert_eq!(world.shop().refunds(17).await, 1);

    // A bare call holds nothing, before it waits and after.
    let world = World::plan().set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "1000").start().await;
    let ann = world.user("support");
    let client = ann.mcp(false).await.unwrap();
    let mut params = CallToolRequestParams::new("ops__process_refund");
    params.arguments = json!({ "order_id": "ORD-17", "amount": 150 }).as_object().cloned();
    let waits = client.call_tool(params).await.unwrap().structured_content.unwrap();
    let path = format!("/api/v1/approvals/{}", waits["approval"].as_str().unwrap());
    drop(world.user("supervisor").post(&path, &json!({ "decision": "approve" })).await.expect(200));
    let turn = waits["turn"].as_str().unwrap();
    assert_eq!(ann.follows(turn, None).await, []);
    assert_eq!(ann.get(&format!("/api/v1/turns/{turn}")).await.at("/status"), "answered");
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn an_answer_is_cut_where_the_money_of_its_turn_ends() {
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.toml");
    // A thousand tokens read cost a cent, a thousand written ten cents.
    std::fs::write(&prices, "[[price]]\nmodel = \"fake-1\"\ninput = 10\noutput = 100\n").unwrap();
    let world = |money: &str, acts: Vec<Act>| {
        let plan = World::plan().model(acts).limits(&format!("money = {money}\n"));
        plan.set("CARDEA_COST__PRICES", prices.to_str().unwrap()).start()
    };
    let world_of_plenty = world("0.4", vec![Act::say("Hello.")]).await;
    world_of_plenty.user("support").asks("Hello?").await.answers("Hello").await;
    let most = world_of_plenty.model().seen()[0].body["max_tokens"].as_u64().unwrap();
    assert!((3_000..4_000).contains(&most), "what is left after reading: {most}");

    let choice = json!({ "index": 0, "delta": { "content": "A long" }, "finish_reason": "length" });
    let cut = Act::Document(
        "text/event-stream",
        format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [choice] })),
    );
    let world_of_little = world("0.05", vec![cut]).await;
    let receipt = world_of_little.user("support").asks("Tell me a story.").await.ends().await;
    assert_eq!(receipt["error"]["code"], "money_spent", "{receipt}");
    assert!(world_of_little.model().seen()[0].body["max_tokens"].as_u64().unwrap() < 500);

    let world_of_nothing = world("0.0001", vec![Act::say("never said")]).await;
    let receipt = world_of_nothing.user("support").asks("Hello?").await.ends().await;
    assert_eq!((&receipt["error"]["code"], &receipt["cost_micros"]), (&json!("money_spent"), &json!(0)));
    assert!(world_of_nothing.model().seen().is_empty(), "what cannot be paid is not asked for");
}

#[tokio::test]
async fn an_absurd_count_of_tokens_closes_nobodys_budget() {
    let most = i64::MAX;
    let absurd = json!({
        "choices": [{ "message": { "role": "assistant", "content": "Hello." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": most, "completion_tokens": most }
    });
    let plan =
        World::plan().model([Act::Document("application/json", absurd.to_string()), Act::say("Good.")]);
    let world = plan.set("CARDEA_LIMITS__TENANT_BUDGET__TOKENS", "30000").start().await;
    let ask = |text: &str| json!({ "model": "scripted", "messages": [{ "role": "user", "content": text }] });
    let told = world.user("support").post("/v1/chat/completions", &ask("One")).await.expect(200);
    assert!(told.body["usage"]["total_tokens"].as_u64().unwrap() < 100, "it is estimated: {}", told.text);
    assert!(paid(&world).await < 100);
    let analyst = world.user("analyst");
    drop(analyst.post("/v1/chat/completions", &ask("Two")).await.expect(200));
    let spent = paid(&world).await;
    let account = analyst.get("/api/v1/budget").await.expect(200).body;
    assert_eq!(account["tenant"]["tokens"], json!({ "spent": spent, "reserved": 0, "limit": 30000 }));
    assert_eq!(account["user"], Value::Null, "no user has a budget here");
}

#[tokio::test]
async fn a_call_that_uses_nothing_of_a_budget_is_made_though_it_is_spent() {
    let plan = World::plan().model((0..20).map(|_| Act::say("Yes.")));
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "60").start().await;
    let ann = world.user("support");
    let ask = async |number: u32| {
        let messages = json!([{ "role": "user", "content": format!("Is it {number}?") }]);
        let body = json!({ "model": "scripted", "max_tokens": 10, "messages": messages });
        ann.post("/v1/chat/completions", &body).await
    };
    let mut number = 0;
    while ask(number).await.status == 200 {
        paid(&world).await;
        number += 1;
    }
    assert_eq!(ask(number).await.expect(429).at("/error/code"), "budget_spent");
    let order = json!({ "order_id": "ORD-17" }).as_object().cloned().unwrap();
    let call = CallToolRequestParams::new("ops__get_order").with_arguments(order);
    let told = ann.mcp(false).await.unwrap().call_tool(call).await.unwrap();
    assert_ne!(told.is_error, Some(true), "{told:?}");
}

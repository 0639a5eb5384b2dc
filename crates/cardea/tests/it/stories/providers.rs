//! What providers refuse, and how they really answer: none of it may break a turn.

use cardea_testkit::{World, model::Act};
use serde_json::{Value, json};

/// OpenAI's refusal of a limit that its model cannot write to.
fn limited(body: &Value) -> Act {
    match body["max_tokens"].as_u64() {
        Some(16_385..) => {
            let message = "max_tokens is too large: this model supports at most 16384 completion tokens";
            Act::Status(400, None, json!({ "error": { "message": message } }).to_string())
        }
        _ => Act::say("It opens at nine."),
    }
}

/// A world whose model costs as much as a small one of OpenAI, and whose agent has this limit.
async fn world(limit: &str, rule: fn(&Value) -> Act) -> World {
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.toml");
    std::fs::write(&prices, "[[price]]\nmodel = \"fake-1\"\ninput = 0.15\noutput = 0.60\n").unwrap();
    let plan = World::plan().ruled(rule).limits(&format!("{limit}\n"));
    plan.set("CARDEA_COST__PRICES", prices.to_str().unwrap()).start().await
}

#[tokio::test]
async fn a_large_limit_of_a_turn_is_no_limit_of_one_answer() {
    for limit in ["tokens = 50000", "money = 0.05"] {
        let world = world(limit, limited).await;
        world.user("support").asks("When does it open?").await.answers("nine").await;
        assert_eq!(world.model().seen()[0].body["max_tokens"], Value::Null, "{limit}");
    }
}

#[tokio::test]
async fn an_answer_that_runs_over_a_limit_of_its_turn_is_paid_and_not_given() {
    let long = |_: &Value| {
        let choice = json!({ "message": { "role": "assistant", "content": "A long story." }, "finish_reason": "stop" });
        let usage = json!({ "prompt_tokens": 10, "completion_tokens": 100_000 });
        Act::Document("application/json", json!({ "choices": [choice], "usage": usage }).to_string())
    };
    for (limit, code) in [("tokens = 50000", "tokens_spent"), ("money = 0.05", "money_spent")] {
        let receipt = world(limit, long).await.user("support").asks("Tell me a story.").await.ends().await;
        assert_eq!(receipt["error"]["code"], code, "{receipt}");
        assert_eq!(receipt["usage"]["output"], 100_000, "{receipt}");
    }
}

/// An answer in the words of OpenAI's format, which ends with this word.
fn ending(text: &str, finish: &str) -> Act {
    let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": finish });
    Act::Document(
        "text/event-stream",
        format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [choice] })),
    )
}

#[tokio::test]
async fn half_an_answer_is_not_given_again_whatever_its_provider_calls_it() {
    for word in ["model_length", "insufficient_system_resource", "some_new_word"] {
        let script = [ending("It opens", word), Act::say("It opens at nine.")];
        let world = World::with_model(script).await;
        let ann = world.user("support");
        let half = ann.asks("When does it open?").await.ends().await;
        assert_ne!(half["finish"], "stop", "{word}: {half}");
        let whole = ann.asks("When does it open?").await.ends().await;
        assert_eq!(whole["answer"], "It opens at nine.", "{word}: {whole}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_asked_for_again_and_not_kept() {
    let ask = json!({ "model": "scripted", "messages": [{ "role": "user", "content": "When?" }] });
    let world = World::with_model([Act::say(" "), ending("", "stop"), Act::say("At nine.")]).await;
    let ann = world.user("support");
    let said =
        |reply: cardea_testkit::world::Reply| reply.expect(200).at("/choices/0/message/content").to_owned();
    assert_eq!(said(ann.post("/v1/chat/completions", &ask).await), " ");
    assert_eq!(said(ann.post("/v1/chat/completions", &ask).await), "At nine.");
    assert_eq!(world.model().seen().len(), 3);
}

#[tokio::test]
async fn what_is_said_of_tools_without_any_reaches_no_model() {
    for more in [
        json!({ "tool_choice": "none" }),
        json!({ "tool_choice": "none", "tools": [] }),
        json!({ "parallel_tool_calls": true }),
    ] {
        let world = World::with_model([Act::say("At nine.")]).await;
        let mut ask = json!({ "model": "scripted", "messages": [{ "role": "user", "content": "When?" }] });
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        drop(world.user("support").post("/v1/chat/completions", &ask).await.expect(200));
        let sent = &world.model().seen()[0].body;
        assert_eq!(
            (&sent["tool_choice"], &sent["parallel_tool_calls"]),
            (&Value::Null, &Value::Null),
            "{more}"
        );
    }
}

/// DeepSeek's way: thoughts come with the calls, and who does not send them back with the calls is refused.
fn thoughtful(body: &Value) -> Act {
    let messages = body["messages"].as_array().unwrap();
    let mut called = messages.iter().filter(|message| message["tool_calls"].is_array());
    if called.clone().any(|message| message["reasoning_content"] != "The order is the user's own.") {
        let message = "Missing `reasoning_content` field in the assistant message.";
        return Act::Status(400, None, json!({ "error": { "message": message } }).to_string());
    }
    if called.next().is_some() {
        return Act::say("It is refunded.");
    }
    thinks_and_calls("ops__process_refund", r#"{"order_id":"ORD-17","amount":150,"reason":"goodwill"}"#)
}

fn thinks_and_calls(tool: &str, arguments: &str) -> Act {
    let call = json!({ "index": 0, "id": "a", "function": { "name": tool, "arguments": arguments } });
    let thoughts = json!({ "reasoning_content": "The order is the user's own." });
    let events = [(thoughts, Value::Null), (json!({ "tool_calls": [call] }), json!("tool_calls"))].map(
        |(delta, finish)| {
            format!(
                "data: {}\n\n",
                json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
            )
        },
    );
    Act::Document("text/event-stream", events.concat() + "data: [DONE]\n\n")
}

#[tokio::test]
async fn a_model_that_wants_to_see_its_thoughts_again_goes_on_after_an_approval_of_days() {
    let world = World::plan().ruled(thoughtful).start().await;
    let turn = world.user("support").asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    world.user("supervisor").approves(&turn).await;
    turn.answers("It is refunded.").await;
    assert_eq!(world.shop().refunds(17).await, 1);
}

/// Thinks what nobody may say, calls a tool, and says nothing of it.
pub(super) fn ponders(body: &Value) -> Act {
    let messages = body["messages"].as_array().unwrap();
    match messages.iter().any(|message| message["role"] == "tool") {
        true => Act::say("It is there."),
        false => thinks_and_calls("ops__get_order", r#"{"order_id":"ORD-17"}"#),
    }
}

#[tokio::test]
async fn a_thought_that_a_guardrail_refuses_is_dropped_and_the_turn_goes_on() {
    let refuses = "[[deny]]\nname = \"own\"\nphrases = [\"the user's own\"]\naction = \"refuse\"\n";
    let world = World::plan().ruled(ponders).guard(refuses).start().await;
    let ended = world.user("support").asks("What is with order 17?").await.ends().await;
    assert_eq!((&ended["status"], &ended["answer"]), (&json!("answered"), &json!("It is there.")), "{ended}");
    let ask = json!({ "model": "scripted", "messages": [{ "role": "user", "content": "What is with order 17?" }],
                      "tools": [{ "type": "function", "function": { "name": "ops__get_order" } }] });
    let reply = world.user("support").post("/v1/chat/completions", &ask).await.expect(200);
    assert_eq!(reply.at("/choices/0/message/tool_calls/0/function/name"), "ops__get_order", "{}", reply.text);
}

#[tokio::test]
async fn a_client_brings_back_the_thoughts_of_its_model() {
    let world = World::plan().ruled(thoughtful).start().await;
    let tool = json!({ "type": "function", "function": { "name": "ops__process_refund" } });
    let user = json!({ "role": "user", "content": "Refund order 17." });
    let ann = world.user("support");
    let ask = json!({ "model": "scripted", "tools": [tool], "messages": [user] });
    let told = ann.post("/v1/chat/completions", &ask).await.expect(200).body["choices"][0]["message"].clone();
    assert_eq!(told["reasoning_content"], "The order is the user's own.");
    let result = json!({ "role": "tool", "tool_call_id": told["tool_calls"][0]["id"], "content": "done" });
    let ask = json!({ "model": "scripted", "tools": [tool], "messages": [user, told, result] });
    let reply = ann.post("/v1/chat/completions", &ask).await.expect(200);
    assert_eq!(reply.at("/choices/0/message/content"), "It is refunded.");
}

//! Answers of models that are not as they should be: what is made of them, and who pays.

use cardea_testkit::{World, model::Act};
use serde_json::{Value, json};

use super::undo::{POLICIES, reserve, states, warehouse};

/// One answer of OpenAI's format: these deltas, why it stopped, and 1000 tokens read and 100 written.
fn answer(deltas: &[Value], finish: &str) -> Act {
    let mut out: String = deltas.iter().map(|delta| chunk(delta, &Value::Null)).collect();
    if !finish.is_empty() {
        out += &chunk(&json!({}), &json!(finish));
        let usage = json!({ "choices": [], "usage": { "prompt_tokens": 1000, "completion_tokens": 100 } });
        out += &format!("data: {usage}\n\ndata: [DONE]\n\n");
    }
    Act::Document("text/event-stream", out)
}

fn chunk(delta: &Value, finish: &Value) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    format!("data: {}\n\n", json!({ "choices": [choice] }))
}

/// A call in an answer: its place, its id, its tool and its arguments as they are written.
fn called(index: usize, id: &str, tool: &str, arguments: &str) -> Value {
    let function = json!({ "name": tool, "arguments": arguments });
    json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] })
}

fn used(receipt: &Value) -> (u64, u64) {
    let of = |side: &str| receipt["usage"][side].as_u64().unwrap();
    (of("input"), of("output"))
}

#[tokio::test]
async fn arguments_that_are_no_json_are_refused_told_to_the_model_and_paid() {
    for (written, why) in [
        ("{\"order_id\": \"ORD-17\", ", "not valid JSON"),
        ("[\"ORD-17\"]", "no JSON object"),
        ("\"ORD-17\"", "no JSON object"),
    ] {
        let bad = answer(&[called(0, "call_0", "ops__get_order", written)], "tool_calls");
        let world = World::with_model([bad, Act::say("I could not look.")]).await;
        let receipt = world.user("support").asks("Where is order 17?").await.answers("could not look").await;
        assert_eq!(states(&receipt), ["refused"], "{receipt}");
        let reason = receipt["tools"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(why) && reason.contains("ops__get_order"), "{reason}");
        assert_eq!(used(&receipt), (1011, 105), "{written}");
        let told = &world.model().seen()[1].body["messages"];
        let calls: Vec<&Value> =
            told.as_array().unwrap().iter().filter(|one| one["tool_calls"].is_array()).collect();
        let arguments = calls[0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        assert!(
            serde_json::from_str::<Value>(arguments).unwrap().is_object(),
            "no provider refuses it: {told}"
        );
        assert!(told.to_string().contains(why), "{told}");
    }
}

#[tokio::test]
async fn a_broken_call_takes_nothing_back_that_was_done() {
    let bad = answer(&[called(0, "call_1", "demo__reserve", "{\"item\": ")], "tool_calls");
    let world = warehouse(POLICIES, [reserve("book"), bad, Act::say("The book is reserved.")]).await;
    let receipt = world.user("support").asks("Reserve a book.").await.answers("is reserved").await;
    assert_eq!(states(&receipt), ["done", "refused"]);
    assert_eq!(world.service().lines(), ["POST /reservations"]);
}

#[tokio::test]
async fn a_model_that_writes_nothing_but_broken_calls_comes_to_its_limit() {
    let bad = answer(&[called(0, "call_0", "ops__get_order", "{\"order_id\": ")], "tool_calls");
    let world = World::with_model([bad]).await;
    let receipt = world.user("support").asks("Where is order 17?").await.ends().await;
    assert_eq!(receipt["error"]["code"], "steps_spent", "{receipt}");
    assert_eq!(used(&receipt), (6000, 600));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_paid_each_time_it_was_asked_for() {
    let nameless = answer(&[called(0, "call_0", "", "{}")], "tool_calls");
    let world = World::with_model([nameless]).await;
    let receipt = world.user("support").asks("Where is order 17?").await.ends().await;
    assert_eq!(receipt["error"]["code"], "model_failed", "{receipt}");
    let times = world.model().seen().len() as u64;
    assert!(times > 0);
    assert_eq!(used(&receipt), (1000 * times, 100 * times), "{times} times");
}

#[tokio::test]
async fn an_answer_that_is_cut_inside_a_call_is_an_error_and_paid_as_far_as_it_came() {
    let long = format!("{{\"order_id\": \"{}", "1".repeat(400));
    let cut = answer(&[called(0, "call_0", "ops__get_order", &long)], "");
    let world = World::with_model([cut]).await;
    let receipt = world.user("support").asks("Where is order 17?").await.ends().await;
    assert_eq!(receipt["error"]["code"], "model_failed", "{receipt}");
    let times = world.model().seen().len() as u64;
    let (read, written) = used(&receipt);
    assert!(read > 0 && written >= 100 * times, "{times} times: {receipt}");

    // What was said before the cut is told, and is paid with the call.
    let cut = answer(&[json!({ "content": "I look. " }), called(0, "call_0", "ops__get_order", &long)], "");
    let world = World::with_model([cut]).await;
    let receipt = world.user("support").asks("Where is order 17?").await.ends().await;
    assert_eq!(receipt["error"]["code"], "model_failed");
    assert_eq!(world.model().seen().len(), 1);
    assert!(used(&receipt).0 > 0 && used(&receipt).1 >= 100, "{receipt}");
}

#[tokio::test]
async fn words_before_a_call_stand_apart_from_the_answer_and_are_shown_to_the_model_with_its_calls() {
    let first = [
        json!({ "content": "I will look up " }),
        json!({ "content": "both orders." }),
        called(0, "call_0", "ops__get_order", "{\"order_id\":\"ORD-17\"}"),
        called(1, "call_1", "ops__get_order", "{\"order_id\":\"ORD-18\"}"),
    ];
    let second = [
        json!({ "content": "One more look.\n" }),
        called(0, "call_0", "ops__get_customer", "{\"customer_id\":\"CUST-1\"}"),
    ];
    let acts = [answer(&first, "tool_calls"), answer(&second, "tool_calls"), Act::say("Both were shipped.")];
    let world = World::with_model(acts).await;
    let receipt = world.user("support").asks("Where are my orders?").await.ends().await;
    let words = "I will look up both orders.\n\nOne more look.\n\nBoth were shipped.";
    assert_eq!(receipt["answer"], words, "{receipt}");
    let told = world.model().seen()[2].body["messages"].as_array().unwrap().clone();
    let said: Vec<&Value> = told.iter().filter(|one| one["role"] == "assistant").collect();
    assert_eq!(said.len(), 2, "one for each answer: {told:?}");
    assert_eq!(said[0]["content"], "I will look up both orders.");
    assert_eq!(said[0]["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!(said[1]["content"], "One more look.\n");
    let ids: Vec<&str> = said
        .iter()
        .flat_map(|one| one["tool_calls"].as_array().unwrap())
        .map(|call| call["id"].as_str().unwrap())
        .collect();
    let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), 3, "{ids:?}");
    let answered: Vec<&str> = told
        .iter()
        .filter(|one| one["role"] == "tool")
        .map(|one| one["tool_call_id"].as_str().unwrap())
        .collect();
    assert_eq!(answered, ids);
}

#[tokio::test]
async fn what_a_model_said_before_a_pause_is_shown_to_it_after() {
    let arguments = "{\"order_id\":\"ORD-17\",\"amount\":150,\"reason\":\"goodwill\"}";
    let asks = [
        json!({ "content": "I pay to 4111 1111 1111 1111." }),
        called(0, "call_0", "ops__process_refund", arguments),
    ];
    let world = World::with_model([answer(&asks, "tool_calls"), Act::say("It is refunded.")]).await;
    let (ann, boss) = (world.user("support"), world.user("supervisor"));
    let turn = ann.asks("Refund 150 for order 17, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    boss.approves(&turn).await;
    turn.answers("It is refunded.").await;
    let told = world.model().seen()[1].body["messages"].as_array().unwrap().clone();
    let said = told.iter().find(|one| one["role"] == "assistant").unwrap();
    let words = said["content"].as_str().unwrap();
    assert!(words.starts_with("I pay to ") && !words.contains("4111 1111"), "as it was screened: {words}");
    assert_eq!(said["tool_calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_error_is_marked_as_one_and_the_model_does_not_take_it_for_its_own_words() {
    let refused = Act::Status(400, None, json!({ "error": { "message": "no" } }).to_string());
    let cut = answer(&[], "length");
    let acts = [refused, cut, Act::say("Now it works."), answer(&[], "stop")];
    let world = World::with_model(acts).await;
    let ann = world.user("support");
    let first = ann.asks("Is the shop open?").await;
    let error = first.ends().await["error"].clone();
    assert_eq!(error["code"], "model_failed");
    let talk = first.conversation();
    let empty = ann.goes_on(talk, "And now?").await.ends().await;
    assert_eq!((&empty["status"], &empty["finish"]), (&json!("answered"), &json!("length")), "{empty}");
    ann.goes_on(talk, "And at last?").await.answers("Now it works.").await;
    let path = format!("/api/v1/conversations/{talk}/messages");
    let messages = ann.get(&path).await.expect(200).body["messages"].as_array().unwrap().clone();
    assert_eq!(messages[1]["error"], "model_failed", "{messages:?}");
    assert_eq!(messages[1]["message"]["text"], error["message"]);
    assert_eq!((&messages[3]["finish"], &messages[3]["error"]), (&json!("length"), &Value::Null));
    assert_eq!((&messages[5]["finish"], &messages[5]["error"]), (&Value::Null, &Value::Null));
    let told = world.model().seen()[2].body["messages"].as_array().unwrap().clone();
    let said: Vec<&str> = told
        .iter()
        .filter(|one| one["role"] == "assistant")
        .map(|one| one["content"].as_str().unwrap())
        .collect();
    assert_eq!(said.len(), 2, "no question stands there as an open one: {told:?}");
    assert!(said.iter().all(|text| text.starts_with("[Note: there is no answer to this.")), "{said:?}");
    assert!(said[0].contains("model_failed") && said[1].contains("length"), "{said:?}");
    let nothing = ann.goes_on(talk, "Say nothing.").await.ends().await["error"].clone();
    assert_eq!(nothing["code"], "model_failed", "no words and no calls are no answer");
    let last = ann.get(&format!("{path}?after=7")).await.expect(200);
    assert_eq!(last.at("/messages/0/error"), "model_failed", "{}", last.text);
    assert_eq!(nothing["message"], last.at("/messages/0/message/text"));
}

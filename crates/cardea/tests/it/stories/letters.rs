//! What is passed on is passed on to the letter, and what cannot be is refused.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use cardea_testkit::{
    World,
    model::Act,
    world::{Say, Service},
};
use serde_json::{Value, json};

const ITEMS: &str = r#"
[connector]
name = "demo"
base = "BASE"

[[operation]]
name           = "put"
about          = "Set the number."
effect         = "write"
request        = { method = "PUT", path = "/number", body = { number = "{number}" } }
input          = { number = "integer" }
accept_unknown = true
sends_outside  = false
"#;

const POLICIES: &str = r#"
@id("support-may") @reason("support may.")
permit (principal in Role::"support", action, resource in Server::"demo");
"#;

/// An answer that asks for this tool, with the arguments as they are written here.
pub(super) fn wishes(tool: &str, arguments: &str) -> Act {
    let call =
        json!({ "id": "c1", "type": "function", "function": { "name": tool, "arguments": arguments } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    answers(message, "tool_calls")
}

fn answers(message: Value, finish: &str) -> Act {
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
    let document = json!({ "object": "chat.completion", "choices": [choice] });
    Act::Document("application/json", document.to_string())
}

async fn items(acts: impl IntoIterator<Item = Act>) -> World {
    let plan = World::plan().model(acts).policies(POLICIES);
    let world = plan.connector(Service::start().await, ITEMS).start().await;
    world.service().says("PUT /number", [Say::Json(200, json!({ "ok": true }))]);
    world
}

#[tokio::test]
async fn a_number_that_does_not_fit_is_refused_and_nothing_is_written() {
    const PUT: &str = "demo__put";
    let world = items([
        wishes(PUT, r#"{"number":12345678901234567890123}"#),
        wishes(PUT, r#"{"number":1,"number":2}"#),
        wishes(PUT, r#"{"number":1e2}"#),
        Act::say("It is 100."),
    ])
    .await;
    let receipt = world.user("support").asks("Set it.").await.answers("It is 100").await;
    let reason = |at: usize| receipt["tools"][at]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason(0).contains("`/number`: the number has more digits"), "{receipt}");
    assert!(reason(1).contains("`/number`: it is given more than once"), "{receipt}");
    let told = world.model().seen()[1].body.to_string();
    assert!(told.contains("more digits than can be kept"), "{told}");
    let came = world.service().came("PUT /number");
    assert_eq!(came.iter().map(|one| one.body.to_string()).collect::<Vec<_>>(), [r#"{"number":100}"#]);
}

#[tokio::test]
async fn a_number_that_does_not_fit_is_refused_at_mcp_too() {
    let world = items([Act::say("never said")]).await;
    let ann = world.user("support");
    let call = async |number: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"demo__put","arguments":{{"number":{number}}}}}}}"#
        );
        let headers = [("accept", "application/json, text/event-stream")];
        ann.send("POST", "/mcp", &headers, &body).await.expect(200)
    };
    let refused = call("18446744073709551617").await;
    assert_eq!(refused.body["result"]["isError"], true, "{}", refused.text);
    assert!(refused.text.contains("more digits than can be kept"), "{}", refused.text);
    assert!(world.service().came("PUT /number").is_empty());
    let done = call("18446744073709551615").await;
    assert_ne!(done.body["result"]["isError"], true, "{}", done.text);
    assert_eq!(world.service().came("PUT /number")[0].body, json!({ "number": u64::MAX }));
}

#[tokio::test]
async fn arguments_of_a_clients_own_tools_go_both_ways_to_the_letter() {
    const CARD: &str = "4111111111111111";
    let odd = r#"{ "id":12345678901234567890123, "x":1e2, "a":1, "a":2}"#;
    let world = World::with_model([wishes("w", odd), Act::say("Seen."), Act::say("Seen.")]).await;
    let ann = world.user("support");
    let tools = json!([{ "type": "function", "function": { "name": "w" } }]);
    let ask = async |messages: &Value| {
        let body = json!({ "model": "scripted", "messages": messages, "tools": tools });
        ann.post("/v1/chat/completions", &body).await.expect(200)
    };
    let mut messages = json!([{ "role": "user", "content": "Go." }]);
    let answer = ask(&messages).await;
    assert_eq!(answer.at("/choices/0/message/tool_calls/0/function/arguments"), odd);

    let history = messages.as_array_mut().unwrap();
    for (id, arguments) in [("c1", odd), ("c2", "{\"half\": ")] {
        let function = json!({ "name": "w", "arguments": arguments });
        history.push(json!({ "role": "assistant", "tool_calls": [{ "id": id, "type": "function", "function": function }] }));
        history.push(json!({ "role": "tool", "tool_call_id": id, "content": "ok" }));
    }
    drop(ask(&messages).await);
    let sent = |asked: usize, at: usize| {
        let seen =
            &world.model().seen()[asked].body["messages"][at]["tool_calls"][0]["function"]["arguments"];
        seen.as_str().unwrap_or_default().to_owned()
    };
    assert_eq!((sent(1, 1).as_str(), sent(1, 3).as_str()), (odd, "{\"half\": "));

    // A guardrail reads what stands there twice as well, and what is no JSON.
    messages[1]["tool_calls"][0]["function"]["arguments"] = json!(format!(r#"{{"a":"{CARD}","a":"x"}}"#));
    messages[3]["tool_calls"][0]["function"]["arguments"] = json!(format!("half {CARD}"));
    drop(ask(&messages).await);
    assert!(!world.model().seen()[2].body.to_string().contains(CARD), "{:?}", world.model().seen()[2]);
    assert_eq!((sent(2, 1).as_str(), sent(2, 3).as_str()), (r#"{"a":"x"}"#, "half [CARD_1]"));
}

#[tokio::test]
async fn an_agent_takes_the_new_message_and_says_so() {
    let world = World::with_model([Act::say("Hello Ann.")]).await;
    let ann = world.user("support");
    let (hi, hello) =
        (json!({ "role": "user", "content": "hi" }), json!({ "role": "assistant", "content": "hello" }));
    let system = json!({ "role": "system", "content": "Answer in French." });
    for (messages, param) in [
        (json!([system, hi]), "messages[0].role"),
        (json!([hi, hello, hi]), "messages"),
        (json!([hi, hi]), "messages"),
    ] {
        let body = json!({ "model": "agent/scripted", "messages": messages });
        let refused = ann.post("/v1/chat/completions", &body).await.expect(400);
        assert_eq!(refused.at("/error/param"), param, "{messages}");
    }
    let body = json!({ "model": "agent/scripted", "messages": [hi, hello, hi] });
    let refused = ann.post("/v1/chat/completions", &body).await.expect(400);
    assert!(refused.at("/error/message").contains("`x-cardea-conversation`"), "{}", refused.text);
    assert!(world.model().seen().is_empty());
}

#[tokio::test]
async fn who_speaks_and_how_wordy_the_answer_shall_be_is_passed_on_and_not_mixed_up() {
    let world = World::with_model((1..=9).map(|n| Act::say(&format!("Answer {n}.")))).await;
    let ann = world.user("support");
    let ask = async |name: &str, more: Value| {
        let mut body = json!({ "model": "scripted", "messages": [{ "role": "user", "name": name, "content": "Who am I?" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ann.post("/v1/chat/completions", &body).await
    };
    for (name, more) in [("Ann", json!({})), ("Bob", json!({})), ("Ann", json!({ "verbosity": "low" }))] {
        for cache in ["none", "exact"] {
            assert_eq!(ask(name, more.clone()).await.expect(200).at("/cardea/cache"), cache, "{name} {more}");
        }
        let sent = world.model().seen().pop().unwrap().body;
        assert_eq!((&sent["messages"][0]["name"], &sent["verbosity"]), (&json!(name), &more["verbosity"]));
    }
    assert_eq!(ask("two words", json!({})).await.expect(400).at("/error/param"), "messages[0].name");
    assert_eq!(ask("Ann", json!({ "top_k": 4 })).await.expect(400).at("/error/param"), "top_k");
}

#[tokio::test]
async fn a_models_refusal_stays_one() {
    let refuses = || {
        answers(
            json!({ "role": "assistant", "content": null, "refusal": "I will not, 4111 1111 1111 1111." }),
            "stop",
        )
    };
    let world = World::with_model([refuses(), refuses()]).await;
    let ann = world.user("support");
    let mut body = json!({ "model": "scripted", "messages": [{ "role": "user", "content": "Do it." }] });
    let whole = ann.post("/v1/chat/completions", &body).await.expect(200);
    let message = &whole.body["choices"][0]["message"];
    assert_eq!((&message["content"], &message["refusal"]), (&Value::Null, &json!("I will not, [CARD_1].")));
    body["stream"] = json!(true);
    let streamed = ann.post("/v1/chat/completions", &body).await.expect(200);
    let chunks: Vec<Value> = streamed.events().iter().map(cardea_testkit::world::Event::json).collect();
    let said = |what: &str| -> String {
        let piece =
            |chunk: &Value| chunk["choices"][0]["delta"][what].as_str().unwrap_or_default().to_owned();
        chunks.iter().map(piece).collect()
    };
    assert_eq!((said("refusal").as_str(), said("content").as_str()), ("I will not, [CARD_1].", ""));
    assert_eq!(world.model().seen().len(), 2, "a refusal is not given again");
}

#[tokio::test]
async fn a_streamed_answer_says_that_it_was_given_before() {
    let world = World::with_model([Act::say("It opens at nine.")]).await;
    let ann = world.user("support");
    let body =
        json!({ "model": "scripted", "stream": true, "messages": [{ "role": "user", "content": "When?" }] });
    for cache in ["none", "exact"] {
        let streamed = ann.post("/v1/chat/completions", &body).await.expect(200);
        let chunks: Vec<Value> = streamed.events().iter().map(cardea_testkit::world::Event::json).collect();
        let closing = chunks.iter().find(|chunk| chunk["choices"][0]["finish_reason"] == "stop").unwrap();
        assert_eq!(closing["cardea"]["cache"], cache, "{closing}");
    }
}

#[tokio::test]
async fn who_has_too_much_in_work_is_told_so_and_not_that_the_server_is_busy() {
    let slow = Act::Drip("It opens at nine.".into(), Duration::from_millis(3));
    let plan = World::plan().model([slow]).set("CARDEA_LIMITS__IN_FLIGHT_PER_USER", "1");
    let world = plan.start().await;
    let ann = world.user("support");
    let ask = |text: &str| json!({ "model": "scripted", "messages": [{ "role": "user", "content": text }] });
    let (first, second) = (ask("When?"), ask("And when?"));
    let second = async {
        while world.model().seen().is_empty() {
            tokio::task::yield_now().await;
        }
        ann.post("/v1/chat/completions", &second).await
    };
    let (first, second) = tokio::join!(ann.post("/v1/chat/completions", &first), second);
    drop(first.expect(200));
    let second = second.expect(429);
    assert_eq!((second.at("/error/code"), second.header("retry-after")), ("rate_limited", "1"));
    assert!(second.at("/error/message").contains("You have 1 requests in work"), "{}", second.text);
}

/// Asks for a stream over a socket of its own, reads until these words have come, and hangs up.
pub(super) fn hangs_up_after(address: &str, token: &str, body: &str, words: &str) {
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(words) {
        let mut piece = [0; 1_024];
        let count = socket.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..count]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_closes_a_stream_stops_the_model_pays_for_what_came_and_may_ask_again() {
    let long = Act::SilentAfter("A long story. ".repeat(100));
    let plan = World::plan().model([long, Act::say("It opens at nine.")]);
    let plan =
        plan.set("CARDEA_LIMITS__PER_USER", "100000/min").set("CARDEA_LIMITS__PER_TENANT", "100000/min");
    let plan = plan.set("CARDEA_LIMITS__IN_FLIGHT_PER_USER", "1");
    let world = plan.set("CARDEA_LIMITS__USER_BUDGET__TOKENS", "100000").start().await;
    let ann = world.user("support");
    let (address, token) = (world.url.trim_start_matches("http://").to_owned(), ann.token().to_owned());
    let ask = |stream: bool| json!({ "model": "scripted", "stream": stream, "messages": [{ "role": "user", "content": "Go on." }] });
    let body = ask(true).to_string();
    let hung_up = tokio::task::spawn_blocking(move || hangs_up_after(&address, &token, &body, "story"));
    hung_up.await.unwrap();
    // The model would be silent for longer than this test waits.
    let answered = async {
        loop {
            let reply = ann.post("/v1/chat/completions", &ask(false)).await;
            if reply.status != 429 {
                return reply.expect(200);
            }
        }
    };
    let answered = tokio::time::timeout(Duration::from_secs(10), answered).await.expect("the place is free");
    assert_eq!(answered.at("/choices/0/message/content"), "It opens at nine.");
    drop(ann.get("/api/v1/budget").await.expect(200)); // what was used a moment ago is written before it is told
    let sql = "SELECT CAST(SUM(spent) AS BIGINT) FROM budgets WHERE unit = 'tokens'";
    let (paid,): (i64,) = world.app.db.row(sql, cardea_store::args![]).await.unwrap().unwrap();
    assert!(paid > 20 + 16, "what was read and written before is paid: {paid}");
}

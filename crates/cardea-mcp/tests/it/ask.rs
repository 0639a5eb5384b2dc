//! Questions to the user in the middle of a call, on the wire where the client carries the state.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use cardea_mcp::{
    Args, Confirm, Context, Layers, Millis, Result, Server, State, TestClient, Tool,
    guard::RequireAuth,
    layer::Concurrency,
    rmcp::model::{RequestStateCodec, SealOptions},
    schemars::JsonSchema,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Who {
    customer_id: u32,
}

async fn delete(Args(who): Args<Who>, context: Context) -> Result<String> {
    let answer: Confirm = context.ask("confirm", "Delete for ever?").await?;
    Ok(if answer.confirm { format!("deleted {}", who.customer_id) } else { "kept".to_owned() })
}

fn server() -> Server {
    let tool = |name| Tool::new(name, delete).about("Deletes.").guard(RequireAuth);
    Server::new("s", "1").tool(tool("delete")).tool(tool("remove"))
}

fn call(tool: &str, id: u32, state: Option<&str>) -> Value {
    let mut params = json!({ "name": tool, "arguments": { "customer_id": id } });
    if let Some(state) = state {
        params["requestState"] = json!(state);
        params["inputResponses"] =
            json!({ "confirm": { "action": "accept", "content": { "confirm": true } } });
    }
    params
}

#[tokio::test]
async fn an_answer_counts_only_for_the_user_tool_and_arguments_that_it_was_asked_for() {
    let ann = TestClient::new(server()).unwrap().as_user("ann");
    let (_, asked) = ann.post("tools/call", Some("delete"), call("delete", 7, None)).await;
    assert_eq!(asked.pointer("/result/resultType"), Some(&json!("input_required")), "{asked}");
    let state = asked.pointer("/result/requestState").and_then(Value::as_str).unwrap().to_owned();

    let text = async |who: &TestClient, tool: &str, id, state: &str| {
        let (_, body) = who.post("tools/call", Some(tool), call(tool, id, Some(state))).await;
        let told = body.pointer("/result/content/0/text").or_else(|| body.pointer("/error/message"));
        told.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    assert_eq!(text(&ann, "delete", 7, &state).await, "deleted 7");
    let refused = "does not belong to this call";
    assert!(text(&ann, "delete", 8, &state).await.contains(refused), "other arguments");
    assert!(text(&ann, "remove", 7, &state).await.contains(refused), "another tool");
    assert!(text(&ann.clone().as_user("bob"), "delete", 7, &state).await.contains(refused), "another user");
    assert!(
        text(&ann.clone().tenant("other"), "delete", 7, &state).await.contains(refused),
        "another tenant"
    );
    for at in 0..state.len() {
        let mut flipped = state.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        assert!(text(&ann, "delete", 7, &flipped).await.contains(refused), "byte {at} changed");
    }
}

#[tokio::test]
async fn an_answer_without_its_state_does_nothing() {
    let ann = TestClient::new(server()).unwrap().as_user("ann");
    let mut params = call("delete", 7, Some("x"));
    params.as_object_mut().unwrap().remove("requestState");
    let (_, body) = ann.post("tools/call", Some("delete"), params).await;
    assert!(body.to_string().contains("does not belong"), "{body}");
}

#[tokio::test]
async fn f07_an_answer_that_comes_too_late_does_nothing() {
    let ann = TestClient::new(server().question_key([7; 32])).unwrap().as_user("ann");
    let codec = RequestStateCodec::try_new(vec![7; 32]).unwrap();
    let (who, asked) = ("7:default;4:test;3:ann;", r#"6:delete{"customer_id":7}"#);
    let digest: String =
        digest(&SHA256, asked.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let bound = format!("{}:{who}{digest}", who.len());
    let answer = async |time: Duration| {
        let options = SealOptions::new().associated_data(bound.as_bytes()).ttl(time);
        let state = codec.seal_with(br#"{"key":"confirm","answers":{}}"#, &options);
        let sealed = Instant::now();
        while sealed.elapsed() < Duration::from_millis(3) {
            tokio::task::yield_now().await;
        }
        ann.post("tools/call", Some("delete"), call("delete", 7, Some(&state))).await.1.to_string()
    };
    let in_time = answer(Duration::from_secs(60)).await;
    assert!(in_time.contains("deleted 7"), "{in_time}");
    let late = answer(Duration::ZERO).await;
    assert!(late.contains("does not belong to this call"), "{late}");
}

#[derive(Deserialize, JsonSchema)]
struct Reason {
    reason: String,
}

async fn close(Args(who): Args<Who>, context: Context) -> Result<String> {
    let sure: Confirm = context.ask("confirm", "Close the account?").await?;
    let why: Reason = context.ask("reason", "Why?").await?;
    Ok(format!("closed {}: {}, {}", who.customer_id, sure.confirm, why.reason))
}

fn closing() -> Server {
    Server::new("s", "1").tool(Tool::new("close", close).about("Closes an account."))
}

fn accepted(key: &str) -> Value {
    let content = if key == "confirm" { json!({ "confirm": true }) } else { json!({ "reason": "moved" }) };
    json!({ "action": "accept", "content": content })
}

/// What the client is asked, or told, after these answers.
async fn round(who: &TestClient, answers: &[&str], state: &str) -> (String, String) {
    let mut params = json!({ "name": "close", "arguments": { "customer_id": 7 } });
    if !state.is_empty() {
        let answers = answers.iter().map(|key| ((*key).to_owned(), accepted(key)));
        params["inputResponses"] = Value::Object(answers.collect());
        params["requestState"] = json!(state);
    }
    let (_, body) = who.post("tools/call", Some("close"), params).await;
    let Some(asked) = body.pointer("/result/inputRequests").and_then(Value::as_object) else {
        let told = body.pointer("/result/content/0/text").or_else(|| body.pointer("/error/message"));
        return (told.and_then(Value::as_str).unwrap_or_default().to_owned(), String::new());
    };
    let asked = asked.keys().cloned().collect::<Vec<_>>().join(" ");
    (asked, body.pointer("/result/requestState").and_then(Value::as_str).unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_tool_with_two_questions_gets_both_answers_from_a_client_that_sends_each_once() {
    let ann = TestClient::new(closing()).unwrap().as_user("ann");
    let (asked, first) = round(&ann, &[], "").await;
    assert_eq!(asked, "confirm");
    let (asked, second) = round(&ann, &["confirm"], &first).await;
    assert_eq!(asked, "reason");
    assert_eq!(round(&ann, &["reason"], &second).await.0, "closed 7: true, moved");
    let all = round(&ann, &["confirm", "reason"], &second).await.0;
    assert_eq!(all, "closed 7: true, moved", "a client may send all its answers again");
    let (again, third) = round(&ann, &[], &second).await;
    assert_eq!(again, "reason", "what was answered stays answered");
    assert_eq!(round(&ann, &["reason"], &third).await.0, "closed 7: true, moved");

    let refused = "does not belong to this call";
    let early = round(&ann, &["confirm", "reason"], &first).await.0;
    assert!(early.contains(refused), "an answer to what was not asked: {early}");
    let swapped = round(&ann, &["confirm", "reason"], "x").await.0;
    assert!(swapped.contains(refused), "{swapped}");
    let bob = ann.clone().as_user("bob");
    assert_eq!(round(&bob, &["reason"], &second).await.0, "confirm", "another user has answered nothing");
}

/// Sends one message of an older client and gives back the head and what is left of the answer.
async fn send(routes: &axum::Router, session: &str, message: Value) -> http::Response<axum::body::Body> {
    let request = http::Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    let request = if session.is_empty() { request } else { request.header("mcp-session-id", session) };
    let request = request.body(axum::body::Body::from(message.to_string())).unwrap();
    tower::ServiceExt::oneshot(routes.clone(), request).await.unwrap()
}

#[tokio::test]
async fn a_tool_with_two_questions_asks_both_of_an_older_client() {
    let routes = closing().legacy_sessions().build().unwrap().routes();
    let session = session(&routes, json!({ "elicitation": {} })).await;
    let mut events = send(&routes, &session, calls(2, "close")).await.into_body();
    let (mut asked, mut text) = (Vec::new(), String::new());
    let told = loop {
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data =
                event.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default().to_owned();
            text = rest.to_owned();
            let Ok(message) = serde_json::from_str::<Value>(data.trim()) else { continue };
            if message["method"] == "elicitation/create" {
                let key = if message["params"]["message"] == "Why?" { "reason" } else { "confirm" };
                asked.push(key);
                let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": accepted(key) });
                assert!(send(&routes, &session, answer).await.status().is_success());
            } else if message.get("result").is_some() {
                text = message["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
                asked.push("done");
            }
        }
        if asked.last() == Some(&"done") {
            break text;
        }
        let frame = http_body_util::BodyExt::frame(&mut events).await.expect("an answer").unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    };
    assert_eq!((asked, told.as_str()), (vec!["confirm", "reason", "done"], "closed 7: true, moved"));
}

fn calls(id: u32, tool: &str) -> Value {
    let call = json!({ "name": tool, "arguments": { "customer_id": 7 } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call })
}

/// The session of an older client with these capabilities.
async fn session(routes: &axum::Router, capabilities: Value) -> String {
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": { "name": "t", "version": "0" } });
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello });
    let session = send(routes, "", hello).await.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    send(routes, &session, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    session
}

#[tokio::test(start_paused = true)]
async fn an_older_client_that_cannot_be_asked_is_told_so_at_once() {
    let alone = closing().build().unwrap().routes();
    let lasting = closing().legacy_sessions().build().unwrap().routes();
    let mute = session(&lasting, json!({})).await;
    for (routes, session) in [(alone, ""), (lasting, mute.as_str())] {
        let answer = send(&routes, session, calls(2, "close")).await;
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        let told = String::from_utf8_lossy(&body).into_owned();
        assert!(told.contains("This client cannot ask its user."), "{told}");
    }
}

/// Reads events until one holds this.
async fn until(events: &mut axum::body::Body, word: &str) -> String {
    let mut text = String::new();
    while !text.contains(word) || !text.ends_with('\n') {
        let frame = http_body_util::BodyExt::frame(events).await.expect("more").unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    text
}

async fn waits(State(over): State<Arc<tokio::sync::Notify>>, context: Context) -> Result<()> {
    let answer = context.ask::<Confirm>("confirm", "Go on?").await;
    over.notify_one();
    answer.map(drop)
}

#[tokio::test]
async fn a_question_ends_with_the_call_that_asks_it() {
    let over = Arc::new(tokio::sync::Notify::new());
    let waits = Tool::new("waits", waits).about("Waits for an answer.");
    let routes =
        Server::new("s", "1").state(over.clone()).tool(waits).legacy_sessions().build().unwrap().routes();
    let session = session(&routes, json!({ "elicitation": {} })).await;
    let mut call = calls(2, "waits");
    call["params"]["arguments"] = json!({});
    let mut events = send(&routes, &session, call).await.into_body();
    until(&mut events, "elicitation/create").await;
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 2 } });
    assert!(send(&routes, &session, cancelled).await.status().is_success());
    tokio::time::timeout(Duration::from_secs(30), over.notified()).await.expect("nobody waits any more");
}

/// What has happened, and a call that holds its seat until it is told to end.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<&'static str>>>, Arc<tokio::sync::Notify>);

impl Story {
    fn tell(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }
}

async fn asks(State(story): State<Story>, context: Context) -> Result<()> {
    context.ask::<Confirm>("confirm", "Go on?").await?;
    story.tell("asks goes on");
    Ok(())
}

async fn holds(State(story): State<Story>) -> Result<()> {
    story.tell("holds");
    story.1.notified().await;
    story.tell("holds no more");
    Ok(())
}

async fn quick() -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn a_call_that_waits_for_its_user_takes_no_seat_and_goes_on_in_one() {
    let story = Story::default();
    let tool = |tool: Tool| tool.about("A part of the story.").reads();
    let server = Server::new("s", "1")
        .layers(Layers::new().concurrency(Concurrency::new(1, Millis(0))))
        .state(story.clone())
        .tool(tool(Tool::new("asks", asks)))
        .tool(tool(Tool::new("holds", holds)))
        .tool(tool(Tool::new("quick", quick)));
    let client = TestClient::new(server.legacy_sessions()).unwrap();
    let routes = client.service().routes();
    let session = session(&routes, json!({ "elicitation": {} })).await;
    let call = |id: u32, tool: &str| {
        let mut call = calls(id, tool);
        call["params"]["arguments"] = json!({});
        call
    };
    let mut events = send(&routes, &session, call(2, "asks")).await.into_body();
    let question = until(&mut events, "elicitation/create").await;
    assert_eq!(client.call("quick", json!({})).await.code(), "done", "the seat is free meanwhile");

    let others = async {
        while story.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let data = question
            .lines()
            .find_map(|line| line.strip_prefix("data:").filter(|data| data.contains("elicitation")));
        let asked: Value = serde_json::from_str(data.unwrap()).unwrap();
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": accepted("confirm") });
        assert!(send(&routes, &session, answer).await.status().is_success());
        for _ in 0..100 {
            tokio::task::yield_now().await; // and it could go on if it needed no seat
        }
        assert_eq!(client.call("quick", json!({})).await.code(), "overloaded");
        story.1.notify_one();
    };
    let (held, ()) = tokio::join!(client.call("holds", json!({})), others);
    assert_eq!(held.code(), "done");
    until(&mut events, "\"result\"").await;
    assert_eq!(*story.0.lock().unwrap(), ["holds", "holds no more", "asks goes on"]);
    assert_eq!(client.call("quick", json!({})).await.code(), "done", "and its seat is free again");
}

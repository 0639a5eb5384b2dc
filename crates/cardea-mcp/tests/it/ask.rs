//! Questions to the user in the middle of a call, on the wire where the client carries the state.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use cardea_mcp::{
    Args, Confirm, Context, Result, Server, TestClient, Tool,
    guard::RequireAuth,
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
        let state = codec.seal_with(b"confirm", &options);
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

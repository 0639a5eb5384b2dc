//! `/mcp` with rmcp's own client, on both wires.

use cardea_testkit::{
    World,
    world::{McpClient, Say, User},
};
use rmcp::{
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, RequestMetaObject},
    service::ServiceError,
};
use serde_json::{Value, json};

use super::undo::{POLICIES, warehouse};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

async fn names(client: &McpClient) -> Vec<String> {
    client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
}

async fn call(
    client: &McpClient,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let params = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    match client.call_tool_once(params).await? {
        CallToolResponse::Complete(result) => Ok(result),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_caller_sees_and_calls_their_own_tools_on_both_wires() {
    let world = World::start().await;
    for older in [true, false] {
        let support = world.user("support").mcp(older).await.unwrap();
        let analyst = world.user("analyst").mcp(older).await.unwrap();
        let (hers, his) = (names(&support).await, names(&analyst).await);
        let has = |list: &[String], tool: &str| list.iter().any(|name| name == tool);
        assert!(has(&hers, "ops__update_ticket") && !has(&his, "ops__update_ticket"), "{his:?}");
        assert!(has(&hers, "ops__get_order") && has(&his, "ops__get_order"));
        assert!(!has(&hers, "ops__delete_customer"), "{hers:?}");

        let order = call(&analyst, "ops__get_order", json!({ "order_id": "ORD-17" })).await.unwrap();
        assert_eq!(order.structured_content.as_ref().unwrap()["status"], "delivered", "{order:?}");
        let unknown = call(&support, "ops__delete_customer", json!({ "customer_id": 1 })).await;
        let never = call(&support, "ops__no_such_tool", json!({})).await;
        let told = |result: Result<CallToolResult, ServiceError>| match result {
            Err(ServiceError::McpError(error)) => error.message.into_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(unknown), told(never), "a forbidden tool is as unknown as one that never was");
        let refused =
            call(&analyst, "ops__process_refund", json!({ "order_id": "ORD-17", "amount": 5 })).await;
        assert_eq!(refused.unwrap().is_error, Some(true));
        let wrong = call(&support, "ops__get_order", json!({ "order_id": 17.5 })).await;
        assert!(wrong.is_err() || wrong.unwrap().is_error == Some(true));
    }
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn a_call_that_is_repeated_under_one_key_is_made_once_on_both_wires() {
    let world = World::start().await;
    for (older, paid) in [(true, 1), (false, 2)] {
        let ann = world.user("support").mcp(older).await.unwrap();
        let refund = |amount: u32| {
            let arguments =
                json!({ "order_id": "ORD-17", "amount": amount, "idempotency_key": older.to_string() });
            let mut params = CallToolRequestParams::new("ops__process_refund")
                .with_arguments(arguments.as_object().unwrap().clone());
            let mut meta = RequestMetaObject::new();
            meta.insert("dev.cardea/idempotency-key".to_owned(), json!(format!("refund-{older}")));
            params.meta = Some(meta);
            ann.call_tool_once(params)
        };
        let first = refund(5).await.unwrap();
        let again = refund(5).await.unwrap();
        assert_eq!(format!("{first:?}"), format!("{again:?}"), "the saved answer");
        assert_eq!(world.shop().refunds(17).await, paid);
        let ServiceError::McpError(other) = refund(6).await.unwrap_err() else { panic!("refused") };
        assert_eq!(other.data.unwrap()["code"], "idempotency_key_reused");
    }
}

#[tokio::test]
async fn a_call_that_is_repeated_is_told_as_at_first_also_where_nothing_takes_it_back_or_nobody_knows() {
    let world = warehouse(POLICIES, []).await;
    world.service().says("POST /reservations", [Say::Json(201, json!({ "state": "reserved" }))]); // no id
    world.service().says("POST /charges", [Say::Silent]);
    let ann = world.user("support").mcp(false).await.unwrap();
    let keyed = |tool: &'static str, arguments: &Value| {
        let mut params =
            CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
        let mut meta = RequestMetaObject::new();
        meta.insert("dev.cardea/idempotency-key".to_owned(), json!(tool));
        params.meta = Some(meta);
        ann.call_tool_once(params)
    };
    for (tool, arguments, failed) in
        [("demo__reserve", json!({ "item": "book" }), false), ("demo__charge", json!({ "amount": 9 }), true)]
    {
        let CallToolResponse::Complete(first) = keyed(tool, &arguments).await.unwrap() else {
            panic!("{tool}")
        };
        let sent = world.service().lines().len();
        let CallToolResponse::Complete(again) = keyed(tool, &arguments).await.unwrap() else {
            panic!("{tool}")
        };
        assert_eq!(format!("{first:?}"), format!("{again:?}"), "the saved answer of {tool}");
        assert_eq!(
            (first.is_error.unwrap_or(false), world.service().lines().len()),
            (failed, sent),
            "{first:?}"
        );
    }
}

#[tokio::test]
async fn a_large_refund_over_mcp_waits_and_then_runs_by_itself() {
    let world = World::start().await;
    let support = world.user("support");
    let client = support.mcp(false).await.unwrap();
    let waits =
        call(&client, "ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 })).await.unwrap();
    let told = waits.structured_content.as_ref().unwrap();
    assert_eq!((waits.is_error, &told["status"]), (Some(true), &json!("waiting")));
    let (approval, turn) = (told["approval"].as_str().unwrap(), told["turn"].as_str().unwrap());
    let path = format!("/api/v1/approvals/{approval}");
    drop(world.user("supervisor").post(&path, &json!({ "decision": "approve" })).await.expect(200));
    // A bare call tells no events, but its stream ends when it does.
    assert_eq!(support.follows(turn, None).await, []);
    let ended = support.get(&format!("/api/v1/turns/{turn}")).await.expect(200);
    assert_eq!(ended.at("/status"), "answered", "{}", ended.text);
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn a_client_without_a_credential_is_told_where_to_sign_in() {
    let world = World::start().await;
    let refused = world.stranger().send("POST", "/mcp", &[], PING).await.expect(401);
    let told = refused.header("www-authenticate");
    let metadata = told.split("resource_metadata=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(metadata, format!("{}/.well-known/oauth-protected-resource/mcp", world.url));
    let document = world.stranger().get(metadata.trim_start_matches(&world.url)).await.expect(200);
    assert_eq!(document.at("/resource"), format!("{}/mcp", world.url));
    assert!(world.stranger().mcp(true).await.is_err() && world.stranger().mcp(false).await.is_err());
}

#[tokio::test]
async fn a_web_page_of_somebody_else_may_not_call() {
    let world = World::start().await;
    let ann = world.user("support");
    let with = async |user: &User, origin: &str| {
        let accept = ("accept", "application/json, text/event-stream");
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
        let headers: Vec<(&str, &str)> =
            [("origin", origin), accept].into_iter().filter(|(_, value)| !value.is_empty()).collect();
        user.send("POST", "/mcp", &headers, &body.to_string()).await
    };
    drop(with(&ann, "https://evil.example").await.expect(403));
    drop(with(&ann, "null").await.expect(403));
    drop(with(&ann, "").await.expect(200));
}

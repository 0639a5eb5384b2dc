//! What `/mcp` refuses before any tool is looked at (F01, F03, F05, F12, F14).

use cardea_testkit::{
    World,
    world::{Reply, User},
};
use serde_json::{Value, json};

const NEW: &str = "2026-07-28";

/// A request of the newer wire, with some of its headers otherwise.
async fn asks(user: &User, (method, name): (&str, &str), mut params: Value, more: &[(&str, &str)]) -> Reply {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": NEW,
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    sends(user, (method, name), &body.to_string(), more).await
}

async fn sends(user: &User, (method, name): (&str, &str), body: &str, more: &[(&str, &str)]) -> Reply {
    let mut headers = vec![("accept", "application/json, text/event-stream"), ("mcp-method", method)];
    if !name.is_empty() {
        headers.push(("mcp-name", name));
    }
    if !more.iter().any(|(name, _)| *name == "mcp-protocol-version") {
        headers.push(("mcp-protocol-version", NEW));
    }
    headers.extend(more);
    user.send("POST", "/mcp", &headers, body).await
}

#[tokio::test]
async fn f01_a_page_in_a_browser_reaches_the_gateway_under_no_other_name() {
    let world = World::start().await;
    let ann = world.user("support");
    let own = world.url.trim_start_matches("http://");
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example"),
        ("host", "localhost.evil.example:8080"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1.evil.example"),
    ] {
        let refused = asks(&ann, ("tools/list", ""), json!({}), &[(name, value)]).await;
        assert_eq!(refused.status, 403, "{name}: {value} gave {}", refused.text);
    }
    drop(asks(&ann, ("tools/list", ""), json!({}), &[("host", own)]).await.expect(200));
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_call_every_route_and_other_pages_none() {
    let page = "https://console.example";
    let world = World::plan()
        .set("CARDEA_SERVER__ALLOWED_ORIGINS", r#"["https://console.example:443"]"#)
        .start()
        .await;
    let (ann, nobody) = (world.user("support"), world.stranger());
    for (method, path) in [
        ("GET", "/api/v1/conversations"),
        ("POST", "/v1/chat/completions"),
        ("DELETE", "/api/v1/cache"),
        ("POST", "/mcp"),
    ] {
        let asked = [
            ("origin", page),
            ("access-control-request-method", method),
            ("access-control-request-headers", "authorization,content-type,idempotency-key"),
        ];
        // A browser asks first, and without the credential.
        let told = nobody.send("OPTIONS", path, &asked, "").await.expect(200);
        assert_eq!(told.header("access-control-allow-origin"), page, "{path}");
        assert!(told.header("access-control-allow-methods").contains(method), "{path}");
        assert!(told.header("access-control-allow-headers").contains("idempotency-key"), "{path}");
        for other in ["https://evil.example", "https://console.example.evil.example", "null"] {
            let refused = nobody.send("OPTIONS", path, &[("origin", other)], "").await.expect(403);
            assert_eq!(refused.header("access-control-allow-origin"), "", "{path}");
            drop(ann.send(method, path, &[("origin", other)], "{}").await.expect(403));
        }
    }
    let answered = ann.send("GET", "/api/v1/conversations", &[("origin", page)], "").await.expect(200);
    assert_eq!(answered.header("access-control-allow-origin"), page);
    assert!(answered.header("access-control-expose-headers").contains("x-request-id"));
    let refused = nobody.send("GET", "/api/v1/conversations", &[("origin", page)], "").await.expect(401);
    assert_eq!(refused.header("access-control-allow-origin"), page, "a page must be able to read why");
}

#[tokio::test]
async fn f03_f05_headers_that_contradict_the_body_and_words_that_nobody_knows_are_refused() {
    let world = World::start().await;
    let ann = world.user("support");
    let refund = json!({ "name": "ops__process_refund", "arguments": { "order_id": "ORD-17", "amount": 5 } });
    let told = |reply: Reply| (reply.status, reply.body["error"]["code"].as_i64().unwrap_or_default());
    for named in ["ops__get_order", "ops__process_refunds", "OPS__PROCESS_REFUND", ""] {
        let answered = told(asks(&ann, ("tools/call", named), refund.clone(), &[]).await);
        assert_eq!(answered, (400, -32020), "{named}");
    }
    assert_eq!(
        told(asks(&ann, ("tools/list", "ops__get_order"), refund.clone(), &[("mcp-method", "x")]).await).0,
        400
    );
    let older = [("mcp-protocol-version", "2025-11-25")];
    assert_eq!(told(asks(&ann, ("tools/call", "ops__process_refund"), refund, &older).await), (400, -32020));
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "1999-01-01",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {} } } });
    let version = [("mcp-protocol-version", "1999-01-01")];
    let answered = told(sends(&ann, ("tools/list", ""), &unknown.to_string(), &version).await);
    assert_eq!(answered, (400, -32022));
    assert_eq!(told(asks(&ann, ("no/such", ""), json!({}), &[]).await), (404, -32601));
    assert_eq!(world.shop().refunds(17).await, 0);
}

#[tokio::test]
async fn f12_batches_huge_and_deep_bodies_are_refused() {
    let world = World::start().await;
    let ann = world.user("support");
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    let batch = json!([one, one]).to_string();
    let (open, close) = ("[".repeat(1_000), "]".repeat(1_000));
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{open}{close}}}"#);
    let nobody = json!({ "jsonrpc": "2.0", "id": null, "method": "tools/list" }).to_string();
    let more = [("mcp-protocol-version", "2025-11-25")];
    for (body, code) in [
        (batch.as_str(), -32600),
        (&deep, -32600),
        (&nobody, -32600),
        ("{\"jsonrpc\":", -32700),
        ("", -32700),
    ] {
        let refused = sends(&ann, ("tools/list", ""), body, &more).await.expect(400);
        let told = (&refused.body["jsonrpc"], &refused.body["id"], &refused.body["error"]["code"]);
        assert_eq!(told, (&json!("2.0"), &Value::Null, &json!(code)), "{body:.40}: {}", refused.text);
    }
    let large =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "x": "y".repeat(10 << 20) } });
    drop(sends(&ann, ("tools/list", ""), &large.to_string(), &more).await.expect(413));
    drop(asks(&ann, ("tools/list", ""), json!({}), &[]).await.expect(200));
}

#[tokio::test]
async fn a_key_that_is_not_understood_does_not_count_as_none_and_the_header_counts_as_well() {
    let world = World::start().await;
    let ann = world.user("support");
    let refund = |more| json!({ "name": "ops__process_refund", "arguments": { "order_id": "ORD-17", "amount": 5 }, "_": more });
    let call = ("tools/call", "ops__process_refund");
    let (twice, long) = ([("idempotency-key", "a"), ("idempotency-key", "b")], "x".repeat(256));
    for headers in [&twice[..], &[("idempotency-key", "")], &[("idempotency-key", &long)]] {
        let refused = asks(&ann, call, refund(0), headers).await;
        assert_eq!(refused.body["error"]["code"], -32602, "{}", refused.text);
    }
    for key in [json!(7), json!(""), json!(null), json!(["a"])] {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "ops__process_refund", "arguments": { "order_id": "ORD-17", "amount": 5 },
            "_meta": { "dev.cardea/idempotency-key": key } } });
        let older = [("mcp-protocol-version", "2025-11-25")];
        let refused = sends(&ann, call, &body.to_string(), &older).await;
        assert_eq!(refused.body["error"]["code"], -32602, "{key}: {}", refused.text);
    }
    assert_eq!(world.shop().refunds(17).await, 0);
    for _ in 0..2 {
        let paid = asks(&ann, call, refund(0), &[("idempotency-key", "once")]).await.expect(200);
        assert!(paid.body["result"]["isError"] != true, "{}", paid.text);
    }
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn f14_nobody_is_told_of_tools_that_change() {
    let world = World::start().await;
    let ann = world.user("support");
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let refused = asks(&ann, ("subscriptions/listen", ""), wanted, &[]).await.expect(404);
    assert_eq!(refused.body["error"]["code"], -32601, "{}", refused.text);
    let found = asks(&ann, ("server/discover", ""), json!({}), &[]).await.expect(200);
    assert!(found.body["result"]["capabilities"]["tools"].get("listChanged").is_none(), "{}", found.text);
}

#[tokio::test]
async fn f07_answers_and_state_that_a_client_brings_along_stand_in_for_no_person() {
    let world = World::start().await;
    let ann = world.user("support");
    let call =
        || json!({ "name": "ops__process_refund", "arguments": { "order_id": "ORD-17", "amount": 150 } });
    let first = asks(&ann, ("tools/call", "ops__process_refund"), call(), &[]).await.expect(200);
    let told = &first.body["result"]["structuredContent"];
    assert_eq!(told["status"], "waiting", "{}", first.text);
    let approval = told["approval"].as_str().unwrap().to_owned();
    let yes = json!({ "approve": { "action": "accept", "content": { "approved": true } } });
    for state in [json!(approval), json!("approved"), json!({ "approval": approval, "approved": true })] {
        let mut forged = call();
        forged["requestState"] = state.clone();
        forged["inputResponses"] = yes.clone();
        forged["_meta"] = json!({});
        let answered = asks(&ann, ("tools/call", "ops__process_refund"), forged, &[]).await;
        let waits = answered.body["result"]["structuredContent"]["status"] == "waiting";
        assert!(waits || (400..=404).contains(&answered.status), "{state}: {}", answered.text);
    }
    assert_eq!(world.shop().refunds(17).await, 0, "nobody has approved anything");
}

#[tokio::test]
async fn behind_a_path_pages_and_metadata_are_where_clients_look_for_them() {
    let public = "http://localhost/cardea"; // the issuer of these tests is for trying out
    let world = World::plan().set("CARDEA_SERVER__PUBLIC_URL", public).start().await;
    let told = world.stranger().get("/api/v1/agents").await.expect(401);
    assert_eq!(told.at("/type"), "/cardea/docs/errors/not_signed_in");
    let challenge = told.header("www-authenticate");
    let place = "/.well-known/oauth-protected-resource/cardea/mcp";
    assert!(challenge.contains(&format!("\"http://localhost{place}\"")), "{challenge}");
    let metadata = world.stranger().get(place).await.expect(200);
    assert_eq!(metadata.at("/resource"), "http://localhost/cardea/mcp");
    assert!(metadata.body.get("authorization_servers").is_none(), "nobody signs in at the built-in issuer");
}

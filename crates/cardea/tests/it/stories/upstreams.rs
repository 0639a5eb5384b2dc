//! Tool servers that answer otherwise than with a result: nothing is done twice, nothing leaks, and what is told is what
//! is known.

use std::time::{Duration, Instant};

use cardea_mcp::{Args, Server, Tool, guard::RequireAuth};
use cardea_testkit::{
    World,
    history::leaks,
    model::Act,
    world::{Plan, Retort, TENANT, Turncoat},
};
use serde_json::{Value, json};

const ALL: &str =
    "@id(\"odd\")\n@reason(\"everybody.\")\npermit (principal, action, resource in Server::\"odd\");\n";

const CREDENTIAL: &str = "shared-canary-5d1f0b92e7";

fn tools() -> Vec<Value> {
    let schema = json!({ "type": "object" });
    let tool = |name: &str| json!({ "name": name, "description": "Does some work.", "inputSchema": schema });
    ["look", "pay", "keyed"].map(tool).to_vec()
}

/// A world in which the model calls these tools, each in a turn of its own.
async fn world(server: &Turncoat, calls: &[&str]) -> World {
    plan(server, calls).start().await
}

fn plan(server: &Turncoat, calls: &[&str]) -> Plan {
    let upstream = format!(
        "[upstreams.odd]\nurl = \"http://{}/mcp\"\ncredential = \"{CREDENTIAL}\"\nkeyed = [\"keyed\"]\n\
         effects = {{ look = \"read\", pay = \"write\", keyed = \"write\" }}\n",
        server.target()
    );
    let acts =
        calls.iter().flat_map(|tool| [Act::call(&format!("odd__{tool}"), json!({})), Act::say("Well.")]);
    World::plan().model(acts).configure(&upstream).allow(&server.target()).policies(ALL)
}

/// State and reason of the one call of a turn.
fn told(receipt: &Value) -> (&str, &str) {
    let call = &receipt["tools"][0];
    (call["state"].as_str().unwrap(), call["reason"].as_str().unwrap_or_default())
}

/// What comes of one call of a tool that is answered so: its state, the reason, and how often it was sent.
async fn comes_of(tool: &str, replies: Vec<Retort>) -> (String, String, usize) {
    let server = Turncoat::start(tools()).await;
    let world = world(&server, &[tool]).await;
    server.replies(replies);
    let receipt = world.user("support").asks("Do it.").await.ends().await;
    let (state, reason) = told(&receipt);
    (state.to_owned(), reason.to_owned(), server.calls().len())
}

#[tokio::test]
async fn a_server_that_repeats_its_credential_shows_it_to_nobody() {
    let server = Turncoat::start(tools()).await;
    let world = world(&server, &["look", "look"]).await;
    server.replies([Retort::Echo, Retort::EchoError]);
    let ann = world.user("support");
    let mut shown = Vec::new();
    for state in ["done", "failed"] {
        let turn = ann.asks(&format!("Look until it is {state}.")).await;
        let receipt = turn.answers("Well.").await;
        assert_eq!(told(&receipt).0, state, "{receipt}");
        shown.push(receipt.to_string());
        shown.push(ann.get(&format!("/api/v1/turns/{}/events", turn.turn())).await.text);
        let talk = turn.conversation();
        shown.push(ann.get(&format!("/api/v1/conversations/{talk}/messages")).await.text);
    }
    shown.extend(world.model().seen().iter().map(|seen| seen.body.to_string()));
    let shown = shown.join("\n");
    let percent: String = CREDENTIAL.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert!(!shown.contains("canary-5d1f") && !shown.contains(&percent), "{shown}");
    assert!(shown.contains("Bearer ***"), "the rest is shown: {shown}");
    assert!(!json!(world.audit().await.entries).to_string().contains("canary-5d1f"));
    assert_eq!(leaks(&world.folder().join("data"), &[CREDENTIAL]).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_forgot_the_session_gets_a_new_one_and_an_unkeyed_write_is_sent_once() {
    for forgot in [Retort::NoSession, Retort::Status(404, "", None)] {
        let server = Turncoat::start(tools()).await;
        let world = world(&server, &["look", "look", "keyed", "pay", "pay"]).await;
        let ann = world.user("support");
        let begun = Instant::now();
        assert_eq!(told(&ann.asks("Look.").await.answers("Well.").await).0, "done");
        let sessions = server.sessions();
        for sent in [3, 5] {
            server.replies([forgot.clone()]);
            assert_eq!(told(&ann.asks(&format!("Do number {sent}.")).await.answers("Well.").await).0, "done");
            assert_eq!(server.calls().len(), sent, "a repeat of this does no harm");
        }
        server.replies([forgot]);
        let receipt = ann.asks("Pay.").await.answers("Well.").await;
        let (state, reason) = told(&receipt);
        assert_eq!((state, server.calls().len()), ("failed", 6), "{receipt}");
        assert!(reason.contains("does not know this connection any more and began nothing"), "{reason}");
        assert_eq!(told(&ann.asks("Pay now.").await.answers("Well.").await).0, "done");
        assert_eq!((server.calls().len(), server.sessions() - sessions), (7, 3));
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for an answer that was given");
    }
}

#[tokio::test]
async fn an_error_that_does_not_say_that_nothing_was_begun_leaves_a_write_unknown() {
    for (code, write) in [
        (-32_000, "unknown"),
        (-32_001, "unknown"),
        (-32_603, "unknown"),
        (-32_602, "failed"),
        (-32_601, "failed"),
        (-32_042, "failed"),
    ] {
        let (state, reason, calls) = comes_of("pay", vec![Retort::Error(code)]).await;
        assert_eq!((state.as_str(), calls), (write, 1), "{code}: {reason}");
        assert!(reason.contains("it says no"), "{reason}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_result_is_told_as_what_it_is() {
    const PAGE: &str = "<html>";
    for (reply, told, read, write) in [
        (Retort::Status(500, PAGE, None), "status 500", "failed", "unknown"),
        (Retort::Status(307, "", None), "points elsewhere (status 307)", "failed", "unknown"),
        (Retort::Status(429, PAGE, None), "is asked too often", "failed", "failed"),
        (Retort::Status(401, "", None), "refused Cardea's credential", "failed", "failed"),
        (Retort::Status(403, PAGE, None), "does not let you do this", "failed", "failed"),
        (Retort::Status(413, PAGE, None), "status 413", "failed", "failed"),
        (Retort::Status(404, PAGE, None), "status 404", "done", "unknown"),
        (Retort::Status(200, PAGE, None), "no JSON", "failed", "unknown"),
        (Retort::Raw("{\"jsonrpc\":\"2.0\", oops"), "no JSON", "failed", "unknown"),
        (Retort::Raw("{\"jsonrpc\":\"2.0\",\"id\":9999,\"result\":{}}"), "another call", "failed", "unknown"),
        (Retort::Raw("{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":7}"), "", "failed", "unknown"),
    ] {
        for (tool, wanted) in [("look", read), ("pay", write)] {
            let (state, reason, _) = comes_of(tool, vec![reply.clone()]).await;
            assert_eq!(state, wanted, "{tool} {reply:?}: {reason}");
            assert!(state == "done" || reason.contains(told), "{tool} {reply:?}: {reason}");
            assert!(!reason.contains("could not be reached") && !reason.contains(PAGE), "{reason}");
        }
    }
}

#[tokio::test]
async fn the_status_with_which_a_server_refuses_a_connection_stands_in_the_audit_log() {
    for (status, is_newest) in [(401, false), (403, false), (503, false), (503, true)] {
        let server = Turncoat::start(tools()).await;
        let server = if is_newest { server.newest() } else { server };
        let world = world(&server, &["pay"]).await;
        server.refuses(status);
        let receipt = world.user("support").asks("Pay.").await.answers("Well.").await;
        assert_eq!((told(&receipt).0, server.calls().len()), ("failed", 0), "{receipt}");
        let audit = world.audit().await;
        let ended = audit.entries.iter().find(|entry| entry["event"] == "step.ended").unwrap();
        assert_eq!(ended["detail"]["status"], status, "{ended}");
    }
}

#[tokio::test]
async fn a_scope_that_a_server_wants_is_named() {
    let acts = [
        Act::call(
            "ops__process_refund",
            json!({ "order_id": "ORD-17", "amount": 5, "idempotency_key": "k" }),
        ),
        Act::say("I may not."),
    ];
    let world = World::with_model(acts).await;
    let lou = world.person((TENANT, "lou"), &["support"], &["read", "write"]);
    let receipt = lou.asks("Refund order 17, please.").await.answers("I may not.").await;
    let reason = receipt["tools"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("`ops` wants the scope `billing:write`, which Cardea's credential"), "{receipt}");
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_when_it_says_so_and_only_within_the_time() {
    let soon = || Retort::Status(429, "", Some("1"));
    let (state, reason, calls) = comes_of("pay", vec![soon()]).await;
    assert_eq!((state.as_str(), calls), ("done", 2), "nothing was begun: {reason}");
    let (state, reason, calls) = comes_of("pay", vec![soon(), soon()]).await;
    assert_eq!((state.as_str(), calls), ("failed", 2), "{reason}");
    let (state, reason, calls) = comes_of("look", vec![Retort::Status(429, "", Some("3600"))]).await;
    assert_eq!((state.as_str(), calls), ("failed", 1), "{reason}");
    let never = comes_of("look", vec![Retort::Status(429, "", Some("9999999999999999999"))]);
    let never = tokio::time::timeout(Duration::from_secs(20), never).await;
    let (state, reason, calls) = never.expect("nobody waits longer than there is time");
    assert_eq!((state.as_str(), calls), ("failed", 1), "{reason}");
    let (state, _, calls) = comes_of("pay", vec![Retort::Status(503, "", Some("1"))]).await;
    assert_eq!((state.as_str(), calls), ("unknown", 1), "it may have begun");
    let (state, _, calls) = comes_of("look", vec![Retort::Status(503, "", Some("1"))]).await;
    assert_eq!((state.as_str(), calls), ("done", 2));
    let busy = || Retort::Status(503, "", Some("0"));
    let (state, reason, calls) = comes_of("keyed", vec![busy(), busy(), busy(), busy()]).await;
    assert_eq!((state.as_str(), calls), ("unknown", 2), "twice at most: {reason}");
    let (state, _, calls) = comes_of("keyed", vec![Retort::Status(500, "", None)]).await;
    assert_eq!((state.as_str(), calls), ("done", 2), "its key makes a repeat harmless");
}

#[tokio::test]
async fn a_keyed_write_that_may_have_been_done_stays_unknown_whatever_its_repeat_is_told() {
    let says = |meta: Value| {
        let content = json!([{ "type": "text", "text": "Too much at once." }]);
        Retort::Result(json!({ "content": content, "isError": true, "_meta": meta }))
    };
    let code = |code: &str| says(json!({ "dev.cardea/error": { "code": code } }));
    let refusals = || [code("overloaded"), code("denied"), code("conflict"), says(json!({}))];
    for refusal in refusals() {
        for first in [Retort::Status(500, "", None), code("internal")] {
            let (state, reason, calls) = comes_of("keyed", vec![first, refusal.clone()]).await;
            assert_eq!((state.as_str(), calls), ("unknown", 2), "{refusal:?}: {reason}");
            assert!(reason.contains("Too much at once. An earlier try may have been done"), "{reason}");
        }
    }
    for refusal in refusals() {
        let (state, reason, calls) = comes_of("keyed", vec![refusal]).await;
        assert_eq!((state.as_str(), calls), ("failed", 1), "nothing was sent before: {reason}");
    }
    let (state, reason, calls) = comes_of("look", vec![code("internal")]).await;
    assert_eq!((state.as_str(), calls), ("failed", 1), "{reason}");
}

#[tokio::test]
async fn numbers_and_texts_of_a_result_are_passed_on_as_they_were_written() {
    let server = Turncoat::start(tools()).await;
    let world = world(&server, &["look", "look", "look"]).await;
    let resource = json!({ "uri": "file:///a.txt", "text": "The whole content." });
    server.replies([
        Retort::Raw("{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[],\"structuredContent\":{\"id\":12345678901234567890123}}}"),
        Retort::Raw("{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"cut \\ud83d\"}]}}"),
        Retort::Result(json!({ "content": [{ "type": "resource", "resource": resource }] })),
    ]);
    for number in 0..3 {
        let receipt =
            world.user("support").asks(&format!("Look at number {number}.")).await.answers("Well.").await;
        assert_eq!(told(&receipt).0, "done", "{receipt}");
    }
    let told: Vec<String> = world.model().seen().iter().map(|seen| seen.body.to_string()).collect();
    let told = told.join("\n");
    for part in ["12345678901234567890123", "cut \u{fffd}", "The whole content.", "file:///a.txt"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn users_do_not_take_the_places_of_calls_by_listening() {
    let server = Turncoat::start(tools()).await;
    let world = world(&server, &["look"; 3]).await;
    let before = server.listeners();
    for name in ["ann", "bob", "eve"] {
        let user = world.person((TENANT, name), &["support"], &["read"]);
        assert_eq!(told(&user.asks("Look.").await.answers("Well.").await).0, "done");
    }
    assert_eq!(server.listeners(), before, "only the connection that reads the list hears of changes");
}

#[tokio::test]
async fn a_call_may_take_as_long_as_its_upstream_may_also_where_nothing_comes_meanwhile() {
    for tool in ["look", "pay", "keyed"] {
        let server = Turncoat::start(tools()).await;
        let world = plan(&server, &[tool]).set("CARDEA_NET__IDLE_TIMEOUT", "200ms").start().await;
        server.replies([Retort::Late(Duration::from_millis(700))]);
        let receipt = world.user("support").asks("Do it.").await.ends().await;
        assert_eq!((told(&receipt).0, server.calls().len()), ("done", 1), "{tool}: {receipt}");
    }
}

async fn sell(Args(args): Args<Value>) -> cardea_mcp::Result<Value> {
    Ok(args)
}

#[tokio::test]
async fn a_tool_that_wants_an_argument_in_a_header_too_gets_it() {
    let schema = json!({ "type": "object", "required": ["region"], "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" } } });
    let sell = Tool::new("sell", sell)
        .about("Sells in a region.")
        .input(schema.as_object().unwrap().clone())
        .guard(RequireAuth);
    let own = "@id(\"own\") @reason(\"all.\")\npermit (principal, action, resource in Server::\"own\");\n";
    let acts = [Act::call("own__sell", json!({ "region": "north" })), Act::say("Sold.")];
    let plan = World::plan().tools(Server::new("own", "1").tool(sell)).model(acts).policies(own);
    let world = plan.start().await;
    let receipt = world.user("support").asks("Sell in the north.").await.ends().await;
    assert_eq!(told(&receipt).0, "done", "{receipt}");
}

#[tokio::test]
async fn a_server_that_speaks_another_version_by_now_is_met_anew() {
    for said in [Retort::Error, Retort::Refused] {
        for code in [-32_022, -32_020] {
            let server = Turncoat::start(tools()).await.newest();
            let world = world(&server, &["pay", "pay"]).await;
            let ann = world.user("support");
            assert_eq!(told(&ann.asks("Pay.").await.answers("Well.").await).0, "done");
            let sessions = server.sessions();
            // The second of the same connection is one too many.
            server.replies(vec![said(code); if code == -32_020 { 2 } else { 1 }]);
            let receipt = ann.asks("Pay now.").await.answers("Well.").await;
            assert_eq!((told(&receipt).0, server.sessions() - sessions), ("done", 1), "{code}: {receipt}");
        }
    }
}

#[tokio::test]
async fn a_code_that_the_newest_wire_defines_says_nothing_of_a_write_on_an_older_one() {
    for code in [-32_020, -32_021, -32_022] {
        let (state, reason, calls) = comes_of("pay", vec![Retort::Error(code); 4]).await;
        assert_eq!((state.as_str(), calls), ("unknown", 1), "{code} may mean anything: {reason}");
        let (state, reason, calls) = comes_of("pay", vec![Retort::Refused(code)]).await;
        assert_eq!((state.as_str(), calls), ("failed", 1), "its status says it: {reason}");
    }
    let (state, reason, calls) = comes_of("look", vec![Retort::Error(-32_022)]).await;
    assert_eq!((state.as_str(), calls), ("done", 2), "a read may be asked of a new connection: {reason}");
}

#[tokio::test]
async fn work_that_goes_on_without_an_answer_is_not_told_as_not_done() {
    let task = json!({ "resultType": "task", "taskId": "t1", "status": "working",
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": 60_000 });
    for (tool, wanted) in [("pay", "unknown"), ("look", "failed")] {
        let (state, reason, _) = comes_of(tool, vec![Retort::Result(task.clone())]).await;
        assert_eq!(state, wanted, "{reason}");
        assert!(reason.contains("has begun work that goes on without an answer"), "{reason}");
    }
}

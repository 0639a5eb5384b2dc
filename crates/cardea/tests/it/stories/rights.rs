//! Who may do what through the gateway, as a text that people review: every role and every tool, listed and called.

use std::{collections::BTreeMap, fmt::Write as _};

use cardea_testkit::{World, world::McpClient};
use rmcp::{
    model::{CallToolRequestParams, CallToolResponse},
    service::ServiceError,
};
use serde_json::{Map, Value, json};

/// Name, roles, scopes.
const PEOPLE: [(&str, &[&str], &[&str]); 6] = [
    ("nobody", &[], &[]),
    ("viewer", &[], &["read"]),
    ("analyst", &["analyst"], &["read"]),
    ("support", &["support"], &["read", "write", "billing:read", "billing:write"]),
    ("boss", &["supervisor"], &["read", "write", "billing:read", "billing:write"]),
    ("admin", &["admin", "support"], &["read", "write", "billing:read", "billing:write"]),
];

/// Arguments that fit the schema, so that what refuses is policy.
fn arguments(tool: &str, schema: &Value) -> Map<String, Value> {
    let mut arguments = Map::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let about = &schema["properties"][name];
        let value = match (about["type"].as_str(), name) {
            (_, "order_id") => json!("ORD-17"),
            (_, "customer_id" | "ticket_id") => json!(7),
            (_, "invoice_id") => json!(10_017),
            (_, "code") => json!("WELCOME10"),
            (_, "email") => json!("somebody@shop.example"),
            (_, "name") if tool.ends_with("feature_toggle") => json!("new_checkout"),
            (Some("integer"), _) => json!(about["minimum"].as_i64().unwrap_or(1)),
            (Some("number"), _) => json!(1),
            (Some("boolean"), _) => json!(true),
            _ => about["enum"].get(0).cloned().unwrap_or_else(|| json!("high")),
        };
        arguments.insert(name.to_owned(), value);
    }
    arguments
}

async fn listed(client: &McpClient) -> Vec<String> {
    client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
}

/// What came of one call: unknown, refused, waits, or called.
async fn called(
    world: &World,
    client: &McpClient,
    tool: &str,
    arguments: Map<String, Value>,
) -> &'static str {
    let before = world.shop().calls().await.len();
    let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    let answer = client.call_tool_once(params).await;
    let reached = world.shop().calls().await;
    let word = match answer {
        Err(ServiceError::McpError(error)) => {
            assert!(error.message.contains("no such tool"), "{tool}: {error}");
            "-"
        }
        Ok(CallToolResponse::Complete(result)) => {
            let told = result.structured_content.as_ref().and_then(|told| told["status"].as_str())
                == Some("waiting");
            match (reached.len() - before, told, result.is_error == Some(true)) {
                (0, true, _) => "waits",
                (0, false, true) => "refused",
                _ => "yes", // perhaps with a result that another of the tenant was given a moment ago
            }
        }
        other => panic!("{tool}: {other:?}"),
    };
    let seen = &reached[before..];
    let itself = seen.iter().all(|seen| *seen == tool.trim_start_matches("ops__"));
    assert!(
        seen.is_empty() || (word == "yes" && itself && seen.len() == 1),
        "{tool}: {word}, the shop saw {seen:?}"
    );
    word
}

#[tokio::test]
async fn every_role_may_do_with_every_tool_what_was_reviewed_and_no_refusal_reaches_the_shop() {
    let plan =
        World::plan().set("CARDEA_LIMITS__PER_USER", "6000/min").set("CARDEA_LIMITS__PER_TENANT", "6000/min");
    let world = plan.start().await;
    let catalog = world.app.action.catalog();
    let tools: Vec<(String, Value)> =
        catalog.all().map(|tool| (tool.name().to_string(), tool.spec().input_schema.clone())).collect();
    assert_eq!(tools.len(), 30);
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, roles, scopes) in PEOPLE {
        let client = world.person(("acme", name), roles, scopes).mcp(false).await.unwrap();
        let list = listed(&client).await;
        for (tool, schema) in &tools {
            let word = called(&world, &client, tool, arguments(tool, schema)).await;
            let is_listed = list.contains(tool);
            assert_eq!(
                is_listed,
                word != "-",
                "{name} and {tool}: listed and callable must agree, got {word}"
            );
            rows.entry(tool).or_default().push(word);
        }
    }
    let mut text = String::from(
        "# Who may call which tool of the shop through /mcp. A test writes this file; a change is a question to the reviewer.\n\
         # -: not listed and unknown; refused: listed, and this call is refused by policy; yes: called.\n\n",
    );
    for (name, roles, scopes) in PEOPLE {
        writeln!(text, "# {name}: roles [{}], scopes [{}]", roles.join(" "), scopes.join(" ")).unwrap();
    }
    let heads = PEOPLE.map(|person| format!("{:<9}", person.0)).concat();
    writeln!(text, "\n{:<31}{}", "tool", heads.trim_end()).unwrap();
    for (tool, words) in rows {
        let words: String = words.iter().map(|word| format!("{word:<9}")).collect();
        writeln!(text, "{tool:<31}{}", words.trim_end()).unwrap();
    }
    cardea_testkit::reviewed("docs/security/gateway-rights.txt", &text);
}

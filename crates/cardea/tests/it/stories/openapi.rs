//! The description of the API against the running routes, and against what they answer.

use std::collections::{BTreeMap, BTreeSet};

use cardea_testkit::{World, model::Act, world::Reply};
use serde_json::{Value, json};

const ROUTES: &str = include_str!("../../../src/api/mod.rs");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(include_str!("../../../src/api/openapi.json")).unwrap()
}

type Routes = BTreeMap<String, BTreeSet<String>>;

/// Paths and methods as the source of the router has them.
fn routed() -> Routes {
    let mut routes = Routes::new();
    for line in ROUTES.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once('"').unwrap();
        let own =
            !path.starts_with("/v1/") && !path.starts_with("/.well-known") && path != "/docs/errors/{code}";
        let alone = ["/healthz", "/readyz", "/metrics"].contains(&path);
        let path = if own && !alone { format!("/api/v1{path}") } else { path.to_owned() };
        let methods = METHODS.into_iter().filter(|method| handlers.contains(&format!("{method}(")));
        // The last segment may hold slashes, which the description has no sign for.
        let path = path.replace("{*", "{");
        routes.insert(path, methods.map(str::to_owned).collect());
    }
    routes
}

fn documented() -> Routes {
    let document = document();
    let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect();
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[tokio::test]
async fn the_description_has_exactly_the_routes_that_answer() {
    let (routed, documented) = (routed(), documented());
    assert!(routed.len() >= 20, "{routed:?}");
    assert_eq!(routed, documented);
    let world = World::start().await;
    let nobody = world.stranger();
    for (path, methods) in &documented {
        let path = path.replace("{id}", "x").replace("{code}", "not_found");
        for method in METHODS {
            let reply = nobody.send(&method.to_uppercase(), &path, &[], "{}").await;
            if methods.contains(method) {
                let missing = reply.status == 405 || reply.text.contains("no such route");
                assert!(!missing, "{method} {path}: {}", reply.text);
            } else {
                assert_eq!(reply.status, 405, "{method} {path}: {}", reply.text);
            }
        }
    }
    assert_eq!(nobody.get("/api/v1/openapi.json").await.expect(200).body, document());
}

/// Routes that are described as open answer somebody without a credential, and all others do not.
#[tokio::test]
async fn a_route_is_open_only_where_the_description_says_so() {
    let world = World::start().await;
    let mut open = Vec::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let real =
                path.replace("{code}", "not_found").replace("{id}", "conv_00000000000000000000000000000001");
            let real = if path.contains("/turns/") { real.replace("conv_", "turn_") } else { real };
            let real = if path.contains("/keys/") { real.replace("conv_", "key_") } else { real };
            let real = if path.contains("/approvals/") { real.replace("conv_", "appr_") } else { real };
            let body = match path.as_str() {
                "/api/v1/turns" => json!({ "agent": "support", "message": "hi" }),
                "/v1/chat/completions" => {
                    json!({ "model": "agent/support", "messages": [{ "role": "user", "content": "hi" }] })
                }
                path if path.starts_with("/api/v1/approvals") => json!({ "decision": "approve" }),
                _ => json!({}),
            };
            let reply = world.stranger().send(&method.to_uppercase(), &real, &[], &body.to_string()).await;
            if operation.get("security") == Some(&json!([])) {
                assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text);
                open.push(path.clone());
            } else {
                assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text);
            }
        }
    }
    // Reviewed: these tell nobody anything about a tenant.
    let reviewed = [
        "/.well-known/jwks.json",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/api/v1/openapi.json",
        "/docs/errors/{code}",
        "/healthz",
        "/metrics",
        "/readyz",
    ];
    open.sort();
    assert_eq!(open, reviewed);
}

/// Asserts that a reply is what the description says of this operation.
#[track_caller]
fn fits(reply: &Reply, method: &str, path: &str) {
    let document = document();
    let responses = &document["paths"][path][method]["responses"];
    let mut response = &responses[reply.status.to_string()];
    assert!(!response.is_null(), "{method} {path}: the status {} is not described", reply.status);
    if let Some(name) = response["$ref"].as_str() {
        response = document.pointer(name.trim_start_matches('#')).unwrap();
    }
    let media = reply.header("content-type").split(';').next().unwrap();
    let Some(content) = response.get("content") else {
        assert!(reply.text.is_empty(), "{method} {path}: {}", reply.text);
        return;
    };
    let mut schema = content[media]["schema"].clone();
    assert!(schema.is_object(), "{method} {path}: `{media}` is not described");
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(&reply.body)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}\n{}", reply.text);
}

#[tokio::test]
async fn what_is_answered_is_what_the_description_says() {
    let refund = Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 150 }));
    let world = World::with_model([refund, Act::say("It is refunded.")]).await;
    let (support, admin) = (world.user("support"), world.user("admin"));
    let asked = support.asks("Refund 150 for order 17, please.").await;
    fits(&asked.reply, "post", "/api/v1/turns");
    let supervisor = world.person(("acme", "sue"), &["supervisor", "auditor"], &["read"]);
    fits(&support.get("/api/v1/approvals").await, "get", "/api/v1/approvals");
    fits(&support.decides(&asked, "approve").await, "post", "/api/v1/approvals/{id}");
    fits(&supervisor.decides(&asked, "approve").await.expect(200), "post", "/api/v1/approvals/{id}");
    asked.answers("refunded").await;
    let turn = format!("/api/v1/turns/{}", asked.turn());
    let talk = format!("/api/v1/conversations/{}", asked.conversation());
    let made = admin.post("/api/v1/keys", &json!({ "name": "t", "expires": "1d" })).await;
    for (user, real, path) in [
        (&support, "/api/v1/agents", "/api/v1/agents"),
        (&support, "/api/v1/conversations", "/api/v1/conversations"),
        (&support, "/api/v1/conversations?limit=x", "/api/v1/conversations"),
        (&support, &talk, "/api/v1/conversations/{id}"),
        (&admin, &talk, "/api/v1/conversations/{id}"),
        (&support, &format!("{talk}/messages"), "/api/v1/conversations/{id}/messages"),
        (&support, &turn, "/api/v1/turns/{id}"),
        (&admin, "/api/v1/keys", "/api/v1/keys"),
        (&support, "/api/v1/keys", "/api/v1/keys"),
        (&supervisor, "/api/v1/audit", "/api/v1/audit"),
        (&supervisor, "/api/v1/audit/follow", "/api/v1/audit/follow"),
        (
            &world.person(("acme", "eva"), &["auditor"], &["read"]),
            "/api/v1/audit/follow?limit=2",
            "/api/v1/audit/follow",
        ),
        (&supervisor, "/api/v1/audit/follow?after=7", "/api/v1/audit/follow"),
        (&supervisor, "/api/v1/decisions", "/api/v1/decisions"),
        (&admin, "/api/v1/tools/changes", "/api/v1/tools/changes"),
        (&support, "/api/v1/tools/changes", "/api/v1/tools/changes"),
        (&support, "/v1/models", "/v1/models"),
        (&world.stranger(), "/v1/models", "/v1/models"),
    ] {
        fits(&user.get(real).await, "get", path);
    }
    fits(&made, "post", "/api/v1/keys");
    for body in [json!({ "limit": 2 }), json!({ "after": 7 })] {
        fits(&supervisor.post("/api/v1/audit/follow", &body).await, "post", "/api/v1/audit/follow");
    }
    fits(&admin.delete(&format!("/api/v1/keys/{}", made.at("/id"))).await, "delete", "/api/v1/keys/{id}");
    let route = "/api/v1/revocations";
    for body in
        [json!({ "user": "analyst" }), json!({ "token_id": "x" }), json!({ "token_id": "x", "user": "y" })]
    {
        fits(&admin.post(route, &body).await, "post", route);
        fits(&support.post(route, &body).await, "post", route);
    }
    fits(&admin.get(route).await.expect(200), "get", route);
    fits(&support.get(route).await, "get", route);
    fits(&support.delete("/api/v1/cache").await, "delete", "/api/v1/cache");
    fits(&support.delete(&talk).await, "delete", "/api/v1/conversations/{id}");
    let again = support.asks("And now?").await;
    fits(&again.reply, "post", "/api/v1/turns");
    assert_eq!(again.reply.status, 200);
}

#[test]
fn every_event_of_a_turn_is_described_and_no_other() {
    let document = document();
    let told = document["paths"]["/api/v1/turns/{id}/events"]["get"]["responses"]["200"]["description"]
        .as_str()
        .unwrap();
    let named = told.split('`').skip(1).step_by(2).filter(|word| word.contains('.'));
    let named: BTreeSet<&str> = named.collect();
    assert_eq!(named, cardea::turn::KINDS.into_iter().collect());
}

#[test]
fn no_member_may_be_a_list_of_nobody_knows_what() {
    fn look(value: &Value, place: &str) {
        let kind = &value["type"];
        let list = kind == "array" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("array")));
        assert!(!list || value.get("items").is_some(), "{place} has no `items`");
        match value {
            Value::Object(all) => all.iter().for_each(|(key, value)| look(value, &format!("{place}/{key}"))),
            Value::Array(all) => all.iter().for_each(|value| look(value, place)),
            _ => {}
        }
    }
    look(&document(), "");
}

#[test]
fn every_error_is_described_in_the_shape_of_its_route() {
    let document = document();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let (media, schema) = match path.as_str() {
            "/readyz" => ("text/plain", json!({ "type": "string" })),
            path if path.starts_with("/v1/") => {
                ("application/json", json!({ "$ref": "#/components/schemas/OpenAiError" }))
            }
            _ => ("application/problem+json", json!({ "$ref": "#/components/schemas/Problem" })),
        };
        for (method, operation) in item.as_object().unwrap() {
            let errors = operation["responses"].as_object().unwrap().iter();
            for (status, response) in errors.filter(|(status, _)| status.as_str() >= "400") {
                let named = response["$ref"].as_str().map(|name| name.trim_start_matches('#'));
                let response = named.map_or(response, |name| document.pointer(name).unwrap());
                let content = &response["content"];
                assert_eq!(*content, json!({ media: { "schema": schema } }), "{method} {path}: {status}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 100, "only {seen} errors were found");
}

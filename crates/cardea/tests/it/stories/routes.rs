//! Who is answered what on every route, as a text that people review: every role, with what is theirs, a colleague's,
//! another tenant's, and what never was.

use std::{collections::BTreeMap, fmt::Write as _};

use cardea_testkit::{World, world::User};
use serde_json::{Value, json};

/// Name and roles. Scopes decide nothing about routes, so all have the same.
const PEOPLE: [(&str, &[&str]); 6] = [
    ("visitor", &[]),
    ("analyst", &["analyst"]),
    ("support", &["support"]),
    ("boss", &["supervisor"]),
    ("auditor", &["auditor"]),
    ("admin", &["admin"]),
];

const SCOPES: &[&str] = &["read", "write", "billing:read", "billing:write"];

/// Whose thing a path names.
const WHOSE: [&str; 4] = ["own", "colleague's", "other tenant's", "nobody's"];

/// The things of one person: conversation, turn, approval, key, user.
struct Things([String; 5]);

impl Things {
    /// What is in the place of `{id}` on this path.
    fn on(&self, path: &str) -> &str {
        let place = ["/conversations/", "/turns/", "/approvals/", "/keys/", "/people/"];
        let found = place.iter().position(|part| path.contains(part)).unwrap();
        &self.0[found]
    }
}

/// Somebody asks for something that waits for a person, and an administrator of the tenant makes a key.
async fn things(world: &World, tenant: &str, name: &str) -> Things {
    let user = world.person((tenant, name), &["support"], SCOPES);
    let admin = world.person((tenant, "keeper"), &["admin"], SCOPES);
    let waits = user.asks("Refund 150 for order 17, please.").await;
    assert_eq!(waits.reply.status, 202, "{}", waits.reply.text);
    // The stream of a turn that waits would be open for as long.
    let asked = user.asks("Hello.").await;
    let key = admin.post("/api/v1/keys", &json!({ "name": "t", "user": name })).await;
    let key = if key.status == 201 { key.at("/id").to_owned() } else { panic!("{}", key.text) };
    let of = |text: &str| text.to_owned();
    Things([of(asked.conversation()), of(asked.turn()), of(waits.approval()), key, of(name)])
}

fn nobodys() -> Things {
    let none = |kind: &str| format!("{kind}_{}", "0".repeat(31) + "1");
    Things([none("conv"), none("turn"), none("appr"), none("key"), "nobody-at-all".to_owned()])
}

fn body(path: &str) -> Value {
    match path {
        "/api/v1/turns" => json!({ "agent": "support", "message": "Hello." }),
        "/v1/chat/completions" => {
            json!({ "model": "rehearsal", "messages": [{ "role": "user", "content": "Hello." }] })
        }
        "/api/v1/revocations" => json!({ "token_id": "one-that-never-was" }),
        "/api/v1/keys" => json!({ "name": "another" }),
        path if path.starts_with("/api/v1/approvals") => json!({ "decision": "reject" }),
        _ => json!({}),
    }
}

/// Reads come first, and what takes a thing away comes last.
fn operations() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(include_str!("../../../src/api/openapi.json")).unwrap();
    let mut all: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            all.push((method.to_uppercase(), path.clone()));
        }
    }
    let order = ["GET", "POST", "DELETE"];
    all.sort_by_key(|(method, path)| {
        (order.iter().position(|one| one == method), path.contains("/people/"), path.clone())
    });
    all
}

async fn status(user: &User, method: &str, path: &str) -> String {
    let given = if method == "POST" { body(path).to_string() } else { String::new() };
    user.send(method, path, &[], &given).await.status.to_string()
}

#[tokio::test]
async fn every_role_is_answered_on_every_route_as_was_reviewed() {
    let world = World::plan()
        .set("CARDEA_LIMITS__PER_USER", "6000/min")
        .set("CARDEA_LIMITS__PER_TENANT", "6000/min")
        .start()
        .await;
    let mut rows: BTreeMap<(String, String, &str), Vec<String>> = BTreeMap::new();
    for (name, roles) in PEOPLE {
        let user = world.person(("acme", name), roles, SCOPES);
        for (method, path) in operations() {
            if !path.contains("{id}") || path.contains("{code}") {
                let real = path.replace("{code}", "not_found").replace("{model}", "agent/support");
                let found = status(&user, &method, &real).await;
                rows.entry((path, method, "")).or_default().push(found);
                continue;
            }
            for whose in WHOSE {
                // WHY: made anew each time, since some routes take it away.
                let things = match whose {
                    "own" => things(&world, "acme", name).await,
                    "colleague's" => things(&world, "acme", "colleague").await,
                    "other tenant's" => things(&world, "rival", "stranger").await,
                    _ => nobodys(),
                };
                let found = status(&user, &method, &path.replace("{id}", things.on(&path))).await;
                rows.entry((path.clone(), method.clone(), whose)).or_default().push(found);
            }
        }
    }
    let mut text = String::from(
        "# The status that each role is answered with on each route. A test writes this file; a change is a question to the\n\
         # reviewer. Somebody without a credential gets 401 wherever the description does not say that a route is open.\n\n",
    );
    for (name, roles) in PEOPLE {
        writeln!(text, "# {name}: roles [{}]", roles.join(" ")).unwrap();
    }
    let heads = PEOPLE.map(|person| format!("{:<9}", person.0)).concat();
    writeln!(text, "\n{:<70}{}", "route", heads.trim_end()).unwrap();
    for ((path, method, whose), found) in rows {
        let found: String = found.iter().map(|status| format!("{status:<9}")).collect();
        let route = format!("{method:<7}{path} {whose}");
        writeln!(text, "{:<70}{}", route.trim_end(), found.trim_end()).unwrap();
    }
    cardea_testkit::reviewed("docs/security/route-rights.txt", &text);
}

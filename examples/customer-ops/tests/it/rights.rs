//! Access matrix as a text for review.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{PEOPLE, as_one_of, shop};

/// Returns arguments that are valid enough for every tool to reach its handler or its refusal.
fn arguments(schema: &Value) -> Value {
    let mut arguments = json!({});
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for name in required.iter().filter_map(Value::as_str) {
        arguments[name] = match (schema["properties"][name]["type"].as_str(), name) {
            (_, "order_id") => json!("ORD-17"),
            (Some("integer"), _) => json!(17),
            (Some("number"), _) => json!(1),
            (Some("boolean"), _) => json!(true),
            _ => json!("new_checkout"),
        };
    }
    arguments
}

fn refused(code: &str) -> bool {
    matches!(code, "denied" | "scope_missing" | "not_signed_in")
}

#[tokio::test]
async fn who_may_do_what_is_as_reviewed_and_listed_is_callable() {
    let shop = shop();
    let catalog = shop.service().catalog();
    let mut text = String::from(
        "# Who may call which tool. A test writes this file; a change is a question to the reviewer.\n\n",
    );
    for (name, roles, scopes) in PEOPLE {
        writeln!(text, "# {name}: roles [{}], scopes [{}]", roles.join(" "), scopes.join(" ")).unwrap();
    }
    writeln!(text, "\n{:<26}{}", "tool", PEOPLE.map(|person| format!("{:<9}", person.0)).concat().trim_end())
        .unwrap();
    let mut listed = Vec::new();
    for (name, ..) in PEOPLE {
        listed.push(as_one_of(&shop, name).list().await.into_iter().collect::<BTreeSet<_>>());
    }
    for (tool, rules) in shop.service().rules() {
        let schema = catalog.iter().find(|entry| entry.name == tool.as_str()).unwrap().schema_as_json_value();
        let mut line = format!("{tool:<26}");
        for ((name, ..), listed) in PEOPLE.iter().zip(&listed) {
            // WHY: a new shop for every call, so that a deleted customer does not hide a missing guard.
            let called = as_one_of(&crate::shop(), name).call(&tool, arguments(&schema)).await;
            let may = !refused(called.code());
            assert_eq!(may, listed.contains(&tool), "{name} and {tool}: {called:?}");
            write!(line, "{:<9}", if may { "yes" } else { "-" }).unwrap();
        }
        writeln!(text, "{line}{}", rules.join(" and ")).unwrap();
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rights.txt");
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    if reviewed != text {
        fs::write(&file, &text).unwrap();
        panic!("rights.txt was out of date and has been rewritten; review the change");
    }
}

#[test]
fn the_thirty_tools_are_the_ones_of_the_guide() {
    let catalog = shop().service().catalog();
    assert_eq!(catalog.len(), 30);
    for tool in &catalog {
        let facts = &tool.meta.as_ref().unwrap().0["dev.cardea/tool"];
        let examples = facts["examples"].as_array().map_or(0, Vec::len);
        assert!((2..=4).contains(&examples), "{} has {examples} examples", tool.name);
        let schema = tool.schema_as_json_value();
        let properties = schema["properties"].as_object().unwrap();
        assert!(properties.values().all(|field| field["description"].is_string()), "{schema}");
    }
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tools/seed30.catalog.json");
    let Ok(seed) = fs::read_to_string(&file) else {
        println!("SKIPPED: {} is not here, so the names are not compared with it", file.display());
        return;
    };
    let seed: Vec<Value> = serde_json::from_str(&seed).unwrap();
    for wanted in seed {
        let tool = catalog.iter().find(|tool| wanted["name"] == *tool.name).unwrap();
        assert_eq!(tool.description.as_deref(), wanted["description"].as_str());
    }
}

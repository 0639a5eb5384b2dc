//! Every write of every connector's file that names what takes it back is done and taken back, against a service that
//! keeps state and knows nothing of the file: afterwards it must be as it was before. A new file is covered by itself.

use std::collections::BTreeSet;

use cardea_testkit::{
    World,
    model::Act,
    world::{Keeper, Shape},
};
use serde_json::Value;

use crate::{files, root, shown};

const POLICIES: &str = r#"
@id("support-works-there") @reason("support works there.")
permit (principal in Role::"support", action, resource in Server::"demo");
"#;

/// One write that can be taken back, as its file has it.
struct Case {
    /// The file and the operation, for whoever reads that it failed.
    name: String,
    /// The file, for the connector `demo` at `BASE`.
    manifest: String,
    operation: toml::Value,
    undo: toml::Value,
    /// What stands before all paths.
    base: String,
}

fn text<'a>(value: &'a toml::Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(value, |value, key| value.get(key)).and_then(toml::Value::as_str).unwrap_or_default()
}

fn operations(file: &toml::Value) -> Vec<toml::Value> {
    file.get("operation").and_then(toml::Value::as_array).cloned().unwrap_or_default()
}

/// All writes with an undo in the manifests of the project, and how many files there are.
fn cases() -> (Vec<Case>, usize) {
    let folders = [root().join("connectors"), root().join("crates/cardea/src/commands/start/connectors")];
    let manifests: Vec<_> = folders.iter().flat_map(|folder| files(folder, ".toml")).collect();
    let mut cases = Vec::new();
    for path in &manifests {
        let mut file: toml::Value = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let all = operations(&file);
        let start = text(&file, &["connector", "base"]).splitn(4, '/').nth(3).unwrap_or_default().to_owned();
        let base = if start.is_empty() { start } else { format!("/{}", start.trim_end_matches('/')) };
        let head = file["connector"].as_table_mut().unwrap();
        head.insert("name".to_owned(), "demo".into());
        head.insert("base".to_owned(), format!("BASE{base}").into());
        head.remove("hosts");
        // Whose the secret is, is another story's matter.
        head.get_mut("auth").and_then(toml::Value::as_table_mut).map(|auth| auth.remove("per"));
        for operation in all.iter().filter(|one| one.get("undo").is_some()) {
            let wanted = text(operation, &["undo", "operation"]);
            let undo = all.iter().find(|one| text(one, &["name"]) == wanted);
            cases.push(Case {
                name: format!("{}: {}", shown(path), text(operation, &["name"])),
                manifest: toml::to_string(&file).unwrap(),
                undo: undo.unwrap_or_else(|| panic!("{}: no `{wanted}`", shown(path))).clone(),
                operation: operation.clone(),
                base: base.clone(),
            });
        }
    }
    (cases, manifests.len())
}

impl Case {
    /// The arguments and the answer of its first example that succeeds.
    fn example(&self) -> (Value, u16, Value) {
        let examples =
            self.operation.get("example").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let good = examples.iter().find(|one| one.get("fails").is_none());
        let good = good
            .unwrap_or_else(|| panic!("{} has no example: what would be done and taken back?", self.name));
        let plain = |value: Option<&toml::Value>| {
            value.map_or(Value::Null, |value| serde_json::to_value(value).unwrap())
        };
        let status = good["gets"]["status"].as_integer().and_then(|status| u16::try_from(status).ok());
        (plain(good.get("given")), status.unwrap_or_default(), plain(good["gets"].get("body")))
    }

    /// The path of its request with the example's arguments in it.
    fn path(&self, given: &Value) -> String {
        let mut path = text(&self.operation, &["request", "path"]).to_owned();
        for (name, value) in given.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            path = path.replace(&format!("{{{name}}}"), &value);
        }
        format!("{}{path}", self.base)
    }

    /// Where in an answer the name of the new thing stands, if the undo asks for it.
    fn name_in_answer(&self) -> Option<String> {
        let take = text(&self.operation, &["result", "take"]);
        let with = self.operation["undo"].get("with").and_then(toml::Value::as_table)?;
        let slot = with.values().find_map(|value| value.as_str()?.split("{result").nth(1))?;
        let inner = slot.split('}').next().unwrap_or_default();
        Some(format!("{take}{}", inner.replace('.', "/")))
    }

    /// A service in which the example's call can be made.
    async fn service(&self) -> (Keeper, Value) {
        let (given, status, body) = self.example();
        let (keeper, path) = (Keeper::start().await, self.path(&given));
        match self.name_in_answer() {
            Some(name) => {
                let there = body.pointer(&name).is_some();
                assert!(there, "{}: its undo needs `{name}`, and the example's answer has none", self.name);
                keeper.makes(&path, Shape { status, body, name });
            }
            // What is done to a thing needs the thing: POST and PUT name it before their last word.
            None => drop(keeper.has(path.rsplit_once('/').map_or("", |(thing, _)| thing))),
        }
        (keeper, given)
    }
}

#[tokio::test]
async fn whatever_a_manifest_can_take_back_leaves_the_service_as_it_was() {
    let (cases, manifests) = cases();
    assert!(manifests >= 2 && cases.len() >= 2, "{} writes in {manifests} manifests", cases.len());
    let mut told = BTreeSet::new();
    for case in &cases {
        let (keeper, given) = case.service().await;
        let tool = format!("demo__{}", text(&case.operation, &["name"]));
        // The second call is one more than the turn may make: so the first one is taken back.
        let acts = [Act::call(&tool, given.clone()), Act::call(&tool, given)];
        let plan = World::plan().model(acts).policies(POLICIES).limits("tool_calls = 1\n");
        let world = plan.connector_to(keeper.target(), &case.manifest).start().await;
        let before = keeper.state();
        let receipt = world.user("support").asks("Do it, please.").await.ends().await;
        let deeds: Vec<String> = keeper.deeds().into_iter().map(|deed| deed.line).collect();
        assert_eq!(receipt["status"], "unwound", "{}: {receipt}\n{deeds:?}", case.name);
        assert_eq!(keeper.state(), before, "{}: it is not as before: {deeds:?}", case.name);
        assert_eq!(deeds.len(), 2, "{}: one call and one that takes it back: {deeds:?}", case.name);
        let method = text(&case.undo, &["request", "method"]);
        assert!(deeds[1].starts_with(method), "{}: {deeds:?}", case.name);
        told.insert(case.name.clone());
    }
    println!("taken back: {told:?}");
}

/// The stand-in itself: it must notice what does not take back what was done.
#[tokio::test]
async fn an_undo_that_takes_back_something_else_is_noticed() {
    let (cases, _) = cases();
    let create = cases.iter().find(|case| case.name.ends_with("create_task")).expect("Todoist");
    let (keeper, given) = create.service().await;
    let wrong = create.manifest.replace("{result.id}", "{title}");
    assert_ne!(wrong, create.manifest);
    let tool = "demo__create_task";
    let acts = [Act::call(tool, given.clone()), Act::call(tool, given)];
    let plan = World::plan().model(acts).policies(POLICIES).limits("tool_calls = 1\n");
    let world = plan.connector_to(keeper.target(), &wrong).start().await;
    let before = keeper.state();
    drop(world.user("support").asks("Do it, please.").await.ends().await);
    assert_ne!(keeper.state(), before, "a wrong undo looks right to the stand-in: it proves nothing");
}

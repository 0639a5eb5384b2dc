//! What is wrong with a server is found before its first request.

use cardea_mcp::{
    Args, CheckHint, Result, Router, Server, StartError, State, Tool, UndoHint, guard::RequireAuth,
    schemars::JsonSchema,
};
use serde::Deserialize;
use serde_json::json;

async fn nothing() -> Result<()> {
    Ok(())
}

fn tool(name: &str) -> Tool {
    Tool::new(name, nothing).about("Does nothing.")
}

#[derive(Clone)]
struct Database;

async fn reads(State(_): State<Database>) -> Result<()> {
    Ok(())
}

/// Finds a customer by number.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema is looked at")]
struct ById {
    /// The customer's number.
    customer_id: u32,
}

async fn by_id(Args(_): Args<ById>) -> Result<()> {
    Ok(())
}

#[test]
fn every_mistake_has_a_name() {
    let start = |server: Server| server.build().err().map(|error| error.to_string()).unwrap_or_default();
    let server = || Server::new("s", "1");
    let twice = Router::new().nest("a_", Router::new().tool(tool("b"))).tool(tool("a_b"));
    assert_eq!(start(server().router(twice)), "two tools are called `a_b`");
    assert!(start(server().tool(tool("no spaces"))).contains("`no spaces` is no name"));
    assert!(start(server().tool(Tool::new("x", nothing))).contains("`x` has no description"));
    assert!(start(server().tool(Tool::new("r", reads).about("Reads."))).contains("Database"));
    assert!(
        start(server().require_guards().tool(tool("x").guard(RequireAuth)).tool(tool("y")))
            .contains("`y` has no guard")
    );
    let check = CheckHint { tool: "find".to_owned(), arguments: json!({}), done: "/id".to_owned() };
    assert!(start(server().tool(tool("x").check(check))).contains("`find`"));
    let by_number = || Tool::new("release", by_id).writes().once_per_key();
    let undone = |tool: Tool, with: &[(&str, &str)], by: Tool| {
        let undo = UndoHint::new("release", with.iter().map(|(key, value)| (*key, *value)));
        start(server().tool(tool.undo(undo)).tool(by))
    };
    let reserve = || tool("reserve").writes();
    let right = [("customer_id", "{result.id}")];
    assert_eq!(undone(reserve(), &right, by_number()), "");
    for (wrong, why) in [
        (undone(reserve(), &right, tool("other")), "there is no such tool"),
        (undone(tool("reserve").reads(), &right, by_number()), "nothing to take back"),
        (undone(reserve(), &right, Tool::new("release", by_id).writes()), "once_per_key"),
        (undone(reserve(), &[("customer", "{result.id}")], by_number()), "takes no argument `customer`"),
        (undone(reserve(), &[], by_number()), "not given `customer_id`"),
        (
            undone(reserve(), &[("customer_id", "{order}")], by_number()),
            "`{order}` is no argument of `reserve`",
        ),
        (undone(reserve(), &[("customer_id", "{step}")], by_number()), "a key of its own"),
    ] {
        assert!(wrong.contains("`reserve`") && wrong.contains(why), "{why}: {wrong}");
    }
    assert_eq!(start(server().state(Database).tool(Tool::new("r", reads).about("Reads."))), "");
}

#[test]
fn the_doc_comments_of_the_argument_type_become_the_texts_of_the_tool() {
    let service = Server::new("s", "1").tool(Tool::new("get", by_id).reads()).build().unwrap();
    let catalog = service.catalog();
    assert_eq!(catalog[0].description.as_deref(), Some("Finds a customer by number."));
    let schema = serde_json::to_value(&*catalog[0].input_schema).unwrap();
    assert_eq!(schema["properties"]["customer_id"]["description"], "The customer's number.");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["customer_id"]));
}

#[tokio::test]
async fn an_open_server_does_not_listen_to_the_world() {
    let service = Server::new("s", "1").tool(tool("x")).build().unwrap();
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = service.serve(listener, std::future::pending()).await;
    assert!(matches!(refused, Err(StartError::Open(_))), "{refused:?}");
}

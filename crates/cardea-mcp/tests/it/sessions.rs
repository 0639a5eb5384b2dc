//! What a server remembers, and for whom.

use cardea_mcp::{
    Args, MemorySessions, Millis, Result, Server, Session, TestClient, Tool, guard::RequireAuth,
    schemars::JsonSchema,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Note {
    text: String,
}

async fn keep(session: Session, Args(note): Args<Note>) -> Result<()> {
    Ok(session.set("note", &note.text).await?)
}

async fn read(session: Session) -> Result<Option<String>> {
    Ok(session.get("note").await?)
}

fn server() -> Server {
    Server::new("s", "1")
        .guard(RequireAuth)
        .tool(Tool::new("keep", keep).about("Keeps a note.").writes())
        .tool(Tool::new("read", read).about("Reads the note.").reads())
}

#[tokio::test]
async fn a_session_belongs_to_tenant_user_and_client() {
    let client = TestClient::new(server()).unwrap();
    let ann = client.clone().as_user("ann").client("app");
    ann.call("keep", json!({ "text": "hello" })).await;
    let read = async |who: TestClient| who.call("read", json!({})).await.value();
    assert_eq!(read(ann.clone()).await, Some(json!("hello")));
    assert_eq!(
        read(ann.clone().role("admin").scope("more")).await,
        Some(json!("hello")),
        "a renewed token keeps it"
    );
    assert_eq!(read(ann.clone().tenant("other")).await, Some(Value::String(String::new())));
    assert_eq!(read(ann.clone().client("other")).await, Some(Value::String(String::new())));
    assert_eq!(read(client.clone().as_user("bob").client("app")).await, Some(Value::String(String::new())));
    assert_eq!(client.call("read", json!({})).await.code(), "not_signed_in");
}

#[tokio::test]
async fn a_session_is_bounded_and_expires() {
    let sessions = MemorySessions::new(1 << 20);
    let ann = TestClient::new(server().sessions(sessions, Millis(0))).unwrap().as_user("ann");
    assert_eq!(ann.call("keep", json!({ "text": "x".repeat(70_000) })).await.code(), "too_large");
    ann.call("keep", json!({ "text": "hello" })).await;
    assert_eq!(ann.call("read", json!({})).await.value(), Some(json!("")), "its time is over at once");
}

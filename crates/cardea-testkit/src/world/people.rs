//! Users, their requests, and the results.

use std::future::Future;

use cardea_net::{NetError, Streaming};
use http::Method;
use serde_json::{Value, json};

use super::{
    mcp::{self, McpClient},
    wire::{Event, Reply, Wire, events, headers},
};

/// A user, as a client of a server.
#[derive(Debug, Clone)]
pub struct User {
    wire: Wire,
    token: Option<String>,
    agent: &'static str,
}

impl User {
    pub(super) fn new(wire: Wire, token: Option<&str>, agent: &'static str) -> Self {
        Self { wire, token: token.map(str::to_owned), agent }
    }

    /// Returns the credential.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Sends any request, with these additional headers.
    pub async fn send(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Reply {
        let method: Method = method.parse().expect("a method");
        self.wire.send(method, path, headers(self.token.as_deref(), more), body.as_bytes().to_vec()).await
    }

    /// Does the same if the server may die.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn tries(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, NetError> {
        let method: Method = method.parse().expect("a method");
        self.wire.try_send(method, path, headers(self.token.as_deref(), more), body.as_bytes().to_vec()).await
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    /// Sends a POST.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[], &body.to_string()).await
    }

    /// Sends a DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], "").await
    }

    /// Sends a message to the world's agent over the OpenAI route.
    pub async fn chats(&self, text: &str) -> Reply {
        let model = format!("agent/{}", self.agent);
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": text }] });
        self.post("/v1/chat/completions", &body).await
    }

    /// Sends a message to the world's agent, in a new conversation.
    pub async fn asks(&self, text: &str) -> Asked {
        self.asked(json!({ "agent": self.agent, "message": text })).await
    }

    /// Sends a message to the world's agent, in this conversation.
    pub async fn goes_on(&self, conversation: &str, text: &str) -> Asked {
        self.asked(json!({ "agent": self.agent, "message": text, "conversation": conversation })).await
    }

    async fn asked(&self, body: Value) -> Asked {
        let reply = self.post("/api/v1/turns", &body).await;
        Asked { user: self.clone(), reply }
    }

    /// Decides the approval that a turn waits for.
    pub async fn decides(&self, turn: &Asked, decision: &str) -> Reply {
        let path = format!("/api/v1/approvals/{}", turn.approval());
        self.post(&path, &json!({ "decision": decision, "comment": "a test" })).await
    }

    /// Approves what a turn waits for, and asserts that this is allowed.
    pub async fn approves(&self, turn: &Asked) {
        drop(self.decides(turn, "approve").await.expect(200));
    }

    /// Rejects what a turn waits for, and asserts that this is allowed.
    pub async fn rejects(&self, turn: &Asked) {
        drop(self.decides(turn, "reject").await.expect(200));
    }

    /// Returns the events of a turn after this number, to its end; none if the server says that there are no more.
    pub async fn follows(&self, turn: &str, after: Option<&str>) -> Vec<Event> {
        let more: Vec<(&str, &str)> = after.map(|id| ("last-event-id", id)).into_iter().collect();
        let path = format!("/api/v1/turns/{turn}/events");
        let reply = self.send("GET", &path, &more, "").await;
        if reply.status == 204 { Vec::new() } else { reply.expect(200).events() }
    }

    /// Follows a turn, does this once an event of this kind has come, and returns all events to the end.
    pub async fn follows_until(&self, turn: &str, kind: &str, then: impl Future<Output = ()>) -> Vec<Event> {
        let path = format!("/api/v1/turns/{turn}/events");
        let stream = self.opens(Method::GET, &path, String::new()).await;
        let ((), text) = reads_until(stream, &format!("event: {kind}\n"), then).await;
        events(&text)
    }

    /// Sends a message to the world's agent over the OpenAI route, does this once these words of the streamed answer
    /// have come, and reads the stream to its end. Returns what was done.
    pub async fn chats_until<T>(&self, text: &str, words: &str, then: impl Future<Output = T>) -> T {
        let message = json!({ "role": "user", "content": text });
        let body = json!({ "model": format!("agent/{}", self.agent), "stream": true, "messages": [message] });
        let stream = self.opens(Method::POST, "/v1/chat/completions", body.to_string()).await;
        reads_until(stream, words, then).await.0
    }

    async fn opens(&self, method: Method, path: &str, body: String) -> Streaming {
        let headers = headers(self.token.as_deref(), &[]);
        self.wire.open(method, path, headers, body.into_bytes()).await.expect("a stream of events")
    }

    /// Follows a turn to its end and returns the receipt.
    pub async fn receipt_of(&self, turn: &str) -> Value {
        let events = self.follows(turn, None).await;
        let ended = events.iter().rev().find(|event| event.kind == "turn.ended");
        ended.unwrap_or_else(|| panic!("the turn has no end: {events:?}")).json()
    }

    /// Connects to `/mcp` with rmcp's own client, with the older or the newer protocol.
    ///
    /// # Errors
    /// The message of the client.
    pub async fn mcp(&self, older: bool) -> Result<McpClient, String> {
        mcp::connect(&self.wire, self.token.as_deref(), older).await
    }
}

/// Reads a stream to its end, and does this once it contains these words. Returns what was done, and the stream's text.
async fn reads_until<T>(mut stream: Streaming, words: &str, then: impl Future<Output = T>) -> (T, String) {
    let (mut bytes, mut then, mut done) = (Vec::new(), Some(then), None);
    while let Some(piece) = stream.chunk().await.expect("the stream ends in order") {
        bytes.extend_from_slice(&piece);
        if String::from_utf8_lossy(&bytes).contains(words)
            && let Some(then) = then.take()
        {
            done = Some(then.await);
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (done.unwrap_or_else(|| panic!("no `{words}` has come: {text}")), text)
}

/// A question, and its state.
#[derive(Debug)]
pub struct Asked {
    user: User,
    /// The first answer: of the turn, or of its suspension.
    pub reply: Reply,
}

impl Asked {
    /// Returns the turn.
    #[must_use]
    pub fn turn(&self) -> &str {
        self.reply.at("/turn")
    }

    /// Returns its conversation.
    #[must_use]
    pub fn conversation(&self) -> &str {
        self.reply.at("/conversation")
    }

    /// Returns the approval that it waits for.
    #[must_use]
    pub fn approval(&self) -> &str {
        self.reply.at("/approval")
    }

    /// Asserts that it waits for an approval of a call of this tool.
    pub async fn waits_for_approval(&self, tool: &str) {
        assert_eq!(self.reply.status, 202, "{}", self.reply.text);
        let listed = self.user.get("/api/v1/approvals").await.expect(200);
        let all = listed.body.get("approvals").and_then(Value::as_array).cloned().unwrap_or_default();
        let of = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let found = all.iter().find(|one| of(one, "id") == self.approval());
        let found = found.unwrap_or_else(|| panic!("`{}` is not listed: {all:?}", self.approval()));
        assert_eq!((of(found, "tool").as_str(), of(found, "state").as_str()), (tool, "open"));
    }

    /// Follows it to its end and asserts that the answer contains these words. Returns the receipt.
    pub async fn answers(&self, words: &str) -> Value {
        let receipt = self.ends().await;
        let answer = receipt.get("answer").and_then(Value::as_str).unwrap_or_default();
        assert!(answer.contains(words), "`{words}` is not in the answer: {receipt}");
        receipt
    }

    /// Follows it to its end and returns the receipt.
    pub async fn ends(&self) -> Value {
        assert!(self.reply.status < 300, "{}", self.reply.text);
        self.user.receipt_of(self.turn()).await
    }
}

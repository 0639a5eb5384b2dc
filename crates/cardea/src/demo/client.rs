//! A simple client of the API.

use std::{sync::Arc, time::Duration};

use cardea_core::time::SystemClock;
use cardea_net::{AllowList, Egress, Net, NetConfig, Request, Streaming};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::Wrong;

/// Maximum time to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user who sends requests.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) roles: &'static [&'static str],
    pub(super) token: String,
}

/// Response of the server.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    /// Returns a text inside the body, by JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Client of one server.
#[derive(Debug, Clone)]
pub(super) struct Door {
    net: Net,
    base: String,
}

impl Door {
    pub(super) fn to(base: &str) -> Result<Self, Wrong> {
        let target = base.trim_start_matches("http://");
        let mut allow = AllowList::default();
        allow.add(target).map_err(|error| error.to_string())?;
        let config = NetConfig { allow, ..NetConfig::default() };
        let net = Net::new(config, Arc::new(SystemClock)).map_err(|error| error.to_string())?;
        Ok(Self { net, base: base.to_owned() })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        person: &Person,
        body: Option<&Value>,
    ) -> Result<Request, Wrong> {
        let url = format!("{}{path}", self.base);
        let mut headers = HeaderMap::new();
        let bearer =
            HeaderValue::from_str(&format!("Bearer {}", person.token)).map_err(|error| error.to_string())?;
        headers.insert(header::AUTHORIZATION, bearer);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = Request::new(method, &url, Egress::any()).map_err(|error| error.to_string())?;
        let request = request.headers(headers).timeout(PATIENCE).idle_timeout(PATIENCE);
        Ok(match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        })
    }

    async fn send(&self, request: Request) -> Result<Reply, Wrong> {
        let answer = self.net.send(request).await.map_err(|error| error.to_string())?;
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok(Reply { status: answer.status.as_u16(), body })
    }

    pub(super) async fn get(&self, person: &Person, path: &str) -> Result<Reply, Wrong> {
        self.send(self.request(Method::GET, path, person, None)?).await
    }

    pub(super) async fn post(&self, person: &Person, path: &str, body: &Value) -> Result<Reply, Wrong> {
        self.send(self.request(Method::POST, path, person, Some(body))?).await
    }

    /// Sends a message to the agent `support`, over the OpenAI route.
    pub(super) async fn say(&self, person: &Person, talk: Option<&str>, text: &str) -> Result<Reply, Wrong> {
        let body = json!({ "model": "agent/support", "messages": [{ "role": "user", "content": text }] });
        let mut request = self.request(Method::POST, "/v1/chat/completions", person, Some(&body))?;
        if let Some(talk) = talk {
            let value = HeaderValue::from_str(talk).map_err(|error| error.to_string())?;
            request = request.header(HeaderName::from_static("x-cardea-conversation"), value);
        }
        self.send(request).await
    }

    /// Follows a turn to its end and returns the receipt.
    pub(super) async fn follow(&self, person: &Person, turn: &str) -> Result<Value, Wrong> {
        let path = format!("/api/v1/turns/{turn}/events");
        let request = self.request(Method::GET, &path, person, None)?;
        let mut events = self.net.stream(request).await.map_err(|error| error.to_string())?;
        until_ended(&mut events).await
    }
}

/// Reads server-sent events up to the one that ends the turn.
async fn until_ended(events: &mut Streaming) -> Result<Value, Wrong> {
    let mut text = String::new();
    loop {
        let piece = tokio::time::timeout(PATIENCE, events.chunk())
            .await
            .map_err(|_| "the turn did not end".to_owned())?;
        let Some(piece) = piece.map_err(|error| error.to_string())? else {
            return Err("the stream ended before the turn".to_owned());
        };
        text.push_str(&String::from_utf8_lossy(&piece));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let ended = event.lines().any(|line| line == "event: turn.ended" || line == "event:turn.ended");
            let data =
                event.lines().find_map(|line| line.strip_prefix("data:")).map(|data| data.trim().to_owned());
            let rest = rest.to_owned();
            if let (true, Some(data)) = (ended, data) {
                return serde_json::from_str(&data).map_err(|error| error.to_string());
            }
            text = rest;
        }
    }
}

//! HTTP client of the tests.

use std::{sync::Arc, time::Duration};

use cardea_core::time::SystemClock;
use cardea_net::{AllowList, Egress, Net, NetConfig, NetError, Request, Streaming};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;

/// How long a test waits for an answer before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connection to one server.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    net: Net,
    pub(super) base: String,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body, or null if it is not JSON.
    pub body: Value,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, if it has one.
    pub id: String,
    /// Its name, if it has one.
    pub kind: String,
    /// Its data.
    pub data: String,
}

impl Event {
    /// Returns the data as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

impl Reply {
    /// Returns a text inside the body, by JSON pointer; empty if there is none.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a header as text; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Asserts the status and returns the reply.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Returns the body as server-sent events; comments are left out.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        events(&self.text)
    }
}

/// Parses server-sent events; comments are left out.
pub(super) fn events(text: &str) -> Vec<Event> {
    let one = |block: &str| {
        let field = |name: &str| {
            let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
        };
        let event = Event { id: field("id"), kind: field("event"), data: field("data") };
        (!event.data.is_empty()).then_some(event)
    };
    text.split("\n\n").filter_map(one).collect()
}

impl Wire {
    pub(super) fn to(base: &str) -> Self {
        let mut allow = AllowList::default();
        allow.add(base.trim_start_matches("http://")).expect("an address");
        // A client of a server that is killed again and again must not give up on it.
        let config = NetConfig { allow, breaker_failures: u32::MAX, ..NetConfig::default() };
        let net = Net::new(config, Arc::new(SystemClock)).expect("a client");
        Self { net, base: base.to_owned() }
    }

    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Streaming, NetError> {
        self.net.stream(self.request(method, path, headers, body)).await
    }

    pub(super) async fn send(&self, method: Method, path: &str, headers: HeaderMap, body: Vec<u8>) -> Reply {
        let answer = self.try_send(method, path, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{path} did not answer: {error}"))
    }

    pub(super) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Reply, NetError> {
        let answer = self.net.send(self.request(method, path, headers, body)).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Reply { status: answer.status.as_u16(), headers: answer.headers, text, body })
    }

    fn request(&self, method: Method, path: &str, headers: HeaderMap, body: Vec<u8>) -> Request {
        let url = format!("{}{path}", self.base);
        let request = Request::new(method, &url, Egress::any()).expect("a request");
        request.headers(headers).body(body).timeout(PATIENCE).idle_timeout(PATIENCE).max_body(8 << 20)
    }
}

/// Returns the headers of a JSON request with this credential, and further ones; a header may occur twice.
pub(super) fn headers(token: Option<&str>, more: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_str(text).expect("a header value");
    if let Some(token) = token {
        headers.insert(header::AUTHORIZATION, value(&format!("Bearer {token}")));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, text) in more {
        let name: HeaderName = name.parse().expect("a header name");
        if name == header::CONTENT_TYPE {
            headers.remove(&name);
        }
        headers.append(name, value(text));
    }
    headers
}

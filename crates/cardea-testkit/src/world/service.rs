//! A fake HTTP service behind a connector: it answers as told and records its requests.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// Reaction to one request.
#[derive(Debug, Clone)]
pub enum Say {
    /// Answers with this status and body.
    Json(u16, Value),
    /// Does the same after this time.
    Late(Duration, u16, Value),
    /// Answers 429 with this `Retry-After`.
    Later(&'static str),
    /// Accepts the request and never answers.
    Silent,
    /// Accepts the request and closes the connection in the middle of the answer.
    BreaksOff,
    /// Answers 200 with a text of this many bytes.
    Long(usize),
    /// Answers 200 with everything that it received, including headers.
    Echo,
    /// Answers 302 to this address.
    Elsewhere(String),
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Came {
    /// Method and path with query.
    pub line: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, or null if it was not JSON.
    pub body: Value,
}

impl Came {
    /// Returns a header as text; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Told {
    says: HashMap<String, VecDeque<Say>>,
    came: Vec<Came>,
}

/// The service. Dropping it closes its port.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
    _server: JoinSet<()>,
}

impl Service {
    /// Starts on a free port of the loopback interface.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the service");
        let address = listener.local_addr().expect("the service's address");
        let told = Arc::new(Mutex::new(Told::default()));
        let app = Router::new().fallback(any(answer)).with_state(Arc::clone(&told));
        let mut server = JoinSet::new();
        server.spawn(async move { drop(axum::serve(listener, app).await) });
        Self { address, told, _server: server }
    }

    /// `host:port`.
    #[must_use]
    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// Sets the answers to requests with this method and path (`POST /orders/17`), one after the other; the last is
    /// repeated.
    pub fn says(&self, line: &str, says: impl IntoIterator<Item = Say>) -> &Self {
        self.lock().says.insert(line.to_owned(), says.into_iter().collect());
        self
    }

    /// Returns the requests with this method and path so far.
    #[must_use]
    pub fn came(&self, line: &str) -> Vec<Came> {
        let of = |came: &&Came| came.line.split('?').next() == Some(line) || came.line == line;
        self.lock().came.iter().filter(of).cloned().collect()
    }

    /// Returns the lines of all requests so far, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().came.iter().map(|came| came.line.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn json_of(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn answer(
    State(told): State<Arc<Mutex<Told>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let short = format!("{method} {}", uri.path());
    let came = Came {
        line: format!("{method} {uri}"),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let say = {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.came.push(came.clone());
        match told.says.get_mut(&short) {
            Some(says) if says.len() > 1 => says.pop_front(),
            Some(says) => says.front().cloned(),
            None => None,
        }
    };
    match say {
        None => (StatusCode::NOT_FOUND, "there is nothing here").into_response(),
        Some(Say::Json(status, body)) => json_of(status, &body),
        Some(Say::Late(late, status, body)) => {
            tokio::time::sleep(late).await;
            json_of(status, &body)
        }
        Some(Say::Later(after)) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, after)]).into_response()
        }
        Some(Say::Silent) => std::future::pending().await,
        Some(Say::BreaksOff) => {
            let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("closed"))];
            Body::from_stream(futures::stream::iter(pieces)).into_response()
        }
        Some(Say::Long(bytes)) => "x".repeat(bytes).into_response(),
        Some(Say::Echo) => {
            let headers: Value = came
                .headers
                .iter()
                .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
                .collect();
            let all = json!({ "line": came.line, "headers": headers, "body": came.body });
            ([(header::CONTENT_TYPE, "application/json")], all.to_string()).into_response()
        }
        Some(Say::Elsewhere(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    }
}

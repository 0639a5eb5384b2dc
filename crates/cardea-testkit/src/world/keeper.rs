//! A fake service with state for any connector: a store of things with marks.
//!
//! It knows HTTP and nothing of the connector's file: POST creates a thing or acts on one, PUT marks it, DELETE
//! removes it, and a known key gets its first answer again. A call can thus be tested together with its undo:
//! afterwards the state must be as before.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use cardea_core::time::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// Verbs and their opposites. A service with other verbs needs a new line here.
const OPPOSITES: [(&str, &str); 12] = [
    ("reopen", "close"),
    ("open", "close"),
    ("close", "open"),
    ("unarchive", "archive"),
    ("unlock", "lock"),
    ("unstar", "star"),
    ("unassign", "assign"),
    ("enable", "disable"),
    ("disable", "enable"),
    ("resume", "pause"),
    ("restore", "trash"),
    ("unsubscribe", "subscribe"),
];

/// One operation. A call that was recognised by its key and did nothing more is not in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Idempotency key of the call; empty without one.
    pub key: String,
    /// Method and path.
    pub line: String,
    /// When.
    pub at: Timestamp,
}

/// Answer to a creation: status and body, and where in the body the id of the new thing is.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// JSON pointer to the id.
    pub name: String,
}

#[derive(Debug, Default)]
struct Kept {
    things: BTreeMap<String, BTreeSet<String>>,
    answers: HashMap<String, (u16, Value)>,
    shapes: HashMap<String, Shape>,
    refusals: HashMap<String, (u16, Value)>,
    deeds: Vec<Deed>,
    made: u64,
}

/// The service. Dropping it closes its port.
#[derive(Debug)]
pub struct Keeper {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    _server: JoinSet<()>,
}

impl Keeper {
    /// Starts on a free port of the loopback interface.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the service");
        let address = listener.local_addr().expect("the service's address");
        let kept = Arc::new(Mutex::new(Kept::default()));
        let app = Router::new().fallback(any(answer)).with_state(Arc::clone(&kept));
        let mut server = JoinSet::new();
        server.spawn(async move { drop(axum::serve(listener, app).await) });
        Self { address, kept, _server: server }
    }

    /// `host:port`.
    #[must_use]
    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// Makes POST to this path create a thing, with this answer.
    pub fn makes(&self, path: &str, shape: Shape) -> &Self {
        self.lock().shapes.insert(path.to_owned(), shape);
        self
    }

    /// Makes this method and path fail.
    pub fn refuses(&self, line: &str, status: u16, body: Value) -> &Self {
        self.lock().refusals.insert(line.to_owned(), (status, body));
        self
    }

    /// Adds a thing that exists from the start.
    pub fn has(&self, path: &str) -> &Self {
        self.lock().things.insert(path.to_owned(), BTreeSet::new());
        self
    }

    /// Returns all things with their marks.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.lock().things.clone()
    }

    /// Returns all operations, in order.
    #[must_use]
    pub fn deeds(&self) -> Vec<Deed> {
        self.lock().deeds.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Performs the request. `None` if there is nothing at this path.
    fn act(&mut self, method: &Method, path: &str) -> Option<(u16, Value)> {
        let (above, last) = path.rsplit_once('/')?;
        match *method {
            Method::POST if self.shapes.contains_key(path) => {
                let Shape { status, mut body, name } = self.shapes.get(path).cloned()?;
                self.made += 1;
                let place = body.pointer_mut(&name)?;
                let (new, text) = match place {
                    Value::Number(_) => (json!(9_000 + self.made), (9_000 + self.made).to_string()),
                    _ => (json!(format!("new-{}", self.made)), format!("new-{}", self.made)),
                };
                *place = new;
                self.things.insert(format!("{path}/{text}"), BTreeSet::new());
                Some((status, body))
            }
            Method::POST | Method::PUT => {
                let marks = self.things.get_mut(above)?;
                let undone = OPPOSITES.iter().filter(|(verb, _)| *verb == last);
                if undone.filter(|(_, other)| marks.remove(*other)).count() == 0 {
                    marks.insert(last.to_owned());
                }
                Some((200, json!({})))
            }
            Method::DELETE => {
                let there = self.things.remove(path).is_some()
                    || self.things.get_mut(above).is_some_and(|marks| marks.remove(last));
                there.then(|| (204, Value::Null))
            }
            _ => None,
        }
    }
}

async fn answer(
    State(kept): State<Arc<Mutex<Kept>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let line = format!("{method} {}", uri.path());
    let keys = ["idempotency-key", "x-request-id", "x-idempotency-key"];
    let key = keys.iter().find_map(|name| headers.get(*name)?.to_str().ok()).unwrap_or_default().to_owned();
    let said = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = format!("{key} {line}");
        match kept.answers.get(&known).or_else(|| kept.refusals.get(&line)).cloned() {
            Some(said) => said,
            None => match kept.act(&method, uri.path()) {
                None => (404, json!({ "error": "there is no such thing" })),
                Some(said) => {
                    kept.deeds.push(Deed { key: key.clone(), line, at: SystemClock.now() });
                    if !key.is_empty() {
                        kept.answers.insert(known, said.clone());
                    }
                    said
                }
            },
        }
    };
    let (status, body) = said;
    let status = StatusCode::from_u16(status).expect("a status");
    let text = if body.is_null() { String::new() } else { body.to_string() };
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

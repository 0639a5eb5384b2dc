//! What a server remembers, and for whom.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use cardea_mcp::{
    Args, BoxFuture, Code, Error, Layers, MemorySessions, Millis, Result, Server, Session, SessionStore,
    TestClient, Tool, guard::RequireAuth, layer::Rate, schemars::JsonSchema,
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
    assert_eq!(read(ann.clone().tenant("other")).await, Some(Value::Null));
    assert_eq!(read(ann.clone().client("other")).await, Some(Value::Null));
    assert_eq!(read(client.clone().as_user("bob").client("app")).await, Some(Value::Null));
    assert_eq!(client.call("read", json!({})).await.code(), "not_signed_in");
}

#[tokio::test]
async fn a_session_is_bounded_and_expires() {
    let sessions = MemorySessions::new(1 << 20);
    let ann = TestClient::new(server().sessions(sessions, Millis(0))).unwrap().as_user("ann");
    assert_eq!(ann.call("keep", json!({ "text": "x".repeat(70_000) })).await.code(), "too_large");
    ann.call("keep", json!({ "text": "hello" })).await;
    assert_eq!(ann.call("read", json!({})).await.value(), Some(Value::Null), "its time is over at once");
}

/// A store of somebody else, which can break.
#[derive(Clone, Default)]
struct Cupboard(Arc<Mutex<Option<HashMap<String, Bytes>>>>);

type Done<T> = std::result::Result<T, Error>;

impl Cupboard {
    fn open<T>(&self, work: impl FnOnce(&mut HashMap<String, Bytes>) -> T) -> Done<T> {
        self.0.lock().unwrap().as_mut().map(work).ok_or_else(|| Error::new(Code::StoreUnavailable))
    }
}

impl SessionStore for Cupboard {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Done<Option<Bytes>>> {
        Box::pin(async move {
            let kept = self.open(|kept| kept.get(key).cloned());
            // A store far away lets others run between reading and writing.
            tokio::task::yield_now().await;
            kept
        })
    }

    fn save<'a>(&'a self, key: &'a str, value: Bytes, _: Millis) -> BoxFuture<'a, Done<()>> {
        Box::pin(async move { self.open(|kept| drop(kept.insert(key.to_owned(), value))) })
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        before: Option<Bytes>,
        value: Bytes,
        _: Millis,
    ) -> BoxFuture<'a, Done<bool>> {
        Box::pin(async move {
            self.open(|kept| {
                let same = kept.get(key) == before.as_ref();
                if same {
                    kept.insert(key.to_owned(), value);
                }
                same
            })
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Done<()>> {
        Box::pin(async move { self.open(|kept| drop(kept.remove(key))) })
    }
}

#[tokio::test]
async fn a_store_of_ones_own_keeps_sessions_and_its_failure_is_told() {
    let cupboard = Cupboard(Arc::new(Mutex::new(Some(HashMap::new()))));
    let keeps = || server().sessions(cupboard.clone(), Millis::from_secs(60));
    let ann = TestClient::new(keeps()).unwrap().as_user("ann");
    ann.call("keep", json!({ "text": "hello" })).await;
    let later = TestClient::new(keeps()).unwrap();
    assert_eq!(later.clone().as_user("ann").call("read", json!({})).await.value(), Some(json!("hello")));
    assert_eq!(later.as_user("bob").call("read", json!({})).await.value(), Some(Value::Null));
    *cupboard.0.lock().unwrap() = None;
    assert_eq!(ann.call("read", json!({})).await.code(), "store_unavailable");
}

async fn count(session: Session) -> Result<u32> {
    Ok(session.update("calls", |calls: Option<u32>| calls.unwrap_or(0) + 1).await?)
}

#[tokio::test]
async fn no_update_of_a_session_is_lost_however_many_calls_come_at_one_time() {
    let counts = || Tool::new("count", count).about("Counts.").writes();
    let cupboard = Cupboard(Arc::new(Mutex::new(Some(HashMap::new()))));
    for server in [server().tool(counts()), server().tool(counts()).sessions(cupboard, Millis::from_secs(60))]
    {
        let ann = TestClient::new(server).unwrap().as_user("ann");
        let calls =
            (0..30).map(async |_| ann.call("count", json!({})).await.value().unwrap().as_u64().unwrap());
        let mut seen = futures::future::join_all(calls).await;
        seen.sort_unstable();
        assert_eq!(seen, (1..=30).collect::<Vec<_>>());
    }
}

/// An older client that says hello, through this session store's server.
async fn hello(client: &TestClient) -> (u16, Value) {
    hello_from(client, None).await
}

/// The same from this address.
async fn hello_from(client: &TestClient, address: Option<IpAddr>) -> (u16, Value) {
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "0" } });
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello });
    let mut request = http::Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(address) = address {
        request = request.extension(ConnectInfo(SocketAddr::new(address, 5)));
    }
    let (status, body) = client.send(request.body(hello.to_string().into()).unwrap()).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn the_beginning_of_a_session_counts_and_nobody_has_very_many() {
    let layers = Layers::new().rate(Rate::per_user(2, Millis::from_secs(3_600)));
    let server = TestClient::new(server().layers(layers).legacy_sessions()).unwrap();
    let ann = server.clone().as_user("ann");
    assert_eq!([hello(&ann).await.0, hello(&ann).await.0], [200, 200]);
    let (status, body) = hello(&ann).await;
    assert_eq!((status, &body["error"]), (429, &json!("rate_limited")), "{body}");
    assert_eq!(hello(&server.as_user("bob")).await.0, 200);

    let server = TestClient::new(self::server().legacy_sessions()).unwrap();
    let (ann, mut begun) = (server.clone().as_user("ann"), 0);
    while hello(&ann).await.0 == 200 {
        begun += 1;
        assert!(begun <= 100, "there is no end of them");
    }
    let (status, body) = hello(&ann).await;
    assert_eq!((begun, status, &body["error"]), (100, 429, &json!("rate_limited")), "{body}");
    assert_eq!(hello(&server.as_user("bob")).await.0, 200, "others have room");
}

/// The host of this number in a network of IPv6.
fn host(network: u16, number: u16) -> Option<IpAddr> {
    Some(Ipv6Addr::new(0x2001, 0xdb8, 0, network, number, 0, 0, 1).into())
}

#[tokio::test]
async fn whoever_has_a_whole_network_of_addresses_is_one_caller() {
    let server = TestClient::new(server().legacy_sessions()).unwrap();
    let mut begun = 0;
    while hello_from(&server, host(1, begun)).await.0 == 200 {
        begun += 1;
        assert!(begun <= 100, "there is no end of them");
    }
    assert_eq!(begun, 100);
    assert_eq!(hello_from(&server, host(2, 0)).await.0, 200, "others have room");

    let layers = Layers::new().rate(Rate::per_user(1, Millis::from_secs(3_600)));
    let server = TestClient::new(self::server().layers(layers).legacy_sessions()).unwrap();
    let status = async |address: Option<IpAddr>| hello_from(&server, address).await.0;
    assert_eq!(
        [status(host(1, 1)).await, status(host(1, 2)).await, status(host(2, 1)).await],
        [200, 429, 200]
    );
    let v4 = |last: u8| Ipv4Addr::new(203, 0, 113, last);
    let mapped = |last: u8| Some(IpAddr::from(v4(last).to_ipv6_mapped()));
    assert_eq!(
        [status(Some(v4(1).into())).await, status(mapped(1)).await, status(mapped(2)).await],
        [200, 429, 200]
    );
}

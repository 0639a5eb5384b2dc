//! Lists of tools that were written once are served again, to the right people only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use axum::body::Body;
use cardea_mcp::{
    Code, Error, Layers, Result, Server, TestClient, Tool,
    guard::{Ask, Guard, HasRole, HasScope, RequireAuth},
};
use futures::future::BoxFuture;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};

async fn nothing() -> Result<()> {
    Ok(())
}

/// Lets everybody in as long as the sign says so.
struct Open(Arc<AtomicBool>);

impl Guard for Open {
    fn check<'a>(&'a self, _: Ask<'a>) -> BoxFuture<'a, std::result::Result<(), Error>> {
        let open = self.0.load(Ordering::SeqCst);
        Box::pin(async move { if open { Ok(()) } else { Err(Code::Denied.into()) } })
    }

    fn rule(&self) -> String {
        "during opening hours".to_owned()
    }
}

fn shop(sign: &Arc<AtomicBool>) -> TestClient {
    let tool = |name: &str| Tool::new(name, nothing).about("Does nothing.").reads();
    let server = Server::new("s", "1")
        .layers(Layers::new())
        .tool(tool("all"))
        .tool(tool("members").guard(RequireAuth))
        .tool(tool("staff").guard(HasRole::new(["staff"])))
        .tool(tool("billing").guard(HasScope::new(["billing"])))
        .tool(tool("counter").guard(Open(sign.clone())));
    TestClient::new(server).unwrap()
}

fn request(id: &str, version: &str, meta: &str) -> Request<Body> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{{meta}}}}}"#);
    Request::post("/mcp")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", version)
        .header("mcp-method", "tools/list")
        .body(Body::from(body))
        .unwrap()
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"0"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

async fn listed(client: &TestClient, id: &str, version: &str) -> Value {
    let meta = if version == "2026-07-28" { META } else { "" };
    let (status, body) = client.send(request(id, version, meta)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

fn names(body: &Value) -> Vec<&str> {
    body["result"]["tools"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect()
}

#[tokio::test]
async fn the_second_list_is_the_first_under_its_own_id_on_both_wires() {
    let shop = shop(&Arc::new(AtomicBool::new(true)));
    for version in ["2026-07-28", "2025-11-25"] {
        let first = listed(&shop, "1", version).await;
        for id in ["2", r#""a-b""#, "0", r#""q uot""#, r#""\u0041""#] {
            let again = listed(&shop, id, version).await;
            assert_eq!(again["id"], serde_json::from_str::<Value>(id).unwrap());
            assert_eq!(
                (&again["result"], &again["jsonrpc"]),
                (&first["result"], &json!("2.0")),
                "{version} {id}"
            );
        }
    }
    let (modern, older) = (listed(&shop, "1", "2026-07-28").await, listed(&shop, "1", "2025-11-25").await);
    let kind = |list: &Value| list["result"]["resultType"].clone();
    assert_eq!((kind(&modern), kind(&older)), (json!("complete"), Value::Null), "each wire has its own list");
}

#[tokio::test]
async fn nobody_is_served_the_list_of_somebody_with_other_rights() {
    let sign = Arc::new(AtomicBool::new(true));
    let shop = shop(&sign);
    let people = [
        (shop.clone(), vec!["all", "counter"]),
        (shop.clone().as_user("ann"), vec!["all", "counter", "members"]),
        (shop.clone().as_user("bob").role("staff"), vec!["all", "counter", "members", "staff"]),
        (shop.clone().as_user("eve").scope("billing"), vec!["all", "billing", "counter", "members"]),
    ];
    for _ in 0..3 {
        for (client, expected) in &people {
            assert_eq!(names(&listed(client, "1", "2026-07-28").await), *expected);
        }
    }
    sign.store(false, Ordering::SeqCst);
    for (client, expected) in &people {
        let now: Vec<&str> = expected.iter().copied().filter(|name| *name != "counter").collect();
        assert_eq!(names(&listed(client, "1", "2026-07-28").await), now, "guards are asked each time");
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_in_one_place_is_not_served_what_is_kept() {
    let shop = shop(&Arc::new(AtomicBool::new(true)));
    listed(&shop, "1", "2026-07-28").await;
    listed(&shop, "1", "2026-07-28").await;
    let code = async |change: &dyn Fn(&mut Request<Body>)| {
        let mut request = request("1", "2026-07-28", META);
        change(&mut request);
        let (status, body) = shop.send(request).await;
        (status.as_u16(), body["error"]["code"].as_i64().unwrap_or_default())
    };
    let set = |name: &'static str, value: &'static str| {
        move |request: &mut Request<Body>| {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    };
    assert_eq!(code(&set("mcp-method", "tools/call")).await, (400, -32020));
    assert_eq!(code(&set("mcp-protocol-version", "2025-11-25")).await, (400, -32020));
    assert_eq!(code(&set("accept", "text/plain")).await.0, 406);
    assert_eq!(code(&set("content-type", "text/plain")).await.0, 415);
    assert_eq!(code(&set("host", "evil.example")).await.0, 403);
    for id in ["null", "1.5", "[1]", "{}"] {
        let (status, _) = shop.send(request(id, "2026-07-28", META)).await;
        assert_ne!(status, StatusCode::OK, "id {id}");
    }
}

/// Fails the second time that it is asked.
#[derive(Default)]
struct Faltering(AtomicU32);

impl Guard for Faltering {
    fn check<'a>(&'a self, _: Ask<'a>) -> BoxFuture<'a, std::result::Result<(), Error>> {
        let verdict = match self.0.fetch_add(1, Ordering::SeqCst) {
            1 => Err(Error::new(Code::StoreUnavailable)),
            _ => Ok(()),
        };
        Box::pin(std::future::ready(verdict))
    }

    fn rule(&self) -> String {
        "if it comes through".to_owned()
    }
}

#[tokio::test]
async fn a_guard_that_fails_once_is_missed_in_one_list() {
    let tool = |name: &str| Tool::new(name, nothing).about("Does nothing.").reads();
    let server = Server::new("s", "1").tool(tool("all")).tool(tool("some").guard(Faltering::default()));
    let ann = TestClient::new(server).unwrap().as_user("ann");
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(names(&listed(&ann, "1", "2026-07-28").await).join(" "));
    }
    assert_eq!(seen, ["all some", "all", "all some", "all some"]);
}

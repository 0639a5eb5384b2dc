//! What the endpoint refuses before any tool is reached, and how it says so.

use std::{collections::BTreeSet, sync::OnceLock};

use axum::body::Body;
use cardea_core::{
    id::{TenantId, UserId},
    secret::ExposeSecret,
    time::{Clock, ManualClock, SystemClock, Timestamp},
};
use cardea_mcp::{
    Audit, Code, Context, Layers, Millis, Result, Router, Server, StartError, TestClient, Tool,
    auth::{Claims, IssuerConfig, Lifetime, Signer},
    guard::{GuardExt as _, HasRole, HasScope},
    layer::ResponseCache,
    rmcp::{
        ErrorData, RoleServer, ServerHandler,
        model::{
            ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ResourceContents,
            ServerCapabilities, ServerConfig,
        },
        service::RequestContext,
    },
};
use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt as _;

const RESOURCE: &str = "https://tools.example/mcp";
const ISSUER: &str = "https://idp.example";

/// The issuer of these tests: one key for all of them.
fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(ISSUER, &Signer::new_key().unwrap(), Lifetime::Short).unwrap())
}

fn claims(user: &str, scopes: &str) -> Claims {
    Claims {
        subject: UserId::from(user),
        audience: RESOURCE.to_owned(),
        tenant: TenantId::from("default"),
        roles: BTreeSet::new(),
        scopes: scopes.split(' ').map(str::to_owned).collect(),
        client: Some("app".to_owned()),
        actors: Vec::new(),
        lifetime: Millis::from_secs(600),
    }
}

fn signed(claims: &Claims, at: Timestamp) -> String {
    signer().sign(claims, at).unwrap().expose_secret().to_owned()
}

fn token(user: &str, scopes: &str) -> String {
    format!("Bearer {}", signed(&claims(user, scopes), SystemClock.now()))
}

fn trusted() -> IssuerConfig {
    IssuerConfig::new(ISSUER, RESOURCE).jwks(signer().jwks().to_string()).tenant_claim("tenant").at_jwt()
}

async fn whoami(context: Context) -> Result<String> {
    let seen = context.rmcp().and_then(|rmcp| rmcp.extensions.get::<http::request::Parts>());
    assert!(seen.is_some_and(|parts| !parts.headers.contains_key(header::AUTHORIZATION)));
    Ok(context.user()?.to_string())
}

fn server() -> Server {
    Server::new("shop", "7")
        .trust(trusted())
        .resource(RESOURCE, [ISSUER])
        .layers(Layers::new().metrics())
        .tool(Tool::new("whoami", whoami).about("Says who you are.").reads())
        .tool(Tool::new("pay", whoami).about("Pays.").guard(HasScope::new(["billing:write"])))
}

fn post(token: &str) -> Builder {
    let request = Request::post("/mcp")
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    if token.is_empty() { request } else { request.header(header::AUTHORIZATION, token) }
}

fn modern(method: &str, name: &str, params: Value) -> (Builder, Value) {
    let request =
        post(&token("ann", "read")).header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
    let request = if name.is_empty() { request } else { request.header("mcp-name", name) };
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    (request, json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
}

fn legacy(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

async fn answer(server: Server, request: Builder, body: impl Into<Body>) -> (StatusCode, HeaderMap, Value) {
    let service = server.build().unwrap();
    let response = service.routes().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    (parts.status, parts.headers, value)
}

#[tokio::test]
async fn both_wires_answer_the_same_tools_at_one_address() {
    let (request, body) = modern("tools/call", "whoami", json!({ "name": "whoami", "arguments": {} }));
    let (status, _, body) = answer(server(), request, body.to_string()).await;
    assert_eq!((status, &body["result"]["content"][0]["text"]), (StatusCode::OK, &json!("ann")), "{body}");

    let request = post(&token("ann", "read")).header("mcp-protocol-version", "2025-11-25");
    let call = legacy("tools/call", json!({ "name": "whoami", "arguments": {} }));
    let (status, _, body) = answer(server(), request, call.to_string()).await;
    assert_eq!((status, &body["result"]["content"][0]["text"]), (StatusCode::OK, &json!("ann")), "{body}");

    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "0" } });
    let (_, _, body) =
        answer(server(), post(&token("ann", "read")), legacy("initialize", params).to_string()).await;
    assert_eq!(body["result"]["serverInfo"]["name"], "shop", "{body}");
    assert_eq!(body["result"]["protocolVersion"], "2025-11-25");

    let (request, body) = modern("tools/list", "", json!({}));
    let (_, _, body) = answer(server(), request, body.to_string()).await;
    assert_eq!(body["result"]["cacheScope"], "private", "{body}");
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_reach_it() {
    let (_, body) = modern("tools/list", "", json!({}));
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example"),
        ("host", "localhost.evil.example:8080"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1.evil.example"),
    ] {
        let mut request = modern("tools/list", "", json!({})).0;
        let headers = request.headers_mut().unwrap();
        headers.insert(header::HeaderName::from_static(name), value.parse().unwrap());
        let (status, _, answer) = answer(server(), request, body.to_string()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value} gave {answer}");
    }
    for path in ["/metrics", "/healthz", "/.well-known/oauth-protected-resource"] {
        let request = Request::get(path).header(header::HOST, "evil.example");
        assert_eq!(answer(server(), request, Body::empty()).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let own = modern("tools/list", "", json!({})).0.header("origin", "http://127.0.0.1:8080");
    assert_eq!(answer(server(), own, body.to_string()).await.0, StatusCode::OK, "its own page");
    let allowed = server().allowed_origins(["https://console.example"]);
    let request = modern("tools/list", "", json!({})).0.header("origin", "https://console.example");
    assert_eq!(answer(allowed, request, body.to_string()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_challenge_says_where_to_sign_in_and_what_is_missing() {
    let list = legacy("tools/list", json!({})).to_string();
    let metadata = r#"resource_metadata="https://tools.example/.well-known/oauth-protected-resource/mcp""#;
    let challenge = |headers: &HeaderMap| {
        assert_eq!(headers.get_all(header::WWW_AUTHENTICATE).iter().count(), 1);
        headers[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned()
    };
    let (status, headers, _) = answer(server(), post(""), list.clone()).await;
    assert_eq!((status, challenge(&headers)), (StatusCode::UNAUTHORIZED, format!("Bearer {metadata}")));

    let (status, headers, _) = answer(server(), post("Bearer garbage"), list).await;
    let told = challenge(&headers);
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(told.contains(r#"error="invalid_token""#) && told.contains(metadata), "{told}");

    let call = json!({ "name": "pay", "arguments": {} });
    let (request, body) = modern("tools/call", "pay", call.clone());
    for (request, body) in [(request, body), (post(&token("ann", "read")), legacy("tools/call", call))] {
        let (status, headers, _) = answer(server(), request, body.to_string()).await;
        let told = challenge(&headers);
        assert_eq!(status, StatusCode::FORBIDDEN);
        for part in [r#"error="insufficient_scope""#, r#"scope="billing:write""#, metadata] {
            assert!(told.contains(part), "{told}");
        }
    }
}

#[tokio::test]
async fn a_challenge_names_the_scopes_of_the_first_way_in_that_has_some() {
    let bulk = || HasScope::new(["billing:bulk"]).or(HasRole::new(["admin"]));
    let reads = || Router::new().guard(HasScope::new(["read"]));
    let server =
        || server().router(reads().tool(Tool::new("bulk", whoami).about("Pays many.").guard(bulk())));
    let (request, body) = modern("tools/call", "bulk", json!({ "name": "bulk", "arguments": {} }));
    let (status, headers, _) = answer(server(), request, body.to_string()).await;
    let told = headers[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN);
    // With it what is needed and there: a client may get no more than it asks for.
    assert!(told.contains(r#"scope="billing:bulk read""#), "{told}");
    let request = Request::get("/.well-known/oauth-protected-resource").header(header::HOST, "localhost");
    let (_, _, body) = answer(server(), request, Body::empty()).await;
    assert_eq!(body["scopes_supported"], json!(["billing:bulk", "billing:write", "read"]));
}

#[tokio::test]
async fn a_token_of_another_audience_tenant_key_or_time_is_refused_and_a_good_one_is_not() {
    let now = SystemClock.now();
    let elsewhere = Claims { audience: "https://other.example/mcp".to_owned(), ..claims("ann", "read") };
    let stranger = Signer::new(ISSUER, &Signer::new_key().unwrap(), Lifetime::Short).unwrap();
    let foreign = stranger.sign(&claims("ann", "read"), now).unwrap().expose_secret().to_owned();
    let good = signed(&claims("ann", "read"), now);
    let unsigned = {
        // the payload of a good token under `{"alg":"none","typ":"at+jwt"}`, without signature
        let payload = good.split('.').nth(1).unwrap();
        format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{payload}.")
    };
    let late = signed(&claims("ann", "read"), now.minus(Millis::from_secs(3_600)));
    let early = signed(&claims("ann", "read"), now.plus(Millis::from_secs(3_600)));
    let status = async |token: &str| {
        let list = legacy("tools/list", json!({})).to_string();
        answer(server(), post(&format!("Bearer {token}")), list).await.0
    };
    let audience = signed(&elsewhere, now);
    for (what, token) in
        [("audience", audience), ("key", foreign), ("alg none", unsigned), ("late", late), ("early", early)]
    {
        assert_eq!(status(&token).await, StatusCode::UNAUTHORIZED, "{what}");
    }
    assert_eq!(status(&good).await, StatusCode::OK);
    let twice = post(&format!("Bearer {good}")).header(header::AUTHORIZATION, format!("Bearer {good}"));
    let list = legacy("tools/list", json!({})).to_string();
    assert_eq!(answer(server(), twice, list).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_that_was_good_ends_with_its_time_although_it_is_remembered() {
    let clock = ManualClock::at(SystemClock.now());
    let service = server().clock(clock.clone()).build().unwrap();
    let bearer = format!("Bearer {}", signed(&claims("ann", "read"), clock.now()));
    let status = async || {
        let list = Body::from(legacy("tools/list", json!({})).to_string());
        service.routes().oneshot(post(&bearer).body(list).unwrap()).await.unwrap().status()
    };
    assert_eq!(status().await, StatusCode::OK);
    assert_eq!(status().await, StatusCode::OK);
    clock.advance(Millis::from_secs(700));
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

/// What a plain client hears next: the head and the body of one answer.
async fn hears(line: &mut TcpStream) -> String {
    let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&heard).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
            && body.len() >= length.parse().unwrap()
        {
            return text;
        }
        let length = line.read(&mut piece).await.unwrap();
        assert_ne!(length, 0, "the connection ended: {text}");
        heard.extend_from_slice(&piece[..length]);
    }
}

#[tokio::test]
async fn a_request_that_is_refused_before_it_was_read_leaves_its_connection_as_it_was() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = server().drain_within(Millis(0)).build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let story = async {
        let head = |line: &str, length: usize| {
            format!("{line} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n")
        };
        let mut line = TcpStream::connect(address).await.unwrap();
        line.write_all(head("POST /mcp", 8_000).as_bytes()).await.unwrap();
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(head("GET /healthz", 0).as_bytes()).await.unwrap();
        assert!(hears(&mut other).await.contains("200 ok"), "the head of the first has arrived by now");
        line.write_all(&[b'x'; 8_000]).await.unwrap();
        let refused = hears(&mut line).await;
        assert!(refused.contains(" 401 ") && !refused.contains("connection: close"), "{refused}");
        line.write_all(head("GET /healthz", 0).as_bytes()).await.unwrap();
        assert!(hears(&mut line).await.contains("200 ok"), "the next request on the same connection");

        line.write_all(head("POST /mcp", 900_000).as_bytes()).await.unwrap();
        let refused = hears(&mut line).await;
        assert!(refused.contains(" 401 ") && refused.contains("connection: close"), "{refused}");
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(service.serve(listener, async move { drop(stopped.await) }), story);
    served.unwrap();
}

#[tokio::test]
async fn the_same_name_from_two_issuers_behind_cardea_is_two_people() {
    let server = || server().tool(Tool::new("owner", owner).about("Says whose things these are.").reads());
    let claims = Claims { actors: vec!["cardea".to_owned()], ..claims("ann", "read") };
    let asked = async |idp: Option<&str>| {
        let more = idp.map(|idp| json!({ "idp": idp })).unwrap_or_else(|| json!({}));
        let token =
            signer().sign_with(&claims, more.as_object().unwrap().clone(), SystemClock.now()).unwrap();
        let request = post(&format!("Bearer {}", token.expose_secret()));
        let call = legacy("tools/call", json!({ "name": "owner", "arguments": {} })).to_string();
        let (_, _, body) = answer(server(), request.header("mcp-protocol-version", "2025-11-25"), call).await;
        body["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let (first, second, plain) =
        (asked(Some("https://a.example")).await, asked(Some("https://b.example")).await, asked(None).await);
    assert!(first != second && first != plain, "{first} {second} {plain}");
    assert_eq!(first, asked(Some("https://a.example")).await, "and the same one each time");
}

async fn owner(context: Context) -> Result<String> {
    Ok(context.owner()?)
}

#[tokio::test]
async fn nobody_is_served_what_the_cache_keeps_for_the_same_name_from_another_issuer() {
    let tool = Tool::new("owner", owner).about("Says whose things these are.").reads();
    let server = server()
        .layers(Layers::new().cache(ResponseCache::new(1 << 20)))
        .tool(tool.cached(Millis::from_secs(60), ["owner"]));
    let client = TestClient::new(server).unwrap();
    let claims = Claims { actors: vec!["cardea".to_owned()], ..claims("ann", "read") };
    let asked = async |idp: &str| {
        let more = json!({ "idp": idp }).as_object().unwrap().clone();
        let token = signer().sign_with(&claims, more, SystemClock.now()).unwrap();
        let client = client.clone().with_token(token.expose_secret());
        client.call("owner", json!({})).await.value().unwrap().to_string()
    };
    let (first, second) = (asked("https://a.example").await, asked("https://b.example").await);
    assert!(first.contains("https://a.example") && second.contains("https://b.example"), "{first} {second}");
}

#[tokio::test]
async fn the_metadata_names_the_resource_its_issuers_and_scopes() {
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let request = Request::get(path).header(header::HOST, "localhost");
        let (status, _, body) = answer(server(), request, Body::empty()).await;
        assert_eq!(status, StatusCode::OK);
        let expected = json!({
            "resource": "https://tools.example/mcp", "resource_name": "shop",
            "authorization_servers": ["https://idp.example"],
            "scopes_supported": ["billing:write"], "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "ES384", "PS256", "RS256"],
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_token_anywhere_but_in_its_header_does_not_count() {
    let list = legacy("tools/list", json!({})).to_string();
    for (token, uri) in
        [("", "/mcp?access_token=ann:read"), (&token("ann", "read"), "/mcp?access_token=ann:read")]
    {
        let mut request = post(token);
        request = request.uri(uri);
        assert_eq!(answer(server(), request, list.clone()).await.0, StatusCode::BAD_REQUEST);
    }
    let cookie = post("").header(header::COOKIE, "access_token=ann:read");
    assert_eq!(answer(server(), cookie, list).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn headers_that_contradict_the_body_are_refused() {
    let call = json!({ "name": "pay", "arguments": {} });
    let (request, body) = modern("tools/call", "whoami", call);
    let body = body.to_string();
    let request = {
        let mut r = request;
        r.headers_mut().unwrap().insert("authorization", token("ann", "billing:write").parse().unwrap());
        r
    };
    let (status, _, answered) = answer(server(), request, body).await;
    assert_eq!((status, &answered["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32020)), "{answered}");

    let (request, mut body) = modern("tools/list", "", json!({}));
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2025-11-25");
    let (status, _, answered) = answer(server(), request, body.to_string()).await;
    assert_eq!((status, &answered["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32020)), "{answered}");

    let (mut request, mut body) = modern("tools/list", "", json!({}));
    request.headers_mut().unwrap().insert("mcp-protocol-version", "1999-01-01".parse().unwrap());
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("1999-01-01");
    let (status, _, answered) = answer(server(), request, body.to_string()).await;
    assert_eq!((status, &answered["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32022)), "{answered}");

    let (request, body) = modern("no/such", "", json!({}));
    let (status, _, answered) = answer(server(), request, body.to_string()).await;
    assert_eq!((status, &answered["error"]["code"]), (StatusCode::NOT_FOUND, &json!(-32601)), "{answered}");
}

#[tokio::test]
async fn bodies_that_are_too_large_too_deep_or_batches_are_refused() {
    let one = legacy("tools/list", json!({}));
    let batch = json!([one, one]).to_string();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    );
    let large = legacy("tools/list", json!({ "x": "y".repeat(10 << 20) })).to_string();
    for (body, expected) in [(batch, 400..=422), (deep, 400..=422), (large, 413..=413)] {
        let (status, _, answered) = answer(server(), post(&token("ann", "read")), body).await;
        assert!(expected.contains(&status.as_u16()), "{status}: {answered}");
    }
}

#[tokio::test]
async fn a_session_id_of_somebody_else_is_no_session() {
    let service = server().legacy_sessions().build().unwrap();
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "0" } });
    let start =
        post(&token("ann", "read")).body(Body::from(legacy("initialize", params).to_string())).unwrap();
    let routes = service.routes();
    let response = routes.clone().oneshot(start).await.unwrap();
    let session = response.headers()["mcp-session-id"].clone();
    let status = async |token: &str, session: &http::HeaderValue| {
        let request =
            post(token).header("mcp-protocol-version", "2025-11-25").header("mcp-session-id", session);
        let ping = request.body(Body::from(legacy("ping", json!({})).to_string())).unwrap();
        routes.clone().oneshot(ping).await.unwrap().status()
    };
    assert_eq!(status(&token("ann", "write"), &session).await, StatusCode::OK, "a renewed token goes on");
    assert_eq!(status(&token("bob", "read"), &session).await, StatusCode::NOT_FOUND);
    assert_eq!(
        status(&token("bob", "read"), &"00000000-0000-0000-0000-000000000000".parse().unwrap()).await,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn only_this_machine_reads_the_metrics() {
    let service = server().build().unwrap();
    let ask = async |peer: &str| {
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        let request = Request::get("/metrics")
            .header(header::HOST, "localhost")
            .extension(axum::extract::ConnectInfo(peer));
        service.routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    for here in ["127.0.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
        assert_eq!(ask(here).await, StatusCode::OK, "{here}");
    }
    for elsewhere in ["203.0.113.9:5", "[::ffff:203.0.113.9]:5"] {
        assert_eq!(ask(elsewhere).await, StatusCode::NOT_FOUND, "{elsewhere}");
    }
    for proxy in ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"] {
        let request = Request::get("/metrics").header(header::HOST, "localhost").header(proxy, "203.0.113.9");
        let handed_on = service.routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(handed_on.status(), StatusCode::NOT_FOUND, "{proxy}");
    }
}

#[tokio::test]
async fn a_running_call_ends_before_the_server_does() {
    let (listener, port) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    };
    let entered = std::sync::Arc::new(tokio::sync::Notify::new());
    let open = std::sync::Arc::new(tokio::sync::Notify::new());
    let (enter, wait) = (entered.clone(), open.clone());
    let slow = Tool::new("slow", move || {
        let (enter, wait) = (enter.clone(), wait.clone());
        async move {
            enter.notify_one();
            wait.notified().await;
            Result::<_>::Ok("finished")
        }
    });
    let service = Server::new("s", "1").tool(slow.about("Slow.").writes()).build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = service.serve(listener, async move { drop(stopped.await) });
    let client = async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let body = legacy("tools/call", json!({ "name": "slow", "arguments": {} })).to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        entered.notified().await;
        stop.send(()).unwrap();
        open.notify_one();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (served, answer) = tokio::join!(server, client);
    assert!(served.is_ok());
    assert!(answer.contains("finished"), "{answer}");
}

#[tokio::test]
async fn the_hook_adds_what_only_the_author_knows() {
    use cardea_mcp::{Extra, Extras};
    #[derive(Clone)]
    struct Plan(&'static str);
    async fn plan(Extra(plan): Extra<Plan>) -> Result<String> {
        Ok(plan.0.to_owned())
    }
    let server = Server::new("s", "1")
        .tool(Tool::new("plan", plan).about("Tells the plan.").reads())
        .trust(trusted())
        .on_authenticate(|caller, _| async move {
            if caller.user.as_str() == "mallory" {
                return Err(Code::Denied.into());
            }
            Ok(Extras::default().with(Plan("gold")))
        });
    let service = server.build().unwrap();
    let call = async |token: &str| {
        let body = legacy("tools/call", json!({ "name": "plan", "arguments": {} })).to_string();
        let response = service.routes().oneshot(post(token).body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status();
        (
            status,
            String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned(),
        )
    };
    assert!(call(&token("ann", "none")).await.1.contains("gold"));
    assert_eq!(call(&token("mallory", "none")).await.0, StatusCode::FORBIDDEN);
}

/// Keeps one text beside the tools.
struct Shelf;

impl ServerHandler for Shelf {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_resources().build())
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ReadResourceResponse, ErrorData> {
        Ok(ReadResourceResult::new(vec![ResourceContents::text("the plan", params.uri)]).into())
    }
}

#[tokio::test]
async fn what_stands_beside_the_tools_is_guarded_and_recorded_like_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let read = async |scopes: &str| {
        let audit = Audit::open(&path, &"an audit key of at least 32 bytes".to_owned().into()).unwrap();
        let server = server()
            .guard(HasScope::new(["plans"]))
            .require_guards()
            .layers(Layers::new().audit(audit))
            .beside(Shelf);
        let (request, body) = modern("resources/read", "plan://one", json!({ "uri": "plan://one" }));
        let mut request = request;
        let named = token("ann", scopes).parse().unwrap();
        request.headers_mut().unwrap().insert(header::AUTHORIZATION, named);
        answer(server, request, body.to_string()).await.2
    };
    let refused = read("read").await;
    assert_eq!(refused["error"]["data"]["code"], "scope_missing", "{refused}");
    let shown = read("plans").await;
    assert_eq!(shown["result"]["contents"][0]["text"], "the plan", "{shown}");

    let log = std::fs::read_to_string(&path).unwrap();
    let entries: Vec<Value> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone()).collect();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry["tool"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("resources/read", "scope_missing"), ("resources/read", "done")]);

    let open = Server::new("shop", "7").require_guards().beside(Shelf);
    assert!(matches!(open.build(), Err(StartError::UnguardedBeside)));
}

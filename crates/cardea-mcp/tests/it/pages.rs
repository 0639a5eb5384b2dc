//! Pages of other origins in a browser: what it asks before, and what it lets their scripts read.

use axum::body::Body;
use cardea_mcp::{
    Result, Server, Tool,
    auth::{IssuerConfig, Lifetime, Signer},
};
use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use tower::ServiceExt as _;

const PAGE: &str = "https://app.example";

async fn nothing() -> Result<()> {
    Ok(())
}

/// A server for whoever has signed in, on that page or on none.
fn routes() -> axum::Router {
    let issuer = "https://idp.example";
    let signer = Signer::new(issuer, &Signer::new_key().unwrap(), Lifetime::Short).unwrap();
    let trusted = IssuerConfig::new(issuer, "https://tools.example/mcp").jwks(signer.jwks().to_string());
    let server = Server::new("s", "1").trust(trusted).resource("https://tools.example/mcp", [issuer]);
    let tool = Tool::new("x", nothing).about("Does nothing.").reads();
    server.allowed_origins([PAGE]).tool(tool).build().unwrap().routes()
}

async fn answer(request: Builder, origin: &str) -> (StatusCode, HeaderMap) {
    let request = request.header(header::HOST, "localhost").header(header::ORIGIN, origin);
    let response = routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status(), response.headers().clone())
}

/// What a browser asks before the script of a page may send its request.
fn preflight(path: &str) -> Builder {
    Request::options(path)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type,mcp-protocol-version")
}

#[tokio::test]
async fn a_browser_lets_an_allowed_page_ask_and_read_the_answer() {
    for path in ["/mcp", "/.well-known/oauth-protected-resource/mcp"] {
        let (status, told) = answer(preflight(path), PAGE).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(told[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
        let may_send = told[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert_eq!(may_send, "authorization,content-type,mcp-protocol-version");
        let methods = told[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap();
        assert!(["GET", "POST", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    }
    let (status, told) = answer(Request::post("/mcp"), PAGE).await;
    assert_eq!(
        (status, told[header::ACCESS_CONTROL_ALLOW_ORIGIN].as_bytes()),
        (StatusCode::UNAUTHORIZED, PAGE.as_bytes())
    );
    let shown = told[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().to_ascii_lowercase();
    assert!(shown.contains("www-authenticate") && shown.contains("mcp-session-id"), "{shown}");
    let (status, told) = answer(Request::get("/.well-known/oauth-protected-resource"), PAGE).await;
    assert_eq!((status, told.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)), (StatusCode::OK, true));
}

#[tokio::test]
async fn a_page_that_is_not_allowed_gets_no_leave() {
    for request in
        [preflight("/mcp"), preflight("/.well-known/oauth-protected-resource"), Request::post("/mcp")]
    {
        let (status, told) = answer(request, "https://evil.example").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(!told.keys().any(|name| name.as_str().starts_with("access-control-")), "{told:?}");
    }
    let elsewhere = preflight("/mcp").header(header::HOST, "evil.example");
    let request = elsewhere.header(header::ORIGIN, PAGE).body(Body::empty()).unwrap();
    let response = routes().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN, "under a name that is not the server's");
}

//! Scripts of web pages: those of the allowed origins may call the server and read its answers (CORS, Fetch standard section
//! 3.2). A browser asks before it sends such a request, and without a credential.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use super::{Http, gate};

/// What a script may read of an answer's head, beside its content type.
const SHOWN: HeaderValue = HeaderValue::from_static("www-authenticate, mcp-session-id, retry-after");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// How long a browser may remember what it was told, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("3600");

/// Answers what a browser asks for an allowed page, and says of any other answer that the page may read it.
pub(super) async fn told_to_browsers<F>(
    http: &Http,
    request: Request<Body>,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let Some(origin) = request.headers().get(header::ORIGIN).filter(|origin| http.allows(origin)).cloned()
    else {
        return answer(request).await;
    };
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks { leave(http, &request) } else { answer(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

/// Leave to send the request that is asked for. Whether it is done is seen when it comes.
fn leave(http: &Http, request: &Request<Body>) -> Response {
    if let Err(error) = gate::addressed_to_us(http, request) {
        return gate::refusal(http, &error, &[]);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

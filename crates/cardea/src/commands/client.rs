//! Commands that talk to a running Cardea, or look whether something can be reached.

use std::{future::Future, io, sync::Arc, time::Duration};

use cardea_core::time::SystemClock;
use cardea_net::{AllowList, Egress, Net, NetConfig, NetError, Request, Streaming};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;

/// How long a server may take until it begins to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the work of a command that waits for something.
pub(super) fn wait<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}

/// A client for an address that the person at the keyboard named: it may be on this machine or a private one.
pub(super) fn net_to(url: &str) -> Result<Net, NetError> {
    let mut allow = AllowList::default();
    if let Some(target) = host_and_port(url) {
        // An address that cannot be listed is refused when it is used, with a better message.
        drop(allow.add(&target));
    }
    Net::new(NetConfig { allow, ..NetConfig::default() }, Arc::new(SystemClock))
}

/// `host:port` of a web address.
pub(super) fn host_and_port(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    Some(format!("{}:{port}", uri.host()?))
}

/// The headers that say who asks.
pub(super) fn signed(token: Option<&str>) -> Result<HeaderMap, String> {
    let Some(token) = token else { return Ok(HeaderMap::new()) };
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "the token holds odd characters")?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

/// Posts JSON and returns when the head of the answer is there; an answer that is no success becomes its words.
pub(super) async fn post(
    net: &Net,
    url: &str,
    headers: HeaderMap,
    body: &Value,
) -> Result<Streaming, String> {
    let request = Request::post_json(url, Egress::any(), body).map_err(|error| told(url, &error))?;
    let request = request.headers(headers).timeout(PATIENCE).idle_timeout(PATIENCE);
    let answer = net.stream(request).await.map_err(|error| told(url, &error))?;
    if answer.status.is_success() { Ok(answer) } else { Err(refused(answer).await) }
}

/// Asks without a body, and gives the JSON of an answer that is a success.
pub(super) fn ask(method: Method, base: &str, path: &str, token: Option<&str>) -> Result<Value, String> {
    let address = format!("{}{path}", base.trim_end_matches('/'));
    let asked = wait(async {
        let net = net_to(base).map_err(|error| told(base, &error))?;
        let request = Request::new(method, &address, Egress::any()).map_err(|error| told(base, &error))?;
        let request = request.headers(signed(token)?).timeout(PATIENCE);
        let mut answer = net.stream(request).await.map_err(|error| told(base, &error))?;
        if !answer.status.is_success() {
            return Err(refused(answer).await);
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| told(base, &error))? {
            body.extend_from_slice(&piece);
        }
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    });
    asked.unwrap_or_else(|error| Err(error.to_string()))
}

/// What went wrong on the way, for people.
pub(super) fn told(url: &str, error: &NetError) -> String {
    match error {
        NetError::NotSent { .. } => format!("nobody answers at {url}; is the server running?"),
        error => format!("{url}: {error}"),
    }
}

/// The words of an error answer, in either of Cardea's shapes, with code and request id.
async fn refused(mut answer: Streaming) -> String {
    let status = answer.status;
    let request = answer
        .headers
        .get(HeaderName::from_static("x-request-id"))
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        body.extend_from_slice(&piece);
    }
    let object: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let error = object.get("error").unwrap_or(&object);
    let words = error.get("message").or_else(|| error.get("detail")).and_then(text);
    let code = error.get("code").and_then(text);
    let mut told = words.unwrap_or_else(|| format!("the server answered with {status}"));
    if let Some(code) = code {
        told.push_str(&format!(" [{code}]"));
    }
    match request {
        Some(request) => format!("{told} ({request})"),
        None => told,
    }
}

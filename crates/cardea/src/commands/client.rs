//! HTTP client of the commands that talk to a running Cardea or test whether something can be reached.

use std::{future::Future, io, sync::Arc, time::Duration};

use cardea_core::time::SystemClock;
use cardea_net::{AllowList, Egress, Net, NetConfig, NetError, Request, Streaming};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;

use super::{Cli, End, Out, Server};
use crate::config::{Environment, address};

/// Address of the server if none is given.
const USUAL: &str = "http://127.0.0.1:8080";

/// Longest wait for the start of an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reason why a running server did not do what was asked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The server answered with a refusal.
    Refused(String),
    /// Nothing answered, or the answer could not be understood.
    Away(String),
    /// The command line makes no valid request.
    Misused(String),
}

impl Refusal {
    /// Prints the reason and returns how the command ends.
    pub(super) fn tell(&self, out: &mut Out<'_>) -> End {
        match self {
            Self::Refused(words) => {
                out.error("refused", words);
                End::Bad
            }
            Self::Away(words) => {
                out.error("unreachable", words);
                End::Unreachable
            }
            Self::Misused(words) => {
                out.error("misused", words);
                End::Misused
            }
        }
    }
}

/// How long threads may take to end with the process.
///
/// WHY: threads that hang on a disk or the network must not keep the process alive.
pub(super) const LAST: Duration = Duration::from_secs(2);

/// Runs the asynchronous work of a command to its end.
pub(super) fn wait<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LAST);
    Ok(done)
}

/// Returns a client for an address given on the command line, which may be on this machine or in a private network.
pub(super) fn net_to(url: &str) -> Result<Net, NetError> {
    let mut allow = AllowList::default();
    if let Some(target) = host_and_port(url) {
        // An address that cannot be listed is refused when it is used, with a better message.
        drop(allow.add(&target));
    }
    Net::new(NetConfig { allow, ..NetConfig::default() }, Arc::new(SystemClock))
}

/// Returns `host:port` of a web address.
pub(super) fn host_and_port(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    Some(format!("{}:{port}", uri.host()?))
}

/// Returns the headers with the credential. An empty token counts as none, since an unset variable in a script gives
/// one.
pub(super) fn signed(token: Option<&str>) -> Result<HeaderMap, Refusal> {
    let Some(token) = token.map(str::trim).filter(|token| !token.is_empty()) else {
        return Ok(HeaderMap::new());
    };
    let odd = "the token holds characters that no token has; is it a whole line of output?";
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Refusal::Misused(odd.to_owned()))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

/// Posts JSON and returns once the head of the answer is there. An answer without success becomes its error text.
pub(super) async fn post(
    net: &Net,
    base: &str,
    path: &str,
    headers: HeaderMap,
    body: &Value,
) -> Result<Streaming, Refusal> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let request = Request::post_json(&url, Egress::any(), body).map_err(|error| told(base, &error))?;
    let request = request.headers(headers).timeout(PATIENCE).idle_timeout(PATIENCE);
    let answer = net.stream(request).await.map_err(|error| told(base, &error))?;
    if answer.status.is_success() { Ok(answer) } else { Err(Refusal::Refused(refused(answer).await)) }
}

/// A running server and the credential to use with it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) base: String,
    pub(super) token: Option<String>,
}

impl Asked {
    /// Returns the server given on the command line, else the one of the configuration, else the default on this
    /// machine.
    ///
    /// Of the configuration only the address is read: a client need not have the server's secrets.
    pub(super) fn of(cli: &Cli, server: &Server, environment: &Environment) -> Result<Self, Refusal> {
        let base = match server.url.clone().filter(|url| !url.is_empty()) {
            Some(url) => url,
            None => address(&cli.config, environment)
                .map_err(|error| Refusal::Away(error.pretty(false).trim_end().to_owned()))?
                .unwrap_or_else(|| USUAL.to_owned()),
        };
        Ok(Self { base, token: server.token.clone() })
    }
}

/// Sends a request, with or without a body, and returns the JSON of a successful answer.
pub(super) fn ask(
    method: Method,
    server: &Asked,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Refusal> {
    let base = server.base.as_str();
    let address = format!("{}{path}", base.trim_end_matches('/'));
    let asked = wait(async {
        let net = net_to(base).map_err(|error| told(base, &error))?;
        let mut request =
            Request::new(method, &address, Egress::any()).map_err(|error| told(base, &error))?;
        if let Some(body) = body {
            request = request.json(body).map_err(|error| told(base, &error))?;
        }
        let request = request.headers(signed(server.token.as_deref())?).timeout(PATIENCE);
        let mut answer = net.stream(request).await.map_err(|error| told(base, &error))?;
        if !answer.status.is_success() {
            return Err(Refusal::Refused(refused(answer).await));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| told(base, &error))? {
            body.extend_from_slice(&piece);
        }
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    });
    asked.unwrap_or_else(|error| Err(Refusal::Away(format!("cannot start: {error}"))))
}

/// Words a transport error for people.
pub(super) fn told(url: &str, error: &NetError) -> Refusal {
    match error {
        NetError::NotSent { .. } => Refusal::Away(format!(
            "nobody answers at {url}; is the server running? Another address is given with --url or in CARDEA_URL"
        )),
        NetError::Refused(_) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Refusal::Misused(format!("`{url}` is no address of a server; write it as http://HOST:PORT"))
        }
        error => Refusal::Away(format!("{url}: {error}")),
    }
}

/// Percent-encodes a text as part of an address.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => all.push(char::from(byte)),
            byte => all.push_str(&format!("%{byte:02X}")),
        }
        all
    })
}

/// Returns the text of an error answer, in either of Cardea's formats, with code and request id.
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
    if let Some(code) = &code {
        told.push_str(&format!(" [{code}]"));
    }
    if let Some(request) = request {
        told.push_str(&format!(" ({request})"));
    }
    // Adds advice where the command line is the place to follow it.
    match code.as_deref() {
        Some("not_signed_in") => {
            told.push_str("\ngive a token or an API key in CARDEA_TOKEN, or with --token")
        }
        Some("token_expired") => told.push_str("\nget a new token, and put it into CARDEA_TOKEN"),
        _ => {}
    }
    told
}

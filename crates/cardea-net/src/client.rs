//! The HTTP client.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cardea_core::time::SharedClock;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;

use crate::{
    address::{AllowList, special},
    body::{Response, Streaming},
    breaker::Health,
    config::NetConfig,
    connect::{Connector, Roots, TooSlow},
    error::{NetError, Refusal},
    hosts::{Hosts, Visit},
    request::{Redirects, Request, Sign, Target, Whose},
    resolve::{Guarded, Trust},
};

const HOPS: usize = 3;

/// Default `User-Agent`.
const AGENT: &str = concat!("cardea/", env!("CARGO_PKG_VERSION"));

/// Silence after which a busy HTTP/2 connection is pinged, and time limit of the reply.
const PROBE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// The only outbound HTTP client. Cheap to clone.
#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    /// Client for targets of the allow list.
    listed: Lazy,
    /// Client for the open internet.
    open: Lazy,
    hosts: Hosts,
    config: NetConfig,
}

impl Net {
    /// Builds the client.
    ///
    /// # Errors
    /// [`NetError::Setup`] if a file of `extra_roots` cannot be used.
    pub fn new(config: NetConfig, clock: SharedClock) -> Result<Self, NetError> {
        // WHY: another part of the process may have installed the provider before; it is the same one everywhere.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (allow, roots) = (Arc::new(config.allow.clone()), Arc::new(Roots::read(&config.extra_roots)?));
        let guard = |trust| Guarded { allow: Arc::clone(&allow), trust };
        let listed = Lazy::new(guard(Trust::Listed), Arc::clone(&roots));
        let open = Lazy::new(guard(Trust::Open), roots);
        Ok(Self(Arc::new(Inner { listed, open, hosts: Hosts::new(&config, clock), config })))
    }

    /// Sends a request and reads the whole answer. The time limit covers both.
    ///
    /// # Errors
    /// [`NetError`] says whether the request may have left.
    pub async fn send(&self, request: Request) -> Result<Response, NetError> {
        let deadline = self.deadline(&request);
        let mut request = request;
        for _ in 0..=HOPS {
            let streaming = self.open(&request, deadline).await?;
            match next_hop(&request, &streaming)? {
                Some(target) => request.target = target,
                None => {
                    let host = Arc::clone(&streaming.host);
                    return match tokio::time::timeout_at(deadline, streaming.whole()).await {
                        Ok(answer) => answer,
                        Err(_) => Err(silent(&host)),
                    };
                }
            }
        }
        Err(Refusal::Redirect.into())
    }

    /// Sends a request and returns as soon as the head of the answer is available. Redirects are never followed.
    ///
    /// # Errors
    /// [`NetError`] says whether the request may have left.
    pub async fn stream(&self, request: Request) -> Result<Streaming, NetError> {
        self.open(&request, self.deadline(&request)).await
    }

    /// Returns the number of hosts whose breaker is open.
    #[must_use]
    pub fn left_alone(&self) -> usize {
        self.0.hosts.left_alone()
    }

    fn deadline(&self, request: &Request) -> Instant {
        Instant::now() + request.timeout.unwrap_or(self.0.config.timeout.duration())
    }

    async fn open(&self, request: &Request, deadline: Instant) -> Result<Streaming, NetError> {
        let config = &self.0.config;
        let trust = check(&config.allow, request)?;
        let host = &request.target.host;
        let mut visit = self.0.hosts.enter(host).await?;
        let client = if trust == Trust::Listed { &self.0.listed } else { &self.0.open };
        let asking = client.get(config, request.connect_timeout)?.request(outgoing(request));
        let answer = match tokio::time::timeout_at(deadline, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(cause)) => return Err(failed(host, cause, &mut visit)),
            Err(_) => {
                let usual = config.timeout.duration();
                let hurried = request.whose == Whose::Asker && request.timeout.is_some_and(|own| own < usual);
                visit.tell(if hurried { Health::Unknown } else { Health::Bad });
                return Err(silent(host));
            }
        };
        let (head, body) = answer.into_parts();
        let away = matches!(head.status.as_u16(), 502..=504);
        if away {
            visit.tell(Health::Bad);
        } else if request.sign == Sign::Head || !head.status.is_success() {
            visit.tell(Health::Good);
        }
        Ok(Streaming {
            status: head.status,
            headers: head.headers,
            idle: request.idle_timeout.unwrap_or(config.idle_timeout.duration()),
            limit: request.max_body.unwrap_or(config.max_body.len()),
            seen: 0,
            body,
            host: Arc::clone(host),
            visit,
        })
    }
}

/// Builds the request as it is sent.
fn outgoing(request: &Request) -> http::Request<Full<Bytes>> {
    let mut outgoing = http::Request::new(Full::new(request.body.clone()));
    *outgoing.method_mut() = request.method.clone();
    *outgoing.uri_mut() = request.target.uri.clone();
    *outgoing.headers_mut() = request.headers.clone();
    for (name, value) in [(header::USER_AGENT, AGENT), (header::ACCEPT, "*/*")] {
        outgoing.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    outgoing
}

/// Returns the error for a request that timed out while in progress.
fn silent(host: &str) -> NetError {
    NetError::MaybeSent { host: host.to_owned(), timeout: true, cause: None }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

/// hyper's client with its connection pool.
type Client = legacy::Client<Connector, Full<Bytes>>;

/// A client that is built at its first use: reading the trust roots of the operating system takes tens of
/// milliseconds, and many processes never need both clients.
struct Lazy {
    built: OnceLock<Client>,
    /// Clients with another connect limit than the configuration's.
    others: Mutex<BTreeMap<Duration, Client>>,
    guard: Guarded,
    roots: Arc<Roots>,
}

impl Lazy {
    fn new(guard: Guarded, roots: Arc<Roots>) -> Self {
        Self { built: OnceLock::new(), others: Mutex::default(), guard, roots }
    }

    fn get(&self, config: &NetConfig, connect: Option<Duration>) -> Result<Client, NetError> {
        let usual = config.connect_timeout.duration();
        if let Some(other) = connect.filter(|connect| *connect != usual) {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(client) = others.get(&other) {
                return Ok(client.clone());
            }
            let client = self.build(other)?;
            others.insert(other, client.clone());
            return Ok(client);
        }
        if let Some(client) = self.built.get() {
            return Ok(client.clone());
        }
        let client = self.build(usual)?;
        // If two threads build at once, one of the two clients is kept and both use it.
        Ok(self.built.get_or_init(|| client).clone())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the client that the rule points to")]
    fn build(&self, connect: Duration) -> Result<Client, NetError> {
        let connector = Connector::new(self.guard.clone(), self.roots.tls()?, connect);
        Ok(legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .http2_max_header_list_size(64 * 1024)
            // WHY: all requests to a host share one connection, and a request that times out gives up only itself. If
            // a firewall has dropped the connection, every later request would otherwise time out in vain.
            .http2_keep_alive_interval(PROBE.0)
            .http2_keep_alive_timeout(PROBE.1)
            .build(connector))
    }
}

/// Checks everything that is known before name resolution.
fn check(allow: &AllowList, request: &Request) -> Result<Trust, Refusal> {
    let url = &request.target.url;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(Refusal::Url);
    };
    if !request.egress.allows(host, port) {
        return Err(Refusal::Egress(host.to_owned()));
    }
    let listed = allow.names(host, port);
    let literal = crate::address::bare(host).parse::<std::net::IpAddr>().ok();
    let in_range = literal.is_some_and(|ip| allow.holds(ip));
    match url.scheme() {
        "https" => {}
        "http" if listed || in_range => {}
        scheme => return Err(Refusal::Scheme(scheme.to_owned())),
    }
    if let Some(kind) = literal.and_then(special)
        && !(listed || in_range)
    {
        return Err(Refusal::Address { host: host.to_owned(), port, kind });
    }
    Ok(if listed { Trust::Listed } else { Trust::Open })
}

/// Returns the next target, if the answer is a redirect that the request wants followed.
fn next_hop(request: &Request, answer: &Streaming) -> Result<Option<Target>, Refusal> {
    let moved = matches!(
        answer.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let safe = matches!(request.method, Method::GET | Method::HEAD);
    if !moved || request.redirects == Redirects::Refuse || !safe {
        return Ok(None);
    }
    let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let from = &request.target.url;
    let to = location.and_then(|text| from.join(text).ok()).ok_or(Refusal::Redirect)?;
    if to.origin() != from.origin() {
        return Err(Refusal::Redirect);
    }
    Target::of(to).map(Some).map_err(|_| Refusal::Redirect)
}

fn failed(host: &str, cause: legacy::Error, visit: &mut Visit) -> NetError {
    if let Some(refusal) = inside::<Refusal>(&cause) {
        return refusal.clone().into();
    }
    visit.tell(Health::Bad);
    let (host, timeout) = (host.to_owned(), inside::<TooSlow>(&cause).is_some());
    // INVARIANT: only a failure that certainly came before the first byte counts as not sent.
    if cause.is_connect() {
        NetError::NotSent { host, timeout, cause: Some(cause.into()) }
    } else {
        NetError::MaybeSent { host, timeout, cause: Some(cause.into()) }
    }
}

/// Returns the error of this type among the causes.
fn inside<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

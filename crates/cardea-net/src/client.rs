//! The client itself.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use cardea_core::time::SharedClock;
use http::{Method, StatusCode, header};
use reqwest::Url;
use tokio::time::Instant;

use crate::{
    address::{AllowList, special},
    body::{Response, Streaming},
    breaker::Health,
    config::NetConfig,
    error::{NetError, Refusal},
    hosts::{Hosts, Visit},
    request::{Redirects, Request},
    resolve::{Guarded, Trust},
};

const HOPS: usize = 3;

/// The only outbound HTTP client. Cheap to clone.
#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    /// For targets of the allow list.
    listed: Lazy,
    /// For the rest of the world.
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
        let (allow, roots) = (Arc::new(config.allow.clone()), roots(&config)?);
        let listed = Lazy::new(Arc::clone(&allow), Trust::Listed, roots.clone());
        let open = Lazy::new(allow, Trust::Open, roots);
        Ok(Self(Arc::new(Inner { listed, open, hosts: Hosts::new(&config, clock), config })))
    }

    /// Sends a request and reads the whole answer. The time limit covers both.
    ///
    /// # Errors
    /// [`NetError`] tells whether the request may have left.
    pub async fn send(&self, request: Request) -> Result<Response, NetError> {
        let deadline = self.deadline(&request);
        let mut request = request;
        for _ in 0..=HOPS {
            let streaming = self.open(&request, deadline).await?;
            match next_hop(&request, &streaming)? {
                Some(url) => request.url = url,
                None => {
                    let host = streaming.host.clone();
                    return match tokio::time::timeout_at(deadline, streaming.whole()).await {
                        Ok(answer) => answer,
                        Err(_) => Err(NetError::MaybeSent { host, timeout: true, cause: None }),
                    };
                }
            }
        }
        Err(Refusal::Redirect.into())
    }

    /// Sends a request and returns as soon as the head of the answer is there. Redirects are never followed.
    ///
    /// # Errors
    /// [`NetError`] tells whether the request may have left.
    pub async fn stream(&self, request: Request) -> Result<Streaming, NetError> {
        self.open(&request, self.deadline(&request)).await
    }

    fn deadline(&self, request: &Request) -> Instant {
        Instant::now() + request.timeout.unwrap_or(self.0.config.timeout.duration())
    }

    async fn open(&self, request: &Request, deadline: Instant) -> Result<Streaming, NetError> {
        let config = &self.0.config;
        let trust = check(&config.allow, request)?;
        let host = host_of(&request.url);
        let mut visit = self.0.hosts.enter(&host).await?;
        let client = if trust == Trust::Listed { &self.0.listed } else { &self.0.open };
        let outgoing = client
            .get(config, request.connect_timeout)?
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone());
        let inner = match tokio::time::timeout_at(deadline, outgoing.send()).await {
            Ok(Ok(inner)) => inner,
            Ok(Err(cause)) => return Err(failed(host, cause, &mut visit)),
            Err(_) => {
                visit.tell(Health::Bad);
                return Err(NetError::MaybeSent { host, timeout: true, cause: None });
            }
        };
        let silent = matches!(inner.status().as_u16(), 502..=504);
        visit.tell(if silent { Health::Bad } else { Health::Good });
        Ok(Streaming {
            status: inner.status(),
            headers: inner.headers().clone(),
            idle: request.idle_timeout.unwrap_or(config.idle_timeout.duration()),
            limit: request.max_body.unwrap_or(config.max_body.len()),
            seen: 0,
            inner,
            host,
            _visit: visit,
        })
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the client that the rule points to")]
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
}

/// A client that is built when it is first used: reading the trust roots of the operating system takes tens of
/// milliseconds, and many a process never needs both clients.
struct Lazy {
    built: OnceLock<reqwest::Client>,
    /// Those with another limit for connecting than the configuration's.
    others: Mutex<BTreeMap<Duration, reqwest::Client>>,
    guard: Arc<Guarded>,
    roots: Vec<reqwest::Certificate>,
}

impl Lazy {
    fn new(allow: Arc<AllowList>, trust: Trust, roots: Vec<reqwest::Certificate>) -> Self {
        Self {
            built: OnceLock::new(),
            others: Mutex::default(),
            guard: Arc::new(Guarded { allow, trust }),
            roots,
        }
    }

    fn get(&self, config: &NetConfig, connect: Option<Duration>) -> Result<reqwest::Client, NetError> {
        let usual = config.connect_timeout.duration();
        if let Some(other) = connect.filter(|connect| *connect != usual) {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(client) = others.get(&other) {
                return Ok(client.clone());
            }
            let client = build(other, &self.guard, &self.roots)?;
            others.insert(other, client.clone());
            return Ok(client);
        }
        if let Some(client) = self.built.get() {
            return Ok(client.clone());
        }
        let client = build(usual, &self.guard, &self.roots)?;
        // If two build at once, one of the two clients is kept and both use it.
        Ok(self.built.get_or_init(|| client).clone())
    }
}

fn roots(config: &NetConfig) -> Result<Vec<reqwest::Certificate>, NetError> {
    let mut roots = Vec::new();
    for path in &config.extra_roots {
        let setup = |cause: &dyn std::fmt::Display| NetError::Setup(format!("`{}`: {cause}", path.display()));
        let pem = std::fs::read(path).map_err(|cause| setup(&cause))?;
        roots.extend(reqwest::Certificate::from_pem_bundle(&pem).map_err(|cause| setup(&cause))?);
    }
    Ok(roots)
}

fn build(
    connect: Duration,
    guard: &Arc<Guarded>,
    roots: &[reqwest::Certificate],
) -> Result<reqwest::Client, NetError> {
    let start = || {
        builder()
            .user_agent(concat!("cardea/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::clone(guard))
            // WHY: a proxy from the environment would connect for us, past the guard.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .connect_timeout(connect)
            .pool_idle_timeout(Duration::from_secs(60))
            .http2_max_header_list_size(64 * 1024)
    };
    // WHY: a bare machine may have no certificate authorities at all. It can still serve what needs no TLS; a
    // request that needs it then fails with an unknown issuer.
    start()
        .tls_certs_merge(roots.to_vec())
        .build()
        .or_else(|cause| {
            tracing::warn!(cause = %cause, "the trust roots of the operating system cannot be used");
            start().tls_certs_only(roots.to_vec()).build()
        })
        .map_err(|cause| NetError::Setup(cause.to_string()))
}

fn host_of(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// Checks everything that is known before name resolution.
fn check(allow: &AllowList, request: &Request) -> Result<Trust, Refusal> {
    let url = &request.url;
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

/// Where to go on, if the answer is a redirect that the request wants followed.
fn next_hop(request: &Request, answer: &Streaming) -> Result<Option<Url>, Refusal> {
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
    let target = location.and_then(|text| request.url.join(text).ok()).ok_or(Refusal::Redirect)?;
    let plain = target.username().is_empty() && target.password().is_none();
    if target.origin() == request.url.origin() && plain { Ok(Some(target)) } else { Err(Refusal::Redirect) }
}

fn failed(host: String, cause: reqwest::Error, visit: &mut Visit) -> NetError {
    if let Some(refusal) = refusal_in(&cause) {
        return refusal.into();
    }
    visit.tell(Health::Bad);
    let timeout = cause.is_timeout();
    // INVARIANT: only what is certain to have failed before the first byte counts as not sent.
    if cause.is_connect() || cause.is_builder() {
        NetError::NotSent { host, timeout, cause: Some(cause.without_url()) }
    } else {
        NetError::MaybeSent { host, timeout, cause: Some(cause.without_url()) }
    }
}

fn refusal_in(error: &(dyn StdError + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal.clone());
        }
        next = error.source();
    }
    None
}

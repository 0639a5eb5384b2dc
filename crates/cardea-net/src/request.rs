//! Outbound requests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::Serialize;
use url::{Position, Url};

use crate::{address::bare, error::NetError, error::Refusal};

/// The hosts that a request may reach.
#[derive(Debug, Clone)]
pub struct Egress(Option<Arc<[String]>>);

impl Egress {
    /// Allows any host that the address guard lets through: for URLs from the operator's configuration.
    #[must_use]
    pub fn any() -> Self {
        Self(None)
    }

    /// Allows only these hosts: `api.example.com` (any port) or `api.example.com:8443`. No patterns.
    pub fn hosts<I, S>(hosts: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self(Some(hosts.into_iter().map(|host| host.into().to_ascii_lowercase()).collect()))
    }

    pub(crate) fn allows(&self, host: &str, port: u16) -> bool {
        let Some(hosts) = &self.0 else { return true };
        let host = bare(host).to_ascii_lowercase();
        let with_port =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        hosts.iter().any(|entry| bare(entry) == host || *entry == with_port)
    }
}

/// A parsed and checked URL, for repeated requests to the same place.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) url: Url,
    /// The URL as it is sent.
    pub(crate) uri: Uri,
    /// Host and port, by which the host is known.
    pub(crate) host: Arc<str>,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`Refusal::Url`] if it cannot be parsed, has no host, or contains a user or password.
    pub fn parse(url: &str) -> Result<Self, NetError> {
        Ok(Self::of(Url::parse(url).map_err(|_| Refusal::Url)?)?)
    }

    pub(crate) fn of(url: Url) -> Result<Self, Refusal> {
        let (Some(name), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(Refusal::Url);
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Url);
        }
        let host = format!("{name}:{port}").into();
        let uri = url[..Position::AfterQuery].parse().map_err(|_| Refusal::Url)?;
        Ok(Self { url, uri, host })
    }
}

/// What to do with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// The answer is returned as it is.
    #[default]
    Refuse,
    /// Up to three hops are followed if scheme, host and port stay the same and the method is GET or HEAD.
    SameOrigin,
}

/// What a timeout says about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The host is unhealthy.
    Host,
    /// Nothing: the caller's own limit is short.
    Asker,
}

/// The part of an answer that shows that the host is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Its head.
    Head,
    /// The first piece of its body.
    FirstPiece,
}

/// One outbound request.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) whose: Whose,
    pub(crate) sign: Sign,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_body: Option<usize>,
    pub(crate) egress: Egress,
    pub(crate) redirects: Redirects,
}

impl Request {
    /// Creates a request to this URL that may reach only these hosts.
    ///
    /// # Errors
    /// Those of [`Target::parse`].
    pub fn new(method: Method, url: &str, egress: Egress) -> Result<Self, NetError> {
        Ok(Self::to(method, Target::parse(url)?, egress))
    }

    /// Creates a request to this target that may reach only these hosts.
    #[must_use]
    pub fn to(method: Method, target: Target, egress: Egress) -> Self {
        Self {
            method,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: None,
            whose: Whose::Host,
            sign: Sign::Head,
            connect_timeout: None,
            idle_timeout: None,
            max_body: None,
            egress,
            redirects: Redirects::Refuse,
        }
    }

    /// Creates a GET request.
    ///
    /// # Errors
    /// Those of [`Request::new`].
    pub fn get(url: &str, egress: Egress) -> Result<Self, NetError> {
        Self::new(Method::GET, url, egress)
    }

    /// Creates a POST request with a JSON body.
    ///
    /// # Errors
    /// Those of [`Request::new`] and [`Request::json`].
    pub fn post_json(url: &str, egress: Egress, body: &impl Serialize) -> Result<Self, NetError> {
        Self::new(Method::POST, url, egress)?.json(body)
    }

    /// Sets a JSON body with its content type.
    ///
    /// # Errors
    /// [`NetError::Setup`] if the body cannot be written as JSON.
    pub fn json(self, body: &impl Serialize) -> Result<Self, NetError> {
        Ok(self.json_text(serde_json::to_vec(body).map_err(|cause| NetError::Setup(cause.to_string()))?))
    }

    /// Sets a body that is JSON already, with its content type.
    #[must_use]
    pub fn json_text(self, body: impl Into<Bytes>) -> Self {
        self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body)
    }

    /// Adds a header; replaces one with the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds headers; replaces those with the same names.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the time limit of name resolution, connecting and the TLS handshake together. There is one connection pool
    /// per limit in use, so it should come from a configuration and not from a request.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets the time limit of the whole exchange; for a stream, until its head.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Works like [`Request::timeout`] for a limit that the caller has set for one kind of work. If it is shorter than
    /// the configuration's, exceeding it says nothing about the host; otherwise one slow kind of work would close the
    /// host for all others.
    #[must_use]
    pub fn own_timeout(mut self, timeout: Duration) -> Self {
        self.whose = Whose::Asker;
        self.timeout(timeout)
    }

    /// Counts the host as healthy only once the first piece of a successful answer has come, not with its head: for
    /// hosts that send the head at once and then think.
    #[must_use]
    pub fn well_once_it_speaks(mut self) -> Self {
        self.sign = Sign::FirstPiece;
        self
    }

    /// Sets the longest pause between two pieces of the answer.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Sets the size limit of the answer.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Sets what to do with redirects.
    #[must_use]
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }
}

//! What a caller asks for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::Serialize;
use url::{Position, Url};

use crate::{address::bare, error::NetError, error::Refusal};

/// The hosts that one request may reach.
#[derive(Debug, Clone)]
pub struct Egress(Option<Arc<[String]>>);

impl Egress {
    /// Any host that the address guard lets through: for addresses that the operator wrote into the configuration.
    #[must_use]
    pub fn any() -> Self {
        Self(None)
    }

    /// Only these hosts: `api.example.com` (any port) or `api.example.com:8443`. No patterns.
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

/// An address that has been read and checked, for requests that go to the same place again and again.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) url: Url,
    /// The same, as it is sent.
    pub(crate) uri: Uri,
    /// Host and port, by which it is known.
    pub(crate) host: Arc<str>,
}

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Refusal::Url`] if it cannot be read, has no host, or carries a user or password.
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

/// What to do when an answer points elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// The answer is handed to the caller as it is.
    #[default]
    Refuse,
    /// Up to three hops are followed if scheme, host and port stay the same and the method is GET or HEAD.
    SameOrigin,
}

/// Of whom it speaks if the time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Of the host, which is unwell.
    Host,
    /// Of who asks, and wants no more than that.
    Asker,
}

/// What of an answer shows that the host is well.
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
    /// A request to this URL that may reach only these hosts.
    ///
    /// # Errors
    /// Those of [`Target::parse`].
    pub fn new(method: Method, url: &str, egress: Egress) -> Result<Self, NetError> {
        Ok(Self::to(method, Target::parse(url)?, egress))
    }

    /// A request to this target that may reach only these hosts.
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

    /// A GET request.
    ///
    /// # Errors
    /// Those of [`Request::new`].
    pub fn get(url: &str, egress: Egress) -> Result<Self, NetError> {
        Self::new(Method::GET, url, egress)
    }

    /// A POST request with a JSON body.
    ///
    /// # Errors
    /// Those of [`Request::new`] and [`Request::json`].
    pub fn post_json(url: &str, egress: Egress, body: &impl Serialize) -> Result<Self, NetError> {
        Self::new(Method::POST, url, egress)?.json(body)
    }

    /// Sets a JSON body, and the header that says so.
    ///
    /// # Errors
    /// [`NetError::Setup`] if the body cannot be written as JSON.
    pub fn json(self, body: &impl Serialize) -> Result<Self, NetError> {
        Ok(self.json_text(serde_json::to_vec(body).map_err(|cause| NetError::Setup(cause.to_string()))?))
    }

    /// Sets a body that is JSON already, and the header that says so.
    #[must_use]
    pub fn json_text(self, body: impl Into<Bytes>) -> Self {
        self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body)
    }

    /// Adds a header; replaces one of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds headers; replaces those of the same names.
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

    /// How long name resolution, connecting and the TLS handshake may take together. There is one pool of connections
    /// for each length in use, so it should come from a configuration and not from a request.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How long the whole exchange may take; for a stream, how long until its head.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// As [`Request::timeout`], where who asks has set it for one kind of work: a shorter time than the configuration's says
    /// nothing of the host if it is up, or one slow kind of work would close the host for all others.
    #[must_use]
    pub fn own_timeout(mut self, timeout: Duration) -> Self {
        self.whose = Whose::Asker;
        self.timeout(timeout)
    }

    /// The host counts as well once the first piece of a good answer is there, and not with its head: for those that send a head
    /// at once and then think.
    #[must_use]
    pub fn well_once_it_speaks(mut self) -> Self {
        self.sign = Sign::FirstPiece;
        self
    }

    /// How long the answer may be silent between two pieces.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// The most bytes of answer to accept.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// What to do with redirects.
    #[must_use]
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }
}

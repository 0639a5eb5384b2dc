//! Errors of outbound requests, and whether the request may have left.

use cardea_core::{Code, Error, size::Bytes, time::Millis};

/// Error of a lower layer.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Reason why a request was not even tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is not on the open internet and not in the allow list.
    #[error("`{host}` is a {kind} address, and `{host}:{port}` is not in `net.allow`")]
    Address {
        /// The requested host.
        host: String,
        /// The port.
        port: u16,
        /// Kind of the address.
        kind: &'static str,
    },
    /// The name resolves to an address that may not be reached.
    #[error("the name `{name}` resolves to a {kind} address")]
    Resolved {
        /// The name.
        name: String,
        /// Kind of the address.
        kind: &'static str,
    },
    /// This request may not reach this host.
    #[error("`{0}` is not one of the hosts that this request may reach")]
    Egress(String),
    /// Plain `http` to a target that is not listed, or another scheme.
    #[error("`{0}` is not https, and the target is not in `net.allow`")]
    Scheme(String),
    /// Not a URL, or one with a user, a password or no host.
    #[error("the URL is not usable")]
    Url,
    /// The answer points to another origin.
    #[error("the answer redirects to another origin")]
    Redirect,
}

/// Reason why a host is not asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// It failed too often.
    #[error("breaker")]
    Breaker,
    /// It has as many requests in flight as it may have.
    #[error("bulkhead")]
    Bulkhead,
}

/// Reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Not tried: the guard refused it.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// Not tried: the host failed too often, or has too many requests in flight.
    #[error("`{host}` is left alone for now: {why}")]
    Busy {
        /// The host.
        host: String,
        /// Which of the two.
        why: Busy,
        /// Retry delay.
        retry_after: Millis,
    },
    /// The connection failed, so nothing was sent.
    #[error("no connection to `{host}`")]
    NotSent {
        /// The host.
        host: String,
        /// Whether it timed out.
        timeout: bool,
        /// The cause.
        #[source]
        cause: Option<Cause>,
    },
    /// The request may have arrived, but there is no complete answer.
    #[error("no whole answer from `{host}`")]
    MaybeSent {
        /// The host.
        host: String,
        /// Whether it timed out.
        timeout: bool,
        /// The cause.
        #[source]
        cause: Option<Cause>,
    },
    /// The answer is larger than allowed. The request arrived.
    #[error("the answer of `{host}` is larger than {limit}")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit.
        limit: Bytes,
    },
    /// The answer has a status that the caller does not accept. The request arrived.
    #[error("`{host}` answered with status {status}")]
    Status {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// The client could not be built.
    #[error("the HTTP client cannot be built: {0}")]
    Setup(String),
}

impl NetError {
    /// Returns whether the far side may have done what was requested.
    #[must_use]
    pub const fn may_have_been_sent(&self) -> bool {
        match self {
            Self::MaybeSent { .. } | Self::TooLarge { .. } | Self::Status { .. } => true,
            Self::Refused(_) | Self::Busy { .. } | Self::NotSent { .. } | Self::Setup(_) => false,
        }
    }

    /// Returns whether the time limit was exceeded.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::NotSent { timeout: true, .. } | Self::MaybeSent { timeout: true, .. })
    }
}

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        let (code, after) = match &error {
            NetError::Refused(_) => (Code::AddressRefused, None),
            NetError::Busy { retry_after, .. } => (Code::Overloaded, Some(*retry_after)),
            _ if error.is_timeout() => (Code::UpstreamSilent, None),
            NetError::Setup(_) => (Code::Misconfigured, None),
            _ => (Code::UpstreamFailed, None),
        };
        let answer = Self::new(code).because(error);
        match after {
            Some(after) => answer.retry_after(after),
            None => answer,
        }
    }
}

//! Describes why a call got no result, and whether its work may have begun.

use std::time::{Duration, SystemTime};

use cardea_core::{
    time::Timestamp,
    tool::{Attempt, Outcome},
};
use cardea_net::{Busy, NetError};
use rmcp::{
    model::{ErrorCode, ErrorData, ProtocolVersion},
    service::ServiceError,
    transport::streamable_http_client::StreamableHttpError,
};
use tokio::time::Instant;

use super::job::Within;

/// The most characters of a server's error text that are used.
pub(super) const SAID: usize = 2_000;

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// A network error.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No credential could be made.
    #[error("no credential: {0}")]
    Credential(cardea_core::Error),
    /// The server answered with a status and no result.
    #[error("HTTP status {}", .0.status)]
    Status(Refusal),
    /// The server's answer cannot be used.
    #[error("the answer {0}")]
    Unusable(&'static str),
}

/// The error of an MCP request that got no answer.
pub(super) type Failure = StreamableHttpError<WireError>;

/// An HTTP answer without a result.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The message of a JSON-RPC error in it.
    pub(super) said: Option<String>,
    /// True if the body is empty or a JSON-RPC error: then the server itself answered, not a proxy with a page of its
    /// own.
    pub(super) is_plain: bool,
    /// True if the server does not know the session.
    pub(super) is_lost: bool,
    /// When it may be asked again.
    pub(super) after: Option<Duration>,
}

impl Refusal {
    /// Returns true if work may have begun before the refusal.
    const fn may_have_begun(&self) -> bool {
        match self.status {
            // These are sent before the message is read: they concern identity, rate and form.
            401 | 403 | 405..=407 | 411 | 413..=415 | 421 | 426 | 429 | 431 => false,
            400 | 404 => !self.is_plain,
            _ => true,
        }
    }

    fn told(&self) -> String {
        let status = self.status;
        let told = match status {
            _ if self.is_lost && self.is_plain => {
                "does not know this connection any more and began nothing".to_owned()
            }
            401 => format!("refused Cardea's credential (status {status})"),
            403 => format!("does not let you do this, or not with Cardea's credential (status {status})"),
            429 => "is asked too often (status 429)".to_owned(),
            300..=399 => format!("points elsewhere (status {status}), and Cardea does not follow"),
            _ => format!("answered with status {status}"),
        };
        match &self.said {
            Some(said) if !said.is_empty() => format!("{told}: {said}"),
            _ => told,
        }
    }
}

/// What is known about a try without a result, at an upstream or a connector.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What the service did, as a phrase that follows its name.
    pub(super) told: String,
    /// The status that it answered with.
    pub(super) status: Option<u16>,
    /// True if the work may have begun.
    pub(super) may_have_begun: bool,
    /// True if all it takes is a new session.
    pub(super) is_lost: bool,
    /// The pause after which another try may succeed.
    pub(super) after: Option<Duration>,
}

impl Fault {
    pub(super) fn new(told: impl Into<String>, may_have_begun: bool) -> Self {
        Self { told: told.into(), status: None, may_have_begun, is_lost: false, after: None }
    }

    /// The answer did not come in time.
    pub(super) fn late(within: Within) -> Self {
        Self::new(within.passed(), true)
    }

    /// The server answered with a JSON-RPC error.
    pub(super) fn said(error: &ErrorData, spoken: Spoken) -> Self {
        let said: String = error.message.chars().take(SAID).collect();
        match is_refusal(error.code, spoken) {
            true => Self::new(format!("refused: {said}"), false),
            false => Self::new(format!("failed: {said}"), true),
        }
    }

    /// The fault behind an error of the MCP client. `within` is the time limit of the call.
    pub(super) fn of(error: &ServiceError, within: Within) -> Self {
        let ServiceError::TransportSend(sent) = error else {
            return Self::new("broke off before its answer was whole", true);
        };
        match sent.error.downcast_ref::<StreamableHttpError<WireError>>() {
            Some(StreamableHttpError::Client(error)) => Self::of_wire(error, within),
            Some(StreamableHttpError::AuthRequired(_)) => {
                Self { status: Some(401), ..Self::new("refused Cardea's credential", false) }
            }
            Some(StreamableHttpError::InsufficientScope(error)) => {
                Self { status: Some(403), ..Self::new(lacking(error.get_required_scope()), false) }
            }
            Some(StreamableHttpError::Deserialize(_) | StreamableHttpError::UnexpectedServerResponse(_)) => {
                Self::new("answered with something that is no MCP", true)
            }
            _ => Self::new("broke off before its answer was whole", true),
        }
    }

    fn of_wire(error: &WireError, within: Within) -> Self {
        match error {
            WireError::Net(error) => Self::of_net(error, within),
            WireError::Credential(_) => {
                Self::new("was not asked, since no credential could be made for you", false)
            }
            WireError::Unusable(why) => Self::new(format!("answered, but its answer {why}"), true),
            WireError::Status(refusal) => Self {
                told: refusal.told(),
                status: Some(refusal.status),
                may_have_begun: refusal.may_have_begun(),
                is_lost: refusal.is_lost,
                after: refusal.after,
            },
        }
    }

    /// The fault behind a network error: no answer, or an incomplete one.
    pub(super) fn of_net(error: &NetError, within: Within) -> Self {
        let told = match error {
            NetError::Refused(refusal) => format!("may not be reached: {refusal}"),
            NetError::Busy { why: Busy::Breaker, .. } => {
                "failed too often lately and is left alone for a moment".to_owned()
            }
            NetError::Busy { why: Busy::Bulkhead, .. } => {
                "has as many calls of Cardea at once as it may have".to_owned()
            }
            NetError::TooLarge { limit, .. } => format!("answered with more than {limit}"),
            _ if error.is_timeout() => within.passed(),
            NetError::NotSent { .. } | NetError::Setup(_) => "could not be reached".to_owned(),
            NetError::MaybeSent { .. } | NetError::Status { .. } => {
                "broke off before its answer was whole".to_owned()
            }
        };
        Self::new(told, error.may_have_been_sent())
    }

    /// Returns the outcome of a call of this service.
    pub(super) fn outcome(&self, service: &str, attempt: Attempt) -> Outcome {
        let known = format!("`{service}` {}", self.told.trim_end_matches('.'));
        let outcome = match self.may_have_begun {
            true => attempt.unanswered(&known),
            false => attempt.not_done(format!("{known}.")),
        };
        outcome.answered(self.status)
    }
}

/// Returns the text for a missing scope. The scope is repeated only if it looks like one (RFC 6749 section 3.3).
fn lacking(scope: Option<&str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " :/._-".contains(c);
    match scope.filter(|scope| (1..=100).contains(&scope.len()) && scope.chars().all(plain)) {
        Some(scope) => format!("wants the scope `{scope}`, which Cardea's credential for you does not have"),
        None => "wants a scope that Cardea's credential for you does not have".to_owned(),
    }
}

/// Returns true if nobody answered: no connection, a broken one, a timeout, or a host whose breaker is open.
pub(super) const fn is_silence(error: &NetError) -> bool {
    matches!(error, NetError::NotSent { .. } | NetError::MaybeSent { .. } | NetError::Busy { .. })
}

/// The generation of the MCP protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// Without a handshake. It defines some error codes that each server could use as it liked before.
    Newest,
    /// With the older initialisation handshake.
    Older,
}

impl Spoken {
    /// Returns the generation of a protocol version.
    pub(super) fn of(version: Option<&str>) -> Self {
        match version {
            Some(version) if version >= ProtocolVersion::NO_INITIALIZE.as_str() => Self::Newest,
            _ => Self::Older,
        }
    }
}

/// Returns true for an error that means that nothing was begun: the codes that JSON-RPC 2.0 (section 5.1) reserves for
/// requests that are not understood, and MCP's codes of that meaning.
///
/// The rest of the range for servers is free to use: the SDKs report timeouts and closed connections there, in the
/// middle of the work.
pub(super) const fn is_refusal(code: ErrorCode, spoken: Spoken) -> bool {
    match code.0 {
        -32_700 | -32_602..=-32_600 | -32_002 | -32_042 => true,
        -32_022..=-32_020 => matches!(spoken, Spoken::Newest),
        _ => false,
    }
}

/// Returns true for a refusal that a new connection may avoid: of a protocol version, or of headers that do not match
/// the message. The server may speak another version by now.
pub(super) const fn is_misread(code: ErrorCode) -> bool {
    matches!(code.0, -32_022 | -32_020)
}

/// Parses `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.0).ok()?);
    Some(since.saturating_sub(now))
}

/// Returns true if a pause ends before a deadline. A service may ask for any pause, even one that no clock can
/// represent.
pub(super) fn in_time(pause: Duration, deadline: Instant) -> bool {
    Instant::now().checked_add(pause).is_some_and(|then| then < deadline)
}

#[cfg(test)]
mod tests {
    use cardea_core::{time::Millis, tool::Effect};

    use super::*;

    #[test]
    fn a_service_that_has_all_calls_it_may_have_is_not_told_as_one_that_failed() {
        let within = Within { time: Millis::from_secs(3), whose: "the longest that a test may take" };
        let told = |why| {
            let error = NetError::Busy { host: "shop".into(), why, retry_after: Millis::from_secs(1) };
            let attempt = Attempt { effect: Effect::Write, again: false };
            let outcome = Fault::of_net(&error, within).outcome("shop", attempt);
            assert_eq!(outcome.name(), "failed", "nothing was sent");
            outcome.reason().unwrap_or_default().to_owned()
        };
        assert_eq!(told(Busy::Bulkhead), "`shop` has as many calls of Cardea at once as it may have.");
        assert_eq!(told(Busy::Breaker), "`shop` failed too often lately and is left alone for a moment.");
        let late = Fault::late(within).outcome("shop", Attempt { effect: Effect::Write, again: false });
        let wanted = "`shop` did not answer within 3 s, which is the longest that a test may take, so it is not known \
                      whether it did the work.";
        assert_eq!((late.name(), late.reason()), ("unknown", Some(wanted)));
    }

    #[test]
    fn only_what_mcp_says_of_a_request_itself_says_that_nothing_was_done() {
        let says = |code, spoken| is_refusal(ErrorCode(code), spoken);
        for spoken in [Spoken::Newest, Spoken::Older] {
            for code in [-32_700, -32_600, -32_601, -32_602, -32_002, -32_042] {
                assert!(says(code, spoken), "{code}");
            }
            // Connection closed, request timeout, internal error: also sent in the middle of the work.
            for code in [-32_000, -32_001, -32_099, -32_603, -1, 0, 500, -32_604, -32_100] {
                assert!(!says(code, spoken), "{code}");
            }
        }
        for code in [-32_020, -32_021, -32_022] {
            assert!(says(code, Spoken::Newest) && !says(code, Spoken::Older), "{code}");
        }
    }

    #[test]
    fn the_wire_without_a_handshake_is_the_newest() {
        let of = |version| Spoken::of(Some(version));
        assert_eq!([of("2026-07-28"), of("2027-01-01")], [Spoken::Newest; 2]);
        assert_eq!([of("2025-11-25"), of("2024-11-05"), of(""), Spoken::of(None)], [Spoken::Older; 4]);
    }

    #[test]
    fn a_pause_is_read_as_seconds_and_as_a_date() {
        let now = Timestamp::from_secs(784_111_777);
        assert_eq!(after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:40 GMT", now), Some(Duration::from_secs(3)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:30 GMT", now), Some(Duration::ZERO), "it is over");
        for odd in ["", "soon", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(after(odd, now), None, "{odd}");
        }
    }

    #[test]
    fn a_pause_that_no_clock_can_show_is_never_over_in_time() {
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(in_time(Duration::from_secs(1), deadline) && !in_time(Duration::from_secs(90), deadline));
        assert!(!in_time(Duration::from_secs(9_999_999_999_999_999_999), deadline));
        assert!(!in_time(Duration::ZERO, Instant::now()), "nothing is sent when the time is over");
    }

    #[test]
    fn a_status_says_whether_something_may_have_been_begun() {
        let refused = |status, is_plain| {
            Refusal { status, said: None, is_plain, is_lost: false, after: None }.may_have_begun()
        };
        assert!([401, 403, 405, 406, 413, 415, 429].iter().all(|status| !refused(*status, false)));
        assert!([307, 408, 409, 422, 500, 502, 503, 504].iter().all(|status| refused(*status, true)));
        assert_eq!((refused(400, true), refused(404, true)), (false, false));
        assert_eq!((refused(400, false), refused(404, false)), (true, true), "a page of somebody else");
    }
}

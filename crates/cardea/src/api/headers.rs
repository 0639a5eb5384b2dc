//! Names of headers: Cardea's own, and others that no crate defines.

/// The id of the request, on every answer, as in the log and in errors.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// The conversation, in requests and answers.
pub(super) const CONVERSATION: &str = "x-cardea-conversation";

/// Tells OpenAI's client libraries whether to retry. Without it they retry after every 409 and 5xx.
pub(super) const SHOULD_RETRY: &str = "x-should-retry";

/// Which of the client's preferences were applied (RFC 7240).
pub(super) const APPLIED: &str = "preference-applied";

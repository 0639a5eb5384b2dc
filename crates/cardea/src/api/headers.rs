//! Headers of Cardea's own, and others that no crate names.

/// Names the request on every answer, as the log and the errors name it.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// The header that names the conversation, in requests and answers.
pub(super) const CONVERSATION: &str = "x-cardea-conversation";

/// Tells OpenAI's client libraries whether to send the same request again. Without it they do so for every 409 and 5xx.
pub(super) const SHOULD_RETRY: &str = "x-should-retry";

/// Which of the client's wishes were heard (RFC 7240).
pub(super) const APPLIED: &str = "preference-applied";

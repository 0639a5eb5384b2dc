//! Failures between Cardea and a provider, and their consequences. All facts are in one `match`.

use cardea_core::{Code, Error, message::Usage, time::Millis};

/// Kinds of trouble with one request to one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// The connection could not be made, or broke before the answer began.
    Unreachable,
    /// The network layer does not allow the target.
    Forbidden,
    /// The breaker is open.
    Tripped,
    /// There are too many requests to it in progress.
    Crowded,
    /// Nothing came in time.
    Silent,
    /// It is overloaded, or too many requests were sent.
    Busy,
    /// It reports an internal error.
    Broken,
    /// Its answer cannot be parsed.
    Garbage,
    /// The answer ended before its end.
    Cut,
    /// The answer exceeds the size limit.
    TooLarge,
    /// The transcript is longer than the model can read.
    TooLong,
    /// It does not accept the request.
    Rejected,
    /// It does not accept the key.
    Key,
    /// The key is valid, but its account has no credit left.
    Unpaid,
    /// It does not support what the client demands.
    Unable,
    /// It does not know the model or the path.
    Unknown,
    /// Its own content filter refused.
    Filtered,
}

/// What to do after a trouble that came before the first piece of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Try the same provider again, then the next one.
    Again,
    /// Try the next provider: this one cannot help.
    Elsewhere,
    /// Stop: every provider would answer the same.
    GiveUp,
}

impl Trouble {
    const fn facts(self) -> (&'static str, Then, Code, &'static str) {
        use Then::{Again, Elsewhere, GiveUp};
        match self {
            Self::Unreachable => ("unreachable", Again, Code::ModelFailed, "The provider cannot be reached."),
            Self::Forbidden => {
                ("forbidden", Elsewhere, Code::AddressRefused, "The provider's address is not allowed.")
            }
            Self::Tripped => {
                ("tripped", Elsewhere, Code::ModelFailed, "The provider failed too often and is left alone.")
            }
            Self::Crowded => {
                ("crowded", Elsewhere, Code::Overloaded, "Too many requests to the provider are under way.")
            }
            Self::Silent => ("silent", Elsewhere, Code::ModelSilent, "The provider did not answer in time."),
            Self::Busy => ("busy", Again, Code::ModelFailed, "The provider has too much to do."),
            Self::Broken => ("broken", Again, Code::ModelFailed, "The provider reported a fault of its own."),
            Self::Garbage => ("garbage", Again, Code::ModelFailed, "The provider's answer cannot be read."),
            Self::Cut => ("cut", Again, Code::ModelFailed, "The answer ended before it was complete."),
            Self::TooLarge => {
                ("too_large", Elsewhere, Code::ModelFailed, "The provider's answer is too large.")
            }
            Self::TooLong => {
                ("too_long", Elsewhere, Code::TooLarge, "The conversation is longer than the model can read.")
            }
            Self::Rejected => {
                ("rejected", GiveUp, Code::ModelFailed, "The provider did not accept the request.")
            }
            Self::Unable => (
                "unable",
                Elsewhere,
                Code::BadRequest,
                "This model cannot be held to that `response_format` or to that `parallel_tool_calls`.",
            ),
            Self::Key => {
                ("key", Elsewhere, Code::Misconfigured, "The provider did not accept the configured key.")
            }
            Self::Unpaid => {
                ("unpaid", Elsewhere, Code::Misconfigured, "The account at the provider has no credit left.")
            }
            Self::Unknown => (
                "unknown",
                Elsewhere,
                Code::Misconfigured,
                "The provider does not know the configured model.",
            ),
            Self::Filtered => ("filtered", GiveUp, Code::GuardRefused, "The provider's own filter refused."),
        }
    }

    /// Returns the name used in logs.
    pub(crate) const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Returns what to do.
    pub(crate) const fn then(self) -> Then {
        self.facts().1
    }

    /// Returns what an HTTP status other than 2xx means.
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Key,
            402 => Self::Unpaid,
            404 | 405 | 410 => Self::Unknown,
            413 => Self::TooLong,
            408 | 409 | 425 | 429 | 503 | 529 => Self::Busy,
            500.. => Self::Broken,
            // A redirect is never followed: the key would go with it.
            _ => Self::Rejected,
        }
    }
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {cause}", trouble.name())]
pub(crate) struct Failure {
    pub(crate) trouble: Trouble,
    /// Retry delay requested by the provider.
    pub(crate) retry_after: Option<Millis>,
    /// Tokens that the provider has read and written all the same.
    pub(crate) spent: Usage,
    /// Cause for the log: never a key, never the prompt.
    pub(crate) cause: String,
}

impl Failure {
    pub(crate) fn new(trouble: Trouble, cause: impl Into<String>) -> Self {
        let mut cause: String = cause.into();
        if let Some((end, _)) = cause.char_indices().nth(300) {
            cause.truncate(end);
        }
        Self { trouble, retry_after: None, spent: Usage::default(), cause }
    }

    pub(crate) fn garbage(cause: impl Into<String>) -> Self {
        Self::new(Trouble::Garbage, cause)
    }

    pub(crate) const fn spent(mut self, usage: Usage) -> Self {
        self.spent = usage;
        self
    }

    pub(crate) const fn after(mut self, hint: Option<Millis>) -> Self {
        self.retry_after = hint;
        self
    }
}

/// Returns the name, for logs and meters, of the trouble with a provider that caused this error, if one did.
#[must_use]
pub fn trouble_of(error: &Error) -> Option<&'static str> {
    let failure = std::error::Error::source(error)?.downcast_ref::<Failure>()?;
    Some(failure.trouble.name())
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let (_, then, code, sentence) = failure.trouble.facts();
        let error = Self::new(code).detail(sentence);
        let error = if then == Then::GiveUp { error.hopeless() } else { error };
        let error = match failure.retry_after {
            Some(after) => error.retry_after(after),
            None => error,
        };
        error.because(failure)
    }
}

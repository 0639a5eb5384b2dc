//! The error that rooms return to clients, and all facts about its codes.

use std::{error::Error as StdError, fmt};

use crate::{
    id::{ConversationId, TurnId},
    time::Millis,
};

/// Result type of all rooms.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether, and when, a client may send the same request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// The same request may succeed after the time in [`Error::retry_after`], or after a short wait.
    After,
    /// Only a request that carries an idempotency key, or that has no effect, may be sent again.
    IfIdempotent,
}

macro_rules! codes {
    ($($name:ident => $wire:literal, $status:literal, $retry:ident, $sentence:literal;)*) => {
        /// All reasons for which Cardea refuses or fails, as clients see them.
        ///
        /// Each code has a page `docs/errors/<code>.md`; a test keeps the two lists equal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $sentence] $name,)* }

        impl Code {
            /// All codes, in the order of this table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            const fn facts(self) -> (&'static str, u16, Retry, &'static str) {
                match self { $(Self::$name => ($wire, $status, Retry::$retry, $sentence),)* }
            }

            /// Returns the page about this code, as Markdown: what it means, when it occurs, what to do.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../../docs/errors/", $wire, ".md")),)*
                }
            }

            /// Returns the code with this wire name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($wire => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    // authentication
    NotSignedIn       => "not_signed_in",       401, Never, "Sign in first.";
    TokenInvalid      => "token_invalid",       401, Never, "The credential is not valid here.";
    TokenExpired      => "token_expired",       401, Never, "The credential has expired.";
    IssuerAway        => "issuer_unavailable",  503, After, "The keys of the token's issuer are not here yet.";
    ScopeMissing      => "scope_missing",       403, Never, "The credential lacks a scope that this needs.";
    // authorisation
    Denied            => "denied",              403, Never, "Policy does not allow this.";
    GuardRefused      => "guard_refused",       422, Never, "The text was refused by a guardrail.";
    ApprovalInvalid   => "approval_invalid",    409, Never, "You cannot decide this approval, or it can no longer be decided.";
    RateLimited       => "rate_limited",        429, After, "Too many requests.";
    BudgetSpent       => "budget_spent",        429, After, "The budget for this period is used up, or this may use more than is left.";
    Overloaded        => "overloaded",          503, After, "Cardea is busy.";
    Draining          => "draining",            503, After, "This node is stopping.";
    // the request
    BadRequest        => "bad_request",         400, Never, "The request is not well formed.";
    TooLarge          => "too_large",           413, Never, "The request is too large.";
    NotFound          => "not_found",           404, Never, "Not found, or not visible to you.";
    MethodNotAllowed  => "method_not_allowed",  405, Never, "This route does not take that method.";
    UnsupportedMedia  => "unsupported_media",   415, Never, "The body must be JSON.";
    OriginRefused     => "origin_refused",      403, Never, "The Host or Origin header is not accepted here.";
    KeyReused         => "idempotency_key_reused", 422, Never, "This idempotency key was used with another request.";
    InProgress        => "in_progress",         409, After, "A request with this idempotency key is still running.";
    ConversationBusy  => "conversation_busy",   409, After, "Another turn of this conversation is still running.";
    Cancelled         => "cancelled",           409, Never, "It was stopped before its end.";
    TakenOver         => "taken_over",          409, IfIdempotent, "Another node has taken over this turn.";
    InvalidArguments  => "invalid_arguments",   422, Never, "The arguments do not fit the tool's schema.";
    // limits of a turn
    StepsSpent        => "steps_spent",         422, Never, "The turn used all the tool calls it may make.";
    ReflectionsSpent  => "reflections_spent",   422, Never, "The turn used all the model calls it may make.";
    TimeSpent         => "time_spent",          504, Never, "The turn ran out of time.";
    TokensSpent       => "tokens_spent",        422, Never, "The turn used all the tokens it may use.";
    MoneySpent        => "money_spent",         422, Never, "The turn reached its cost limit.";
    // neighbours
    ModelFailed       => "model_failed",        502, After, "The language model did not give a usable answer.";
    ModelSilent       => "model_silent",        504, After, "The language model did not answer in time.";
    UpstreamFailed    => "upstream_failed",     502, IfIdempotent, "The connected service answered with an error.";
    UpstreamSilent    => "upstream_silent",     504, IfIdempotent, "The connected service did not answer.";
    UpstreamUnknown   => "upstream_unknown",    502, Never, "It is not known whether the connected service did the work.";
    AddressRefused    => "address_refused",     502, Never, "The address may not be reached from here.";
    // Cardea itself
    StoreFull         => "store_full",          507, After, "There is no space left to record this.";
    StoreUnavailable  => "store_unavailable",   503, After, "The database cannot be reached.";
    Conflict          => "conflict",            409, After, "The current state does not allow this; it may have changed a moment ago.";
    Ambiguous         => "ambiguous",           409, Never, "The name matches several; state which one is meant.";
    Misconfigured     => "misconfigured",       500, Never, "The installation is not configured for this.";
    Internal          => "internal",            500, Never, "Something went wrong inside Cardea.";
}

impl Code {
    /// Returns the name on the wire, in metrics and of the page in `docs/errors/`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.facts().1
    }

    /// Returns whether the same request may be sent again.
    #[must_use]
    pub const fn retry(self) -> Retry {
        self.facts().2
    }

    /// Returns one sentence for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.facts().3
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Retry delay if no better one is known.
const SOON: Millis = Millis::from_secs(1);

/// An error on its way to a client: a [`Code`], its meaning in this case, and a cause that stays inside.
///
/// `detail` is shown to the client. It must not contain a secret, nor mention anything that the caller may not see.
/// The cause is logged once, where the error is handled, and never shown to the client.
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    detail: Option<String>,
    member: Option<String>,
    retry_after: Option<Millis>,
    /// Initially the rule of the code.
    retry: Retry,
    turn: Option<(TurnId, Option<ConversationId>)>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error with the sentence of the code.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            detail: None,
            member: None,
            retry_after: None,
            retry: code.retry(),
            turn: None,
            cause: None,
        }))
    }

    /// Adds the meaning in this case: a whole sentence, shown to the client after that of the code.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the member of the request that is at fault, as a path such as `messages[2].role`.
    #[must_use]
    pub fn member(mut self, path: impl Into<String>) -> Self {
        self.0.member = Some(path.into());
        self
    }

    /// Adds the retry delay, which becomes `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, after: Millis) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Declares that the same request will not succeed later either, although others with this code may.
    #[must_use]
    pub fn hopeless(mut self) -> Self {
        self.0.retry = Retry::Never;
        self
    }

    /// Declares that work has begun and continues. Only a request with an idempotency key finds it again; any other
    /// would do it twice.
    #[must_use]
    pub fn begun(mut self) -> Self {
        if self.0.retry == Retry::After {
            self.0.retry = Retry::IfIdempotent;
            self.0.retry_after.get_or_insert(SOON);
        }
        self
    }

    /// Adds the turn concerned, and its conversation.
    #[must_use]
    pub fn of_turn(mut self, turn: TurnId, conversation: Option<ConversationId>) -> Self {
        self.0.turn = Some((turn, conversation));
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the member of the request that is at fault.
    #[must_use]
    pub fn about(&self) -> Option<&str> {
        self.0.member.as_deref()
    }

    /// Returns the turn concerned, and its conversation.
    #[must_use]
    pub fn turn(&self) -> Option<(TurnId, Option<ConversationId>)> {
        self.0.turn
    }

    /// Returns whether the same request may be sent again: the rule of the code, or a stricter one for this case.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Returns the retry delay, if one is known and a retry may help.
    #[must_use]
    pub fn retry_hint(&self) -> Option<Millis> {
        match self.0.retry {
            Retry::Never => None,
            // A client that may retry is always given a delay.
            Retry::After => Some(self.0.retry_after.unwrap_or(SOON)),
            Retry::IfIdempotent => self.0.retry_after,
        }
    }

    /// Returns the text for the client: the sentence of the code and the detail.
    #[must_use]
    pub fn public(&self) -> String {
        match &self.0.detail {
            Some(detail) => format!("{} {detail}", self.0.code.sentence()),
            None => self.0.code.sentence().to_owned(),
        }
    }

    /// Returns the chain of causes in one line, for the log only.
    #[must_use]
    pub fn cause_line(&self) -> Option<String> {
        let mut line = String::new();
        let mut next = self.0.cause.as_deref().map(|cause| cause as &dyn StdError);
        while let Some(cause) = next {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        (!line.is_empty()).then_some(line)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("detail", &self.0.detail)
            .field("cause", &self.0.cause)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn word(retry: Retry) -> &'static str {
        match retry {
            Retry::Never => "never",
            Retry::After => "after a wait",
            Retry::IfIdempotent => "if idempotent",
        }
    }

    #[test]
    fn whoever_is_told_to_come_again_is_told_when() {
        for code in Code::ALL {
            assert_eq!(Error::new(*code).retry_hint().is_some(), code.retry() == Retry::After, "{code}");
        }
        let later = Error::new(Code::RateLimited).retry_after(Millis::from_secs(9));
        assert_eq!(later.retry_hint(), Some(Millis::from_secs(9)));
        let in_vain = Error::new(Code::ModelFailed).retry_after(Millis::from_secs(9)).hopeless();
        assert_eq!((in_vain.retry(), in_vain.retry_hint()), (Retry::Never, None));
        let refused = Error::new(Code::Misconfigured).retry_after(Millis::from_secs(9));
        assert_eq!(refused.retry_hint(), None, "whatever a provider says of its key");
        let begun = Error::new(Code::StoreUnavailable).begun();
        assert_eq!((begun.retry(), begun.retry_hint()), (Retry::IfIdempotent, Some(SOON)));
        assert_eq!(Error::new(Code::Denied).begun().retry(), Retry::Never);
    }

    #[test]
    fn every_code_has_a_page_of_its_own_and_every_page_a_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let files =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages: BTreeSet<String> = files.filter(|name| name != "README.md").collect();
        let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{}.md", code.name())).collect();
        assert_eq!(pages, codes);
        for code in Code::ALL {
            let page = code.page();
            let head =
                format!("# `{}`\n\n**{}** HTTP status {}.", code.name(), code.sentence(), code.status());
            assert!(page.starts_with(&head), "docs/errors/{code}.md does not begin with:\n{head}");
            for part in ["\n## What it means\n", "\n## When it happens\n\n- ", "\n## What to do\n\n- "] {
                assert!(page.contains(part), "docs/errors/{code}.md has no part `{}`", part.trim());
            }
            assert_eq!(Code::parse(code.name()), Some(*code));
        }
        let index = fs::read_to_string(folder.join("README.md")).unwrap();
        let rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| [")).collect();
        let row = |code: &Code| {
            let name = code.name();
            format!(
                "| [`{name}`]({name}.md) | {} | {} | {} |",
                code.status(),
                word(code.retry()),
                code.sentence()
            )
        };
        assert_eq!(rows, Code::ALL.iter().map(row).collect::<Vec<_>>());
    }
}

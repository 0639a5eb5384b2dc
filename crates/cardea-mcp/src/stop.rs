//! Reasons why a call ended without an answer.

use cardea_core::{Code, Error};
use rmcp::{
    ErrorData,
    model::{CallToolResult, ContentBlock, InputRequiredResult, MetaObject},
};
use serde_json::{Value, json};

/// Key in `_meta` under which an error result carries its code for programs: `{"code", "retryAfterMs"?}`.
pub const ERROR_META: &str = "dev.cardea/error";

/// What a handler returns if it has no answer.
#[derive(Debug)]
pub enum Stop {
    /// The call failed, or was refused.
    Failed(Error),
    /// The call cannot continue before the user has answered. Made by [`crate::Context::ask`]; pass it on with `?`.
    Input(Box<InputRequiredResult>),
    /// An error of the protocol itself, such as a capability that the client lacks. Models do not see it.
    Protocol(Box<ErrorData>),
}

/// Result type of handlers.
pub type Result<T, E = Stop> = std::result::Result<T, E>;

impl Stop {
    /// Returns the code, if this is an error.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Failed(error) => Some(error.code()),
            Self::Input(_) | Self::Protocol(_) => None,
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Code> for Stop {
    fn from(code: Code) -> Self {
        Self::Failed(Error::new(code))
    }
}

impl Stop {
    /// Converts to a protocol error, for requests that are not tool calls.
    pub(crate) fn on_the_wire(self) -> ErrorData {
        match self {
            Self::Protocol(error) => *error,
            Self::Input(_) => ErrorData::internal_error("a question where none can be asked", None),
            Self::Failed(error) => {
                let (said, facts) = (error.public(), Some(facts(&error)));
                match error.code().status() {
                    400..500 => ErrorData::invalid_request(said, facts),
                    _ => ErrorData::internal_error(said, facts),
                }
            }
        }
    }
}

/// Returns an error's code for programs, and its retry delay.
fn facts(error: &Error) -> Value {
    let mut facts = json!({ "code": error.code().name() });
    if let (Some(after), Some(map)) = (error.retry_hint(), facts.as_object_mut()) {
        map.insert("retryAfterMs".to_owned(), json!(after.0));
    }
    facts
}

/// Converts an error for models: a sentence, and the code beside it for programs.
pub(crate) fn error_result(error: &Error) -> CallToolResult {
    let mut meta = MetaObject::new();
    meta.0.insert(ERROR_META.to_owned(), facts(error));
    let mut result = CallToolResult::error(vec![ContentBlock::text(error.public())]);
    result.meta = Some(meta);
    result
}

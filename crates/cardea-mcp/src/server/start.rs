//! Problems of a server that are found before its first request.

use std::{io, net::SocketAddr};

/// Reason why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two tools have the same name.
    #[error("two tools are called `{0}`")]
    Duplicate(String),
    /// Clients would not accept the name.
    #[error("`{0}` is no name for a tool: 1 to 128 letters, digits, `_`, `-` and `.`")]
    Name(String),
    /// A tool has no description, so no model could choose it.
    #[error("tool `{0}` has no description: add `.about(…)` or a doc comment on its argument type")]
    NoDescription(String),
    /// The schema of a tool cannot be used.
    #[error("the argument schema of tool `{0}` does not hold: {1}")]
    Schema(String, String),
    /// The result of a tool with a published schema is not a JSON object.
    #[error(
        "the result schema of tool `{0}` is not that of an object: put the result into a field of a struct"
    )]
    Output(String),
    /// A handler needs a state that was not given.
    #[error("tool `{tool}` needs a state of type `{state}`: add `.state(…)`")]
    NoState {
        /// The tool.
        tool: String,
        /// The type.
        state: &'static str,
    },
    /// A tool has no guard, although the server requires one on each.
    #[error("tool `{0}` has no guard, and this server requires one on every tool")]
    NoGuard(String),
    /// Prompts and resources have no guard, although the server requires one on each tool.
    #[error(
        "what stands beside the tools has no guard, and this server requires one: add `Server::guard(…)`"
    )]
    UnguardedBeside,
    /// A check names a tool that does not exist.
    #[error("tool `{tool}` names `{check}` as its check, but there is no such tool")]
    NoCheck {
        /// The tool.
        tool: String,
        /// The named tool.
        check: String,
    },
    /// The declared undo is not possible.
    #[error("tool `{tool}` cannot be taken back by `{undo}`: {why}")]
    Undo {
        /// The tool.
        tool: String,
        /// The named tool.
        undo: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server is open to the network without authentication.
    #[error(
        "`{0}` is not a loopback address, and this server lets everybody in: add `.auth(…)`, or `.allow_anonymous()` if that is meant"
    )]
    Open(SocketAddr),
    /// The network or the terminal reported an error.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// The error.
        source: io::Error,
    },
}

pub(super) fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::Io { what: what.to_owned(), source: io::Error::other(error) }
}

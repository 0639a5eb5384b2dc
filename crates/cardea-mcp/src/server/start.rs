//! What can be wrong with a server before its first request.

use std::{io, net::SocketAddr};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two tools have one name.
    #[error("two tools are called `{0}`")]
    Duplicate(String),
    /// A name that clients would not accept.
    #[error("`{0}` is no name for a tool: 1 to 128 letters, digits, `_`, `-` and `.`")]
    Name(String),
    /// A tool that no model could choose.
    #[error("tool `{0}` has no description: add `.about(…)` or a doc comment on its argument type")]
    NoDescription(String),
    /// The schema of a tool cannot be used.
    #[error("the argument schema of tool `{0}` does not hold: {1}")]
    Schema(String, String),
    /// The result of a tool with a published schema is no JSON object.
    #[error(
        "the result schema of tool `{0}` is not that of an object: put the result into a field of a struct"
    )]
    Output(String),
    /// A handler asks for a state that nobody gave.
    #[error("tool `{tool}` needs a state of type `{state}`: add `.state(…)`")]
    NoState {
        /// The tool.
        tool: String,
        /// The type.
        state: &'static str,
    },
    /// A tool without a guard, on a server that wants one on each.
    #[error("tool `{0}` has no guard, and this server requires one on every tool")]
    NoGuard(String),
    /// Prompts and resources without a guard, on a server that wants one on each tool.
    #[error(
        "what stands beside the tools has no guard, and this server requires one: add `Server::guard(…)`"
    )]
    UnguardedBeside,
    /// A check that is no tool.
    #[error("tool `{tool}` names `{check}` as its check, but there is no such tool")]
    NoCheck {
        /// The tool.
        tool: String,
        /// What it names.
        check: String,
    },
    /// What is to take a call back cannot.
    #[error("tool `{tool}` cannot be taken back by `{undo}`: {why}")]
    Undo {
        /// The tool.
        tool: String,
        /// What it names.
        undo: String,
        /// What is wrong with it.
        why: String,
    },
    /// Open to the network without sign-in.
    #[error(
        "`{0}` is not a loopback address, and this server lets everybody in: add `.auth(…)`, or `.allow_anonymous()` if that is meant"
    )]
    Open(SocketAddr),
    /// The network or the terminal said no.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What it said.
        source: io::Error,
    },
}

pub(super) fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::Io { what: what.to_owned(), source: io::Error::other(error) }
}

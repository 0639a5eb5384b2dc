//! Classifies PostgreSQL errors by their consequence for the commit and the connection.

use cardea_core::Error;
use tokio_postgres::error::SqlState;

use super::{NO_RIGHT, WRONG_PASSWORD};
use crate::db::CommitError;

/// An error, and whether the connection is unusable.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(super) error: CommitError,
    pub(crate) lost: bool,
    /// The server undid the transaction in favour of another node (deadlock): it should be tried again.
    pub(super) again: bool,
    /// Another transaction held a needed lock.
    pub(super) locked: bool,
}

impl Fault {
    pub(super) fn lost(why: &str) -> Self {
        Self { error: CommitError::Unavailable(why.to_owned()), lost: true, again: false, locked: false }
    }

    pub(super) fn of(error: &tokio_postgres::Error, conflict: &'static str) -> Self {
        let Some(told) = error.as_db_error() else {
            return match error.is_closed() || std::error::Error::source(error).is_some_and(is_io) {
                true => Self::lost(&error.to_string()),
                false => {
                    Self { error: CommitError::Wrong(chain(error)), lost: false, again: false, locked: false }
                }
            };
        };
        let code = told.code();
        let again = *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE;
        let lost = ["57P", "08", "28", "3D", "25P03"].iter().any(|class| code.code().starts_with(class));
        let error = match code.code() {
            "23505" => CommitError::Conflict(conflict),
            "53100" => CommitError::Full,
            "28P01" => CommitError::Unavailable(format!("{told} ({WRONG_PASSWORD})")),
            _ if lost || again || code.code().starts_with("53") || code.code().starts_with("58") => {
                CommitError::Unavailable(told.to_string())
            }
            // 57014: cancelled by a timeout; 25006: a standby, which is read only.
            "57014" | "25006" | "55P03" => CommitError::Unavailable(told.to_string()),
            // The state identifies it in every language of the server.
            "42501" => CommitError::Wrong(format!("{told} ({NO_RIGHT})")),
            _ => CommitError::Wrong(told.to_string()),
        };
        Self { error, lost, again, locked: *code == SqlState::LOCK_NOT_AVAILABLE }
    }
}

fn is_io(source: &(dyn std::error::Error + 'static)) -> bool {
    source.is::<std::io::Error>()
}

pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.error.into()
    }
}

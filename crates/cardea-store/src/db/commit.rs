//! A guarded batch of writes: all or nothing.

use cardea_core::{
    Code, Error,
    id::TenantId,
    time::{Millis, Timestamp},
};

use super::Value;

/// Statements that become durable together, or not at all.
///
/// Rows carry ids made by the caller, so that after [`CommitError::Unknown`] the caller can check whether they exist.
/// Statements run in the order in which they were added.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is written until it is given to `Db::commit`"]
pub struct Commit {
    pub(crate) steps: Vec<Step>,
    pub(crate) audit: Vec<Entry>,
    pub(crate) touched: Vec<Box<str>>,
}

/// One statement of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) sql: Sql,
    pub(crate) args: Vec<Value>,
    pub(crate) kind: Kind,
}

/// The text of a statement: written in the source, or built from names that are.
#[derive(Debug, Clone)]
pub(crate) enum Sql {
    Fixed(&'static str),
    Built(Box<str>),
}

impl Sql {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Built(text) => text,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A row that must be new; a row with the same key is a conflict with this name.
    Insert(&'static str),
    /// Any number of rows.
    Run,
    /// Exactly one row, or the commit is void.
    Guard(&'static str),
}

impl Kind {
    /// Returns the name of the conflict that a violated unique constraint means.
    pub(crate) const fn conflict(self) -> &'static str {
        match self {
            Self::Insert(name) | Self::Guard(name) => name,
            Self::Run => "unique",
        }
    }
}

/// An entry for the audit chain.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) tenant: TenantId,
    pub(crate) at: Timestamp,
    pub(crate) body: Vec<u8>,
}

impl Commit {
    /// Creates an empty commit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row. If its key is taken, the commit fails with `Conflict(table)`.
    pub fn insert<const N: usize>(
        mut self,
        table: &'static str,
        columns: [(&'static str, Value); N],
    ) -> Self {
        let mut sql = String::with_capacity(32 + N * 16);
        sql.push_str("INSERT INTO ");
        sql.push_str(table);
        let mut values = String::with_capacity(N * 4);
        let mut args = Vec::with_capacity(N);
        for (place, (column, value)) in columns.into_iter().enumerate() {
            sql.push_str(if place == 0 { " (" } else { ", " });
            sql.push_str(column);
            values.push_str(if place == 0 { ") VALUES ($" } else { ", $" });
            values.push_str(&(place + 1).to_string());
            args.push(value);
        }
        sql.push_str(&values);
        sql.push(')');
        self.steps.push(Step { sql: Sql::Built(sql.into()), args, kind: Kind::Insert(table) });
        self
    }

    /// Returns the statements with their arguments, in order.
    pub fn statements(&self) -> impl Iterator<Item = (&str, &[Value])> {
        self.steps.iter().map(|step| (step.sql.text(), step.args.as_slice()))
    }

    /// Adds a statement that may touch any number of rows.
    pub fn run(mut self, sql: &'static str, args: Vec<Value>) -> Self {
        self.steps.push(Step { sql: Sql::Fixed(sql), args, kind: Kind::Run });
        self
    }

    /// Adds a statement that must affect exactly one row; otherwise the whole commit is void and fails with
    /// `Conflict(name)`. A guard that starts with `SELECT` must find exactly one row, which stays as it is until the
    /// commit ends.
    pub fn guard(mut self, name: &'static str, sql: &'static str, args: Vec<Value>) -> Self {
        self.steps.push(Step { sql: Sql::Fixed(sql), args, kind: Kind::Guard(name) });
        self
    }

    /// Adds an entry to this node's audit chain, in the same transaction. The chain protects `body`; tenant and time
    /// are repeated beside it for searches.
    pub fn audit(mut self, tenant: &TenantId, at: Timestamp, body: Vec<u8>) -> Self {
        self.audit.push(Entry { tenant: tenant.clone(), at, body });
        self
    }

    /// Names something that several nodes write to frequently, including this commit. Every commit that writes to it
    /// must name it. Commits that write to several such things in different orders then wait for each other instead of
    /// deadlocking.
    pub fn touches(mut self, hot: impl Into<Box<str>>) -> Self {
        self.touched.push(hot.into());
        self
    }

    /// Appends another commit to this one.
    pub fn and(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self.audit.extend(other.audit);
        self.touched.extend(other.touched);
        self
    }

    /// Returns whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.audit.is_empty()
    }
}

/// Reason why a commit did not happen, or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The guard with this name did not affect exactly one row, or a row of the table with this name existed already.
    /// Nothing was written.
    #[error("conflict: `{0}`")]
    Conflict(&'static str),
    /// No space is left. Nothing was written.
    #[error("no space left")]
    Full,
    /// The database cannot be reached or does not accept writes. Nothing was written.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost, or syncing failed, while committing: the rows may be there. Re-read them by id.
    #[error("unknown whether committed: {0}")]
    Unknown(String),
    /// A statement is wrong: a bug in Cardea. Nothing was written.
    #[error("wrong statement: {0}")]
    Wrong(String),
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        let code = match &error {
            CommitError::Conflict(_) => Code::Conflict,
            CommitError::Full => Code::StoreFull,
            CommitError::Unavailable(_) => Code::StoreUnavailable,
            // WHY: the client must not take this for a refusal. The row may exist, and only a key makes a retry safe.
            CommitError::Unknown(_) => Code::StoreUnavailable,
            CommitError::Wrong(_) => Code::Internal,
        };
        let wait = match &error {
            CommitError::Conflict(_) => Some(Millis(100)),
            CommitError::Full => Some(Millis::from_secs(30)),
            CommitError::Unavailable(_) | CommitError::Unknown(_) => Some(Millis::from_secs(1)),
            CommitError::Wrong(_) => None,
        };
        let result = Self::new(code);
        let result = match wait {
            Some(wait) => result.retry_after(wait),
            None => result,
        };
        let result = match &error {
            CommitError::Unknown(_) => {
                result.detail("It may have been recorded: ask again with the same key.")
            }
            _ => result,
        };
        result.because(error)
    }
}

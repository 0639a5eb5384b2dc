//! Why an audit log is not proved.

use cardea_core::{Error, log::Broken};

/// Why a log is not proved. Each names the first entry that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// The chain is broken.
    #[error("audit log of node `{node}`: {broken}")]
    Broken {
        /// Whose chain.
        node: String,
        /// Where and how.
        broken: Broken,
    },
    /// The row that names the last entry of a chain is written with that entry.
    #[error(
        "audit log of node `{node}`: it ends at entry {entry}, but the row beside it (`audit_heads`) names entry {head}, \
         or has another link: entries were taken from its end, or that row was changed"
    )]
    Head {
        /// Whose chain.
        node: String,
        /// The last entry, as the row has it.
        head: u64,
        /// The last entry there is.
        entry: u64,
    },
    /// Numbers begin at 1.
    #[error("audit log of node `{node}`: there is an entry {sequence} before the first: it was put in")]
    BeforeFirst {
        /// Whose chain.
        node: String,
        /// Its number.
        sequence: i64,
    },
    /// No two chains have an entry in common.
    #[error("audit log of node `{node}`: it begins as that of `{other}` does: it was copied")]
    Copied {
        /// Whose chain.
        node: String,
        /// Whose else.
        other: String,
    },
    /// A column beside an entry tells something else than the entry.
    #[error("audit log of node `{node}`: the `{column}` beside entry {sequence} is not what the entry says")]
    Column {
        /// Whose chain.
        node: String,
        /// The entry.
        sequence: u64,
        /// The column.
        column: &'static str,
    },
    /// A row of another table tells something else than the entry that speaks of it.
    #[error("audit log of node `{node}`: entry {sequence} speaks of {what} `{id}`, {why}")]
    Differs {
        /// Whose chain.
        node: String,
        /// The entry.
        sequence: u64,
        /// `the decision`, `the approval` or `the set of policies`.
        what: &'static str,
        /// Which.
        id: String,
        /// How it differs.
        why: &'static str,
    },
    /// An export whose last line tells something else.
    #[error(
        "audit log of node `{node}`: the export ends at entry {entry}, but its last line says that the log stood at entry \
         {stood} then, or at another one of that number"
    )]
    Stood {
        /// Whose chain.
        node: String,
        /// The last entry, as the line has it; 0 if it names no such chain.
        stood: u64,
        /// The last entry there is.
        entry: u64,
    },
    /// An export without such a line that ends before what a checkpoint has seen. It may be honest.
    #[error(
        "audit log of node `{node}`: the export ends at entry {entry}, and a checkpoint has seen entry {seen}: the export is \
         older than the newest checkpoint, or its end was cut off"
    )]
    Older {
        /// Whose chain.
        node: String,
        /// The last entry there is.
        entry: u64,
        /// The last entry that was seen.
        seen: u64,
    },
    /// It was written with another key.
    #[error(
        "the root key that is here is another one than that of this log: bring back `root.key`, or `vault.root_key`"
    )]
    OtherKey,
    /// A line of the file is not an entry.
    #[error("line {0} is not an entry of an audit log")]
    Line(usize),
    /// The file or the database could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl From<Error> for Unproved {
    fn from(error: Error) -> Self {
        Self::Unreadable(error.cause_line().unwrap_or_else(|| error.public()))
    }
}

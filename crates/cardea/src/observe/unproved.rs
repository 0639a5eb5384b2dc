//! Reasons why an audit log cannot be proved.

use cardea_core::{Error, log::Broken};

/// Reason why a log cannot be proved. Each names the first entry that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// The chain is broken.
    #[error("audit log of node `{node}`: {broken}")]
    Broken {
        /// Node of the chain.
        node: String,
        /// Place and kind of the break.
        broken: Broken,
    },
    /// The head row of a chain contradicts its last entry, although both are written together.
    #[error(
        "audit log of node `{node}`: it ends at entry {entry}, but the row beside it (`audit_heads`) names entry {head}, \
         or has another link: entries were taken from its end, or that row was changed"
    )]
    Head {
        /// Node of the chain.
        node: String,
        /// The last entry, as the row has it.
        head: u64,
        /// The last existing entry.
        entry: u64,
    },
    /// An entry has a number below 1, where numbers begin.
    #[error("audit log of node `{node}`: there is an entry {sequence} before the first: it was put in")]
    BeforeFirst {
        /// Node of the chain.
        node: String,
        /// The number.
        sequence: i64,
    },
    /// Two chains have an entry in common.
    #[error("audit log of node `{node}`: it begins as that of `{other}` does: it was copied")]
    Copied {
        /// Node of the chain.
        node: String,
        /// Node of the other chain.
        other: String,
    },
    /// A column beside an entry contradicts the entry.
    #[error("audit log of node `{node}`: the `{column}` beside entry {sequence} is not what the entry says")]
    Column {
        /// Node of the chain.
        node: String,
        /// The entry.
        sequence: u64,
        /// The column.
        column: &'static str,
    },
    /// A row of another table contradicts the entry about it.
    #[error("audit log of node `{node}`: entry {sequence} speaks of {what} `{id}`, {why}")]
    Differs {
        /// Node of the chain.
        node: String,
        /// The entry.
        sequence: u64,
        /// `the decision`, `the approval` or `the set of policies`.
        what: &'static str,
        /// Id of the row.
        id: String,
        /// The difference.
        why: &'static str,
    },
    /// The last line of an export contradicts its entries.
    #[error(
        "audit log of node `{node}`: the export ends at entry {entry}, but its last line says that the log stood at entry \
         {stood} then, or at another one of that number"
    )]
    Stood {
        /// Node of the chain.
        node: String,
        /// The last entry, as the line has it; 0 if it does not name the chain.
        stood: u64,
        /// The last existing entry.
        entry: u64,
    },
    /// An export without such a line ends before an entry that a checkpoint has recorded. It may be genuine.
    #[error(
        "audit log of node `{node}`: the export ends at entry {entry}, and a checkpoint has seen entry {seen}: the export is \
         older than the newest checkpoint, or its end was cut off"
    )]
    Older {
        /// Node of the chain.
        node: String,
        /// The last existing entry.
        entry: u64,
        /// The last recorded entry.
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

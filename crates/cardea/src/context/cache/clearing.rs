//! Kinds of clearings and their results.

/// Immediate effect of a clearing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// No entry with the tag is served.
    Stale,
    /// In addition, the entries are removed.
    Out,
}

/// Result of a clearing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// Nothing that was cleared is served any more, also after a restart.
    Surely,
    /// Nothing is served by this process, but neither the store nor the database could be told yet.
    ForNow,
}

/// Result of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// The entries are removed.
    Out,
    /// It is recorded, also for after a restart, that the store must still be told.
    Owed,
    /// As [`Cleared::ForNow`].
    ForNow,
}

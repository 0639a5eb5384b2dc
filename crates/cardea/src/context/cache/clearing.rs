//! What a clearing does, and what came of it.

/// What a clearing does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing that carries the tag is served.
    Stale,
    /// It is taken out as well.
    Out,
}

/// What came of a clearing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// Nothing that was cleared is served any more, here and after a restart.
    Surely,
    /// Here, and as long as this process lives: neither the store nor the database could be told yet.
    ForNow,
}

/// What came of taking out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// It is out.
    Out,
    /// It is written down, here and after a restart, that the store must be told.
    Owed,
    /// As [`Cleared::ForNow`].
    ForNow,
}

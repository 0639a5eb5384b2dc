//! Limits of how far the scan reads, in bytes. A finding does not depend on bytes farther away.

/// Maximum distance of a label before a value, and the context that a piece of a stream keeps.
pub(super) const BEFORE: usize = 192;

/// Maximum length of the text that a regex reads.
pub(super) const REACH: usize = 256;

/// Longer runs without a break are divided, so that nothing depends on unbounded text.
pub(super) const LONGEST_RUN: usize = 8192;

/// Maximum distance of a word before a value that gives the value another meaning.
pub(super) const UNLESS_GAP: usize = 14;

/// Distance around a word in which the bytes that its rows require must occur.
pub(super) const NEAR: usize = 384;

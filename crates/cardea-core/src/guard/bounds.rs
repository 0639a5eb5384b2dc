//! How far the walk over a text looks. What is found at a place depends on no byte farther away.

/// How far back a label may stand, and how much context a piece of a stream keeps.
pub(super) const BEFORE: usize = 192;

/// The most that a regex gets to read.
pub(super) const REACH: usize = 256;

/// A longer stretch without a break is cut, so that nothing depends on text without end.
pub(super) const LONGEST_RUN: usize = 8192;

/// How far before a value a word may end that makes it something else.
pub(super) const UNLESS_GAP: usize = 14;

/// So far from a word its rows are asked for the bytes that they need before they are woken.
pub(super) const NEAR: usize = 384;

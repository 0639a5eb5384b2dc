//! What detectors say to each other: the place of a finding, and how a text is read.

use std::{ops::Range, sync::Arc};

use super::{catalogue::KindId, verdict::Action};

/// What a detector saw, before a profile has spoken.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) kind: KindId,
    /// Byte range in the original text.
    pub(super) span: Range<usize>,
    pub(super) confidence: f32,
    pub(super) detector: &'static str,
    pub(super) rule: Arc<str>,
    /// The more specific of two rows that saw the same place has the higher one.
    pub(super) rank: u8,
    /// What a list of the profile itself says to do; otherwise the profile's rules decide.
    pub(super) forced: Option<Action>,
}

/// How a text is read: whether more of it may follow, and who says that it takes too long.
#[derive(Clone, Copy)]
pub(super) struct Pace<'l> {
    pub(super) more: bool,
    pub(super) late: &'l dyn Fn() -> bool,
}

impl Pace<'_> {
    /// All the text is here, or more may follow; nobody waits.
    pub(super) const fn patient(more: bool) -> Self {
        Self { more, late: &|| false }
    }
}

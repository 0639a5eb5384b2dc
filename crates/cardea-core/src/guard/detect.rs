//! All detectors that do not depend on a profile, compiled once for the whole process.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{
    catalogue::{Catalogue, KindId},
    verdict::Surface,
};
use crate::Result;

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
}

/// Compiled tables. Immutable, so that any number of profiles can share them.
pub(super) struct Detectors {
    pub(super) catalogue: Catalogue,
}

impl Detectors {
    /// The one compiled set. It depends on nothing but the program's own text, so sharing it shares no state.
    pub(super) fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceLock<Arc<Detectors>> = OnceLock::new();
        if let Some(ready) = SHARED.get() {
            return Ok(ready.clone());
        }
        let built = Arc::new(Self::build()?);
        Ok(SHARED.get_or_init(|| built).clone())
    }

    fn build() -> Result<Self> {
        Ok(Self { catalogue: Catalogue::default() })
    }

    /// Findings that depend only on text near them: the same in a stream as in the whole.
    pub(super) fn near(&self, _text: &str, _seen: &mut Vec<Seen>) {}

    /// Findings that depend on the whole text.
    pub(super) fn whole(&self, _text: &str, _surface: Surface, _seen: &mut Vec<Seen>) {}
}

//! The lists of one profile: what it denies and what it allows.

use super::{catalogue::Catalogue, detect::Seen, profile::Profile, verdict::Surface};
use crate::Result;

/// Compiled lists.
pub(super) struct Lists;

impl Lists {
    pub(super) fn compile(_profile: &Profile, _catalogue: &Catalogue) -> Result<Self> {
        Ok(Self)
    }

    pub(super) fn near(&self, _text: &str, _surface: Surface, _seen: &mut Vec<Seen>) {}
}

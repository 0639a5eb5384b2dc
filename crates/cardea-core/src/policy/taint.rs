//! Where untrusted text came into a turn, as the set of words that policies read in `context.taint`.
//!
//! The words are names of surfaces (`tool_result`, `document`, `memory`, `tool_description`, and the others where a
//! guardrail has warned), [`CACHE`] for an answer that another turn has made, beside the words of that turn, and
//! [`SUSPICIOUS`] once a detector has seen something in any of them. The set only grows: text that has been read
//! cannot be unread.

use crate::guard::{Surface, Taint};

/// A detector has seen an order to the model, a credential or the like in untrusted text.
pub const SUSPICIOUS: &str = "suspicious";

/// The answer was made by another turn. Its words stand beside this one.
pub const CACHE: &str = "cache";

/// What a tool says of itself.
pub const TOOL_DESCRIPTION: &str = Surface::ToolDescription.name();

/// All words that there can be.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    Surface::ALL.into_iter().map(Surface::name).chain([CACHE, SUSPICIOUS])
}

/// The words for what a guardrail said about one text.
pub fn words(taint: &Taint) -> impl Iterator<Item = &'static str> {
    std::iter::once(taint.source.name()).chain(taint.suspicious.then_some(SUSPICIOUS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicious_result_gives_two_words() {
        let mut taint = Taint { source: Surface::ToolResult, suspicious: false, rules: Vec::new() };
        assert_eq!(words(&taint).collect::<Vec<_>>(), ["tool_result"]);
        taint.suspicious = true;
        assert_eq!(words(&taint).collect::<Vec<_>>(), ["tool_result", SUSPICIOUS]);
    }
}

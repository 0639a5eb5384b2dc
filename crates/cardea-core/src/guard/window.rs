//! Screening a stream: text leaves as soon as nothing that may still come can change it.

use super::{
    engine::{Engine, Masks, taint},
    sieve::{Sieve, splice},
    verdict::{Action, Finding, Surface, Taint},
};

/// A stream under screening. What leaves it, put together, is what [`Engine::scan_in`] gives for the whole text.
///
/// After a refusal nothing more leaves: what came before the refused place has been said already.
pub struct Window {
    engine: Engine,
    surface: Surface,
    masks: Masks,
    sieve: Sieve,
    findings: Vec<Finding>,
    /// Text not yet released.
    held: String,
    refused: bool,
}

/// The end of a stream.
#[derive(Debug)]
pub struct Finished {
    /// The last text to show.
    pub text: String,
    /// The most severe action of all findings.
    pub action: Action,
    /// Everything seen, with places in the whole stream.
    pub findings: Vec<Finding>,
    /// As for a whole text.
    pub taint: Option<Taint>,
    /// Names and originals, to be kept for the conversation.
    pub masks: Masks,
}

impl Window {
    pub(super) fn new(engine: Engine, surface: Surface, masks: Masks) -> Self {
        let sieve = Sieve::new(surface);
        Self { engine, surface, masks, sieve, findings: Vec::new(), held: String::new(), refused: false }
    }

    /// Takes the next piece and gives what may be shown now; often nothing.
    #[must_use]
    pub fn push(&mut self, chunk: &str) -> String {
        self.held.push_str(chunk);
        String::new()
    }

    /// True once something was refused: the stream should be ended.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Ends the stream.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        let mut seen = self.engine.near(&self.held, self.surface);
        self.sieve.order(&self.engine, &mut seen);
        let mut cuts = Vec::new();
        for one in &seen {
            if let Some((finding, cut)) = self.sieve.take(&self.engine, one) {
                self.refused |= finding.action == Action::Refuse;
                self.findings.push(finding);
                cuts.extend(cut);
            }
        }
        let mut text = String::new();
        splice(&self.held, 0, &cuts, &mut self.masks, &mut text);
        let action = self.findings.iter().map(|finding| finding.action).max().unwrap_or_default();
        let taint = taint(self.surface, &self.findings);
        Finished { text, action, findings: self.findings, taint, masks: self.masks }
    }
}

//! Screens a stream. Text is released as soon as no further input can change the result for it.
//!
//! The window keeps the undecided text, and a little of the released text before it, and examines both together. A
//! finding is final if it begins before the first position that further input can still affect. Findings depend only on
//! nearby text, so the division into chunks does not affect findings or masks.

use super::{
    bounds::BEFORE,
    engine::Engine,
    normalize::LONGEST_VALUE,
    placeholder::Masks,
    runs::Runs,
    seen::Pace,
    sieve::{Mask, Sieve},
    verdict::{Action, Finding, Surface, Taint},
};

/// If this many bytes are held (in an open block), the text is examined again only after it has grown by a quarter.
const PATIENCE: usize = 2048;

/// If this many bytes are held, released text included, the text is examined again only after it has grown by a
/// sixteenth.
const LONG: usize = 16 * 1024;

/// A stream that is being screened. Its concatenated output is equal to the result of [`Engine::scan_in`] for the whole
/// text.
///
/// Each call borrows the [`Masks`] that number the placeholders, so that other texts of the conversation can use them
/// between two calls.
///
/// After a refusal nothing more is released; the text before the refused place was released already. Detectors that
/// need the whole text (instructions to the model) do not run on streams. They run on input of the model.
pub struct Window {
    engine: Engine,
    surface: Surface,
    sieve: Sieve,
    findings: Vec<Finding>,
    runs: Runs,
    /// Text of the stream from `base` on: some released text, followed by the undecided text.
    held: String,
    base: usize,
    /// Every finding that begins before this position of the stream is known.
    decided: usize,
    /// The text before this position of the stream was released.
    shown: usize,
    /// Length of `held` in bytes at which it is examined again.
    patience: usize,
    /// Minimum number of new bytes before an examination; 0 if the client reads the stream as it comes.
    least: usize,
    refused: bool,
}

/// Result at the end of a stream.
#[derive(Debug)]
pub struct Finished {
    /// The last text to release.
    pub text: String,
    /// The most severe action of all findings.
    pub action: Action,
    /// All findings, with ranges in the whole stream.
    pub findings: Vec<Finding>,
    /// Taint, as in [`Verdict::taint`](super::Verdict::taint).
    pub taint: Option<Taint>,
}

impl Engine {
    /// Starts a stream.
    #[must_use]
    pub fn window(&self, surface: Surface) -> Window {
        Window::new(self.clone(), surface)
    }
}

impl Window {
    pub(super) fn new(engine: Engine, surface: Surface) -> Self {
        Self {
            engine,
            surface,
            sieve: Sieve::new(surface),
            findings: Vec::new(),
            runs: Runs::default(),
            held: String::new(),
            base: 0,
            decided: 0,
            shown: 0,
            patience: 0,
            least: 0,
            refused: false,
        }
    }

    /// Configures the window for an answer that is read only as a whole. It is examined in larger pieces, with the same
    /// result and less work.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { patience: PATIENCE, least: PATIENCE, ..self }
    }

    /// Takes the next chunk and returns the text that can be released now, which is often empty.
    #[must_use]
    pub fn push(&mut self, chunk: &str, masks: &mut Masks) -> String {
        if !self.engine.listens(self.surface) {
            return chunk.to_owned();
        }
        let mut out = String::new();
        let mut from = 0;
        let before = self.base + self.held.len();
        for (place, c) in chunk.char_indices() {
            if self.runs.take(c, before + place) {
                self.held.push_str(chunk.get(from..place).unwrap_or_default());
                from = place;
                self.settle(masks, &mut out);
            }
        }
        self.held.push_str(chunk.get(from..).unwrap_or_default());
        if self.held.len() >= self.patience {
            self.examine(Some(self.runs), masks, &mut out);
            let open = self.base + self.held.len() - self.decided;
            let grown = if open > PATIENCE { open / 4 } else { self.least };
            // WHY: invisible characters can make the text in `held` many times as long as the text that is examined.
            let grown = if self.held.len() > LONG { grown.max(self.held.len() / 16) } else { grown };
            self.patience = if grown == 0 { 0 } else { self.held.len() + grown };
        }
        out
    }

    /// Returns whether the stream was refused; it should be ended then.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Returns the number of bytes that were received and not yet released.
    #[cfg(test)]
    fn held_back(&self) -> usize {
        (self.base + self.held.len()).saturating_sub(self.shown)
    }

    /// Ends the stream.
    #[must_use]
    pub fn finish(mut self, masks: &mut Masks) -> Finished {
        let mut text = String::new();
        self.examine(None, masks, &mut text);
        let action = self.findings.iter().map(|finding| finding.action).max().unwrap_or_default();
        let taint = Taint::of(self.surface, &self.findings);
        Finished { text, action, findings: self.findings, taint }
    }

    /// Decides everything in `held` and drops it. The text that follows is examined on its own.
    fn settle(&mut self, masks: &mut Masks, out: &mut String) {
        self.examine(None, masks, out);
        self.patience = self.least;
    }

    /// Examines `held`, releases what is decided, and drops what is no longer needed. `runs` is present if more input
    /// may follow.
    fn examine(&mut self, runs: Option<Runs>, masks: &mut Masks, out: &mut String) {
        let end = self.base + self.held.len();
        let engine = self.engine.clone();
        let held = std::mem::take(&mut self.held);
        let mut near = engine.near(&held, self.surface, Pace::patient(runs.is_some()));
        let open = match runs {
            None => end,
            Some(runs) => {
                let last = if runs.start - runs.before <= BEFORE { runs.before } else { runs.start };
                (self.base + near.open).min(last.max(self.base)).max(self.decided)
            }
        };
        let mut seen = std::mem::take(&mut near.seen);
        for one in &mut seen {
            one.span = one.span.start + self.base..one.span.end + self.base;
        }
        seen.retain(|one| one.span.start >= self.decided && one.span.start < open);
        self.sieve.order(engine.rules().0, &mut seen);
        for one in &seen {
            let Some((finding, mask)) = self.sieve.take(engine.rules(), one) else { continue };
            if finding.action == Action::Refuse && !self.refused {
                self.show(&held, finding.span.start, out);
                self.refused = true;
            }
            self.findings.push(finding);
            if let Some(mask) = mask {
                self.replace(&held, &mask, masks, out);
            }
        }
        self.show(&held, open, out);
        self.decided = open;
        let context = near.context(open.saturating_sub(self.base), BEFORE + LONGEST_VALUE);
        self.keep(&held, if runs.is_some() { context } else { held.len() });
    }

    /// Releases the text up to a position of the stream.
    fn show(&mut self, held: &str, to: usize, out: &mut String) {
        if to > self.shown {
            let from = self.shown.saturating_sub(self.base);
            let text = held.get(from..to.saturating_sub(self.base)).unwrap_or_default();
            if !self.refused {
                out.push_str(text);
            }
            self.shown = to;
        }
    }

    fn replace(&mut self, held: &str, mask: &Mask, masks: &mut Masks, out: &mut String) {
        self.show(held, mask.start, out);
        let value = mask.value.start.saturating_sub(self.base)..mask.value.end.saturating_sub(self.base);
        let name = masks.put(&mask.label, held.get(value).unwrap_or_default());
        if !self.refused {
            out.push_str(&name);
        }
        self.shown = self.shown.max(mask.end);
    }

    /// Keeps the held text from an offset on, and everything that is undecided or not released.
    fn keep(&mut self, held: &str, from: usize) {
        let from = from.min(self.shown.saturating_sub(self.base)).min(self.decided.saturating_sub(self.base));
        self.held.push_str(held.get(from..).unwrap_or_default());
        self.base += from;
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("shown", &self.shown)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

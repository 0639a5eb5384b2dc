//! Screening a stream: text leaves as soon as nothing that may still come can change it.
//!
//! The window keeps the text that is not yet decided and a little of what was shown before it, and examines both
//! together. A finding counts once it begins before the first place that more text could still change. Findings depend
//! only on text nearby, so every way of cutting a text into chunks gives the same findings and the same masks.

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

/// Once this much is held (a block has begun), it is examined again only after growing by a quarter.
const PATIENCE: usize = 2048;

/// Once this much is held, shown text included, it is examined again only after growing by a sixteenth.
const LONG: usize = 16 * 1024;

/// A stream under screening. What leaves it, put together, is what [`Engine::scan_in`] gives for the whole text.
///
/// Placeholders are numbered by the names that each call lends it, so that nothing else of the conversation gets the same
/// number meanwhile.
///
/// After a refusal nothing more leaves: what came before the refused place has been said already. Detectors that need
/// the whole text (orders to the model) do not run on streams; they run on what goes into a model, not out of it.
pub struct Window {
    engine: Engine,
    surface: Surface,
    sieve: Sieve,
    findings: Vec<Finding>,
    runs: Runs,
    /// Text from `base` of the stream on: some that was shown, then what is undecided.
    held: String,
    base: usize,
    /// Every finding that begins before this place is known.
    decided: usize,
    /// The text before this place has left.
    shown: usize,
    /// How long `held` must be before it is looked at again.
    patience: usize,
    /// How much must come in before anything is looked at: nothing, where somebody reads along.
    least: usize,
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
}

impl Engine {
    /// Starts screening a stream.
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

    /// The same, for an answer that nobody reads before its end: it is examined in larger pieces, which says the same
    /// of it with less work.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { patience: PATIENCE, least: PATIENCE, ..self }
    }

    /// Takes the next piece and gives what may be shown now; often nothing.
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
            // WHY: signs that nobody sees may make what is kept before it any times as long as what is read of it.
            let grown = if self.held.len() > LONG { grown.max(self.held.len() / 16) } else { grown };
            self.patience = if grown == 0 { 0 } else { self.held.len() + grown };
        }
        out
    }

    /// True once something was refused: the stream should be ended.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// How many bytes have come in and not yet left.
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

    /// Decides all that is held and forgets it: what follows is examined on its own.
    fn settle(&mut self, masks: &mut Masks, out: &mut String) {
        self.examine(None, masks, out);
        self.patience = self.least;
    }

    /// Examines what is held, shows what is decided, and forgets what is no longer needed. With `runs`, more may come.
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

    /// Shows the text up to a place of the stream.
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

    /// Keeps held text from a place in it on, and all that is undecided or not shown.
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

//! The window through which an answer is streamed.

use std::time::Duration;

use cardea_core::{
    Error, Result,
    guard::{Action, Engine, Surface, Window},
    policy::taint::words,
};

use super::{
    LATEST, Placeholders, Screen, Screened,
    seen::{is_refusal, kinds, refused, tell, tell_of_failure},
    watched,
};
use crate::observe::Observe;

/// The guard window of one answer. Text leaves it only screened.
pub struct OutputWindow {
    /// The scanner; `None` after a refusal, and at the end.
    window: Option<Box<Window>>,
    /// Text that has left the window.
    left: String,
    names: Placeholders,
    observe: Observe,
    profile: String,
    /// Time limit of one scan.
    pub(super) latest: Duration,
}

impl Screen<'_> {
    /// Creates a window through which an answer is streamed.
    ///
    /// # Errors
    /// `misconfigured` if the profile does not exist.
    pub fn window(&self) -> Result<OutputWindow> {
        let inner = &self.control.inner;
        Ok(OutputWindow::new(&inner.guards.engine(self.profile)?, self.names, &inner.observe))
    }
}

impl std::fmt::Debug for OutputWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OutputWindow")
    }
}

impl OutputWindow {
    pub(super) fn new(engine: &Engine, names: &Placeholders, observe: &Observe) -> Self {
        let window = Some(Box::new(engine.window(Surface::Output)));
        let profile = engine.name().to_owned();
        let (left, names, observe) = (String::new(), names.clone(), observe.clone());
        Self { window, left, names, observe, profile, latest: LATEST }
    }

    /// Refuses, whatever the profile has chosen: text that was streamed cannot be recalled.
    fn failed(&self) -> Error {
        tell_of_failure(&self.observe, &self.profile, Surface::Output, Action::Refuse);
        refused(&[])
    }

    /// Configures the window for an answer that is not read before its end.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { window: self.window.map(|window| Box::new(window.unhurried())), ..self }
    }

    /// Takes the next piece and returns the text that may be shown now, which is often empty.
    ///
    /// # Errors
    /// `guard_refused`: nothing more may be shown.
    pub fn push(&mut self, piece: &str) -> Result<String> {
        let mut window = self.window.take().ok_or_else(|| refused(&[]))?;
        let names = &self.names;
        let pushed = watched(self.latest, move || {
            let shown = names.scan(|masks| window.push(piece, masks));
            (shown, window)
        });
        let (shown, window) = pushed.ok_or_else(|| self.failed())?;
        if window.refused() {
            let findings = names.scan(|masks| window.finish(masks)).findings;
            return Err(refused(&kinds(&tell(&self.observe, names, Surface::Output, &findings), is_refusal)));
        }
        self.window = Some(window);
        self.left.push_str(&shown);
        Ok(shown)
    }

    /// Lets through an answer that was screened as a whole.
    pub fn pass(&mut self, answer: &Screened<String>) {
        self.left.push_str(answer);
    }

    /// Returns all text that has left the window so far.
    #[must_use]
    pub fn left(&self) -> &str {
        &self.left
    }

    /// Ends the stream and returns the last text together with the whole answer.
    ///
    /// # Errors
    /// `guard_refused`.
    pub fn finish(&mut self) -> Result<(String, Screened<String>)> {
        let window = self.window.take().ok_or_else(|| refused(&[]))?;
        let names = &self.names;
        let finished = watched(self.latest, move || names.scan(|masks| window.finish(masks)));
        let finished = finished.ok_or_else(|| self.failed())?;
        let seen = tell(&self.observe, names, Surface::Output, &finished.findings);
        if finished.action == Action::Refuse {
            return Err(refused(&kinds(&seen, is_refusal)));
        }
        let taint = finished.taint.iter().flat_map(words).map(str::to_owned).collect();
        self.left.push_str(&finished.text);
        Ok((finished.text, Screened::of_answer(self.left.clone(), taint)))
    }
}

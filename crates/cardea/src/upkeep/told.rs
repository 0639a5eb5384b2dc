//! Logs a trouble once, and not in each round.

use cardea_core::{Error, Result};

/// What the log was last told about one thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(String);

impl Told {
    /// Returns true for a trouble that was not logged yet. An empty text means that it is over.
    pub(super) fn is_new(&mut self, trouble: &str) -> bool {
        let new = !trouble.is_empty() && trouble != self.0;
        trouble.clone_into(&mut self.0);
        new
    }

    /// Logs an error, unless the same was logged the last time.
    pub(super) fn tell(&mut self, what: &str, done: &Result<()>) {
        let why = done.as_ref().map_or_else(reason, |()| String::new());
        if let (true, Err(error)) = (self.is_new(&why), done) {
            tracing::warn!(error.code = error.code().name(), "{what}: {why}");
        }
    }
}

/// Returns the detail and cause of an error for the log, without its code's standard sentence.
pub(super) fn reason(error: &Error) -> String {
    let whole = error.public();
    let own = whole.strip_prefix(error.code().sentence()).map(str::trim).filter(|own| !own.is_empty());
    let own = own.unwrap_or(&whole);
    error.cause_line().map_or_else(|| own.to_owned(), |cause| format!("{own} ({cause})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_again_only_once_it_was_over_or_another_one() {
        let mut told = Told::default();
        let news = ["away", "away", "full", "full", "", "", "full"].map(|trouble| told.is_new(trouble));
        assert_eq!(news, [true, false, true, false, false, false, true]);
    }
}

//! What the audit log is told in the place of words: those of services, models and people go with their conversation, and
//! nothing goes from the log.

use super::Turns;

impl Turns {
    /// A digest of words that only this installation can make: whoever still has them can show that they are the ones.
    pub(super) fn digest(&self, words: &str) -> String {
        self.inner.vault.digest(words)
    }
}

/// The status of HTTP in what is said of a service that did not do its work: ``…`shop` answered with status 402: …``.
pub(super) fn status(reason: &str) -> Option<u16> {
    let (_, said) = reason.strip_prefix('`')?.split_once("` ")?;
    let (own, _) = said.split_once(": ").unwrap_or((said, ""));
    let (_, rest) = own.split_once("status ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_service_answered_only_the_number_is_read() {
        assert_eq!(status("`shop` answered with status 402: the card of Ann, status 7"), Some(402));
        assert_eq!(
            status("`shop` answered with status 503, so it is not known whether it did the work."),
            Some(503)
        );
        assert_eq!(status("`shop` refused Cardea's credential (status 401)."), Some(401));
        for none in
            ["`shop` refused: status 5", "status 5", "`shop` did not answer within 3s.", "`shop` status x"]
        {
            assert_eq!(status(none), None, "{none}");
        }
    }
}

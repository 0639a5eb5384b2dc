//! Which answers must never be kept.

/// Facts about a finished turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finished {
    /// A tool that changes something was called, whatever the outcome.
    pub had_effect: bool,
    /// An approval is open, or was refused.
    pub approval: bool,
    /// Policy or a guardrail refused something, or changed the answer.
    pub refused: bool,
    /// The turn ended with an error, or a tool failed.
    pub failed: bool,
    /// The model stopped at a length limit, or the client disconnected.
    pub cut_short: bool,
    /// The answer has no text.
    pub empty: bool,
    /// It is based on a tool result that the tool does not share with the tenant, or on earlier messages.
    pub personal: bool,
}

/// Who may get the answer later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Only the user who asked.
    Own,
    /// Other users as well.
    Shared,
}

/// Reason why an answer is never kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {
    /// Giving it again would claim an effect that did not happen.
    HadEffect,
    /// It depends on a person's decision.
    Approval,
    /// A refusal is valid only at its time.
    Refused,
    /// An error is not an answer.
    Failed,
    /// The answer is incomplete.
    CutShort,
    /// Others would get an answer that is based on one user's data or messages.
    Personal,
}

/// Returns why this answer must not be kept for this audience; `None` if it may.
#[must_use]
pub const fn never(turn: Finished, audience: Audience) -> Option<Never> {
    match turn {
        Finished { had_effect: true, .. } => Some(Never::HadEffect),
        Finished { approval: true, .. } => Some(Never::Approval),
        Finished { refused: true, .. } => Some(Never::Refused),
        Finished { failed: true, .. } => Some(Never::Failed),
        Finished { cut_short: true, .. } | Finished { empty: true, .. } => Some(Never::CutShort),
        Finished { personal: true, .. } if matches!(audience, Audience::Shared) => Some(Never::Personal),
        Finished { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_only_if_nothing_speaks_against_it() {
        assert_eq!(never(Finished::default(), Audience::Shared), None);
        let personal = Finished { personal: true, ..Finished::default() };
        assert_eq!(never(personal, Audience::Own), None);
        assert_eq!(never(personal, Audience::Shared), Some(Never::Personal));
        let with = |change: fn(&mut Finished)| {
            let mut turn = Finished::default();
            change(&mut turn);
            never(turn, Audience::Own)
        };
        assert_eq!(with(|turn| turn.had_effect = true), Some(Never::HadEffect));
        assert_eq!(with(|turn| turn.approval = true), Some(Never::Approval));
        assert_eq!(with(|turn| turn.refused = true), Some(Never::Refused));
        assert_eq!(with(|turn| turn.failed = true), Some(Never::Failed));
        assert_eq!(with(|turn| turn.cut_short = true), Some(Never::CutShort));
        assert_eq!(with(|turn| turn.empty = true), Some(Never::CutShort));
    }
}

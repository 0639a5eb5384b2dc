//! What must never be kept.

/// What is known of a finished turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finished {
    /// A tool that changes things was called, whatever came of it.
    pub had_effect: bool,
    /// An approval is open, or was refused.
    pub approval: bool,
    /// Policy or a guardrail refused something, or changed the answer.
    pub refused: bool,
    /// The turn ended with an error, or a tool failed.
    pub failed: bool,
    /// The model stopped at a length limit, or the client broke off.
    pub cut_short: bool,
    /// The answer has no text.
    pub empty: bool,
    /// A tool's result went into it that the tool does not share with the tenant, or what was said before did.
    pub personal: bool,
}

/// Who may be given the answer later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The asker alone.
    Own,
    /// Others as well.
    Shared,
}

/// Why an answer is never kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {
    /// Giving it again would claim an effect that did not happen.
    HadEffect,
    /// It depends on a person's decision.
    Approval,
    /// A refusal belongs to its moment.
    Refused,
    /// An error is not an answer.
    Failed,
    /// Only a part of the answer is there.
    CutShort,
    /// Others would be given what came from one user's data, or from what one user said.
    Personal,
}

/// Why this answer must not be kept for this audience; `None` if it may.
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

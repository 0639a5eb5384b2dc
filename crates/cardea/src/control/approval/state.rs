//! State of an approval.

use cardea_store::{
    FromCell,
    db::{Cell, Value},
};
use serde::Serialize;

/// State of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Not decided yet.
    Open,
    /// Approved by a person.
    Approved,
    /// Rejected by a person.
    Rejected,
    /// Not decided in time.
    Expired,
}

impl ApprovalState {
    const ALL: [Self; 4] = [Self::Open, Self::Approved, Self::Rejected, Self::Expired];

    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

impl FromCell for ApprovalState {
    const WANTED: &'static str = "the state of an approval";

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        let name = String::from_cell(cell)?;
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl From<ApprovalState> for Value {
    fn from(state: ApprovalState) -> Self {
        state.name().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_is_written_and_no_other_word_is_one() {
        for state in ApprovalState::ALL {
            assert_eq!(serde_json::json!(state), state.name());
            assert_eq!(ApprovalState::from_cell(Cell::Text(state.name())), Some(state));
        }
        assert_eq!(ApprovalState::from_cell(Cell::Text("granted")), None);
    }
}

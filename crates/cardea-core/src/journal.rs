//! Decides what happens to turns and steps: their states, the allowed transitions, and recovery by a new owner.
//!
//! A turn is a row, and a tool call is a step row. State is written before an effect and after it. A crash, an approval
//! that takes two days and a redeploy are handled alike: load the turn and continue.

use serde::{Deserialize, Serialize};

use crate::tool::Effect;

/// The state of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// A node works on it, or should: its lease says which.
    Running,
    /// It waits for a person's decision and has no lease.
    Waiting,
    /// It has its answer.
    Answered,
    /// It ended with an error that the user was told.
    Failed,
    /// It ended with an error after effects, and those were compensated.
    Unwound,
    /// It ended because it is not known whether an effect happened. A person must look.
    Unknown,
}

impl TurnState {
    /// Returns true if nothing more will happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting)
    }

    /// Returns the name used in rows, answers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Unwound => "unwound",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Running, Self::Waiting, Self::Answered, Self::Failed, Self::Unwound, Self::Unknown]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It waits for a person's decision.
    Waiting,
    /// Its intent is durable; the effect may or may not have happened.
    Started,
    /// It succeeded.
    Done,
    /// It failed before any effect.
    Failed,
    /// Policy, a guardrail or a person refused it.
    Refused,
    /// It is not known whether its effect happened.
    Unknown,
    /// Its compensation has begun.
    Compensating,
    /// Its effect was taken back.
    Compensated,
}

impl StepState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Started,
        Self::Done,
        Self::Failed,
        Self::Refused,
        Self::Unknown,
        Self::Compensating,
        Self::Compensated,
    ];

    /// Returns the name used in rows, answers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Returns true if the step may go from this state to `next`. Any other transition means a bug or two owners.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Waiting, Self::Started | Self::Refused)
                | (Self::Started, Self::Done | Self::Failed | Self::Unknown)
                | (Self::Unknown, Self::Done | Self::Failed | Self::Compensating)
                | (Self::Done, Self::Compensating)
                | (Self::Compensating, Self::Compensated | Self::Unknown | Self::Done)
        )
    }
}

/// How a provider lets Cardea find out whether a write happened, or makes repeating it harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeatable {
    /// It takes an idempotency key: the same key does the work once.
    ByKey,
    /// It has a read that tells whether the write was done.
    ByCheck,
    /// Neither.
    No,
}

impl Repeatable {
    /// Returns the name used in rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByKey => "keyed",
            Self::ByCheck => "checked",
            Self::No => "neither",
        }
    }

    /// Returns the value with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::ByKey, Self::ByCheck, Self::No].into_iter().find(|one| one.name() == name)
    }
}

/// What a new owner of a turn does with one of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Call it, or call it again: it is a read, or a write that its key or a check keeps from happening twice.
    Call,
    /// Stop: record the outcome as unknown, tell the user, ask a person.
    Stop,
    /// Leave it: its outcome is recorded. An undo that has begun is found by [`crate::saga::next`].
    Leave,
}

/// Returns what to do with a step that is found after a crash (ARCHITECTURE, section 7).
#[must_use]
pub const fn after_crash(state: StepState, effect: Effect, repeatable: Repeatable) -> Recovery {
    match (state, effect, repeatable) {
        (StepState::Waiting, _, _)
        | (StepState::Started, Effect::Read, _)
        | (StepState::Started, _, Repeatable::ByKey | Repeatable::ByCheck) => Recovery::Call,
        (StepState::Started, _, Repeatable::No) | (StepState::Unknown, _, _) => Recovery::Stop,
        (StepState::Done | StepState::Failed | StepState::Refused, _, _)
        | (StepState::Compensating | StepState::Compensated, _, _) => Recovery::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_was_sent_is_called_again_only_if_the_provider_makes_that_harmless() {
        use Repeatable::{ByCheck, ByKey, No};
        for effect in [Effect::Write, Effect::Destructive] {
            let sent = |repeatable| after_crash(StepState::Started, effect, repeatable);
            assert_eq!([ByKey, ByCheck, No].map(sent), [Recovery::Call, Recovery::Call, Recovery::Stop]);
            for state in StepState::ALL.into_iter().filter(|state| *state != StepState::Waiting) {
                let recovery = after_crash(state, effect, No);
                assert_ne!(recovery, Recovery::Call, "{state:?} {effect:?} would be done twice");
            }
        }
        assert_eq!(after_crash(StepState::Started, Effect::Read, No), Recovery::Call);
        assert_eq!(after_crash(StepState::Waiting, Effect::Write, No), Recovery::Call, "it was not sent");
        assert_eq!(after_crash(StepState::Unknown, Effect::Read, ByKey), Recovery::Stop);
        for settled in [StepState::Done, StepState::Failed, StepState::Refused, StepState::Compensating] {
            assert_eq!(after_crash(settled, Effect::Write, ByKey), Recovery::Leave, "{settled:?}");
        }
    }

    #[test]
    fn a_step_never_leaves_a_final_state() {
        for end in [StepState::Failed, StepState::Refused, StepState::Compensated] {
            assert!(StepState::ALL.iter().all(|next| !end.may_become(*next)), "{end:?} goes on");
        }
        assert!(!StepState::Done.may_become(StepState::Started), "a done step would run again");
    }

    #[test]
    fn names_read_back() {
        assert!(StepState::ALL.iter().all(|state| StepState::parse(state.name()) == Some(*state)));
        assert_eq!(TurnState::parse("unwound"), Some(TurnState::Unwound));
    }

    /// A provider that is called, and a process that may die at any moment, any number of times.
    #[derive(Debug, Default)]
    struct World {
        /// Effects that happened, after the provider has matched keys.
        effects: u32,
        state: Option<StepState>,
    }

    impl World {
        /// Calls the provider. A second call under one key has no further effect.
        fn call(&mut self, repeatable: Repeatable) {
            match repeatable {
                Repeatable::ByKey => self.effects = self.effects.max(1),
                Repeatable::ByCheck | Repeatable::No => self.effects += 1,
            }
        }

        fn go(&mut self, next: StepState) {
            assert!(self.state.is_none_or(|now| now.may_become(next)), "{:?} to {next:?}", self.state);
            self.state = Some(next);
        }

        /// Runs one process by the table until it dies (`lives` runs out) or the step has ended.
        fn run(&mut self, repeatable: Repeatable, lives: u8) {
            let mut moments = 0..lives;
            let mut dies = || moments.next().is_none();
            let sent = self.state == Some(StepState::Started);
            let recovery = match self.state {
                None => Recovery::Call,
                Some(state) => after_crash(state, Effect::Write, repeatable),
            };
            match recovery {
                Recovery::Call if sent && repeatable == Repeatable::ByCheck => {
                    if !dies() {
                        self.go(if self.effects > 0 { StepState::Done } else { StepState::Failed });
                    }
                }
                Recovery::Call => {
                    if !sent {
                        if dies() {
                            return;
                        }
                        self.go(StepState::Started);
                    }
                    if dies() {
                        return;
                    }
                    self.call(repeatable);
                    if !dies() {
                        self.go(StepState::Done);
                    }
                }
                Recovery::Stop if sent && !dies() => self.go(StepState::Unknown),
                Recovery::Stop | Recovery::Leave => {}
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn however_often_the_process_dies_a_write_happens_at_most_once_and_its_end_is_told_truly(
            lives in proptest::collection::vec(0_u8..4, 0..12),
            repeatable in proptest::sample::select(vec![Repeatable::ByKey, Repeatable::ByCheck, Repeatable::No]),
        ) {
            let mut world = World::default();
            for lives in lives.into_iter().chain([9]) {
                world.run(repeatable, lives);
                proptest::prop_assert!(world.effects <= 1, "done {} times", world.effects);
            }
            match world.state {
                Some(StepState::Done) => proptest::prop_assert_eq!(world.effects, 1),
                Some(StepState::Failed) => proptest::prop_assert_eq!(world.effects, 0),
                Some(StepState::Unknown) => proptest::prop_assert_eq!(repeatable, Repeatable::No),
                other => proptest::prop_assert!(false, "it never ended: {:?}", other),
            }
        }
    }
}

//! Limits of a turn, and what it has used of them.

use std::collections::BTreeSet;

use cardea_core::{
    Code, Error,
    agent::Agent,
    message::Usage,
    time::{Millis, Timestamp},
};
use cardea_store::{InOrder, RowError, Value, args};

use super::Turn;

/// An agent's limits for one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Model calls after the first.
    pub reflections: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// Cost in millionths of a US dollar.
    pub cost_micros: u64,
    /// Tokens, read and written.
    pub tokens: u64,
    /// Duration of one tool call.
    pub call: Millis,
    /// Duration from the first row to the last.
    pub time: Millis,
}

impl Limits {
    /// No allowance at all: for a turn that is taken over only to be closed.
    pub const NONE: Self =
        Self { reflections: 0, tool_calls: 0, cost_micros: 0, tokens: 0, call: Millis(0), time: Millis(0) };

    /// Returns the limits of an agent's file.
    #[must_use]
    pub fn of(agent: &Agent) -> Self {
        Self {
            reflections: agent.spec.limits.reflections,
            tool_calls: agent.spec.limits.tool_calls,
            cost_micros: agent.spec.limits.micros().unwrap_or(u64::MAX),
            tokens: agent.spec.limits.tokens.unwrap_or(u64::MAX),
            call: agent.spec.limits.tool_timeout,
            time: agent.spec.limits.time,
        }
    }
}

/// What a turn has used.
#[derive(Debug, Default)]
pub(super) struct Spending {
    pub(super) model_calls: u32,
    /// Models called since the turn was begun or resumed; entries of the audit log name them.
    pub(super) models: BTreeSet<String>,
    pub(super) usage: Usage,
    pub(super) cost_micros: u64,
    /// Tokens and cost that a budget has already paid, before a suspension.
    pub(super) paid: (u64, u64),
}

/// Columns of the turn's row that hold a [`Spending`]. [`Spending::values`] are the first values of a statement.
macro_rules! spent {
    (columns) => {
        "reflections, input_tokens, cached_tokens, output_tokens, cost_micros"
    };
    (values) => {
        "$1, $2, $3, $4, $5"
    };
    (set) => {
        "reflections = $1, input_tokens = $2, cached_tokens = $3, output_tokens = $4, cost_micros = $5"
    };
}
pub(super) use spent;

impl Spending {
    /// Returns the values of those columns.
    pub(super) fn values(&self) -> Vec<Value> {
        let Usage { input, cached_input, output } = self.usage;
        args![self.model_calls, input, cached_input, output, self.cost_micros]
    }

    /// Reads those columns, and the paid amounts after them.
    pub(super) fn read(row: &mut InOrder<'_>) -> Result<Self, RowError> {
        Ok(Self {
            model_calls: row.take()?,
            models: BTreeSet::new(),
            usage: Usage { input: row.take()?, cached_input: row.take()?, output: row.take()? },
            cost_micros: row.take()?,
            paid: (row.take()?, row.take()?),
        })
    }
}

impl Turn {
    /// Returns the tokens used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.spending.usage
    }

    /// Returns the cost so far, in millionths.
    #[must_use]
    pub fn cost_micros(&self) -> u64 {
        self.spending.cost_micros
    }

    /// Returns tokens and cost that no budget has paid yet.
    #[must_use]
    pub fn unpaid(&self) -> (u64, u64) {
        let (tokens, micros) = self.spending.paid;
        (self.spending.usage.total().saturating_sub(tokens), self.spending.cost_micros.saturating_sub(micros))
    }

    /// Adds the usage of one call of this model.
    pub fn charge(&mut self, model: &str, usage: Usage, cost_micros: u64) {
        self.spending.models.insert(model.to_owned());
        self.spending.model_calls = self.spending.model_calls.saturating_add(1);
        self.spending.usage = self.spending.usage.plus(usage);
        self.spending.cost_micros = self.spending.cost_micros.saturating_add(cost_micros);
    }

    /// Returns how long the turn may still work.
    #[must_use]
    pub fn time_left(&self, now: Timestamp) -> Millis {
        self.deadline.since(now)
    }

    /// Refuses another model call once a limit is reached. Each limit has an error of its own.
    ///
    /// # Errors
    /// `reflections_spent`, `time_spent`, `tokens_spent` or `money_spent`.
    pub fn within_limits(&self, now: Timestamp) -> Result<(), Error> {
        if self.spending.model_calls > self.asked.limits.reflections {
            let most = self.asked.limits.reflections.saturating_add(1);
            return Err(
                Error::new(Code::ReflectionsSpent).detail(format!("The limit is {most} model calls."))
            );
        }
        self.has_time(now)?;
        if self.spending.usage.total() >= self.asked.limits.tokens {
            return Err(self.tokens_spent());
        }
        if self.spending.cost_micros > self.asked.limits.cost_micros {
            return Err(self.money_spent());
        }
        Ok(())
    }

    /// Refuses the result of a model call that exceeded a limit.
    ///
    /// # Errors
    /// `tokens_spent` or `money_spent`.
    pub fn has_paid(&self) -> Result<(), Error> {
        if self.spending.usage.total() > self.asked.limits.tokens {
            return Err(self.tokens_spent());
        }
        if self.spending.cost_micros > self.asked.limits.cost_micros {
            return Err(self.money_spent());
        }
        Ok(())
    }

    /// Refuses to begin anything once the turn's time is over.
    ///
    /// # Errors
    /// `time_spent`.
    pub fn has_time(&self, now: Timestamp) -> Result<(), Error> {
        if now >= self.deadline {
            return Err(
                Error::new(Code::TimeSpent).detail(format!("The limit is {}.", self.asked.limits.time))
            );
        }
        Ok(())
    }

    /// Returns how many tokens the next model call may write, if it reads `reads`. `None` without a limit.
    ///
    /// # Errors
    /// `tokens_spent` if there is no room for an answer.
    pub fn tokens_left(&self, reads: u64) -> Result<Option<u32>, Error> {
        if self.asked.limits.tokens == u64::MAX {
            return Ok(None);
        }
        match self.asked.limits.tokens.saturating_sub(self.spending.usage.total()).saturating_sub(reads) {
            0 => Err(self.tokens_spent()),
            left => Ok(Some(u32::try_from(left).unwrap_or(u32::MAX))),
        }
    }

    /// Returns the error of a turn that has used all its tokens.
    #[must_use]
    pub fn tokens_spent(&self) -> Error {
        let (most, used) = (self.asked.limits.tokens, self.spending.usage.total());
        let detail = format!("The limit is {most} tokens per turn, and {used} are used.");
        Error::new(Code::TokensSpent).detail(detail)
    }

    /// Returns how many millionths the next model call may cost; `u64::MAX` without a limit.
    #[must_use]
    pub fn micros_left(&self) -> u64 {
        match self.asked.limits.cost_micros {
            u64::MAX => u64::MAX,
            most => most.saturating_sub(self.spending.cost_micros),
        }
    }

    /// Returns the error of a turn whose money does not cover its next model call, or not to its end.
    #[must_use]
    pub fn money_spent(&self) -> Error {
        let (most, used) =
            (self.asked.limits.cost_micros as f64 / 1e6, self.spending.cost_micros as f64 / 1e6);
        let detail = format!("The limit is {most:.4} USD per turn, and {used:.4} are used.");
        Error::new(Code::MoneySpent).detail(detail)
    }

    /// Returns how long the next tool call may take, and which limit that is.
    #[must_use]
    pub fn call_time(&self, now: Timestamp) -> (Millis, &'static str) {
        let (left, own) = (self.time_left(now), self.asked.limits.call);
        if left < own {
            (left, "all that was left of the turn's time (`limits.time` of the agent)")
        } else {
            (own, "the longest that one tool call may take (`limits.tool_timeout` of the agent)")
        }
    }

    /// Returns the time limit of one tool call, whatever is left of the turn's time.
    #[must_use]
    pub fn call_limit(&self) -> Millis {
        self.asked.limits.call
    }

    /// Refuses another tool call once the turn has made all that it may.
    ///
    /// # Errors
    /// `steps_spent`.
    pub fn another_call(&self) -> Result<(), Error> {
        // An open step is the call that is about to continue, not a further one.
        let made = self.steps.iter().filter(|step| !step.is_open()).count();
        let made = u32::try_from(made).unwrap_or(u32::MAX);
        if made >= self.asked.limits.tool_calls {
            let most = self.asked.limits.tool_calls;
            return Err(
                Error::new(Code::StepsSpent).detail(format!("The limit is {most} tool calls per turn."))
            );
        }
        Ok(())
    }
}

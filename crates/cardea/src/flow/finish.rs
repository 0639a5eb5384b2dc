//! Closes a turn or puts it to sleep: bills its budget, writes its last rows and completes its event. There is no other
//! way.

use cardea_core::Result;

use super::tool_call::Waiting;
use crate::{
    app::App,
    control::{Admission, Estimate},
    turn::{Ending, Receipt, Turn},
};

/// How a turn is left.
#[derive(Debug)]
pub(super) enum End {
    /// It has ended.
    Over(Ending),
    /// It waits until a person decides.
    Waiting(Box<Waiting>),
}

impl From<Ending> for End {
    fn from(ending: Ending) -> Self {
        Self::Over(ending)
    }
}

/// Closes a turn, or puts it to sleep. What was used is billed, and what was reserved for it is released.
///
/// # Errors
/// `taken_over` if another node owns the turn; store errors. The turn is open then.
pub(super) async fn finish(
    app: &App,
    mut turn: Turn,
    admitted: Admission,
    end: impl Into<End>,
) -> Result<Receipt> {
    let trace = turn.trace().clone();
    let closing = trace.stage("close");
    let (tokens, cost_micros) = turn.unpaid();
    turn.note(app.control.bill(&admitted, Estimate { tokens, cost_micros })); // the budget pays for what was used
    let (owner, talk, placeholders) = (turn.principal(), turn.conversation(), turn.placeholders());
    let mut kept = app.context.keep_placeholders(owner, talk, placeholders).await;
    // WHY also after a failure: a turn that was stopped with its conversation may be ended by another process, which has
    // not loaded the placeholders.
    if placeholders.any() || turn.failure().is_some() {
        kept = kept.and(app.context.forget_if_deleted(owner, talk));
    }
    turn.note(kept);
    let receipt = match end.into() {
        End::Waiting(waiting) => app.turns.sleep(turn, waiting.start(), waiting.approval).await?,
        End::Over(ending) => app.turns.close(turn, ending).await?, // message, cost, audit: one commit
    };
    drop(closing);
    app.control.paid(admitted);
    trace.note(|event| event.answered(&receipt));
    Ok(receipt)
}

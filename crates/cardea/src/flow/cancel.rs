//! Cancels a turn at the request of the user who started it.

use cardea_core::{Result, id::TurnId};

use super::{Request, resume_one};
use crate::{
    app::App,
    turn::{Cancelled, Found, Free},
};

/// Stops a turn of the caller and returns its status.
///
/// A turn that waits for a person ends now. A running turn has its model interrupted and ends before its next step. A
/// turn that has already ended stays as it is.
///
/// # Errors
/// `not_found`, or a store error.
pub async fn cancel(app: &App, request: &Request, turn: TurnId) -> Result<Found> {
    let caller = &request.caller;
    if let Cancelled::Now(free) = app.turns.cancel(caller, turn, request.id()).await? {
        end_now(app, vec![free]).await;
    }
    app.turns.find(caller, turn).await
}

/// Ends stopped turns that were waiting for a person.
pub(super) async fn end_now(app: &App, waiting: Vec<Free>) {
    for free in waiting {
        // WHY: only logged, because the turn is already marked as stopped and is soon taken up again.
        if let Err(error) = resume_one(app, &free).await {
            tracing::warn!(turn.id = %free.id, error.code = error.code().name(), cause = error.cause_line(), "not stopped yet");
        }
    }
}

//! A turn is stopped by who asked for it.

use cardea_core::{Result, id::TurnId};

use super::{Request, resume_one};
use crate::{
    app::App,
    turn::{Cancelled, Found, Free},
};

/// Stops a turn of the caller, and tells where it stands: one that waits for a person has ended, one that runs ends
/// before its next step, its model interrupted, and one that has ended stays as it is.
///
/// # Errors
/// `not_found`, or what the store says.
pub async fn cancel(app: &App, request: &Request, turn: TurnId) -> Result<Found> {
    let caller = &request.caller;
    if let Cancelled::Now(free) = app.turns.cancel(caller, turn, request.id()).await? {
        end_now(app, vec![free]).await;
    }
    app.turns.find(caller, turn).await
}

/// Ends turns that wait for a person and are stopped.
pub(super) async fn end_now(app: &App, waiting: Vec<Free>) {
    for free in waiting {
        // WHY: what goes wrong here does so at a turn that is stopped; it is taken up again in a moment.
        if let Err(error) = resume_one(app, &free).await {
            tracing::warn!(turn.id = %free.id, error.code = error.code().name(), cause = error.cause_line(), "not stopped yet");
        }
    }
}

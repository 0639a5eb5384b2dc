//! Deletes a conversation and ends the turns that are still open in it.

use cardea_core::{Result, id::ConversationId};

use super::{Request, cancel::end_now};
use crate::{app::App, turn::Whose};

/// Deletes a conversation of the caller.
///
/// A turn that waits for a person ends with it. A running turn is stopped as if cancelled: its effects are compensated
/// where that is possible, and its text is removed when it ends.
///
/// # Errors
/// `not_found`, or a store error.
pub async fn delete(app: &App, request: &Request, id: ConversationId) -> Result<()> {
    let talk = app.context.conversation(&request.caller, id).await?; // yours, or not found
    let whose = Whose::Talk(id);
    app.context.delete(talk, app.turns.stopping(whose)?, request.id()).await?;
    match app.turns.stopped(whose).await {
        Ok(waiting) if waiting.is_empty() => {}
        Ok(waiting) => {
            end_now(app, waiting).await;
            app.context.wipe().await;
        }
        // WHY: only logged, because the deletion is durable and its turns are marked as stopped, so they end soon.
        Err(error) => {
            tracing::warn!(error.code = error.code().name(), cause = error.cause_line(), "not stopped yet");
        }
    }
    Ok(())
}

//! A conversation is deleted, and what is still done in it ends.

use cardea_core::{Result, id::ConversationId};

use super::{Request, cancel::end_now};
use crate::{app::App, turn::Whose};

/// Deletes a conversation of the caller. A turn that waits for a person has ended with it, one that runs is stopped like
/// a cancelled one: what it has done is taken back where that is possible, and its words go with its end.
///
/// # Errors
/// `not_found`, or what the store says.
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
        // WHY: it is deleted, and the wish stands in the rows of its turns: they end by themselves in a moment.
        Err(error) => {
            tracing::warn!(error.code = error.code().name(), cause = error.cause_line(), "not stopped yet");
        }
    }
    Ok(())
}

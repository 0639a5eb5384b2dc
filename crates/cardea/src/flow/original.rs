//! Returns the messages of a conversation, with the values behind its placeholders if policy lets their owner read
//! them.

use cardea_core::{Result, id::ConversationId};

use super::Request;
use crate::{app::App, context::Said};

/// Which part of a conversation to return, and how.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Only messages with a greater number.
    pub after: i64,
    /// At most this many messages.
    pub most: u32,
    /// With the values behind placeholders, as far as policy and the agent's file allow.
    pub originals: bool,
}

/// Returns messages of one of the caller's own conversations.
///
/// # Errors
/// `not_found` for a conversation of another user; `rate_limited`; `denied` if policy lets the caller read none of its
/// original values; errors of the store and the vault.
pub async fn messages(app: &App, request: &Request, id: ConversationId, part: Part) -> Result<Vec<Said>> {
    let caller = &request.caller;
    let talk = app.context.conversation(caller, id).await?; // yours, or not found
    let said = app.context.messages(&talk, part.after, part.most).await?;
    if !part.originals {
        return Ok(said);
    }
    let Ok(agent) = app.find_agent(&talk.agent) else { return Ok(said) };
    if agent.spec.restore.is_empty() {
        return Ok(said); // the agent's file allows no restoring
    }
    app.control.count(caller).await?; // rate: each read is logged
    let (allowed, rows) = app.control.may_restore(caller, &agent, request.id()); // policy
    match allowed {
        Ok(labels) => app.context.with_originals(&talk, said, &labels, rows).await,
        Err(refused) => {
            app.db.commit(rows).await?; // a refusal is logged as well
            Err(refused)
        }
    }
}

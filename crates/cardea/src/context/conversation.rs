//! Conversations: rows with one owner, and messages that are only ever appended.

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    agent::MemoryWindow,
    id::{AgentName, ConversationId, MessageId, RequestId, TurnId},
    message::{Finish, Message},
    page::{Limit, Page, Place},
    principal::Principal,
    time::Timestamp,
};
use cardea_store::{Commit, CommitError, args};
use serde::{Deserialize, Serialize};

use super::{Context, Owned};
use crate::control::Screened;

/// A conversation that its owner may see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// The agent it is held with.
    pub agent: AgentName,
    /// Title: its first words, screened.
    pub title: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When the last message was written.
    pub updated_at: Timestamp,
    /// False if it is known to have no placeholders.
    #[serde(skip)]
    pub(super) has_placeholders: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// Number from 1, without gaps.
    pub seq: i64,
    /// Its id.
    pub id: MessageId,
    /// The turn it belongs to.
    pub turn: TurnId,
    /// The message, with its author.
    pub message: Message,
    /// Remarks on an answer that is not a normal one.
    #[serde(flatten)]
    pub told: Told,
    /// When it was written.
    pub at: Timestamp,
}

/// Remarks on an answer that is not a normal one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Code of the error that the text reports. The words are then Cardea's, not the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Reason why the model stopped, if it was not done or wrote nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
}

/// A message as kept in its row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The message, with its author.
    #[serde(flatten)]
    pub message: Message,
    /// Remarks on an answer that is not a normal one.
    #[serde(flatten)]
    pub told: Told,
}

impl Kept {
    /// Returns the message as a model is shown it. Text that the model has not written becomes a note, so that the
    /// model neither takes Cardea's words for its own nor the question for an open one.
    fn shown(self) -> Message {
        let note = |text: String| Message::Assistant { text, calls: Vec::new(), thoughts: None };
        match (self.message, self.told) {
            (Message::Assistant { text, .. }, Told { error: Some(code), .. }) => {
                note(format!("[Note: there is no answer to this. It ended with `{code}`: {text}]"))
            }
            (Message::Assistant { text, calls, .. }, Told { finish, .. })
                if text.trim().is_empty() && calls.is_empty() =>
            {
                let why = finish.unwrap_or(Finish::Stop).name();
                note(format!("[Note: there is no answer to this. The model said nothing ({why}).]"))
            }
            (message, _) => message,
        }
    }
}

/// Length limit of a title in characters.
const TITLE: usize = 80;

/// Returns the name of the secret that holds the placeholders of a conversation.
pub(super) fn secret_of(conversation: ConversationId) -> String {
    format!("placeholders/{conversation}")
}

type Row = (ConversationId, AgentName, String, Timestamp, Timestamp);

fn read((id, agent, title, created_at, updated_at): Row) -> Conversation {
    Conversation { id, agent, title, created_at, updated_at, has_placeholders: true }
}

impl Context {
    /// Returns the caller's conversation with this id, if an id is given. It must be held with this agent.
    ///
    /// A conversation of another user is as unknown as one that never existed.
    ///
    /// # Errors
    /// `not_found`, `bad_request` if it is held with another agent, or a store error.
    pub async fn find(
        &self,
        caller: &Caller,
        agent: &AgentName,
        named: Option<ConversationId>,
    ) -> Result<Option<Owned<Conversation>>> {
        let Some(id) = named else { return Ok(None) };
        let talk = self.conversation(caller, id).await?;
        if talk.agent == *agent {
            return Ok(Some(talk));
        }
        let detail = format!("The conversation is held with the agent `{}`.", talk.agent);
        Err(Error::new(Code::BadRequest).detail(detail))
    }

    /// Creates a conversation. Its row belongs in the commit of the first question, so that no conversation is without
    /// a question.
    pub fn create(
        &self,
        rows: &mut Commit,
        caller: &Caller,
        agent: &AgentName,
        first_words: &Screened<String>,
    ) -> Owned<Conversation> {
        let now = self.inner.clock.now();
        let talk = Conversation {
            id: ConversationId::timed(now),
            agent: agent.clone(),
            title: first_words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TITLE).collect(),
            created_at: now,
            updated_at: now,
            has_placeholders: false,
        };
        *rows = std::mem::take(rows).run(
            "INSERT INTO conversations (id, tenant, owner, user_id, agent, title, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            args![talk.id, &caller.tenant, caller.key(), &caller.user, &talk.agent, &talk.title, now],
        );
        Owned::new(talk, caller)
    }

    /// Returns the caller's conversation with this id.
    ///
    /// # Errors
    /// `not_found`, or a store error.
    pub async fn conversation(&self, caller: &Caller, id: ConversationId) -> Result<Owned<Conversation>> {
        // The secret is looked up in the same query: most conversations have none.
        let sql = "SELECT id, agent, title, created_at, updated_at, \
                   (SELECT CAST(COUNT(*) AS BIGINT) FROM secrets WHERE tenant = $3 AND name = $4) \
                   FROM conversations WHERE id = $1 AND owner = $2 AND tenant = $3 AND deleted_at IS NULL";
        let args = args![id, caller.key(), &caller.tenant, secret_of(id)];
        let found: Option<(ConversationId, AgentName, String, Timestamp, Timestamp, i64)> =
            self.inner.db.row(sql, args).await?;
        let Some((id, agent, title, created_at, updated_at, secrets)) = found else {
            return Err(Error::new(Code::NotFound));
        };
        let talk = Conversation { id, agent, title, created_at, updated_at, has_placeholders: secrets > 0 };
        Ok(Owned::new(talk, caller))
    }

    /// Returns the caller's conversations, newest first.
    ///
    /// # Errors
    /// Store errors.
    pub async fn conversations(
        &self,
        caller: &Caller,
        after: &Place,
        limit: Limit,
    ) -> Result<Page<Conversation>> {
        let sql = "SELECT id, agent, title, created_at, updated_at FROM conversations \
                   WHERE owner = $1 AND tenant = $2 AND deleted_at IS NULL \
                   AND (updated_at < $3 OR (updated_at = $3 AND id < $4)) \
                   ORDER BY updated_at DESC, id DESC LIMIT $5";
        let args = args![caller.key(), &caller.tenant, after.at, &after.id, limit.get() + 1];
        let rows: Vec<Row> = self.inner.db.rows(sql, args).await?;
        let place = |talk: &Conversation| Place { at: talk.updated_at, id: talk.id.to_string() };
        Ok(Page::of(rows.into_iter().map(read).collect(), limit, place))
    }

    /// Returns the messages after number `after`.
    ///
    /// # Errors
    /// Store errors.
    pub async fn messages(&self, talk: &Owned<Conversation>, after: i64, most: u32) -> Result<Vec<Said>> {
        let sql = "SELECT seq, id, turn, body, at FROM messages \
                   WHERE conversation = $1 AND tenant = $2 AND seq > $3 ORDER BY seq LIMIT $4";
        let rows: Vec<(i64, MessageId, TurnId, String, Timestamp)> =
            self.inner.db.rows(sql, args![talk.id, &talk.owner().tenant, after, most]).await?;
        rows.into_iter().map(|row| said(talk.id, row)).collect()
    }

    /// Returns the last messages before this turn that fit the agent's window, oldest first.
    ///
    /// The window is limited by count and by tokens, so a turn costs the same after ten messages and after ten
    /// thousand.
    ///
    /// # Errors
    /// Store errors.
    pub async fn history(
        &self,
        owner: &Principal,
        id: ConversationId,
        turn: TurnId,
        window: &MemoryWindow,
    ) -> Result<Vec<Message>> {
        let sql = "SELECT seq, body FROM messages WHERE conversation = $1 AND tenant = $2 AND turn <> $3 \
                   ORDER BY seq DESC LIMIT $4";
        let rows: Vec<(i64, String)> =
            self.inner.db.rows(sql, args![id, &owner.tenant, turn, window.messages]).await?;
        let mut left = u64::from(window.tokens);
        let mut kept = Vec::new();
        for (seq, body) in rows {
            let cost = cardea_core::message::estimate_tokens(&body);
            if cost > left {
                break;
            }
            left -= cost;
            kept.push(read_message(id, seq, &body)?.shown());
        }
        // A window that begins with an answer would show the model a reply to nothing.
        kept.reverse();
        let first_question = kept.iter().position(|message| matches!(message, Message::User { .. }));
        kept.drain(..first_question.unwrap_or(kept.len()));
        Ok(kept)
    }

    /// Deletes the conversation and its texts, together with rows of another room that stop its open turn. Of that
    /// turn only what is needed to undo its steps stays, until the turn ends. The audit log keeps that it existed, not
    /// what was said.
    ///
    /// # Errors
    /// `not_found`, or a store error.
    pub async fn delete(
        &self,
        talk: Owned<Conversation>,
        stopping: Commit,
        request: RequestId,
    ) -> Result<()> {
        let (id, owner) = (talk.id, talk.owner().clone());
        let mut commit = Commit::new()
            // WHY first: the owner of a turn writes its row before its steps.
            .run(
                "UPDATE turns SET prompt = '', receipt = NULL, failure = CASE WHEN ended_at IS NULL THEN failure END \
                 WHERE conversation = $1",
                args![id],
            )
            .guard(
                "conversation",
                "UPDATE conversations SET deleted_at = $3, title = '' \
                 WHERE id = $1 AND owner = $2 AND deleted_at IS NULL",
                args![id, owner.key(), self.inner.clock.now()],
            )
            .run("DELETE FROM messages WHERE conversation = $1", args![id])
            .run(
                "DELETE FROM events WHERE turn IN (SELECT id FROM turns WHERE conversation = $1)",
                args![id],
            )
            .run(
                "UPDATE steps SET args = '{}', outcome = NULL, said = NULL, thoughts = NULL WHERE turn IN \
                 (SELECT id FROM turns WHERE conversation = $1)",
                args![id],
            )
            .run(
                "UPDATE steps SET undo = NULL WHERE turn IN \
                 (SELECT id FROM turns WHERE conversation = $1 AND ended_at IS NOT NULL)",
                args![id],
            )
            .run(
                "UPDATE approvals SET state = CASE WHEN state = 'open' THEN 'expired' ELSE state END, args = '{}', \
                 reason = '', comment = NULL WHERE turn IN (SELECT id FROM turns WHERE conversation = $1)",
                args![id],
            );
        commit = commit.and(self.forget_placeholders(&owner.tenant, id)).and(stopping);
        let detail = serde_json::json!({ "conversation": id });
        let entry = super::entry(&owner, "conversation.deleted", Some(request), detail);
        self.inner.observe.audit(&mut commit, entry);
        match self.inner.db.commit(commit).await {
            Err(CommitError::Conflict(_)) => Err(Error::new(Code::NotFound)),
            other => {
                other?;
                self.inner.cache.forget_talk(&owner.tenant, id).await;
                self.wipe().await;
                Ok(())
            }
        }
    }
}

fn said(conversation: ConversationId, row: (i64, MessageId, TurnId, String, Timestamp)) -> Result<Said> {
    let (seq, id, turn, body, at) = row;
    let Kept { message, told } = read_message(conversation, seq, &body)?;
    Ok(Said { seq, id, turn, message, told, at })
}

fn read_message(conversation: ConversationId, seq: i64, body: &str) -> Result<Kept> {
    serde_json::from_str(body).map_err(|error| {
        Error::new(Code::Internal).because(format!("message {seq} of {conversation} cannot be read: {error}"))
    })
}

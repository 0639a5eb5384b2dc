//! Conversations: one owner, written with the row itself, and messages that are only ever added.

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
    /// The first words of it, screened.
    pub title: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When something was last said.
    pub updated_at: Timestamp,
    /// False if nothing stands behind placeholders in it, as far as was looked.
    #[serde(skip)]
    pub(super) has_placeholders: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// From 1, without gaps.
    pub seq: i64,
    /// Its id.
    pub id: MessageId,
    /// The turn in which it was said.
    pub turn: TurnId,
    /// Who said what.
    pub message: Message,
    /// What it is beside an answer in good order.
    #[serde(flatten)]
    pub told: Told,
    /// When.
    pub at: Timestamp,
}

/// What an answer is beside one in good order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The code of the error that it tells of: these are words of Cardea, and not of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why the model stopped, if it was not done or said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
}

/// A message as its row keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Who said what.
    #[serde(flatten)]
    pub message: Message,
    /// What it is beside an answer in good order.
    #[serde(flatten)]
    pub told: Told,
}

impl Kept {
    /// The message as a model is shown it: what it has not said stands there as a note, so that it takes neither our words
    /// for its own nor the question for an open one.
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

/// Letters of a title.
const TITLE: usize = 80;

/// The name of the secret that holds the placeholders of a conversation.
pub(super) fn secret_of(conversation: ConversationId) -> String {
    format!("placeholders/{conversation}")
}

type Row = (ConversationId, AgentName, String, Timestamp, Timestamp);

fn read((id, agent, title, created_at, updated_at): Row) -> Conversation {
    Conversation { id, agent, title, created_at, updated_at, has_placeholders: true }
}

impl Context {
    /// The caller's conversation with this id, if one is named. It must be held with this agent.
    ///
    /// Somebody else's conversation is as unknown as one that never was.
    ///
    /// # Errors
    /// `not_found`, `bad_request` if it is held with another agent, or what the store says.
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

    /// A new conversation. Its row belongs into the commit of the first question, so that there is no conversation in
    /// which nothing was asked.
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

    /// The caller's conversation with this id.
    ///
    /// # Errors
    /// `not_found`, or what the store says.
    pub async fn conversation(&self, caller: &Caller, id: ConversationId) -> Result<Owned<Conversation>> {
        // The secret is looked for in the same read: most conversations have none.
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

    /// The caller's conversations, the newest first.
    ///
    /// # Errors
    /// What the store says.
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

    /// What was said, from number `after` on.
    ///
    /// # Errors
    /// What the store says.
    pub async fn messages(&self, talk: &Owned<Conversation>, after: i64, most: u32) -> Result<Vec<Said>> {
        let sql = "SELECT seq, id, turn, body, at FROM messages \
                   WHERE conversation = $1 AND tenant = $2 AND seq > $3 ORDER BY seq LIMIT $4";
        let rows: Vec<(i64, MessageId, TurnId, String, Timestamp)> =
            self.inner.db.rows(sql, args![talk.id, &talk.owner().tenant, after, most]).await?;
        rows.into_iter().map(|row| said(talk.id, row)).collect()
    }

    /// The last messages before this turn, as many as the agent's window holds, the oldest first.
    ///
    /// The window is cut by count and by tokens, so a turn costs the same after ten messages and after ten thousand.
    ///
    /// # Errors
    /// What the store says.
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

    /// Deletes the conversation and what was said in it, together with rows of another room that stop what is done in it.
    /// Of a turn that is open nothing stays but what takes back what it has done; that goes with its end. The audit log keeps
    /// that it was, not what it said.
    ///
    /// # Errors
    /// `not_found`, or what the store says.
    pub async fn delete(
        &self,
        talk: Owned<Conversation>,
        stopping: Commit,
        request: RequestId,
    ) -> Result<()> {
        let (id, owner) = (talk.id, talk.owner().clone());
        let mut commit = Commit::new()
            // WHY first: whoever has a turn in hand writes its row before its steps.
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

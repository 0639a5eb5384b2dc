//! The values behind the placeholders of a conversation: sealed with it, and shown to its owner only.

use cardea_core::{
    Result,
    id::{ConversationId, TenantId},
    message::Message,
    principal::Principal,
};
use cardea_store::{Commit, args};
use serde_json::json;

use super::{Context, Conversation, Owned, Said, conversation::secret_of};
use crate::{control::Placeholders, vault::Destroyed};

impl Context {
    /// Returns the placeholders of a conversation, empty if it has none yet.
    ///
    /// # Errors
    /// Vault errors.
    pub async fn placeholders(&self, talk: Option<&Owned<Conversation>>) -> Result<Placeholders> {
        match talk {
            Some(talk) if talk.has_placeholders => self.placeholders_of(talk.owner(), Some(talk.id)).await,
            _ => Ok(Placeholders::default()),
        }
    }

    /// Does the same for a turn that is resumed: its row names the owner and the conversation.
    ///
    /// # Errors
    /// Vault errors.
    pub async fn placeholders_of(
        &self,
        owner: &Principal,
        conversation: Option<ConversationId>,
    ) -> Result<Placeholders> {
        let Some(id) = conversation else { return Ok(Placeholders::default()) };
        match self.inner.vault.open_kept(&owner.tenant, &secret_of(id)).await? {
            Some((kept, bytes)) => Placeholders::open(&bytes, kept),
            None => Ok(Placeholders::default()),
        }
    }

    /// Checks that everything sealed that a turn of this owner may need can be opened: the placeholders of its
    /// conversation, and the secrets of its owner.
    ///
    /// # Errors
    /// `store_unavailable` if the folder with the keys of people is unavailable; store errors.
    pub async fn opens_for(&self, owner: &Principal, conversation: Option<ConversationId>) -> Result<()> {
        let name = conversation.map(secret_of).unwrap_or_default();
        self.inner.vault.answers_for(owner, &name).await
    }

    /// Returns the rows that keep new placeholders, for the commit that writes the text containing them.
    ///
    /// WHY no error and no guard: a completed effect is recorded whether or not the placeholders can be kept. Only the
    /// owner of the conversation's turn writes there, and deleting the conversation destroys them.
    pub async fn keep_placeholders(
        &self,
        who: &Principal,
        conversation: Option<ConversationId>,
        placeholders: &Placeholders,
    ) -> Commit {
        self.keeping(who, conversation, placeholders, Destroyed::StaysSo).await.unwrap_or_else(|error| {
            tracing::warn!(
                error.code = error.code().name(),
                cause = error.cause_line(),
                "placeholders of a conversation are not kept"
            );
            Commit::new()
        })
    }

    async fn keeping(
        &self,
        who: &Principal,
        conversation: Option<ConversationId>,
        placeholders: &Placeholders,
        destroyed: Destroyed,
    ) -> Result<Commit> {
        let (Some(id), Some((bytes, before))) = (conversation, placeholders.unsaved()) else {
            return Ok(Commit::new());
        };
        let replaced = before.map(|kept| (kept, destroyed));
        let (rows, kept) = self.inner.vault.keeping(who, &secret_of(id), replaced, &bytes).await?;
        placeholders.saved(kept);
        Ok(rows)
    }

    /// Does the same for a new question, in the commit that occupies its conversation.
    ///
    /// INVARIANT: the question was screened with the placeholders that are kept. If the preceding turn has ended since
    /// they were read, and has added some, the commit is void and the question must be screened again.
    ///
    /// # Errors
    /// Vault errors.
    pub async fn placeholders_of_question(
        &self,
        who: &Principal,
        conversation: ConversationId,
        placeholders: &Placeholders,
    ) -> Result<Commit> {
        let sql = "SELECT id FROM conversations WHERE id = $1 AND \
                   COALESCE((SELECT version FROM secrets WHERE tenant = $2 AND name = $3), 0) = CAST($4 AS BIGINT)";
        let args = args![conversation, &who.tenant, secret_of(conversation), placeholders.version()];
        let unchanged = Commit::new().guard("placeholders", sql, args);
        Ok(unchanged.and(self.keeping(who, Some(conversation), placeholders, Destroyed::Void).await?))
    }

    /// Returns the rows that destroy the placeholders of a conversation that was deleted meanwhile, for the turn's last
    /// commit.
    pub fn forget_if_deleted(&self, owner: &Principal, conversation: Option<ConversationId>) -> Commit {
        let Some(id) = conversation else { return Commit::new() };
        let sql = "DELETE FROM secrets WHERE tenant = $1 AND name = $2 AND EXISTS \
                   (SELECT 1 FROM conversations WHERE id = $3 AND deleted_at IS NOT NULL)";
        Commit::new().run(sql, args![&owner.tenant, secret_of(id), id])
    }

    /// Returns the rows that destroy the placeholders, for the commit that deletes the conversation.
    pub(super) fn forget_placeholders(&self, tenant: &TenantId, conversation: ConversationId) -> Commit {
        self.inner.vault.forgetting(tenant, &secret_of(conversation))
    }

    /// Replaces placeholders of these labels in messages by their values, for the owner of the conversation. `rows`
    /// record why the values may be read; they and the audit entry are written before anything is returned.
    ///
    /// # Errors
    /// Errors of the vault and the store.
    pub async fn with_originals(
        &self,
        talk: &Owned<Conversation>,
        mut said: Vec<Said>,
        labels: &[String],
        mut rows: Commit,
    ) -> Result<Vec<Said>> {
        let detail = json!({ "conversation": talk.id, "labels": labels });
        self.inner.observe.audit(&mut rows, super::entry(talk.owner(), "originals.restored", None, detail));
        self.inner.db.commit(rows).await?;
        let placeholders = self.placeholders(Some(talk)).await?;
        for one in &mut said {
            if let Message::User { text } | Message::Assistant { text, .. } = &mut one.message {
                *text = placeholders.restore(text, labels);
            }
        }
        Ok(said)
    }
}

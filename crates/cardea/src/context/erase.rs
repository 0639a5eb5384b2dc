//! Everything that a person has said and asked, taken away.

use cardea_auth::Caller;
use cardea_core::{
    Result,
    id::{TenantId, TurnId, UserId},
};
use cardea_store::{Commit, args};
use serde_json::{Value, json};

use super::Context;

impl Context {
    /// Erases a user of the caller's tenant: destroys the user's key in the vault, so that nothing sealed for the user
    /// opens any more, in backups neither; and deletes conversations, questions, answers and what tools gave for them.
    /// Decisions and the audit log keep that something was done, not what was said. Doing it again is harmless.
    /// `stopping` are rows of another room that stop what is still done for them.
    ///
    /// # Errors
    /// What the vault and the store say. The audit log tells of the attempt before anything is destroyed.
    pub async fn erase(&self, by: &Caller, user: &UserId, stopping: Commit) -> Result<()> {
        let detail = || json!({ "user": user });
        let mut intent = Commit::new();
        self.inner.observe.audit(&mut intent, super::entry(by, "person.erasing", detail()));
        self.inner.db.commit(intent).await?;
        let tenant = &by.tenant;
        let whose = || args![tenant, user];
        let mut commit = self
            .inner
            .vault
            .destroy_person(tenant, user)?
            .run(
                "DELETE FROM secrets WHERE tenant = $1 AND name IN \
                 (SELECT 'placeholders/' || id FROM conversations WHERE tenant = $1 AND user_id = $2)",
                whose(),
            )
            .run(
                "DELETE FROM messages WHERE conversation IN \
                 (SELECT id FROM conversations WHERE tenant = $1 AND user_id = $2)",
                whose(),
            )
            .run(
                "UPDATE conversations SET title = '', deleted_at = COALESCE(deleted_at, $3) \
                 WHERE tenant = $1 AND user_id = $2",
                args![tenant, user, self.inner.clock.now()],
            )
            .run(
                "DELETE FROM events WHERE turn IN (SELECT id FROM turns WHERE tenant = $1 AND user_id = $2)",
                whose(),
            )
            .run(
                "UPDATE steps SET args = '{}', outcome = NULL, undo = NULL, said = NULL WHERE turn IN \
                 (SELECT id FROM turns WHERE tenant = $1 AND user_id = $2 AND ended_at IS NOT NULL)",
                whose(),
            )
            // A bare call that waits for a person was not made. Without its step it ends as that, and nobody knows of what.
            .run(
                "DELETE FROM steps WHERE turn IN \
                 (SELECT id FROM turns WHERE tenant = $1 AND user_id = $2 AND kind = 'call' AND state = 'waiting')",
                whose(),
            )
            .run(
                "DELETE FROM idempotency WHERE owner IN (SELECT owner FROM turns WHERE tenant = $1 AND user_id = $2)",
                whose(),
            )
            .run(
                "UPDATE turns SET prompt = '', receipt = NULL WHERE tenant = $1 AND user_id = $2 AND ended_at IS NOT NULL",
                whose(),
            )
            // What waits for a person waits no more: the turn ends, and wipes itself as one of a deleted conversation does.
            .run(
                "UPDATE approvals SET state = CASE WHEN state = 'open' THEN 'expired' ELSE state END, args = '{}', \
                 reason = '', comment = NULL WHERE tenant = $1 AND user_id = $2",
                whose(),
            );
        commit = commit.and(self.forget_facts(tenant, user).await?).and(stopping);
        self.inner.observe.audit(&mut commit, super::entry(by, "person.erased", detail()));
        self.inner.db.commit(commit).await?;
        self.inner.cache.purge(tenant, user.as_str()).await;
        self.wipe().await;
        Ok(())
    }

    /// What an issuer has told of a person (mail, full name, …) and where they called from, taken out of the journal. The
    /// user's id stays, and so does what an open turn needs to end.
    async fn forget_facts(&self, tenant: &TenantId, user: &UserId) -> Result<Commit> {
        let whose = || args![tenant, user];
        // WHY: one row for each owner. The rights of a turn that has ended count for nothing, so all may look alike.
        let sql = "SELECT owner, MIN(principal) FROM turns \
                   WHERE tenant = $1 AND user_id = $2 AND ended_at IS NOT NULL GROUP BY owner";
        let ended: Vec<(String, String)> = self.inner.db.rows(sql, whose()).await?;
        let sql = "SELECT id, principal FROM turns WHERE tenant = $1 AND user_id = $2 AND ended_at IS NULL";
        let open: Vec<(TurnId, String)> = self.inner.db.rows(sql, whose()).await?;
        let mut commit = Commit::new();
        for (owner, principal) in ended {
            let bare = bare(&principal, &[("roles", json!([])), ("scopes", json!([]))]);
            let sql =
                "UPDATE turns SET principal = $1 WHERE owner = $2 AND tenant = $3 AND ended_at IS NOT NULL";
            commit = commit.run(sql, args![bare, owner, tenant]);
        }
        for (id, principal) in open {
            commit =
                commit.run("UPDATE turns SET principal = $1 WHERE id = $2", args![bare(&principal, &[]), id]);
        }
        Ok(commit)
    }

    /// Takes what was deleted out of the database's files as well.
    pub async fn wipe(&self) {
        if let Err(error) = self.inner.db.wipe_deleted().await {
            // It is deleted, and goes from the file when the log is folded in for another reason.
            tracing::warn!(
                error.code = error.code().name(),
                cause = error.cause_line(),
                "what was deleted is still in the write-ahead log of the database"
            );
        }
    }
}

/// The JSON of a principal without what was told of the person beside the id, and with these instead.
fn bare(principal: &str, instead: &[(&str, Value)]) -> String {
    let Ok(Value::Object(mut facts)) = serde_json::from_str(principal) else { return principal.to_owned() };
    for told in ["metadata", "address", "actors"] {
        facts.remove(told);
    }
    for (key, value) in instead {
        facts.insert((*key).to_owned(), value.clone());
    }
    Value::Object(facts).to_string()
}

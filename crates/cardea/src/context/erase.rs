//! Erasure of everything that a person has said and asked.

use std::collections::BTreeSet;

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    connector::secret_user,
    id::{RequestId, TenantId, TurnId, UserId},
    principal::owner_key,
    time::Timestamp,
};
use cardea_store::{Commit, Value as Cell, args};
use serde_json::{Value, json};

use super::{Context, cache::Purged};

/// Issuer of API keys. It stands for a name only, so it does not tell people apart.
const KEYS: &str = "cardea:keys";

/// The person to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// The user.
    pub user: UserId,
    /// Issuer that vouches for the user; absent if no one of this name has been seen.
    pub issuer: Option<String>,
    /// True if no one else is known by this name, so that everything kept under the name alone (API keys, credentials)
    /// belongs to this person.
    pub whole_name: bool,
}

impl Whom {
    /// Returns whether the API keys with this name belong to this person.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.whole_name || self.issuer.as_deref() == Some(KEYS)
    }

    /// Returns the owner keys under which this person's data is kept.
    #[must_use]
    pub fn owners(&self, tenant: &TenantId) -> Vec<String> {
        let keys = Some(KEYS).filter(|_| self.whole_name);
        let mut issuers: Vec<&str> = self.issuer.as_deref().into_iter().chain(keys).collect();
        issuers.dedup();
        issuers.into_iter().map(|issuer| owner_key(tenant, issuer, &self.user)).collect()
    }
}

/// Returns the issuer in an owner key of this user.
fn issuer_in<'a>(owner: &'a str, tenant: &TenantId, user: &UserId) -> Option<&'a str> {
    let (tenant, user) = (tenant.as_str(), user.as_str());
    let rest = owner.strip_prefix(&format!("{}:{tenant};", tenant.len()))?;
    let (_, issuer) = rest.strip_suffix(&format!("{}:{user};", user.len()))?.split_once(':')?;
    issuer.strip_suffix(';')
}

/// Credentials of users for connectors.
const CREDENTIALS: &str = "SELECT name FROM secrets WHERE tenant = $1 AND name LIKE 'connector/%/user/%'";

/// The owners of this name. No conversation and no approval is written without its turn.
///
/// WHY no tenant for decisions: their key begins with it, and the query would read all decisions of the tenant. Owners
/// of other users are filtered out by [`issuer_in`].
const OWNERS: &str = "SELECT owner FROM turns WHERE tenant = $1 AND user_id = $2 \
                      UNION SELECT owner FROM decisions WHERE user_id = $2";

/// One of the owners under whose keys a person's data is kept.
#[derive(Clone, Copy)]
struct Owner<'a> {
    tenant: &'a TenantId,
    user: &'a UserId,
    key: &'a str,
}

impl Owner<'_> {
    /// WHY all three, although the key implies the others: no other query selects turns by owner, so one index serves
    /// this one and [`OWNERS`].
    fn args(&self) -> Vec<Cell> {
        args![self.tenant, self.user, self.key]
    }

    /// Returns the rows that delete everything an owner said and was told. An open turn cannot continue without its
    /// owner, so the data to undo its steps is deleted too.
    fn words(&self, now: Timestamp) -> Commit {
        let Owner { tenant, key, .. } = *self;
        Commit::new()
            // WHY first: the owner of a turn writes its row before its steps.
            .run(
                "UPDATE turns SET prompt = '', receipt = NULL, failure = CASE WHEN ended_at IS NULL THEN failure END \
                 WHERE tenant = $1 AND user_id = $2 AND owner = $3",
                self.args(),
            )
            .run(
                "DELETE FROM secrets WHERE tenant = $1 AND name IN \
                 (SELECT 'placeholders/' || id FROM conversations WHERE owner = $2)",
                args![tenant, key],
            )
            .run(
                "DELETE FROM messages WHERE conversation IN (SELECT id FROM conversations WHERE owner = $1)",
                args![key],
            )
            .run(
                "UPDATE conversations SET title = '', deleted_at = COALESCE(deleted_at, $2) WHERE owner = $1",
                args![key, now],
            )
            .run(
                "DELETE FROM events WHERE turn IN \
                 (SELECT id FROM turns WHERE tenant = $1 AND user_id = $2 AND owner = $3)",
                self.args(),
            )
            .run(
                "UPDATE steps SET args = '{}', outcome = NULL, undo = NULL, said = NULL, thoughts = NULL WHERE turn IN \
                 (SELECT id FROM turns WHERE tenant = $1 AND user_id = $2 AND owner = $3)",
                self.args(),
            )
            // A bare call that waits for an approval was not made. Without its step the turn ends with that result,
            // and its tool stays unknown.
            .run(
                "DELETE FROM steps WHERE turn IN \
                 (SELECT id FROM turns WHERE tenant = $1 AND user_id = $2 AND owner = $3 AND kind = 'call' \
                 AND state = 'waiting')",
                self.args(),
            )
            .run("DELETE FROM idempotency WHERE owner = $1", args![key])
            // The approvals are withdrawn: the waiting turn ends, and wipes itself as a turn of a deleted conversation
            // does.
            .run(
                "UPDATE approvals SET state = CASE WHEN state = 'open' THEN 'expired' ELSE state END, args = '{}', \
                 reason = '', comment = NULL WHERE tenant = $1 AND owner = $2",
                args![tenant, key],
            )
    }

    /// Returns the row that removes the facts from turns that have ended.
    fn facts(&self, bare: String) -> Commit {
        let sql = "UPDATE turns SET principal = $4 WHERE tenant = $1 AND user_id = $2 AND owner = $3 AND ended_at IS NOT NULL";
        Commit::new().run(sql, self.args().into_iter().chain(args![bare]).collect())
    }
}

/// The principals in the journal of an owner: of any one turn that has ended, and of each open turn.
const FACTS_OF_ENDED: &str = "SELECT MIN(principal) FROM turns WHERE tenant = $1 AND user_id = $2 AND owner = $3 \
                              AND ended_at IS NOT NULL GROUP BY owner";
const FACTS_OF_OPEN: &str = "SELECT id, principal FROM turns WHERE tenant = $1 AND user_id = $2 AND owner = $3 \
                             AND ended_at IS NULL";

impl Context {
    /// Finds the person meant by a name, and by an issuer if one is given.
    ///
    /// # Errors
    /// `ambiguous` if several people have the name and no issuer is given; `not_found` if the name is known, but not
    /// at this issuer; store errors.
    pub async fn whom(&self, tenant: &TenantId, user: &UserId, issuer: Option<String>) -> Result<Whom> {
        let owners: Vec<(String,)> = self.inner.db.rows(OWNERS, args![tenant, user]).await?;
        let found = owners.iter().filter_map(|(owner,)| issuer_in(owner, tenant, user));
        let sealed: Vec<(String,)> = self.inner.db.rows(CREDENTIALS, args![tenant]).await?;
        let sealed = sealed.iter().filter_map(|(name,)| secret_user(name));
        let sealed = sealed.filter(|(_, name)| *name == user.as_str()).map(|(issuer, _)| issuer);
        let mut known: BTreeSet<String> =
            found.map(str::to_owned).chain(sealed).filter(|issuer| issuer != KEYS).collect();
        let Some(issuer) = issuer else {
            if known.len() > 1 {
                let names: Vec<String> = known.iter().map(|issuer| format!("`{issuer}`")).collect();
                let detail = format!(
                    "{} people have it, of the issuers {}: name one as `issuer`.",
                    names.len(),
                    names.join(", ")
                );
                return Err(Error::new(Code::Ambiguous).detail(detail));
            }
            return Ok(Whom { user: user.clone(), issuer: known.pop_first(), whole_name: true });
        };
        let is_known = known.remove(&issuer) || issuer == KEYS || known.is_empty();
        if !is_known {
            // WHY: a slip in the issuer must not look like a person who is gone.
            let names: Vec<String> = known.iter().map(|issuer| format!("`{issuer}`")).collect();
            let detail = format!("Nobody of this name was seen of that issuer, but of {}.", names.join(", "));
            return Err(Error::new(Code::NotFound).detail(detail));
        }
        // WHY: data under the name alone belongs to no single person while others have the same name.
        Ok(Whom { user: user.clone(), whole_name: known.is_empty(), issuer: Some(issuer) })
    }

    /// Erases a user of the caller's tenant. Destroys the user's key in the vault, so that nothing sealed for the user
    /// can be opened again, backups included. Deletes conversations, questions, answers and the results of tools.
    /// Decisions and the audit log keep that something was done, not what was said. Repeating it is harmless.
    /// `stopping` are rows of another room that stop open turns.
    ///
    /// # Errors
    /// Errors of the vault and the store. The audit log records the attempt before anything is destroyed.
    pub async fn erase(&self, by: &Caller, whom: &Whom, stopping: Commit, request: RequestId) -> Result<()> {
        let detail = || json!({ "user": whom.user, "issuer": whom.issuer });
        let told = |event| super::entry(by, event, Some(request), detail());
        let mut intent = Commit::new();
        self.inner.observe.audit(&mut intent, told("person.erasing"));
        self.inner.db.commit(intent).await?;
        let tenant = &by.tenant;
        let mut commit = Commit::new();
        if whom.whole_name {
            commit = commit.and(self.inner.vault.destroy_name(tenant, &whom.user).await?);
        }
        for key in whom.owners(tenant) {
            commit = commit.and(self.inner.vault.destroy_person(tenant, &key).await?);
            commit = commit.and(self.forget_credentials(tenant, &key).await?);
            let owner = Owner { tenant, user: &whom.user, key: &key };
            commit = commit.and(owner.words(self.inner.clock.now())).and(self.forget_facts(owner).await?);
        }
        commit = commit.and(stopping);
        self.inner.observe.audit(&mut commit, told("person.erased"));
        self.inner.db.commit(commit).await?;
        // WHY the whole name: older entries do not identify the person further. Others with the name lose cached
        // answers, which are generated again.
        let purged = self.inner.cache.purge(tenant, whom.user.as_str()).await;
        self.wipe().await;
        // WHY: the removal may be owed, but the erasure must not be confirmed while the entry exists. The caller has
        // to repeat it.
        if purged != Purged::Out {
            let why = "cached answers are not taken out everywhere";
            return Err(Error::new(Code::StoreUnavailable).because(why));
        }
        Ok(())
    }

    /// Returns the rows that delete an owner's credentials for connectors, including those that were sealed for the
    /// name alone, as all once were. They become unreadable with the owner's key.
    async fn forget_credentials(&self, tenant: &TenantId, owner: &str) -> Result<Commit> {
        let sealed: Vec<(String,)> = self.inner.db.rows(CREDENTIALS, args![tenant]).await?;
        let is_own = |name: &&String| {
            secret_user(name).is_some_and(|(issuer, user)| owner_key(tenant, &issuer, &user.into()) == owner)
        };
        let own = sealed.iter().map(|(name,)| name).filter(is_own);
        Ok(own.fold(Commit::new(), |rows, name| rows.and(self.inner.vault.forgetting(tenant, name))))
    }

    /// Returns the rows that remove from the journal what an issuer has told about a person (mail, full name, …), and
    /// the client address. The user's id stays, and so does what an open turn needs to end.
    async fn forget_facts(&self, owner: Owner<'_>) -> Result<Commit> {
        // WHY: one row is enough. The rights of a turn that has ended no longer matter, so all rows may look alike.
        let ended: Vec<(String,)> = self.inner.db.rows(FACTS_OF_ENDED, owner.args()).await?;
        let open: Vec<(TurnId, String)> = self.inner.db.rows(FACTS_OF_OPEN, owner.args()).await?;
        let mut commit = Commit::new();
        for (principal,) in ended {
            let bare = bare(&principal, &[("roles", json!([])), ("scopes", json!([]))]);
            commit = commit.and(owner.facts(bare));
        }
        for (id, principal) in open {
            commit =
                commit.run("UPDATE turns SET principal = $1 WHERE id = $2", args![bare(&principal, &[]), id]);
        }
        Ok(commit)
    }

    /// Removes deleted data from the files of the database as well.
    pub async fn wipe(&self) {
        if let Err(error) = self.inner.db.wipe_deleted().await {
            // The data is deleted, and leaves the file when the log is folded in for another reason.
            tracing::warn!(
                error.code = error.code().name(),
                cause = error.cause_line(),
                "what was deleted is still in the write-ahead log of the database"
            );
        }
    }
}

/// Returns the JSON of a principal with nothing about the person except the id, and with these members instead.
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

#[cfg(test)]
mod tests {
    use cardea_core::log::ChainKey;
    use cardea_store::{Db, DbConfig};

    use super::*;

    #[tokio::test]
    async fn an_erasure_reads_no_more_than_the_persons_own() {
        let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&[7; 32])).await.unwrap();
        db.migrate().await.unwrap();
        let (tenant, user) = (TenantId::from("acme"), UserId::from("ann"));
        let owner = Owner { tenant: &tenant, user: &user, key: "key" };
        let rows = owner.words(Timestamp(0)).and(owner.facts(String::new()));
        let of_name = args![&tenant, &user];
        let asked = [(OWNERS, of_name), (FACTS_OF_ENDED, owner.args()), (FACTS_OF_OPEN, owner.args())];
        let written = rows.statements().map(|(text, args)| (text, args.to_vec()));
        let all: Vec<_> = written.chain(asked).collect();
        assert_eq!(all.len(), 13);
        for (text, args) in all {
            let explain: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {text}").into_boxed_str());
            let plan: Vec<(i64, i64, i64, String)> = db.rows(explain, args).await.unwrap();
            let whole: Vec<&str> =
                plan.iter().map(|step| step.3.as_str()).filter(|step| step.starts_with("SCAN")).collect();
            assert!(whole.is_empty(), "{text}: {whole:?}");
        }
    }
}

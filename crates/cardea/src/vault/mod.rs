//! Room `vault`: secrets at rest.
//!
//! Promises: each secret is sealed under a data key of its own, and each data key under the root key. Tenant, secret,
//! name and version are part of the seal. A row that was swapped, moved or renamed in the database therefore cannot be
//! opened: it is refused, and the audit log records it. Opened secrets are wiped from memory when dropped.
//!
//! A secret of a person is sealed under that person's key as well. That key lies outside the database, so once it is
//! destroyed ([`Vault::destroy_person`]) no backup of the database opens what was sealed under it.
//!
//! Refuses: to know what a secret is for, to print one, and to start with a root key that others can read. It cannot
//! notice that the whole row of a secret was reset to an older version of the same row; the audit log can.
//!
//! A [`Sealer`] protects data that others keep for Cardea, such as cached answers.
//!
//! Called by: `identity` (signing keys), the start of the program (the key of the audit chain), and all rooms that
//! hold a credential for an upstream.

mod derive;
mod keep;
mod people;
mod refusals;
mod root;
mod seal;
mod sealer;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use cardea_core::{
    Code, Error, Result,
    id::{SecretId, TenantId, UserId},
    principal::Principal,
    time::SharedClock,
};
use cardea_store::{Commit, CommitError, Db, Value, args};
use serde_json::json;
use zeroize::Zeroizing;

pub use self::{
    keep::Destroyed,
    root::{Config, RootKey},
    sealer::Sealer,
};
use self::{
    people::{People, Person},
    refusals::{Cause, Refusals},
    seal::{Bound, Sealed},
};
use crate::observe::{Entry, Observe};

/// Returns the id of the folder with the keys of people, if it has one.
///
/// # Errors
/// `store_unavailable` if it cannot be read, or not in time.
pub async fn folder_id(data: &Path) -> Result<Option<String>> {
    People::in_folder(data).ask(People::id).await
}

/// Does the same, and assigns an id if there is none.
///
/// # Errors
/// As [`folder_id`]; `misconfigured` if it cannot be written.
pub async fn folder_id_or_new(data: &Path) -> Result<String> {
    People::in_folder(data).ask(People::id_or_new).await
}

/// Size limit of a secret.
pub(crate) const LARGEST: usize = 64 * 1024;

/// Replaces the secret that has this version.
const REPLACE: &str =
    "UPDATE secrets SET version = $1, key_id = $2, wrapped_key = $3, sealed = $4, updated_at = $5,
                       person = $8 WHERE id = $6 AND version = $7";

/// Sealed secrets. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    db: Db,
    observe: Observe,
    root: RootKey,
    clock: SharedClock,
    refusals: Refusals,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

/// Identifies the version of a secret that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    id: SecretId,
    version: i64,
}

impl Kept {
    /// Returns the version, from 1.
    #[must_use]
    pub fn version(self) -> i64 {
        self.version
    }
}

/// Columns: id, version, key_id, wrapped_key, sealed, person.
type Row = (String, i64, String, Vec<u8>, Vec<u8>, Option<String>);

/// Columns: id, tenant, name, version, key_id, wrapped_key, person.
type Wrapped = (String, String, String, i64, String, Vec<u8>, Option<String>);

/// Result of [`Vault::rotate`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Secrets that are now wrapped under the newest root key.
    pub wrapped: usize,
    /// Secrets that stay as they are, since the key of their person is missing.
    pub keyless: usize,
}

impl Vault {
    /// Creates the room on this database.
    pub async fn new(db: Db, observe: Observe, mut root: RootKey, clock: SharedClock) -> Self {
        root.hold_people().await;
        Self(Arc::new(Inner { db, observe, root, clock, refusals: Refusals::default() }))
    }

    /// Returns a hexadecimal digest of a text, which cannot be computed or guessed at without the root key.
    #[must_use]
    pub fn digest(&self, text: &str) -> String {
        self.0.root.digest(text)
    }

    /// Returns the proof that this installation has recorded a decision about an approval. It cannot be made without
    /// the root key.
    #[must_use]
    pub fn approval_mac(&self, decided: &str) -> String {
        self.0.root.approval_mac(decided)
    }

    /// Seals a secret of a tenant under a name, and replaces an existing one.
    ///
    /// # Errors
    /// `too_large` above 64 KiB, `conflict` if it was changed at the same moment, store errors.
    pub async fn seal(&self, tenant: &TenantId, name: &str, secret: &[u8]) -> Result<SecretId> {
        self.seal_of(tenant, None, name, secret).await
    }

    /// Does the same for a secret of one person (`Principal::key`), which ends with that person's key.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub async fn seal_for(
        &self,
        tenant: &TenantId,
        owner: &str,
        name: &str,
        secret: &[u8],
    ) -> Result<SecretId> {
        let person = self.person_of(owner).await?;
        self.seal_of(tenant, Some(&person), name, secret).await
    }

    async fn seal_of(
        &self,
        tenant: &TenantId,
        person: Option<&Person>,
        name: &str,
        secret: &[u8],
    ) -> Result<SecretId> {
        if secret.len() > LARGEST {
            return Err(Error::new(Code::TooLarge).detail("A secret may have 64 KiB at most."));
        }
        let (id, version) = match self.row(tenant, name).await? {
            Some((id, version, ..)) => (id.parse().map_err(|bad| corrupt(name).because(bad))?, version),
            None => (SecretId::random(), 0),
        };
        let bound = Bound { tenant, id, name, version: version.saturating_add(1), person };
        let sealed = seal::seal(&self.0.root, &bound, secret)?;
        let commit = self.write(&bound, sealed, version);
        self.0.db.commit(self.told(commit, tenant, "secret.sealed", name)).await?;
        Ok(id)
    }

    /// Seals a secret that must not exist yet: one created meanwhile is a conflict, and never replaced.
    async fn seal_first(&self, tenant: &TenantId, name: &str, secret: &[u8]) -> Result<()> {
        let bound = Bound { tenant, id: SecretId::random(), name, version: 1, person: None };
        let sealed = seal::seal(&self.0.root, &bound, secret)?;
        let commit = self.write(&bound, sealed, 0);
        Ok(self.0.db.commit(self.told(commit, tenant, "secret.sealed", name)).await?)
    }

    fn write(&self, bound: &Bound<'_>, sealed: Sealed, replaced: i64) -> Commit {
        let now = self.0.clock.now();
        let person = bound.person.map(|person| person.id.as_str());
        if replaced == 0 {
            return Commit::new().insert(
                "secrets",
                [
                    ("id", bound.id.into()),
                    ("tenant", bound.tenant.into()),
                    ("name", bound.name.into()),
                    ("version", bound.version.into()),
                    ("key_id", sealed.key_id.into()),
                    ("wrapped_key", sealed.wrapped_key.into()),
                    ("sealed", sealed.sealed.into()),
                    ("person", person.into()),
                    ("created_at", now.into()),
                    ("updated_at", now.into()),
                ],
            );
        }
        Commit::new().guard("secret", REPLACE, self.replacing(bound, sealed, replaced))
    }

    fn replacing(&self, bound: &Bound<'_>, sealed: Sealed, replaced: i64) -> Vec<Value> {
        let person = bound.person.map(|person| person.id.as_str());
        args![
            bound.version,
            sealed.key_id,
            sealed.wrapped_key,
            sealed.sealed,
            self.0.clock.now(),
            bound.id,
            replaced,
            person
        ]
    }

    /// Opens the secret of a tenant with this name, if there is one. Its bytes are wiped when dropped.
    ///
    /// # Errors
    /// `internal` if it cannot be opened: it was changed, or sealed under a root key that is missing. The audit log
    /// records it once per process and cause, until it opens again.
    pub async fn open(&self, tenant: &TenantId, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        Ok(self.open_kept(tenant, name).await?.map(|(_, opened)| opened))
    }

    /// Does the same, and returns what [`Self::keeping`] needs to replace it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_kept(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<(Kept, Zeroizing<Vec<u8>>)>> {
        let Some((id, version, key_id, wrapped_key, sealed, whose)) = self.row(tenant, name).await? else {
            return Ok(None);
        };
        let person = self.person(whose.clone()).await?;
        let opened = id.parse().ok().filter(|_| whose.is_some() == person.is_some()).and_then(|id| {
            let sealed = Sealed { key_id, wrapped_key, sealed };
            let bound = Bound { tenant, id, name, version, person: person.as_ref() };
            let opened = seal::open(&self.0.root, &bound, &sealed)?;
            Some((Kept { id, version }, opened))
        });
        if opened.is_some() {
            self.0.refusals.opened(&id);
            return Ok(opened);
        }
        // WHY: a row that cannot be opened was tampered with, or the root key is the wrong one, or the row came
        // back from a backup after its person was erased. Each case needs a person, and must not be hidden because
        // the log cannot be written.
        let keyless = whose.is_some() && person.is_none();
        let error = if keyless { missing_key(name) } else { corrupt(name) };
        let Some(news) = self.0.refusals.news(&id, Cause { version, keyless }) else { return Err(error) };
        match self.0.db.commit(self.told(Commit::new(), tenant, "secret.refused", name)).await {
            Ok(()) => news.written(),
            Err(unwritten) => return Err(error.because(unwritten)),
        }
        Err(error)
    }

    /// Returns the rows that destroy a secret, if it exists, for a commit that says why.
    pub fn forgetting(&self, tenant: &TenantId, name: &str) -> Commit {
        let sql = "DELETE FROM secrets WHERE tenant = $1 AND name = $2";
        Commit::new().run(sql, args![tenant, name])
    }

    /// Opens a secret; if it does not exist, creates and seals it first. If two nodes do so at once, both get the
    /// same.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::seal`].
    pub async fn open_or_make(
        &self,
        tenant: &TenantId,
        name: &str,
        make: impl FnOnce() -> Result<Zeroizing<Vec<u8>>> + Send,
    ) -> Result<Zeroizing<Vec<u8>>> {
        if let Some(found) = self.open(tenant, name).await? {
            return Ok(found);
        }
        let made = make()?;
        match self.seal_first(tenant, name, &made).await {
            Ok(()) => Ok(made),
            Err(error) if error.code() == Code::Conflict => {
                self.open(tenant, name).await?.ok_or_else(|| corrupt(name))
            }
            Err(error) => Err(error),
        }
    }

    /// Destroys the key of a person (`Principal::key`). From then on nothing that was sealed for this person can be
    /// opened, here or in a backup of the database. Returns the rows that record it and delete the sealed secrets as
    /// well. Repeating it is harmless.
    ///
    /// # Errors
    /// `internal` if the key cannot be destroyed; `store_unavailable` if the folder of keys is not the one found at
    /// start.
    pub async fn destroy_person(&self, tenant: &TenantId, owner: &str) -> Result<Commit> {
        self.destroy(tenant, people::id_of_owner(owner)).await
    }

    /// Does the same for the key of everybody with this name: for what was sealed for a person before issuers were
    /// part of the key.
    ///
    /// # Errors
    /// As [`Self::destroy_person`].
    pub async fn destroy_name(&self, tenant: &TenantId, user: &UserId) -> Result<Commit> {
        self.destroy(tenant, people::id_of(tenant, user)).await
    }

    /// Returns the key with this id, if it exists.
    async fn person(&self, id: Option<String>) -> Result<Option<Person>> {
        let Some(id) = id else { return Ok(None) };
        self.0.root.people().ask(move |people| people.find(&id)).await
    }

    /// Checks whether the keys of a person's secrets can be looked up at the moment: of those for everything that the
    /// person does, and of those under this name. It does not say whether the keys exist.
    ///
    /// # Errors
    /// `store_unavailable` if the folder with the keys of people is unavailable; store errors.
    pub async fn answers_for(&self, principal: &Principal, name: &str) -> Result<()> {
        let Principal { tenant, user, .. } = principal;
        let (own, by_name) = (people::id_of_owner(&principal.key()), people::id_of(tenant, user));
        let sql = "SELECT DISTINCT person FROM secrets WHERE person IN ($1, $2) \
                   AND (name = $3 OR name NOT LIKE 'placeholders/%')";
        for (id,) in self.0.db.rows::<(String,)>(sql, args![own, by_name, name]).await? {
            self.person(Some(id)).await?;
        }
        Ok(())
    }

    /// Returns the key of an owner; creates it if there is none.
    async fn person_of(&self, owner: &str) -> Result<Person> {
        let id = people::id_of_owner(owner);
        self.0.root.people().ask(move |people| people.find_or_make(id)).await
    }

    async fn destroy(&self, tenant: &TenantId, id: String) -> Result<Commit> {
        let gone = id.clone();
        self.0.root.people().ask(move |people| people.destroy(&gone)).await?;
        let sql = "DELETE FROM secrets WHERE tenant = $1 AND person = $2";
        Ok(Commit::new().run(sql, args![tenant, id]))
    }

    /// Deletes a secret, though not from backups of the database; for a person's secrets, [`Self::destroy_person`]
    /// covers those. Returns whether it existed.
    ///
    /// # Errors
    /// Store errors.
    pub async fn shred(&self, tenant: &TenantId, name: &str) -> Result<bool> {
        let commit = Commit::new().guard(
            "secret",
            "DELETE FROM secrets WHERE tenant = $1 AND name = $2",
            args![tenant, name],
        );
        match self.0.db.commit(self.told(commit, tenant, "secret.shredded", name)).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the audit entry about a new folder with the keys of people.
    pub fn told_of_folder(&self, commit: Commit, id: &str) -> Commit {
        self.told(commit, &TenantId::from("cardea"), "vault.folder_adopted", id)
    }

    /// Rewraps all data keys under older root keys with the newest one, and counts them. May be interrupted and
    /// repeated at any time; secrets stay readable throughout. Secrets of a person whose key is missing stay as they
    /// are.
    ///
    /// # Errors
    /// `internal` at the first row that cannot be opened; store errors.
    pub async fn rotate(&self) -> Result<Rotated> {
        let newest = self.0.root.id().to_owned();
        let (mut done, mut last) = (Rotated::default(), String::new());
        loop {
            let rows: Vec<Wrapped> = self
                .0
                .db
                .rows(
                    "SELECT id, tenant, name, version, key_id, wrapped_key, person FROM secrets WHERE key_id <> $1
                     AND id > $2 ORDER BY id LIMIT 100",
                    args![newest.as_str(), last.as_str()],
                )
                .await?;
            let Some((id, ..)) = rows.last() else { return Ok(done) };
            last.clone_from(id);
            for (id, tenant, name, version, key_id, wrapped_key, whose) in rows {
                let person = self.person(whose.clone()).await?;
                if whose.is_some() && person.is_none() {
                    // WHY: it is unknown whether the row came back from a backup after its person was erased, or the
                    // folder of keys is missing. Erasing removes it.
                    done.keyless = done.keyless.saturating_add(1);
                    continue;
                }
                let (tenant, parsed) = (TenantId::new(tenant), id.parse().ok());
                let wrapped = parsed.and_then(|parsed| {
                    let person = person.as_ref();
                    let bound = Bound { tenant: &tenant, id: parsed, name: &name, version, person };
                    seal::rewrap(&self.0.root, &bound, &key_id, &wrapped_key)
                });
                let wrapped = wrapped.ok_or_else(|| corrupt(&name))?;
                // A secret that was replaced meanwhile is under the newest key already.
                let commit = Commit::new().run(
                    "UPDATE secrets SET key_id = $1, wrapped_key = $2 WHERE id = $3 AND version = $4 AND key_id = $5",
                    args![newest.as_str(), wrapped, id, version, key_id],
                );
                self.0.db.commit(commit).await?;
                done.wrapped = done.wrapped.saturating_add(1);
            }
        }
    }

    async fn row(&self, tenant: &TenantId, name: &str) -> Result<Option<Row>> {
        let sql = "SELECT id, version, key_id, wrapped_key, sealed, person FROM secrets WHERE tenant = $1 AND name = $2";
        self.0.db.row(sql, args![tenant, name]).await
    }

    fn told(&self, mut commit: Commit, tenant: &TenantId, event: &'static str, name: &str) -> Commit {
        let principal = Principal::installation(tenant.clone());
        let detail = json!({ "name": name });
        let entry =
            Entry { principal: &principal, event, turn: None, step: None, tool: None, request: None, detail };
        self.0.observe.audit(&mut commit, entry);
        commit
    }
}

/// Returns the error for a secret without its person's key: the person may have been erased and come back with a
/// backup, or the folder may be the wrong one.
fn missing_key(name: &str) -> Error {
    let detail = "What was sealed for this person does not open: their key is not in `people/` of the data folder. Either \
                  they were erased and came back with a backup of the database, or the folder is not the one in which \
                  the key was made: bring it back.";
    Error::new(Code::Internal)
        .detail(detail)
        .because(format!("the key of a person is missing, for whom the secret `{name}` is sealed"))
}

fn corrupt(name: &str) -> Error {
    Error::new(Code::Internal).because(format!("the sealed secret `{name}` does not open"))
}

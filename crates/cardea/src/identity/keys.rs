//! API keys: creation and revocation. The callers of these functions decide who may do so; here every key stays in its
//! tenant.

use std::{collections::BTreeSet, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cardea_auth::{Caller, NewKey as Secret};
use cardea_core::{
    Code, Error, Result,
    id::{KeyId, TenantId, UserId},
    principal::{INSTALLATION, Principal, Proof},
    secret::{ExposeSecret, SecretString},
    time::{Millis, Timestamp},
};
use cardea_store::{Commit, CommitError, FromRow, Row, RowError, args};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Identity;
use crate::{
    observe::Entry,
    once::{Made, Once, fingerprint},
};

/// Request kind of key creation, among requests with idempotency keys.
const ROUTE: &str = "api_key";

pub(super) const LONGEST_NAME: usize = 256;
const MOST_NAMES: usize = 64;
const LONGEST_LIFE: Millis = Millis::from_secs(100 * 366 * 24 * 3_600);

/// Properties of a new key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// User or workload that the key authenticates; absent: the creator.
    #[serde(default)]
    pub user: Option<UserId>,
    /// Description, for people.
    #[serde(default)]
    pub name: String,
    /// Roles.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Scopes.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// Lifetime, such as `"90d"`; absent: until revoked.
    #[serde(default, deserialize_with = "length")]
    pub expires: Option<Millis>,
}

impl NewKey {
    fn fingerprint(&self) -> String {
        let user = self.user.as_ref().map(UserId::as_str);
        let expires = self.expires.map(|life| life.0);
        fingerprint([json!([user, self.name, self.roles, self.scopes, expires]).to_string().as_str()])
    }
}

/// Returns the place for which the answer to a request is sealed.
fn place(once: &Once<'_>) -> Vec<u8> {
    json!([once.owner, once.route, once.key]).to_string().into_bytes()
}

fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// A key that was just created. It is shown only here.
#[derive(Serialize)]
pub struct CreatedKey {
    /// The key itself.
    #[serde(serialize_with = "shown_once")]
    pub key: SecretString,
    /// Everything else about the key.
    #[serde(flatten)]
    pub info: KeyInfo,
}

fn shown_once<S: Serializer>(key: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose_secret())
}

impl fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey").field("key", &"***").field("info", &self.info).finish()
    }
}

/// Facts about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its id.
    pub id: KeyId,
    /// The part of the key that is not secret, to recognise it.
    pub prefix: String,
    /// The user it authenticates.
    pub user: String,
    /// Description.
    pub name: String,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Scopes.
    pub scopes: BTreeSet<String>,
    /// Creator: the user, and the id of the key or the issuer with which they signed in.
    pub created_by: String,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Expiry.
    pub expires_at: Option<Timestamp>,
    /// Last use, accurate to some seconds.
    pub last_used_at: Option<Timestamp>,
    /// Time of revocation.
    pub revoked_at: Option<Timestamp>,
}

impl FromRow for KeyInfo {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self {
            id: row.get(0)?,
            prefix: row.get(1)?,
            user: row.get(2)?,
            name: row.get(3)?,
            roles: names(&row.get::<String>(4)?),
            scopes: names(&row.get::<String>(5)?),
            created_by: row.get(6)?,
            created_at: row.get(7)?,
            expires_at: row.get(8)?,
            last_used_at: row.get(9)?,
            revoked_at: row.get(10)?,
        })
    }
}

/// Parses the roles or scopes of a row. A text that cannot be parsed grants nothing.
pub(super) fn names(text: &str) -> BTreeSet<String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Refuses names that could not be part of a token.
pub(super) fn check_names<const N: usize>(single: [&str; N], sets: [&BTreeSet<String>; 2]) -> Result<()> {
    let good = |name: &str| {
        !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(|c| c.is_control() || c == ' ')
    };
    let all = single.into_iter().chain(sets.into_iter().flatten().map(String::as_str)).all(good);
    if all && sets.iter().all(|set| set.len() <= MOST_NAMES) {
        return Ok(());
    }
    let detail =
        "Users, tenants, roles and scopes have 1 to 256 characters without spaces; 64 of each at most.";
    Err(Error::new(Code::BadRequest).detail(detail))
}

/// Refuses a lifetime of zero, and one so long that its unit must be wrong.
fn check_life(life: Option<Millis>) -> Result<()> {
    let refuse = |detail: String| Err(Error::new(Code::BadRequest).detail(detail));
    match life {
        Some(Millis(0)) => refuse(
            "A key that works for no time is of no use; leave `expires` out for one that \
                                   works until it is revoked."
                .to_owned(),
        ),
        Some(life) if life > LONGEST_LIFE => {
            refuse(format!("{life} is longer than a hundred years; leave `expires` out instead."))
        }
        _ => Ok(()),
    }
}

impl Identity {
    /// Creates a key in the caller's tenant. It is shown in the answer and never again, except to a repeat of this
    /// request with the same idempotency key.
    ///
    /// # Errors
    /// `denied` for a role or scope that the caller lacks; `bad_request` for invalid names; `idempotency_key_reused`;
    /// store errors.
    pub async fn create_key(
        &self,
        caller: &Caller,
        new: NewKey,
        idempotency_key: Option<&str>,
    ) -> Result<CreatedKey> {
        let mut more = new.roles.difference(&caller.roles).chain(new.scopes.difference(&caller.scopes));
        if let Some(name) = more.next() {
            let name: String = name.chars().take(64).collect();
            let detail = format!("A key may do no more than whoever makes it, and you do not have `{name}`.");
            return Err(Error::new(Code::Denied).detail(detail));
        }
        // WHY: otherwise a key that expires soon could create one that never does.
        let not_after = caller.expires_at().filter(|_| caller.proof == Proof::ApiKey);
        let maker = caller.principal();
        let Some(key) = idempotency_key else { return self.make(maker, not_after, new, None).await };
        let (owner, fingerprint) = (caller.key(), new.fingerprint());
        let once =
            Once { owner: &owner, tenant: &caller.tenant, route: ROUTE, key, fingerprint: &fingerprint };
        if let Some(made) = self.made_before(&once).await? {
            return Ok(made);
        }
        match self.make(maker, not_after, new, Some(&once)).await {
            // A request with the same idempotency key was faster: its answer counts.
            Err(error) if error.code() == Code::Conflict => self.made_before(&once).await?.ok_or(error),
            made => made,
        }
    }

    /// Returns the answer of an earlier request with this idempotency key.
    async fn made_before(&self, once: &Once<'_>) -> Result<Option<CreatedKey>> {
        let Some(made) = once.made(&self.0.db, self.0.clock.now()).await? else { return Ok(None) };
        let lost = || {
            Error::new(Code::Internal)
                .because("an answer that was kept under an idempotency key does not open")
        };
        let sealed = made.answer.as_deref().and_then(|text| STANDARD.decode(text).ok()).ok_or_else(lost)?;
        let plain =
            self.0.answers.open(&place(once), once.fingerprint.as_bytes(), &sealed).ok_or_else(lost)?;
        let (id, secret): (KeyId, String) =
            serde_json::from_slice(&plain).map_err(|error| lost().because(error))?;
        let sql = "SELECT id, prefix, user_id, name, roles, scopes, created_by, created_at, expires_at, last_used_at, \
                   revoked_at FROM api_keys WHERE id = $1";
        let info: KeyInfo = self.0.db.row(sql, args![id]).await?.ok_or_else(lost)?;
        Ok(Some(CreatedKey { key: secret.into(), info }))
    }

    /// Returns the row that keeps the answer for an idempotency key: sealed, since it shows the key.
    fn kept(&self, once: &Once<'_>, created: &CreatedKey) -> Result<Commit> {
        let nothing = || Error::new(Code::Internal).because("no random numbers");
        let plain = Zeroizing::new(json!([created.info.id, created.key.expose_secret()]).to_string());
        let sealed = self.0.answers.seal(&place(once), once.fingerprint.as_bytes(), plain.as_bytes());
        let answer = STANDARD.encode(sealed.ok_or_else(nothing)?);
        Ok(once.claim(Made { turn: None, answer: Some(answer) }, self.0.clock.now()))
    }

    /// Revokes a key of the caller's tenant. Repeating it is harmless.
    ///
    /// # Errors
    /// `not_found` if the tenant has no such key.
    pub async fn revoke_key(&self, caller: &Caller, id: KeyId) -> Result<()> {
        self.revoke(caller, id).await
    }

    /// Does the same as [`Self::create_key`] for the operator at the machine. The key's user must be given.
    ///
    /// # Errors
    /// As [`Self::create_key`].
    pub async fn operator_create_key(&self, tenant: &TenantId, new: NewKey) -> Result<CreatedKey> {
        if new.user.is_none() {
            return Err(Error::new(Code::BadRequest).detail("Say for which user the key is."));
        }
        self.make(&operator(tenant), None, new, None).await
    }

    /// Does the same as [`Self::revoke_key`] for the operator at the machine.
    ///
    /// # Errors
    /// As [`Self::revoke_key`].
    pub async fn operator_revoke(&self, tenant: &TenantId, id: KeyId) -> Result<()> {
        self.revoke(&operator(tenant), id).await
    }

    async fn make(
        &self,
        maker: &Principal,
        not_after: Option<Timestamp>,
        new: NewKey,
        once: Option<&Once<'_>>,
    ) -> Result<CreatedKey> {
        let user = new.user.unwrap_or_else(|| maker.user.clone());
        check_names([user.as_str(), maker.tenant.as_str()], [&new.roles, &new.scopes])?;
        check_life(new.expires)?;
        if maker.tenant.as_str() == INSTALLATION {
            let detail = format!("The tenant `{INSTALLATION}` is the installation's own; take another name.");
            return Err(Error::new(Code::BadRequest).detail(detail));
        }
        if new.name.len() > LONGEST_NAME || new.name.chars().any(char::is_control) {
            return Err(
                Error::new(Code::BadRequest).detail("The name of a key is one line of at most 256 bytes.")
            );
        }
        let (secret, id, now) = (Secret::generate()?, KeyId::random(), self.0.clock.now());
        let after = |life: Millis| Timestamp(now.0.saturating_add(i64::try_from(life.0).unwrap_or(i64::MAX)));
        let info = KeyInfo {
            id,
            prefix: secret.prefix,
            user: user.to_string(),
            name: new.name,
            roles: new.roles,
            scopes: new.scopes,
            created_by: made_by(maker),
            created_at: now,
            expires_at: new.expires.map(after).into_iter().chain(not_after).min(),
            last_used_at: None,
            revoked_at: None,
        };
        let commit = Commit::new().insert(
            "api_keys",
            [
                ("id", id.into()),
                ("prefix", info.prefix.as_str().into()),
                ("hash", secret.hash.into()),
                ("tenant", (&maker.tenant).into()),
                ("user_id", info.user.as_str().into()),
                ("name", info.name.as_str().into()),
                ("roles", json!(info.roles).to_string().into()),
                ("scopes", json!(info.scopes).to_string().into()),
                ("created_by", info.created_by.as_str().into()),
                ("created_at", now.into()),
                ("expires_at", info.expires_at.into()),
            ],
        );
        let detail = json!({
            "key": id, "user": info.user, "roles": info.roles, "scopes": info.scopes, "expires_at": info.expires_at,
        });
        let created = CreatedKey { key: secret.key, info };
        let once = once.map(|once| self.kept(once, &created)).transpose()?.unwrap_or_default();
        self.0.db.commit(self.told(commit.and(once), maker, "key.created", detail)).await?;
        Ok(created)
    }

    async fn revoke(&self, maker: &Principal, id: KeyId) -> Result<()> {
        let commit = Commit::new().guard(
            "key",
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2 AND tenant = $3",
            args![self.0.clock.now(), id, &maker.tenant],
        );
        let answer = self.0.db.commit(self.told(commit, maker, "key.revoked", json!({ "key": id }))).await;
        // WHY: also after an error, since the commit may have arrived.
        self.forget_records(|record| record.id == id);
        match answer {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(_)) => Err(Error::new(Code::NotFound)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn told(
        &self,
        mut commit: Commit,
        who: &Principal,
        event: &'static str,
        detail: Value,
    ) -> Commit {
        let entry =
            Entry { principal: who, event, turn: None, step: None, tool: None, request: None, detail };
        self.0.observe.audit(&mut commit, entry);
        commit
    }
}

/// Returns the creator of a key, as in lists: the user, and the key or the issuer with which they signed in.
fn made_by(maker: &Principal) -> String {
    match (maker.proof, &maker.client) {
        (Proof::ApiKey, Some(key)) => format!("{} ({key})", maker.user),
        (Proof::Jwt, _) => format!("{} ({})", maker.user, maker.issuer),
        _ => maker.user.to_string(),
    }
}

/// Returns the principal of the operator, who may run commands on this machine.
#[must_use]
pub fn operator(tenant: &TenantId) -> Principal {
    Principal::new(tenant.clone(), "operator", "cardea:operator", Proof::Embedded)
}

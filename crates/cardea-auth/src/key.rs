//! API keys: their format, their verification, and directories of them.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use cardea_core::{
    Code, Error, Result,
    canonical::hex,
    id::{ClientId, KeyId, TenantId, UserId},
    principal::{INSTALLATION, Principal, Proof},
    time::Timestamp,
};
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::{caller::Caller, reason::Reason};

/// Prefix of every API key.
pub(crate) const PREFIX: &str = "ck_";

/// The `Principal::issuer` of API keys.
pub(crate) const ISSUER: &str = "cardea:keys";

const ID_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 64;

/// Facts about an API key. The key itself is known only to its holder.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Id of the key.
    pub id: KeyId,
    /// The public part between `ck_` and the second underscore.
    pub prefix: String,
    /// SHA-256 of the whole key. The key has 256 random bits, so a slow hash would add nothing.
    pub hash: [u8; 32],
    /// The organisation.
    pub tenant: TenantId,
    /// The user that the key authenticates.
    pub user: UserId,
    /// The client that holds the key, as named in guards and logs. If absent: the id of the key.
    pub client: Option<ClientId>,
    /// Its roles.
    pub roles: BTreeSet<String>,
    /// Its scopes.
    pub scopes: BTreeSet<String>,
    /// Expiry.
    pub expires_at: Option<Timestamp>,
    /// Time of revocation.
    pub revoked_at: Option<Timestamp>,
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}

impl KeyRecord {
    /// Creates the record of an existing key.
    ///
    /// # Errors
    /// `bad_request` if the text is not of the form `ck_<16 digits>_<64 digits>` (hexadecimal, lower case).
    pub fn of(key: &SecretString, tenant: impl Into<TenantId>, user: impl Into<UserId>) -> Result<Self> {
        let text = key.expose_secret();
        let prefix =
            prefix_of(text).ok_or_else(|| Error::new(Code::BadRequest).detail("That is not an API key."))?;
        Ok(Self {
            id: KeyId::random(),
            prefix: prefix.to_owned(),
            hash: hash(text),
            tenant: tenant.into(),
            user: user.into(),
            client: None,
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            expires_at: None,
            revoked_at: None,
        })
    }

    /// Names the client that holds the key. Such a key can be used for calls, but not for turns that continue without
    /// it ([`crate::Auth::resume`] finds keys by their id).
    #[must_use]
    pub fn client(mut self, client: impl Into<ClientId>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// Adds roles.
    #[must_use]
    pub fn roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// Adds scopes.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Sets the expiry.
    #[must_use]
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Reason> {
        if self.tenant.as_str() == INSTALLATION {
            return Err(Reason::Tenant);
        }
        if self.revoked_at.is_some() {
            return Err(Reason::Revoked);
        }
        if self.expires_at.is_some_and(|at| now >= at) { Err(Reason::Expired) } else { Ok(()) }
    }

    pub(crate) fn caller(&self) -> Caller {
        let principal = Principal {
            tenant: self.tenant.clone(),
            user: self.user.clone(),
            client: Some(self.client.clone().unwrap_or_else(|| ClientId::new(self.id.to_string()))),
            issuer: ISSUER.to_owned(),
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            actors: Vec::new(),
            proof: Proof::ApiKey,
            address: None,
            metadata: Default::default(),
        };
        Caller::of(principal).with_key(self.id, self.expires_at)
    }
}

/// A key that was just created. It can be shown only now.
#[derive(Debug)]
pub struct NewKey {
    /// The whole key, for its holder.
    pub key: SecretString,
    /// The public part, for lookup.
    pub prefix: String,
    /// The hash to store.
    pub hash: [u8; 32],
}

impl NewKey {
    /// Creates a key with 256 random bits.
    ///
    /// # Errors
    /// `internal` if the operating system gives no random numbers.
    pub fn generate() -> Result<Self> {
        let (mut id, mut secret) =
            ([0_u8; ID_DIGITS / 2], zeroize::Zeroizing::new([0_u8; SECRET_DIGITS / 2]));
        let filled = rand::fill(&mut id).and_then(|()| rand::fill(secret.as_mut()));
        filled.map_err(|_| Error::new(Code::Internal).because("no random numbers"))?;
        let prefix = hex(&id);
        let key = format!("{PREFIX}{prefix}_{}", hex(secret.as_ref()));
        Ok(Self { hash: hash(&key), key: SecretString::from(key), prefix })
    }
}

/// A directory of API keys by their public part. It may remember records, but a revocation must take effect within
/// seconds.
pub trait KeyDirectory: Send + Sync {
    /// Returns the key with this public part, even if revoked.
    fn find<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>>>;

    /// Returns the key with this id, even if revoked; always read anew, never from memory.
    fn find_by_id(&self, id: KeyId) -> BoxFuture<'_, Result<Option<Arc<KeyRecord>>>>;

    /// Notified of each use. Must not block.
    fn used(&self, id: KeyId, at: Timestamp) {
        let _ = (id, at);
    }
}

/// A directory without keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeys;

impl KeyDirectory for NoKeys {
    fn find<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>>> {
        Box::pin(async { Ok(None) })
    }

    fn find_by_id(&self, _: KeyId) -> BoxFuture<'_, Result<Option<Arc<KeyRecord>>>> {
        Box::pin(async { Ok(None) })
    }
}

/// A directory of fixed keys: for tool servers and tests.
#[derive(Debug, Clone, Default)]
pub struct StaticKeys(HashMap<String, Arc<KeyRecord>>);

impl StaticKeys {
    /// Adds a key.
    #[must_use]
    pub fn with(mut self, record: KeyRecord) -> Self {
        self.0.insert(record.prefix.clone(), Arc::new(record));
        self
    }
}

impl KeyDirectory for StaticKeys {
    fn find<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Option<Arc<KeyRecord>>>> {
        Box::pin(async move { Ok(self.0.get(prefix).cloned()) })
    }

    fn find_by_id(&self, id: KeyId) -> BoxFuture<'_, Result<Option<Arc<KeyRecord>>>> {
        Box::pin(async move { Ok(self.0.values().find(|record| record.id == id).cloned()) })
    }
}

/// Verifies a key against a directory.
pub(crate) async fn check(
    directory: &dyn KeyDirectory,
    key: &SecretString,
    now: Timestamp,
) -> Result<Caller> {
    let text = key.expose_secret();
    let prefix = prefix_of(text).ok_or(Reason::ApiKey)?;
    let record = directory.find(prefix).await?;
    // WHY: an unknown prefix is compared as well, so that it takes as long as a wrong secret.
    let expected = record.as_ref().map_or([0; 32], |record| record.hash);
    let same = bool::from(hash(text).ct_eq(&expected));
    let record = record.filter(|_| same).ok_or(Reason::ApiKey)?;
    record.check(now)?;
    directory.used(record.id, now);
    Ok(record.caller())
}

fn hash(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

fn prefix_of(key: &str) -> Option<&str> {
    let (prefix, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (prefix.len() == ID_DIGITS && secret.len() == SECRET_DIGITS && digits(prefix) && digits(secret))
        .then_some(prefix)
}

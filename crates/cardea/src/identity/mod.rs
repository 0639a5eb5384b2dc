//! Room `identity`: tokens and keys that this installation issues, and their revocation.
//!
//! Promises: signing keys are sealed in the vault. An API key is shown once, and only its hash is kept. A token for an
//! upstream names the user and says that Cardea acts, is valid for that upstream alone, and lives five minutes at most
//! and never longer than the credential it is based on. The user's own token is not passed on. A revocation is
//! recorded in the same commit as its audit entry, and survives a restart.
//!
//! Refuses: to issue tokens for signing in here unless the local issuer is enabled. Its tokens carry an issuer name
//! and a key of their own, so an upstream that trusts Cardea does not take one for a token of Cardea.
//!
//! Called by: the start of the program, `action` (calls to upstreams), the API and the commands (keys, tokens). `auth`
//! uses it as its directory of API keys.

mod directory;
mod issue;
mod keys;
mod listed;
mod revoke;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use cardea_auth::{IssuerConfig, KeyRecord, Lifetime, Signer};
use cardea_core::{
    Result,
    id::{KeyId, TenantId},
    principal::INSTALLATION,
    secret::SecretString,
    time::{Millis, SharedClock, Timestamp},
    units::LengthText,
};
use cardea_store::Db;
use moka::sync::Cache;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::{
    issue::{Mint, try_out_is_off},
    keys::{CreatedKey, KeyInfo, NewKey, operator},
    listed::{Which, makers},
    revoke::{Revoke, Revoked, is_name},
};
use crate::{
    observe::Observe,
    vault::{Sealer, Vault},
};

/// The `iss` of tokens for upstreams.
pub const ISSUER: &str = "cardea";

/// The `iss` of tokens for trying out.
pub const TRY_OUT_ISSUER: &str = "cardea-try-out";

/// The `aud` of tokens for trying out.
pub const TRY_OUT_AUDIENCE: &str = "cardea";

/// How long a record of an API key may be remembered. A revocation at another node takes effect here after this time
/// at the latest.
const REMEMBER: Duration = Duration::from_secs(5);

/// `[local_issuer]`: an issuer inside Cardea, for trying out. Refused if other machines can reach the server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether its tokens (`cardea token`) are accepted.
    pub enabled: bool,
    /// Lifetime of its tokens; at most one day.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub lifetime: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: false, lifetime: Millis::from_secs(900) }
    }
}

/// The room. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    db: Db,
    observe: Observe,
    clock: SharedClock,
    /// Seals answers that show a key, for repeats of the request.
    answers: Sealer,
    /// Signs tokens for upstreams.
    signer: Signer,
    /// Signs tokens for trying out.
    try_out: Option<(Signer, Millis)>,
    issued: Cache<String, (SecretString, Timestamp)>,
    records: Cache<String, Arc<KeyRecord>>,
    /// Number of times that records were forgotten.
    forgotten: AtomicU64,
    used: Mutex<HashMap<KeyId, Timestamp>>,
    /// Number of the last revocation that `auth` was told.
    learnt: AtomicI64,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Opens the room; creates the signing keys at the first start.
    ///
    /// # Errors
    /// Errors of the vault and the store.
    pub async fn open(
        db: Db,
        observe: Observe,
        vault: &Vault,
        clock: SharedClock,
        config: &Config,
    ) -> Result<Self> {
        let ourselves = TenantId::from(INSTALLATION);
        let key = vault.open_or_make(&ourselves, "identity/upstream-key", Signer::new_key).await?;
        let signer = Signer::new(ISSUER, &key, Lifetime::Short)?;
        let try_out = if config.enabled {
            let key = vault.open_or_make(&ourselves, "identity/try-out-key", Signer::new_key).await?;
            Some((Signer::new(TRY_OUT_ISSUER, &key, Lifetime::TryOut)?, config.lifetime))
        } else {
            None
        };
        Ok(Self(Arc::new(Inner {
            db,
            observe,
            clock,
            answers: vault.sealer("identity/answers").await?,
            signer,
            try_out,
            issued: Cache::builder().max_capacity(20_000).time_to_live(issue::LONGEST.duration()).build(),
            records: Cache::builder().max_capacity(20_000).time_to_live(REMEMBER).build(),
            forgotten: AtomicU64::new(0),
            used: Mutex::default(),
            learnt: AtomicI64::new(0),
        })))
    }

    /// Returns the public keys of tokens for upstreams and, if enabled, of the local issuer.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let sets = [Some(self.0.signer.jwks()), self.0.try_out.as_ref().map(|(signer, _)| signer.jwks())];
        let keys: Vec<Value> =
            sets.iter().flatten().filter_map(|set| set.get("keys")?.as_array().cloned()).flatten().collect();
        json!({ "keys": keys })
    }

    /// Returns the public key of tokens for upstreams alone, to be given to an upstream.
    #[must_use]
    pub fn upstream_jwks(&self) -> Value {
        self.0.signer.jwks()
    }

    /// Returns the local issuer's configuration for `auth`, if it is enabled.
    #[must_use]
    pub fn try_out_issuer(&self) -> Option<IssuerConfig> {
        let (signer, _) = self.0.try_out.as_ref()?;
        let issuer = IssuerConfig::new(TRY_OUT_ISSUER, TRY_OUT_AUDIENCE).jwks(signer.jwks().to_string());
        Some(issuer.tenant_claim("tenant").at_jwt())
    }
}

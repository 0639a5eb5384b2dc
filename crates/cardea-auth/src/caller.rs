//! The proof of authentication.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Deref,
    sync::Arc,
};

use cardea_core::{
    id::{ClientId, KeyId, TenantId, UserId},
    principal::Principal,
    time::Timestamp,
};
use serde_json::{Map, Value};

/// Proof that a credential was verified for this request. Only this crate makes one.
///
/// ```compile_fail,E0451
/// # use cardea_auth::Caller;
/// # use cardea_core::principal::Principal;
/// fn forged(caller: Caller, other: Principal) -> Caller {
///     Caller { principal: other.into(), ..caller }
/// }
/// ```
///
/// Cheap to clone. Dereferences to the [`Principal`] that it proves.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Arc<Principal>,
    claims: Arc<Map<String, Value>>,
    issued_at: Option<Timestamp>,
    began_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    token: Option<Arc<str>>,
    key: Option<KeyId>,
    bound_to: Option<Arc<str>>,
}

impl Caller {
    pub(crate) fn of(principal: Principal) -> Self {
        Self {
            principal: Arc::new(principal),
            claims: Arc::default(),
            issued_at: None,
            began_at: None,
            expires_at: None,
            token: None,
            key: None,
            bound_to: None,
        }
    }

    pub(crate) fn with_claims(mut self, claims: Map<String, Value>, expires_at: Timestamp) -> Self {
        self.claims = Arc::new(claims);
        self.expires_at = Some(expires_at);
        self
    }

    pub(crate) fn issued(mut self, at: Option<Timestamp>) -> Self {
        self.issued_at = at;
        self
    }

    /// Sets when the turn of a resumed caller began, by the clock of this installation.
    pub(crate) fn began(mut self, at: Timestamp) -> Self {
        self.began_at = Some(at);
        self.issued(Some(at))
    }

    pub(crate) const fn began_at(&self) -> Option<Timestamp> {
        self.began_at
    }

    pub(crate) fn with_token(mut self, id: String) -> Self {
        self.token = Some(id.into());
        self
    }

    pub(crate) fn with_key(mut self, key: KeyId, expires_at: Option<Timestamp>) -> Self {
        self.key = Some(key);
        self.expires_at = expires_at;
        self
    }

    pub(crate) fn bound_to(mut self, thumbprint: Option<String>) -> Self {
        self.bound_to = thumbprint.map(Arc::from);
        self
    }

    /// Returns the thumbprint of the key that must prove each use of the token.
    pub(crate) fn binding(&self) -> Option<&str> {
        self.bound_to.as_deref()
    }

    pub(crate) fn from(mut self, address: Option<IpAddr>) -> Self {
        if self.principal.address != address {
            Arc::make_mut(&mut self.principal).address = address;
        }
        self
    }

    /// Returns the facts about the caller, to be stored with a turn.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Returns all claims of the verified token; empty for other credentials.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Returns when the token was issued, if it says so. For the caller of a resumed turn, an upper limit of that.
    #[must_use]
    pub const fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
    }

    /// Returns the id of the token, if it was one: its `jti`, or a digest of the signed text.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Returns the expiry of the credential.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Returns the API key, if it was one.
    #[must_use]
    pub const fn key_id(&self) -> Option<KeyId> {
        self.key
    }
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

/// Facts about a user that an embedding program vouches for.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedClaims {
    /// The organisation.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// The client that the user came with.
    pub client: Option<ClientId>,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Scopes.
    pub scopes: BTreeSet<String>,
    /// Client address, if known.
    pub address: Option<IpAddr>,
    /// Further facts for policies.
    pub metadata: BTreeMap<String, Value>,
}

impl VerifiedClaims {
    /// Creates a user without roles or scopes.
    pub fn new(tenant: impl Into<TenantId>, user: impl Into<UserId>) -> Self {
        Self {
            tenant: tenant.into(),
            user: user.into(),
            client: None,
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            address: None,
            metadata: BTreeMap::new(),
        }
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.insert(role.into());
        self
    }

    /// Adds a scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.insert(scope.into());
        self
    }
}

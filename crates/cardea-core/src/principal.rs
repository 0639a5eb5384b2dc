//! The principal: who makes a request, as plain facts.
//!
//! A [`Principal`] is a description and proves nothing. The proof is `cardea_auth::Caller`, which only authentication
//! can make and which carries a principal.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{ClientId, TenantId, UserId};

/// How a principal was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A signed token of a configured issuer.
    Jwt,
    /// An API key that this installation made.
    ApiKey,
    /// The operator's own program vouches for the user (Cardea embedded as a library).
    Embedded,
    /// Nothing was proved; only if a server was configured to allow it.
    Anonymous,
}

/// Everything known about a requester, from verified sources only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Principal {
    /// The organisation; `default` if the issuer names none.
    pub tenant: TenantId,
    /// The user (`sub`), unique inside tenant and issuer.
    pub user: UserId,
    /// The client or key that the user authenticated with (`client_id`, `azp` or the id of the key).
    pub client: Option<ClientId>,
    /// The issuer that vouches for the user (`iss`), or `cardea:keys` for API keys.
    pub issuer: String,
    /// Roles, as found at the issuer's claim path.
    pub roles: BTreeSet<String>,
    /// Scopes (RFC 6749 section 3.3), split at spaces.
    pub scopes: BTreeSet<String>,
    /// The chain of actors, outermost first (RFC 8693 section 4.1): those who act on behalf of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<String>,
    /// How the principal was authenticated.
    pub proof: Proof,
    /// Client address, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Further verified facts (plan, department, …) for policies and handlers; bounded by `auth`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

/// The tenant of what the installation does on its own behalf. No credential belongs to it.
pub const INSTALLATION: &str = "cardea";

impl Principal {
    /// Creates a user of a tenant, vouched for by an issuer, without rights or further facts.
    #[must_use]
    pub fn new(
        tenant: impl Into<TenantId>,
        user: impl Into<UserId>,
        issuer: impl Into<String>,
        proof: Proof,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            user: user.into(),
            client: None,
            issuer: issuer.into(),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            actors: Vec::new(),
            proof,
            address: None,
            metadata: BTreeMap::new(),
        }
    }

    /// Returns the installation itself as the principal, acting in this tenant.
    #[must_use]
    pub fn installation(tenant: TenantId) -> Self {
        Self::new(tenant, "cardea", "cardea", Proof::Embedded)
    }

    /// Returns whether the principal has the role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    /// Returns whether both are the same user: same tenant, issuer and `sub`.
    ///
    /// Roles and clients may differ: a renewed token still belongs to the same user.
    #[must_use]
    pub fn same_user(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.issuer == other.issuer && self.user == other.user
    }

    /// Returns whether both are the same to a policy: the same user with the same rights and facts. Policies do not
    /// see addresses.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        let Self { tenant, user, client, issuer, roles, scopes, actors, proof, address: _, metadata } = self;
        (tenant, user, client, issuer) == (&other.tenant, &other.user, &other.client, &other.issuer)
            && (roles, scopes, actors) == (&other.roles, &other.scopes, &other.actors)
            && (proof, metadata) == (&other.proof, &other.metadata)
    }

    /// Returns an unambiguous text for (tenant, issuer, user), for keys and digests.
    ///
    /// Each part is preceded by its length, so that no choice of names makes two users equal.
    #[must_use]
    pub fn key(&self) -> String {
        owner_key(&self.tenant, &self.issuer, &self.user)
    }

    /// Returns the issuer in such a text; `None` for another text.
    #[must_use]
    pub fn issuer_in(key: &str) -> Option<&str> {
        let part = |text: &'_ str| -> Option<(usize, usize)> {
            let (length, rest) = text.split_once(':')?;
            let (begins, length) = (text.len() - rest.len(), length.parse::<usize>().ok()?);
            let ends = begins.checked_add(length)?;
            (text.get(begins..ends).is_some() && text.get(ends..)?.starts_with(';')).then_some((begins, ends))
        };
        let (_, tenant) = part(key)?;
        let rest = key.get(tenant + 1..)?;
        let (begins, ends) = part(rest)?;
        rest.get(begins..ends)
    }
}

/// Returns the [`Principal::key`] of the user with this name at this issuer in a tenant.
#[must_use]
pub fn owner_key(tenant: &TenantId, issuer: &str, user: &UserId) -> String {
    let parts = [tenant.as_str(), issuer, user.as_str()];
    let mut key = String::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        key.push_str(&part.len().to_string());
        key.push(':');
        key.push_str(part);
        key.push(';');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_read_from_the_key_whatever_the_names_are_made_of() {
        for issuer in ["https://idp.example", "", "3:a;b", "ü;;4:"] {
            let principal = Principal::new("2:x;", "1:y;", issuer, Proof::Jwt);
            assert_eq!(Principal::issuer_in(&principal.key()), Some(issuer));
        }
        for odd in ["", "x", "3:ab", "1:a;99:b;", "18446744073709551615:a;1:b;"] {
            assert_eq!(Principal::issuer_in(odd), None, "{odd}");
        }
    }
}

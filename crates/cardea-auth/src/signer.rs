//! Tokens issued by Cardea: EdDSA, short-lived, marked as access tokens.

use std::collections::BTreeSet;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_core::{
    Code, Error, Result,
    id::{TenantId, UserId, random_bits},
    secret::SecretString,
    time::{Millis, Timestamp},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// Limit of the lifetime of a signer's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// At most fifteen minutes.
    Short,
    /// At most a day: for the local issuer.
    TryOut,
}

impl Lifetime {
    const fn most(self) -> Millis {
        match self {
            Self::Short => Millis::from_secs(15 * 60),
            Self::TryOut => Millis::from_secs(24 * 3_600),
        }
    }
}

/// Claims of a token.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The user.
    pub subject: UserId,
    /// The audience.
    pub audience: String,
    /// The organisation.
    pub tenant: TenantId,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Scopes.
    pub scopes: BTreeSet<String>,
    /// The client.
    pub client: Option<String>,
    /// Actors on behalf of the user, outermost first.
    pub actors: Vec<String>,
    /// Lifetime.
    pub lifetime: Millis,
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    tenant: &'a str,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    roles: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Value>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// An Ed25519 key that signs tokens for one issuer name.
pub struct Signer {
    issuer: String,
    pair: Ed25519KeyPair,
    header: String,
    kid: String,
    longest: Millis,
}

impl Signer {
    /// Creates a new key, in the form in which it is stored.
    ///
    /// # Errors
    /// `internal` if the operating system gives no random numbers.
    pub fn new_key() -> Result<Zeroizing<Vec<u8>>> {
        let pair = Ed25519KeyPair::generate().map_err(|_| no_key("cannot be made"))?;
        let document = pair.to_pkcs8().map_err(|_| no_key("cannot be written"))?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Creates a signer with a stored key.
    ///
    /// # Errors
    /// `internal` if the bytes are not such a key.
    pub fn new(issuer: impl Into<String>, key: &[u8], lifetime: Lifetime) -> Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(key).map_err(|_| no_key("cannot be read"))?;
        let kid = thumbprint(&public(&pair));
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid}).to_string());
        Ok(Self { issuer: issuer.into(), pair, header, kid, longest: lifetime.most() })
    }

    /// Returns the `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the id of its key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the key set with its public key.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let x = public(&self.pair);
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x}]})
    }

    /// Signs a token. A lifetime above the signer's own limit is cut to it.
    ///
    /// # Errors
    /// `internal` if the claims cannot be written.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<SecretString> {
        self.sign_with(claims, Map::new(), now)
    }

    /// Works like [`Self::sign`], with further claims.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_with(
        &self,
        claims: &Claims,
        more: Map<String, Value>,
        now: Timestamp,
    ) -> Result<SecretString> {
        let lifetime = claims.lifetime.min(self.longest);
        let issued = now.0.div_euclid(1_000);
        let payload = Payload {
            iss: &self.issuer,
            sub: claims.subject.as_str(),
            aud: &claims.audience,
            iat: issued,
            nbf: issued,
            exp: issued.saturating_add(i64::try_from(lifetime.0 / 1_000).unwrap_or(0)),
            jti: format!("{:032x}", random_bits()),
            tenant: claims.tenant.as_str(),
            roles: &claims.roles,
            scope: claims.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
            client_id: claims.client.as_deref(),
            act: claims.actors.iter().rev().fold(None, |inner, actor| {
                Some(match inner {
                    Some(inner) => json!({"sub": actor, "act": inner}),
                    None => json!({"sub": actor}),
                })
            }),
            more,
        };
        let body = serde_json::to_vec(&payload).map_err(|cause| Error::new(Code::Internal).because(cause))?;
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(body));
        let signature = self.pair.sign(signed.as_bytes());
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.issuer).field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn no_key(what: &'static str) -> Error {
    Error::new(Code::Internal).because(format!("the signing key {what}"))
}

fn public(pair: &Ed25519KeyPair) -> String {
    URL_SAFE_NO_PAD.encode(pair.public_key())
}

/// Returns the thumbprint of RFC 7638: the members in this order, without spaces.
fn thumbprint(x: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

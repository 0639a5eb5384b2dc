//! The `[auth]` part of the configuration.

use std::{collections::BTreeMap, path::PathBuf};

use cardea_core::{
    secret::SecretString,
    time::Millis,
    units::{LengthText, SecretText},
};
use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[auth]`: accepted credentials.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Issuers of tokens, each under a name of your choice.
    pub issuers: BTreeMap<String, IssuerConfig>,
    /// Whether API keys are accepted.
    pub api_keys: bool,
    /// Clock skew allowed when the times of a token are checked; at most one minute.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub leeway: Millis,
    /// How long a verified token may be remembered; never beyond its expiry.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub remember: Millis,
    /// How often key sets are fetched again.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub refresh: Millis,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            issuers: BTreeMap::new(),
            api_keys: true,
            leeway: Millis::from_secs(30),
            remember: Millis::from_secs(60),
            refresh: Millis::from_secs(300),
        }
    }
}

impl AuthConfig {
    /// Adds an issuer under a name.
    #[must_use]
    pub fn issuer(mut self, name: impl Into<String>, issuer: IssuerConfig) -> Self {
        self.issuers.insert(name.into(), issuer);
        self
    }
}

/// Which tokens of an issuer count as access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// No `typ`, `JWT` or `at+jwt`: for issuers that do not mark their access tokens. Tokens that look like ID tokens
    /// or logout tokens are still refused. An ID token that does not look like one passes if its `aud` matches, so
    /// prefer `at_jwt`.
    #[default]
    Unmarked,
    /// Only `typ: at+jwt` (RFC 9068).
    AtJwt,
}

/// An issuer of tokens. Exactly one of `secret`, `pem`, `pem_file`, `jwks`, `jwks_file` and `jwks_url` gives the key
/// to verify them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// Accepted `aud` values; a token must carry one of them. If `server.public_url` is set, the resource identifier
    /// of `/mcp` (`<public_url>/mcp`, as in its metadata) is accepted as well.
    pub audience: Vec<String>,
    /// Algorithms that its tokens may use. Empty: HS256 for a secret, else those of RS256, PS256, ES256, ES384 and
    /// EdDSA that fit the type of the keys.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub algorithms: Vec<Algorithm>,
    /// Shared secret of at least 32 bytes (HS256), for small installations.
    #[serde(default)]
    #[schemars(with = "Option<SecretText>")]
    pub secret: Option<SecretString>,
    /// Public key in PEM format.
    #[serde(default)]
    pub pem: Option<String>,
    /// File with one public key in PEM format.
    #[serde(default)]
    pub pem_file: Option<PathBuf>,
    /// JSON Web Key Set, as text.
    #[serde(default)]
    pub jwks: Option<String>,
    /// File with a JSON Web Key Set.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// URL of a JSON Web Key Set, fetched in the background.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Which tokens count as access tokens.
    #[serde(default)]
    pub token_kind: TokenKind,
    /// Claim that holds the roles, such as `realm_access.roles`.
    #[serde(default = "roles")]
    pub roles_claim: String,
    /// Claim that holds the scopes: `scope`, `scp`, …
    #[serde(default = "scope")]
    pub scopes_claim: String,
    /// Claim that holds the client. If absent: `client_id`, then `azp`.
    #[serde(default)]
    pub client_claim: Option<String>,
    /// Claim that holds the tenant. If absent, all users of this issuer belong to the tenant `tenant`.
    #[serde(default)]
    pub tenant_claim: Option<String>,
    /// Tenant of users whose token names none. If absent: `default` without a `tenant_claim`; with one, such tokens
    /// are refused.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Tenants that this issuer may name; tokens for others are refused. Empty: any. Set it if several issuers name
    /// tenants, since otherwise each of them can vouch for users of every tenant.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Further claims that policies and handlers may see.
    #[serde(default)]
    pub metadata_claims: Vec<String>,
}

fn roles() -> String {
    "roles".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

impl IssuerConfig {
    /// Creates an issuer without keys; set one of the key fields.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: vec![audience.into()],
            algorithms: Vec::new(),
            secret: None,
            pem: None,
            pem_file: None,
            jwks: None,
            jwks_file: None,
            jwks_url: None,
            token_kind: TokenKind::default(),
            roles_claim: roles(),
            scopes_claim: scope(),
            client_claim: None,
            tenant_claim: None,
            tenant: None,
            tenants: Vec::new(),
            metadata_claims: Vec::new(),
        }
    }

    /// Verifies tokens with a shared secret.
    #[must_use]
    pub fn secret(mut self, secret: SecretString) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Verifies tokens with one public key in PEM format.
    #[must_use]
    pub fn pem(mut self, pem: impl Into<String>) -> Self {
        self.pem = Some(pem.into());
        self
    }

    /// Verifies tokens with a JSON Web Key Set.
    #[must_use]
    pub fn jwks(mut self, jwks: impl Into<String>) -> Self {
        self.jwks = Some(jwks.into());
        self
    }

    /// Verifies tokens with a JSON Web Key Set that is fetched.
    #[must_use]
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks_url = Some(url.into());
        self
    }

    /// Reads the tenant from this claim.
    #[must_use]
    pub fn tenant_claim(mut self, claim: impl Into<String>) -> Self {
        self.tenant_claim = Some(claim.into());
        self
    }

    /// Reads the roles from this claim.
    #[must_use]
    pub fn roles_claim(mut self, claim: impl Into<String>) -> Self {
        self.roles_claim = claim.into();
        self
    }

    /// Accepts only tokens that are marked as access tokens.
    #[must_use]
    pub fn at_jwt(mut self) -> Self {
        self.token_kind = TokenKind::AtJwt;
        self
    }
}

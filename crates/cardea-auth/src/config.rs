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

/// `[auth]`: whose credentials are accepted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Issuers of tokens, by a name of your own.
    pub issuers: BTreeMap<String, IssuerConfig>,
    /// Whether API keys are accepted.
    pub api_keys: bool,
    /// The difference between clocks that a token's times may have; at most a minute.
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

/// Which tokens of an issuer are taken for access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// No `typ`, `JWT` or `at+jwt`: for issuers that do not mark their access tokens. What looks like an ID token or a
    /// logout token is refused all the same; one that does not look it passes if its `aud` fits, so prefer `at_jwt`.
    #[default]
    Unmarked,
    /// Only `typ: at+jwt` (RFC 9068).
    AtJwt,
}

/// One issuer of tokens. Exactly one of `secret`, `pem`, `pem_file`, `jwks`, `jwks_file` and `jwks_url` says how to
/// verify them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// The `aud` of which a token must carry one. Where `server.public_url` is set, the resource identifier of `/mcp`
    /// (`<public_url>/mcp`, as its metadata names it) is good as well.
    pub audience: Vec<String>,
    /// The algorithms that its tokens may use. Empty: HS256 for a secret, else RS256, PS256, ES256, ES384 and EdDSA
    /// as far as the keys are of that kind.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub algorithms: Vec<Algorithm>,
    /// A shared secret of at least 32 bytes (HS256). For small set-ups.
    #[serde(default)]
    #[schemars(with = "Option<SecretText>")]
    pub secret: Option<SecretString>,
    /// A public key in PEM form.
    #[serde(default)]
    pub pem: Option<String>,
    /// A file with one public key in PEM form.
    #[serde(default)]
    pub pem_file: Option<PathBuf>,
    /// A JSON key set, as text.
    #[serde(default)]
    pub jwks: Option<String>,
    /// A file with a JSON key set.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// The address of a JSON key set, fetched in the background.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Which tokens are taken for access tokens.
    #[serde(default)]
    pub token_kind: TokenKind,
    /// Where the roles stand in a token, such as `realm_access.roles`.
    #[serde(default = "roles")]
    pub roles_claim: String,
    /// Where the scopes stand in a token: `scope`, `scp`, …
    #[serde(default = "scope")]
    pub scopes_claim: String,
    /// Where the client stands in a token. Absent: `client_id`, then `azp`.
    #[serde(default)]
    pub client_claim: Option<String>,
    /// Where the tenant stands in a token. Absent: all users of this issuer are of the tenant `tenant`.
    #[serde(default)]
    pub tenant_claim: Option<String>,
    /// The tenant of users whose token does not say. Absent: `default` if no `tenant_claim` is set, else such
    /// tokens are refused.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The tenants that this issuer may name; tokens of others are refused. Empty: any. Set it where several issuers name
    /// tenants, or each of them can speak for all.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Claims that policies and handlers may see beside the usual ones.
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
    /// An issuer without keys; set one of the key fields.
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

    /// Verifies with a shared secret.
    #[must_use]
    pub fn secret(mut self, secret: SecretString) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Verifies with one public key in PEM form.
    #[must_use]
    pub fn pem(mut self, pem: impl Into<String>) -> Self {
        self.pem = Some(pem.into());
        self
    }

    /// Verifies with a JSON key set.
    #[must_use]
    pub fn jwks(mut self, jwks: impl Into<String>) -> Self {
        self.jwks = Some(jwks.into());
        self
    }

    /// Verifies with a JSON key set that is fetched.
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

    /// Takes only tokens that are marked as access tokens.
    #[must_use]
    pub fn at_jwt(mut self) -> Self {
        self.token_kind = TokenKind::AtJwt;
        self
    }
}

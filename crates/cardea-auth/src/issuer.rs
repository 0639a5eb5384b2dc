//! An issuer: its keys, its rules, and the mapping of its claims.

use std::{collections::BTreeMap, sync::Arc};

use cardea_core::{
    Code, Error,
    id::{ClientId, TenantId, UserId},
    principal::{INSTALLATION, Principal, Proof},
    secret::{ExposeSecret, check_signing_secret},
    time::{Millis, SharedClock, Timestamp},
};
use cardea_net::Net;
use jsonwebtoken::{Algorithm, crypto};
use serde_json::{Map, Value};

use crate::{
    caller::Caller,
    claims::{self, Parts},
    config::IssuerConfig,
    dpop,
    keyset::{KeySet, algorithm_of},
    reason::Reason,
    remote::Remote,
};

/// Limits of further claims that are passed to policies: their number, and the size of each.
const MOST_METADATA: usize = 32;
const LARGEST_METADATA: usize = 1_024;

enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Remote),
}

pub(crate) struct Issuer {
    config: IssuerConfig,
    algorithms: Vec<Algorithm>,
    keys: Keys,
}

impl Issuer {
    pub(crate) fn new(
        name: &str,
        config: IssuerConfig,
        net: &Net,
        clock: &SharedClock,
    ) -> Result<Self, Error> {
        let wrong =
            |what: &str| Error::new(Code::Misconfigured).detail(format!("`auth.issuers.{name}` {what}."));
        if config.issuer.is_empty()
            || config.audience.is_empty()
            || config.audience.iter().any(String::is_empty)
        {
            return Err(wrong("needs `issuer` and at least one `audience`"));
        }
        let keys = keys(&config, net, clock).map_err(|what| wrong(&what))?;
        let algorithms = algorithms(&config).map_err(wrong)?;
        if let Keys::Fixed(keys) = &keys
            && !keys.serves(&algorithms)
        {
            return Err(wrong("has no key for its `algorithms`"));
        }
        Ok(Self { config, algorithms, keys })
    }

    /// Returns the `iss` of its tokens.
    pub(crate) fn name(&self) -> &str {
        &self.config.issuer
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        match &self.keys {
            Keys::Remote(remote) => Some(remote),
            Keys::Fixed(_) => None,
        }
    }

    /// Verifies a token that names this issuer.
    pub(crate) async fn verify(
        &self,
        parts: Parts<'_>,
        now: Timestamp,
        leeway: Millis,
    ) -> Result<Caller, Reason> {
        claims::check_header(&parts.header, self.config.token_kind)?;
        let algorithm = self.algorithm(&parts.header)?;
        let kid = match parts.header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= 256 => Some(kid.as_str()),
            Some(_) => return Err(Reason::Header),
        };
        let keys = match &self.keys {
            Keys::Fixed(keys) => Arc::clone(keys),
            Keys::Remote(remote) => remote.keys_for(kid, algorithm).await?,
        };
        if keys.candidates(kid, algorithm).is_empty() {
            return Err(Reason::UnknownKey);
        }
        let is_signed = |keys: &KeySet| {
            let (signature, signed) = (parts.signature, parts.signed.as_bytes());
            let mut candidates = keys.candidates(kid, algorithm).into_iter();
            candidates.any(|key| crypto::verify(signature, signed, key, algorithm).unwrap_or(false))
        };
        if !is_signed(&keys) {
            // WHY: if no id says which key it was, only newer keys can show that it is none of them.
            let newer = match &self.keys {
                Keys::Remote(remote) if !keys.names(kid) => remote.newer(|keys| is_signed(keys)).await?,
                _ => return Err(Reason::Signature),
            };
            if !is_signed(&newer) {
                return Err(Reason::Signature);
            }
        }
        let expires_at = claims::check_times(&parts.claims, now, leeway)?;
        claims::check_kind(&parts.header, &parts.claims, &self.config.scopes_claim)?;
        if !claims::audience_fits(&parts.claims, &self.config.audience)? {
            return Err(Reason::Audience);
        }
        let key = dpop::binding(&parts.claims)?;
        let (id, issued_at) = (claims::token_id(&parts), claims::time(&parts.claims, "iat")?);
        let caller = Caller::of(self.principal(&parts.claims)?).with_claims(parts.claims, expires_at);
        Ok(caller.with_token(id).issued(issued_at).bound_to(key))
    }

    fn algorithm(&self, header: &Map<String, Value>) -> Result<Algorithm, Reason> {
        let named = header.get("alg").and_then(Value::as_str).ok_or(Reason::Header)?;
        let algorithm: Algorithm = algorithm_of(named).ok_or(Reason::Algorithm)?;
        if self.algorithms.contains(&algorithm) { Ok(algorithm) } else { Err(Reason::Algorithm) }
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, Reason> {
        let config = &self.config;
        let named =
            |path: &str, claim| claims::at(claims, path).map(|value| claims::name(value, claim)).transpose();
        let user = named("sub", "sub")?.ok_or(Reason::Claim("sub"))?;
        let client = match &config.client_claim {
            Some(path) => named(path, "client")?,
            None => named("client_id", "client")?.or(named("azp", "client")?),
        };
        let said = config.tenant_claim.as_deref().map(|path| named(path, "tenant")).transpose()?.flatten();
        let tenant = match (said, &config.tenant, &config.tenant_claim) {
            (Some(said), _, _) => said,
            (None, Some(fixed), _) => fixed.clone(),
            (None, None, None) => "default".to_owned(),
            (None, None, Some(_)) => return Err(Reason::Claim("tenant")),
        };
        let foreign = !config.tenants.is_empty() && !config.tenants.contains(&tenant);
        // Only the installation's own tokens, for its upstreams, may speak for it.
        if foreign || (tenant == INSTALLATION && config.issuer != INSTALLATION) {
            return Err(Reason::Tenant);
        }
        Ok(Principal {
            tenant: TenantId::new(tenant),
            user: UserId::new(user),
            client: client.map(ClientId::new),
            issuer: config.issuer.clone(),
            roles: claims::names(claims::at(claims, &config.roles_claim), "roles")?,
            scopes: claims::names(claims::at(claims, &config.scopes_claim), "scope")?,
            actors: claims::actors(claims)?,
            proof: Proof::Jwt,
            address: None,
            metadata: self.metadata(claims)?,
        })
    }

    fn metadata(&self, claims: &Map<String, Value>) -> Result<BTreeMap<String, Value>, Reason> {
        let mut found = BTreeMap::new();
        for path in self.config.metadata_claims.iter().take(MOST_METADATA) {
            if let Some(value) = claims::at(claims, path) {
                if value.to_string().len() > LARGEST_METADATA {
                    return Err(Reason::Claim("metadata"));
                }
                found.insert(path.clone(), value.clone());
            }
        }
        Ok(found)
    }
}

fn keys(config: &IssuerConfig, net: &Net, clock: &SharedClock) -> Result<Keys, String> {
    let given = [
        config.secret.is_some(),
        config.pem.is_some(),
        config.pem_file.is_some(),
        config.jwks.is_some(),
        config.jwks_file.is_some(),
        config.jwks_url.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(
            "must say in exactly one way how to verify its tokens: `secret`, `pem`, `pem_file`, `jwks`, \
                    `jwks_file` or `jwks_url`"
                .to_owned(),
        );
    }
    if let Some(url) = &config.jwks_url {
        cardea_net::Request::get(url, cardea_net::Egress::any())
            .map_err(|_| "has a `jwks_url` that is no URL")?;
        return Ok(Keys::Remote(Remote::new(url.clone(), net.clone(), Arc::clone(clock))));
    }
    if let Some(secret) = &config.secret {
        check_signing_secret(secret).map_err(|weak| format!("has a `secret` that {weak}"))?;
        return Ok(Keys::Fixed(Arc::new(KeySet::secret(secret.expose_secret()))));
    }
    key_set(config)
        .map(|keys| Keys::Fixed(Arc::new(keys)))
        .map_err(|(key, message)| format!("has a `{key}` that {message}"))
}

impl IssuerConfig {
    /// Checks, without network access, that tokens could be verified: the given keys, and the algorithms.
    ///
    /// # Errors
    /// The wrong key of this section, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        algorithms(self).map_err(|message| ("algorithms", message.to_owned()))?;
        if self.secret.is_none() && self.jwks_url.is_none() {
            key_set(self)?;
        }
        Ok(())
    }
}

/// Returns the public keys in the configuration or in a file that it names.
fn key_set(config: &IssuerConfig) -> Result<KeySet, (&'static str, String)> {
    const PEM: &str = "holds no public key in PEM: RSA, EC on P-256 or P-384, or Ed25519";
    const JWKS: &str = "holds no key set with a usable public key: {\"keys\": [...]} with RSA, EC or Ed25519 keys for signing";
    let read = |key: &'static str, path: &std::path::Path| {
        std::fs::read_to_string(path)
            .map_err(|cause| (key, format!("`{}` cannot be read: {cause}", path.display())))
    };
    let (key, found, wanted) = match (&config.pem, &config.pem_file, &config.jwks, &config.jwks_file) {
        (Some(pem), ..) => ("pem", KeySet::pem(pem), PEM),
        (_, Some(path), ..) => ("pem_file", KeySet::pem(&read("pem_file", path)?), PEM),
        (_, _, Some(jwks), _) => ("jwks", KeySet::jwks(jwks.as_bytes()), JWKS),
        (_, _, _, Some(path)) => ("jwks_file", KeySet::jwks(read("jwks_file", path)?.as_bytes()), JWKS),
        _ => ("jwks_url", None, "is missing"),
    };
    found.ok_or_else(|| (key, wanted.to_owned()))
}

fn algorithms(config: &IssuerConfig) -> Result<Vec<Algorithm>, &'static str> {
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, RS256};
    let symmetric = |algorithm: &Algorithm| matches!(algorithm, HS256 | HS384 | HS512);
    match (config.secret.is_some(), config.algorithms.as_slice()) {
        (true, []) => Ok(vec![HS256]),
        (false, []) => Ok(vec![RS256, PS256, ES256, ES384, EdDSA]),
        (true, listed) if listed.iter().all(symmetric) => Ok(listed.to_vec()),
        // WHY: using a public key as a shared secret is the classic algorithm confusion.
        (false, listed) if !listed.iter().any(symmetric) => Ok(listed.to_vec()),
        _ => Err("mixes `secret` and public keys in `algorithms`"),
    }
}

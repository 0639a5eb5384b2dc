//! Tokens that Cardea signs: for upstreams, and for trying out.

use std::collections::BTreeSet;

use cardea_auth::{Caller, Claims};
use cardea_core::{
    Code, Error, Result,
    id::{TenantId, UserId},
    principal::{INSTALLATION, Proof},
    secret::SecretString,
    time::{Millis, Timestamp},
};

use cardea_store::Commit;
use serde_json::json;

use super::{ISSUER, Identity, TRY_OUT_AUDIENCE};

/// Lifetime limit of a token for an upstream.
pub(super) const LONGEST: Millis = Millis::from_secs(5 * 60);

/// Remaining lifetime below which a token is not handed out again.
const SPARE: Millis = Millis::from_secs(60);

/// A token for trying out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mint {
    /// The user.
    pub user: UserId,
    /// Tenant of the user.
    pub tenant: TenantId,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Scopes.
    pub scopes: BTreeSet<String>,
    /// Lifetime; if absent, the configured one.
    pub lifetime: Option<Millis>,
}

impl Mint {
    /// Creates a token without roles or scopes.
    pub fn new(tenant: impl Into<TenantId>, user: impl Into<UserId>) -> Self {
        Self {
            user: user.into(),
            tenant: tenant.into(),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            lifetime: None,
        }
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
}

/// Returns the error for a disabled local issuer.
#[must_use]
pub fn try_out_is_off() -> Error {
    let detail = "Set `local_issuer.enabled = true` to try things out with tokens of Cardea itself.";
    Error::new(Code::Misconfigured).detail(detail)
}

/// Returns how the caller was authenticated, as tokens for upstreams say it.
const fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Jwt => "token",
        Proof::ApiKey => "api_key",
        Proof::Embedded => "embedded",
        Proof::Anonymous => "none",
    }
}

impl Identity {
    /// Signs a token with which this user can sign in here. For trying out only.
    ///
    /// # Errors
    /// `misconfigured` unless `local_issuer.enabled` is set, `bad_request` for an invalid name.
    pub fn mint(&self, mint: &Mint) -> Result<SecretString> {
        let Some((signer, lifetime)) = &self.0.try_out else {
            return Err(try_out_is_off());
        };
        super::keys::check_names([mint.user.as_str(), mint.tenant.as_str()], [&mint.roles, &mint.scopes])?;
        let claims = Claims {
            subject: mint.user.clone(),
            audience: TRY_OUT_AUDIENCE.to_owned(),
            tenant: mint.tenant.clone(),
            roles: mint.roles.clone(),
            scopes: mint.scopes.clone(),
            client: None,
            actors: Vec::new(),
            lifetime: mint.lifetime.unwrap_or(*lifetime),
        };
        signer.sign(&claims, self.0.clock.now())
    }

    /// Does the same as [`Self::mint`] for the operator at the machine, with an entry in the audit log.
    ///
    /// # Errors
    /// As [`Self::mint`]; store errors.
    pub async fn operator_mint(&self, mint: &Mint) -> Result<SecretString> {
        let token = self.mint(mint)?;
        let detail = json!({ "user": mint.user, "roles": mint.roles, "scopes": mint.scopes });
        let told = self.told(Commit::new(), &super::operator(&mint.tenant), "token.made", detail);
        self.0.db.commit(told).await?;
        Ok(token)
    }

    /// Returns a token for one upstream, in the caller's name. It is made once and handed out again until shortly
    /// before it expires.
    ///
    /// # Errors
    /// `token_expired` if the caller's own credential has expired.
    pub async fn for_upstream(&self, caller: &Caller, audience: &str) -> Result<SecretString> {
        let left = match caller.expires_at() {
            Some(end) => end.since(self.0.clock.now()),
            None => LONGEST,
        };
        // WHY: tokens count whole seconds; a token that expires on its way is useless.
        if left < Millis::from_secs(1) {
            return Err(Error::new(Code::TokenExpired));
        }
        let mut actors = vec![ISSUER.to_owned()];
        actors.extend(caller.actors.iter().cloned());
        let claims = Claims {
            subject: caller.user.clone(),
            audience: audience.to_owned(),
            tenant: caller.tenant.clone(),
            roles: caller.roles.clone(),
            scopes: caller.scopes.clone(),
            client: Some(ISSUER.to_owned()),
            actors,
            lifetime: left.min(LONGEST),
        };
        // WHY: otherwise the same name at two issuers, or an API key for it, would be one user to the upstream.
        let origin = Some((caller.issuer.as_str(), proof(caller.proof)));
        self.issue(&caller.key(), origin, &claims, caller.expires_at())
    }

    /// Returns a token for one upstream, in the name of the installation itself.
    ///
    /// # Errors
    /// `internal` if it cannot be signed.
    pub async fn for_installation(
        &self,
        audience: &str,
        roles: &[String],
        scopes: &[String],
    ) -> Result<SecretString> {
        let claims = Claims {
            subject: INSTALLATION.into(),
            audience: audience.to_owned(),
            tenant: INSTALLATION.into(),
            roles: roles.iter().cloned().collect(),
            scopes: scopes.iter().cloned().collect(),
            client: Some(ISSUER.to_owned()),
            actors: Vec::new(),
            lifetime: LONGEST,
        };
        self.issue("installation", None, &claims, None)
    }

    fn issue(
        &self,
        who: &str,
        origin: Option<(&str, &str)>,
        claims: &Claims,
        not_after: Option<Timestamp>,
    ) -> Result<SecretString> {
        let now = self.0.clock.now();
        let rights = [&claims.roles, &claims.scopes].map(|names| names.iter().cloned().collect::<Vec<_>>());
        // INVARIANT: everything that the token says is in the key, so no caller gets a token with someone else's
        // rights.
        let key = json!([who, origin, claims.audience, rights, claims.actors]).to_string();
        if let Some((token, end)) = self.0.issued.get(&key)
            && end.since(now) > SPARE
            // WHY: setting the clock back leaves tokens from the future, which no one accepts.
            && end.since(now) <= claims.lifetime
            && not_after.is_none_or(|limit| end <= limit)
        {
            return Ok(token);
        }
        let origin = origin.map(|(idp, proof)| json!({ "idp": idp, "idp_proof": proof }));
        let more = origin.and_then(|more| more.as_object().cloned()).unwrap_or_default();
        let token = self.0.signer.sign_with(claims, more, now)?;
        let end = Timestamp(now.0.saturating_add(i64::try_from(claims.lifetime.0).unwrap_or(0)));
        self.0.issued.insert(key, (token.clone(), end));
        Ok(token)
    }
}

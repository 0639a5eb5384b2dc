//! The room `auth`: verifies credentials.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use cardea_core::{
    Code, Error, Result,
    id::{KeyId, TenantId, UserId},
    principal::{INSTALLATION, Principal, Proof},
    time::{Millis, SharedClock, Timestamp},
};
use cardea_net::Net;
use futures::future::join_all;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    caller::{Caller, VerifiedClaims},
    claims,
    config::AuthConfig,
    credentials::{Credentials, Shown},
    dpop,
    issuer::Issuer,
    key::{self, KeyDirectory, KeyRecord},
    reason::Reason,
    remembered::{Remembered, fingerprint},
    remote::{Asked, Remote},
    revoked::{Revocation, Revoked},
};

const MOST_LEEWAY: Millis = Millis::from_secs(60);
const LARGEST_TOKEN: usize = 8 * 1024;

/// Shortest interval of scheduled fetches of key sets.
const OFTENEST: Millis = Millis::from_secs(30);

/// Verifies credentials and makes a [`Caller`]. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    issuers: HashMap<String, Issuer>,
    directory: Option<Arc<dyn KeyDirectory>>,
    remembered: Remembered,
    proofs: dpop::Seen,
    revoked: Revoked,
    clock: SharedClock,
    leeway: Millis,
    refresh: Millis,
}

/// Verified facts of a token. They prove nothing about who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// The organisation.
    pub tenant: TenantId,
    /// The issuer.
    pub issuer: String,
    /// The user.
    pub user: UserId,
    /// Its [`Caller::token_id`].
    pub id: String,
    /// Its expiry.
    pub expires_at: Option<Timestamp>,
}

/// Unverified identity of a token, for its revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenName {
    /// The issuer that it names.
    pub issuer: Option<String>,
    /// Its [`Caller::token_id`].
    pub id: String,
    /// The expiry that it states.
    pub expires_at: Option<Timestamp>,
}

impl Auth {
    /// Builds the room. Key sets behind URLs are fetched by [`Auth::keep_fresh`], or with the first token.
    ///
    /// # Errors
    /// `misconfigured`, naming the wrong key.
    pub fn new(
        config: AuthConfig,
        net: Net,
        clock: SharedClock,
        directory: Arc<dyn KeyDirectory>,
    ) -> Result<Self> {
        if config.leeway > MOST_LEEWAY {
            return Err(Error::new(Code::Misconfigured).detail("`auth.leeway` may be at most a minute."));
        }
        let mut issuers = HashMap::new();
        for (name, issuer) in config.issuers {
            let issuer = Issuer::new(&name, issuer, &net, &clock)?;
            if let Some(other) = issuers.insert(issuer.name().to_owned(), issuer) {
                let detail = format!("Two of `auth.issuers` have the issuer `{}`.", other.name());
                return Err(Error::new(Code::Misconfigured).detail(detail));
            }
        }
        Ok(Self(Arc::new(Inner {
            issuers,
            directory: config.api_keys.then_some(directory),
            remembered: Remembered::new(config.remember),
            proofs: dpop::Seen::default(),
            revoked: Revoked::new(config.leeway),
            clock,
            leeway: config.leeway,
            refresh: config.refresh.max(OFTENEST),
        })))
    }

    /// Verifies the credential of a request.
    ///
    /// # Errors
    /// `not_signed_in` without one, `token_expired` for an expired one, `token_invalid` for any other; the [`Reason`]
    /// is in the cause, for the log. Errors of the key directory are passed on. `store_unavailable` if this node is
    /// informed of revocations and has not been for half a minute.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Caller> {
        let caller = match &credentials.shown {
            Shown::Nothing => return Err(Error::new(Code::NotSignedIn)),
            Shown::Token(_) | Shown::Bound(..) if self.0.revoked.is_stale() => return Err(unsure()),
            Shown::Token(token) | Shown::Bound(token, _) => {
                let caller = self.token(token.expose_secret(), credentials.peer).await?;
                self.held(&caller, credentials)?;
                caller
            }
            Shown::Key(key) => {
                let directory = self.0.directory.as_deref().ok_or(Reason::ApiKey)?;
                key::check(directory, key, self.0.clock.now()).await?
            }
        };
        Ok(caller.from(credentials.peer))
    }

    async fn token(&self, token: &str, peer: Option<IpAddr>) -> Result<Caller, Reason> {
        if token.len() > LARGEST_TOKEN {
            return Err(Reason::Size);
        }
        let (print, now) = (fingerprint(token), self.0.clock.now());
        let known = self.0.remembered.get(&print, now);
        let fresh = known.is_none();
        let caller = match known {
            Some(caller) => caller,
            // WHY: kept with its address, so that the next request from there shares it instead of copying it.
            None => self.verify(token, now).await?.from(peer),
        };
        self.0.revoked.check(&caller)?;
        if fresh {
            self.0.remembered.keep(print, caller.clone());
        }
        Ok(caller)
    }

    /// Checks that the sender of a key-bound token holds the key. Done for each request, even if the token is
    /// remembered.
    fn held(&self, caller: &Caller, credentials: &Credentials) -> Result<(), Reason> {
        match (caller.binding(), &credentials.shown, &credentials.target) {
            (None, Shown::Bound(..), _) => Err(Reason::Proof("unbound token")),
            (None, ..) => Ok(()),
            (Some(_), _, None) => Err(Reason::Bound),
            (Some(thumbprint), Shown::Bound(token, proof), Some(target)) => {
                let expected = dpop::Expected { target, token: token.expose_secret(), thumbprint };
                dpop::check(proof, &expected, self.0.clock.now(), &self.0.proofs)
            }
            (Some(_), _, Some(_)) => Err(Reason::Proof("missing")),
        }
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, Reason> {
        let parts = claims::parts(token)?;
        let issuer = parts.claims.get("iss").and_then(|value| value.as_str()).ok_or(Reason::Claim("iss"))?;
        let issuer = self.0.issuers.get(issuer).ok_or(Reason::Issuer)?;
        issuer.verify(parts, now, self.0.leeway).await
    }

    /// Verifies a token that is to be revoked, and returns its facts.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn read(&self, token: &SecretString) -> Result<TokenFacts> {
        let caller = self.token(token.expose_secret(), None).await?;
        Ok(TokenFacts {
            tenant: caller.tenant.clone(),
            issuer: caller.issuer.clone(),
            user: caller.user.clone(),
            id: caller.token_id().unwrap_or_default().to_owned(),
            expires_at: caller.expires_at(),
        })
    }

    /// Returns the identity that a token states, if it is a token at all; nothing of it is verified.
    #[must_use]
    pub fn name_of(token: &SecretString) -> Option<TokenName> {
        let parts = claims::parts(token.expose_secret()).ok()?;
        Some(TokenName {
            issuer: parts.claims.get("iss").and_then(|issuer| issuer.as_str()).map(str::to_owned),
            id: claims::token_id(&parts),
            expires_at: claims::time(&parts.claims, "exp").ok().flatten(),
        })
    }

    /// Checks again, right before an effect, that the credential was not revoked since.
    ///
    /// # Errors
    /// `token_invalid` if it was, `token_expired` for an expired API key; errors of the key directory.
    pub async fn still(&self, caller: &Caller) -> Result<()> {
        match (caller.proof, caller.key_id()) {
            (Proof::Jwt, _) if self.0.revoked.is_stale() => Err(unsure()),
            (Proof::Jwt, _) => Ok(self.0.revoked.check(caller)?),
            (Proof::ApiKey, Some(id)) => Ok(self.record(id).await?.check(self.0.clock.now())?),
            _ => Ok(()),
        }
    }

    async fn record(&self, id: KeyId) -> Result<Arc<KeyRecord>> {
        let directory = self.0.directory.as_deref().ok_or(Reason::ApiKey)?;
        Ok(directory.find_by_id(id).await?.ok_or(Reason::ApiKey)?)
    }

    /// Returns the caller for a user that the embedding program vouches for.
    ///
    /// # Errors
    /// `bad_request` for names that a token may not have either: empty, longer than 256 bytes, or with control
    /// characters.
    pub fn embedded(&self, claims: VerifiedClaims) -> Result<Caller> {
        let texts = [("tenant", claims.tenant.as_str()), ("user", claims.user.as_str())];
        let client = claims.client.as_ref().map(|client| ("client", client.as_str()));
        let roles = claims.roles.iter().map(|role| ("role", role.as_str()));
        let scopes = claims.scopes.iter().map(|scope| ("scope", scope.as_str()));
        let all = texts.into_iter().chain(client).chain(roles).chain(scopes);
        let odd = all.filter(|(_, text)| !claims::is_name(text)).map(|(what, _)| what).next();
        if let Some(what) = odd {
            let detail = format!("A {what} is 1 to 256 bytes without control characters.");
            return Err(Error::new(Code::BadRequest).detail(detail));
        }
        if claims.tenant.as_str() == INSTALLATION {
            let detail = format!("The tenant `{INSTALLATION}` is the installation's own; take another name.");
            return Err(Error::new(Code::BadRequest).detail(detail));
        }
        Ok(Caller::of(Principal {
            tenant: claims.tenant,
            user: claims.user,
            client: claims.client,
            issuer: "cardea:embedded".to_owned(),
            roles: claims.roles,
            scopes: claims.scopes,
            actors: Vec::new(),
            proof: Proof::Embedded,
            address: claims.address,
            metadata: claims.metadata,
        }))
    }

    /// Returns an unauthenticated caller without rights; only for servers that are configured to accept such callers.
    #[must_use]
    pub fn anonymous(&self, address: Option<IpAddr>) -> Caller {
        Caller::of(Principal {
            tenant: TenantId::from("default"),
            user: UserId::from("anonymous"),
            client: None,
            issuer: "cardea:anonymous".to_owned(),
            roles: Default::default(),
            scopes: Default::default(),
            actors: Vec::new(),
            proof: Proof::Anonymous,
            address,
            metadata: Default::default(),
        })
    }

    /// Returns the caller of a turn that began at `since` and continues after a pause. The token is not sent again, so
    /// only the rest can be checked: that its issuer is still trusted and its user was not revoked since, or that an
    /// API key is still valid, with its present rights.
    ///
    /// # Errors
    /// `token_invalid` or `token_expired`; errors of the key directory.
    pub async fn resume(&self, principal: Principal, since: Timestamp) -> Result<Caller> {
        match principal.proof {
            Proof::Jwt if !self.0.issuers.contains_key(&principal.issuer) => Err(Reason::Issuer.into()),
            Proof::Jwt => {
                // WHY: the token was valid when the turn began, so it was issued before that.
                let caller = Caller::of(principal).began(since);
                self.still(&caller).await.map(|()| caller)
            }
            Proof::ApiKey => {
                let id = principal.client.as_ref().and_then(|client| client.as_str().parse::<KeyId>().ok());
                let record = self.record(id.ok_or(Reason::ApiKey)?).await?;
                record.check(self.0.clock.now())?;
                let caller = record.caller();
                if !caller.same_user(&principal) {
                    return Err(Reason::ApiKey.into());
                }
                Ok(caller.from(principal.address))
            }
            Proof::Embedded | Proof::Anonymous => Ok(Caller::of(principal)),
        }
    }

    /// Applies a revocation on this node from now on.
    pub fn revoke(&self, revocation: &Revocation) {
        self.0.revoked.add(revocation, self.0.clock.now());
    }

    /// Records that this node knows all revocations up to now. After the first call, tokens are refused if the last
    /// one was too long ago.
    pub fn revocations_known(&self) {
        self.0.revoked.heard();
    }

    /// Fetches all key sets now, concurrently.
    pub async fn refresh(&self) {
        join_all(self.remotes().map(|remote| remote.refresh(Asked::BySchedule))).await;
    }

    /// Fetches all key sets now and then at the configured interval, sooner after a failure. Runs for ever: spawn it
    /// as a task.
    pub async fn keep_fresh(self) {
        join_all(self.remotes().map(|remote| keep(remote, self.0.refresh))).await;
        // There is none.
        std::future::pending().await
    }

    /// Returns whether the keys of all issuers are available.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.remotes().all(Remote::is_ready)
    }

    /// Returns the issuers whose tokens are accepted.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.issuers.keys().cloned().collect();
        names.sort();
        names
    }

    /// Returns those of [`Self::issuers`] at which people can sign in, as far as is known: those that publish their
    /// keys. A shared secret or a key in a file is used by programs.
    #[must_use]
    pub fn sign_in_issuers(&self) -> Vec<String> {
        let published = self.0.issuers.values().filter(|issuer| issuer.remote().is_some());
        let mut names: Vec<String> = published.map(|issuer| issuer.name().to_owned()).collect();
        names.sort();
        names
    }

    fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.0.issuers.values().filter_map(Issuer::remote)
    }
}

async fn keep(remote: &Remote, usual: Millis) {
    loop {
        remote.refresh(Asked::BySchedule).await;
        tokio::time::sleep(remote.pause(usual).duration()).await;
    }
}

/// Returns the error for unknown revocations: without them a token cannot be trusted.
fn unsure() -> Error {
    Error::new(Code::StoreUnavailable)
        .retry_after(Millis::from_secs(1))
        .because("what was revoked elsewhere has not been read for too long")
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Auth").field(&self.issuers()).finish()
    }
}

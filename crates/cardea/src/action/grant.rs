//! Opens the credential under which a call is sent. No other code opens credentials of upstreams.

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    connector::{Auth, Per, Placed, SecretPlace, secret_name},
    secret::SecretString,
};

use super::config::UpstreamConfig;
use crate::{identity::Identity, vault::Vault};

/// Issues credentials for upstreams and connectors.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    identity: Identity,
    vault: Vault,
}

/// A credential of a connector, opened for one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Opened {
    /// As it is sent; none for a service without authentication.
    pub(super) placed: Option<Placed>,
    /// The forms in which the service could send it back.
    pub(super) forms: Vec<SecretString>,
}

/// The credential of one connection, made or renewed for each request.
#[derive(Debug, Clone)]
pub(super) enum Token {
    /// None: the upstream needs no authentication.
    None,
    /// The upstream's configured credential, the same for everyone.
    Fixed(SecretString),
    /// A token signed by Cardea for this caller and this audience only. The user's own token never leaves Cardea.
    Caller { identity: Identity, caller: Box<Caller>, audience: String },
    /// A token signed by Cardea for the installation itself.
    Installation { identity: Identity, audience: String, roles: Vec<String>, scopes: Vec<String> },
}

impl Grant {
    pub(super) fn new(identity: Identity, vault: Vault) -> Self {
        Self { identity, vault }
    }

    /// Opens the credential for the caller's call of a connector: the caller's own if the file says so, else the
    /// tenant's, else the installation's.
    ///
    /// # Errors
    /// `misconfigured` if there is none; errors of the vault.
    pub(super) async fn open(
        &self,
        connector: &str,
        auth: &Auth,
        configured: Option<&SecretString>,
        caller: &Caller,
    ) -> Result<Opened> {
        let (place, secret) = match auth {
            Auth::None => return Ok(Opened::default()),
            Auth::Caller { audience } => {
                (&SecretPlace::Bearer, self.identity.for_upstream(caller, audience).await?)
            }
            Auth::Secret { place, per: Per::User } => {
                let who = (caller.issuer.as_str(), caller.user.as_str());
                let own = self.sealed(caller, &secret_name(connector, Some(who))).await?;
                (place, own.ok_or_else(|| missing(connector, "you"))?)
            }
            Auth::Secret { place, per: Per::Tenant } => {
                let own = self.sealed(caller, &secret_name(connector, None)).await?;
                (place, own.or_else(|| configured.cloned()).ok_or_else(|| missing(connector, "your tenant"))?)
            }
        };
        let placed = place.put(&secret).ok_or_else(|| {
            let detail = format!("The secret of the connector `{connector}` cannot be sent as it is.");
            Error::new(Code::Misconfigured).detail(detail)
        })?;
        Ok(Opened { placed: Some(placed), forms: SecretPlace::forms(&secret) })
    }

    async fn sealed(&self, caller: &Caller, name: &str) -> Result<Option<SecretString>> {
        let Some(bytes) = self.vault.open(&caller.tenant, name).await? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::new(Code::Internal))?;
        Ok(Some(SecretString::from(text.to_owned())))
    }

    /// Returns the credential for the caller's calls.
    pub(super) fn caller(&self, upstream: &UpstreamConfig, caller: &Caller) -> Token {
        match (&upstream.credential, &upstream.audience) {
            (Some(credential), _) => Token::Fixed(credential.clone()),
            (None, Some(audience)) => Token::Caller {
                identity: self.identity.clone(),
                caller: Box::new(caller.clone()),
                audience: audience.clone(),
            },
            (None, None) => Token::None,
        }
    }

    /// Returns the credential with which the installation reads lists.
    pub(super) fn installation(&self, upstream: &UpstreamConfig) -> Token {
        match (&upstream.credential, &upstream.audience) {
            (Some(credential), _) => Token::Fixed(credential.clone()),
            (None, Some(audience)) => Token::Installation {
                identity: self.identity.clone(),
                audience: audience.clone(),
                roles: upstream.list_roles.clone(),
                scopes: upstream.list_scopes.clone(),
            },
            (None, None) => Token::None,
        }
    }
}

fn missing(connector: &str, whose: &str) -> Error {
    let detail = format!("There is no secret of {whose} for the connector `{connector}`.");
    Error::new(Code::Misconfigured).detail(detail)
}

impl Token {
    /// Returns the present bearer token.
    pub(super) async fn get(&self) -> Result<Option<SecretString>> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(bearer) => Ok(Some(bearer.clone())),
            Self::Caller { identity, caller, audience } => {
                identity.for_upstream(caller, audience).await.map(Some)
            }
            Self::Installation { identity, audience, roles, scopes } => {
                identity.for_installation(audience, roles, scopes).await.map(Some)
            }
        }
    }
}

//! Whose name a call goes out under. The only place that opens a credential for an upstream.

use cardea_auth::Caller;
use cardea_core::{Result, secret::SecretString};

use super::config::UpstreamConfig;
use crate::identity::Identity;

/// Gives out credentials for upstreams.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    identity: Identity,
}

/// The credential of one connection, made or renewed at each request.
#[derive(Debug, Clone)]
pub(super) enum Token {
    /// None: the upstream takes everybody.
    None,
    /// The upstream's own, the same for everybody.
    Fixed(SecretString),
    /// One of ours, for this caller and this audience only. The user's own token never leaves Cardea.
    Caller { identity: Identity, caller: Box<Caller>, audience: String },
    /// One of ours, for the installation itself.
    Installation { identity: Identity, audience: String, roles: Vec<String>, scopes: Vec<String> },
}

impl Grant {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity }
    }

    /// The credential under which the caller's calls go out.
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

    /// The credential under which the installation reads lists.
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

impl Token {
    /// The bearer token of now.
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

//! Revokes tokens: users their own, administrators those of their tenant.

use cardea_auth::Revocation;
use cardea_core::{
    Code, Error, Result,
    id::{KeyId, UserId},
    principal::Proof,
    secret::SecretString,
};

use super::Request;
use crate::{
    app::App,
    control::Right,
    identity::{Revoke, is_name},
};

/// What to revoke: one of these, or, if all are absent, all of the caller's own tokens issued until now.
#[derive(Debug, Default)]
pub struct RevokeRequest {
    /// This token.
    pub token: Option<SecretString>,
    /// The token with this id (`jti`).
    pub token_id: Option<String>,
    /// All tokens that this user was issued until now.
    pub user: Option<UserId>,
    /// With `token_id` or `user`: only those of this issuer; of any issuer if absent.
    pub issuer: Option<String>,
    /// With `user`: also the API keys that act for this user.
    pub keys: bool,
}

/// What was revoked.
#[derive(Debug)]
pub struct TakenBack {
    /// The revocation.
    pub revocation: Revocation,
    /// If the user's keys were revoked too: the keys that this user created for others, which still work.
    pub keys_made: Option<Vec<KeyId>>,
}

/// Revokes tokens: immediately on this node, within two seconds on other nodes.
///
/// # Errors
/// `denied` if the tokens are not the caller's own and the caller is not an administrator; `bad_request` for a token
/// that has expired or is not of this tenant, and for impossible names; `rate_limited`; store errors.
pub async fn revoke(app: &App, request: &Request, wish: RevokeRequest) -> Result<TakenBack> {
    let (caller, keys) = (&request.caller, wish.keys);
    let what = wanted(app, request, wish).await?; // may they
    app.control.count_revocation(caller).await?; // rate: every node keeps revocations in memory
    let revocation = app.identity.revoke_tokens(caller, what).await?; // durable, with its audit entry
    app.auth.revoke(&revocation); // at once on this node
    let keys_made = match &revocation {
        Revocation::User { user, issuer, .. } if keys => {
            Some(app.identity.keys_made_by(&caller.tenant, user, issuer.as_deref()).await?)
        }
        _ => None,
    };
    Ok(TakenBack { revocation, keys_made })
}

/// Refuses names that no user, issuer or token id can have.
pub(super) fn named<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<()> {
    if names.all(is_name) {
        return Ok(());
    }
    let detail = "Users, issuers and ids of tokens have 1 to 256 bytes and no control characters.";
    Err(Error::new(Code::BadRequest).detail(detail))
}

async fn wanted(app: &App, request: &Request, wish: RevokeRequest) -> Result<Revoke> {
    let caller = &request.caller;
    let bad = |detail: &str| Error::new(Code::BadRequest).detail(detail);
    let admin = || app.control.require(caller, Right::TokensRevoke, request.id());
    match wish {
        RevokeRequest { token: Some(token), token_id: None, user: None, issuer: None, keys: false } => {
            let none = "That is no token of this tenant, or it is over already.";
            let facts = app.auth.read(&token).await.map_err(|error| bad(none).because(error))?;
            if facts.tenant != caller.tenant {
                return Err(bad(none));
            }
            if facts.user != caller.user || facts.issuer != caller.issuer {
                admin().await?;
            }
            Ok(Revoke::Token { id: facts.id, issuer: Some(facts.issuer), until: facts.expires_at })
        }
        RevokeRequest { token: None, token_id: Some(id), user: None, issuer, keys: false } => {
            admin().await?;
            named(std::iter::once(id.as_str()).chain(issuer.as_deref()))?;
            Ok(Revoke::Token { id, issuer, until: None })
        }
        RevokeRequest { token: None, token_id: None, user: Some(user), issuer, keys } => {
            admin().await?;
            named(std::iter::once(user.as_str()).chain(issuer.as_deref()))?;
            Ok(Revoke::User { user, issuer, keys })
        }
        RevokeRequest { token: None, token_id: None, user: None, issuer: None, keys: false } => {
            if caller.proof != Proof::Jwt {
                return Err(bad("An API key is revoked under `/api/v1/keys`."));
            }
            Ok(Revoke::User { user: caller.user.clone(), issuer: Some(caller.issuer.clone()), keys: false })
        }
        _ => Err(bad(
            "Give one of `token`, `token_id` and `user`, or none of them; `keys` goes with `user`, `issuer` with \
                 `user` or `token_id`.",
        )),
    }
}

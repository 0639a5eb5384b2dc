//! Tokens are taken back: one's own by anybody, those of a tenant by its administrators.

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

/// What a caller wants taken back: one of these, or nothing for all tokens of their own until now.
#[derive(Debug, Default)]
pub struct RevokeRequest {
    /// This token.
    pub token: Option<SecretString>,
    /// The token with this id (`jti`).
    pub token_id: Option<String>,
    /// All tokens that this user was issued until now.
    pub user: Option<UserId>,
    /// With `token_id` or `user`: only of this issuer; absent: of whichever.
    pub issuer: Option<String>,
    /// With `user`: also the API keys that stand for this user.
    pub keys: bool,
}

/// What was taken back.
#[derive(Debug)]
pub struct TakenBack {
    /// It.
    pub revocation: Revocation,
    /// Where the keys of a user went as well: keys that this user has made for others, which still work.
    pub keys_made: Option<Vec<KeyId>>,
}

/// Takes tokens back: at once here, within two seconds on other nodes.
///
/// # Errors
/// `denied` for what is not the caller's own, unless the caller is an administrator; `bad_request` for a token that is
/// none of this tenant's, or over, and for names that nobody can have; `rate_limited`; those of the store.
pub async fn revoke(app: &App, request: &Request, wish: RevokeRequest) -> Result<TakenBack> {
    let (caller, keys) = (&request.caller, wish.keys);
    let what = wanted(app, request, wish).await?; // may they
    app.control.count_revocation(caller).await?; // rate: what is taken back stays in every node's memory
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

/// Refuses names that nobody can have.
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

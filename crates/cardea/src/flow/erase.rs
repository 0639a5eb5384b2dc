//! Erases a person: first revokes their access, then erases everything they own.

use cardea_core::{Code, Error, Result, id::UserId};
use cardea_store::Commit;

use super::{Request, cancel::end_now, revoke::named};
use crate::{app::App, control::Right, identity::Revoke, turn::Whose};

/// Erases a user of the caller's tenant. Without an issuer, the user name must be known under one issuer only.
///
/// What is sealed for the user can no longer be opened, not even in older backups.
///
/// # Errors
/// `denied` without the role `admin`; `bad_request` if callers try to erase themselves; `ambiguous` if several people
/// have the name and no issuer is given; errors of the vault and the store.
pub async fn erase(app: &App, request: &Request, user: &UserId, issuer: Option<String>) -> Result<()> {
    let caller = &request.caller;
    app.control.require(caller, Right::PeopleErase, request.id()).await?; // may they
    named(std::iter::once(user.as_str()).chain(issuer.as_deref()))?;
    let whom = app.context.whom(&caller.tenant, user, issuer).await?; // everyone with this name
    let unknown = whom.issuer.is_none() && caller.user == *user;
    if unknown || whom.owners(&caller.tenant).contains(&caller.key()) {
        let detail = "Nobody erases themselves: another administrator must.";
        return Err(Error::new(Code::BadRequest).detail(detail));
    }
    let out = Revoke::User { user: user.clone(), issuer: whom.issuer.clone(), keys: whom.has_keys() };
    app.auth.revoke(&app.identity.revoke_tokens(caller, out).await?); // from here on nothing new is written for them
    let owners = whom.owners(&caller.tenant);
    let mut stopping = Commit::new();
    for owner in &owners {
        stopping = stopping.and(app.turns.stopping(Whose::Owner(owner))?);
    }
    app.context.erase(caller, &whom, stopping, request.id()).await?;
    for owner in &owners {
        end_now(app, app.turns.stopped(Whose::Owner(owner)).await?).await;
    }
    Ok(())
}

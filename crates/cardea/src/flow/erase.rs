//! A person is erased: out first, then everything of theirs.

use cardea_auth::Caller;
use cardea_core::{Code, Error, Result, id::UserId};

use super::cancel::end_now;
use crate::{app::App, identity::Revoke, turn::Whose};

/// The role that may erase people of its tenant.
const ADMIN: &str = "admin";

/// Erases a user of the caller's tenant. What is sealed for the user opens no more, in older backups neither.
///
/// # Errors
/// `denied` without the role `admin`; `bad_request` for the caller themselves; what the vault and the store say.
pub async fn erase(app: &App, caller: &Caller, user: &UserId) -> Result<()> {
    if !caller.has_role(ADMIN) {
        return Err(Error::new(Code::Denied).detail("Only the role `admin` erases people.")); // may they
    }
    if caller.user == *user {
        let detail = "Nobody erases themselves: another administrator must.";
        return Err(Error::new(Code::BadRequest).detail(detail));
    }
    let out = Revoke::User { user: user.clone(), issuer: None, keys: true };
    app.auth.revoke(&app.identity.revoke_tokens(caller, out).await?); // nobody writes for them any more
    let whose = Whose::Person(&caller.tenant, user);
    app.context.erase(caller, user, app.turns.stopping(whose)?).await?;
    end_now(app, app.turns.stopped(whose).await?).await;
    Ok(())
}

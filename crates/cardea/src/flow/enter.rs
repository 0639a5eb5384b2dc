//! Authenticates each request, exactly once.

use cardea_auth::{Caller, Credentials};
use cardea_core::Result;

use crate::{app::App, observe::Trace};

/// Authenticates a request and returns its caller.
///
/// The [`Caller`] is the proof: every later step that needs the identity takes it as an argument. Credentials are not
/// checked a second time, because a proof of a bound token counts only once (RFC 9449).
///
/// # Errors
/// As [`cardea_auth::Auth::authenticate`].
pub async fn enter(app: &App, credentials: &Credentials, trace: &Trace) -> Result<Caller> {
    let caller = trace.time("auth", app.auth.authenticate(credentials)).await?;
    trace.note(|event| event.asked_by(&caller));
    Ok(caller)
}

/// Checks that the caller still has access, after a request whose body took long to arrive.
///
/// # Errors
/// As [`cardea_auth::Auth::still`].
pub async fn still_in(app: &App, caller: &Caller) -> Result<()> {
    app.auth.still(caller).await
}

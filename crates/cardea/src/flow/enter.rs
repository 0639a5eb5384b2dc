//! Who is it: the door, asked once for each request.

use cardea_auth::{Caller, Credentials};
use cardea_core::Result;

use crate::{app::App, observe::Trace};

/// The caller of a request. From here on the proof goes along by type: whoever needs to know who asks takes the
/// [`Caller`]. A proof of a bound token counts once (RFC 9449), so nobody asks a second time.
///
/// # Errors
/// As [`cardea_auth::Auth::authenticate`].
pub async fn enter(app: &App, credentials: &Credentials, trace: &Trace) -> Result<Caller> {
    let caller = trace.time("auth", app.auth.authenticate(credentials)).await?;
    trace.note(|event| event.asked_by(&caller));
    Ok(caller)
}

/// The same caller again, after a request that took its time to come in: the door may be closed for them meanwhile.
///
/// # Errors
/// As [`cardea_auth::Auth::still`].
pub async fn still_in(app: &App, caller: &Caller) -> Result<()> {
    app.auth.still(caller).await
}

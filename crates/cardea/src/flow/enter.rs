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

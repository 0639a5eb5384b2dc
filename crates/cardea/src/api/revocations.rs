//! `/api/v1/revocations`: tokens that are no longer accepted.

use axum::{Json, extract::State, http::StatusCode};
use cardea_auth::Revocation;
use cardea_core::{id::UserId, secret::SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Inbound, Known},
};
use crate::{
    app::App,
    control::{ADMIN, Right},
    flow::{self, RevokeRequest},
};

/// Who sees what was taken back in their tenant.
const REVOCATIONS: Right = Right { name: "revocations", roles: &[ADMIN], does: "sees what was taken back" };

/// The body of `POST /api/v1/revocations`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    token: Option<SecretString>,
    token_id: Option<String>,
    user: Option<String>,
    issuer: Option<String>,
    #[serde(default)]
    keys: bool,
}

pub(super) async fn revoke(
    State(app): State<App>,
    inbound: Inbound<Wanted>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Inbound { caller, outside, body: Wanted { token, token_id, user, issuer, keys }, .. } = inbound;
    let user = user.as_deref().map(UserId::from);
    let request = RevokeRequest { token, token_id, user, issuer, keys };
    let revoked = flow::revoke(&app, &caller, request).await.map_err(|error| outside.problem(error))?;
    let made = match (&revoked, keys) {
        (Revocation::User { user, issuer, .. }, true) => {
            app.identity.keys_made_by(&caller.tenant, user, issuer.as_deref()).await
        }
        _ => Ok(Vec::new()),
    };
    let made = made.map_err(|error| outside.problem(error))?;
    let told = match revoked {
        Revocation::Token { id, issuer, until, .. } => {
            json!({ "token_id": id, "issuer": issuer, "until": until })
        }
        Revocation::User { issuer, user, at, .. } if keys => {
            json!({ "user": user, "issuer": issuer, "at": at, "keys_made": made })
        }
        Revocation::User { issuer, user, at, .. } => json!({ "user": user, "issuer": issuer, "at": at }),
    };
    Ok((StatusCode::CREATED, Json(told)))
}

pub(super) async fn list(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    let allowed = app.control.require(&known.caller, REVOCATIONS, Some(known.request)).await;
    allowed.map_err(|error| known.problem(error))?;
    let found = app.identity.revocations(&known.caller.tenant).await;
    Ok(Json(json!({ "revocations": found.map_err(|error| known.problem(error))? })))
}

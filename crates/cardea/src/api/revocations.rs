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
    flow::{self, RevokeRequest, TakenBack},
};

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
    let Inbound { asked, outside, body: Wanted { token, token_id, user, issuer, keys }, .. } = inbound;
    let user = user.as_deref().map(UserId::from);
    let wish = RevokeRequest { token, token_id, user, issuer, keys };
    let revoked = flow::revoke(&app, &asked, wish).await;
    let TakenBack { revocation, keys_made } = revoked.map_err(|error| outside.problem(error))?;
    let told = match (revocation, keys_made) {
        (Revocation::Token { id, issuer, until, .. }, _) => {
            json!({ "token_id": id, "issuer": issuer, "until": until })
        }
        (Revocation::User { issuer, user, at, .. }, Some(made)) => {
            json!({ "user": user, "issuer": issuer, "at": at, "keys_made": made })
        }
        (Revocation::User { issuer, user, at, .. }, None) => {
            json!({ "user": user, "issuer": issuer, "at": at })
        }
    };
    Ok((StatusCode::CREATED, Json(told)))
}

pub(super) async fn list(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    let found = flow::revocations(&app, &known.asked).await;
    Ok(Json(json!({ "revocations": found.map_err(|error| known.problem(error))? })))
}

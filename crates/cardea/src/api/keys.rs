//! `/api/v1/keys`: API keys of the caller's tenant. Only a tenant's administrator makes or revokes them.

use axum::{Json, extract::State, http::StatusCode};
use cardea_core::{Code, Error, id::KeyId};
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Inbound, Known, Path},
};
use crate::{
    app::App,
    control::{ADMIN, Right},
    identity::NewKey,
};

/// Who may manage keys of their tenant.
const KEYS: Right = Right { name: "keys", roles: &[ADMIN], does: "manages API keys" };

pub(super) async fn list(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    let work = async {
        app.control.require(&known.caller, KEYS, Some(known.request)).await?;
        app.identity.keys(&known.caller).await
    };
    let keys = work.await.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "keys": keys })))
}

pub(super) async fn create(
    State(app): State<App>,
    inbound: Inbound<NewKey>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Inbound { caller, outside, body, .. } = inbound;
    let key = outside.idempotency_key()?;
    let work = async {
        app.control.require(&caller, KEYS, Some(outside.request)).await?;
        app.identity.create_key(&caller, body, key.as_deref()).await
    };
    let created = work.await.map_err(|error| outside.problem(error))?;
    Ok((StatusCode::CREATED, Json(json!(created))))
}

pub(super) async fn revoke(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<StatusCode, Problem> {
    let id: KeyId = text.parse().map_err(|_| known.problem(Error::new(Code::NotFound)))?;
    let work = async {
        app.control.require(&known.caller, KEYS, Some(known.request)).await?;
        app.identity.revoke_key(&known.caller, id).await
    };
    work.await.map_err(|error| known.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}

//! `/api/v1/keys`: API keys of the caller's tenant. Only a tenant's administrator makes or revokes them.

use axum::{Json, extract::State, http::StatusCode};
use cardea_core::{
    Code, Error,
    id::KeyId,
    page::{Limit, Place},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Inbound, Known, Path, Query},
};
use crate::{
    app::App,
    control::{ADMIN, Right},
    identity::{NewKey, Which},
};

/// Who may manage keys of their tenant.
const KEYS: Right = Right { name: "keys", roles: &[ADMIN], does: "manages API keys" };

/// Which keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    after: Option<Place>,
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    living: bool,
}

pub(super) async fn list(
    State(app): State<App>,
    known: Known,
    Query(asked): Query<Listed>,
) -> Result<Json<Value>, Problem> {
    let which = if asked.living { Which::Living } else { Which::All };
    let after = asked.after.unwrap_or(Place::END);
    let work = async {
        app.control.require(&known.caller, KEYS, Some(known.request)).await?;
        app.identity.keys(&known.caller.tenant, which, &after, asked.limit).await
    };
    let page = work.await.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "keys": page.entries, "next": page.next })))
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

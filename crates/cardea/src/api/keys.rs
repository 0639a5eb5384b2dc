//! `/api/v1/keys`: API keys of the caller's tenant. Only its administrators create or revoke them.

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
    flow,
    identity::{NewKey, Which},
};

/// Which keys to list.
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
    let page = flow::keys(&app, &known.asked, which, &after, asked.limit).await;
    let page = page.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "keys": page.entries, "next": page.next })))
}

pub(super) async fn create(
    State(app): State<App>,
    inbound: Inbound<NewKey>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Inbound { asked, outside, body, .. } = inbound;
    let key = outside.idempotency_key()?;
    let created = flow::create_key(&app, &asked, body, key.as_deref()).await;
    let created = created.map_err(|error| outside.problem(error))?;
    Ok((StatusCode::CREATED, Json(json!(created))))
}

pub(super) async fn revoke(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<StatusCode, Problem> {
    let id: KeyId = text.parse().map_err(|_| known.problem(Error::new(Code::NotFound)))?;
    let revoked = flow::revoke_key(&app, &known.asked, id).await;
    revoked.map_err(|error| known.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}

//! `/api/v1/people/{user}`: people of the tenant, of whom the administrator can only say that they are to be gone.

use axum::{extract::State, http::StatusCode};
use cardea_core::id::UserId;
use serde::Deserialize;

use super::{
    Problem,
    extract::{Known, Path, Query},
};
use crate::{app::App, flow};

/// Which of the people who have the name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    issuer: Option<String>,
}

pub(super) async fn erase(
    State(app): State<App>,
    known: Known,
    Path(user): Path,
    Query(which): Query<Which>,
) -> Result<StatusCode, Problem> {
    let Known { asked, outside } = known;
    // WHY: its own task, so that a client that hangs up leaves nobody half erased.
    let erased = flow::detached(&app, "erase", |app| async move {
        flow::erase(&app, &asked, &UserId::from(user.as_str()), which.issuer).await
    });
    erased.await.map_err(|error| outside.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}

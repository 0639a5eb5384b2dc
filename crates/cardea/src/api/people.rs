//! `/api/v1/people/{user}`: the people of the tenant, whom administrators can only erase.

use axum::{extract::State, http::StatusCode};
use cardea_core::id::UserId;
use serde::Deserialize;

use super::{
    Problem,
    extract::{Known, Path, Query},
};
use crate::{app::App, flow};

/// Which of the people with this name.
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
    // WHY a task of its own: a client that disconnects must not leave a person half erased.
    let erased = flow::detached(&app, "erase", |app| async move {
        flow::erase(&app, &asked, &UserId::from(user.as_str()), which.issuer).await
    });
    erased.await.map_err(|error| outside.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}

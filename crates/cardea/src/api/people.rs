//! `/api/v1/people/{user}`: people of the tenant, of whom the administrator can only say that they are to be gone.

use axum::{extract::State, http::StatusCode};
use cardea_core::id::UserId;

use super::{
    Problem,
    extract::{Known, Path},
};
use crate::{app::App, flow};

pub(super) async fn erase(
    State(app): State<App>,
    known: Known,
    Path(user): Path,
) -> Result<StatusCode, Problem> {
    let erased = flow::erase(&app, &known.caller, &UserId::from(user.as_str())).await;
    erased.map_err(|error| known.problem(error))?;
    Ok(StatusCode::NO_CONTENT)
}

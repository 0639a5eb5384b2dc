//! `/api/v1/tools/changes`: tools that are held because their descriptions differ from the accepted ones.
//!
//! Tools belong to the whole installation, so no tenant's administrator accepts a change. `cardea tool accept` does,
//! run by an operator of the machine.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{Problem, extract::Known};
use crate::{app::App, flow};

pub(super) async fn changes(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    let held = flow::held_tools(&app, &known.asked).await;
    Ok(Json(json!({ "changes": held.map_err(|error| known.problem(error))? })))
}

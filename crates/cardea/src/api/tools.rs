//! `/api/v1/tools/changes`: tools that are held back since they say something else of themselves than what was accepted.
//!
//! Tools belong to the whole installation, so no tenant's administrator accepts a change: `cardea tool accept` does, by
//! whoever may run commands on the machine.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{Problem, extract::Known};
use crate::{
    app::App,
    control::{ADMIN, AUDITOR, Right},
};

/// Who may look.
const CHANGES: Right =
    Right { name: "tool.changes", roles: &[ADMIN, AUDITOR], does: "see what tools say of themselves" };

pub(super) async fn changes(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    let allowed = app.control.require(&known.caller, CHANGES, Some(known.request)).await;
    allowed.map_err(|error| known.problem(error))?;
    let mut held = app.action.pins().held(None).await.map_err(|error| known.problem(error))?;
    held.retain(|held| app.config.upstreams.contains_key(&held.upstream));
    Ok(Json(json!({ "changes": held })))
}

//! `/api/v1/tools/changes`: tools that are held back since they say something else of themselves than what was accepted.
//!
//! Tools belong to the whole installation, so no tenant's administrator accepts a change: `cardea tool accept` does, by
//! whoever may run commands on the machine.

use axum::{Json, extract::State};
use cardea_core::{Code, Error};
use serde_json::{Value, json};

use super::{Problem, extract::Known};
use crate::app::App;

/// The roles that may look.
const ROLES: [&str; 2] = ["admin", "auditor"];

pub(super) async fn changes(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    if !ROLES.iter().any(|role| known.caller.has_role(role)) {
        let detail = "Only the roles `admin` and `auditor` see what tools say of themselves.";
        return Err(known.problem(Error::new(Code::Denied).detail(detail)));
    }
    let held = app.action.pins().held().await.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "changes": held })))
}

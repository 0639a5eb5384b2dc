//! `/api/v1/approvals`: calls that wait for a person, and the person's decision.

use axum::{Json, extract::State};
use cardea_core::{Code, Error, id::ApprovalId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Inbound, Known, Outside, Path},
};
use crate::{
    app::App,
    control::{Answer, Choice},
    flow,
};

/// The body of `POST /api/v1/approvals/{id}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    decision: Choice,
    #[serde(default)]
    comment: String,
}

pub(super) async fn list(State(app): State<App>, known: Known) -> Result<Json<Value>, Problem> {
    let approvals = app.control.approvals(&known.asked.caller).await.map_err(|error| known.problem(error))?;
    Ok(Json(json!({ "approvals": approvals })))
}

/// Parses an id. Text that is not an id is answered like the id of another user's approval.
fn id(outside: &Outside, text: &str) -> Result<ApprovalId, Problem> {
    text.parse().map_err(|_| outside.problem(Error::new(Code::NotFound)))
}

pub(super) async fn get(
    State(app): State<App>,
    known: Known,
    Path(text): Path,
) -> Result<Json<Value>, Problem> {
    let id = id(&known, &text)?;
    let approval =
        app.control.approval(&known.asked.caller, id).await.map_err(|error| known.problem(error))?;
    Ok(Json(json!(approval)))
}

pub(super) async fn decide(
    State(app): State<App>,
    Path(text): Path,
    inbound: Inbound<Decide>,
) -> Result<Json<Value>, Problem> {
    let Inbound { asked, outside, body, .. } = inbound;
    let id = id(&outside, &text)?;
    let answer = Answer { choice: body.decision, comment: &body.comment };
    let decided = flow::decide(&app, &asked, id, answer).await;
    let approval = decided.map_err(|error| outside.problem(error))?;
    Ok(Json(json!(approval)))
}

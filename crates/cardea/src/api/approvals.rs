//! `/api/v1/approvals`: what waits for a person, and the person's decision.

use axum::{Json, extract::State};
use cardea_core::{Code, Error, id::ApprovalId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Inbound, Outside, Path},
};
use crate::{app::App, control::Choice};

/// The body of `POST /api/v1/approvals/{id}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    decision: Choice,
    #[serde(default)]
    comment: String,
}

pub(super) async fn list(State(app): State<App>, mut outside: Outside) -> Result<Json<Value>, Problem> {
    let credentials = outside.credentials()?;
    let work = async {
        let caller = app.auth.authenticate(&credentials).await?;
        app.control.approvals(&caller).await
    };
    let approvals = work.await.map_err(|error| outside.problem(error))?;
    Ok(Json(json!({ "approvals": approvals })))
}

pub(super) async fn decide(
    State(app): State<App>,
    Path(text): Path,
    inbound: Inbound<Decide>,
) -> Result<Json<Value>, Problem> {
    let Inbound { mut outside, body } = inbound;
    let credentials = outside.credentials()?;
    let id: ApprovalId = text.parse().map_err(|_| outside.problem(Error::new(Code::NotFound)))?;
    let work = async {
        let caller = app.auth.authenticate(&credentials).await?;
        app.control.decide(&caller, id, body.decision, &body.comment).await
    };
    let approval = work.await.map_err(|error| outside.problem(error))?;
    Ok(Json(json!(approval)))
}

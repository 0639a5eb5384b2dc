//! `/v1/models` and `/api/v1/agents`: the models and agents that can be asked.

use axum::{Json, extract::State};
use cardea_core::{Code, Error};
use serde_json::{Value, json};

use super::{
    Problem,
    extract::{Known, Path},
    openai,
};
use crate::{app::App, flow};

pub(super) async fn list(State(app): State<App>, known: Known) -> Json<Value> {
    Json(openai::models(&flow::models_of(&app, &known.asked.caller), app.clock.now()))
}

pub(super) async fn one(
    State(app): State<App>,
    known: Known,
    Path(wanted): Path,
) -> Result<Json<Value>, Problem> {
    if flow::models_of(&app, &known.asked.caller).contains(&wanted) {
        return Ok(Json(openai::model(&wanted, app.clock.now())));
    }
    Err(known.problem(Error::new(Code::NotFound).detail("No such model is open to you.")))
}

pub(super) async fn agents(State(app): State<App>, known: Known) -> Json<Value> {
    let agents: Vec<Value> = app
        .agents()
        .map(|agent| {
            let tools = flow::tools_of(&app, &known.asked.caller, agent);
            let spec = &agent.spec;
            json!({ "name": agent.name, "about": spec.about, "model": spec.model, "version": agent.version, "tools": tools })
        })
        .collect();
    Json(json!({ "agents": agents }))
}

//! `/v1/models` and `/api/v1/agents`: who can be asked.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{extract::Known, openai};
use crate::{app::App, flow};

pub(super) async fn list(State(app): State<App>, _: Known) -> Json<Value> {
    let mut names: Vec<String> = app.agents().map(|agent| format!("agent/{}", agent.name)).collect();
    names.extend(app.models.names().map(str::to_owned));
    Json(openai::models(&names, app.clock.now()))
}

pub(super) async fn agents(State(app): State<App>, known: Known) -> Json<Value> {
    let agents: Vec<Value> = app
        .agents()
        .map(|agent| {
            let tools = flow::tools_of(&app, &known.caller, agent);
            let spec = &agent.spec;
            json!({ "name": agent.name, "about": spec.about, "model": spec.model, "version": agent.version, "tools": tools })
        })
        .collect();
    Json(json!({ "agents": agents }))
}

//! `/v1/models` and `/api/v1/agents`: who can be asked.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{Problem, extract::Outside, openai};
use crate::{app::App, flow};

pub(super) async fn list(State(app): State<App>, mut outside: Outside) -> Result<Json<Value>, Problem> {
    let credentials = outside.credentials()?;
    app.auth.authenticate(&credentials).await.map_err(|error| outside.problem(error))?;
    let mut names: Vec<String> = app.agents().map(|agent| format!("agent/{}", agent.name)).collect();
    names.extend(app.models.names().map(str::to_owned));
    Ok(Json(openai::models(&names, app.clock.now())))
}

pub(super) async fn agents(State(app): State<App>, mut outside: Outside) -> Result<Json<Value>, Problem> {
    let credentials = outside.credentials()?;
    let caller = app.auth.authenticate(&credentials).await.map_err(|error| outside.problem(error))?;
    let agents: Vec<Value> = app
        .agents()
        .map(|agent| {
            let tools = flow::tools_of(&app, &caller, agent);
            let spec = &agent.spec;
            json!({ "name": agent.name, "about": spec.about, "model": spec.model, "version": agent.version, "tools": tools })
        })
        .collect();
    Ok(Json(json!({ "agents": agents })))
}

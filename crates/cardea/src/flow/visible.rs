//! Lists the tools that a caller may call through an agent. Listed means callable, and the caller learns of no others.

use std::sync::Arc;

use cardea_auth::Caller;
use cardea_core::{agent::Agent, policy::Verdict};

use super::run::Run;
use crate::{
    action::{Catalog, Tool},
    app::App,
};

/// The tools of one caller at one moment.
#[derive(Clone)]
pub(crate) struct Visible {
    /// The tools.
    pub(super) tools: Vec<Arc<Tool>>,
    /// The catalogue that they come from.
    pub(super) catalog: Arc<Catalog>,
    /// Changes with any of their definitions and with the set of visible tools.
    pub(crate) version: String,
}

/// Returns the agent's tools for which policy could allow the caller some call.
pub(crate) fn visible(run: Run<'_>) -> Visible {
    let Run { app, caller, agent, via } = run;
    let catalog = app.action.catalog();
    let listable = app.control.listable(caller, &agent.name, via);
    let may = |tool: &&Arc<Tool>| agent.may_use(tool.name().as_str()) && listable.contains(tool.name());
    let tools: Vec<Arc<Tool>> = catalog.all().filter(may).cloned().collect();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name().as_str()).collect();
    let version = format!("{}:{}", catalog.version(), names.join(","));
    Visible { tools, catalog, version }
}

/// The result of looking up a tool by name.
pub(super) enum Named {
    /// A tool that the caller may know of.
    Visible(Arc<Tool>),
    /// A tool that policy hides. The caller gets the same answer as for a name that does not exist.
    Hidden(Arc<Tool>),
    /// No tool of this agent.
    Nothing,
}

/// Looks up a tool by name.
pub(super) fn find(run: Run<'_>, name: &str) -> Named {
    let Run { app, caller, agent, via } = run;
    let catalog = app.action.catalog();
    let Some(tool) = catalog.get(name).filter(|_| agent.may_use(name)).cloned() else {
        return Named::Nothing;
    };
    let listable = app.control.listable(caller, &agent.name, via);
    if listable.contains(tool.name()) { Named::Visible(tool) } else { Named::Hidden(tool) }
}

/// Returns the model names that the caller may use: all agents, and the models that policy opens to them.
#[must_use]
pub fn models_of(app: &App, caller: &Caller) -> Vec<String> {
    let said = |model: &str| app.control.of_model(caller, &app.direct().name, model);
    let open = |model: &&str| said(model).verdict == Verdict::Allow;
    let agents = app.agents().map(|agent| format!("agent/{}", agent.name));
    agents.chain(app.models.names().filter(open).map(str::to_owned)).collect()
}

/// Returns the names of an agent's tools that the caller may call.
#[must_use]
pub fn tools_of(app: &App, caller: &Caller, agent: &Arc<Agent>) -> Vec<String> {
    visible(Run::chat(app, caller, agent)).tools.iter().map(|tool| tool.name().to_string()).collect()
}

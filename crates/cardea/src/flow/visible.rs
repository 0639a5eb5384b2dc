//! The tools that a caller may call through an agent: listed is callable, and nothing else is known.

use std::sync::Arc;

use cardea_auth::Caller;
use cardea_core::{agent::Agent, policy::Verdict};

use super::run::Run;
use crate::{
    action::{Catalog, Tool},
    app::App,
};

/// Tools of one moment for one caller.
#[derive(Clone)]
pub(crate) struct Visible {
    /// The tools.
    pub(super) tools: Vec<Arc<Tool>>,
    /// The catalogue they are from.
    pub(super) catalog: Arc<Catalog>,
    /// Changes with any of their definitions or with which of them are visible.
    pub(crate) version: String,
}

/// The agent's tools of which policy could allow the caller some call.
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

/// What stands behind the name of a tool.
pub(super) enum Named {
    /// A tool that the caller may know of.
    Visible(Arc<Tool>),
    /// A tool that policy hides from the caller, who is told the same as of a name that nobody has.
    Hidden(Arc<Tool>),
    /// Nothing that this agent has.
    Nothing,
}

/// The tool with this name.
pub(super) fn find(run: Run<'_>, name: &str) -> Named {
    let Run { app, caller, agent, via } = run;
    let catalog = app.action.catalog();
    let Some(tool) = catalog.get(name).filter(|_| agent.may_use(name)).cloned() else {
        return Named::Nothing;
    };
    let listable = app.control.listable(caller, &agent.name, via);
    if listable.contains(tool.name()) { Named::Visible(tool) } else { Named::Hidden(tool) }
}

/// The names that the caller may ask for as a model: all agents, and the models that policy opens to them.
#[must_use]
pub fn models_of(app: &App, caller: &Caller) -> Vec<String> {
    let said = |model: &str| app.control.of_model(caller, &app.direct().name, model);
    let open = |model: &&str| said(model).verdict == Verdict::Allow;
    let agents = app.agents().map(|agent| format!("agent/{}", agent.name));
    agents.chain(app.models.names().filter(open).map(str::to_owned)).collect()
}

/// The names of an agent's tools that the caller may call.
#[must_use]
pub fn tools_of(app: &App, caller: &Caller, agent: &Arc<Agent>) -> Vec<String> {
    visible(Run::chat(app, caller, agent)).tools.iter().map(|tool| tool.name().to_string()).collect()
}

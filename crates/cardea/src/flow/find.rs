//! The way out of a choice of tools that missed: the model asks for more.

use cardea_core::{
    Result,
    select::FIND_TOOLS,
    tool::{Outcome, ToolCall},
};
use serde_json::{Value, json};

use super::run::Run;
use crate::{
    action::Selected,
    control::Screened,
    turn::{Start, Step, Turn},
};

/// The longest wish that is read.
const LONGEST: usize = 500;

/// Looks among the tools that the caller may call and that were left out. What is found is offered from the next model
/// call on; the step remembers it, so that whoever takes the turn over offers it as well.
///
/// # Errors
/// What the journal says.
pub(super) async fn search(
    run: Run<'_>,
    turn: &mut Turn,
    offered: &Selected,
    start: Start<'_>,
) -> Result<Step> {
    let app = run.app;
    let found = app.action.find(offered, &need(start.call).unwrap_or_default()).await;
    // WHY: names only. What the tools say of themselves comes with their offer, as for any tool.
    let names: Vec<&str> = found.iter().map(|tool| tool.name().as_str()).collect();
    let result = json!({ "tools": names });
    let step = app.turns.start(turn, start).await?;
    app.turns.record(turn, step, Screened::own_words(Outcome::Done { result })).await
}

/// What a search is for, if it says so.
pub(super) fn need(call: &ToolCall) -> Option<String> {
    let need = call.arguments.get("need").and_then(Value::as_str)?;
    let need: String = need.chars().take(LONGEST).collect();
    (!need.trim().is_empty()).then_some(need)
}

/// The names that the steps of a turn have found.
pub(super) fn found(turn: &Turn) -> impl Iterator<Item = &str> {
    turn.steps()
        .iter()
        .filter(|step| step.tool().as_str() == FIND_TOOLS)
        .filter_map(|step| match step.outcome() {
            Some(Outcome::Done { result }) => result.get("tools")?.as_array(),
            _ => None,
        })
        .flatten()
        .filter_map(Value::as_str)
}

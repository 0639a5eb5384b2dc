//! Searches for tools on the model's request, if the tools it was offered do not fit.

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

/// The longest search text that is read, in characters.
const LONGEST: usize = 500;

/// Searches the tools that the caller may call and that were not offered. The results are offered from the next model
/// call on. The step records them, so that a new owner of the turn offers them as well.
///
/// # Errors
/// Errors of the journal.
pub(super) async fn search(
    run: Run<'_>,
    turn: &mut Turn,
    offered: &Selected,
    start: Start<'_>,
) -> Result<Step> {
    let app = run.app;
    let found = app.action.find(offered, &need(start.call).unwrap_or_default()).await;
    // WHY: names only. The descriptions come with the offer, as for any tool.
    let names: Vec<&str> = found.iter().map(|tool| tool.name().as_str()).collect();
    let result = json!({ "tools": names });
    let step = app.turns.start(turn, start).await?;
    app.turns.record(turn, step, Screened::own_words(Outcome::Done { result })).await
}

/// Returns what the model searches for. `None` if it does not say so.
pub(super) fn need(call: &ToolCall) -> Option<String> {
    let need = call.arguments.get("need").and_then(Value::as_str)?;
    let need: String = need.chars().take(LONGEST).collect();
    (!need.trim().is_empty()).then_some(need)
}

/// Returns the names of the tools that the turn's searches have found.
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

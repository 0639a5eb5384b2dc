//! The way out of a choice of tools that missed: the model asks for more.

use cardea_core::{
    Code, Result,
    id::ToolName,
    journal::Repeatable,
    select::FIND_TOOLS,
    tool::{Effect, Outcome, ToolCall},
};
use serde_json::{Value, json};

use super::{
    run::Run,
    tool_call::{called, screen},
};
use crate::{
    action::Selected,
    control::Control,
    turn::{Start, Turn},
};

/// The longest wish that is read.
const LONGEST: usize = 500;

/// Looks among the tools that the caller may call and that were left out. What is found is offered from the next model
/// call on; the step remembers it, so that whoever takes the turn over offers it as well.
///
/// # Errors
/// The limit that is reached, or what the journal says.
pub(super) async fn find_tools(
    run: Run<'_>,
    turn: &mut Turn,
    offered: &Selected,
    call: &ToolCall,
) -> Result<()> {
    let Run { app, caller, .. } = run;
    turn.whole()?;
    turn.another_call()?; // it counts as a tool call: a model cannot search for ever
    let mut call = call.clone();
    let unreadable = call.unreadable();
    drop(call.settle());
    let digest = Control::digest(caller, &call);
    let screened = screen(run, &mut call); // guardrail: what is held back is not kept either
    let (call, tool) = (&call, ToolName::from(FIND_TOOLS));
    let start =
        Start { call, tool: &tool, effect: Effect::Read, repeatable: Repeatable::No, digest, decision: None };
    if let Some(wrong) = unreadable {
        app.turns.refuse(turn, start, Code::InvalidArguments, &format!("`{FIND_TOOLS}`: {wrong}.")).await?;
        return Ok(());
    }
    match screened {
        Ok(taint) => turn.taint_with_all(&taint),
        Err(refused) => {
            app.turns.refuse(turn, start, Code::GuardRefused, &refused.public()).await?;
            return Ok(());
        }
    }
    let need: String = call
        .arguments
        .get("need")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .chars()
        .take(LONGEST)
        .collect();
    if need.trim().is_empty() {
        app.turns.refuse(turn, start, Code::InvalidArguments, "Say in `need` what the tool must do.").await?;
        return Ok(());
    }
    let found = app.action.find(offered, &need).await;
    // WHY: names only. What the tools say of themselves comes with their offer, as for any tool.
    let names: Vec<&str> = found.iter().map(|tool| tool.name().as_str()).collect();
    let result = json!({ "tools": names });
    let step = app.turns.start(turn, start).await?;
    let step = app.turns.record(turn, step, Outcome::Done { result }).await?;
    called(app, turn, &step);
    Ok(())
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

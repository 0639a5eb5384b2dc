//! `/v1/messages`: Anthropic's format.
//!
//! The entries of the user and the model must alternate and the user's must be first, so neighbours are joined. Usage
//! comes in two halves: the input at the start, the output at the end. Text written while thinking is not part of the
//! answer.

use std::collections::BTreeSet;

use cardea_core::{
    message::{AnswerFormat, Demands, Finish, Prompt, ToolChoice},
    sse::Event,
    written,
};
use serde_json::{Map, Value, json};

use super::{
    Assembly, ToolNames, WireRequest, count, kind, schema, text,
    transcript::{LEFT_OUT, Part, ToolResult, tidy},
};
use crate::{
    alias::{ALL_WRITE, AliasConfig},
    failure::{Failure, Trouble},
};

pub(super) fn request(prompt: &Prompt, alias: &AliasConfig, names: &ToolNames) -> WireRequest {
    let sampling = alias.sampling(prompt);
    let (system, messages) = messages(prompt, names);
    let mut body = Map::new();
    body.insert("model".into(), alias.model.as_str().into());
    let limit = alias.limit(prompt).or(alias.max_output).unwrap_or(ALL_WRITE); // the format requires one
    body.insert("max_tokens".into(), limit.into());
    body.insert("messages".into(), messages.into());
    body.insert("stream".into(), true.into());
    if !system.is_empty() {
        body.insert("system".into(), system.into());
    }
    if !prompt.tools.is_empty() {
        let tools = prompt.tools.iter().map(|tool| {
            json!({
                "name": names.wire(tool.name.as_str()),
                "description": tool.description,
                "input_schema": schema::object(&tool.input_schema),
            })
        });
        body.insert("tools".into(), tools.collect());
    }
    // The scale ends at 1 here, at 2 elsewhere. Newer models refuse both together.
    match (sampling.temperature, sampling.top_p) {
        (Some(temperature), _) => drop(body.insert("temperature".into(), temperature.clamp(0.0, 1.0).into())),
        (None, Some(top_p)) => drop(body.insert("top_p".into(), top_p.into())),
        (None, None) => {}
    }
    if !sampling.stop.is_empty() {
        body.insert("stop_sequences".into(), sampling.stop.clone().into());
    }
    if let Some(choice) = tool_choice(&prompt.demands, names) {
        body.insert("tool_choice".into(), choice);
    }
    if let AnswerFormat::JsonSchema { schema, .. } = &prompt.demands.format {
        let format = json!({ "type": "json_schema", "schema": schema });
        body.insert("output_config".into(), json!({ "format": format }));
    }
    WireRequest::new("/messages".to_owned(), &body)
}

fn tool_choice(demands: &Demands, names: &ToolNames) -> Option<Value> {
    let mut choice = match &demands.tool_choice {
        ToolChoice::Auto if demands.parallel_tool_calls.is_none() => return None,
        ToolChoice::Auto => json!({ "type": "auto" }),
        ToolChoice::None => return Some(json!({ "type": "none" })),
        ToolChoice::Required => json!({ "type": "any" }),
        ToolChoice::Named(tool) => json!({ "type": "tool", "name": names.wire(tool.as_str()) }),
    };
    if let (Some(parallel), Some(choice)) = (demands.parallel_tool_calls, choice.as_object_mut()) {
        choice.insert("disable_parallel_tool_use".into(), (!parallel).into());
    }
    Some(choice)
}

fn messages(prompt: &Prompt, names: &ToolNames) -> (String, Vec<Value>) {
    let mut system: Vec<&str> = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut say = |role: &'static str, blocks: Vec<Value>| match turns.last_mut() {
        Some((last, content)) if *last == role => content.extend(blocks),
        _ => turns.push((role, blocks)),
    };
    for part in tidy(&prompt.messages) {
        match part {
            Part::System(text) => system.push(text),
            Part::User(text) => say("user", vec![json!({ "type": "text", "text": text })]),
            Part::Assistant(text, calls) => {
                let words = (!text.trim().is_empty()).then(|| json!({ "type": "text", "text": text }));
                let calls = calls.iter().map(|call| {
                    json!({
                        "type": "tool_use",
                        "id": wire_id(&call.id),
                        "name": names.wire(&call.name),
                        "input": call.arguments,
                    })
                });
                say("assistant", words.into_iter().chain(calls).collect());
            }
            Part::Results(results) => say("user", results.iter().map(written_result).collect()),
        }
    }
    if turns.first().is_some_and(|(role, _)| *role == "assistant") {
        let note = json!({ "type": "text", "text": LEFT_OUT });
        turns.insert(0, ("user", vec![note]));
    }
    let turns = turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content }));
    (system.join("\n\n"), turns.collect())
}

fn written_result(result: &ToolResult<'_>) -> Value {
    let mut block = json!({
        "type": "tool_result",
        "tool_use_id": wire_id(&result.call.id),
        "content": result.text,
    });
    if let (true, Some(block)) = (result.failed, block.as_object_mut()) {
        block.insert("is_error".into(), true.into());
    }
    block
}

/// Converts an id: letters, digits, `_` and `-` only; calls of another provider may have others.
fn wire_id(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect()
}

/// The blocks of an answer that are tool calls, by their index.
#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeSet<u64>);

pub(super) fn event(assembly: &mut Assembly, blocks: &mut Blocks, event: &Event) -> Result<(), Failure> {
    let data: Value =
        serde_json::from_str(&event.data).map_err(|_| Failure::garbage("an event is not JSON"))?;
    let index = count(&data, "index");
    match text(&data, "type") {
        "message_start" => {
            let usage = data.pointer("/message/usage").unwrap_or(&Value::Null);
            read_input(assembly, usage);
            assembly.begun_only = true;
        }
        "content_block_start" => {
            let block = data.get("content_block").unwrap_or(&Value::Null);
            match text(block, "type") {
                "text" => assembly.text(text(block, "text")),
                "thinking" => assembly.thought(text(block, "thinking").len()),
                "tool_use" => {
                    blocks.0.insert(index);
                    assembly.call(
                        index,
                        text(block, "id"),
                        text(block, "name"),
                        started_input(block, &event.data),
                    )?;
                }
                _ => {}
            }
        }
        "content_block_delta" => {
            let delta = data.get("delta").unwrap_or(&Value::Null);
            match text(delta, "type") {
                "text_delta" => assembly.text(text(delta, "text")),
                "thinking_delta" => assembly.thought(text(delta, "thinking").len()),
                "input_json_delta" if blocks.0.contains(&index) => {
                    assembly.call(index, "", "", text(delta, "partial_json"))?;
                }
                _ => {}
            }
        }
        "message_delta" => {
            let usage = data.get("usage").unwrap_or(&Value::Null);
            if usage.get("input_tokens").is_some_and(Value::is_u64) {
                read_input(assembly, usage);
            }
            if let Some(output) = usage.get("output_tokens").and_then(Value::as_u64) {
                (assembly.usage.output, assembly.begun_only) = (output, false);
            }
            stopped(assembly, data.get("delta").map_or("", |delta| text(delta, "stop_reason")))?;
        }
        "message_stop" => return assembly.done(),
        "error" => return Err(reported(data.get("error").unwrap_or(&Value::Null))),
        "" => return Err(Failure::garbage("an event without a type")),
        // `ping`, `content_block_stop`, and kinds that may come later.
        _ => {}
    }
    Ok(())
}

/// Returns input that came with the start of a block: some servers with this format send the whole input at once.
fn started_input<'a>(block: &Value, event: &'a str) -> &'a str {
    match block.get("input") {
        Some(Value::Object(fields)) if !fields.is_empty() => {
            written::part(event, "content_block/input").unwrap_or_default()
        }
        _ => "",
    }
}

/// Reads the input usage, which comes in three parts, of which only one is uncached.
fn read_input(assembly: &mut Assembly, usage: &Value) {
    let cached = count(usage, "cache_read_input_tokens");
    let kept = count(usage, "cache_creation_input_tokens");
    assembly.usage.cached_input = cached;
    assembly.usage.input = count(usage, "input_tokens").saturating_add(cached).saturating_add(kept);
    assembly.usage.output = assembly.usage.output.max(count(usage, "output_tokens"));
}

fn stopped(assembly: &mut Assembly, reason: &str) -> Result<(), Failure> {
    assembly.finish = match reason {
        "" => return Ok(()),
        "end_turn" | "stop_sequence" | "stop" => Some(Finish::Stop),
        "max_tokens" | "model_context_window_exceeded" => Some(Finish::Length),
        "tool_use" => Some(Finish::ToolCalls),
        "refusal" => Some(Finish::ContentFilter),
        _ => assembly.unknown_end(reason)?,
    };
    Ok(())
}

fn reported(error: &Value) -> Failure {
    let trouble = match text(error, "type") {
        "overloaded_error" | "rate_limit_error" => Trouble::Busy,
        "invalid_request_error" => Trouble::Rejected,
        "authentication_error" | "permission_error" => Trouble::Key,
        "not_found_error" => Trouble::Unknown,
        "request_too_large" => Trouble::TooLong,
        _ => Trouble::Broken,
    };
    // Its message may repeat the prompt.
    Failure::new(trouble, format!("the stream tells of an error: {}", kind(text(error, "type"))))
}

#[cfg(test)]
#[path = "anthropic_tests.rs"]
mod tests;

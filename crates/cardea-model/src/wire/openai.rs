//! `/chat/completions`: OpenAI's format, as the many servers that copied it really speak it.
//!
//! Accepted beside the documented form: a usage that comes with the last piece, before it or not at all; calls
//! without index or id; arguments as an object; the older `function_call`; a whole document where a stream was asked
//! for; a stream that ends after `finish_reason` without `[DONE]`, or at `[DONE]` without `finish_reason`.

use cardea_core::{
    message::{AnswerFormat, Finish, Prompt, ToolChoice, Usage},
    sse::Event,
    tool::ToolCall,
};
use serde_json::{Map, Value, json};

use super::{
    Assembly, ToolNames, WireRequest, count, text,
    transcript::{Part, ToolResult, tidy},
};
use crate::failure::{Failure, Trouble};

pub(super) fn request(prompt: &Prompt, model: &str, base: &str, names: &ToolNames) -> WireRequest {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), messages(prompt, names).into());
    body.insert("stream".into(), true.into());
    body.insert("stream_options".into(), json!({ "include_usage": true }));
    if !prompt.tools.is_empty() {
        let tools = prompt.tools.iter().map(|tool| {
            let function = json!({
                "name": names.wire(tool.name.as_str()),
                "description": tool.description,
                "parameters": tool.input_schema,
            });
            json!({ "type": "function", "function": function })
        });
        body.insert("tools".into(), tools.collect());
    }
    let sampling = &prompt.sampling;
    // WHY: OpenAI's newer models refuse the old name of this limit, other servers know only that one.
    let limit = if base.contains("api.openai.com") { "max_completion_tokens" } else { "max_tokens" };
    let demands = &prompt.demands;
    let options: [(&str, Option<Value>); 11] = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        (limit, sampling.max_tokens.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into())),
        ("seed", sampling.seed.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("reasoning_effort", sampling.reasoning_effort.map(|effort| json!(effort))),
        ("tool_choice", tool_choice(&demands.tool_choice, names)),
        ("parallel_tool_calls", demands.parallel_tool_calls.map(Value::from)),
        ("response_format", response_format(&demands.format)),
    ];
    for (key, value) in options {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    }
    WireRequest { path: "/chat/completions".into(), body: body.into() }
}

fn tool_choice(choice: &ToolChoice, names: &ToolNames) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(tool) => {
            Some(json!({ "type": "function", "function": { "name": names.wire(tool.as_str()) } }))
        }
    }
}

fn response_format(format: &AnswerFormat) -> Option<Value> {
    match format {
        AnswerFormat::Text => None,
        AnswerFormat::JsonObject => Some(json!({ "type": "json_object" })),
        AnswerFormat::JsonSchema { name, schema, strict } => {
            let mut described = json!({ "name": name, "schema": schema });
            if let (Some(strict), Some(described)) = (strict, described.as_object_mut()) {
                described.insert("strict".into(), (*strict).into());
            }
            Some(json!({ "type": "json_schema", "json_schema": described }))
        }
    }
}

fn messages(prompt: &Prompt, names: &ToolNames) -> Vec<Value> {
    let mut out = Vec::new();
    for part in tidy(&prompt.messages) {
        match part {
            Part::System(text) => out.push(json!({ "role": "system", "content": text })),
            Part::User(text) => out.push(json!({ "role": "user", "content": text })),
            Part::Assistant(text, []) => out.push(json!({ "role": "assistant", "content": text })),
            Part::Assistant(text, calls) => {
                let content = if text.is_empty() { Value::Null } else { text.into() };
                let calls: Vec<Value> = calls.iter().map(|call| written_call(call, names)).collect();
                out.push(json!({ "role": "assistant", "content": content, "tool_calls": calls }));
            }
            Part::Results(results) => out.extend(results.iter().map(written_result)),
        }
    }
    out
}

fn written_call(call: &ToolCall, names: &ToolNames) -> Value {
    let arguments = Value::Object(call.arguments.clone()).to_string();
    json!({ "id": call.id, "type": "function", "function": { "name": names.wire(&call.name), "arguments": arguments } })
}

fn written_result(result: &ToolResult<'_>) -> Value {
    // The format has no place for "it failed", so the text says it.
    let content =
        if result.failed { json!({ "error": result.text }).to_string() } else { result.text.to_owned() };
    json!({ "role": "tool", "tool_call_id": result.call.id, "content": content })
}

pub(super) fn event(assembly: &mut Assembly, event: &Event) -> Result<(), Failure> {
    let data = event.data.trim();
    if data == "[DONE]" {
        return assembly.done();
    }
    if data.is_empty() {
        return Ok(());
    }
    let chunk: Value = serde_json::from_str(data).map_err(|_| Failure::garbage("an event is not JSON"))?;
    take(assembly, &chunk, "delta")
}

pub(super) fn whole(assembly: &mut Assembly, body: &[u8]) -> Result<(), Failure> {
    let document: Value =
        serde_json::from_slice(body).map_err(|_| Failure::garbage("the document is not JSON"))?;
    take(assembly, &document, "message")?;
    assembly.done()
}

fn take(assembly: &mut Assembly, chunk: &Value, key: &str) -> Result<(), Failure> {
    if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
        return Err(reported(error));
    }
    if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
        assembly.usage = read_usage(usage);
    }
    let choices = chunk.get("choices").and_then(Value::as_array);
    let Some(choices) = choices else {
        let known = chunk.get("usage").is_some() || chunk.get("object").is_some();
        return if known { Ok(()) } else { Err(Failure::garbage("an event holds no choices")) };
    };
    // One answer was asked for; a server that sends more is read as if it had sent the first.
    let Some(choice) = choices.iter().find(|choice| count(choice, "index") == 0) else { return Ok(()) };
    let delta = choice.get(key).or(choice.get("delta")).or(choice.get("message")).unwrap_or(&Value::Null);
    assembly.text(text(delta, "content"));
    assembly.text(text(delta, "refusal"));
    for piece in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let function = piece.get("function").unwrap_or(piece);
        let (id, name) = (text(piece, "id"), text(function, "name"));
        let key = piece.get("index").and_then(Value::as_u64).unwrap_or_else(|| assembly.key_for(id, name));
        assembly.call(key, id, name, &arguments(function))?;
    }
    if let Some(function) = delta.get("function_call").filter(|function| function.is_object()) {
        assembly.call(0, "", text(function, "name"), &arguments(function))?;
    }
    match text(choice, "finish_reason") {
        "" => {}
        "length" => assembly.finish = Some(Finish::Length),
        "content_filter" => assembly.finish = Some(Finish::ContentFilter),
        "tool_calls" | "function_call" => assembly.finish = Some(Finish::ToolCalls),
        "error" => return Err(Failure::new(Trouble::Broken, "the answer finished with an error")),
        // `stop`, and words of other servers (`eos`, `end_turn`): the answer is whole.
        _ => assembly.finish = Some(Finish::Stop),
    }
    Ok(())
}

/// Arguments are JSON in a string; a few servers send the object itself.
fn arguments(function: &Value) -> String {
    match function.get("arguments") {
        Some(Value::String(text)) => text.clone(),
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => String::new(),
    }
}

fn read_usage(usage: &Value) -> Usage {
    let details = usage.get("prompt_tokens_details").unwrap_or(&Value::Null);
    Usage {
        input: count(usage, "prompt_tokens"),
        cached_input: count(details, "cached_tokens"),
        output: count(usage, "completion_tokens"),
    }
}

/// An error that came inside a stream with status 200.
fn reported(error: &Value) -> Failure {
    let message = error.as_str().unwrap_or_else(|| text(error, "message"));
    let kind = format!("{} {}", text(error, "type"), text(error, "code"));
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let trouble = match status {
        Some(status @ 400..) => Trouble::of_status(status),
        _ if kind.contains("rate_limit") || kind.contains("overloaded") => Trouble::Busy,
        _ if kind.contains("context_length") => Trouble::TooLong,
        _ if kind.contains("invalid_request") => Trouble::Rejected,
        _ => Trouble::Broken,
    };
    Failure::new(trouble, message)
}

#[cfg(test)]
#[path = "openai_tests.rs"]
mod tests;

//! `/chat/completions`: OpenAI's format, as the many servers that copied it really speak it.
//!
//! Accepted beside the documented form: a usage that comes with the last piece, before it or not at all; calls
//! without index or id; arguments as an object; the older `function_call`; a whole document where a stream was asked
//! for; a stream that ends after `finish_reason` without `[DONE]`, or at `[DONE]` without `finish_reason`.

use std::borrow::Cow;

use cardea_core::{
    message::{AnswerFormat, Finish, Prompt, ToolChoice, Usage},
    sse::Event,
    tool::ToolCall,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use super::{
    Assembly, ToolNames, WireRequest,
    lenient::{Arguments, Lenient, List, Object, there},
    text,
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

/// A chunk of a stream, or a whole document.
#[derive(Debug, Default, Deserialize)]
struct Chunk<'a> {
    #[serde(default)]
    error: Option<Value>,
    #[serde(default, deserialize_with = "there")]
    usage: Option<Lenient<Object<Counted>>>,
    #[serde(default, deserialize_with = "there")]
    object: Option<IgnoredAny>,
    #[serde(default, borrow)]
    choices: Lenient<List<Object<Choice<'a>>>>,
}

#[derive(Debug, Default, Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: Lenient<Option<u64>>,
    #[serde(default)]
    completion_tokens: Lenient<Option<u64>>,
    #[serde(default)]
    prompt_tokens_details: Lenient<Object<Details>>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Lenient<Option<u64>>,
}

#[derive(Debug, Default, Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Lenient<Option<u64>>,
    #[serde(default, borrow)]
    delta: Lenient<Object<Delta<'a>>>,
    #[serde(default, borrow)]
    message: Lenient<Object<Delta<'a>>>,
    #[serde(default, borrow)]
    finish_reason: Lenient<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    content: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    refusal: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    tool_calls: Lenient<List<Object<CallPiece<'a>>>>,
    #[serde(default, borrow)]
    function_call: Lenient<Object<Function<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct CallPiece<'a> {
    #[serde(default)]
    index: Lenient<Option<u64>>,
    #[serde(default, borrow)]
    id: Lenient<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "there")]
    function: Option<Lenient<Object<Function<'a>>>>,
    // Of servers that leave out the function around them.
    #[serde(default, borrow)]
    name: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    arguments: Lenient<Arguments<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Function<'a> {
    #[serde(default, borrow)]
    name: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    arguments: Lenient<Arguments<'a>>,
}

pub(super) fn event(assembly: &mut Assembly, event: &Event) -> Result<(), Failure> {
    let data = event.data.trim();
    if data == "[DONE]" {
        return assembly.done();
    }
    if data.is_empty() {
        return Ok(());
    }
    let chunk = serde_json::from_str(data).map_err(|_| Failure::garbage("an event is not JSON"))?;
    take(assembly, chunk)
}

pub(super) fn whole(assembly: &mut Assembly, body: &[u8]) -> Result<(), Failure> {
    let document = serde_json::from_slice(body).map_err(|_| Failure::garbage("the document is not JSON"))?;
    take(assembly, document)?;
    assembly.done()
}

fn take(assembly: &mut Assembly, chunk: Chunk<'_>) -> Result<(), Failure> {
    if let Some(error) = chunk.error {
        return Err(reported(&error));
    }
    let known = chunk.usage.is_some() || chunk.object.is_some();
    if let Some(Lenient(Object(Some(counted)))) = chunk.usage {
        assembly.usage = counted.into();
    }
    let Lenient(List(Some(choices))) = chunk.choices else {
        return if known { Ok(()) } else { Err(Failure::garbage("an event holds no choices")) };
    };
    // One answer was asked for; a server that sends more is read as if it had sent the first.
    let mut choices = choices.into_iter().map(|choice| choice.0.unwrap_or_default());
    let Some(choice) = choices.find(|choice| choice.index.0.unwrap_or_default() == 0) else {
        return Ok(());
    };
    let delta = choice.delta.0.0.or(choice.message.0.0).unwrap_or_default();
    assembly.text(&delta.content.0);
    assembly.text(&delta.refusal.0);
    for piece in delta.tool_calls.0.0.into_iter().flatten() {
        let CallPiece { index, id, function, name, arguments } = piece.0.unwrap_or_default();
        let function = match function {
            Some(function) => function.0.0.unwrap_or_default(),
            None => Function { name, arguments },
        };
        let (id, name) = (id.0, function.name.0);
        let key = index.0.unwrap_or_else(|| assembly.key_for(&id, &name));
        assembly.call(key, &id, &name, &function.arguments.0.0)?;
    }
    if let Some(function) = delta.function_call.0.0 {
        assembly.call(0, "", &function.name.0, &function.arguments.0.0)?;
    }
    match &*choice.finish_reason.0 {
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

impl From<Counted> for Usage {
    fn from(counted: Counted) -> Self {
        let details = counted.prompt_tokens_details.0.0.unwrap_or_default();
        Self {
            input: counted.prompt_tokens.0.unwrap_or_default(),
            cached_input: details.cached_tokens.0.unwrap_or_default(),
            output: counted.completion_tokens.0.unwrap_or_default(),
        }
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

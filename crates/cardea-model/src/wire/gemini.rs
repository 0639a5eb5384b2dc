//! `:streamGenerateContent`: Google's format.
//!
//! Calls have no id here unless the model gives one, so they are numbered. Each event repeats the usage so far. Parts
//! marked as thought are not part of the answer. The schema is sent as JSON Schema, not in the older dialect.

use cardea_core::{
    message::{AnswerFormat, Finish, Prompt, ToolChoice, Usage},
    sse::Event,
    time::Millis,
    written,
};
use serde_json::{Map, Value, json};

use super::{
    Assembly, ToolNames, WireRequest, count, kind, positive_ms, text,
    transcript::{LEFT_OUT, Part, ToolResult, tidy},
};
use crate::{
    alias::AliasConfig,
    failure::{Failure, Trouble},
};

pub(super) fn request(prompt: &Prompt, alias: &AliasConfig, names: &ToolNames) -> WireRequest {
    let (system, contents) = contents(prompt, names);
    let mut body = Map::new();
    body.insert("contents".into(), contents.into());
    if !system.is_empty() {
        body.insert("systemInstruction".into(), json!({ "parts": [{ "text": system.join("\n\n") }] }));
    }
    if !prompt.tools.is_empty() {
        let tools = prompt.tools.iter().map(|tool| {
            json!({
                "name": names.wire(tool.name.as_str()),
                "description": tool.description,
                "parametersJsonSchema": tool.input_schema,
            })
        });
        body.insert("tools".into(), json!([{ "functionDeclarations": tools.collect::<Vec<_>>() }]));
    }
    if let Some(calling) = calling(&prompt.demands.tool_choice, names) {
        body.insert("toolConfig".into(), json!({ "functionCallingConfig": calling }));
    }
    let sampling = alias.sampling(prompt);
    let (mime, schema) = match &prompt.demands.format {
        AnswerFormat::Text => (None, None),
        AnswerFormat::JsonObject => (Some("application/json"), None),
        AnswerFormat::JsonSchema { schema, .. } => (Some("application/json"), Some(schema.clone())),
    };
    let options: [(&str, Option<Value>); 9] = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("topP", sampling.top_p.map(Value::from)),
        ("maxOutputTokens", alias.limit(prompt).map(Value::from)),
        ("stopSequences", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into())),
        ("seed", sampling.seed.map(Value::from)),
        ("frequencyPenalty", sampling.frequency_penalty.map(Value::from)),
        ("presencePenalty", sampling.presence_penalty.map(Value::from)),
        ("responseMimeType", mime.map(Value::from)),
        ("responseJsonSchema", schema),
    ];
    let chosen: Map<String, Value> =
        options.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect();
    if !chosen.is_empty() {
        body.insert("generationConfig".into(), chosen.into());
    }
    WireRequest::new(format!("/models/{}:streamGenerateContent?alt=sse", alias.model), &body)
}

fn calling(choice: &ToolChoice, names: &ToolNames) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!({ "mode": "NONE" })),
        ToolChoice::Required => Some(json!({ "mode": "ANY" })),
        ToolChoice::Named(tool) => {
            Some(json!({ "mode": "ANY", "allowedFunctionNames": [names.wire(tool.as_str())] }))
        }
    }
}

fn contents<'a>(prompt: &'a Prompt, names: &ToolNames) -> (Vec<&'a str>, Vec<Value>) {
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut say = |role: &'static str, parts: Vec<Value>| match turns.last_mut() {
        Some((last, content)) if *last == role => content.extend(parts),
        _ => turns.push((role, parts)),
    };
    for part in tidy(&prompt.messages) {
        match part {
            Part::System(text) => system.push(text),
            Part::User(text) => say("user", vec![json!({ "text": text })]),
            Part::Assistant(text, calls) => {
                let words = (!text.trim().is_empty()).then(|| json!({ "text": text }));
                let calls = calls.iter().enumerate().map(|(place, call)| {
                    let mut part = json!({
                        "functionCall": { "id": call.id, "name": names.wire(&call.name), "args": call.arguments },
                    });
                    // WHY: newer models refuse a first call without the signature of their thoughts. Calls of this
                    // transcript may come from another model, and signatures are not kept, so the documented
                    // placeholder for calls made elsewhere is sent instead; older models ignore it.
                    if let (0, Some(part)) = (place, part.as_object_mut()) {
                        part.insert("thoughtSignature".into(), "skip_thought_signature_validator".into());
                    }
                    part
                });
                say("model", words.into_iter().chain(calls).collect());
            }
            Part::Results(results) => {
                say("user", results.iter().map(|result| written_result(result, names)).collect())
            }
        }
    }
    if turns.first().is_some_and(|(role, _)| *role == "model") {
        turns.insert(0, ("user", vec![json!({ "text": LEFT_OUT })])); // a call must follow a user message
    }
    let turns = turns.into_iter().map(|(role, parts)| json!({ "role": role, "parts": parts }));
    (system, turns.collect())
}

fn written_result(result: &ToolResult<'_>, names: &ToolNames) -> Value {
    let key = if result.failed { "error" } else { "output" };
    let name = names.wire(&result.call.name);
    json!({ "functionResponse": { "id": result.call.id, "name": name, "response": { key: result.text } } })
}

pub(super) fn event(assembly: &mut Assembly, event: &Event) -> Result<(), Failure> {
    let data: Value =
        serde_json::from_str(&event.data).map_err(|_| Failure::garbage("an event is not JSON"))?;
    if let Some(error) = data.get("error") {
        return Err(reported(error));
    }
    if let Some(usage) = data.get("usageMetadata") {
        assembly.usage = Usage {
            input: count(usage, "promptTokenCount"),
            cached_input: count(usage, "cachedContentTokenCount"),
            output: count(usage, "candidatesTokenCount").saturating_add(count(usage, "thoughtsTokenCount")),
        };
    }
    if let Some(reason) = data.pointer("/promptFeedback/blockReason").and_then(Value::as_str) {
        return Err(Failure::new(Trouble::Filtered, format!("the prompt was blocked: {}", kind(reason))));
    }
    let Some(candidate) = data.pointer("/candidates/0") else {
        let known = data.get("usageMetadata").is_some() || data.get("responseId").is_some();
        return if known { Ok(()) } else { Err(Failure::garbage("an event holds no candidates")) };
    };
    let parts = candidate.pointer("/content/parts").and_then(Value::as_array);
    for (place, part) in parts.into_iter().flatten().enumerate() {
        if part.get("thought").and_then(Value::as_bool) == Some(true) {
            assembly.thought(text(part, "text").len());
        } else {
            assembly.text(text(part, "text"));
        }
        if let Some(call) = part.get("functionCall") {
            let path = format!("candidates/0/content/parts/{place}/functionCall/args");
            let written = call.get("args").filter(|args| args.is_object());
            let arguments = written.and_then(|_| written::part(&event.data, &path)).unwrap_or_default();
            let key = u64::try_from(assembly.call_count()).unwrap_or(u64::MAX);
            assembly.call(key, text(call, "id"), text(call, "name"), arguments)?;
        }
    }
    stopped(assembly, text(candidate, "finishReason"))
}

fn stopped(assembly: &mut Assembly, reason: &str) -> Result<(), Failure> {
    assembly.finish = match reason {
        "" => return Ok(()),
        "STOP" => Some(Finish::Stop),
        "MAX_TOKENS" => Some(Finish::Length),
        "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "OTHER"
        | "FINISH_REASON_UNSPECIFIED" => {
            return Err(Failure::garbage(format!("the model stopped with {reason}")));
        }
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" => {
            Some(Finish::ContentFilter)
        }
        // Servers that copy the format have names of their own for an answer that calls tools.
        "FUNCTION_CALL" | "FUNCTION_CALLS" | "TOOL_CALL" | "TOOL_CALLS" => Some(Finish::ToolCalls),
        _ if assembly.call_count() > 0 => {
            return Err(Failure::garbage(format!(
                "tool calls finished with {}, which is not known",
                kind(reason)
            )));
        }
        _ => Some(Finish::ContentFilter),
    };
    Ok(())
}

fn reported(error: &Value) -> Failure {
    let status = u16::try_from(count(error, "code")).unwrap_or(500);
    // Its message may repeat the prompt.
    let cause = format!("the stream tells of an error: {status} {}", kind(text(error, "status")));
    Failure::new(Trouble::of_status(status), cause).after(retry_hint(error))
}

/// Returns the pause that a quota error asks for: `{"@type": "…RetryInfo", "retryDelay": "37s"}`.
pub(super) fn retry_hint(error: &Value) -> Option<Millis> {
    let details = error.get("details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    delay.strip_suffix('s')?.parse::<f64>().ok().and_then(|secs| positive_ms(secs * 1_000.0))
}

#[cfg(test)]
#[path = "gemini_tests.rs"]
mod tests;

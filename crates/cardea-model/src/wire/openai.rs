//! `/chat/completions`: OpenAI's format, as spoken by the many servers that copied it.
//!
//! Accepted beside the documented form: a usage that comes with the last piece, before it or not at all; calls without
//! index or id; arguments as an object; content as a list of parts; the older `function_call`; a whole document where
//! a stream was requested; a stream that ends after `finish_reason` without `[DONE]`, or at `[DONE]` without
//! `finish_reason`.

use std::borrow::Cow;

use cardea_core::{
    canonical::sha256_hex,
    message::{AnswerFormat, Finish, Message, Prompt, ReasoningEffort, ToolChoice, Usage, Verbosity},
    sse::Event,
    tool::ToolCall,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{
    Assembly, ToolNames, WireRequest,
    assembly::MOST_TOKENS,
    kind,
    lenient::{Arguments, Content, Lenient, List, Object, there},
    schema, text,
    transcript::{Part, ToolResult, placed},
};
use crate::{
    alias::AliasConfig,
    config::{CallIds, Dialect, LimitName},
    failure::{Failure, Trouble},
};

/// The request.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    model: &'a str,
    messages: Vec<Said<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<ReasoningEffort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<Verbosity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// One of `messages`.
#[derive(Debug, Serialize)]
struct Said<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    /// Name used by DeepSeek. Its models refuse their own calls without it, and other servers refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
}

impl<'a> Said<'a> {
    fn new(role: &'static str, content: impl Into<Cow<'a, str>>) -> Self {
        let (content, tool_calls) = (Some(content.into()), Vec::new());
        Self { role, name: None, content, tool_calls, reasoning_content: None, tool_call_id: None }
    }
}

/// One of `tools`.
#[derive(Debug, Serialize)]
struct Offered<'a> {
    r#type: &'static str,
    function: Described<'a>,
}

#[derive(Debug, Serialize)]
struct Described<'a> {
    name: &'a str,
    description: &'a str,
    parameters: Cow<'a, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

pub(super) fn request(
    prompt: &Prompt,
    alias: &AliasConfig,
    dialect: Dialect,
    names: &ToolNames,
) -> WireRequest {
    let (sampling, demands) = (alias.sampling(prompt), &prompt.demands);
    let (max_tokens, max_completion_tokens) = match dialect.limit {
        LimitName::MaxTokens => (alias.limit(prompt), None),
        LimitName::MaxCompletionTokens => (None, alias.limit(prompt)),
    };
    let body = Asked {
        model: &alias.model,
        messages: messages(prompt, &alias.model, names, dialect.ids),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        tools: prompt
            .tools
            .iter()
            .map(|tool| Offered {
                r#type: "function",
                function: Described {
                    name: names.wire(tool.name.as_str()),
                    description: &tool.description,
                    parameters: schema::object(&tool.input_schema),
                    strict: demands.strict.contains(&tool.name).then_some(true),
                },
            })
            .collect(),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        max_tokens,
        max_completion_tokens,
        stop: &sampling.stop,
        seed: sampling.seed,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        reasoning_effort: sampling.reasoning_effort,
        verbosity: sampling.verbosity,
        tool_choice: tool_choice(&demands.tool_choice, names),
        parallel_tool_calls: demands.parallel_tool_calls,
        response_format: response_format(&demands.format),
    };
    WireRequest::new("/chat/completions".to_owned(), &body)
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

fn messages<'a>(prompt: &'a Prompt, model: &str, names: &ToolNames, ids: CallIds) -> Vec<Said<'a>> {
    let mut out = Vec::new();
    for (place, part) in placed(&prompt.messages) {
        let name = prompt.demands.names.get(&place).map(String::as_str);
        match part {
            Part::System(text) => out.push(Said { name, ..Said::new("system", text) }),
            Part::User(text) => out.push(Said { name, ..Said::new("user", text) }),
            Part::Assistant(text, calls) => {
                let content = (calls.is_empty() || !text.is_empty()).then_some(text.into());
                let tool_calls = calls.iter().map(|call| written_call(call, names, ids)).collect();
                let reasoning_content =
                    prompt.messages.get(place).and_then(|message| thoughts(message, model));
                let said =
                    Said { name, content, tool_calls, reasoning_content, ..Said::new("assistant", "") };
                out.push(said);
            }
            Part::Results(results) => {
                out.extend(results.into_iter().map(|result| written_result(result, ids)))
            }
        }
    }
    out
}

/// Returns this model's thoughts before the calls of this message.
fn thoughts<'a>(message: &'a Message, model: &str) -> Option<&'a str> {
    match message {
        Message::Assistant { thoughts: Some(thoughts), calls, .. } if !calls.is_empty() => {
            (thoughts.model == model).then_some(&thoughts.text)
        }
        _ => None,
    }
}

fn written_call(call: &ToolCall, names: &ToolNames, ids: CallIds) -> Value {
    json!({ "id": wire_id(&call.id, ids), "type": "function", "function": { "name": names.wire(&call.name), "arguments": call.text() } })
}

fn written_result(result: ToolResult<'_>, ids: CallIds) -> Said<'_> {
    let ToolResult { call, text, failed } = result;
    // The format has no field for a failure, so the text says it.
    let content = if failed { Cow::Owned(json!({ "error": text }).to_string()) } else { Cow::Borrowed(text) };
    Said { tool_call_id: Some(wire_id(&call.id, ids)), ..Said::new("tool", content) }
}

/// Length limit of an id in bytes at OpenAI.
const SHORT: usize = 40;

/// Returns the id of a call as this server accepts it: ids of another provider, or of a client, may differ. The
/// mapping is deterministic and unique.
fn wire_id(id: &str, ids: CallIds) -> Cow<'_, str> {
    let fits = match ids {
        CallIds::Any => true,
        CallIds::Short => id.len() <= SHORT,
        CallIds::Nine => id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    };
    if fits {
        return Cow::Borrowed(id);
    }
    let digest = sha256_hex(id.as_bytes());
    let first = |digits: usize| digest.get(..digits).unwrap_or_default();
    Cow::Owned(match ids {
        CallIds::Nine => first(9).to_owned(),
        CallIds::Any | CallIds::Short => format!("call_{}", first(32)),
    })
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
    total_tokens: Lenient<Option<u64>>,
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
    content: Lenient<Content<'a>>,
    #[serde(default, borrow)]
    refusal: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    reasoning_content: Lenient<Cow<'a, str>>,
    /// Name used by other servers, whose models do not need it back.
    #[serde(default, borrow)]
    reasoning: Lenient<Cow<'a, str>>,
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
    // For servers that omit the enclosing `function`.
    #[serde(default, borrow)]
    name: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    arguments: Arguments<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Function<'a> {
    #[serde(default, borrow)]
    name: Lenient<Cow<'a, str>>,
    #[serde(default, borrow)]
    arguments: Arguments<'a>,
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
    // One answer was requested; of a server that sends more, the first is read.
    let mut choices = choices.into_iter().map(|choice| choice.0.unwrap_or_default());
    let Some(choice) = choices.find(|choice| choice.index.0.unwrap_or_default() == 0) else {
        return Ok(());
    };
    let delta = choice.delta.0.0.or(choice.message.0.0).unwrap_or_default();
    let Content { text, thought } = delta.content.0;
    assembly.text(&text);
    assembly.refusal(&delta.refusal.0);
    assembly.thinks(&delta.reasoning_content.0);
    // Some servers send the same thoughts under both names.
    let unnamed = delta.reasoning.0.len().saturating_sub(delta.reasoning_content.0.len());
    assembly.thought(thought.saturating_add(unnamed));
    for piece in delta.tool_calls.0.0.into_iter().flatten() {
        let CallPiece { index, id, function, name, arguments } = piece.0.unwrap_or_default();
        let function = match function {
            Some(function) => function.0.0.unwrap_or_default(),
            None => Function { name, arguments },
        };
        let (id, name) = (id.0, function.name.0);
        let key = index.0.unwrap_or_else(|| assembly.key_for(&id, &name));
        assembly.call(key, &id, &name, &function.arguments.0)?;
    }
    if let Some(function) = delta.function_call.0.0 {
        assembly.call(0, "", &function.name.0, &function.arguments.0)?;
    }
    stopped(assembly, &choice.finish_reason.0)
}

/// Handles the finish reason. Only known names, OpenAI's and those of other servers, mean that the answer is complete.
fn stopped(assembly: &mut Assembly, reason: &str) -> Result<(), Failure> {
    assembly.finish = match reason.to_ascii_lowercase().as_str() {
        "" => return Ok(()),
        "stop" | "eos" | "eos_token" | "end_turn" | "end" | "stop_sequence" | "stop_token" | "complete"
        | "completed" | "done" => Some(Finish::Stop),
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => Some(Finish::ToolCalls),
        "length" | "max_tokens" | "max_length" | "max_output_tokens" | "model_length" => Some(Finish::Length),
        "content_filter" | "safety" | "sensitive" => Some(Finish::ContentFilter),
        "error" | "abort" | "insufficient_system_resource" | "network_error" => {
            return Err(Failure::new(
                Trouble::Broken,
                format!("the answer finished with `{}`", kind(reason)),
            ));
        }
        _ => assembly.unknown_end(reason)?,
    };
    Ok(())
}

impl From<Counted> for Usage {
    fn from(counted: Counted) -> Self {
        let details = counted.prompt_tokens_details.0.0.unwrap_or_default();
        let input = counted.prompt_tokens.0.unwrap_or_default();
        // WHY: some servers count a model's thoughts only in the total.
        let rest = counted.total_tokens.0.unwrap_or_default().saturating_sub(input);
        let rest = if rest > MOST_TOKENS { 0 } else { rest };
        Self {
            input,
            cached_input: details.cached_tokens.0.unwrap_or_default(),
            output: counted.completion_tokens.0.unwrap_or_default().max(rest),
        }
    }
}

/// Classifies an error inside a stream with status 200.
fn reported(error: &Value) -> Failure {
    let kind = format!("{} {}", kind(text(error, "type")), kind(text(error, "code")));
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let trouble = match status {
        Some(status @ 400..) => Trouble::of_status(status),
        _ if kind.contains("rate_limit") || kind.contains("overloaded") => Trouble::Busy,
        _ if kind.contains("context_length") => Trouble::TooLong,
        _ if kind.contains("invalid_request") => Trouble::Rejected,
        _ => Trouble::Broken,
    };
    // Its message may repeat the prompt.
    Failure::new(trouble, format!("the stream tells of an error: {}", kind.trim()))
}

#[cfg(test)]
#[path = "openai_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "openai_ends_tests.rs"]
mod ends;

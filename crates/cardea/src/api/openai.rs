//! The OpenAI wire format for `/v1/chat/completions` and `/v1/models`, as values.
//!
//! Shapes follow the public API reference: `chat.completion`, `chat.completion.chunk`, `list` of `model`, and the
//! `{"error": {message, type, code, param}}` envelope. Members that Cardea does not use are accepted and ignored,
//! as clients expect.

use cardea_core::{
    Code, Error, Result,
    message::{Finish, Message, Sampling, Usage},
    time::Timestamp,
    tool::{ToolCall, ToolSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The body of `POST /v1/chat/completions`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Completion {
    /// A provider's model, or `agent/NAME`.
    pub model: String,
    /// The transcript, oldest first.
    pub messages: Vec<InMessage>,
    /// Send the answer in pieces.
    #[serde(default)]
    pub stream: bool,
    /// Of which only `include_usage` is known.
    #[serde(default)]
    pub stream_options: StreamOptions,
    /// Tools of the client (bare completions only: an agent brings its own).
    #[serde(default)]
    pub tools: Vec<InTool>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// Most tokens to write (older name).
    pub max_tokens: Option<u32>,
    /// Most tokens to write.
    pub max_completion_tokens: Option<u32>,
    /// One text or several.
    #[serde(default)]
    pub stop: Stop,
    /// For providers that can repeat themselves.
    pub seed: Option<i64>,
}

/// `stream_options`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct StreamOptions {
    /// Send a last chunk with the usage.
    #[serde(default)]
    pub include_usage: bool,
}

/// `stop`: one text or several.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum Stop {
    /// Not given.
    #[default]
    None,
    /// One text.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

/// One message as clients send it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InMessage {
    role: String,
    #[serde(default)]
    content: Option<InContent>,
    #[serde(default)]
    tool_calls: Vec<InCall>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum InContent {
    Text(String),
    Parts(Vec<InPart>),
}

#[derive(Debug, Clone, Deserialize)]
struct InPart {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct InCall {
    id: String,
    function: InFunction,
}

#[derive(Debug, Clone, Deserialize)]
struct InFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

/// A tool that the client offers.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InTool {
    function: InDefinition,
}

#[derive(Debug, Clone, Deserialize)]
struct InDefinition {
    name: String,
    #[serde(default)]
    description: String,
    parameters: Option<Value>,
}

fn bad(detail: impl Into<String>) -> Error {
    Error::new(Code::BadRequest).detail(detail)
}

impl Completion {
    /// The agent's name if the model is `agent/NAME`.
    #[must_use]
    pub(crate) fn agent(&self) -> Option<&str> {
        self.model.strip_prefix("agent/")
    }

    /// How the model should write.
    ///
    /// # Errors
    /// `bad_request` names the member that is out of range.
    pub(crate) fn sampling(&self) -> Result<Sampling> {
        let within = |name: &str, value: Option<f64>, most: f64| match value {
            Some(value) if !(0.0..=most).contains(&value) => {
                Err(bad(format!("`{name}` must be between 0 and {most}.")))
            }
            value => Ok(value),
        };
        Ok(Sampling {
            temperature: within("temperature", self.temperature, 2.0)?,
            top_p: within("top_p", self.top_p, 1.0)?,
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            stop: match &self.stop {
                Stop::None => Vec::new(),
                Stop::One(text) => vec![text.clone()],
                Stop::Many(texts) => texts.clone(),
            },
            seed: self.seed,
        })
    }

    /// The transcript in Cardea's own types.
    ///
    /// # Errors
    /// `bad_request` names the message that cannot be used.
    pub(crate) fn transcript(&self) -> Result<Vec<Message>> {
        self.messages.iter().enumerate().map(|(at, message)| message.read(at)).collect()
    }

    /// The tools that the client offers, as read-only specs: the client calls them, not Cardea.
    #[must_use]
    pub(crate) fn client_tools(&self) -> Vec<ToolSpec> {
        let spec = |tool: &InTool| ToolSpec {
            name: tool.function.name.as_str().into(),
            description: tool.function.description.clone(),
            input_schema: tool.function.parameters.clone().unwrap_or_else(|| json!({"type": "object"})),
            effect: cardea_core::tool::Effect::Destructive,
            idempotent: false,
            sends_outside: false,
            examples: Vec::new(),
            cache: None,
            clears: Vec::new(),
        };
        self.tools.iter().map(spec).collect()
    }

    /// What the user says in this request: the text of the last message, which must be the user's.
    ///
    /// # Errors
    /// `bad_request` if the last message is not the user's, or is empty.
    pub(crate) fn last_user_text(&self) -> Result<String> {
        let at = self.messages.len().saturating_sub(1);
        let last = self.messages.last().ok_or_else(|| bad("`messages` must not be empty."))?;
        match last.read(at)? {
            Message::User { text } if !text.trim().is_empty() => Ok(text),
            Message::User { .. } => Err(bad(format!("`messages[{at}].content` is empty."))),
            _ => Err(bad("The last message must have the role `user`: an agent keeps the history itself.")),
        }
    }
}

impl InMessage {
    fn text(&self, at: usize) -> Result<String> {
        match &self.content {
            None => Ok(String::new()),
            Some(InContent::Text(text)) => Ok(text.clone()),
            Some(InContent::Parts(parts)) => {
                let mut whole = String::new();
                for part in parts {
                    match (part.kind.as_str(), &part.text) {
                        ("text", Some(text)) => whole.push_str(text),
                        (kind, _) => {
                            return Err(bad(format!(
                                "`messages[{at}].content` has a part of type `{kind}`; only `text` is taken."
                            )));
                        }
                    }
                }
                Ok(whole)
            }
        }
    }

    fn read(&self, at: usize) -> Result<Message> {
        let text = self.text(at)?;
        match self.role.as_str() {
            "system" | "developer" => Ok(Message::System { text }),
            "user" => Ok(Message::User { text }),
            "assistant" => {
                let calls = self.tool_calls.iter().map(|call| call.read(at)).collect::<Result<_>>()?;
                Ok(Message::Assistant { text, calls })
            }
            "tool" => Ok(Message::Tool {
                call_id: self.tool_call_id.clone().ok_or_else(|| {
                    bad(format!("`messages[{at}]` has the role `tool` but no `tool_call_id`."))
                })?,
                name: self.name.clone().unwrap_or_default(),
                text,
                failed: false,
            }),
            role => Err(bad(format!(
                "`messages[{at}].role` is `{}`; it must be system, developer, user, assistant or tool.",
                role.chars().take(32).collect::<String>()
            ))),
        }
    }
}

impl InCall {
    fn read(&self, at: usize) -> Result<ToolCall> {
        let arguments: Map<String, Value> = if self.function.arguments.trim().is_empty() {
            Map::new()
        } else {
            serde_json::from_str(&self.function.arguments).map_err(|error| {
                bad(format!(
                    "The arguments of a tool call in `messages[{at}]` are not a JSON object: {error}."
                ))
            })?
        };
        Ok(ToolCall { id: self.id.clone(), name: self.function.name.clone(), arguments })
    }
}

/// `usage`.
#[must_use]
pub(crate) fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": { "cached_tokens": usage.cached_input },
    })
}

/// `finish_reason`.
#[must_use]
pub(crate) const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

fn calls(calls: &[ToolCall]) -> Value {
    let call = |(index, call): (usize, &ToolCall)| {
        json!({
            "index": index,
            "id": call.id,
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": Value::Object(call.arguments.clone()).to_string(),
            },
        })
    };
    calls.iter().enumerate().map(call).collect()
}

/// What all objects of one answer have in common.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Envelope {
    /// `chatcmpl-…`.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The model as the client named it.
    pub model: String,
}

impl Envelope {
    /// An envelope for the answer with this id.
    #[must_use]
    pub(crate) fn new(id: &str, now: Timestamp, model: &str) -> Self {
        Self { id: format!("chatcmpl-{id}"), created: now.secs(), model: model.to_owned() }
    }

    /// The whole answer, `chat.completion`. `more` is added under `cardea`.
    #[must_use]
    pub(crate) fn whole(
        &self,
        text: &str,
        tools: &[ToolCall],
        end: (Finish, Usage),
        more: Option<Value>,
    ) -> Value {
        let mut message = json!({ "role": "assistant", "content": text, "refusal": null });
        if let (false, Some(object)) = (tools.is_empty(), message.as_object_mut()) {
            object.insert("tool_calls".into(), calls(tools));
            if text.is_empty() {
                object.insert("content".into(), Value::Null);
            }
        }
        let mut answer = json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(end.0),
            }],
            "usage": usage(end.1),
        });
        if let (Some(more), Some(object)) = (more, answer.as_object_mut()) {
            object.insert("cardea".into(), more);
        }
        answer
    }

    fn chunk(&self, delta: Value, finish: Option<Finish>) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish.map(finish_reason),
            }],
        })
    }

    /// The first chunk: who speaks.
    #[must_use]
    pub(crate) fn opening(&self) -> Value {
        self.chunk(json!({ "role": "assistant", "content": "" }), None)
    }

    /// A piece of text.
    #[must_use]
    pub(crate) fn piece(&self, text: &str) -> Value {
        self.chunk(json!({ "content": text }), None)
    }

    /// Whole tool calls.
    #[must_use]
    pub(crate) fn tool_calls(&self, tools: &[ToolCall]) -> Value {
        self.chunk(json!({ "tool_calls": calls(tools) }), None)
    }

    /// The last chunk with a choice.
    #[must_use]
    pub(crate) fn closing(&self, finish: Finish) -> Value {
        self.chunk(json!({}), Some(finish))
    }

    /// The chunk with the usage and no choice, if the client asked for it.
    #[must_use]
    pub(crate) fn usage_chunk(&self, used: Usage) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": [], "usage": usage(used),
        })
    }
}

/// The error envelope of OpenAI's API.
#[must_use]
pub(crate) fn error(error: &Error, request: &str) -> Value {
    let kind = match error.code().status() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    json!({ "error": {
        "message": error.public(), "type": kind, "code": error.code().name(), "param": null, "request_id": request,
    } })
}

/// `GET /v1/models`.
#[must_use]
pub(crate) fn models(names: &[String], now: Timestamp) -> Value {
    let model =
        |name: &String| json!({ "id": name, "object": "model", "created": now.secs(), "owned_by": "cardea" });
    json!({ "object": "list", "data": names.iter().map(model).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: Value) -> Completion {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_clients_transcript_keeps_its_roles_apart() {
        let body = parse(json!({
            "model": "m", "unknown_member": 1,
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": [{ "type": "text", "text": "hi" }] },
                { "role": "assistant", "content": null,
                  "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } }] },
                { "role": "tool", "tool_call_id": "c1", "content": "one" },
            ],
        }));
        let transcript = body.transcript().unwrap();
        assert!(matches!(&transcript[0], Message::System { text } if text == "be brief"));
        assert!(matches!(&transcript[1], Message::User { text } if text == "hi"));
        assert!(matches!(&transcript[2], Message::Assistant { calls, .. } if calls[0].arguments["a"] == 1));
        assert!(matches!(&transcript[3], Message::Tool { call_id, .. } if call_id == "c1"));
    }

    #[test]
    fn a_message_that_cannot_be_used_is_named() {
        for (message, says) in [
            (json!({ "role": "wizard", "content": "x" }), "`messages[0].role` is `wizard`"),
            (json!({ "role": "user", "content": [{ "type": "image_url" }] }), "type `image_url`"),
            (json!({ "role": "tool", "content": "x" }), "no `tool_call_id`"),
        ] {
            let body = parse(json!({ "model": "m", "messages": [message] }));
            let error = body.transcript().unwrap_err();
            assert!(error.public().contains(says), "{error}");
        }
        let hot = parse(json!({ "model": "m", "messages": [], "temperature": 3 }));
        assert!(hot.sampling().unwrap_err().public().contains("`temperature` must be between 0 and 2"));
    }
}

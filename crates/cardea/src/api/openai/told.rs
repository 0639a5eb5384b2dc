//! What clients are told: `chat.completion`, its chunks and its usage.

use cardea_core::{
    message::{Finish, Usage},
    time::Timestamp,
    tool::ToolCall,
};
use serde::Serialize;
use serde_json::{Value, json};

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

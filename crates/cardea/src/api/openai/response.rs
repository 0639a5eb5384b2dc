//! The answers: `chat.completion`, `chat.completion.chunk` and `usage`.

use std::borrow::Cow;

use cardea_core::{
    message::{Finish, Usage},
    time::Timestamp,
    tool::ToolCall,
};
use serde::Serialize;

/// `usage`.
#[derive(Debug, Serialize)]
struct Used {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Details,
}

/// `prompt_tokens_details`.
#[derive(Debug, Serialize)]
struct Details {
    cached_tokens: u64,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.total(),
            prompt_tokens_details: Details { cached_tokens: usage.cached_input },
        }
    }
}

/// `finish_reason`.
#[must_use]
const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

/// An element of `tool_calls`.
#[derive(Debug, Serialize)]
struct Called<'a> {
    index: usize,
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

/// `function`. The arguments are a string that contains JSON.
#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

fn called(calls: &[ToolCall]) -> Vec<Called<'_>> {
    calls
        .iter()
        .enumerate()
        .map(|(index, call)| Called {
            index,
            id: &call.id,
            r#type: "function",
            function: Function { name: &call.name, arguments: call.text() },
        })
        .collect()
}

/// `message` of a complete answer.
#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    /// DeepSeek's name for thoughts. Its models require them to be sent back with the calls.
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
}

/// The only element of `choices` in a complete answer.
#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<&'static str>,
    finish_reason: &'static str,
}

/// `chat.completion`, with Cardea's addition.
#[derive(Debug, Serialize)]
struct Whole<'a, M> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Used,
    cardea: M,
}

/// `delta`: what a chunk appends to the message.
#[derive(Debug, Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Called<'a>>,
}

/// The only element of `choices` in a chunk.
#[derive(Debug, Serialize)]
struct Piece<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<&'static str>,
    finish_reason: Option<&'static str>,
}

/// `chat.completion.chunk`. The last chunk that has a choice carries Cardea's addition; the chunk after it carries the
/// usage.
#[derive(Debug, Serialize)]
struct Chunk<'a, M> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Piece<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Used>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cardea: Option<M>,
}

/// The text of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said<'a> {
    /// The answer.
    Answer(&'a str),
    /// The model's refusal to answer.
    Refusal(&'a str),
}

/// A complete answer and its finish reason.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// The text.
    pub(crate) said: Said<'a>,
    /// The calls that the client is asked to make.
    pub(crate) tools: &'a [ToolCall],
    /// The model's thoughts before these calls.
    pub(crate) thoughts: &'a str,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
}

/// The members that all objects of one answer share.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    /// `chatcmpl-…`.
    id: String,
    /// Seconds since the Unix epoch.
    created: i64,
    /// The model's name as in the request.
    model: String,
}

/// Serializes an object. This cannot fail: the types contain only strings, numbers and lists of them.
fn written(object: &impl Serialize) -> String {
    serde_json::to_string(object).unwrap_or_default()
}

impl Envelope {
    /// Makes an envelope for the answer with this id.
    #[must_use]
    pub(crate) fn new(id: &str, now: Timestamp, model: &str) -> Self {
        Self { id: format!("chatcmpl-{id}"), created: now.secs(), model: model.to_owned() }
    }

    /// Returns the complete answer (`chat.completion`) as JSON. `more` is the member `cardea`.
    #[must_use]
    pub(crate) fn whole(&self, answer: Answer<'_>, more: impl Serialize) -> String {
        let Answer { said, tools, thoughts, finish, usage } = answer;
        let (content, refusal) = match said {
            Said::Answer("") if !tools.is_empty() => (None, None), // only calls
            Said::Answer(text) => (Some(text), None),
            Said::Refusal(text) => (None, Some(text)),
        };
        let (role, tool_calls) = ("assistant", called(tools));
        let message = Message { role, content, refusal, reasoning_content: thoughts, tool_calls };
        let choice = Choice { index: 0, message, logprobs: None, finish_reason: finish_reason(finish) };
        written(&Whole {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: [choice],
            usage: usage.into(),
            cardea: more,
        })
    }

    fn chunk(&self, choices: &[Piece<'_>], usage: Option<Usage>, cardea: Option<impl Serialize>) -> String {
        written(&Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: usage.map(Used::from),
            cardea,
        })
    }

    fn delta(&self, delta: Delta<'_>) -> String {
        self.chunk(&[Piece { index: 0, delta, logprobs: None, finish_reason: None }], None, None::<()>)
    }

    /// Returns the first chunk, which names the role.
    #[must_use]
    pub(crate) fn opening(&self) -> String {
        self.delta(Delta { role: Some("assistant"), content: Some(""), ..Delta::default() })
    }

    /// Returns a chunk with text.
    #[must_use]
    pub(crate) fn piece(&self, text: &str) -> String {
        self.delta(Delta { content: Some(text), ..Delta::default() })
    }

    /// Returns a chunk with the text of a refusal.
    #[must_use]
    pub(crate) fn refusal(&self, text: &str) -> String {
        self.delta(Delta { refusal: Some(text), ..Delta::default() })
    }

    /// Returns a chunk with complete tool calls and the thoughts before them.
    #[must_use]
    pub(crate) fn tool_calls(&self, tools: &[ToolCall], thoughts: &str) -> String {
        self.delta(Delta { tool_calls: called(tools), reasoning_content: thoughts, ..Delta::default() })
    }

    /// Returns the last chunk that has a choice. `more` is the member `cardea`.
    #[must_use]
    pub(crate) fn closing(&self, finish: Finish, more: Option<impl Serialize>) -> String {
        let finish_reason = Some(finish_reason(finish));
        self.chunk(&[Piece { index: 0, delta: Delta::default(), logprobs: None, finish_reason }], None, more)
    }

    /// Returns the chunk with the usage and no choice. It is sent if the client asked for it.
    #[must_use]
    pub(crate) fn usage_chunk(&self, used: Usage) -> String {
        self.chunk(&[], Some(used), None::<()>)
    }
}

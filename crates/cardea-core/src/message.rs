//! Messages of a conversation, kept apart by author.
//!
//! System, user, assistant and tool text are variants, not strings with a role beside them, so that a coding mistake
//! cannot turn a tool result into an instruction.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::ToolName,
    tool::{ToolCall, ToolSpec},
};

/// One entry of the transcript that goes to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// The agent's instructions. They come only from agent files and configuration.
    System {
        /// The text.
        text: String,
    },
    /// A message of the user.
    User {
        /// The text, screened.
        text: String,
    },
    /// An answer of the model, or its tool calls.
    Assistant {
        /// The text; empty if the model only calls tools.
        text: String,
        /// The tool calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ToolCall>,
        /// The model's thoughts before these calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thoughts: Option<Thoughts>,
    },
    /// The result of a tool: untrusted data.
    Tool {
        /// The [`ToolCall::id`] that this answers.
        call_id: String,
        /// The tool's name.
        name: String,
        /// The result as text (JSON), screened.
        text: String,
        /// Whether the call failed.
        #[serde(default)]
        failed: bool,
    },
}

/// Thoughts of a model before it asked for tools. Some models need them back together with the results; others refuse
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thoughts {
    /// Name of the model at its provider. No other model is shown the thoughts.
    pub model: String,
    /// The thoughts, screened.
    pub text: String,
}

/// Tokens used by model calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub input: u64,
    /// Input tokens that the provider had cached.
    #[serde(default)]
    pub cached_input: u64,
    /// Tokens written.
    pub output: u64,
}

impl Usage {
    /// Returns the sum of input and output.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Returns the sum of both, without overflow.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached_input: self.cached_input.saturating_add(other.cached_input),
            output: self.output.saturating_add(other.output),
        }
    }
}

/// Sampling parameters. An absent one means the provider's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sampling {
    /// Sampling temperature, 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub top_p: Option<f64>,
    /// Limit of tokens to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Seed, for providers that support repeatable answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// −2 to 2: lowers the probability of a word with each of its occurrences so far. Not for Anthropic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2, max = 2))]
    pub frequency_penalty: Option<f64>,
    /// −2 to 2: lowers the probability of a word that has occurred. Not for Anthropic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2, max = 2))]
    pub presence_penalty: Option<f64>,
    /// How long a reasoning model may think. For OpenAI's format; other formats ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// How detailed the answer is. For OpenAI's format; other formats ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<Verbosity>,
}

impl Sampling {
    /// Combines a client's parameters with the agent's: the client's take precedence, and of two token limits the
    /// smaller applies.
    #[must_use]
    pub fn over(self, own: &Self) -> Self {
        let most = self.max_tokens.into_iter().chain(own.max_tokens).min();
        Self {
            temperature: self.temperature.or(own.temperature),
            top_p: self.top_p.or(own.top_p),
            max_tokens: most,
            stop: if self.stop.is_empty() { own.stop.clone() } else { self.stop },
            seed: self.seed.or(own.seed),
            frequency_penalty: self.frequency_penalty.or(own.frequency_penalty),
            presence_penalty: self.presence_penalty.or(own.presence_penalty),
            reasoning_effort: self.reasoning_effort.or(own.reasoning_effort),
            verbosity: self.verbosity.or(own.verbosity),
        }
    }
}

/// How long a reasoning model may think, in OpenAI's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEffort {
    /// No reasoning.
    None,
    /// Minimal reasoning.
    Minimal,
    /// Little reasoning.
    Low,
    /// Medium reasoning.
    Medium,
    /// Much reasoning.
    High,
    /// Maximal reasoning.
    Xhigh,
}

/// How detailed an answer is, in OpenAI's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verbosity {
    /// Few words.
    Low,
    /// The usual length.
    Medium,
    /// Many words.
    High,
}

/// Whether the model may, must or must not call tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// The model must not call tools.
    None,
    /// The model must call at least one tool.
    Required,
    /// The model must call this tool.
    Named(ToolName),
}

/// Required format of an answer's text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFormat {
    /// Any text.
    #[default]
    Text,
    /// One JSON object.
    JsonObject,
    /// JSON that fits this JSON Schema.
    JsonSchema {
        /// Name: letters, digits, `_` and `-`.
        name: String,
        /// The JSON Schema.
        schema: Value,
        /// Whether the provider must enforce the schema exactly.
        strict: Option<bool>,
    },
}

/// A client's demands on one answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Demands {
    /// Whether tools may, must or must not be called.
    pub tool_choice: ToolChoice,
    /// Whether one answer may contain several calls; absent means the provider's default.
    pub parallel_tool_calls: Option<bool>,
    /// Tools whose arguments must fit their schema exactly. For OpenAI's format; other formats have no such option.
    pub strict: BTreeSet<ToolName>,
    /// Required format of the text.
    pub format: AnswerFormat,
    /// Names of the speakers, by the index of their message. For OpenAI's format; other formats have no such option.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<usize, String>,
}

/// Complete input of one model call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Name of the model in the configuration.
    pub model: String,
    /// The transcript, oldest first.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    #[serde(default)]
    pub tools: Vec<ToolSpec>,
    /// Sampling parameters.
    #[serde(default)]
    pub sampling: Sampling,
    /// Demands on the answer; an agent makes none.
    #[serde(default)]
    pub demands: Demands,
    /// Tokens that there is room for, if a limit beyond the author's own applies. A provider is told a limit only if
    /// it cannot refuse it.
    #[serde(default)]
    pub room: Option<u32>,
}

impl Prompt {
    /// Estimates the tokens: the transcript and the definitions of the tools.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let tools = self.tools.iter().map(|tool| estimate_tokens(&tool.description));
        self.messages.iter().map(Message::tokens).chain(tools).sum()
    }
}

/// Reason why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The answer is complete.
    Stop,
    /// The token limit was reached: the text is cut.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The provider's own filter stopped it.
    ContentFilter,
}

impl Finish {
    /// Returns the name used in logs and rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// One piece of a model's answer, in order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More text.
    Text(String),
    /// More text of a refusal: the model says that it will not answer.
    Refusal(String),
    /// A complete tool call. Providers stream calls in pieces; `cardea-model` assembles them.
    Call(ToolCall),
    /// Number of bytes written that are not visible yet: thoughts, and pieces of calls. They are work that is paid
    /// for.
    Unseen(usize),
    /// All thoughts before the calls of this answer, if the provider sends them.
    Thoughts(String),
    /// Usage of an answer that broke off: as counted by the provider, or an estimate. Only an error follows.
    Spent(Usage),
    /// The end, always the last event of a complete answer. A stream that ends without it was cut.
    End {
        /// Reason why the model stopped.
        finish: Finish,
        /// Usage: as counted by the provider, or an estimate if it sends none.
        usage: Usage,
    },
}

impl Message {
    /// Estimates the tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        match self {
            Self::System { text } | Self::User { text } | Self::Tool { text, .. } => estimate_tokens(text),
            Self::Assistant { text, calls, thoughts } => {
                let call = |call: &ToolCall| {
                    let arguments = serde_json::to_string(&call.arguments).unwrap_or_default();
                    estimate_tokens(&call.name) + estimate_tokens(&arguments)
                };
                let thoughts = thoughts.as_ref().map_or(0, |thoughts| estimate_tokens(&thoughts.text));
                estimate_tokens(text) + thoughts + calls.iter().map(call).sum::<u64>()
            }
        }
    }
}

/// Estimates the tokens of a text: four bytes each, at least one for a text that is not empty.
///
/// Used to reserve a budget before a call and to cut a window. Charges use the provider's own count.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    tokens_of(text.len())
}

/// Estimates the tokens of a text of this many bytes.
#[must_use]
pub const fn tokens_of(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

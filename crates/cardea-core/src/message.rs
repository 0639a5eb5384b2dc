//! What is said in a conversation, kept apart by who said it.
//!
//! System, user, assistant and tool text are variants, not strings with a role beside them: a text that a tool
//! returned cannot become an instruction by a slip of code.

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
    /// The agent's instructions. Only from agent files and configuration.
    System {
        /// The text.
        text: String,
    },
    /// What the user wrote.
    User {
        /// The text, screened.
        text: String,
    },
    /// What the model answered, or which tools it asked for.
    Assistant {
        /// The text; empty if it only calls tools.
        text: String,
        /// The calls it asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ToolCall>,
        /// What it thought before these calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thoughts: Option<Thoughts>,
    },
    /// What a tool returned: untrusted data.
    Tool {
        /// The [`ToolCall::id`] that this answers.
        call_id: String,
        /// The tool's name.
        name: String,
        /// The result as text (JSON), screened.
        text: String,
        /// True if the call did not succeed.
        #[serde(default)]
        failed: bool,
    },
}

/// What a model thought before it asked for tools. Some want to see it again with the results, and others refuse it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thoughts {
    /// The model as its provider calls it: no other one is shown them.
    pub model: String,
    /// The words, screened.
    pub text: String,
}

/// What one model call used, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub input: u64,
    /// Of those, tokens that the provider had cached.
    #[serde(default)]
    pub cached_input: u64,
    /// Tokens written.
    pub output: u64,
}

impl Usage {
    /// Both sides together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Sum, without overflow.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached_input: self.cached_input.saturating_add(other.cached_input),
            output: self.output.saturating_add(other.output),
        }
    }
}

/// How the model should write. Absent means the provider's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sampling {
    /// 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub top_p: Option<f64>,
    /// Most tokens to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// For providers that can repeat themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// −2 to 2: how much less likely a word gets with each time it was written. Not for Anthropic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2, max = 2))]
    pub frequency_penalty: Option<f64>,
    /// −2 to 2: how much less likely a word gets once it was written. Not for Anthropic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2, max = 2))]
    pub presence_penalty: Option<f64>,
    /// How long a reasoning model may think. For OpenAI's format; others decide for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// How many words a model makes. For OpenAI's format; others decide for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<Verbosity>,
}

impl Sampling {
    /// What a client asks for over what an agent's file says: the client's where it says something, and of the two limits
    /// on tokens the smaller.
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

/// How long a reasoning model may think, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// Little.
    Low,
    /// The usual.
    Medium,
    /// Long.
    High,
    /// As long as it likes.
    Xhigh,
}

/// How many words a model makes, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verbosity {
    /// Few.
    Low,
    /// The usual.
    Medium,
    /// Many.
    High,
}

/// Whether the model may, must or must not ask for tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must ask for at least one.
    Required,
    /// It must ask for this one.
    Named(ToolName),
}

/// What the text of an answer must be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFormat {
    /// Anything.
    #[default]
    Text,
    /// One JSON object.
    JsonObject,
    /// JSON that this JSON Schema describes.
    JsonSchema {
        /// Letters, digits, `_` and `-`.
        name: String,
        /// The JSON Schema.
        schema: Value,
        /// Whether the provider must hold it to the letter.
        strict: Option<bool>,
    },
}

/// What a client demands of this one answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Demands {
    /// May, must or must not tools be asked for.
    pub tool_choice: ToolChoice,
    /// Several calls in one answer; absent means the provider's default.
    pub parallel_tool_calls: Option<bool>,
    /// Those of the tools whose arguments must fit their schema to the letter. For OpenAI's format; others do not know it.
    pub strict: BTreeSet<ToolName>,
    /// What the text must be.
    pub format: AnswerFormat,
    /// The names of those who speak, by the place of their message. For OpenAI's format; others do not know them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<usize, String>,
}

/// Everything that a model is given for one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// The model as configuration names it.
    pub model: String,
    /// The transcript, oldest first.
    pub messages: Vec<Message>,
    /// The tools it may ask for.
    #[serde(default)]
    pub tools: Vec<ToolSpec>,
    /// How to write.
    #[serde(default)]
    pub sampling: Sampling,
    /// What the answer must be; an agent demands nothing.
    #[serde(default)]
    pub demands: Demands,
    /// The most tokens that there is room for, where more than the author's own limit counts. A provider is told only
    /// what it cannot refuse.
    #[serde(default)]
    pub room: Option<u32>,
}

impl Prompt {
    /// A rough count of its tokens: the transcript, and what the tools say of themselves.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let tools = self.tools.iter().map(|tool| estimate_tokens(&tool.description));
        self.messages.iter().map(Message::tokens).chain(tools).sum()
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It was done.
    Stop,
    /// It reached its token limit: the text is cut.
    Length,
    /// It wants tools to be called.
    ToolCalls,
    /// The provider's own filter stopped it.
    ContentFilter,
}

impl Finish {
    /// Its name, as logs and rows have it.
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

/// One piece of a model's answer, in the order in which it arrives.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More text.
    Text(String),
    /// More of the words with which the model says that it will not answer.
    Refusal(String),
    /// A complete tool call (providers stream them in pieces; `cardea-model` puts them together).
    Call(ToolCall),
    /// So many bytes more were written that nobody sees yet: thoughts, and pieces of calls. They are work that is paid.
    Unseen(usize),
    /// All that it thought before the calls of this answer, where its provider tells.
    Thoughts(String),
    /// What was used until an answer broke off: what the provider counted, or an estimate. Only an error follows.
    Spent(Usage),
    /// The end. Always the last event of a good answer; a stream that ends without it was cut.
    End {
        /// Why it stopped.
        finish: Finish,
        /// What it used: what the provider counted, or an estimate where it does not say.
        usage: Usage,
    },
}

impl Message {
    /// A rough count of its tokens.
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

/// A rough count of tokens: four bytes each, at least one for a text that is not empty.
///
/// Used to reserve a budget before the call and to cut a window. What is charged is what the provider counts.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    tokens_of(text.len())
}

/// The same of a text of so many bytes.
#[must_use]
pub const fn tokens_of(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

//! The body of `POST /v1/chat/completions`.
//!
//! Members that do not affect the answer (`user`, `metadata`, `store`, …) are accepted and ignored, as clients expect.
//! A member that would change the answer and is not supported is refused, and the error names it. So is an unknown
//! member.

use std::collections::BTreeMap;

use cardea_core::{
    Result,
    canonical::canonical,
    id::ToolName,
    message::{AnswerFormat, Demands, Message, ReasoningEffort, Sampling, ToolChoice, Verbosity},
    tool::{Effect, ToolSpec},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use super::messages::{InMessage, bad, or_default, short, transcript, wrong};
use crate::api::headers::CONVERSATION;

/// The body of `POST /v1/chat/completions`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Completion {
    /// A model alias, or `agent/NAME`.
    pub model: String,
    /// The transcript, oldest first.
    pub messages: Vec<InMessage>,
    /// Whether to stream the answer.
    #[serde(default, deserialize_with = "or_default")]
    pub stream: bool,
    /// Only `include_usage` is supported.
    #[serde(default, deserialize_with = "or_default")]
    pub stream_options: StreamOptions,
    /// Tools of the client, for bare completions only: an agent has its own tools.
    #[serde(default, deserialize_with = "or_default")]
    pub tools: Vec<InTool>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Limit of output tokens (older name).
    pub max_tokens: Option<u32>,
    /// Limit of output tokens.
    pub max_completion_tokens: Option<u32>,
    /// Stop sequences: a string or a list of strings.
    #[serde(default)]
    pub stop: Stop,
    /// Seed, for providers that support one.
    pub seed: Option<i64>,
    /// Frequency penalty, −2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Presence penalty, −2 to 2.
    pub presence_penalty: Option<f64>,
    /// Effort of reasoning models.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Verbosity of the answer.
    pub verbosity: Option<Verbosity>,
    /// `auto`, `none`, `required`, or one function.
    #[serde(default)]
    pub tool_choice: InChoice,
    /// Whether one answer may contain several calls.
    pub parallel_tool_calls: Option<bool>,
    /// Format of the answer's text.
    #[serde(default, deserialize_with = "or_default")]
    pub response_format: InFormat,
    /// All other members. Most are ignored; the rest are refused, since they would change the answer.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// `tool_choice`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged, expecting = "expected a word or a function")]
pub(crate) enum InChoice {
    /// Absent.
    #[default]
    Absent,
    /// `auto`, `none` or `required`.
    Word(String),
    /// One function.
    Function {
        /// The function.
        function: InNamed,
    },
    /// Any other value, which is refused.
    Other(IgnoredAny),
}

/// An object with a name.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InNamed {
    name: String,
}

/// `response_format`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum InFormat {
    /// Plain text.
    #[default]
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON that conforms to a schema.
    JsonSchema {
        /// The schema and its name.
        json_schema: InSchema,
    },
}

/// `response_format.json_schema`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InSchema {
    name: String,
    #[serde(default)]
    schema: Option<Value>,
    strict: Option<bool>,
}

/// Members that would change the answer: name, the JSON value that is accepted because it changes nothing, and the
/// reason for the refusal.
const NOT_TAKEN: [(&str, &str, &str); 9] = [
    ("n", "1", "one answer is given; ask again for another"),
    ("logprobs", "false", "the guardrails screen text, not tokens"),
    ("top_logprobs", "0", "the guardrails screen text, not tokens"),
    ("logit_bias", "{}", "tokens have other numbers at each provider"),
    ("modalities", "[\"text\"]", "only text is taken and given"),
    ("audio", "null", "only text is taken and given"),
    ("web_search_options", "null", "a search is a tool, and tools are called under policy"),
    ("functions", "[]", "use `tools`"),
    ("function_call", "\"none\"", "use `tool_choice`"),
];

/// Members that do not affect the answer, such as those for accounting and for storage at the provider.
const IGNORED: [&str; 8] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
];

/// `stream_options`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct StreamOptions {
    /// Whether to send a last chunk with the usage.
    #[serde(default, deserialize_with = "or_default")]
    pub include_usage: bool,
}

/// `stop`: a string or a list of strings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum Stop {
    /// Absent.
    #[default]
    None,
    /// One string.
    One(String),
    /// Several strings.
    Many(Vec<String>),
}

/// A tool that the client offers.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InTool {
    function: InDefinition,
}

#[derive(Debug, Clone, Deserialize)]
struct InDefinition {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    parameters: Option<Value>,
    #[serde(default, deserialize_with = "or_default")]
    strict: bool,
}

impl Completion {
    /// Returns the agent's name if the model is `agent/NAME`.
    #[must_use]
    pub(crate) fn agent(&self) -> Option<&str> {
        self.model.strip_prefix("agent/")
    }

    /// Returns the sampling parameters.
    ///
    /// # Errors
    /// `bad_request` with the member that is out of range.
    pub(crate) fn sampling(&self) -> Result<Sampling> {
        let within = |name: &str, value: Option<f64>, (least, most): (f64, f64)| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(bad(name, format!("`{name}` must be between {least} and {most}.")))
            }
            value => Ok(value),
        };
        for (name, most) in
            [("max_tokens", self.max_tokens), ("max_completion_tokens", self.max_completion_tokens)]
        {
            if most == Some(0) {
                return Err(bad(name, format!("`{name}` must be at least 1.")));
            }
        }
        Ok(Sampling {
            temperature: within("temperature", self.temperature, (0.0, 2.0))?,
            top_p: within("top_p", self.top_p, (0.0, 1.0))?,
            frequency_penalty: within("frequency_penalty", self.frequency_penalty, (-2.0, 2.0))?,
            presence_penalty: within("presence_penalty", self.presence_penalty, (-2.0, 2.0))?,
            reasoning_effort: self.reasoning_effort,
            verbosity: self.verbosity,
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            stop: match &self.stop {
                Stop::None => Vec::new(),
                Stop::One(text) => vec![text.clone()],
                Stop::Many(texts) => texts.clone(),
            },
            seed: self.seed,
        })
    }

    /// Returns the client's requirements for the answer. No member that would change the answer is ignored.
    ///
    /// # Errors
    /// `bad_request` with the member that is not supported.
    pub(crate) fn demands(&self) -> Result<Demands> {
        self.taken()?;
        let format = match &self.response_format {
            InFormat::Text => AnswerFormat::Text,
            InFormat::JsonObject => AnswerFormat::JsonObject,
            InFormat::JsonSchema { json_schema: InSchema { name, schema, strict } } => {
                AnswerFormat::JsonSchema {
                    name: name.clone(),
                    schema: schema.clone().ok_or_else(|| {
                        bad(
                            "response_format.json_schema.schema",
                            "`response_format.json_schema` has no `schema`.",
                        )
                    })?,
                    strict: *strict,
                }
            }
        };
        let strict = self.tools.iter().map(|tool| &tool.function).filter(|function| function.strict);
        Ok(Demands {
            tool_choice: self.choice()?,
            parallel_tool_calls: self.parallel_tool_calls.filter(|_| !self.tools.is_empty()),
            strict: strict.map(|function| function.name.as_str().into()).collect(),
            format,
            names: self.names()?,
        })
    }

    /// Returns the speakers' names that the client gave, by message index.
    fn names(&self) -> Result<BTreeMap<usize, String>> {
        let named = |(at, message): (usize, &InMessage)| {
            message.speaker(at).map(|name| Some((at, name?))).transpose()
        };
        self.messages.iter().enumerate().filter_map(named).collect()
    }

    fn choice(&self) -> Result<ToolChoice> {
        let choice = match &self.tool_choice {
            InChoice::Absent => ToolChoice::Auto,
            InChoice::Function { function } => ToolChoice::Named(function.name.as_str().into()),
            InChoice::Word(word) if word == "auto" => ToolChoice::Auto,
            // WHY: it has no meaning without tools, and providers refuse it.
            InChoice::Word(word) if word == "none" && self.tools.is_empty() => ToolChoice::Auto,
            InChoice::Word(word) if word == "none" => ToolChoice::None,
            InChoice::Word(word) if word == "required" => ToolChoice::Required,
            InChoice::Word(_) | InChoice::Other(_) => {
                let most = "`tool_choice` must be `auto`, `none`, `required` or one of the given functions.";
                return Err(bad("tool_choice", most));
            }
        };
        let offered = |name: &ToolName| self.tools.iter().any(|tool| tool.function.name == name.as_str());
        match &choice {
            ToolChoice::Named(name) if !offered(name) => {
                Err(bad("tool_choice", format!("`tool_choice` names `{name}`, which is not in `tools`.")))
            }
            ToolChoice::Required if self.tools.is_empty() => {
                Err(bad("tool_choice", "`tool_choice` is `required`, but `tools` is empty."))
            }
            _ => Ok(choice),
        }
    }

    /// Refuses unsupported members.
    fn taken(&self) -> Result<()> {
        for (member, harmless, why) in NOT_TAKEN {
            let Some(value) = self.more.get(member).filter(|value| !value.is_null()) else { continue };
            if *value != serde_json::from_str::<Value>(harmless).unwrap_or_default() {
                return Err(bad(member, format!("`{member}` is not taken: {why}.")));
            }
        }
        let known = |member: &str| {
            IGNORED.contains(&member) || NOT_TAKEN.iter().any(|(not_taken, ..)| *not_taken == member)
        };
        match self.more.iter().find(|(member, value)| !value.is_null() && !known(member)) {
            Some((member, _)) => {
                let member = short(member);
                let detail = format!("`{member}` is not taken: nothing of that name is known here.");
                Err(bad(member, detail))
            }
            None => Ok(()),
        }
    }

    /// Refuses members that only a bare completion can have. An agent has its own tools, instructions and answer
    /// format, and keeps the history itself.
    ///
    /// # Errors
    /// `bad_request` with the member.
    pub(crate) fn fits_an_agent(&self) -> Result<()> {
        self.taken()?;
        let member = match self {
            Self { tools, .. } if !tools.is_empty() => "tools",
            Self { tool_choice: InChoice::Word(word), .. } if word != "auto" => "tool_choice",
            Self { tool_choice: InChoice::Function { .. } | InChoice::Other(_), .. } => "tool_choice",
            Self { response_format: InFormat::JsonObject | InFormat::JsonSchema { .. }, .. } => {
                "response_format"
            }
            _ => return self.only_the_new_message(),
        };
        let own = "an agent brings its own tools and words; ask a model without an agent for that";
        Err(bad(member, format!("`{member}` is not taken: {own}.")))
    }

    /// Refuses all messages except the new one of the user: they would not be used.
    fn only_the_new_message(&self) -> Result<()> {
        if let Some(at) = self.messages.iter().position(InMessage::instructs) {
            return Err(wrong(at, "role", "is not taken: an agent has its own instructions"));
        }
        if self.messages.len() > 1 {
            let detail = format!(
                "`messages` must be the new message and nothing else: an agent keeps the history itself. To go on with a \
                 conversation, send the header `{CONVERSATION}` with the id that its answers had there."
            );
            return Err(bad("messages", detail));
        }
        Ok(())
    }

    /// Converts the transcript to Cardea's types.
    ///
    /// # Errors
    /// `bad_request` with the message that cannot be used.
    pub(crate) fn transcript(&self) -> Result<Vec<Message>> {
        if self.messages.is_empty() {
            return Err(bad("messages", "`messages` must not be empty."));
        }
        transcript(&self.messages)
    }

    /// Returns the specs of the client's tools. The client calls them, not Cardea, so they have the strictest effect.
    #[must_use]
    pub(crate) fn client_tools(&self) -> Vec<ToolSpec> {
        let spec = |tool: &InTool| ToolSpec {
            name: tool.function.name.as_str().into(),
            description: tool.function.description.clone(),
            input_schema: tool.function.parameters.clone().unwrap_or_else(|| json!({"type": "object"})),
            effect: Effect::Destructive,
            idempotent: false,
            sends_outside: false,
            examples: Vec::new(),
            cache: None,
            clears: Vec::new(),
        };
        self.tools.iter().map(spec).collect()
    }

    /// Returns the text of the last message, which must be a user message.
    ///
    /// # Errors
    /// `bad_request` if the last message is not a user message, or is empty.
    pub(crate) fn last_user_text(&self) -> Result<String> {
        let at = self.messages.len().saturating_sub(1);
        let last = self.messages.last().ok_or_else(|| bad("messages", "`messages` must not be empty."))?;
        last.users_text(at)
    }
}

/// Returns the body as canonical JSON, without the model, the last message and the streaming options; empty if nothing
/// else was sent.
#[must_use]
pub(crate) fn rest(body: &[u8]) -> String {
    let mut rest: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    for known in ["model", "stream", "stream_options"] {
        rest.remove(known);
    }
    if let Some(Value::Array(messages)) = rest.get_mut("messages") {
        messages.pop();
    }
    rest.retain(|_, value| !value.is_null() && *value != json!([]));
    if rest.is_empty() { String::new() } else { canonical(&Value::Object(rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_was_sent_is_the_same_however_it_is_spelled_and_empty_where_there_is_nothing() {
        let said = |more: &str| rest(format!(r#"{{"model":"agent/a",{more}}}"#).as_bytes());
        let hi = r#"{"role":"user","content":"hi"}"#;
        assert_eq!(said(&format!(r#""messages":[{hi}],"stream":true,"seed":null,"tools":[]"#)), "");
        let (one, other) = (r#""temperature":0.5,"seed":1"#, r#""seed": 1, "temperature": 0.5"#);
        assert_eq!(
            said(&format!(r#""messages":[{hi}],{one}"#)),
            said(&format!(r#"{other},"messages":[{hi}]"#))
        );
        assert!(said(&format!(r#""messages":[{hi},{hi}]"#)).contains("hi"), "what was said before");
    }

    fn parse(body: Value) -> Completion {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_number_out_of_range_is_named() {
        let hot = parse(json!({ "model": "m", "messages": [], "temperature": 3 }));
        let error = hot.sampling().unwrap_err();
        assert!(error.public().contains("`temperature` must be between 0 and 2"), "{error}");
        assert_eq!(error.about(), Some("temperature"));
        let none = parse(json!({ "model": "m", "messages": [], "max_completion_tokens": 0 }));
        assert_eq!(none.sampling().unwrap_err().about(), Some("max_completion_tokens"));
    }

    fn asks(member: &str, value: Value) -> Completion {
        let mut body = json!({
            "model": "m", "messages": [{ "role": "user", "content": "hi" }],
            "tools": [{ "type": "function", "function": { "name": "weather" } }],
        });
        body[member] = value;
        parse(body)
    }

    #[test]
    fn what_would_change_the_answer_is_kept_to_or_refused_by_name() {
        let schema =
            json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "object" } } });
        let kept = asks("response_format", schema).demands().unwrap();
        assert!(
            matches!(kept.format, AnswerFormat::JsonSchema { schema, .. } if schema == json!({ "type": "object" }))
        );
        let function = json!({ "type": "function", "function": { "name": "weather" } });
        assert_eq!(
            asks("tool_choice", function).demands().unwrap().tool_choice,
            ToolChoice::Named("weather".into())
        );
        assert_eq!(asks("tool_choice", json!("none")).demands().unwrap().tool_choice, ToolChoice::None);

        for (member, value) in [
            ("n", json!(2)),
            ("logprobs", json!(true)),
            ("logit_bias", json!({ "50256": -100 })),
            ("modalities", json!(["text", "audio"])),
            ("functions", json!([{ "name": "f" }])),
            ("top_k", json!(40)),
            ("tool_choice", json!("perhaps")),
            ("tool_choice", json!({ "type": "function", "function": { "name": "other" } })),
            ("response_format", json!({ "type": "json_schema", "json_schema": { "name": "x" } })),
        ] {
            let error = asks(member, value.clone()).demands().unwrap_err();
            assert!(
                error.about().is_some_and(|about| about.starts_with(member)),
                "{member} = {value}: {error}"
            );
        }
        for (member, value) in [
            ("n", json!(1)),
            ("logprobs", json!(false)),
            ("modalities", json!(["text"])),
            ("user", json!("u")),
            ("top_k", json!(null)),
            ("verbosity", json!("low")),
        ] {
            assert!(asks(member, value.clone()).demands().is_ok(), "{member} = {value}");
        }
    }

    #[test]
    fn an_agent_brings_its_own_tools() {
        let error = asks("user", json!("u")).fits_an_agent().unwrap_err();
        assert_eq!(error.about(), Some("tools"));
        let hi = json!([{ "role": "user", "content": "hi" }]);
        for (choice, fits) in [("auto", true), ("none", false), ("required", false)] {
            let body = parse(json!({ "model": "agent/a", "messages": hi, "tool_choice": choice }));
            assert_eq!(body.fits_an_agent().is_ok(), fits, "{choice}");
        }
        let said = |role: &str| json!({ "role": role, "content": "hi" });
        for (messages, member) in [
            (json!([said("system"), said("user")]), "messages[0].role"),
            (json!([said("user"), said("assistant"), said("developer"), said("user")]), "messages[2].role"),
            (json!([said("user"), said("assistant"), said("user")]), "messages"),
            (json!([said("user"), said("user")]), "messages"),
        ] {
            let body = parse(json!({ "model": "agent/a", "messages": messages }));
            assert_eq!(body.fits_an_agent().unwrap_err().about(), Some(member), "{messages}");
        }
    }
}

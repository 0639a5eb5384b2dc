//! Wire formats: conversion of a prompt to a request, and of the pieces of an answer to events. Pure.
//!
//! Each format is two functions and a state: [`Format::request`] writes the request, [`Decoder`] reads the answer.
//! Shared parts are here and in [`Assembly`].

pub(crate) mod anthropic;
mod assembly;
pub(crate) mod gemini;
mod lenient;
mod names;
pub(crate) mod openai;
#[cfg(test)]
mod samples;
mod schema;
mod told;
mod transcript;

use std::borrow::Cow;

use cardea_core::{
    message::{AnswerFormat, ModelEvent, Prompt, Usage},
    sse::Event,
    time::Millis,
    written::without_nul,
};
use serde::Serialize;
use serde_json::Value;

pub(crate) use assembly::Assembly;
pub(crate) use names::ToolNames;
pub(crate) use told::{Sent, kind};

use crate::{
    alias::AliasConfig,
    config::{Dialect, ProviderKind},
    failure::{Failure, Trouble},
};

/// Limit of bytes that are read of a provider's message.
const SAID: usize = 1_024;

/// A request in a wire format. The key is added last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WireRequest {
    /// What follows the base URL.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Vec<u8>,
}

impl WireRequest {
    fn new(path: String, body: &impl Serialize) -> Self {
        // Serialising texts, numbers and values does not fail.
        Self { path, body: serde_json::to_vec(body).unwrap_or_default() }
    }

    #[cfg(test)]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The wire formats that need the network: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Format {
    pub(crate) const fn of(kind: ProviderKind) -> Option<Self> {
        match kind {
            ProviderKind::OpenAi => Some(Self::OpenAi),
            ProviderKind::Anthropic => Some(Self::Anthropic),
            ProviderKind::Gemini => Some(Self::Gemini),
            ProviderKind::Rehearsal => None,
        }
    }

    /// Builds the request for this prompt. Only one format has dialects.
    pub(crate) fn request(self, prompt: &Prompt, alias: &AliasConfig, dialect: Dialect) -> WireRequest {
        let names = ToolNames::of(prompt);
        match self {
            Self::OpenAi => openai::request(prompt, alias, dialect, &names),
            Self::Anthropic => anthropic::request(prompt, alias, &names),
            Self::Gemini => gemini::request(prompt, alias, &names),
        }
    }

    /// Returns what this prompt demands that the format cannot express.
    pub(crate) fn lacks(self, prompt: &Prompt) -> Option<&'static str> {
        let demands = &prompt.demands;
        let one_call = demands.parallel_tool_calls == Some(false) && !prompt.tools.is_empty();
        match self {
            Self::Anthropic if demands.format == AnswerFormat::JsonObject => {
                Some("this format knows JSON only with a schema")
            }
            Self::Gemini if one_call => Some("this format cannot be held to one call at a time"),
            _ => None,
        }
    }

    /// Returns the headers of every request, with the key if there is one.
    pub(crate) fn headers(self, key: Option<&str>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("accept", "text/event-stream".to_owned())];
        match (self, key) {
            (Self::OpenAi, Some(key)) => headers.push(("authorization", format!("Bearer {key}"))),
            (Self::Anthropic, Some(key)) => headers.push(("x-api-key", key.to_owned())),
            (Self::Gemini, Some(key)) => headers.push(("x-goog-api-key", key.to_owned())),
            (_, None) => {}
        }
        if self == Self::Anthropic {
            headers.push(("anthropic-version", "2023-06-01".to_owned()));
        }
        headers
    }

    pub(crate) fn decoder(self, prompt: &Prompt) -> Decoder {
        let state = match self {
            Self::OpenAi => State::OpenAi,
            Self::Anthropic => State::Anthropic(anthropic::Blocks::default()),
            Self::Gemini => State::Gemini,
        };
        Decoder { assembly: Assembly::new(prompt), state }
    }

    /// Classifies a refused request by its status and body; nothing that was sent is repeated.
    pub(crate) fn refusal(self, status: u16, body: &[u8], sent: &Sent<'_>) -> Failure {
        let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
        // Gemini wraps its error in a list when a stream was requested.
        let told = told.get(0).unwrap_or(&told);
        let error = told.get("error").unwrap_or(told);
        let message = error.get("message").and_then(Value::as_str).or(error.as_str()).unwrap_or("no message");
        let mut trouble = Trouble::of_status(status);
        if trouble == Trouble::Rejected {
            trouble =
                if is_about_length(error, message) { Trouble::TooLong } else { of_account(error, message) };
        }
        // WHY: several providers repeat a part of the key in this message.
        let message = match trouble {
            Trouble::Key => "the key was not accepted".to_owned(),
            Trouble::Unpaid => "the account has no credit left".to_owned(),
            _ => sent.without(message.get(..message.floor_char_boundary(SAID)).unwrap_or_default()),
        };
        let hint = if self == Self::Gemini { gemini::retry_hint(error) } else { None };
        Failure::new(trouble, format!("status {status}: {message}")).after(hint)
    }
}

/// Recognises account and key errors that have the status of a bad request: an Anthropic account without credit (only
/// by words), and an invalid Gemini key.
fn of_account(error: &Value, message: &str) -> Trouble {
    let details = error.get("details").and_then(Value::as_array);
    if details.is_some_and(|details| details.iter().any(|detail| text(detail, "reason") == "API_KEY_INVALID"))
    {
        return Trouble::Key;
    }
    let refused = text(error, "type") == "invalid_request_error";
    if refused && message.to_lowercase().contains("credit balance is too low") {
        return Trouble::Unpaid;
    }
    Trouble::Rejected
}

/// Recognises a transcript that is too long, which providers report only by words.
fn is_about_length(error: &Value, message: &str) -> bool {
    let code = error.get("code").and_then(Value::as_str).unwrap_or_default();
    let message = message.to_lowercase();
    let words = [
        "context length",
        "context window",
        "prompt is too long",
        "maximum context",
        "exceeds the maximum number of tokens",
    ];
    code == "context_length_exceeded" || words.iter().any(|words| message.contains(words))
}

/// Decodes one answer.
#[derive(Debug)]
pub(crate) struct Decoder {
    assembly: Assembly,
    state: State,
}

#[derive(Debug)]
enum State {
    OpenAi,
    Anthropic(anthropic::Blocks),
    Gemini,
}

impl Decoder {
    /// Takes the next event of the stream.
    pub(crate) fn push(&mut self, event: &Event) -> Result<(), Failure> {
        if self.assembly.ended {
            return Ok(());
        }
        let replaced = match without_nul(&event.data) {
            Cow::Borrowed(_) => None,
            Cow::Owned(data) => Some(Event { data, ..event.clone() }),
        };
        let event = replaced.as_ref().unwrap_or(event);
        match &mut self.state {
            State::OpenAi => openai::event(&mut self.assembly, event),
            State::Anthropic(blocks) => anthropic::event(&mut self.assembly, blocks, event),
            State::Gemini => gemini::event(&mut self.assembly, event),
        }
    }

    /// Takes a whole answer in one JSON document, from servers without streaming.
    pub(crate) fn whole(&mut self, body: &[u8]) -> Result<(), Failure> {
        let replaced = std::str::from_utf8(body).map(without_nul);
        let body = replaced.as_ref().map_or(body, |text| text.as_bytes());
        match &self.state {
            State::OpenAi => openai::whole(&mut self.assembly, body),
            _ => Err(Failure::garbage("a document came where a stream was asked for")),
        }
    }

    /// Ends the stream: an answer that has not ended is an error.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.assembly.finish()
    }

    /// Returns the next event for the caller.
    pub(crate) fn pop(&mut self) -> Option<ModelEvent> {
        self.assembly.out.pop_front()
    }

    /// Returns the usage of an answer that failed.
    pub(crate) fn spent(&self) -> Usage {
        self.assembly.spent()
    }

    /// Returns whether [`ModelEvent::End`] was emitted: nothing that follows matters.
    pub(crate) const fn ended(&self) -> bool {
        self.assembly.ended
    }
}

/// Returns a text field; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a count; an absent, null or invalid one is zero.
pub(crate) fn count(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// Parses `Retry-After` in seconds (RFC 9110 section 10.2.3), or in milliseconds as some providers also send it.
pub(crate) fn retry_after(header: impl Fn(&str) -> Option<String>) -> Option<Millis> {
    if let Some(ms) = header("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok()) {
        return positive_ms(ms);
    }
    // WHY: the date form needs the provider's clock to agree with ours; no model provider uses it.
    header("retry-after")
        .and_then(|text| text.trim().parse::<f64>().ok())
        .and_then(|secs| positive_ms(secs * 1_000.0))
}

/// Converts milliseconds from an untrusted number.
pub(crate) fn positive_ms(ms: f64) -> Option<Millis> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    (ms.is_finite() && (0.0..1e12).contains(&ms)).then(|| Millis(ms.ceil() as u64))
}

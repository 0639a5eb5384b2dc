//! The wire formats: a prompt to a request, and the pieces of an answer to events. Pure.
//!
//! Each format is two functions and a state: [`Format::request`] writes the request, [`Decoder`] reads the answer.
//! What they share stands here: the [`Assembly`] that puts tool calls together and makes sure that an answer ends.

pub(crate) mod anthropic;
pub(crate) mod gemini;
mod lenient;
mod names;
pub(crate) mod openai;
#[cfg(test)]
mod samples;
mod told;
mod transcript;

use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
};

use cardea_core::{
    message::{Finish, Message, ModelEvent, Prompt, Usage},
    sse::Event,
    time::Millis,
    tool::ToolCall,
    written::without_nul,
};
use serde::Serialize;
use serde_json::Value;

pub(crate) use names::ToolNames;
pub(crate) use told::{Sent, kind};

use crate::{
    config::ProviderKind,
    failure::{Failure, Trouble},
};

/// As much of a provider's message as is read.
const SAID: usize = 1_024;

/// More tokens than any provider reads or writes at once: who tells of more has not counted.
const MOST_TOKENS: u64 = 100_000_000;

/// More calls than this in one answer are nonsense.
const MOST_CALLS: usize = 128;

/// A request as a wire format writes it. The key goes in later, as the last thing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WireRequest {
    /// What follows the base address.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Vec<u8>,
}

impl WireRequest {
    fn new(path: String, body: &impl Serialize) -> Self {
        // Texts, numbers and values can always be written.
        Self { path, body: serde_json::to_vec(body).unwrap_or_default() }
    }

    #[cfg(test)]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A wire format: the closed set of those that need the network.
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

    /// The request for this prompt. `base` decides a few vendor differences.
    pub(crate) fn request(self, prompt: &Prompt, model: &str, base: &str) -> WireRequest {
        let names = ToolNames::of(prompt);
        match self {
            Self::OpenAi => openai::request(prompt, model, base, &names),
            Self::Anthropic => anthropic::request(prompt, model, &names),
            Self::Gemini => gemini::request(prompt, model, &names),
        }
    }

    /// The headers of every request; `None` where the key is not needed.
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

    /// What a refused request means, from its status and body; nothing of what was sent is repeated.
    pub(crate) fn refusal(self, status: u16, body: &[u8], sent: &Sent<'_>) -> Failure {
        let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
        // Gemini wraps its error in a list when it was asked for a stream.
        let told = told.get(0).unwrap_or(&told);
        let error = told.get("error").unwrap_or(told);
        let message = error.get("message").and_then(Value::as_str).or(error.as_str()).unwrap_or("no message");
        let mut trouble = Trouble::of_status(status);
        if trouble == Trouble::Rejected && is_about_length(error, message) {
            trouble = Trouble::TooLong;
        }
        // WHY: several providers repeat a part of the key in this message.
        let message = if trouble == Trouble::Key {
            "the key was not accepted".to_owned()
        } else {
            sent.without(message.get(..message.floor_char_boundary(SAID)).unwrap_or_default())
        };
        let hint = if self == Self::Gemini { gemini::retry_hint(error) } else { None };
        Failure::new(trouble, format!("status {status}: {message}")).after(hint)
    }
}

/// Providers tell a too long transcript only by words.
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

/// Reads one answer.
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

    /// Takes a whole answer that came as one JSON document, from servers that know no streams.
    pub(crate) fn whole(&mut self, body: &[u8]) -> Result<(), Failure> {
        let replaced = std::str::from_utf8(body).map(without_nul);
        let body = replaced.as_ref().map_or(body, |text| text.as_bytes());
        match &self.state {
            State::OpenAi => openai::whole(&mut self.assembly, body),
            _ => Err(Failure::garbage("a document came where a stream was asked for")),
        }
    }

    /// The stream has ended: an answer that has not is an error.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.assembly.finish()
    }

    /// The next event for the caller.
    pub(crate) fn pop(&mut self) -> Option<ModelEvent> {
        self.assembly.out.pop_front()
    }

    /// What a provider wants to be paid for an answer that came to nothing.
    pub(crate) fn spent(&self) -> Usage {
        self.assembly.spent()
    }

    /// True once [`ModelEvent::End`] was made: nothing that follows matters.
    pub(crate) const fn ended(&self) -> bool {
        self.assembly.ended
    }
}

/// A tool call of which pieces have come.
#[derive(Debug, Default)]
struct Partial {
    key: u64,
    id: String,
    name: String,
    arguments: String,
}

/// Puts an answer together from its pieces.
#[derive(Debug)]
pub(crate) struct Assembly {
    names: ToolNames,
    /// The ids of the transcript's calls.
    ids: BTreeSet<String>,
    calls: Vec<Partial>,
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: Usage,
    /// About as many tokens were sent.
    sent: u64,
    /// Bytes of the answer, calls included.
    written: usize,
    ended: bool,
    out: VecDeque<ModelEvent>,
}

impl Assembly {
    fn new(prompt: &Prompt) -> Self {
        let calls = prompt.messages.iter().flat_map(|message| match message {
            Message::Assistant { calls, .. } => calls.as_slice(),
            _ => &[],
        });
        Self {
            names: ToolNames::of(prompt),
            ids: calls.map(|call| call.id.clone()).collect(),
            calls: Vec::new(),
            finish: None,
            usage: Usage::default(),
            sent: prompt.tokens(),
            written: 0,
            ended: false,
            out: VecDeque::new(),
        }
    }

    /// More text.
    pub(crate) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.written = self.written.saturating_add(text.len());
            self.out.push_back(ModelEvent::Text(text.to_owned()));
        }
    }

    /// More words of a refusal.
    pub(crate) fn refusal(&mut self, text: &str) {
        if !text.is_empty() {
            self.written = self.written.saturating_add(text.len());
            self.out.push_back(ModelEvent::Refusal(text.to_owned()));
        }
    }

    /// A piece of the call with this key; any part may be empty.
    pub(crate) fn call(&mut self, key: u64, id: &str, name: &str, arguments: &str) -> Result<(), Failure> {
        let known = self.calls.iter().position(|call| call.key == key);
        let place = match known {
            Some(place) => place,
            None if self.calls.len() >= MOST_CALLS => return Err(Failure::garbage("too many tool calls")),
            None => {
                self.calls.push(Partial { key, ..Partial::default() });
                self.calls.len() - 1
            }
        };
        if let Some(call) = self.calls.get_mut(place) {
            if call.id.is_empty() {
                id.clone_into(&mut call.id);
            }
            // Some servers repeat the name in every piece, some send it once.
            if call.name.is_empty() {
                name.clone_into(&mut call.name);
            }
            call.arguments.push_str(arguments);
            self.written = self.written.saturating_add(arguments.len());
        }
        Ok(())
    }

    /// The key for a piece that does not say which call it belongs to: the call with its id, a new one, or the last.
    pub(crate) fn key_for(&self, id: &str, name: &str) -> u64 {
        let next = self.calls.iter().map(|call| call.key).max().map_or(0, |last| last.saturating_add(1));
        match self.calls.iter().find(|call| !id.is_empty() && call.id == id) {
            Some(call) => call.key,
            None if id.is_empty() && name.is_empty() => next.saturating_sub(1),
            None => next,
        }
    }

    pub(crate) const fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// The explicit end of a stream that may leave out why it stopped.
    pub(crate) fn done(&mut self) -> Result<(), Failure> {
        if self.finish.is_none() && (self.written > 0 || !self.calls.is_empty()) {
            self.finish = Some(Finish::Stop);
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        let Some(mut finish) = self.finish else {
            return Err(Failure::new(Trouble::Cut, "the stream ended without an end"));
        };
        let calls = std::mem::take(&mut self.calls);
        // A cut answer may hold half a call: its arguments are not what the model meant.
        if matches!(finish, Finish::Stop | Finish::ToolCalls) {
            finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
            for call in calls {
                let call = self.whole_call(call)?;
                self.out.push_back(ModelEvent::Call(call));
            }
        }
        self.ended = true;
        self.out.push_back(ModelEvent::End { finish, usage: self.used() });
        Ok(())
    }

    /// What the provider counted. A server that counts nothing would make every budget endless: then it is estimated.
    fn used(&self) -> Usage {
        let counted = self.counted();
        if counted.total() > 0 {
            return counted;
        }
        Usage { input: self.sent, cached_input: 0, output: (self.written as u64).div_ceil(4) }
    }

    /// The same of an answer that did not end well: nothing, unless it was counted or has begun.
    fn spent(&self) -> Usage {
        let begun = self.written > 0 || !self.calls.is_empty();
        if begun { self.used() } else { self.counted() }
    }

    /// What the provider says that it counted, unless that cannot be.
    fn counted(&self) -> Usage {
        let Usage { input, cached_input, output } = self.usage;
        if input > MOST_TOKENS || output > MOST_TOKENS {
            tracing::warn!(
                input,
                output,
                "a provider tells of more tokens than there can be: they are estimated"
            );
            return Usage::default();
        }
        Usage { input, cached_input: cached_input.min(input), output }
    }

    /// A call with all its pieces. What is no JSON object stays as it was written: whoever acts on it refuses it.
    fn whole_call(&mut self, call: Partial) -> Result<ToolCall, Failure> {
        if call.name.is_empty() {
            return Err(Failure::garbage("a tool call without a name"));
        }
        let id = self.unique(call.id);
        let arguments = if call.arguments.trim() == "null" { "" } else { &call.arguments };
        Ok(ToolCall::read_any(id, self.names.real(&call.name).to_owned(), arguments))
    }

    /// An id that no other call of the transcript carries. WHY: several servers begin at `call_0` with every answer.
    fn unique(&mut self, told: String) -> String {
        let next = self.ids.len().saturating_add(1);
        let stem = if told.is_empty() { "call".to_owned() } else { told.clone() };
        let free = (!told.is_empty() && !self.ids.contains(&told)).then_some(told);
        let id = free
            .or_else(|| (next..).map(|number| format!("{stem}_{number}")).find(|id| !self.ids.contains(id)));
        let id = id.unwrap_or(stem); // there is always a number that is free
        self.ids.insert(id.clone());
        id
    }
}

/// A text field, or nothing.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A count; what is absent, null or odd counts as zero.
pub(crate) fn count(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3), or in milliseconds as some providers also say.
pub(crate) fn retry_after(header: impl Fn(&str) -> Option<String>) -> Option<Millis> {
    if let Some(ms) = header("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok()) {
        return positive_ms(ms);
    }
    // WHY: the date form needs the provider's clock to agree with ours; no provider of models uses it.
    header("retry-after")
        .and_then(|text| text.trim().parse::<f64>().ok())
        .and_then(|secs| positive_ms(secs * 1_000.0))
}

/// Milliseconds from a number that came from outside.
pub(crate) fn positive_ms(ms: f64) -> Option<Millis> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    (ms.is_finite() && (0.0..1e12).contains(&ms)).then(|| Millis(ms.ceil() as u64))
}

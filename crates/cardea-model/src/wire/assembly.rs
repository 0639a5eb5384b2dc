//! Assembles an answer from its pieces, and ensures that it ends.

use std::collections::{BTreeSet, VecDeque};

use cardea_core::{
    message::{Finish, Message, ModelEvent, Prompt, Usage, tokens_of},
    tool::ToolCall,
};

use super::{ToolNames, kind};
use crate::failure::{Failure, Trouble};

/// Plausibility limit of token counts, beyond what any provider reads or writes at once.
pub(crate) const MOST_TOKENS: u64 = 100_000_000;

/// Plausibility limit of calls in one answer.
const MOST_CALLS: usize = 128;

/// A tool call of which pieces have come.
#[derive(Debug, Default)]
struct Partial {
    key: u64,
    id: String,
    name: String,
    arguments: String,
}

/// Assembles an answer from its pieces.
#[derive(Debug)]
pub(crate) struct Assembly {
    names: ToolNames,
    /// The ids of the transcript's calls.
    ids: BTreeSet<String>,
    calls: Vec<Partial>,
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: Usage,
    /// True if the count of written tokens is only that of the start.
    pub(crate) begun_only: bool,
    /// Estimated number of tokens sent.
    sent: u64,
    /// True if the answer may be empty: the prompt has stop texts, or tool results came last.
    may_be_empty: bool,
    /// Bytes of the answer, calls included.
    written: usize,
    /// Bytes of the thoughts before the answer. They are not part of it, but paid for like it.
    thought: usize,
    /// Thoughts that the model may need back.
    thoughts: String,
    pub(super) ended: bool,
    pub(super) out: VecDeque<ModelEvent>,
}

impl Assembly {
    pub(super) fn new(prompt: &Prompt) -> Self {
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
            begun_only: false,
            sent: prompt.tokens(),
            may_be_empty: !prompt.sampling.stop.is_empty()
                || matches!(prompt.messages.last(), Some(Message::Tool { .. })),
            written: 0,
            thought: 0,
            thoughts: String::new(),
            ended: false,
            out: VecDeque::new(),
        }
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.written = self.written.saturating_add(text.len());
            self.out.push_back(ModelEvent::Text(text.to_owned()));
        }
    }

    /// Adds text of a refusal.
    pub(crate) fn refusal(&mut self, text: &str) {
        if !text.is_empty() {
            self.written = self.written.saturating_add(text.len());
            self.out.push_back(ModelEvent::Refusal(text.to_owned()));
        }
    }

    /// Adds thoughts that the model may need back.
    pub(crate) fn thinks(&mut self, text: &str) {
        self.thoughts.push_str(text);
        self.thought(text.len());
    }

    /// Counts bytes of thoughts.
    pub(crate) fn thought(&mut self, bytes: usize) {
        self.thought = self.thought.saturating_add(bytes);
        self.unseen(bytes);
    }

    /// Reports progress although nothing is visible yet.
    fn unseen(&mut self, bytes: usize) {
        match self.out.back_mut() {
            _ if bytes == 0 => {}
            Some(ModelEvent::Unseen(before)) => *before = before.saturating_add(bytes),
            _ => self.out.push_back(ModelEvent::Unseen(bytes)),
        }
    }

    /// Adds a piece of the call with this key; any part may be empty.
    pub(crate) fn call(&mut self, key: u64, id: &str, name: &str, arguments: &str) -> Result<(), Failure> {
        let place = match self.place_of(key, id, name) {
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
            self.unseen(arguments.len());
        }
        Ok(())
    }

    /// Returns the call that a piece with this key continues, if it begins no new one. WHY: Ollama and others give
    /// every call the index 0, so under one key an unknown id begins another call, if a name comes with it.
    fn place_of(&self, key: u64, id: &str, name: &str) -> Option<usize> {
        let under = || self.calls.iter().enumerate().rev().filter(|(_, call)| call.key == key);
        let own = under().find(|(_, call)| !id.is_empty() && call.id == id);
        let begins = !id.is_empty() && !name.is_empty();
        let last = || under().next().filter(|(_, call)| !begins || call.id.is_empty());
        own.or_else(last).map(|(place, _)| place)
    }

    /// Returns the key for a piece that names no call: the call with its id, a new one, or the last.
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

    /// Ends an answer whose finish reason is unknown: it does not count as complete.
    pub(crate) fn unknown_end(&self, word: &str) -> Result<Option<Finish>, Failure> {
        if self.calls.is_empty() {
            return Ok(Some(Finish::Length));
        }
        Err(Failure::new(
            Trouble::Cut,
            format!("tool calls finished with `{}`, which is not known", kind(word)),
        ))
    }

    /// Ends a stream explicitly; the finish reason may be missing.
    pub(crate) fn done(&mut self) -> Result<(), Failure> {
        if self.finish.is_none() && (self.written > 0 || !self.calls.is_empty()) {
            self.finish = Some(Finish::Stop);
        }
        self.finish()
    }

    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        let Some(mut finish) = self.finish else {
            return Err(Failure::new(Trouble::Cut, "the stream ended without an end"));
        };
        let calls = std::mem::take(&mut self.calls);
        // A cut answer may contain half a call, whose arguments are not what the model meant.
        if matches!(finish, Finish::Stop | Finish::ToolCalls) {
            finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
            if calls.is_empty() && self.written == 0 && !self.may_be_empty {
                return Err(Failure::garbage("the answer is empty"));
            }
            if !calls.is_empty() && !self.thoughts.is_empty() {
                self.out.push_back(ModelEvent::Thoughts(std::mem::take(&mut self.thoughts)));
            }
            for call in calls {
                let call = self.whole_call(call)?;
                self.out.push_back(ModelEvent::Call(call));
            }
        }
        self.ended = true;
        self.out.push_back(ModelEvent::End { finish, usage: self.used() });
        Ok(())
    }

    /// Returns the usage as counted by the provider, else estimated: a server that counts nothing would make every
    /// budget endless.
    fn used(&self) -> Usage {
        let counted = self.counted();
        if counted.total() == 0 {
            return Usage { input: self.sent, cached_input: 0, output: self.estimated() };
        }
        if self.begun_only {
            Usage { output: counted.output.max(self.estimated()), ..counted }
        } else {
            counted
        }
    }

    /// Estimates the number of tokens written.
    fn estimated(&self) -> u64 {
        tokens_of(self.written.saturating_add(self.thought))
    }

    /// Returns the usage of an answer that did not end well: zero, unless it was counted or has begun.
    pub(super) fn spent(&self) -> Usage {
        let begun = self.written > 0 || self.thought > 0 || !self.calls.is_empty();
        if !begun {
            return self.counted();
        }
        let used = self.used();
        // WHY: a count from before the end does not include what was written after it.
        Usage { output: used.output.max(self.estimated()), ..used }
    }

    /// Returns the provider's counts, unless they are implausible.
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

    /// Returns a call with all its pieces. Arguments that are not a JSON object stay as written: the code that acts on
    /// them refuses them.
    fn whole_call(&mut self, call: Partial) -> Result<ToolCall, Failure> {
        if call.name.is_empty() {
            return Err(Failure::garbage("a tool call without a name"));
        }
        let id = self.unique(call.id);
        let arguments = if call.arguments.trim() == "null" { "" } else { &call.arguments };
        Ok(ToolCall::read_any(id, self.names.real(&call.name).to_owned(), arguments))
    }

    /// Returns an id that no other call of the transcript carries. WHY: several servers begin at `call_0` with every
    /// answer.
    fn unique(&mut self, told: String) -> String {
        let next = self.ids.len().saturating_add(1);
        let stem = if told.is_empty() { "call".to_owned() } else { told.clone() };
        let free = (!told.is_empty() && !self.ids.contains(&told)).then_some(told);
        let id = free
            .or_else(|| (next..).map(|number| format!("{stem}_{number}")).find(|id| !self.ids.contains(id)));
        let id = id.unwrap_or(stem); // there is always a free number
        self.ids.insert(id.clone());
        id
    }
}

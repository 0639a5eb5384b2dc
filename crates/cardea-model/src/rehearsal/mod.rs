//! A model for rehearsals: offline, deterministic, and honest about not being a language model.
//!
//! It chooses among the offered tools by meaning, words and mentions, fills arguments from the conversation according
//! to the tools' JSON Schemas, asks for what it cannot find, and words an answer from what a tool returned. Every
//! answer ends in a line that says so. It makes nothing up: each value in a call occurs in the conversation, each
//! value in an answer occurs in a result. The same transcript gives the same answer, to the byte.
//!
//! It does not do what a message forbids, asks about, or makes conditional. As a stand-in for another model it calls
//! no tool at all.
//!
//! It keeps no state between calls: what it does next follows from the transcript alone.

mod amount;
mod caution;
mod choice;
mod choose;
mod fill;
mod find;
mod free;
mod history;
mod instruct;
mod left;
mod limit;
mod mention;
mod money;
mod mood;
mod plan;
mod refer;
mod said;
mod schema;
mod signs;
mod talk;
mod tell;
mod value;
mod words;

use std::{sync::Arc, time::Duration};

use cardea_core::{
    Error, Result,
    error::Code,
    message::{AnswerFormat, Finish, Message, ModelEvent, Prompt, ToolChoice, Usage, estimate_tokens},
    select::FIND_TOOLS,
    time::SharedClock,
    tool::{ToolCall, ToolSpec},
};
use futures::{future::BoxFuture, stream};
use serde_json::Map;

use self::{
    find::Finder,
    history::Turn,
    plan::{Plan, Planner},
};
use crate::{
    Model, ModelStream, Served,
    embedder::{Embedder, Embedding},
    failure::{Failure, Trouble},
};

/// Ends every answer that was made from data.
const HONEST: &str = "(rehearsal model: composed from the tool's data, no language model was used)";
/// Time limit of the encoder. Long, since the same transcript should give the same answer: the first call encodes all
/// tools, the next ones find them in the cache.
const PATIENCE: Duration = Duration::from_secs(10);
/// Said in place of another model.
const STANDING_IN: &str = "The model that should answer cannot be reached. I only stand in for it: I answer in words \
     and call no tool. Please try again later.";
/// Ends every other answer.
const HONEST_PLAIN: &str = "(rehearsal model: no language model was used)";

/// The rehearsal model; see the documentation of the module.
pub struct Rehearsal {
    finder: Finder,
    embedder: Option<Arc<dyn Embedder>>,
    clock: SharedClock,
}

/// Its next action.
enum Reply {
    Text(String),
    Calls(Vec<ToolCall>),
}

impl Rehearsal {
    /// Creates a rehearsal model. Without an embedder it uses words alone and understands less.
    ///
    /// # Errors
    /// [`Code::Internal`] if its patterns do not compile, which a test rules out.
    pub fn new(embedder: Option<Arc<dyn Embedder>>, clock: SharedClock) -> Result<Self> {
        let finder = Finder::new().map_err(|error| Error::new(Code::Internal).because(error))?;
        Ok(Self { finder, embedder, clock })
    }

    /// Returns the reply. `more` says that other tools can be asked for.
    async fn reply(&self, prompt: &Prompt, more: bool) -> Reply {
        let now = self.clock.now();
        let messages = limit::read(&prompt.messages, &self.finder, now);
        let Some(turn) = Turn::of(&messages) else {
            return Reply::Text(format!("Nothing was asked.\n\n{HONEST_PLAIN}"));
        };
        if let Some((call, text)) = turn.failed() {
            let told = tell::failure(tool_of(&prompt.tools, call), call, text);
            return Reply::Text(format!("{told}\n\n{HONEST_PLAIN}"));
        }
        let planner = Planner::new(&prompt.tools, &self.finder, now);
        let among = planner.among();
        let too_long = |text: &str| limit::too_long(text, among, &self.finder, now);
        let spoken = (!too_long(turn.text)).then(|| planner.question(&turn));
        let Some(spoken) = spoken.filter(|spoken| !too_long(spoken)) else {
            return Reply::Text(format!("{}\n\n{HONEST_PLAIN}", limit::TOO_LONG));
        };
        let cosine = self.cosine(&spoken, &prompt.tools).await;
        match planner.plan(&turn, &spoken, cosine.as_deref()) {
            Plan::Call(call) => Reply::Calls(vec![call]),
            Plan::Tell { first, last } => {
                Reply::Text(tell_results(&turn, &prompt.tools, first, last.as_deref()))
            }
            Plan::Nothing(_) if more && !turn.asked_for_more() => {
                Reply::Calls(vec![ask_for_more(&turn, &spoken)])
            }
            Plan::Say(text) | Plan::Nothing(text) => Reply::Text(format!("{text}\n\n{HONEST_PLAIN}")),
            Plan::Ask { question, waiting } => {
                Reply::Text(format!("{question}\n\n(rehearsal model: no language model was used; {waiting})"))
            }
        }
    }

    /// Returns, for each tool, the similarity of its nearest text to the message, by the encoder.
    async fn cosine(&self, spoken: &str, tools: &[ToolSpec]) -> Option<Vec<f64>> {
        let embedder = self.embedder.as_ref()?;
        let texts: Vec<Vec<String>> = tools.iter().map(choose::encoded_texts).collect();
        // `beta_search` is one odd word to the encoder, `beta search` is two that it knows.
        let all = std::iter::once(spoken.replace('_', " ")).chain(texts.iter().flatten().cloned()).collect();
        // Without the encoder the words decide alone.
        let found = embedder.embed(all, PATIENCE).await.ok()?;
        let (asked, mut rest) = found.split_first()?;
        let near = |other: &Embedding| asked.cosine(other).map_or(0.0, f64::from);
        let mut out = Vec::with_capacity(texts.len());
        for own in &texts {
            let (these, others) = rest.split_at_checked(own.len())?;
            out.push(these.iter().map(near).fold(0.0, f64::max));
            rest = others;
        }
        Some(out)
    }
}

/// Builds the call that asks for more fitting tools.
fn ask_for_more(turn: &Turn<'_>, spoken: &str) -> ToolCall {
    let need: String = spoken.chars().take(500).collect();
    let id = format!("call_{}", turn.call_count().saturating_add(1));
    ToolCall {
        id,
        name: FIND_TOOLS.to_owned(),
        arguments: Map::from_iter([("need".to_owned(), need.into())]),
        written: None,
    }
}

fn tool_of<'a>(tools: &'a [ToolSpec], call: &ToolCall) -> Option<&'a ToolSpec> {
    tools.iter().find(|tool| tool.name.as_str() == call.name)
}

/// Returns the results of the last round in words, if there are any.
fn results(turn: &Turn<'_>, tools: &[ToolSpec]) -> Option<String> {
    let question = limit::head(turn.text);
    let told = turn.last_round().map(|(call, text)| tell::result(question, tool_of(tools, call), call, text));
    let told = told.collect::<Vec<_>>().join("\n\n");
    (!told.is_empty()).then_some(told)
}

/// Returns the results with the texts before and after them.
fn tell_results(turn: &Turn<'_>, tools: &[ToolSpec], first: Option<&str>, last: Option<&str>) -> String {
    let told = first.map(str::to_owned).into_iter().chain(results(turn, tools));
    let all: Vec<String> = told.chain(last.map(str::to_owned)).collect();
    format!("{}\n\n{HONEST}", all.join("\n\n"))
}

/// Returns the reply in place of another model: that it is unavailable, and what its calls have returned so far.
fn words_only(prompt: &Prompt) -> Reply {
    let turn = Turn::of(&prompt.messages);
    let told = turn.and_then(|turn| {
        let told = match turn.failed() {
            Some((call, text)) => tell::failure(tool_of(&prompt.tools, call), call, text),
            None => results(&turn, &prompt.tools)?,
        };
        Some(format!("What was done before: {told}"))
    });
    let told = told.unwrap_or_else(|| "Nothing was done.".to_owned());
    Reply::Text(format!("{STANDING_IN}\n\n{told}\n\n{HONEST_PLAIN}"))
}

impl Rehearsal {
    /// Returns the reply as a stream, if the client's demands can be met.
    fn stream(prompt: &Prompt, reply: Reply) -> ModelStream {
        let (provider, model) = ("rehearsal".to_owned(), "rehearsal".to_owned());
        let served = Served { name: prompt.model.clone(), provider, model, limit: None };
        ModelStream::new(served, stream::iter(events(prompt, reply).into_iter().map(Ok)))
    }
}

fn plain_text(prompt: &Prompt) -> Result<()> {
    if prompt.demands.format == AnswerFormat::Text {
        return Ok(());
    }
    Err(Failure::new(Trouble::Unable, "the rehearsal model writes plain text").into())
}

impl Model for Rehearsal {
    fn next(&self, prompt: Prompt) -> BoxFuture<'_, Result<ModelStream>> {
        Box::pin(async move {
            let mut prompt = prompt;
            plain_text(&prompt)?;
            match &prompt.demands.tool_choice {
                ToolChoice::Auto | ToolChoice::Required => {}
                ToolChoice::None => prompt.tools.clear(),
                ToolChoice::Named(name) => prompt.tools.retain(|tool| tool.name == *name),
            }
            // WHY: it is not a tool for a user's request, so it must not compete with those that are.
            let find = prompt.tools.iter().position(|tool| tool.name.as_str() == FIND_TOOLS);
            let find = find.map(|at| prompt.tools.remove(at));
            let reply = self.reply(&prompt, find.is_some()).await;
            prompt.tools.extend(find);
            Ok(Self::stream(&prompt, reply))
        })
    }

    // WHY: a provider may fail, or reject a wrong key, at any hour; no one then has decided that a stand-in by words
    // and mentions may act on real accounts.
    fn stand_in(&self, prompt: Prompt) -> BoxFuture<'_, Result<ModelStream>> {
        Box::pin(async move {
            plain_text(&prompt)?;
            Ok(Self::stream(&prompt, words_only(&prompt)))
        })
    }
}

/// Returns the reply as a provider would stream it: text in small pieces, then the end with an estimated usage.
fn events(prompt: &Prompt, reply: Reply) -> Vec<ModelEvent> {
    let (mut events, finish, written) = match reply {
        Reply::Text(text) => {
            let written = estimate_tokens(&text);
            let pieces = pieces(&text).into_iter().map(ModelEvent::Text).collect::<Vec<_>>();
            (pieces, Finish::Stop, written)
        }
        Reply::Calls(calls) => {
            let written = calls
                .iter()
                .map(|call| estimate_tokens(&serde_json::to_string(call).unwrap_or_default()))
                .sum();
            (calls.into_iter().map(ModelEvent::Call).collect(), Finish::ToolCalls, written)
        }
    };
    let said = prompt.messages.iter().map(|message| match message {
        Message::System { text } | Message::User { text } | Message::Tool { text, .. } => {
            estimate_tokens(text)
        }
        Message::Assistant { text, calls, .. } => {
            estimate_tokens(text)
                + calls
                    .iter()
                    .map(|call| estimate_tokens(&serde_json::to_string(call).unwrap_or_default()))
                    .sum::<u64>()
        }
    });
    let tools = prompt.tools.iter().map(|tool| {
        estimate_tokens(tool.name.as_str())
            + estimate_tokens(&tool.description)
            + estimate_tokens(&tool.input_schema.to_string())
    });
    let usage = Usage { input: said.sum::<u64>() + tools.sum::<u64>(), cached_input: 0, output: written };
    events.push(ModelEvent::End { finish, usage });
    events
}

/// Splits a text into pieces of a few words, which together are the text again.
fn pieces(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for word in text.split_inclusive(' ') {
        match out.last_mut() {
            Some(last) if last.len() < 16 => last.push_str(word),
            _ => out.push(word.to_owned()),
        }
    }
    out.retain(|piece| !piece.is_empty());
    out
}

#[cfg(test)]
mod tests;

//! Arranges the transcript as providers require: each tool call followed by its result, each result after its call.
//!
//! A window over a long conversation may cut between a call and its result. Every provider refuses such a transcript,
//! so a result without a call is left out, and a call without a result gets one that says so.

use cardea_core::{message::Message, tool::ToolCall};

/// User message before a transcript that begins with the model, for formats that require one.
pub(super) const LEFT_OUT: &str = "(The beginning of this conversation is left out.)";

/// A part of a transcript, in an order that every provider accepts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part<'a> {
    /// Instructions.
    System(&'a str),
    /// A message of the user.
    User(&'a str),
    /// Text and calls of the model; one of both may be empty.
    Assistant(&'a str, &'a [ToolCall]),
    /// The results of the preceding calls, all of them, in the order of the calls.
    Results(Vec<ToolResult<'a>>),
}

/// The result of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolResult<'a> {
    pub(super) call: &'a ToolCall,
    pub(super) text: &'a str,
    pub(super) failed: bool,
}

const NO_RESULT: &str = "no result was recorded for this call";

/// Arranges the messages.
pub(super) fn tidy(messages: &[Message]) -> Vec<Part<'_>> {
    placed(messages).into_iter().map(|(_, part)| part).collect()
}

/// Does the same, each part with the index of its message.
pub(super) fn placed(messages: &[Message]) -> Vec<(usize, Part<'_>)> {
    let mut parts = Vec::with_capacity(messages.len());
    for (place, message) in messages.iter().enumerate() {
        match message {
            Message::System { text } if !text.trim().is_empty() => parts.push((place, Part::System(text))),
            Message::User { text } if !text.trim().is_empty() => parts.push((place, Part::User(text))),
            Message::Assistant { text, calls, .. } if !calls.is_empty() => {
                let rest = messages.get(place.saturating_add(1)..).unwrap_or_default();
                parts.push((place, Part::Assistant(text, calls)));
                parts.push((place, Part::Results(calls.iter().map(|call| result_of(call, rest)).collect())));
            }
            Message::Assistant { text, .. } if !text.trim().is_empty() => {
                parts.push((place, Part::Assistant(text, &[])))
            }
            // Results go with their calls; providers refuse empty texts.
            _ => {}
        }
    }
    parts
}

fn result_of<'a>(call: &'a ToolCall, rest: &'a [Message]) -> ToolResult<'a> {
    let found = rest.iter().find_map(|message| match message {
        Message::Tool { call_id, text, failed, .. } if *call_id == call.id => Some((text.as_str(), *failed)),
        _ => None,
    });
    let (text, failed) = found.unwrap_or((NO_RESULT, true));
    ToolResult { call, text, failed }
}

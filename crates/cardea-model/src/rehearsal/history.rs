//! The transcript as the rehearsal model reads it: the present question, what was done for it, and what came before.

use cardea_core::{message::Message, select::FIND_TOOLS, tool::ToolCall};
use serde_json::Value;

use super::{
    HONEST,
    find::Finder,
    said::{Nouns, Said},
    words::{name_words, stem},
};

/// The turn to be answered.
pub(super) struct Turn<'a> {
    /// The user's last message.
    pub(super) text: &'a str,
    before: &'a [Message],
    after: &'a [Message],
}

/// Marks a question of the model: `waiting for `order_id` of `get_order``.
pub(super) const WAITING: &str = "waiting for `";

impl<'a> Turn<'a> {
    /// Returns the turn; `None` if there is no user message.
    pub(super) fn of(messages: &'a [Message]) -> Option<Self> {
        let place = messages.iter().rposition(|message| matches!(message, Message::User { .. }))?;
        let Message::User { text } = messages.get(place)? else { return None };
        let after = messages.get(place.saturating_add(1)..).unwrap_or_default();
        Some(Self { text, before: messages.get(..place).unwrap_or_default(), after })
    }

    /// Returns the calls made for this message with their results, oldest first.
    pub(super) fn done(&self) -> impl DoubleEndedIterator<Item = (&'a ToolCall, &'a str, bool)> + use<'a> {
        let after = self.after;
        calls(after).filter(|call| call.name != FIND_TOOLS).filter_map(move |call| {
            let found = after.iter().find_map(|message| match message {
                Message::Tool { call_id, text, failed, .. } if *call_id == call.id => {
                    Some((text.as_str(), *failed))
                }
                _ => None,
            });
            found.map(|(text, failed)| (call, text, failed))
        })
    }

    /// Returns whether more tools were already asked for.
    pub(super) fn asked_for_more(&self) -> bool {
        calls(self.after).any(|call| call.name == FIND_TOOLS)
    }

    /// Returns the last call, if it failed.
    pub(super) fn failed(&self) -> Option<(&'a ToolCall, &'a str)> {
        self.done().next_back().filter(|(_, _, failed)| *failed).map(|(call, text, _)| (call, text))
    }

    /// Returns the results of the last calls that were made together.
    pub(super) fn last_round(&self) -> impl Iterator<Item = (&'a ToolCall, &'a str)> + use<'a> {
        let last = self.after.iter().rev().find_map(|message| match message {
            Message::Assistant { calls, .. } if !calls.is_empty() => Some(calls.as_slice()),
            _ => None,
        });
        let last = last.unwrap_or_default();
        self.done()
            .filter(move |(call, _, _)| last.iter().any(|other| other.id == call.id))
            .map(|(call, text, _)| (call, text))
    }

    /// Returns the number of calls in the transcript, from which the next one's number follows.
    pub(super) fn call_count(&self) -> usize {
        calls(self.before).chain(calls(self.after)).count()
    }

    /// Returns what the model's last question waits for: the argument, the tool, and the message that led to the
    /// question.
    pub(super) fn waits_for(&self) -> Option<(&'a str, &'a str, String)> {
        let (place, text) =
            self.before.iter().enumerate().rev().find_map(|(place, message)| match message {
                Message::Assistant { text, .. } => Some((place, text)),
                _ => None,
            })?;
        let (argument, tool) = asks_for(text)?;
        // Several answers in a row belong to one request: all of them are read together.
        let mut said = Vec::new();
        for (at, message) in self.before.iter().enumerate().take(place).rev() {
            match message {
                Message::User { text } => said.push(text.as_str()),
                Message::Assistant { text, .. } if text.contains(WAITING) && at < place => {}
                _ => break,
            }
        }
        said.reverse();
        (!said.is_empty()).then(|| (argument, tool, said.join("\n")))
    }

    /// Returns earlier topics, newest first: each request with the answers that completed it. The topic of an open
    /// question belongs to the present.
    pub(super) fn earlier(&self) -> Vec<Earlier<'a>> {
        let mut all: Vec<Earlier<'a>> = Vec::new();
        let mut open = false;
        for message in self.before {
            match (message, all.last_mut()) {
                (Message::User { text }, Some(last)) if open => last.said.push(text),
                (Message::User { text }, _) => all.push(Earlier { said: vec![text], ..Earlier::default() }),
                (Message::Assistant { text, calls, .. }, Some(last)) => {
                    last.calls.extend(calls);
                    last.understood |= text.contains(HONEST);
                    open = calls.is_empty() && asks_for(text).is_some();
                }
                (Message::Tool { text, failed, .. }, Some(last)) => {
                    last.understood = !failed;
                    last.result = (!failed).then_some(text);
                }
                _ => {}
            }
        }
        if open {
            all.pop();
        }
        all.reverse();
        all
    }

    /// Returns the newest id of this kind in the conversation: from a call, from a result, or from a user message.
    pub(super) fn carried(&self, property: &str, noun: Option<&str>, reader: &Reader<'_>) -> Option<String> {
        for message in self.before.iter().rev() {
            let found = match message {
                Message::Assistant { calls, .. } => {
                    calls.iter().rev().find_map(|call| plain(call.arguments.get(property)?))
                }
                Message::Tool { text, failed: false, .. } => {
                    serde_json::from_str(text).ok().and_then(|value| field(&value, property, 0))
                }
                Message::User { text } => reader.named(text, noun?),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// An earlier request.
#[derive(Default)]
pub(super) struct Earlier<'a> {
    /// The request, and the answers to questions about it.
    pub(super) said: Vec<&'a str>,
    /// Whether a tool answered it.
    pub(super) understood: bool,
    pub(super) calls: Vec<&'a ToolCall>,
    /// The last result.
    pub(super) result: Option<&'a str>,
}

impl Earlier<'_> {
    /// Returns the value of this argument in its last call.
    pub(super) fn argument(&self, name: &str) -> Option<String> {
        self.calls.iter().rev().find_map(|call| plain(call.arguments.get(name)?))
    }

    /// Returns the field of this name in its result.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        field(&serde_json::from_str(self.result?).ok()?, name, 0)
    }
}

/// Returns the argument and the tool that a question of the model asks for. Its last line says so, and contains no
/// text from a tool.
fn asks_for(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.lines().last()?.rsplit_once(WAITING)?;
    let mut parts = rest.split('`');
    Some((parts.next()?, parts.nth(1)?))
}

/// What is needed to read an earlier message.
pub(super) struct Reader<'a> {
    pub(super) finder: &'a Finder,
    pub(super) nouns: &'a Nouns,
    pub(super) now: cardea_core::time::Timestamp,
}

impl Reader<'_> {
    /// Returns the last mention in a text that names this noun.
    fn named(&self, text: &str, noun: &str) -> Option<String> {
        let said = Said::new(text, self.finder, self.now);
        let of = |mention: &&super::mention::Mention| {
            said.noun_of(mention, self.nouns).as_deref() == self.nouns.known(noun)
        };
        said.mentions.iter().rev().find(of).map(|mention| mention.text.clone())
    }
}

fn calls(messages: &[Message]) -> impl DoubleEndedIterator<Item = &ToolCall> {
    messages.iter().flat_map(|message| match message {
        Message::Assistant { calls, .. } => calls.as_slice(),
        _ => &[],
    })
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= 64 && !text.contains(char::is_whitespace) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns a field of this name in a result, at most two levels deep and not inside a list, where it could belong to
/// any row.
fn field(value: &Value, name: &str, depth: usize) -> Option<String> {
    let fields = value.as_object()?;
    let own = fields.get(name).and_then(plain);
    own.or_else(|| {
        if depth < 2 { fields.values().find_map(|inner| field(inner, name, depth + 1)) } else { None }
    })
}

/// Returns the rows of a result, and the id of each.
pub(super) fn row_ids(text: &str, noun: &str) -> Option<Vec<String>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let rows = match &value {
        Value::Array(rows) => rows,
        Value::Object(fields) => fields.values().find_map(Value::as_array)?,
        _ => return None,
    };
    let id = |row: &Value| {
        let fields = row.as_object()?;
        let own = fields.iter().find(|(name, _)| {
            let words = name_words(name);
            words.last().is_some_and(|last| last == "id")
                && words.first().is_some_and(|first| stem(first) == noun)
        });
        plain(own.map(|(_, value)| value).or(fields.get("id"))?)
    };
    Some(rows.iter().filter_map(id).collect())
}

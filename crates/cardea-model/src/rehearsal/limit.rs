//! Limits on what is read. WHY: each mention is scored against each argument of each tool and against the other
//! mentions, so the work grows much faster than the text, and this thread serves no one else meanwhile.

use std::borrow::Cow;

use cardea_core::{message::Message, time::Timestamp};

use super::{
    find::Finder,
    schema::{Property, Want},
};

/// Length limit of a message, in bytes.
const TEXT: usize = 4 * 1024;
/// Limit of ids, numbers, dates and the like in a message.
const MENTIONS: usize = 100;
/// Limit of pairs of a mention with an argument of a tool: with many tools, fewer mentions are read.
const PAIRS: usize = 20_000;
/// Limit of the bytes of a message times tools, since its words are scored for each tool.
const WEIGHED: usize = 256 * 1024;
/// Limit of the user's earlier messages in bytes, newest first.
const BEFORE: usize = 16 * 1024;
/// Least length that a message counts as.
const LEAST: usize = 64;

/// Said to a message that is too long.
pub(super) const TOO_LONG: &str = "Your message is too long for the rehearsal model: I read 4 KiB and a hundred numbers, \
     ids and dates at most, and fewer of them where I have very many tools. I have called no tool for it. Please say it \
     in fewer words.";

/// Numbers among which a message is scored.
#[derive(Clone, Copy, Default)]
pub(super) struct Among {
    pub(super) tools: usize,
    /// Those of all tools together.
    pub(super) arguments: usize,
}

/// Returns whether this is too long for so many tools.
pub(super) fn too_long(text: &str, among: Among, finder: &Finder, now: Timestamp) -> bool {
    if text.len() > TEXT || text.len().saturating_mul(among.tools) > WEIGHED {
        return true;
    }
    let mentions = finder.mentions(text, now).len();
    mentions > MENTIONS || mentions.saturating_mul(among.arguments) > PAIRS
}

/// Returns the number of arguments of tools, nested ones included.
pub(super) fn arguments(properties: &[Property]) -> usize {
    let inside = |property: &Property| match &property.want {
        Want::Fields(fields) => arguments(fields),
        Want::List(item) => arguments(std::slice::from_ref(item)),
        _ => 0,
    };
    properties.iter().map(inside).sum::<usize>().saturating_add(properties.len())
}

/// Returns the part of a question that is scanned for its purpose.
pub(super) fn head(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default()
}

/// Returns the transcript as far as it is read: earlier user messages that are too long, or too old, are empty.
pub(super) fn read<'a>(messages: &'a [Message], finder: &Finder, now: Timestamp) -> Cow<'a, [Message]> {
    let mut left = BEFORE;
    let mut unread = Vec::new();
    let users = messages.iter().enumerate().rev().filter_map(|(place, message)| match message {
        Message::User { text } => Some((place, text)),
        _ => None,
    });
    // The last message is the present question; if it is not read, the user is told.
    for (place, text) in users.skip(1) {
        left = left.saturating_sub(text.len().clamp(LEAST, TEXT));
        if left == 0 || too_long(text, Among::default(), finder, now) {
            unread.push(place);
        }
    }
    if unread.is_empty() {
        return Cow::Borrowed(messages);
    }
    let mut out = messages.to_vec();
    for place in unread {
        if let Some(Message::User { text }) = out.get_mut(place) {
            text.clear();
        }
    }
    Cow::Owned(out)
}

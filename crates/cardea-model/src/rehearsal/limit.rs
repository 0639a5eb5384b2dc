//! How much is read. WHY: each thing that a message mentions is weighed against each argument of each tool and against
//! the other things, so the work grows much faster than the text, and nobody else is served by this thread meanwhile.

use std::borrow::Cow;

use cardea_core::{message::Message, time::Timestamp};

use super::{
    find::Finder,
    schema::{Property, Want},
};

/// The longest message, in bytes.
const TEXT: usize = 4 * 1024;
/// The most ids, numbers, dates and the like in a message.
const MENTIONS: usize = 100;
/// The most pairs of one of them with an argument of a tool: where there are many tools, fewer of them are read.
const PAIRS: usize = 20_000;
/// The most bytes of a message times tools: the words of it are weighed for each of them.
const WEIGHED: usize = 256 * 1024;
/// So much of what users said before, newest first.
const BEFORE: usize = 16 * 1024;
/// A message counts as so long at least.
const LEAST: usize = 64;

/// Said to a message that is not read.
pub(super) const TOO_LONG: &str = "Your message is too long for the rehearsal model: I read 4 KiB and a hundred numbers, \
     ids and dates at most, and fewer of them where I have very many tools. I have called no tool for it. Please say it \
     in fewer words.";

/// Among how much a message is weighed.
#[derive(Clone, Copy, Default)]
pub(super) struct Among {
    pub(super) tools: usize,
    /// Those of all tools together.
    pub(super) arguments: usize,
}

/// True if this is more than is read among so many tools.
pub(super) fn too_long(text: &str, among: Among, finder: &Finder, now: Timestamp) -> bool {
    if text.len() > TEXT || text.len().saturating_mul(among.tools) > WEIGHED {
        return true;
    }
    let mentions = finder.mentions(text, now).len();
    mentions > MENTIONS || mentions.saturating_mul(among.arguments) > PAIRS
}

/// How many arguments tools take, those inside others too.
pub(super) fn arguments(properties: &[Property]) -> usize {
    let inside = |property: &Property| match &property.want {
        Want::Fields(fields) => arguments(fields),
        Want::List(item) => arguments(std::slice::from_ref(item)),
        _ => 0,
    };
    properties.iter().map(inside).sum::<usize>().saturating_add(properties.len())
}

/// As much of a question as is looked at for what it is after.
pub(super) fn head(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default()
}

/// The transcript as far as it is read: what users said before and was too long, or too long ago, is empty.
pub(super) fn read<'a>(messages: &'a [Message], finder: &Finder, now: Timestamp) -> Cow<'a, [Message]> {
    let mut left = BEFORE;
    let mut unread = Vec::new();
    let users = messages.iter().enumerate().rev().filter_map(|(place, message)| match message {
        Message::User { text } => Some((place, text)),
        _ => None,
    });
    // The last one is what is asked now; if that is not read, whoever asks is told.
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

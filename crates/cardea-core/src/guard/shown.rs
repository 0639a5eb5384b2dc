//! A text as it is meant to be read, beside the text as it is written: quotes without the strokes that JSON inside a string
//! puts before them, and HTML without its tags.
//!
//! INVARIANT: each byte depends on few bytes around it, and what more text could still change at the end is left out, so
//! that a stream is read as the whole is.

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::normalize::View;

/// Strokes before a quote, four levels deep.
const MOST_STROKES: usize = 15;

/// A text read in another way.
pub(super) struct Shown {
    pub(super) view: View<'static>,
    /// What begins from this place of the source on may be read otherwise with more text.
    pub(super) until: usize,
}

/// All such readings of a text, to which more may be added.
pub(super) fn shown(view: &View<'_>, more: bool) -> Vec<Shown> {
    unescaped(view, more).into_iter().collect()
}

/// Bytes with their places in the source.
struct Made<'a, 'v> {
    from: &'a View<'v>,
    text: Vec<u8>,
    source: Vec<(u32, u32)>,
}

impl<'a, 'v> Made<'a, 'v> {
    fn new(from: &'a View<'v>) -> Self {
        Self { from, text: Vec::with_capacity(from.text.len()), source: Vec::with_capacity(from.text.len()) }
    }

    fn home(&self, place: Range<usize>) -> (u32, u32) {
        let (from, to) = self.from.back(place.start, place.end);
        (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(to).unwrap_or(u32::MAX))
    }

    fn copy(&mut self, place: Range<usize>) {
        self.text.extend_from_slice(self.from.bytes().get(place.clone()).unwrap_or_default());
        for at in place {
            self.source.push(self.home(at..at + 1));
        }
    }

    /// Takes back what stands at the end.
    fn trim(&mut self, ends: impl Fn(u8) -> bool) {
        let length = self.text.iter().rposition(|byte| !ends(*byte)).map_or(0, |at| at + 1);
        self.text.truncate(length);
        self.source.truncate(length);
    }

    fn done(self, until: usize) -> Option<Shown> {
        let view = View::made(String::from_utf8(self.text).ok()?, self.source);
        Some(Shown { view, until })
    }
}

/// The text without strokes before its quotes, if there are some.
fn unescaped(view: &View<'_>, more: bool) -> Option<Shown> {
    let bytes = view.bytes();
    let is_quote = |at: usize| matches!(bytes.get(at), Some(b'"' | b'\''));
    if !memchr_iter(b'\\', bytes).any(|at| is_quote(at + 1)) {
        return None;
    }
    let (mut made, mut from) = (Made::new(view), 0);
    while let Some(at) = bytes.get(from..).and_then(|rest| memchr(b'\\', rest)).map(|at| from + at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let strokes = rest.iter().take_while(|byte| **byte == b'\\').count();
        let end = at + strokes;
        made.copy(from..if strokes <= MOST_STROKES && is_quote(end) { at } else { end });
        from = end;
    }
    made.copy(from..bytes.len());
    if more {
        made.trim(|byte| byte == b'\\');
    }
    made.done(usize::MAX)
}

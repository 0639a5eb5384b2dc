//! Removes underscores with which Markdown emphasizes a value. To most rows they are letters of the value.
//!
//! Each one is recognized from the text nearby, up to the next space or the one after it, so a stream gives the same
//! result as the whole text.

use std::ops::Range;

use memchr::memchr_iter;

use super::normalize::View;

/// Maximum number of bytes of a word that are read next to an underscore.
const LONGEST_WORD: usize = 64;

/// Returns the text without them, if it contains any.
pub(super) fn without(view: &View<'_>) -> Option<View<'static>> {
    let bytes = view.bytes();
    let mut marks = emphasis(bytes).peekable();
    marks.peek()?;
    let home = |at: usize| {
        let (from, to) = view.back(at, at + 1);
        (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(to).unwrap_or(u32::MAX))
    };
    let (mut text, mut source, mut from) = (String::with_capacity(bytes.len()), Vec::new(), 0);
    for at in marks {
        text.push_str(view.text.get(from..at.start)?);
        source.extend((from..at.start).map(home));
        from = at.end;
    }
    text.push_str(view.text.get(from..)?);
    source.extend((from..bytes.len()).map(home));
    Some(View::made(text, source))
}

/// Returns the underscores before and after words that may be values: words with a digit or an at sign, and names.
fn emphasis(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut end = 0;
    memchr_iter(b'_', bytes).filter_map(move |at| {
        if at < end {
            return None;
        }
        let (head, tail) = (bytes.get(..at)?, bytes.get(at..)?);
        end = at + tail.iter().take_while(|byte| **byte == b'_').count();
        let tail = bytes.get(end..)?;
        let (before, next) = (head.last().copied(), tail.first().copied());
        let is_word =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80);
        let joins = |byte: Option<u8>| byte.is_some_and(|byte| b"/-.=$@#\\%&".contains(&byte));
        let begins = is_word(next) || matches!(next, Some(b'+' | b'('));
        let opens = !is_word(before) && !joins(before) && begins;
        let closes = is_word(before) && !is_word(next) && (!joins(next) || next == Some(b'.'));
        let mut blanks = 0;
        let word = if opens {
            // The value may contain a space: `_B LP 7252_`.
            let length = tail.iter().take(LONGEST_WORD).take_while(|byte| {
                blanks += usize::from(byte.is_ascii_whitespace());
                blanks < 2 && **byte != b'_' && **byte != b'\n'
            });
            tail.get(..length.count())?
        } else {
            let length = head.iter().rev().take(LONGEST_WORD).take_while(|byte| !byte.is_ascii_whitespace());
            head.get(at - length.count()..)?
        };
        ((opens || closes) && may_be_value(word)).then_some(at..end)
    })
}

fn may_be_value(word: &[u8]) -> bool {
    let name = word.first().is_some_and(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase);
    name || word.iter().any(|byte| byte.is_ascii_digit() || *byte == b'@')
}

#[cfg(test)]
mod tests {
    use super::{super::normalize::fold, *};

    fn read(text: &str) -> Option<String> {
        without(&fold(text)).map(|view| view.text.into_owned())
    }

    #[test]
    fn underscores_of_emphasis_are_taken_out_and_those_of_names_are_not() {
        for (text, told) in [
            ("is _4111 1111 1111 1111_.", "is 4111 1111 1111 1111."),
            ("__DE89 3704_, x", "DE89 3704, x"),
            ("4111111111111111_", "4111111111111111"),
            ("mail _a.b@x.example_ now", "mail a.b@x.example now"),
            ("on _M-AB 1234_", "on M-AB 1234"),
            ("(_Hannah Bianchi_)", "(Hannah Bianchi)"),
        ] {
            assert_eq!(read(text).as_deref(), Some(told), "{text}");
        }
        for text in
            ["run_4111", "__init__(self, _x)", "a_b_c", "__DATE__", "$_SERVER", "/_next/", "_ 1 _", "x_1_y"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

//! Characters that are not letters but carry meaning.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;

/// Returns whether it is a currency, a comparison, an arrow, a flag or a picture: anything that is neither a letter,
/// digit, white space nor mere punctuation. Not for ASCII.
pub(super) fn is_sign(c: char) -> bool {
    let punctuates = match u32::from(c) {
        0..=0x7f => true,
        // Latin-1: quotation marks, dots and the like are not; ¢ £ ¤ ¥ § © ® ° ± and others are.
        0xa0 | 0xa1 | 0xab | 0xad | 0xb4 | 0xb6 | 0xb7 | 0xb8 | 0xbb | 0xbf => true,
        0x20ac | 0xa3 => true,    // € and £ stay with their numbers
        0x2030 | 0x2031 => false, // per mille
        0x2000..=0x206f => true,  // general punctuation
        0x3000..=0x3003 | 0x3008..=0x3011 | 0x3014..=0x301f | 0x30fb => true,
        0xfe00..=0xfe6f => true, // presentation forms, and variation selectors
        0xff01..=0xff03
        | 0xff05..=0xff0f
        | 0xff1a..=0xff1b
        | 0xff1f..=0xff20
        | 0xff3b..=0xff40
        | 0xff5b..=0xff65 => true,
        0x1f600..=0x1f64f | 0x1f3fb..=0x1f3ff => true, // emoticons, hand signs, and skin tones
        _ => false,
    };
    !punctuates && !c.is_alphanumeric() && !c.is_whitespace() && !c.is_control() && !is_combining_mark(c)
}

/// Replaces each sign of a negative number by `-`, however it is typed.
pub(super) fn minus(text: &str) -> Cow<'_, str> {
    if !text.contains(['\u{2212}', '\u{2013}']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let begins = out.chars().next_back().is_none_or(char::is_whitespace);
        let number = chars.peek().is_some_and(char::is_ascii_digit);
        // `10–20` is a range.
        let negative = c == '\u{2212}' || c == '\u{2013}' && begins && number;
        out.push(if negative { '-' } else { c });
    }
    Cow::Owned(out)
}

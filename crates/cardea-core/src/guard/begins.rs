//! With which bytes a match of a regex can begin. Most of what wakes a row is followed by something else, and one look at
//! a byte is much less than to begin a regex.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begins([bool; 256]);

impl Begins {
    /// The bytes with which a match of an anchored regex can begin; all of them if it can be empty, or cannot be read.
    pub(super) fn of(regex: &str) -> Self {
        let read = ParserBuilder::new().unicode(false).utf8(false).build().parse(regex);
        let mut begins = Self([false; 256]);
        match read {
            Ok(hir) if !begins.take(&hir) => begins,
            _ => Self([true; 256]),
        }
    }

    /// True if the text can begin a match: an empty one never can, unless an empty match is one.
    pub(super) fn fit(&self, text: &[u8]) -> bool {
        let all = || self.0.iter().all(|has| *has);
        text.first().map_or_else(all, |byte| self.0.get(usize::from(*byte)).copied().unwrap_or(true))
    }

    fn put(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|byte| {
            if let Some(has) = self.0.get_mut(usize::from(byte)) {
                *has = true;
            }
        });
    }

    /// Takes in with what this part can begin. True if it can be empty, so that the next part counts as well.
    fn take(&mut self, part: &Hir) -> bool {
        match part.kind() {
            HirKind::Empty | HirKind::Look(_) => true,
            HirKind::Literal(literal) => {
                if let Some(first) = literal.0.first() {
                    self.put(*first, *first);
                }
                literal.0.is_empty()
            }
            HirKind::Class(Class::Bytes(class)) => {
                class.ranges().iter().for_each(|range| self.put(range.start(), range.end()));
                false
            }
            HirKind::Class(Class::Unicode(class)) => {
                for range in class.ranges() {
                    self.put(first_byte(range.start()), first_byte(range.end()));
                }
                false
            }
            HirKind::Repetition(repeated) => {
                let empty = self.take(&repeated.sub);
                empty || repeated.min == 0
            }
            HirKind::Capture(group) => self.take(&group.sub),
            HirKind::Concat(parts) => parts.iter().all(|part| self.take(part)),
            HirKind::Alternation(parts) => parts.iter().filter(|part| self.take(part)).count() > 0,
        }
    }
}

/// The first byte of a character in UTF-8; between two of them lie those of all characters between.
fn first_byte(c: char) -> u8 {
    let mut bytes = [0; 4];
    c.encode_utf8(&mut bytes);
    let [first, ..] = bytes;
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::RegexBuilder;

    use super::*;

    #[test]
    fn a_regex_begins_with_what_its_first_parts_allow() {
        let begins = |regex: &str| {
            let begins = Begins::of(&format!(r"\A(?:{regex})"));
            (0..=u8::MAX).filter(|byte| begins.fit(&[*byte])).map(char::from).collect::<String>()
        };
        assert_eq!(begins("ab|cd"), "ac");
        assert_eq!(begins(" ?[x-z]+"), " xyz");
        assert_eq!(begins(r"\b(?:a{0,3}|b)c"), "abc");
        assert_eq!(begins("(?i:k)"), "Kk");
        assert_eq!(begins("(?u:[é-ë])"), "\u{c3}");
        assert_eq!(begins("a*").len(), 384, "all, since it can be empty");
    }

    proptest! {
        #[test]
        fn what_cannot_begin_a_match_has_none(
            regex in r"(\(\?:|[ab]\??|\[a-c\]\*?|\\b|c\{0,2\}|\||\)){1,8}",
            text in "[abcd ]{0,6}",
        ) {
            // A bracket that closes what it has not opened would close the anchor's.
            let whole = RegexBuilder::new(&regex).build().is_ok();
            let regex = format!(r"\A(?:{regex})");
            if let Some(compiled) = RegexBuilder::new(&regex).unicode(false).build().ok().filter(|_| whole) {
                let begins = Begins::of(&regex);
                prop_assert!(begins.fit(text.as_bytes()) || !compiled.is_match(text.as_bytes()), "{} {}", regex, text);
            }
        }
    }
}

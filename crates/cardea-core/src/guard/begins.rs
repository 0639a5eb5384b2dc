//! With which bytes a match of a regex can begin. Most of what wakes a row is followed by something else, and one look at
//! a byte is much less than to begin a regex.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::bytes::Bytes;

/// The bytes with which a match can begin; nothing if an empty match is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begins(Option<Bytes>);

impl Begins {
    pub(super) fn of(regex: &Hir) -> Self {
        let mut first = Bytes::default();
        let empty = take(&mut first, regex);
        Self((!empty).then_some(first))
    }

    /// True if the text can begin a match.
    pub(super) fn fit(&self, text: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|first| text.first().is_some_and(|byte| first.has(*byte)))
    }
}

/// Takes in with what this part can begin. True if it can be empty, so that the next part counts as well.
fn take(first: &mut Bytes, part: &Hir) -> bool {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => literal.0.first().is_none_or(|byte| {
            first.put(*byte, *byte);
            false
        }),
        HirKind::Class(class) => {
            put_class(first, class);
            false
        }
        HirKind::Repetition(repeated) => {
            let empty = take(first, &repeated.sub);
            empty || repeated.min == 0
        }
        HirKind::Capture(group) => take(first, &group.sub),
        HirKind::Concat(parts) => parts.iter().all(|part| take(first, part)),
        HirKind::Alternation(parts) => parts.iter().filter(|part| take(first, part)).count() > 0,
    }
}

/// Takes in the first bytes of what is in a class.
pub(super) fn put_class(bytes: &mut Bytes, class: &Class) {
    match class {
        Class::Bytes(class) => {
            class.ranges().iter().for_each(|range| bytes.put(range.start(), range.end()));
        }
        Class::Unicode(class) => {
            for range in class.ranges() {
                bytes.put(first_byte(range.start()), first_byte(range.end()));
            }
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

    use super::{super::needs::read, *};

    #[test]
    fn a_regex_begins_with_what_its_first_parts_allow() {
        let begins = |regex: &str| {
            let begins = Begins::of(&read(&format!(r"\A(?:{regex})")).unwrap());
            (0..=u8::MAX).filter(|byte| begins.fit(&[*byte])).map(char::from).collect::<String>()
        };
        assert_eq!(begins("ab|cd"), "ac");
        assert_eq!(begins(" ?[x-z]+"), " xyz");
        assert_eq!(begins(r"\b(?:a{0,3}|b)c"), "abc");
        assert_eq!(begins("(?i:k)"), "Kk");
        assert_eq!(begins("(?u:[é-ë])"), "\u{c3}");
        assert_eq!(begins("a*").chars().count(), 256, "all, since it can be empty");
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
                let begins = Begins::of(&read(&regex).unwrap());
                prop_assert!(begins.fit(text.as_bytes()) || !compiled.is_match(text.as_bytes()), "{} {}", regex, text);
            }
        }
    }
}

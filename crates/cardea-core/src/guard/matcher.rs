//! Compiled regexes of rows, and the extraction of the value from a match.
//!
//! WHY: a regex finds the end of a match quickly, but the range of a group takes ten times as long. So a final group of
//! bytes of one set is read by hand, and so is a whole stretch.

use regex::bytes::{Captures, Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::{
    begins::{Begins, put_class},
    bytes::Bytes,
    needs,
};

/// A row's regex with properties of its matches.
pub(super) struct Matcher {
    regex: Regex,
    value: Value,
    /// Bytes with which a match can begin.
    pub(super) begins: Begins,
    /// Each finding contains at least one byte of each of these sets.
    pub(super) needs: Vec<Bytes>,
}

/// Length of the longest letter, in bytes.
const LETTER: usize = 4;

/// The part of a match that is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Match,
    /// The first group, if there is one.
    Group,
    /// The password in a stretch: `@secret`.
    Password,
}

/// Range of the value in a match.
enum Value {
    Whole,
    /// The first group.
    Group,
    /// The last `least` bytes of the match, and up to `more` bytes of a set after it.
    Last {
        least: usize,
        more: usize,
        set: Bytes,
    },
    /// As read by [`spoken`].
    Spoken,
}

impl Matcher {
    /// Returns `None` if the regex is invalid.
    pub(super) fn of(written: &str, reads: Reads, needs: impl Fn(&Hir) -> Vec<Bytes>) -> Option<Self> {
        let read = needs::read(written)?;
        let groups = read.properties().explicit_captures_len() > 0 && reads == Reads::Group;
        let last = if groups { last(&read) } else { None };
        let (regex, value) = match last {
            Some((shorter, value)) => (whole(&shorter.to_string(), true).ok()?, value),
            None if reads == Reads::Password => (anchored(written).ok()?, Value::Spoken),
            None => (anchored(written).ok()?, if groups { Value::Group } else { Value::Whole }),
        };
        Some(Self { regex, value, begins: Begins::of(&read), needs: needs(&read) })
    }

    /// Returns whether a match begins at the beginning of the text.
    #[cfg(test)]
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.value(text).is_some()
    }

    /// Returns the range of the value if a match begins at the beginning of the text.
    pub(super) fn value(&self, text: &[u8]) -> Option<(usize, usize)> {
        match &self.value {
            Value::Spoken => spoken(text),
            Value::Whole => Some((0, self.regex.find(text)?.end())),
            Value::Last { least, more, set } => {
                let end = self.regex.find(text)?.end();
                let rest = text.get(end..).unwrap_or_default();
                let length = rest.iter().take(*more).take_while(|byte| set.has(**byte)).count();
                Some((end - least, end + length))
            }
            Value::Group => {
                // WHY: most texts do not match, and this needs no memory for groups. Text beyond the match and the
                // letter after it is not read again.
                let end = self.regex.find(text)?.end();
                let near = text.get(..end + LETTER).unwrap_or(text);
                // INVARIANT: a match that ends there depends on nothing after it.
                let same = |groups: &Captures<'_>| groups.get_match().end() == end;
                let groups = self.regex.captures(near).filter(same).or_else(|| self.regex.captures(text))?;
                let value = groups.iter().skip(1).flatten().next()?;
                Some((value.start(), value.end()))
            }
        }
    }
}

/// Compiles a regex that matches only at the beginning of the text.
pub(super) fn anchored(text: &str) -> Result<Regex, regex::Error> {
    whole(text, false)
}

fn whole(text: &str, unicode: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!(r"\A(?:{text})")).unicode(unicode).size_limit(1 << 20).build()
}

/// Shortens a final group to its minimum, if it is the only one and consists of bytes of one set.
fn last(regex: &Hir) -> Option<(Hir, Value)> {
    let HirKind::Concat(parts) = regex.kind() else { return None };
    let (group, before) = parts.split_last()?;
    let HirKind::Capture(group) = group.kind() else { return None };
    let HirKind::Repetition(bytes) = group.sub.kind() else { return None };
    let HirKind::Class(class @ Class::Bytes(_)) = bytes.sub.kind() else { return None };
    if regex.properties().explicit_captures_len() != 1 || !bytes.greedy || bytes.min == 0 {
        return None;
    }
    let mut set = Bytes::default();
    put_class(&mut set, class);
    let more = usize::try_from(bytes.max? - bytes.min).ok()?;
    let least = Repetition { max: Some(bytes.min), ..bytes.clone() };
    let value = Value::Last { least: usize::try_from(bytes.min).ok()?, more, set };
    Some((Hir::concat(before.iter().cloned().chain([Hir::repetition(least)]).collect()), value))
}

/// Maximum length of a name before a password, in bytes.
const NAME: usize = 40;

/// Length of a password, in bytes.
const SPOKEN: std::ops::RangeInclusive<usize> = 7..=41;

/// Maximum number of punctuation marks of the sentence after a password.
const BEHIND: usize = 3;

/// Returns the range of the password in a stretch, without the name before it and the dash or colon between them
/// (`@secret`).
fn spoken(text: &[u8]) -> Option<(usize, usize)> {
    let space = |byte: u8| matches!(byte, b'\t'..=b'\r' | b' ');
    let stays = |byte: &&u8| {
        !(space(**byte)
            || **byte >= 0x80
            || matches!(
                byte,
                b'"' | b'\''
                    | b'`'
                    | b'<'
                    | b'>'
                    | b'|'
                    | b';'
                    | b','
                    | b'('
                    | b')'
                    | b'['
                    | b']'
                    | b'{'
                    | b'}'
            ))
    };
    let longest = NAME + SPOKEN.end() + BEHIND + 4;
    let length = text.iter().take(longest).take_while(stays).count();
    let ends = |byte: u8| {
        space(byte)
            || byte >= 0x80
            || matches!(byte, b'"' | b'\'' | b'`' | b')' | b']' | b'|' | b';' | b',' | b'<')
    };
    if text.get(length).is_some_and(|byte| !ends(*byte)) {
        return None;
    }
    let all = text.get(..length)?;
    let behind = |byte: &u8| matches!(byte, b'.' | b':' | b'?' | b'*');
    let fits = |from: usize| {
        let ends = (0..=BEHIND).filter_map(|back| length.checked_sub(back));
        let mut ends = ends.take_while(|end| all.get(*end).is_none_or(|byte| behind(byte) || *byte == b'!'));
        ends.find(|end| {
            end.checked_sub(from).is_some_and(|length| SPOKEN.contains(&length))
                && all.get(end - 1).is_some_and(|byte| !behind(byte))
        })
    };
    let stars = all.iter().take(2).take_while(|byte| **byte == b'*').count();
    for from in (0..=stars).rev() {
        let rest = all.get(from..).unwrap_or_default();
        let named =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'\\' | b'-');
        let name = rest.iter().take(NAME).take_while(named).count();
        let behind = rest.get(name).filter(|byte| matches!(byte, b':' | b'/' | b'='));
        for from in [behind.map(|_| from + name + 1), Some(from)].into_iter().flatten() {
            if let Some(end) = fits(from) {
                return Some((from, end));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::table::{in_full, load},
        *,
    };

    fn by_group(regex: &Regex, text: &[u8]) -> Option<(usize, usize)> {
        let groups = regex.captures(text)?;
        groups.iter().skip(1).flatten().next().map(|value| (value.start(), value.end()))
    }

    proptest! {
        #[test]
        fn a_stretch_is_read_as_its_regex_says(
            text in r#"[*]{0,3}([Aa1.@:/=-]{0,42}[:/=])?[a1!:.*?-]{4,44}[.:?!*]{0,5}[ "é>]?"#,
            short in r#"[*:a.!?= "|>\n\x0b-]{0,14}"#,
        ) {
            let regex = anchored(&in_full("@secret")).unwrap();
            for text in [text.as_bytes(), short.as_bytes()] {
                prop_assert_eq!(spoken(text), by_group(&regex, text));
            }
        }

        #[test]
        fn a_value_that_ends_its_regex_is_where_the_group_would_be(text in "[ab]{0,3}(x|xab|is )[a-c]{0,9}") {
            for regex in ["[ab]{0,2}?(?:x|x?ab|is )([ab]{2,4})", "[a-z]{0,9}?([a-c]{1,3})", "(?:ab|[abx]*)([bc]{2})"] {
                let (shorter, value) = last(&needs::read(regex).unwrap()).unwrap();
                let matcher = Matcher {
                    regex: whole(&shorter.to_string(), true).unwrap(),
                    value,
                    begins: Begins::of(&needs::read(regex).unwrap()),
                    needs: Vec::new(),
                };
                let groups = anchored(regex).unwrap();
                prop_assert_eq!(matcher.value(text.as_bytes()), by_group(&groups, text.as_bytes()), "{}", regex);
            }
        }
    }

    #[test]
    fn rows_find_their_values_where_their_groups_are() {
        let (mut by_hand, mut samples) = (0, 0);
        for pattern in load().unwrap() {
            let matcher = pattern.matcher().unwrap();
            if !matches!(matcher.value, Value::Last { .. } | Value::Spoken) {
                continue;
            }
            by_hand += 1;
            let regex = anchored(&pattern.written_out()).unwrap();
            for text in pattern.row.yes.iter().chain(&pattern.row.no) {
                let text = super::super::normalize::fold(text);
                for at in 0..text.bytes().len() {
                    let rest = text.bytes().get(at..).unwrap();
                    assert_eq!(matcher.value(rest), by_group(&regex, rest), "{} {rest:?}", pattern.row.id);
                    samples += 1;
                }
            }
        }
        assert!(by_hand >= 30 && samples > 4000, "{by_hand} {samples}");
    }
}

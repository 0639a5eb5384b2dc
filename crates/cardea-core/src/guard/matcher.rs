//! A row's regex, and how the value is read where it matches.
//!
//! WHY: a regex finds the end of a match fast, but walks step by step for the place of a group, ten times slower. So a group
//! that ends the regex and is bytes of one set is read by hand, and so is a whole stretch.

use regex::bytes::{Captures, Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::{
    begins::{Begins, put_class},
    bytes::Bytes,
    needs,
};

/// A row's regex with what is known of its matches.
pub(super) struct Matcher {
    regex: Regex,
    value: Value,
    /// With what a match can begin.
    pub(super) begins: Begins,
    /// Of each of these sets each finding has at least one byte.
    pub(super) needs: Vec<Bytes>,
}

/// Bytes of the longest letter.
const LETTER: usize = 4;

/// What of a match its row reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Match,
    /// The first group, where there is one.
    Group,
    /// The password in a stretch: what `@secret` says.
    Password,
}

/// Where the value stands in a match.
enum Value {
    Whole,
    /// The first group.
    Group,
    /// So many bytes at its end, and at most so many more of a set behind it.
    Last {
        least: usize,
        more: usize,
        set: Bytes,
    },
    /// As [`spoken`] reads it.
    Spoken,
}

impl Matcher {
    /// Nothing if the regex is broken.
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

    /// True if a match begins where the text begins.
    #[cfg(test)]
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.value(text).is_some()
    }

    /// The value's place, if a match begins where the text begins.
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
                // WHY: most do not match, and this tells without memory for groups. What stands farther on than a match
                // and the letter behind it is not looked at again.
                let end = self.regex.find(text)?.end();
                let near = text.get(..end + LETTER).unwrap_or(text);
                // INVARIANT: a match that ends there saw all that it looked at.
                let same = |groups: &Captures<'_>| groups.get_match().end() == end;
                let groups = self.regex.captures(near).filter(same).or_else(|| self.regex.captures(text))?;
                let value = groups.iter().skip(1).flatten().next()?;
                Some((value.start(), value.end()))
            }
        }
    }
}

/// A regex that matches only where the text begins.
pub(super) fn anchored(text: &str) -> Result<Regex, regex::Error> {
    whole(text, false)
}

fn whole(text: &str, unicode: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!(r"\A(?:{text})")).unicode(unicode).size_limit(1 << 20).build()
}

/// The regex with as little as can be of the group that ends it, if that is its only one and made of bytes of one set.
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

/// Bytes of a name before a password.
const NAME: usize = 40;

/// Bytes of a password with its last one.
const SPOKEN: std::ops::RangeInclusive<usize> = 7..=41;

/// Signs of the sentence that may stand behind a password.
const BEHIND: usize = 3;

/// The password in a stretch, with the name before it and the stroke or colon between them left out: what `@secret` says.
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

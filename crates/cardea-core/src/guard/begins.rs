//! Bytes with which a match of a regex can begin. Most words that wake a row are not followed by a value, and a
//! comparison of a few bytes is much faster than a regex.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::bytes::Bytes;

/// Number of bytes that are compared.
const PLACES: u32 = 8;

/// A set of positions, as bits.
type Places = u16;

/// All positions that are not compared.
const FAR: Places = 1 << PLACES;

/// The possible bytes at each of the first positions of a match, up to the end of the shortest one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begins(Vec<Bytes>);

impl Begins {
    pub(super) fn of(regex: &Hir) -> Self {
        let mut sets = vec![Bytes::default(); PLACES as usize];
        let ends = take(&mut sets, regex, 1);
        sets.truncate(ends.trailing_zeros() as usize);
        Self(sets)
    }

    /// Returns whether the text, as far as it is present, can begin a match.
    pub(super) fn fit(&self, text: &[u8]) -> bool {
        self.0.iter().zip(text).all(|(set, byte)| set.has(*byte))
    }
}

/// Adds the bytes that this part can have if it begins at one of these positions. Returns the positions at which it can
/// end.
fn take(sets: &mut [Bytes], part: &Hir, from: Places) -> Places {
    if from & !FAR == 0 {
        return from;
    }
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => from,
        HirKind::Literal(literal) => {
            literal.0.iter().fold(from, |from, byte| put(sets, from, |set| set.add(*byte)))
        }
        HirKind::Class(class) => take_class(sets, class, from),
        HirKind::Repetition(repeated) => {
            let (mut now, mut ends) = (from, if repeated.min == 0 { from } else { 0 });
            for round in 1..=repeated.max.unwrap_or(u32::MAX) {
                let next = take(sets, &repeated.sub, now);
                ends |= if round >= repeated.min { next } else { 0 };
                if next == now {
                    // Further repetitions end at the same positions.
                    return ends | next;
                }
                now = next;
            }
            ends
        }
        HirKind::Capture(group) => take(sets, &group.sub, from),
        HirKind::Concat(parts) => parts.iter().fold(from, |from, part| take(sets, part, from)),
        HirKind::Alternation(parts) => parts.iter().fold(0, |ends, part| ends | take(sets, part, from)),
    }
}

/// Adds a byte at each of these positions. Returns the next positions.
fn put(sets: &mut [Bytes], places: Places, byte: impl Fn(&mut Bytes)) -> Places {
    let here = sets.iter_mut().enumerate().filter(|(place, _)| places >> place & 1 == 1);
    here.for_each(|(_, set)| byte(set));
    (places & !FAR) << 1 | places & FAR
}

/// Adds the bytes of one character of a class.
fn take_class(sets: &mut [Bytes], class: &Class, from: Places) -> Places {
    let mut first = Bytes::default();
    put_class(&mut first, class);
    let mut now = put(sets, from, |set| *set = set.or(first));
    let Class::Unicode(class) = class else { return now };
    let (shortest, longest) = (class.minimum_len().unwrap_or(1), class.maximum_len().unwrap_or(1));
    let mut ends = 0;
    for length in 1..=longest {
        ends |= if length >= shortest { now } else { 0 };
        now = put(sets, if length < longest { now } else { 0 }, |set| set.put(0x80, 0xbf));
    }
    ends
}

/// Adds the first bytes of the characters in a class.
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

/// Returns the first byte of a character in UTF-8. The first bytes of a range of characters are a range, too.
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
        let nir = Begins::of(&read(r"[12] \d{2,} (?u:[é-ë])x").unwrap());
        assert!(nir.fit("1 12 é".as_bytes()) && nir.fit(b"1 123") && nir.fit(b"1"));
        assert!(!nir.fit(b"1 1 1") && !nir.fit(b"1 123e"));
    }

    proptest! {
        #[test]
        fn what_cannot_begin_a_match_has_none(
            regex in r"(\(\?:|[ab]\??|\[a-c\]\*?|\\b|c\{0,2\}|\(\?:ab\?\)\{2,3\}|\(\?u:\[é-ë\]\)|\||\)){1,8}",
            text in "[abcdéz ]{0,6}",
        ) {
            // A surplus closing bracket would close the bracket of the anchor.
            let whole = RegexBuilder::new(&regex).build().is_ok();
            let regex = format!(r"\A(?:{regex})");
            if let Some(compiled) = RegexBuilder::new(&regex).unicode(false).build().ok().filter(|_| whole) {
                let begins = Begins::of(&read(&regex).unwrap());
                prop_assert!(begins.fit(text.as_bytes()) || !compiled.is_match(text.as_bytes()), "{} {}", regex, text);
            }
        }
    }
}

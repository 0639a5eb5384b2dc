//! How phrases of lists stand in a text: as whole words, with anything light between them.
//!
//! Between the words of a phrase may stand what parts words and says nothing: white space, line breaks, hyphens, marks of
//! emphasis, short tags. [`Loose`] is the text with each such run as one space. Scripts that set no spaces have no edges
//! of words, so a phrase is found wherever it stands in them.

use unicode_normalization::char::is_combining_mark;

/// Longest run between two words, and most that all runs of a phrase have beyond one byte for each.
pub(super) const MOST_GAP: usize = 12;

/// Longest tag of markup that parts two words.
const LONGEST_TAG: usize = 10;

/// Letters, digits, and the marks of scripts in which they are letters.
pub(super) fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || (c >= '\u{300}' && is_combining_mark(c))
}

/// Letters of scripts that set no spaces between words, and those of Korean, which joins particles to them.
pub(super) const fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// True if a word may begin or end between the two.
pub(super) fn is_edge(a: Option<char>, b: Option<char>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    !is_letter(a) || !is_letter(b) || stands_alone(a) || stands_alone(b)
}

/// True if no word goes on beyond a phrase that was found here.
pub(super) fn is_whole(text: &str, from: usize, to: usize) -> bool {
    let beyond = |outside: Option<char>, inside: Option<char>| {
        // A sign at the edge of a phrase (`.net`, `C++`) stands for itself only where no word is joined to it.
        outside.is_none_or(|outside| {
            !is_letter(outside) || stands_alone(outside) || inside.is_some_and(stands_alone)
        })
    };
    let (head, phrase, rest) = (text.get(..from), text.get(from..to).unwrap_or_default(), text.get(to..));
    beyond(head.and_then(|head| head.chars().next_back()), phrase.chars().next())
        && beyond(rest.and_then(|rest| rest.chars().next()), phrase.chars().next_back())
}

/// A text with one space for each run of what may stand between words.
pub(super) struct Loose {
    bytes: Vec<u8>,
    /// For each byte, its place in the text.
    places: Vec<usize>,
}

impl Loose {
    pub(super) fn of(text: &str) -> Self {
        let text = text.as_bytes();
        let mut made = Self { bytes: Vec::with_capacity(text.len()), places: Vec::with_capacity(text.len()) };
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let length = gap(rest);
            let run = rest.get(..length.max(1)).unwrap_or_default();
            let digit = |place: Option<usize>| {
                place.and_then(|place| text.get(place)).is_some_and(u8::is_ascii_digit)
            };
            // WHY: `4.2` and `4-2` are not `4 2`.
            let spaced = run.iter().any(u8::is_ascii_whitespace);
            let number = !spaced && digit(at.checked_sub(1)) && digit(Some(at + run.len()));
            let parts = (1..=MOST_GAP).contains(&length) && !number;
            if parts {
                made.put(b' ', at);
            } else {
                run.iter().zip(at..).for_each(|(byte, place)| made.put(*byte, place));
            }
            at += run.len();
        }
        made
    }

    pub(super) fn text(&self) -> &str {
        // WHY: runs of ASCII have become spaces, so all others are whole.
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    fn put(&mut self, byte: u8, place: usize) {
        self.bytes.push(byte);
        self.places.push(place);
    }

    /// The range in the text that a range of this one stands for, if it ends with a byte of its own.
    pub(super) fn back(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        Some((*self.places.get(from)?, self.places.get(to.checked_sub(1)?)? + 1))
    }
}

/// The length of what may stand between two words at the beginning of a text.
fn gap(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(rest) = text.get(length..) {
        length += match rest {
            [b'<', ..] => tag(rest).unwrap_or(1),
            [b'\\', b'n' | b't' | b'r', ..] => 2,
            // The end of a sentence, or of a part of it, parts more than words.
            [b'.' | b',' | b':' | b';', next, ..] if !next.is_ascii_whitespace() => 1,
            [byte, ..] if byte.is_ascii_whitespace() || b"-_*~`'\"/|()[]{}>\\".contains(byte) => 1,
            _ => break,
        };
    }
    length
}

/// The length of a short tag without attributes.
fn tag(text: &[u8]) -> Option<usize> {
    let end = text.iter().take(LONGEST_TAG).position(|byte| *byte == b'>')?;
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b' ');
    text.get(1..end)?.iter().all(named).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_parts_words_and_says_nothing_is_one_space() {
        for (text, loose) in [
            ("Acme   Rockets", "Acme Rockets"),
            ("Acme\r\n\tRockets", "Acme Rockets"),
            ("**Acme** _Rockets_", " Acme Rockets "),
            ("Acme <b>Rockets</b>", "Acme Rockets "),
            ("Acme\\nRockets", "Acme Rockets"),
            ("Acme.Rockets, Acme-Rockets. Rockets", "Acme Rockets, Acme Rockets. Rockets"),
            ("4.2 and 4-2 and 4  2", "4.2 and 4-2 and 4 2"),
            ("a                    b", "a                    b"),
        ] {
            let made = Loose::of(text);
            assert_eq!(made.text(), loose, "{text}");
        }
        assert_eq!(Loose::of("ab -- c").back(0, 4), Some((0, 7)));
    }

    #[test]
    fn a_phrase_is_whole_where_no_word_goes_on() {
        let whole = |text: &str, phrase: &str| {
            text.match_indices(phrase).any(|(at, _)| is_whole(text, at, at + phrase.len()))
        };
        assert!(whole("«acme» 5", "acme") && whole("用acme火箭", "acme") && whole("我们的公司好", "公司"));
        assert!(!whole("acmes", "acme") && !whole("ключи", "ключ") && !whole("asp.net", ".net"));
        assert!(whole("นี่คือบริษัทของเรา", "บริษัท") && whole("회사는", "회사") && whole("a.net b", "a.net"));
        assert!(
            is_edge(None, Some('a')) && is_edge(Some('公'), Some('司')) && !is_edge(Some('a'), Some('b'))
        );
    }
}

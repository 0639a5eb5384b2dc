//! Matches phrases of lists as whole words, with light separators between them.
//!
//! Separators without meaning may be between the words of a phrase: white space, line breaks, hyphens, emphasis marks
//! and short tags. [`Loose`] is the text with each such run replaced by one space. Scripts without spaces have no word
//! boundaries, so a phrase matches anywhere in them.

use unicode_normalization::char::is_combining_mark;

/// Maximum length of a run of separators, and of all runs of a phrase beyond one byte for each, in bytes.
pub(super) const MOST_GAP: usize = 12;

/// Maximum length of a markup tag that separates two words, in bytes.
const LONGEST_TAG: usize = 10;

/// Returns whether a character is a letter, a digit, or a mark of a script in which marks are letters.
pub(super) fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || (c >= '\u{300}' && is_combining_mark(c))
}

/// Returns whether a character belongs to a script without spaces between words, or to Korean, where particles are
/// attached to words.
pub(super) const fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Returns whether a word may begin or end between two characters.
pub(super) fn is_edge(a: Option<char>, b: Option<char>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    !is_letter(a) || !is_letter(b) || stands_alone(a) || stands_alone(b)
}

/// Returns whether no word continues beyond this match.
pub(super) fn is_whole(text: &str, from: usize, to: usize) -> bool {
    let beyond = |outside: Option<char>, inside: Option<char>| {
        // A sign at the edge of a phrase (`.net`, `C++`) matches only if no word is attached to it.
        outside.is_none_or(|outside| {
            !is_letter(outside) || stands_alone(outside) || inside.is_some_and(stands_alone)
        })
    };
    let (head, phrase, rest) = (text.get(..from), text.get(from..to).unwrap_or_default(), text.get(to..));
    beyond(head.and_then(|head| head.chars().next_back()), phrase.chars().next())
        && beyond(rest.and_then(|rest| rest.chars().next()), phrase.chars().next_back())
}

/// A text with one space for each run of separators.
pub(super) struct Loose {
    bytes: Vec<u8>,
    /// For each byte, its offset in the original text.
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
        // WHY: only runs of ASCII were replaced, so all other characters are complete.
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    fn put(&mut self, byte: u8, place: usize) {
        self.bytes.push(byte);
        self.places.push(place);
    }

    /// Maps a range of this text to the original one. `None` if it does not end with a byte of its own.
    pub(super) fn back(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        Some((*self.places.get(from)?, self.places.get(to.checked_sub(1)?)? + 1))
    }
}

/// Returns the length of the separators at the beginning of a text.
fn gap(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(rest) = text.get(length..) {
        length += match rest {
            [b'<', ..] => tag(rest).unwrap_or(1),
            [b'\\', b'n' | b't' | b'r', ..] => 2,
            // The end of a sentence or a clause separates more than words.
            [b'.' | b',' | b':' | b';', next, ..] if !next.is_ascii_whitespace() => 1,
            [byte, ..] if byte.is_ascii_whitespace() || b"-_*~`'\"/|()[]{}>\\".contains(byte) => 1,
            _ => break,
        };
    }
    length
}

/// Returns the length of a short tag without attributes.
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

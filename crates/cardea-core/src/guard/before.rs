//! Finds where a value may begin that precedes the word that announces it: a name before its mailbox, an address before
//! its postal code. Each search reads a bounded number of bytes.

/// Search distance for a name or some words, in bytes.
const WORDS: usize = 64;

/// Search distance for the beginning of an address, in bytes.
const LINE: usize = 96;

/// Search distance for the beginning of a line, in bytes.
const CLAUSE: usize = 80;

/// Search distance for the beginning of a stretch, in bytes.
const STRETCH: usize = 64;

/// Number of words before the sign of a spelled-out address.
const SPELT: usize = 5;

/// Returns where a name may begin that ends at a position: after the last sign that no name contains.
pub(super) fn name(bytes: &[u8], hit: usize) -> usize {
    let before = bytes.get(hit.saturating_sub(WORDS)..hit).unwrap_or_default();
    let quoted = before.strip_suffix(b" ").unwrap_or(before).ends_with(b"\"");
    let stays = |byte: &&u8| match **byte {
        b'"' | b',' => quoted,
        byte => byte.is_ascii_alphabetic() || byte >= 0x80 || matches!(byte, b' ' | b'.' | b'\'' | b'-'),
    };
    let length = before.iter().rev().take_while(stays).count();
    let start = hit - length;
    if length == WORDS { whole_word(bytes, start, hit) } else { start }
}

/// Returns where a spelled-out address may begin that ends at a position: at most five words before, on the same line.
pub(super) fn words(bytes: &[u8], hit: usize) -> usize {
    let before = bytes.get(hit.saturating_sub(WORDS)..hit).unwrap_or_default();
    let (mut start, mut words) = (hit, 0);
    for (at, byte) in before.iter().enumerate().rev() {
        words += usize::from(*byte == b' ');
        if words > SPELT
            || !byte.is_ascii()
            || matches!(byte, b'\n' | b',' | b':' | b';' | b'"' | b'?' | b'!')
        {
            break;
        }
        start = hit - before.len() + at;
    }
    start
}

/// Returns the beginning of the line, or of a word close before the position.
pub(super) fn clause(bytes: &[u8], hit: usize) -> usize {
    let before = bytes.get(hit.saturating_sub(CLAUSE)..hit).unwrap_or_default();
    match before.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => hit - before.len() + at + 1,
        None if before.len() == CLAUSE => whole_word(bytes, hit - CLAUSE, hit),
        None => 0,
    }
}

/// The last result. A hostile text asks for it at every other byte of a stretch, and each request would search again.
#[derive(Default)]
pub(super) struct Stretches {
    place: usize,
    start: Option<usize>,
}

impl Stretches {
    /// Returns the beginning of the stretch around a position, if it is close before it and the stretch stands alone:
    /// after a space, or after a quote or bracket that is not part of code. Mailboxes are excluded. Positions must be
    /// requested in order.
    pub(super) fn start(&mut self, bytes: &[u8], place: usize) -> Option<usize> {
        let between = bytes.get(self.place..place).unwrap_or(b" ");
        if self.place == 0 || between.iter().any(ends_stretch) {
            self.start = stretch(bytes, place);
        }
        self.place = place;
        self.start.filter(|start| place < start + STRETCH)
    }
}

fn stretch(bytes: &[u8], place: usize) -> Option<usize> {
    let before = bytes.get(place.saturating_sub(STRETCH)..place)?;
    let length = before.iter().rev().take_while(|byte| !ends_stretch(byte)).count();
    let start = place - length;
    let behind = |back: usize| start.checked_sub(back).and_then(|at| bytes.get(at)).copied();
    let apart = |byte: u8| byte.is_ascii_whitespace() || byte >= 0x80;
    let by_itself = match behind(1) {
        None => true,
        Some(b'"' | b'\'' | b'`' | b'(' | b'[') => {
            behind(2).is_none_or(|byte| apart(byte) || matches!(byte, b':' | b'='))
        }
        // In normalized text these are also signs of other scripts.
        Some(b',' | b';') => behind(2).is_some_and(|byte| byte >= 0x80),
        Some(byte) => apart(byte),
    };
    // Only one that ends here: a truncated one may continue with any sign.
    let mailbox = || {
        let (mut at, mut dot) = (false, false);
        for byte in bytes.get(start..).unwrap_or_default().iter().take(STRETCH) {
            match byte {
                b'@' => at = true,
                b'.' => dot = true,
                b'!' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b':' | b'/' | b'=' => return false,
                byte if ends_stretch(byte) => return at && dot,
                _ => {}
            }
        }
        false
    };
    (by_itself && length < STRETCH && !mailbox()).then_some(start)
}

/// Returns whether a password in a sentence cannot contain this byte.
fn ends_stretch(byte: &u8) -> bool {
    byte.is_ascii_whitespace()
        || *byte >= 0x80
        || matches!(
            byte,
            b'"' | b'\'' | b'`' | b'<' | b'>' | b'|' | b';' | b',' | b'(' | b')' | b'[' | b']' | b'{' | b'}'
        )
}

/// Returns where the address before a postal code may begin, if a comma or a line end precedes the code.
pub(super) fn line(bytes: &[u8], code: usize) -> Option<usize> {
    let before = bytes.get(code.saturating_sub(LINE)..code)?;
    // WHY: few numbers follow a comma or begin a line, so nearly all numbers that wake a row end here.
    if !matches!(before, [.., b',' | b'\n' | b' ' | b'\t', b' '] | [.., b',' | b'\n' | b'\t']) {
        return None;
    }
    // The second line of a list or a receipt may be indented far.
    let bare = before.trim_ascii_end();
    let after = before.get(bare.len()..)?;
    let end = match after.iter().filter(|byte| **byte == b'\n').count() {
        1 => bare.len(),
        0 if bare.ends_with(b",") && after.len() <= 1 => bare.len() - 1,
        _ => return None,
    };
    let from = bare.get(..end)?.iter().rposition(ends_field).map_or(0, |at| at + 1);
    let start = code - before.len() + from;
    let start = if from == 0 && before.len() == LINE { whole_word(bytes, start, code) } else { start };
    Some(start + bytes.get(start..code)?.iter().take_while(is_space).count())
}

/// Returns where text on the same line before a value may begin, after the sign of a field, if two capitalized words
/// directly precede the value: a name before a mailbox or a number.
pub(super) fn on_line(bytes: &[u8], hit: usize) -> Option<usize> {
    let before = bytes.get(hit.saturating_sub(LINE)..hit)?;
    // WHY: most mailboxes and numbers have no name before them, and a hostile text contains thousands of them in a row.
    let value = before.iter().rposition(|byte| matches!(byte, b' ' | b'('))?;
    let words = before.get(..value)?.trim_ascii_end();
    let last = words.last()?;
    if !last.is_ascii_alphabetic() && *last < 0x80 && !matches!(last, b',' | b'.' | b'-') {
        return None;
    }
    let from = before.iter().rposition(ends_field).map_or(0, |at| at + 1);
    let large = before.get(from..value)?.iter().filter(|byte| byte.is_ascii_uppercase() || **byte >= 0x80);
    if large.take(2).count() < 2 {
        return None;
    }
    let start = hit - before.len() + from;
    let start = if from == 0 && before.len() == LINE { whole_word(bytes, start, hit) } else { start };
    Some(start + bytes.get(start..hit)?.iter().take_while(is_space).count())
}

/// Returns whether no address or name contains this byte.
fn ends_field(byte: &u8) -> bool {
    matches!(byte, b'\n' | b':' | b';' | b'"' | b'|' | b'<' | b'>' | b'{' | b'}' | b'=')
}

fn is_space(byte: &&u8) -> bool {
    matches!(**byte, b' ' | b'\'' | b'\t')
}

/// Returns the first space from a position on: a limit on the length may be inside a letter or a word.
fn whole_word(bytes: &[u8], start: usize, end: usize) -> usize {
    let rest = bytes.get(start..end).unwrap_or_default();
    start + rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_begins_where_what_cannot_belong_to_it_ends() {
        let from = |text: &str, at: usize| text.get(at..).unwrap().to_owned();
        let mail = "at 09:14, Marcus Okafor <m@x>";
        assert_eq!(from(mail, name(mail.as_bytes(), 23)), " Marcus Okafor <m@x>");
        let quoted = "To: \"Roy, Ann\" <a@x>";
        assert_eq!(from(quoted, name(quoted.as_bytes(), 14)), " \"Roy, Ann\" <a@x>");
        let spelt = "so: write me under w dot ramsay at home";
        assert_eq!(from(spelt, words(spelt.as_bytes(), 31)), "write me under w dot ramsay at home");
        let place = "Home: Am Bach 3, 79098 Ulm";
        assert_eq!(line(place.as_bytes(), 17).map(|at| from(place, at)).unwrap(), "Am Bach 3, 79098 Ulm");
        assert_eq!(line(b"in 79098 Ulm", 3), None);
        let below = "Sold to: Odin Falk\r\n     17 Mill Lane";
        assert_eq!(
            line(below.as_bytes(), 25).map(|at| from(below, at)).unwrap(),
            "Odin Falk\r\n     17 Mill Lane"
        );
        assert_eq!(line(b"Odin Falk\n\n17 Mill Lane", 11), None);
        let contact = "cc: Odin Falk, o@x";
        assert_eq!(on_line(contact.as_bytes(), 16).map(|at| from(contact, at)).unwrap(), "Odin Falk, o@x");
        assert_eq!(on_line(b"write to o@x", 10), None);
        let long = "word ".repeat(40);
        assert!(from(&long, name(long.as_bytes(), 199)).starts_with(" word"));
    }
}

//! Where a value may begin that stands before the word that tells of it: a name before its mailbox, an address before its
//! postal code. Each walk looks back over a bounded number of bytes.

/// How far back a name or some words are looked for.
const WORDS: usize = 64;

/// How far back the beginning of an address is looked for.
const LINE: usize = 96;

/// Words before the sign of an address that is spelled out.
const SPELT: usize = 5;

/// Where a name that ends at a place may begin: behind the last sign that stands in no name.
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

/// Where an address may begin that is spelled out up to a place: at most five words before it, on the same line.
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

/// Where the address may begin that a postal code ends, if a comma or the end of a line stands before the code.
pub(super) fn line(bytes: &[u8], code: usize) -> Option<usize> {
    let before = bytes.get(code.saturating_sub(LINE)..code)?;
    let bare = before.strip_suffix(b" ").unwrap_or(before);
    // WHY: few numbers stand behind a comma, and nearly all that wake a row end here.
    let comma = bare.len().checked_sub(1).filter(|_| bare.ends_with(b",") || bare.ends_with(b"\n"))?;
    let stops =
        |byte: &u8| matches!(byte, b'\n' | b':' | b';' | b'"' | b'|' | b'<' | b'>' | b'{' | b'}' | b'=');
    let from = bare.get(..comma)?.iter().rposition(stops).map_or(0, |at| at + 1);
    let start = code - before.len() + from;
    let start = if from == 0 && before.len() == LINE { whole_word(bytes, start, code) } else { start };
    let space = |byte: &&u8| matches!(**byte, b' ' | b'\'' | b'\t');
    Some(start + bytes.get(start..code)?.iter().take_while(space).count())
}

/// The first space from a place on: what a longer stretch is cut to may begin inside a letter or a word.
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
        let long = "word ".repeat(40);
        assert!(from(&long, name(long.as_bytes(), 199)).starts_with(" word"));
    }
}

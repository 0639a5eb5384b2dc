//! Joins values that are divided: literals that code concatenates, values across line ends, and separated groups of
//! letters. The result is examined as a text of its own, with the words before it.
//!
//! Pieces may be far apart, so this runs on whole texts only, not on streams. The text before a value is repeated only
//! from the previous value on. So each byte is in at most one child of each kind (in two where the end of a value is
//! ambiguous), and a child has at most [`LONGEST`] bytes.

use memchr::memchr_iter;

use super::{
    decode::{Child, lead},
    normalize::View,
    stretch::Stretch,
};

/// Approximate maximum length of a joined value, in bytes.
const LONGEST: usize = 8 * 1024;

/// Maximum distance between two literals, in bytes.
const LONGEST_JOINT: usize = 64;

/// Returns all joined values of a text.
pub(super) fn of(view: &View<'_>) -> Vec<View<'static>> {
    let mut found = Vec::new();
    literals(view, &mut found);
    lines(view, &mut found);
    groups(view, &mut found);
    codes(view, &mut found);
    mailboxes(view, &mut found);
    numbers(view, &mut found);
    found
}

/// Returns reversed stretches of a text that announces them. A finding in one covers the whole stretch.
pub(super) fn backwards(view: &View<'_>) -> Vec<View<'static>> {
    let (bytes, mut found) = (view.bytes(), Vec::new());
    for Stretch { start, end, .. } in view.stretches().iter().copied() {
        let value = bytes.get(start..end).unwrap_or_default();
        if (FEWEST_LETTERS..=LONGEST).contains(&value.len()) && value.is_ascii() {
            let mut child = Child::default();
            value.iter().rev().for_each(|byte| child.put(*byte, start, end));
            found.extend(child.done(view));
        }
    }
    found
}

/// Returns whether a key may contain this byte.
const fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'.' | b'~' | b'%' | b':')
}

/// Returns the length of the joint between two literals at the beginning of the text: a closing quote, white space with
/// at most one operator, and an opening quote. `listed` returns whether a comma counts as an operator.
fn joint(text: &[u8], listed: impl Fn() -> bool) -> Option<usize> {
    let quote = *text.first().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
    let (mut at, mut signs) = (1, 0);
    while let Some(byte) = text.get(at).filter(|_| at < LONGEST_JOINT) {
        match byte {
            byte if *byte == quote => break,
            b' ' | b'\t' | b'\n' | b'\r' | b'\\' => {}
            b'+' | b'.' | b'&' | b'|' | b'~' | b'_' if signs < 2 => signs += 1,
            b',' if signs == 0 && listed() => signs += 1,
            // Prefixes of literals, as in `b"…" b"…"`.
            b'b' | b'f' | b'r' | b'u' | b'@' if text.get(at + 1) == Some(&quote) => {}
            _ => return None,
        }
        at += 1;
    }
    // Two adjacent quotes are an empty literal, or an escaped quote in SQL.
    (text.get(at) == Some(&quote) && at > 1).then_some(at + 1)
}

/// Minimum length of a joined value, in bytes.
const SHORTEST_JOINED: usize = 4;

/// Names of functions that join the elements of a list.
const JOINS: [&[u8]; 8] = [b"join", b"implode", b"concat", b"JOIN", b"CONCAT", b"reduce", b"Concat", b"Join"];

fn literals(view: &View<'_>, found: &mut Vec<View<'static>>) {
    let bytes = view.bytes();
    // Evaluated only at a list.
    let listed =
        std::cell::LazyCell::new(|| JOINS.iter().any(|name| memchr::memmem::find(bytes, name).is_some()));
    let mut end = 0;
    for at in memchr::memchr3_iter(b'"', b'\'', b'`', bytes) {
        let is_inside =
            |at: usize| at.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(|byte| is_key(*byte));
        let first = bytes.get(at..).and_then(|rest| joint(rest, || *listed));
        let Some(length) = first.filter(|_| at >= end && is_inside(at)) else { continue };
        let piece = bytes.get(end..at).unwrap_or_default();
        let start = at - piece.iter().rev().take(LONGEST).take_while(|byte| is_key(**byte)).count();
        let next = bytes.get(at + length..).unwrap_or_default();
        let over = next.iter().take(LONGEST).take_while(|byte| is_key(**byte)).count() + 1;
        if memchr::memchr(b'\n', bytes.get(at..at + length).unwrap_or_default()).is_some()
            && sets_cells_apart(start.checked_sub(2).and_then(|sign| bytes.get(sign)), next.get(over))
        {
            continue;
        }
        let mut child = Child::default();
        child.copy(bytes, lead(bytes, start).max(end), at);
        let head = child.text.len() - (at - start);
        end = at + length;
        while let Some(rest) = bytes.get(end..).filter(|_| child.text.len() < LONGEST) {
            let length = rest.iter().take(LONGEST).take_while(|byte| is_key(**byte)).count();
            child.copy(bytes, end, end + length);
            end += length;
            match bytes.get(end..).and_then(|rest| joint(rest, || *listed)) {
                Some(length) => end += length,
                None => break,
            }
        }
        // WHY: quoted table rows are such literals, too, and no value is shorter.
        if child.text.len() >= head + SHORTEST_JOINED {
            found.extend(child.done(view));
        }
    }
}

/// Returns whether the same sign is before a value and after the beginning of the next line, as between table cells.
fn sets_cells_apart(before: Option<&u8>, behind: Option<&u8>) -> bool {
    before.is_some_and(|sign| matches!(sign, b',' | b';' | b'\t' | b'|')) && before == behind
}

/// Maximum length. A longer run of lines is a block of data: a certificate, a picture.
const LONGEST_VALUE: usize = 2048;

/// Minimum length of the last stretch of a line that may continue in the next one.
const SHORTEST_HEAD: usize = 4;

/// Returns the length of a line end at the beginning of the text, including a continuation sign, and the marks and
/// white space at the beginning of the next line.
fn line_end(text: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(text, [b'\\' | b'^' | b'`', b'\n' | b'\r', ..]));
    let ends = text.get(sign..)?.iter().take(2).take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let marks = text
        .get(sign + ends..)?
        .iter()
        .take(16)
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'>' | b'|' | b'#' | b'*'));
    (ends > 0).then(|| sign + ends + marks.count())
}

/// Adds values that continue at the beginning of the next line, after any line mark.
fn lines(view: &View<'_>, found: &mut Vec<View<'static>>) {
    let bytes = view.bytes();
    let mut done = 0;
    for at in memchr_iter(b'\n', bytes) {
        let before = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at));
        let mut end = if before(1) == Some(&b'\r') { at - 1 } else { at };
        if end
            .checked_sub(1)
            .and_then(|at| bytes.get(at))
            .is_some_and(|byte| matches!(byte, b'\\' | b'^' | b'`'))
        {
            end -= 1;
        }
        if end <= done {
            continue;
        }
        let head = bytes.get(done..end).unwrap_or_default();
        let length = head.iter().rev().take(LONGEST).take_while(|byte| is_key(**byte)).count();
        let start = end - length;
        let is_broken = |from: usize, end: usize| {
            let gap = bytes.get(end..).and_then(line_end)?;
            let rest = bytes.get(end + gap..)?;
            let length = rest.iter().take(LONGEST).take_while(|byte| is_key(**byte)).count();
            let (head, tail) = (bytes.get(from..end)?, rest.get(..length)?);
            let cell = from == start
                && sets_cells_apart(start.checked_sub(1).and_then(|sign| bytes.get(sign)), rest.get(length));
            let cut = looks_cut(head) && looks_cut(tail) && !is_next_setting(head, tail) && !cell;
            (cut && (is_mixed(head) || is_mixed(tail))).then_some((end + gap, end + gap + length))
        };
        if length < SHORTEST_HEAD {
            continue;
        }
        let (mut child, mut piece, mut shorter) = (Child::default(), start, None);
        while let Some((from, to)) = is_broken(piece, end).filter(|_| child.text.len() < LONGEST) {
            if child.text.is_empty() {
                child.copy(bytes, lead(bytes, start).max(done), end);
            } else {
                shorter = Some(child.text.len());
            }
            child.copy(bytes, from, to);
            (piece, end) = (from, to);
        }
        if !child.text.is_empty() {
            done = end;
            let whole = Some(child).filter(|child| child.text.len() <= LONGEST_VALUE);
            // WHY: the text after the last piece may be a word of the next sentence.
            let word = bytes.get(piece..end).is_some_and(|last| !is_mixed(last));
            let less = whole.as_ref().zip(shorter.filter(|_| word)).map(|(child, end)| child.until(end));
            found.extend(less.into_iter().chain(whole).filter_map(|child| child.done(view)));
        }
    }
}

/// Returns whether a stretch can be a piece of a value: not the end of a sentence or a name.
fn looks_cut(piece: &[u8]) -> bool {
    !piece.is_empty() && ![&b"."[..], b":", b"--"].iter().any(|end| piece.ends_with(end))
}

/// Returns whether the second stretch is a setting of its own: it follows a name without a value, or has a name in the
/// style of environment variables.
fn is_next_setting(head: &[u8], tail: &[u8]) -> bool {
    let named = || {
        let name = memchr::memchr(b'=', tail).and_then(|at| tail.get(..at)).unwrap_or_default();
        name.len() > 2 && !name.iter().any(u8::is_ascii_lowercase) && head.contains(&b'=')
    };
    is_setting(tail) && (head.ends_with(b"=") || named())
}

/// Returns whether a piece is a name with an equals sign, usually with a value. After a name without one it is the next
/// setting.
fn is_setting(piece: &[u8]) -> bool {
    let Some((name, value)) = memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) else {
        return false;
    };
    let large = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    !value.iter().all(|byte| *byte == b'=') || (name.contains(&b'_') && name.iter().all(large))
}

/// Returns whether digits and letters, or small and capital letters, are adjacent as they are not in words.
fn is_mixed(piece: &[u8]) -> bool {
    let rises = |pair: &[u8]| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase());
    let digits = piece.iter().any(u8::is_ascii_digit) && piece.iter().any(u8::is_ascii_alphabetic);
    digits || piece.windows(2).any(rises)
}

/// Returns whether a mailbox may contain this byte.
const fn is_mailbox(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

/// Adds mailboxes with a line end next to the at sign, or after a sign that does not end a word.
fn mailboxes(view: &View<'_>, found: &mut Vec<View<'static>>) {
    let bytes = view.bytes();
    let back = |to: usize| bytes.get(..to).unwrap_or_default().iter().rev().take(64);
    let head = |to: usize| back(to).take_while(|byte| is_mailbox(**byte)).count();
    let tail = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        let length = rest.iter().take(64).take_while(|byte| is_mailbox(**byte)).count();
        let name = rest.get(..length).unwrap_or_default();
        let dots = name.iter().rposition(|byte| *byte == b'.');
        // The last part of a domain has letters; a full stop after it ends the sentence.
        dots.is_some_and(|dot| dot > 0 && (dot + 1 == length || length - dot > 2)).then_some(length)
    };
    let mut done = 0;
    for at in memchr_iter(b'@', bytes) {
        let after = bytes.get(at + 1..).and_then(line_end);
        let before =
            back(at).take_while(|byte| matches!(byte, b' ' | b'\t' | b'>' | b'|' | b'\n' | b'\r')).count();
        let mut child = Child::default();
        if let (Some(gap), 1..) = (after, head(at)) {
            let Some(length) = tail(at + 1 + gap) else { continue };
            child.copy(bytes, lead(bytes, at - head(at)).max(done), at + 1);
            child.copy(bytes, at + 1 + gap, at + 1 + gap + length);
            done = at + 1;
        } else {
            // Either the at sign begins the line, or the text before it does.
            let start = at - head(at);
            let breaks = if start == at {
                before
            } else {
                back(start)
                    .take_while(|byte| matches!(byte, b' ' | b'\t' | b'>' | b'|' | b'\n' | b'\r'))
                    .count()
            };
            let end = start - breaks;
            let over = bytes.get(end..).and_then(line_end) == Some(breaks) && breaks > 0;
            let cut = start == at
                || bytes
                    .get(..end)
                    .is_some_and(|head| head.ends_with(b"_") || head.ends_with(b"+") || head.ends_with(b"-"));
            let (Some(length), 2.., true) = (tail(at + 1), head(end), over && cut) else { continue };
            child.copy(bytes, lead(bytes, end - head(end)).max(done), end);
            child.copy(bytes, start, at + 1 + length);
            done = at + 1;
        }
        found.extend(child.done(view));
    }
}

/// Adds numbers in groups that continue in the next line, with the label before their first group.
fn numbers(view: &View<'_>, found: &mut Vec<View<'static>>) {
    let bytes = view.bytes();
    let is_group = |byte: &&u8| byte.is_ascii_digit() || matches!(**byte, b' ' | b'-' | b'.');
    let digits = |piece: &[u8]| piece.iter().filter(|byte| byte.is_ascii_digit()).count();
    let mut done = 0;
    for at in memchr_iter(b'\n', bytes) {
        let head = bytes.get(at.saturating_sub(48)..at).unwrap_or_default();
        let bare = head.strip_suffix(b"\r").unwrap_or(head);
        let bare = bare.strip_suffix(b" ").unwrap_or(bare);
        if !bare.ends_with(b"-") && !bare.ends_with(b".") && !bare.last().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let length = bare.iter().rev().take(24).take_while(is_group).count();
        let (label, first) = bare.split_at_checked(bare.len() - length).unwrap_or_default();
        let gap = bytes.get(at..).and_then(line_end).unwrap_or(1);
        let rest = bytes.get(at + gap..).unwrap_or_default();
        let length = rest.iter().take(24).take_while(is_group).count();
        let (second, after) = rest.split_at_checked(length).unwrap_or_default();
        // A label on the same line, and no word of a new sentence after the number: table lines have neither.
        let labelled = first.starts_with(b" ")
            && label.last().is_some_and(|byte| {
                byte.is_ascii_alphabetic() || matches!(byte, b':' | b'#' | b'.' | 0x80..)
            });
        let ends = !after
            .first()
            .is_some_and(|byte| byte.is_ascii_uppercase() || matches!(byte, b':' | b'/' | b','));
        let (one, two) = (digits(first), digits(second));
        if !labelled
            || !ends
            || one < 2
            || two < 2
            || !(9..=20).contains(&(one + two))
            || !rest.first().is_some_and(u8::is_ascii_digit)
        {
            continue;
        }
        // A full stop at the end of the line ends a sentence, unless the number contains one before it.
        let dots = first.iter().filter(|byte| **byte == b'.').count();
        if first.ends_with(b".") && dots < 2 {
            continue;
        }
        let end = at - head.len() + bare.len();
        let put = |joint: &[u8]| {
            let mut child = Child::default();
            child.copy(bytes, lead(bytes, end - first.len()).max(done), end);
            joint.iter().for_each(|byte| child.put(*byte, end, end));
            child.copy(bytes, at + gap, at + gap + second.trim_ascii_end().len());
            child.done(view)
        };
        let single = |piece: &[u8]| piece.trim_ascii().iter().all(u8::is_ascii_digit);
        if !first.ends_with(b"-") && !first.ends_with(b".") {
            found.extend(put(b" "));
        }
        if !first.last().is_some_and(u8::is_ascii_digit) || (single(first) && single(second)) {
            found.extend(put(b""));
        }
        done = end;
    }
}

/// Maximum length of a group.
const LONGEST_GROUP: usize = 10;

/// Minimum number of groups in a value.
const FEWEST_GROUPS: usize = 4;

/// Minimum number of digits of a number with separated digits.
const FEWEST_DIGITS: usize = 9;

/// Minimum number of letters in all groups.
const FEWEST_LETTERS: usize = 16;

/// Adds groups of equal length, separated by the same signs: `ghp_ a1B2 c3D4`.
fn groups(view: &View<'_>, found: &mut Vec<View<'static>>) {
    let bytes = view.bytes();
    let (mut chain, mut joint) = (Vec::<Stretch>::new(), 0..0);
    for stretch in view.stretches().iter().copied() {
        let singles = chain.first().is_some_and(|first| first.len() == 1);
        if stretch.len() == 1 && !singles && is_sign(bytes, stretch) {
            // A sign between two groups belongs to the separator.
            continue;
        }
        if bytes.get(stretch.end - 1) == Some(&b':') {
            // A label.
            put_together(view, &chain, found);
            chain.clear();
            continue;
        }
        let size = chain.first().map_or(0, |first| first.len());
        // WHY: this is the case for most words of a sentence, and there is no chain to join.
        if chain.len() <= 1 && stretch.len() != size {
            chain.clear();
            chain.extend(Some(stretch).filter(|stretch| stretch.len() <= LONGEST_GROUP));
            continue;
        }
        let gap = chain.last().map(|last| last.end..stretch.start);
        let alike = gap.clone().is_some_and(|gap| {
            gap.len() <= 4 && (chain.len() == 1 || bytes.get(gap) == bytes.get(joint.clone()))
        });
        let goes_on = alike && stretch.len() <= size;
        if goes_on {
            joint = gap.clone().unwrap_or_default();
            chain.push(stretch);
            if stretch.len() == size {
                continue;
            }
        }
        put_together(view, &chain, found);
        // The stretch that ended this chain, or the group before it, may begin another one.
        let last = chain.last().copied().filter(|last| !goes_on && last.len() == stretch.len());
        chain.clear();
        if let (Some(last), Some(gap)) = (last, gap.filter(|gap| gap.len() <= 4)) {
            chain.push(last);
            joint = gap;
        }
        if stretch.len() <= LONGEST_GROUP {
            chain.push(stretch);
        }
    }
    put_together(view, &chain, found);
}

fn is_sign(bytes: &[u8], stretch: Stretch) -> bool {
    bytes.get(stretch.start).is_some_and(|byte| matches!(byte, b'-' | b'.' | b',' | b'|' | b'/' | b'*'))
}

/// Returns whether a group contains what no word does: a digit, or a capital letter after its beginning.
fn is_strange(group: &[u8]) -> bool {
    let digit = group.iter().any(|byte| byte.is_ascii_digit() || *byte == b'_');
    digit || group.iter().any(u8::is_ascii_lowercase) && group.iter().skip(1).any(u8::is_ascii_uppercase)
}

/// Adds the groups as one value, and again without the words at its ends that happen to have this length.
fn put_together(view: &View<'_>, chain: &[Stretch], found: &mut Vec<View<'static>>) {
    // WHY: words of a sentence often form such groups, mostly two or three.
    if chain.len() < FEWEST_GROUPS {
        return;
    }
    let letters: usize = chain.iter().map(|group| group.len()).sum();
    let bytes = view.bytes();
    // A number with separated digits needs fewer groups, since nothing else has this form.
    let is_digit = |group: &Stretch| bytes.get(group.start).is_some_and(u8::is_ascii_digit);
    let singles = chain.first().is_some_and(|first| first.len() == 1 && is_digit(first));
    let digits = if singles { chain.iter().filter(|group| is_digit(group)).count() } else { 0 };
    let fewest =
        if digits >= FEWEST_DIGITS && digits + 4 >= letters { FEWEST_DIGITS } else { FEWEST_LETTERS };
    let piece = |group: &Stretch| bytes.get(group.start..group.end).unwrap_or_default();
    let is_word = |group: &&Stretch| group.len() > 1 && piece(group).iter().all(u8::is_ascii_lowercase);
    let strange = || chain.iter().any(|group| is_strange(piece(group)));
    let plain = || chain.iter().all(|group| piece(group).iter().all(|byte| is_key(*byte)));
    if !(fewest..=LONGEST).contains(&letters) || !strange() || !plain() {
        return;
    }
    let first = chain.iter().take_while(is_word).count();
    let last = chain.len() - chain.iter().rev().take_while(is_word).count();
    let inner = chain.get(first..last).filter(|inner| inner.len() < chain.len());
    for groups in [Some(chain), inner].into_iter().flatten() {
        let Some(start) = groups.first().map(|first| first.start) else { continue };
        let mut child = Child::default();
        child.copy(bytes, lead(bytes, start), start);
        groups.iter().for_each(|group| child.copy(bytes, group.start, group.end));
        found.extend(child.done(view));
    }
}

/// Minimum number of consecutive letter codes.
const FEWEST_CODES: usize = 12;

/// Adds letters written as numbers: `0x41, 0x4b`, `41:4b`, `65, 75`.
fn codes(view: &View<'_>, found: &mut Vec<View<'static>>) {
    let bytes = view.bytes();
    let mut done = 0;
    // WHY: most texts have few such signs after a number, and the search for the signs is fast.
    for sign in memchr::memchr3_iter(b',', b':', b';', bytes).chain(memchr_iter(b'-', bytes)) {
        let before = bytes.get(done..sign).unwrap_or_default();
        let length = before
            .iter()
            .rev()
            .take(6)
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'\\')
            .count();
        let start = sign - length;
        if !(2..=4).contains(&length) || sign < done {
            continue;
        }
        for way in [Code::Marked, Code::Hex, Code::Decimal] {
            let (mut child, mut place) = (Child::default(), start);
            while let Some((byte, length)) = bytes.get(place..).and_then(|rest| way.letter(rest)) {
                child.put(byte, place, place + length);
                let end = place + length;
                let rest = bytes.get(end..).unwrap_or_default();
                let gap = rest
                    .iter()
                    .take(4)
                    .take_while(|byte| matches!(byte, b' ' | b',' | b':' | b'-' | b'\n' | b';'))
                    .count();
                place = end + gap;
                if gap == 0 {
                    break;
                }
            }
            if child.text.len() >= FEWEST_CODES {
                done = place;
                found.extend(child.done(view));
                break;
            }
        }
    }
}

/// Notation of a letter as a number.
#[derive(Clone, Copy)]
enum Code {
    Marked,
    Hex,
    Decimal,
}

impl Code {
    /// Returns the printable letter at the beginning of the text, and the length of its number.
    fn letter(self, text: &[u8]) -> Option<(u8, usize)> {
        let (head, radix) = match self {
            Self::Marked => (2, 16),
            Self::Hex => (0, 16),
            Self::Decimal => (0, 10),
        };
        if matches!(self, Self::Marked) && !matches!(text, [b'0' | b'\\', b'x' | b'X', ..]) {
            return None;
        }
        let digits = text.get(head..)?.iter().take(4).map_while(|byte| char::from(*byte).to_digit(radix));
        let (value, count) = digits.fold((0, 0), |(value, count), digit| (value * radix + digit, count + 1));
        let ends = text.get(head + count).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let byte = u8::try_from(value).ok().filter(|byte| (b' '..=b'~').contains(byte))?;
        let fits = if radix == 16 { count == 2 } else { (2..=3).contains(&count) };
        (ends && fits).then_some((byte, head + count))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::normalize::fold, *};

    fn read(text: &str) -> Vec<String> {
        of(&fold(text)).into_iter().map(|child| child.text.into_owned()).collect()
    }

    #[test]
    fn literals_that_code_joins_are_read_as_one() {
        assert_eq!(read("k = ('ab1'\n   'cd2'\n   'ef3')"), ["k = ('ab1cd2ef3"]);
        assert_eq!(read("k = \"ab1\"\n    + \"cd2\";"), ["k = \"ab1cd2"]);
        assert_eq!(read("k = [\"ab1\", \"cd2\"].join(\"\")"), ["k = [\"ab1cd2"]);
        assert!(read("k = [\"ab1\", \"cd2\"]").is_empty(), "a list is not put together by itself");
        assert!(read("k = ''; l = 'it''s'; m = \"\"").is_empty());
    }

    #[test]
    fn what_stands_before_joined_literals_is_read_once_however_many_there_are() {
        assert_eq!(
            read("a = \"ab1\" + \"cd2\"; pin = \"12\" + \"34\""),
            ["a = \"ab1cd2", "\"; pin = \"1234"]
        );
        for row in ["\"abc\";\"def\"\n", "\"a\",\"b\"\n", "k = 'ab1'\n'cd2'\n"] {
            let text = row.repeat(500);
            let all: usize = read(&text).iter().map(String::len).sum();
            assert!(all <= text.len(), "{row} {all} of {}", text.len());
        }
        assert!(read(&"\"abcd\",\"ef12\"\n".repeat(9)).is_empty(), "rows of a table are no values");
    }

    #[test]
    fn values_go_on_in_the_next_line_whatever_marks_it() {
        assert_eq!(
            read("> key: ab12\n> cd34\n> ef56\n> and more"),
            ["> key: ab12cd34ef56", "> key: ab12cd34ef56and"]
        );
        assert_eq!(read("key=ab12\\\ncd34 ok"), ["key=ab12cd34"]);
        assert_eq!(read("key ab12\r\ncd34\r\nef"), ["key ab12cd34", "key ab12cd34ef"]);
        assert!(read("the first line\nand the second one.\nThird").is_empty());
        assert!(read("ann,Ab1cd2\nbob,Ef3gh4\n").is_empty(), "the last cell of a row");
        assert_eq!(read("key:Ab1cd2\nEf3gh4,x").len(), 1);
    }

    #[test]
    fn mailboxes_and_numbers_go_on_in_the_next_line() {
        assert_eq!(
            read("mail me at ebba.n+news@\nfjord.example ok"),
            ["mail me at ebba.n+news@fjord.example"]
        );
        assert_eq!(read("mail ebba.norling\n@fjord.example."), ["mail ebba.norling@fjord.example."]);
        assert_eq!(read("mail ebba_\nnorling@fjord.example"), ["mail ebba_norling@fjord.example"]);
        assert_eq!(read("Aadhaar number 2726 2929\n1765"), ["Aadhaar number 2726 2929 1765"]);
        assert_eq!(read("CPF 111.444.\n777-35"), ["CPF 111.444.777-35"]);
        assert_eq!(read("pesel: 440514\n01359"), ["pesel: 440514 01359", "pesel: 44051401359"]);
        assert_eq!(read("no 2726-\r\n2929-1765, ok"), Vec::<String>::new());
        let many = read(&"ask ebba.norling@\nfjord.example\npesel: 440514\n01359\n".repeat(200));
        assert_eq!(many.iter().filter(|child| child.ends_with("ebba.norling@fjord.example")).count(), 200);
        assert_eq!(many.iter().filter(|child| child.ends_with("pesel: 44051401359")).count(), 200);
        for text in [
            "ask @\nhome",
            "the end.\nbob@fjord.example",
            "Ann,12345\n67890,Bob",
            "in 2024\n2025 Annual report",
            "a 12\n34",
        ] {
            assert!(read(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn letters_written_as_numbers_or_from_the_right_are_read_as_letters() {
        assert_eq!(read("x 61:62:63:64:65:66:67:68:69:6a:6b:6c y"), ["abcdefghijkl"]);
        assert_eq!(
            read("[0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c]"),
            ["abcdefghijkl"]
        );
        assert_eq!(read("97,98,99,100,101,102,103,104,105,106,107,108"), ["abcdefghijkl"]);
        assert!(read("12:30, 12:45 and 13:15 on 2024-05-01; 10, 20, 30").is_empty());
        let turned: Vec<String> = backwards(&fold("it is ponmlkjihgfedcba"))
            .into_iter()
            .map(|child| child.text.into_owned())
            .collect();
        assert_eq!(turned, ["abcdefghijklmnop"]);
    }

    #[test]
    fn groups_of_letters_are_put_together_and_words_are_not() {
        assert_eq!(read("key: ab12 cd34 ef56 gh78 i9"), ["key: ab12cd34ef56gh78i9"]);
        assert_eq!(read("key: ab12 - cd34 - ef56 - gh78 - i9"), ["key: ab12cd34ef56gh78i9"]);
        assert_eq!(read("k = a  1  b  2  c  3  d  4  e  5  f  6  g  7  h  8"), ["k = a1b2c3d4e5f6g7h8"]);
        assert_eq!(
            read("my key is ab12 cd34 ef56 gh78 that"),
            ["my key is ab12cd34ef56gh78that", "my key is ab12cd34ef56gh78"]
        );
        assert!(read("that this with from when then than them over some").is_empty());
        let view = fold("é: ab12 cd34 ef56 gh78");
        let child = of(&view).pop().unwrap();
        let at = child.text.find("gh78").unwrap();
        assert_eq!(child.back(at, at + 4), (19, 23));
    }
}

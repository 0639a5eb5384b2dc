//! Looks at one piece of a text: what a word wakes there, where the value would begin, and where it ends.
//!
//! INVARIANT: each row looks at a place once, and reads at most its reach from it.

use std::ops::Range;

use super::{
    before,
    blocks::Blocks,
    bytes::Bytes,
    label::{BACK, Label, Near, Says, is_inside_resource, tells_about},
    leak::{LONGEST_RUN, Leaks, NEAR, Piece, REACH, UNLESS_GAP},
    seen::Seen,
    table::{From, Matcher, Pattern},
    tried::{Tried, tried_at},
    verdict::{Action, Family},
    words::{LONGEST_TOLD, Word, is_after_escape, is_escape, is_hump},
};

/// Longest name before a value.
const LONGEST_NAME: usize = 64;

/// Most that may stand between a name and its value.
const LONGEST_JOINT: usize = 24;

/// The pairs of a hardware address, and the length of one with the sign behind it.
const PAIRS: usize = 6;
const PAIR: usize = 3;

/// The longest block, such as a private key, that is taken as one.
const LONGEST_BLOCK: usize = 16 * 1024;

/// True for bytes of which keys and addresses are made.
const fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'.' | b'~' | b'%')
}

/// Key bytes without the one that joins a name to its value.
const fn is_word_byte(byte: u8) -> bool {
    is_key_byte(byte) && byte != b'='
}

/// The walk over one piece.
pub(super) struct Scan<'a, 'v> {
    leaks: &'a Leaks,
    piece: &'a Piece<'v>,
    bytes: &'a [u8],
    seen: &'a mut Vec<Seen>,
    /// The first place at which more text could still change something.
    pub(super) open: usize,
    /// Words that tell of what stood before them, with their rows, in the order of their ends.
    pub(super) behind: Vec<(Range<usize>, u16)>,
    /// From where the last stretch was looked for, and its end.
    run: (usize, usize),
    /// A place, and where its line begins.
    clause: (usize, usize),
    /// A place, and where the word of key bytes around it begins.
    word: (usize, usize),
    stretches: before::Stretches,
    blocks: Blocks<'a>,
    /// Blocks around a word, and which of what rows ask for stands there.
    near: (Range<usize>, u64),
    tried: Tried,
}

impl<'a, 'v> Scan<'a, 'v> {
    pub(super) fn new(leaks: &'a Leaks, piece: &'a Piece<'v>, seen: &'a mut Vec<Seen>) -> Self {
        let bytes = piece.view.bytes();
        Self {
            leaks,
            piece,
            bytes,
            seen,
            open: bytes.len(),
            behind: Vec::new(),
            run: (0, 0),
            clause: (0, 0),
            word: (0, 0),
            stretches: before::Stretches::default(),
            blocks: Blocks::new(bytes),
            near: (0..0, 0),
            tried: Tried::new(leaks.patterns.len()),
        }
    }

    /// False if nothing of what the row asks for stands near a word. A few words wake dozens of rows each, and may stand
    /// at each place of a text.
    pub(super) fn may_wake(&mut self, row: u16, hit: Range<usize>) -> bool {
        let asked = self.leaks.asked.get(usize::from(row)).copied().unwrap_or(0);
        let far = hit.end + NEAR;
        // WHY: in a stream it may come yet, and the row says how much has to wait for it.
        if asked == 0 || (self.piece.pace.more && far >= self.bytes.len()) {
            return true;
        }
        let near = Blocks::whole(hit.start.saturating_sub(BACK)..far.min(self.bytes.len()));
        if self.near.0 != near {
            let here = self.blocks.of(near.clone());
            let given = |asks: &Vec<Bytes>| here.is_none_or(|here| asks.iter().all(|set| set.meets(&here)));
            let bits = (0..u64::BITS).zip(&self.leaks.asks).filter(|(_, asks)| given(asks));
            self.near = (near, bits.fold(0, |bits, (bit, _)| bits | 1 << bit));
        }
        self.near.1 >> asked & 1 == 1
    }

    /// A keyword of the row stands here.
    pub(super) fn woken(&mut self, row: u16, hit: Range<usize>, labels: &[Label]) {
        let Some(pattern) = self.leaks.patterns.get(usize::from(row)) else { return };
        let start = match pattern.from {
            From::Name => {
                return self.attempt(row, pattern, before::name(self.bytes, hit.start), pattern.row.alone);
            }
            From::Words => {
                return self.attempt(row, pattern, before::words(self.bytes, hit.start), pattern.row.alone);
            }
            From::Line => {
                let start = before::on_line(self.bytes, hit.start);
                return start.into_iter().for_each(|at| self.attempt(row, pattern, at, pattern.row.alone));
            }
            From::Clause => {
                // WHY: several rows read from there, and each would look back for it.
                if self.clause.0 != hit.start {
                    self.clause = (hit.start, before::clause(self.bytes, hit.start));
                }
                return self.attempt(row, pattern, self.clause.1, pattern.row.alone);
            }
            _ if !pattern.row.back => hit.start,
            _ => self.word_start(hit.start),
        };
        // A sign that parts an address ends what stands before it.
        let parts = matches!(self.bytes.get(start), Some(b'&' | b'?' | b'/' | b'-'));
        let touched =
            start.checked_sub(1).and_then(|at| self.bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        let hump = pattern.family == Family::Personal && is_hump(self.bytes, start);
        if touched && !parts && !hump && !pattern.named && !is_after_escape(self.bytes, start) {
            return;
        }
        let lately = labels.iter().rev().take_while(|label| label.end + UNLESS_GAP >= start);
        if !pattern.row.unless.is_empty()
            && lately.into_iter().any(|label| label.is_near(row, start, Says::Against))
        {
            return;
        }
        if pattern.from == From::After {
            self.leave_open(start, hit.end);
            return self.attempt(row, pattern, hit.end, pattern.row.alone);
        }
        self.attempt(row, pattern, start, pattern.row.alone);
    }

    /// The beginning of the word of key bytes around a place.
    fn word_start(&mut self, hit: usize) -> usize {
        // WHY: several rows read from there, and each would look back for it.
        if self.word.0 != hit {
            self.word = (hit, self.look_back(hit));
        }
        self.word.1
    }

    /// The same, looked for at most [`BACK`] bytes back.
    fn look_back(&self, hit: usize) -> usize {
        let before = self.bytes.get(hit.saturating_sub(BACK)..hit).unwrap_or_default();
        let length = |text: &[u8]| text.iter().rev().take_while(|byte| is_word_byte(**byte)).count();
        let own = length(before);
        let own = own - usize::from(own > 0 && is_escape(self.bytes, hit - own));
        // The apostrophe inside a name, as in `o'brien@…`: letters stand before it, not the space before a quote.
        let rest = before.get(..before.len() - own).and_then(|rest| rest.strip_suffix(b"'"));
        let more = rest.filter(|_| self.bytes.get(hit) == Some(&b'@')).map_or(0, length);
        if more > 0 { hit - own - 1 - more } else { hit - own }
    }

    /// A word with a digit.
    pub(super) fn word(&mut self, word: &Word, near: &Near<'_>) {
        let leaks = self.leaks;
        let before = word.start.checked_sub(1).and_then(|at| self.bytes.get(at)).copied();
        if word.length <= 4 && before == word.next && matches!(word.next, Some(b':' | b'.')) {
            // In the middle of a chain of short groups: whatever this is began earlier.
            return;
        }
        if word.length == PAIR - 1
            && before == Some(b'-')
            && word.next == before
            && self.is_in_chain(word.start)
        {
            return;
        }
        let fits = |row: u16| {
            let waking = leaks.waking.get(usize::from(row)).and_then(Option::as_ref);
            waking.is_some_and(|waking| waking.fits(word) && waking.begins(word.first))
        };
        for row in leaks.alone.of(word) {
            // INVARIANT: it fits, but for the length of a long word.
            if word.length > LONGEST_TOLD && !fits(row) {
                continue;
            }
            let [labelled, against] = near.say(row, word.start);
            if against {
                continue;
            }
            let Some(pattern) = leaks.patterns.get(usize::from(row)) else { continue };
            if pattern.row.lone && self.is_part(word.start) {
                continue;
            }
            let confidence = if labelled { pattern.row.labelled } else { pattern.row.alone };
            let start = match pattern.from {
                From::Line => before::line(self.bytes, word.start),
                From::Stretch => self.stretch(word.start),
                _ if pattern.row.back => Some(self.word_start(word.start)),
                _ => self.ahead(pattern, word.start),
            };
            let Some(start) = start else { continue };
            self.attempt(row, pattern, start, confidence);
        }
        for row in near.asked().iter().copied().filter(|row| fits(*row)) {
            let Some(pattern) = leaks.patterns.get(usize::from(row)) else { continue };
            self.labelled(row, pattern, word, near);
        }
    }

    /// True if as many pairs of hexadecimal digits as a hardware address has stand before, each with a stroke.
    fn is_in_chain(&self, start: usize) -> bool {
        let before = start.checked_sub(PAIRS * PAIR).and_then(|from| self.bytes.get(from..start));
        let pair =
            |pair: &[u8]| matches!(pair, [a, b, b'-'] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        before.is_some_and(|before| before.chunks(PAIR).all(pair))
    }

    /// Where the stretch begins that a word is in, if its looks can tell of it.
    fn stretch(&mut self, place: usize) -> Option<usize> {
        self.stretches.start(self.bytes, place).filter(|_| self.piece.is_written())
    }

    /// Where the regex of a row begins that reads from a few bytes before the word, at a word's beginning.
    fn ahead(&self, pattern: &Pattern, place: usize) -> Option<usize> {
        let start = place.checked_sub(pattern.row.tokens.as_ref().map_or(0, |tokens| tokens.ahead))?;
        let touched = |at: usize| self.bytes.get(at).is_some_and(|byte| is_key_byte(*byte));
        (start == place || start.checked_sub(1).is_none_or(|before| !touched(before))).then_some(start)
    }

    /// A word that wakes a row which speaks only beside a label. It is asked once, however many labels are near.
    fn labelled(&mut self, row: u16, pattern: &Pattern, word: &Word, near: &Near<'_>) {
        let start = match pattern.from {
            From::Stretch => self.stretch(word.start),
            _ if pattern.row.back => Some(self.word_start(word.start)),
            _ => Some(word.start),
        };
        let Some(start) = start else { return };
        // WHY: what lies farther inside a longer stretch is no value of its own: a picture, a certificate, an address.
        let inside =
            start.checked_sub(1).and_then(|at| self.bytes.get(at)).is_some_and(|at| is_word_byte(*at));
        if pattern.row.back && inside && word.start >= start + BACK {
            return;
        }
        let Some(looked) = self.tried.of(row) else { return };
        if std::mem::replace(&mut looked.asked, tried_at(start)) == tried_at(start) {
            return;
        }
        let bytes = self.bytes;
        let on_line = |label: &Label| {
            !pattern.row.same_line
                || !bytes.get(label.end..start).is_some_and(|between| between.contains(&b'\n'))
        };
        let says = |says: Says| near.says(row, start, says, on_line);
        let besides = pattern.row.besides.is_empty() || says(Says::Beside);
        if says(Says::For) && besides && !says(Says::Against) {
            self.attempt(row, pattern, start, pattern.row.labelled);
        }
    }

    /// True if what stands before makes this the tail of a decimal or of an id.
    fn is_part(&self, start: usize) -> bool {
        let before = |back: usize| start.checked_sub(back).and_then(|at| self.bytes.get(at));
        let decimal = before(1) == Some(&b'.') && before(2).is_some_and(u8::is_ascii_digit);
        decimal || before(1) == Some(&b'_')
    }

    /// Runs one row's regex from one place.
    fn attempt(&mut self, row: u16, pattern: &Pattern, start: usize, confidence: f32) {
        if (pattern.row.untrusted && !self.piece.untrusted)
            || self.piece.only.is_some_and(|only| only != pattern.family)
        {
            return;
        }
        let Some(looked) = self.tried.of(row) else { return };
        if looked.place == tried_at(start) || looked.grown.contains(&tried_at(start)) {
            return;
        }
        looked.place = tried_at(start);
        let matcher = pattern.matcher();
        // WHY: what cannot begin here cannot with more text either, so a stream need not wait for it.
        let rest = self.bytes.get(start..).filter(|rest| !pattern.named && !rest.is_empty());
        if rest.is_some_and(|rest| matcher.is_some_and(|matcher| !matcher.begins.fit(rest))) {
            return;
        }
        let run_end = self.run_end(start);
        let end = match pattern.row.reach {
            0 => run_end.min(start + REACH),
            reach => start + reach,
        };
        let far = end.max(self.joined_end(pattern, run_end));
        self.leave_open(start, far);
        let Some(matcher) = matcher else {
            // A row that cannot look is a refusal, not a pass.
            return self.report(row, pattern, start..end.min(self.bytes.len()), (1.0, Some(Action::Refuse)));
        };
        let stop = end.max(far.min(start + 2 * REACH));
        let here = self.blocks.of(start..stop);
        let lacks = |here: Bytes| {
            matcher.needs.iter().any(|set| !set.meets(&here))
                || (matcher.letters > 0 && here.count(b'a', b'z') < matcher.letters)
        };
        if here.is_some_and(lacks) {
            return;
        }
        let bytes = self.bytes;
        let Some(from) = (if pattern.named { self.after_name(start) } else { Some(start) }) else { return };
        if pattern.named && self.is_name_again(pattern, from) {
            return;
        }
        let Some(slice) = bytes.get(from..end.min(bytes.len())) else { return };
        #[cfg(test)]
        work::add(slice.len());
        let direct = matched(pattern, matcher, slice).map(|(first, last)| (from + first, from + last));
        let broken = pattern.row.reach == 0 && far > end;
        let joined = if broken { self.joined((pattern, matcher), start, run_end, far) } else { None };
        let Some((from, mut to)) = joined.or(direct) else { return };
        if !pattern.row.behind.is_empty() && !self.is_told_behind(row, pattern, start, to) {
            return;
        }
        if pattern.row.grow || self.is_cut(pattern, from..to) {
            let rest = self.bytes.get(to..).unwrap_or_default();
            let more = rest.iter().take(LONGEST_RUN).take_while(|byte| is_key_byte(**byte)).count();
            #[cfg(test)]
            work::add(more);
            to += more;
            self.leave_open(start, to);
        }
        if !pattern.row.block.is_empty() {
            to = self.block_end(pattern.row.block.as_bytes(), start, to);
        }
        if let Some(looked) = self.tried.of(row).filter(|_| to > end.min(run_end)) {
            looked.grown = tried_at(start)..tried_at(to);
        }
        let from = if pattern.family == Family::Personal { self.with_bracket(from, to) } else { from };
        self.report(row, pattern, from..to, (confidence, None));
    }

    /// True if a word of the row stands shortly behind a value.
    fn is_told_behind(&mut self, row: u16, pattern: &Pattern, start: usize, to: usize) -> bool {
        let far = to + usize::from(pattern.row.gap);
        self.leave_open(start, far);
        let from = self.behind.partition_point(|(word, _)| word.end <= to);
        let near = self.behind.iter().skip(from).take_while(|(word, _)| word.end <= far);
        near.into_iter().any(|(word, of)| *of == row && word.start >= to)
    }

    /// True if a key ends in the middle of its letters and digits, because it is longer than its row expects: what is left
    /// of it would stand readable behind its placeholder.
    fn is_cut(&self, pattern: &Pattern, found: Range<usize>) -> bool {
        const SHORTEST: usize = 40;
        let goes_on = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
        pattern.family == Family::Credential
            && pattern.row.block.is_empty()
            && found.len() >= SHORTEST
            && goes_on(found.end - 1)
            && goes_on(found.end)
    }

    /// Where a value begins whose first bracket stands right before it: `(0117) 496 0018`.
    fn with_bracket(&self, from: usize, to: usize) -> usize {
        let value = self.bytes.get(from..to).unwrap_or_default();
        let closes = value.iter().find(|byte| matches!(**byte, b'(' | b')')) == Some(&b')');
        let before = from.checked_sub(1).filter(|at| self.bytes.get(*at) == Some(&b'('));
        before.filter(|_| closes).unwrap_or(from)
    }

    /// Where the value begins that belongs to the name at a place.
    fn after_name(&self, start: usize) -> Option<usize> {
        let rest = self.bytes.get(start..)?;
        let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let length = rest.iter().take(LONGEST_NAME).take_while(in_name).count();
        if !rest.get(length).is_some_and(|byte| b" \t=:\"'`)]<>,|".contains(byte))
            || rest.get(..length).is_some_and(tells_about)
        {
            return None;
        }
        if self.bytes.get(..start).is_some_and(is_inside_resource) {
            return None;
        }
        let joint = rest.get(length..rest.len().min(length + LONGEST_JOINT))?;
        Some(start + length + self.leaks.joint.find(joint)?.end())
    }

    /// True if what stands in the value's place is the name once more, with a value of its own.
    fn is_name_again(&self, pattern: &Pattern, from: usize) -> bool {
        let rest = self.bytes.get(from..).unwrap_or_default();
        pattern.row.keywords.iter().any(|name| {
            let head = rest.get(..name.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
                && rest.get(name.len()) == Some(&b'=')
        })
    }

    fn report(
        &mut self,
        row: u16,
        pattern: &Pattern,
        place: Range<usize>,
        (confidence, forced): (f32, Option<Action>),
    ) {
        let row = usize::from(row);
        let (Some(kind), Some(rule)) = (self.leaks.kinds.get(row), self.leaks.rules.get(row)) else { return };
        let (from, to) = self.piece.view.back(place.start, place.end);
        let (kind, rule, detector, rank) = (*kind, rule.clone(), self.piece.detector, pattern.row.rank);
        self.seen.push(Seen { kind, span: from..to, confidence, detector, rule, rank, forced });
    }

    /// Notes that what begins at `start` depends on the text up to `far`, if that is not all here.
    fn leave_open(&mut self, start: usize, far: usize) {
        if self.piece.pace.more && far >= self.bytes.len() {
            self.open = self.open.min(start);
        }
    }

    /// The end of a block: of the line with its marker, or else of what looks like its body.
    fn block_end(&mut self, marker: &[u8], start: usize, body: usize) -> usize {
        let bytes = self.bytes;
        let limit = (start + LONGEST_BLOCK).min(bytes.len());
        let text = bytes.get(body..limit).unwrap_or_default();
        #[cfg(test)]
        work::add(text.len());
        let line_end = |from: usize| {
            let rest = text.get(from..).unwrap_or_default();
            // A marker of dashes ends with dashes; any other with its line.
            let length = rest.iter().take(80).position(|byte| matches!(byte, b'\n' | b'\r' | b'"' | b'\''));
            length.unwrap_or(rest.len().min(80))
        };
        if let Some(at) = text.windows(marker.len()).position(|window| window == marker) {
            let end = body + at + line_end(at);
            self.leave_open(start, end);
            return end;
        }
        self.leave_open(start, start + LONGEST_BLOCK);
        let plain =
            |byte: &u8| is_key_byte(*byte) || matches!(byte, b'\n' | b'\r' | b'\\' | b':' | b',' | b' ');
        let length = text.iter().take_while(|byte| plain(byte)).count();
        body + text.get(..length).unwrap_or_default().trim_ascii_end().len()
    }

    /// The end of the stretch without white space around a place. Words that wake a row come in one walk and words with
    /// digits in another, so the place may lie before the last one.
    fn run_end(&mut self, start: usize) -> usize {
        let (first, last) = self.run;
        if !(first..last).contains(&start) {
            let (stop, end) =
                if start < first { (first, last) } else { (self.bytes.len(), self.bytes.len()) };
            let rest = self.bytes.get(start..stop).unwrap_or_default();
            let end = rest.iter().position(u8::is_ascii_whitespace).map_or(end, |length| start + length);
            self.run = (start, end);
        }
        self.run.1
    }

    /// Where the next line's first stretch ends, if a key could have been broken over the line's end.
    fn joined_end(&self, pattern: &Pattern, run_end: usize) -> usize {
        if pattern.row.reach > 0 || !matches!(self.bytes.get(run_end), Some(b'\n' | b'\r')) {
            return run_end;
        }
        let rest = self.bytes.get(run_end..).unwrap_or_default();
        let gap = rest.iter().take(8).take_while(|byte| byte.is_ascii_whitespace()).count();
        let next = rest.get(gap..).unwrap_or_default();
        let length = next.iter().take(REACH).take_while(|byte| is_key_byte(**byte)).count();
        run_end + gap + length
    }

    /// Tries the row on the stretch put together with the one on the next line.
    fn joined(
        &self,
        (pattern, matcher): (&Pattern, &Matcher),
        start: usize,
        run_end: usize,
        far: usize,
    ) -> Option<(usize, usize)> {
        let head = self.bytes.get(start..run_end)?;
        let tail = self.bytes.get(run_end..far)?.trim_ascii_start();
        let random = tail.len() >= 6
            && tail.iter().any(u8::is_ascii_digit)
            && tail.iter().any(u8::is_ascii_alphabetic)
            && head.len() + tail.len() <= REACH;
        if !random {
            return None;
        }
        #[cfg(test)]
        work::add(head.len() + tail.len());
        let whole = [head, tail].concat();
        let (from, to) = matched(pattern, matcher, &whole)?;
        // A match that ends on the first line is none of this.
        let over = to.checked_sub(head.len()).filter(|over| *over > 0)?;
        Some((start + from, far - tail.len() + over))
    }
}

/// The value's place in the slice, if the row's regex matches from its beginning and all checks agree.
fn matched(pattern: &Pattern, matcher: &Matcher, slice: &[u8]) -> Option<(usize, usize)> {
    if !matcher.begins.fit(slice) {
        return None;
    }
    let (from, mut to) = if matcher.groups {
        // WHY: most do not match, and this tells without memory for groups and at the earliest byte that can.
        if !matcher.regex.is_match(slice) {
            return None;
        }
        let groups = matcher.regex.captures(slice)?;
        let value = groups.iter().skip(1).flatten().next()?;
        (value.start(), value.end())
    } else {
        (0, matcher.regex.find(slice)?.end())
    };
    for _ in 0..if pattern.row.shrink { 4 } else { 1 } {
        let value = slice.get(from..to).filter(|value| !value.is_empty())?;
        if pattern.checks.iter().all(|check| check(value)) {
            return Some((from, to));
        }
        to = from + value.iter().rposition(|byte| matches!(byte, b' ' | b'-' | b'.' | b'/'))?;
    }
    None
}

/// Bytes that regexes and walks were given: what the test of linearity counts, since times lie on a busy machine.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local!(static BYTES: Cell<usize> = const { Cell::new(0) });

    pub(super) fn add(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// What was counted since the last time.
    pub(crate) fn take() -> usize {
        BYTES.replace(0)
    }
}

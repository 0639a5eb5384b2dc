//! Runs one row from one position: how far its regex reads, and where the value ends.

use std::ops::Range;

use super::{
    super::{
        bounds::{LONGEST_RUN, REACH},
        bytes::Bytes,
        label::{is_inside_resource, tells_about},
        matcher::Matcher,
        seen::Seen,
        table::Pattern,
        tried::tried_at,
        verdict::{Action, Family},
    },
    Scan,
    again::Outcome,
    is_key_byte,
};

/// Maximum length of a name before a value, in bytes.
const LONGEST_NAME: usize = 64;

/// Maximum length of the text between a name and its value, in bytes.
const LONGEST_JOINT: usize = 64;

/// Maximum length of a block, such as a private key, in bytes.
const LONGEST_BLOCK: usize = 16 * 1024;

impl Scan<'_, '_> {
    /// Runs a row's regex from one position.
    pub(super) fn attempt(&mut self, row: u16, pattern: &Pattern, start: usize, confidence: f32) {
        let outcome = self.look(row, pattern, start, confidence);
        self.again.note(row, start, confidence, outcome);
    }

    /// Does the same, and returns the result.
    pub(super) fn look(&mut self, row: u16, pattern: &Pattern, start: usize, confidence: f32) -> Outcome {
        if (pattern.row.untrusted && !self.piece.untrusted) || !self.piece.has(pattern.family) {
            return Outcome::Nothing;
        }
        if !pattern.row.behind.is_empty() && !self.may_be_told_behind(row, pattern, start) {
            return Outcome::Nothing;
        }
        let Some(looked) = self.tried.of(row) else { return Outcome::Nothing };
        if looked.grown.contains(&tried_at(start)) {
            return Outcome::Covered;
        }
        if looked.place == tried_at(start) {
            return Outcome::Nothing;
        }
        looked.place = tried_at(start);
        let matcher = pattern.matcher();
        // WHY: a value that cannot begin here cannot do so with more text either, so a stream need not wait.
        let rest = self.bytes.get(start..).filter(|rest| !pattern.named && !rest.is_empty());
        if rest.is_some_and(|rest| matcher.is_some_and(|matcher| !matcher.begins.fit(rest))) {
            return Outcome::Nothing;
        }
        let run_end = self.run_end(start);
        let end = match pattern.row.reach {
            0 => run_end.min(start + REACH),
            reach => start + reach,
        };
        let far = end.max(self.joined_end(pattern, run_end));
        self.leave_open(start, far);
        let Some(matcher) = matcher else {
            // A row that cannot be run is a refusal, not a pass.
            self.report(row, pattern, start..end.min(self.bytes.len()), (1.0, Some(Action::Refuse)));
            return Outcome::Unsure;
        };
        let stop = end.max(far.min(start + 2 * REACH));
        let here = self.blocks.of(start..stop);
        let lacks = |here: Bytes| {
            matcher.needs.iter().any(|set| !set.meets(&here))
                || (pattern.letters > 0 && here.count(b'a', b'z') < pattern.letters)
        };
        if here.is_some_and(lacks) {
            return Outcome::Nothing;
        }
        let bytes = self.bytes;
        let Some(from) = (if pattern.named { self.after_name(start) } else { Some(start) }) else {
            return Outcome::Nothing;
        };
        if pattern.named && self.is_name_again(pattern, from) {
            return Outcome::Nothing;
        }
        let Some(slice) = bytes.get(from..end.min(bytes.len())) else { return Outcome::Nothing };
        #[cfg(test)]
        super::work::add(slice.len());
        let direct = pattern.matched(matcher, slice).map(|(first, last)| (from + first, from + last));
        let broken = pattern.row.reach == 0 && far > end;
        let joined = if broken { self.joined((pattern, matcher), start, run_end, far) } else { None };
        let Some((from, mut to)) = joined.or(direct) else { return Outcome::Nothing };
        if !pattern.row.behind.is_empty() && !self.is_told_behind(row, pattern, start, to) {
            return Outcome::Nothing;
        }
        if pattern.row.grow || self.is_cut(pattern, from..to) {
            let rest = self.bytes.get(to..).unwrap_or_default();
            let more = rest.iter().take(LONGEST_RUN).take_while(|byte| is_key_byte(**byte)).count();
            #[cfg(test)]
            super::work::add(more);
            to += more;
            self.leave_open(start, to);
        }
        if !pattern.row.block.is_empty() {
            to = self.block_end(pattern.row.block.as_bytes(), start, to);
        }
        let covers = (to > end.min(run_end)).then_some(to);
        if let Some(to) = covers {
            self.grow(row, start..to);
        }
        let from = if pattern.family == Family::Personal { self.with_bracket(from, to) } else { from };
        self.report(row, pattern, from..to, (confidence, None));
        if pattern.row.block.is_empty() { Outcome::Found { from, to, covers } } else { Outcome::Unsure }
    }

    /// Records that the row's last finding covers a range.
    pub(super) fn grow(&mut self, row: u16, place: Range<usize>) {
        if let Some(looked) = self.tried.of(row) {
            looked.grown = tried_at(place.start)..tried_at(place.end);
        }
    }

    /// Returns false if none of the row's `behind` words is close enough after a value that begins here.
    fn may_be_told_behind(&self, row: u16, pattern: &Pattern, start: usize) -> bool {
        let far = start + pattern.row.reach + usize::from(pattern.row.gap);
        let from = self.behind.partition_point(|(word, _)| word.end <= start);
        let mut near = self.behind.iter().skip(from).take_while(|(word, _)| word.end <= far);
        // WHY: in a stream it may still follow.
        (self.piece.pace.more && far >= self.bytes.len()) || near.any(|(_, of)| *of == row)
    }

    /// Returns whether one of the row's `behind` words follows a value.
    fn is_told_behind(&mut self, row: u16, pattern: &Pattern, start: usize, to: usize) -> bool {
        let far = to + usize::from(pattern.row.gap);
        self.leave_open(start, far);
        let from = self.behind.partition_point(|(word, _)| word.end <= to);
        let near = self.behind.iter().skip(from).take_while(|(word, _)| word.end <= far);
        near.into_iter().any(|(word, of)| *of == row && word.start >= to)
    }

    /// Returns whether a key ends between letters and digits, because it is longer than its row expects. The rest of it
    /// would be readable after the placeholder.
    fn is_cut(&self, pattern: &Pattern, found: Range<usize>) -> bool {
        const SHORTEST: usize = 40;
        let goes_on = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
        pattern.family == Family::Credential
            && pattern.row.block.is_empty()
            && found.len() >= SHORTEST
            && goes_on(found.end - 1)
            && goes_on(found.end)
    }

    /// Returns the beginning of a value whose opening bracket directly precedes it: `(0117) 496 0018`.
    fn with_bracket(&self, from: usize, to: usize) -> usize {
        let value = self.bytes.get(from..to).unwrap_or_default();
        let closes = value.iter().find(|byte| matches!(**byte, b'(' | b')')) == Some(&b')');
        let before = from.checked_sub(1).filter(|at| self.bytes.get(*at) == Some(&b'('));
        before.filter(|_| closes).unwrap_or(from)
    }

    /// Returns the beginning of the value for the name at a position.
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

    /// Returns whether the text in the value's place is the name again, with a value of its own.
    fn is_name_again(&self, pattern: &Pattern, from: usize) -> bool {
        let rest = self.bytes.get(from..).unwrap_or_default();
        pattern.row.keywords.iter().any(|name| {
            let head = rest.get(..name.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
                && rest.get(name.len()) == Some(&b'=')
        })
    }

    pub(super) fn report(
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

    /// Records that the text from `start` on depends on the text up to `far`, if that is incomplete.
    pub(super) fn leave_open(&mut self, start: usize, far: usize) {
        if self.piece.pace.more && far >= self.bytes.len() {
            self.open = self.open.min(start);
        }
    }

    /// Returns the end of a block: the end of the line with its marker, or of what looks like its body.
    fn block_end(&mut self, marker: &[u8], start: usize, body: usize) -> usize {
        let bytes = self.bytes;
        let limit = (start + LONGEST_BLOCK).min(bytes.len());
        let text = bytes.get(body..limit).unwrap_or_default();
        #[cfg(test)]
        super::work::add(text.len());
        let line_end = |from: usize| {
            let rest = text.get(from..).unwrap_or_default();
            // A marker of hyphens ends with hyphens; any other one with its line.
            let length = rest.iter().take(80).position(|byte| matches!(byte, b'\n' | b'\r' | b'"' | b'\''));
            length.unwrap_or(rest.len().min(80))
        };
        if let Some(at) = text.windows(marker.len()).position(|window| window == marker) {
            let end = body + at + line_end(at);
            self.leave_open(start, end);
            return end;
        }
        self.leave_open(start, start + LONGEST_BLOCK);
        let plain = |byte: &u8| {
            is_key_byte(*byte) || matches!(byte, b'\n' | b'\r' | b'\\' | b':' | b',' | b' ' | b'>')
        };
        let length = text.iter().take_while(|byte| plain(byte)).count();
        body + text.get(..length).unwrap_or_default().trim_ascii_end().len()
    }

    /// Returns the end of the run without white space around a position. Words that wake a row and words with digits
    /// are handled in two passes, so the position may precede the last one.
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

    /// Returns the end of the next line's first run, if a key may continue across the line end.
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

    /// Runs the row on the run joined with the one on the next line.
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
        super::work::add(head.len() + tail.len());
        let whole = [head, tail].concat();
        let (from, to) = pattern.matched(matcher, &whole)?;
        // A match that ends on the first line does not need the second.
        let over = to.checked_sub(head.len()).filter(|over| *over > 0)?;
        Some((start + from, far - tail.len() + over))
    }
}

//! Divides rows into cells, by separators or in brackets.

use std::ops::Range;

use super::LONGEST_HEADER;

/// Maximum number of cells in a header that are longer than a name.
const MOST_LONG: usize = 1;

/// Iterator over the cells of a line, without quotes and spaces around them.
pub(super) struct Cells<'t> {
    line: &'t str,
    base: usize,
    sign: char,
    /// Start of the next cell; `None` after the last.
    from: Option<usize>,
    /// Whether a line end outside quotes ends the row.
    lines: bool,
    /// End of the row, and whether it was inside quotes.
    end: usize,
    open: bool,
}

impl<'t> Cells<'t> {
    pub(super) fn of(line: &'t str, base: usize, sign: char) -> Self {
        let cells = |line, base| Self { line, base, sign, from: Some(0), lines: false, end: 0, open: false };
        if sign != '|' {
            return cells(line, base);
        }
        let trimmed = line.trim_start();
        let begins = trimmed.strip_prefix('|').unwrap_or(trimmed);
        let ends = begins.trim_end();
        // A final bar ends the row if a bar begins it; otherwise an empty cell follows it.
        let whole =
            if begins.len() < trimmed.len() { ends.strip_suffix('|').unwrap_or(ends) } else { begins };
        cells(whole, base + line.len() - begins.len())
    }

    /// Does the same for a row whose quotes may contain line ends, and which other text may follow.
    pub(super) fn over_lines(text: &'t str, base: usize, sign: char) -> Self {
        Self { lines: true, ..Self::of(text, base, sign) }
    }

    /// Replaces `cells` by the cells of the line, up to one more than `count`. Returns whether the line ends inside
    /// quotes.
    pub(super) fn at_most(mut self, count: usize, cells: &mut Vec<Range<usize>>) -> bool {
        cells.clear();
        cells.extend(self.by_ref().take(count.saturating_add(1)));
        self.open
    }

    /// Does the same. Returns the end of the row, and whether it was outside quotes.
    pub(super) fn row(mut self, count: usize, cells: &mut Vec<Range<usize>>) -> (usize, bool) {
        cells.clear();
        cells.extend(self.by_ref().take(count.saturating_add(1)));
        (self.base + self.from.unwrap_or(self.end), !self.open && self.from.is_none())
    }

    /// Does the same for column names. Returns whether there are several and each is short enough.
    pub(super) fn names(self, cells: &mut Vec<Range<usize>>) -> bool {
        cells.clear();
        let mut long = 0;
        for cell in self {
            long += usize::from(cell.len() > LONGEST_HEADER);
            // WHY: a line of prose is not read to its end.
            if long > MOST_LONG {
                return false;
            }
            cells.push(cell);
        }
        cells.len() > 1
    }

    /// Returns the last cell, which ends here.
    fn last(&mut self, from: usize, to: usize) -> Range<usize> {
        (self.from, self.end) = (None, to);
        bare(self.line, from, to, self.base)
    }
}

impl Iterator for Cells<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let from = self.from?;
        let rest = self.line.get(from..)?;
        let (mut blank, mut quote, mut escaped) = (true, None, false);
        let mut signs = rest.char_indices().peekable();
        while let Some((at, c)) = signs.next() {
            match (quote, c) {
                (None, '"' | '\'') if blank => quote = Some(c),
                (Some(open), c) if c == open => {
                    let next = signs.peek().map(|(_, next)| *next);
                    if next == Some(open) {
                        // Two adjacent quotes are one inside the cell.
                        signs.next();
                    } else if !(escaped && next.is_some_and(|next| goes_on(next, self.sign))) {
                        quote = None;
                    }
                }
                (None, c) if c == self.sign => {
                    self.from = Some(from + at + c.len_utf8());
                    return Some(bare(self.line, from, from + at, self.base));
                }
                (None, '\n') if self.lines => return Some(self.last(from, from + at)),
                _ => {}
            }
            escaped = c == '\\';
            blank &= c.is_whitespace();
        }
        self.open = quote == Some('"');
        Some(self.last(from, self.line.len()))
    }
}

/// Returns false for a character after a cell. A backslash before a quote is then part of the cell, as at the end of a
/// path.
fn goes_on(next: char, sign: char) -> bool {
    next != sign && !matches!(next, ')' | '\n' | '\r')
}

fn bare(line: &str, from: usize, to: usize, base: usize) -> Range<usize> {
    let cell = line.get(from..to).unwrap_or_default();
    let dull = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '*' | '[' | ']');
    let start = from + cell.len() - cell.trim_start_matches(dull).len();
    let end = from + cell.trim_end_matches(dull).len();
    base + start..base + end.max(start)
}

/// Returns the range inside the next round brackets, which must open within this many bytes, or to the end of the text.
/// Quotes may contain brackets.
pub(super) fn brackets(text: &str, from: usize, within: usize) -> Option<Range<usize>> {
    let rest = text.as_bytes().get(from..)?;
    let open = rest.iter().take(within).position(|byte| *byte == b'(')? + 1;
    let body = rest.get(open..)?;
    let at = |place: usize| body.get(place).copied().map(char::from);
    let mut quoted = false;
    let end = memchr::memchr2_iter(b'\'', b')', body).find(|place| {
        if at(*place) == Some(')') {
            return !quoted;
        }
        let escaped = quoted && place.checked_sub(1).and_then(at) == Some('\\');
        quoted ^= !(escaped && at(place + 1).is_some_and(|next| goes_on(next, ',')));
        false
    });
    Some(from + open..from + open + end.unwrap_or(body.len()))
}

/// Returns false for most lines of prose, by a search for the first and last separator only. Markdown pads its cells
/// with spaces.
pub(super) fn may_be_header(line: &str, sign: char) -> bool {
    let short = |cell: usize| sign == '|' || cell <= LONGEST_HEADER + 8;
    let (first, last) = (line.find(sign), line.rfind(sign));
    first.is_some_and(short) && last.is_some_and(|last| short(line.len() - last))
}

/// Returns whether a text can precede the brackets of a row: the keyword, commas, white space.
pub(super) fn is_between_rows(gap: &str) -> bool {
    let mut words = gap.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let word = words
        .next()
        .is_none_or(|word| ["values", "value"].iter().any(|known| word.eq_ignore_ascii_case(known)));
    word && words.next().is_none() && !gap.contains(';')
}

/// Returns the range of the values that a `select` gives for column names, in a text in lower case: to the end of the
/// statement or of its line, or to `from`.
pub(super) fn selected(small: &str) -> Option<Range<usize>> {
    let behind = small.trim_start().strip_prefix("select ")?;
    let start = small.len() - behind.len();
    let line = behind.get(..memchr::memchr2(b';', b'\n', behind.as_bytes()).unwrap_or(behind.len()))?;
    Some(start..start + line.find(" from ").unwrap_or(line.len()))
}

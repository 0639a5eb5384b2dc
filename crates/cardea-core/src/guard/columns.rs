//! Tables: what stands above a column says what its cells are, however far below they stand.
//!
//! Rows of CSV and its kin, Markdown tables, and the lists of columns in SQL. Each cell under a telling name is read
//! again as `name: cell`, so that every row of the pattern table that knows the name as a label looks at the cell.

mod arrays;
mod cells;
mod made;

use std::ops::Range;

pub(super) use self::{
    arrays::{arrays, has_cells},
    made::Columns,
};
use self::{
    cells::{Cells, brackets, is_between_rows, may_be_header, selected},
    made::{Made, Reads},
};
use super::{
    check::Begun,
    headers::{Headers, LONGEST_HEADER, Labels},
    normalize::View,
};

/// A longer line names no columns.
const LONGEST_NAMES: usize = 8 * 1024;

/// So many times the length of a text is read once more where brackets do not fit.
const MOST_AGAIN: usize = 4;

/// More lines in a row that are no rows end a table.
const MOST_MISFITS: usize = 64;

/// Bytes in which brackets close, once so much of a text was read again.
const SHORT_ROW: usize = 256;

/// Of so many rows of a table it is asked whether they name columns anew.
const MOST_LOOKS: usize = 16;

/// One of them stands in each name of ASCII that tells of what lets somebody in.
static SECRETS: Begun<20> = Begun::new([
    b"pass",
    b"pw",
    b"kennwort",
    b"mdp",
    b"contrase",
    b"clave",
    b"senha",
    b"wachtwoord",
    b"haslo",
    b"losenord",
    b"adgangskode",
    b"salasana",
    b"heslo",
    b"sifre",
    b"parola",
    b"secret",
    b"token",
    b"api",
    b"access",
    b"pin",
]);

/// A row over several lines is no longer.
const LONGEST_ROW: usize = 8 * 1024;

/// How far behind the word for it a list of names begins, and its line ends behind it.
const LONGEST_HEAD: usize = 200;

/// Hands over the cells of all tables of a text under their labels, by portions of whole rows, and gives nothing if
/// their reader has had enough, or it is late. A table may run over any distance, so only whole texts are read for it.
pub(super) fn columns(
    view: &View<'_>,
    headers: &Headers,
    late: &dyn Fn() -> bool,
    reads: Reads<'_>,
) -> Option<()> {
    let text = view.text.as_ref();
    let mut made = Made::new(view, headers, late, reads);
    separated(text, &mut made)?;
    // Both have names of columns in brackets.
    if memchr::memchr(b'(', text.as_bytes()).is_some() {
        inserted(text, &mut made)?;
        copied(text, &mut made)?;
    }
    aliased(text, &mut made)?;
    made.hand_over()
}

/// What was said of a table before its rows.
struct Table {
    sign: char,
    labels: Labels,
    /// Its names stand without spaces between them.
    tight: bool,
    /// Lines in a row that are no rows of it.
    misfits: usize,
    /// Rows of it were read.
    has_rows: bool,
    /// Of so many it was asked whether they name columns anew.
    looked: usize,
}

impl Table {
    /// False for prose behind the rows, with as many commas.
    fn may_go_on(&self, line: &str) -> bool {
        self.misfits == 0 || !self.tight || is_tight(line, self.sign)
    }

    /// Takes in what a row names, if one of its names is of what lets somebody in: another table may begin right below. WHY
    /// beside the other names: a row may have such a word in a cell.
    fn rename(&mut self, made: &Made<'_, '_, '_>, line: &str, place: usize) {
        let none = line.is_ascii() && !SECRETS.stand_in(line.as_bytes());
        // WHY: most rows have a number, and a text may be made of rows that have such a word.
        if self.looked >= MOST_LOOKS || none || line.bytes().any(|byte| byte.is_ascii_digit()) {
            return;
        }
        self.looked += 1;
        let other = begun(made, line, place, &mut Vec::new());
        let fits =
            |other: &Self| other.sign == self.sign && other.labels.names.len() == self.labels.names.len();
        let Some(other) = other.filter(fits) else { return };
        if other.labels.secrets {
            self.labels.secrets = true;
            let named = self.labels.names.iter_mut().zip(other.labels.names);
            let told = named.filter(|(_, new)| !new.is_empty());
            told.for_each(|(label, new)| *label = new);
        }
    }
}

fn is_tight(line: &str, sign: char) -> bool {
    !line.split(sign).skip(1).all(|cell| cell.starts_with(' '))
}

/// Reads rows.
struct Rows<'t> {
    text: &'t str,
    cells: Vec<Range<usize>>,
    /// Up to here no row was found that goes over several lines.
    looked: usize,
}

impl Rows<'_> {
    /// Reads the row that begins with a line at a place, and gives its end, if it has as many cells as the table.
    fn read(&mut self, table: &Table, line: &str, place: usize) -> Option<usize> {
        let count = table.labels.names.len();
        let open = Cells::of(line, place, table.sign).at_most(count, &mut self.cells);
        let fits = self.cells.len() == count && table.may_go_on(line);
        // WHY not where the line is a row by itself: a sign for inches opens no text that swallows the rows below it.
        if open && !fits && self.cells.len() <= count && place >= self.looked && table.sign != '|' {
            let most = (place + LONGEST_ROW).min(self.text.len());
            let most = (place..=most).rev().find(|at| self.text.is_char_boundary(*at))?;
            let row = Cells::over_lines(self.text.get(place..most)?, place, table.sign);
            let (end, closed) = row.row(count, &mut self.cells);
            if closed && self.cells.len() == count {
                return Some(end);
            }
            // INVARIANT: no text is read a third time, however many quotes open in it.
            self.looked = end;
            Cells::of(line, place, table.sign).at_most(count, &mut self.cells);
        }
        fits.then_some(place + line.len())
    }
}

/// Tables whose cells are set apart by a sign: a header, and rows with as many cells. A line that is no such row, as a
/// comment or an empty one, ends no table; the names of another one behind it do.
fn separated(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let mut rows = Rows { text, cells: Vec::new(), looked: 0 };
    let (mut table, mut start, mut read): (Option<Table>, _, _) = (None, 0, 0);
    for line in text.split_inclusive('\n') {
        let place = start;
        start += line.len();
        if place < read {
            continue;
        }
        made.spend(line.len())?;
        let line = line.trim_end_matches(['\n', '\r']);
        if let Some(known) = &mut table {
            let bare = line.trim();
            if bare.contains("--")
                && bare.bytes().all(|byte| matches!(byte, b'|' | b'-' | b':' | b' ' | b'+'))
            {
                // In Markdown it stands below names: those of another table, whatever they say.
                if known.has_rows && bare.contains('|') && !bare.contains('+') {
                    table = None;
                }
                continue;
            }
            let other = (known.misfits > 0).then(|| begun(made, line, place, &mut rows.cells)).flatten();
            if other.is_some() {
                table = other;
                continue;
            }
            if let Some(end) = rows.read(known, line, place) {
                made.row(&known.labels, &rows.cells)?;
                known.rename(made, line, place);
                (known.misfits, known.has_rows, read) = (0, true, end);
                continue;
            }
            known.misfits += 1;
        }
        if table.as_ref().is_some_and(|known| known.misfits > MOST_MISFITS) {
            table = None;
        }
        table = begun(made, line, place, &mut rows.cells).or(table);
    }
    Some(())
}

/// The table that begins with this line.
fn begun(made: &Made<'_, '_, '_>, line: &str, place: usize, cells: &mut Vec<Range<usize>>) -> Option<Table> {
    for sign in [',', ';', '\t', '|'] {
        if line.len() > LONGEST_NAMES
            || !may_be_header(line, sign)
            || !Cells::of(line, place, sign).names(cells)
        {
            continue;
        }
        // Two strokes set names apart where one sets cells apart.
        if sign == '|' && line.trim_start().starts_with("||") && cells.iter().step_by(2).all(Range::is_empty)
        {
            cells.retain(|cell| !cell.is_empty());
        }
        if let Some(labels) = made.headers.labels(&made.view.text, cells) {
            return Some(Table {
                sign,
                labels,
                tight: is_tight(line, sign),
                misfits: 0,
                has_rows: false,
                looked: 0,
            });
        }
    }
    None
}

/// `INSERT INTO t (names) VALUES (cells), (cells)`, also with `REPLACE` or `MERGE`, or with `SELECT cells`.
fn inserted(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let (small, mut from, mut again) = (text.to_ascii_lowercase(), 0, 0);
    let all =
        |word: &'static str| memchr::memmem::find_iter(small.as_bytes(), word).map(|at| at..at + word.len());
    let mut places: Vec<_> = ["insert ", "replace into ", "merge into "].into_iter().flat_map(all).collect();
    places.sort_unstable_by_key(|place| place.start);
    let mut cells = Vec::new();
    while let Some(place) = places.get(places.partition_point(|place| place.start < from)) {
        from = place.end;
        let Some(labels) = listed(text, &mut from, made, &mut cells)? else { continue };
        let (count, mut misfit) = (cells.len(), None);
        if let Some(values) = small.get(from..).and_then(selected) {
            let values = from + values.start..from + values.end;
            made.spend(values.len())?;
            Cells::of(text.get(values.clone()).unwrap_or_default(), values.start, ',')
                .at_most(count, &mut cells);
            if cells.len() == count {
                made.row(&labels, &cells)?;
            }
            from = values.end;
            continue;
        }
        let thrifty = again > MOST_AGAIN * text.len();
        let most = if thrifty { SHORT_ROW } else { text.len() };
        loop {
            let end = text.floor_char_boundary(from.saturating_add(most));
            let Some(values) = text.get(..end).and_then(|text| brackets(text, from, 24)) else { break };
            // Behind another word another list begins.
            if !text.get(from..values.start).is_some_and(is_between_rows) {
                break;
            }
            made.spend(values.len())?;
            Cells::of(text.get(values.clone()).unwrap_or_default(), values.start, ',')
                .at_most(count, &mut cells);
            from = (values.end + 1).min(text.len());
            if cells.len() == count {
                made.row(&labels, &cells)?;
            }
            if cells.len() != count || values.end == end {
                misfit.get_or_insert(values.start);
                if thrifty {
                    break;
                }
            }
        }
        // What is no row may end elsewhere, and the next list stand in what was taken for it.
        if let Some(start) = misfit {
            again += from - start;
            from = start;
        }
    }
    Some(())
}

/// `COPY t (names) FROM stdin;` and lines of cells set apart by tabs, up to a line with `\\.`.
fn copied(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let (mut from, mut cells) = (0, Vec::new());
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("COPY ")) {
        from += at + 5;
        let Some(labels) = listed(text, &mut from, made, &mut cells)? else { continue };
        let behind = text.as_bytes().get(from..).unwrap_or_default();
        let behind = behind.get(..LONGEST_HEAD).unwrap_or(behind);
        let Some(line) = memchr::memchr(b'\n', behind) else { continue };
        from += line + 1;
        let (count, mut start) = (cells.len(), from);
        for line in text.get(from..).unwrap_or_default().split_inclusive('\n') {
            let place = start;
            start += line.len();
            made.spend(line.len())?;
            Cells::of(line.trim_end_matches(['\n', '\r']), place, '\t').at_most(count, &mut cells);
            if cells.len() != count {
                break;
            }
            made.row(&labels, &cells)?;
            from = start;
        }
    }
    Some(())
}

/// Labels for the list of names that opens near a place, with the places of the names; the place goes behind it. Without
/// labels it goes into the brackets: any other word before them would mean the same list.
fn listed(
    text: &str,
    from: &mut usize,
    made: &mut Made<'_, '_, '_>,
    cells: &mut Vec<Range<usize>>,
) -> Option<Option<Labels>> {
    let before = text.as_bytes().get(*from..).unwrap_or_default();
    let before = before.get(..LONGEST_HEAD).unwrap_or(before);
    let Some(open) = memchr::memchr(b'(', before) else { return Some(None) };
    *from += open + 1;
    let names = text.get(*from..).unwrap_or_default();
    // WHY: names hold no brackets of their own, so that nothing is read again for the next list.
    let Some(end) = memchr::memchr2(b'(', b')', names.as_bytes()) else { return Some(None) };
    made.spend(end)?;
    let names = names.get(..end).filter(|names| names.len() <= LONGEST_NAMES);
    let closed = text.as_bytes().get(*from + end) == Some(&b')');
    let Some(names) = names.filter(|_| closed) else { return Some(None) };
    Cells::of(names, *from, ',').at_most(usize::MAX, cells);
    let labels = made.headers.labels(text, cells);
    if labels.is_some() {
        *from += end + 1;
    }
    Some(labels)
}

/// `SELECT 'cell' AS name`: the name stands behind its cell.
fn aliased(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let bytes = text.as_bytes();
    for end in memchr::memchr_iter(b'\'', bytes) {
        let behind = bytes.get(end + 1..).unwrap_or_default();
        if !behind.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b" as ")) {
            continue;
        }
        let name = end + 5;
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 0x80;
        let length = bytes.get(name..).map_or(0, |rest| rest.iter().take(64).take_while(is_name).count());
        let before = bytes.get(end.saturating_sub(200)..end).unwrap_or_default();
        let Some(open) = memchr::memrchr(b'\'', before) else { continue };
        let cell = end - before.len() + open + 1..end;
        let header = name..name + length;
        let labels = made.headers.labels(text, std::slice::from_ref(&header));
        if let Some(labels) = labels.filter(|_| length > 0) {
            made.row(&labels, std::slice::from_ref(&cell))?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
